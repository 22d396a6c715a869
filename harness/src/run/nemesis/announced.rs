//! Members that come and go where nodes are announced before they run: one step at a time, asked for again while the cluster says `not yet`.
//!
//! Main decision: patience. Such a cluster takes nobody in, and lets few go, until its members were together for some seconds; that is its way, and no
//! finding. So a step that is refused for now is asked for again until the bound, and each node that came or went gives the next the whole bound.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::Result;
use squall_nemeses::disk::Trouble;
use squall_nemeses::{Answered, Change, Proof};
use tokio::sync::MutexGuard;
use tokio::time::{Instant, sleep, timeout_at};

use super::Nemesis;
use super::spares::micros;
use super::steps::{Goal, Look, Step};
use crate::run::members::{NO_LEADER, PAUSE};
use crate::systems::{Asked, Member};

/// How long a change of the members is asked for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    /// For each node that comes or goes.
    pub(super) bound: Duration,
    /// And until then in any case, where the system says that it may do it later.
    pub(super) until: Instant,
    /// Whether others may take their time meanwhile: whoever came or went gives it the whole bound again.
    pub(super) is_last: bool,
}

impl From<Duration> for Patience {
    fn from(bound: Duration) -> Patience {
        Patience {
            bound,
            until: Instant::now() + bound,
            is_last: false,
        }
    }
}

/// What came of a round of steps.
enum Round {
    /// A leader shows the goal.
    Reached(String),
    /// Something was done.
    Done,
    /// Nothing can be done now, and why; whether somebody is half in.
    Stuck { why: String, under_way: bool },
    /// It will never be done.
    Hopeless(String),
}

impl Nemesis {
    /// Has some nodes come and others go, as `change` says. The first proof that is not as it should be is the last one.
    ///
    /// # Errors
    /// If a process cannot be started or stopped.
    pub(super) async fn move_announced(&self, change: &Change, patience: Patience) -> Result<Vec<Proof>> {
        let goal = Goal::of(change);
        if goal == Goal::default() {
            return Ok(Vec::new());
        }
        for node in change.remove.iter().chain(&change.add) {
            self.cluster.comings().touch(node);
        }
        let lives = |node: &String| self.cluster.comings().entry(node).map_or(0, |entry| entry.life);
        let lives_before: Vec<u32> = goal.enter.iter().map(lives).collect();
        let ran: Vec<&String> = goal.leave.iter().filter(|node| self.cluster.is_running(node)).collect();
        let began = Instant::now();
        let (ok, said) = self.pursue(&goal, patience).await?;
        let duration_us = micros(began.elapsed());
        let mut proofs = vec![Proof::from(Answered { ok, said, duration_us })];
        if !ok {
            return Ok(proofs);
        }
        for (node, life) in goal.enter.iter().zip(lives_before) {
            let how = match (lives(node) == life, self.cluster.is_spare(node)) {
                (true, _) => "stayed a member",
                (false, true) => "was never there before",
                (false, false) => "came back as a new member with nothing",
            };
            let served = self.see_serving(node, how, patience.bound).await;
            if served.ok {
                self.let_stay(node).await;
            }
            proofs.push(Proof::from(served));
        }
        for node in &ran {
            proofs.extend(self.see_gone(node).await?);
        }
        Ok(proofs)
    }

    /// From now on nothing may end it, but a fault. The world is held: one may be about to.
    async fn let_stay(&self, node: &str) {
        let world = self.world.lock().await;
        let trouble = world.desired().disks.get(node).cloned();
        self.cluster
            .has_entered(node, trouble.as_ref().is_some_and(Trouble::may_end_a_node));
    }

    /// Until when a change is asked for, as things are.
    pub(super) fn deadline(&self, patience: Patience) -> Instant {
        let moved = *self.moved.lock().expect("no holder of this lock panics");
        let others = moved.filter(|_| patience.is_last).map(|moved| moved + patience.bound);
        others.map_or(patience.until, |others| others.max(patience.until))
    }

    /// Step by step, until a leader shows the goal or patience ends. While somebody is half in, nobody else comes or goes.
    async fn pursue(&self, goal: &Goal, patience: Patience) -> Result<(bool, String)> {
        let mut patience = patience;
        let mut turn: Option<MutexGuard<'_, ()>> = None;
        let mut last = "other members come or go all the time".to_owned();
        loop {
            if turn.is_none() {
                match timeout_at(self.deadline(patience), self.turn.lock()).await {
                    Ok(taken) => turn = Some(taken),
                    Err(_) if Instant::now() < self.deadline(patience) => continue,
                    Err(_) => return Ok((false, last)),
                }
            }
            match self.take_a_step(goal).await? {
                Round::Reached(said) => return Ok((true, said)),
                Round::Hopeless(why) => return Ok((false, why)),
                Round::Done => {
                    let now = Instant::now();
                    patience.until = patience.until.max(now + patience.bound);
                    *self.moved.lock().expect("no holder of this lock panics") = Some(now);
                    continue;
                }
                Round::Stuck { why, under_way } => {
                    last = why;
                    if !under_way {
                        turn = None;
                    }
                }
            }
            if Instant::now() >= self.deadline(patience) {
                return Ok((false, last));
            }
            sleep(PAUSE).await;
        }
    }

    /// Tries what can be done, in order, until something is done.
    async fn take_a_step(&self, goal: &Goal) -> Result<Round> {
        let stuck = |why: String, under_way| Round::Stuck { why, under_way };
        let Some((leader, standing)) = self.newest_leader().await else {
            return Ok(stuck(NO_LEADER.into(), false));
        };
        let roll = standing.roll();
        if !roll.votes(&leader.id) {
            return Ok(stuck(format!("{}, which leads, is no member any more", leader.id), false));
        }
        let down = self.world.lock().await.desired().down;
        let look = |node: &str| Look {
            runs: self.cluster.is_running(node),
            never_ran: self.cluster.comings().never_ran(node),
            never_served: self.cluster.comings().is_entering(node),
            is_kept_down: down.contains(node),
        };
        for node in goal.leave.iter().filter(|node| !roll.has(node)) {
            self.has_left(node);
        }
        for node in goal.enter.iter().filter(|node| roll.votes(node)) {
            self.cluster.comings().votes(node);
        }
        if goal.is_reached(&roll) && !goal.enter.iter().any(|node| look(node).is_yet_to_run()) {
            return Ok(Round::Reached(format!("{} shows it", leader.id)));
        }
        let under_way = goal.is_under_way(&roll);
        let mut why = "another fault keeps down who is to come".to_owned();
        for step in goal.steps(&leader.id, &roll, look) {
            let members: BTreeSet<&String> = roll.voters.iter().chain(roll.learners).collect();
            match self.take(&step, &leader, &members).await? {
                Asked::Done => return Ok(Round::Done),
                Asked::NotYet(said) => why = format!("{} refused: {said}", leader.id),
                Asked::Unknown(said) => why = format!("{} did not say: {said}", leader.id),
                Asked::Refused(said) => return Ok(Round::Hopeless(format!("{} refused for good: {said}", leader.id))),
            }
        }
        Ok(stuck(why, under_way))
    }

    async fn take(&self, step: &Step, leader: &Member, members: &BTreeSet<&String>) -> Result<Asked> {
        let (cluster, system) = (&self.cluster, self.cluster.system());
        Ok(match step {
            Step::Announce(node) => {
                // Who was taken out and did not notice would answer for who comes.
                self.stop_gone(node).await?;
                let asked = system.change_members(leader, std::slice::from_ref(cluster.member(node)), &[]).await;
                if matches!(asked, Asked::Done | Asked::Unknown(_)) {
                    cluster.comings().is_announced(node);
                }
                asked
            }
            Step::Start(node) => {
                let is_in = |member: &&Member| members.contains(&member.id);
                let members = cluster.nodes().iter().filter(is_in).cloned().collect();
                self.start_entering(node, Some(members)).await?
            }
            Step::Resume(node) => self.start_entering(node, None).await?,
            Step::Promote(node) => system.promote(leader, cluster.member(node)).await,
            Step::Lead(node) => system.transfer(leader, cluster.member(node)).await,
            Step::Remove(node) => self.remove(leader, node).await,
        })
    }

    /// Starts a node that was announced, with nothing and among `members`, or else with what it has. The world is held: a fault may be about to start or
    /// to kill it.
    async fn start_entering(&self, node: &str, members: Option<Vec<Member>>) -> Result<Asked> {
        let world = self.world.lock().await;
        if world.desired().down.contains(node) {
            return Ok(Asked::NotYet(format!("another fault keeps {node} down")));
        }
        if let Some(members) = members {
            self.kill_node(node, true).await?;
            self.cluster.comings().begin_life(node, members);
        }
        if !self.cluster.is_running(node) {
            self.cluster.start(node).await?;
        }
        Ok(Asked::Done)
    }

    /// Asks for a removal, upon which the node may end at any time from now on, unless it is certain that nothing came of it.
    async fn remove(&self, leader: &Member, node: &str) -> Asked {
        self.cluster.expect_departure(node, true);
        let asked = self
            .cluster
            .system()
            .change_members(leader, &[], std::slice::from_ref(self.cluster.member(node)))
            .await;
        let comings = self.cluster.comings();
        match asked {
            Asked::Done => self.has_left(node),
            Asked::Unknown(_) => comings.may_have_left(node),
            Asked::NotYet(_) | Asked::Refused(_) if comings.is_doubtful(node) => {}
            Asked::NotYet(_) | Asked::Refused(_) => self.cluster.expect_departure(node, false),
        }
        asked
    }

    fn has_left(&self, node: &str) {
        self.cluster.expect_departure(node, true);
        self.cluster.comings().has_left(node);
    }
}
