//! Changes of the members: learners first, then a joint configuration, then the new one (Ongaro and Ousterhout 2014, §6; Ongaro 2014,
//! §4.2.1 and §4.3). One at a time, and none before the leader knows what is committed (Ongaro, raft-dev, July 2015).

use std::collections::BTreeSet;

use super::config::node_of;
use super::core::{NS_PER_MS, RaftCore, Step};
use super::entry::Command;
use super::membership::Membership;
use crate::bugs::Bug;
use crate::core::{ClientRef, Now};
use crate::members::Text;
use crate::message::{Outcome, RequestHeader};
use crate::trace::RaftEvent;

/// A learner is promoted when it lacks at most so many entries: what arrives during one round trip.
const BEHIND_MAX: u64 = 256;

/// How long a change may take if the request does not say: those to be added may need a whole snapshot.
const TIMEOUT_MS: u64 = 10_000;

/// A change that this leader was asked for.
#[derive(Debug)]
pub(super) struct Change {
    pub(super) client: ClientRef,
    add: BTreeSet<Text>,
    remove: BTreeSet<Text>,
    stage: Stage,
    pub(super) deadline_ns: u64,
}

/// How far a change has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Those to be added receive entries and do not vote.
    Learning,
    /// The change itself is in the log.
    Deciding,
}

impl RaftCore {
    pub(super) fn begin_change(
        &mut self,
        step: &mut Step<'_>,
        client: ClientRef,
        header: &RequestHeader,
        add: Vec<Text>,
        remove: Vec<Text>,
    ) {
        let (add, remove): (BTreeSet<_>, BTreeSet<_>) = (add.into_iter().collect(), remove.into_iter().collect());
        if let Some(refusal) = self.refusal() {
            return step.reply(client, refusal);
        }
        if let Some(reason) = self.change_refused(&add, &remove) {
            return step.reply(client, Outcome::failed("change-refused", reason));
        }
        let membership = self.configs.latest().1.clone();
        let is_about_voters = !add.is_empty() || remove.iter().any(|member| membership.voters.contains(member));
        let stage = if is_about_voters { Stage::Learning } else { Stage::Deciding };
        let change = Change {
            client,
            add,
            remove,
            stage,
            deadline_ns: change_deadline_ns(step.now, header),
        };
        let first = match stage {
            Stage::Learning => with_learners(&membership, &change.add),
            Stage::Deciding => without_learners(&membership, &change.remove),
        };
        if let Some(leader) = self.leader_mut() {
            leader.change = Some(change);
        }
        if first == membership {
            return self.drive_change(step);
        }
        self.propose(step, Command::Config(first));
    }

    /// Why a change cannot begin now.
    fn change_refused(&self, add: &BTreeSet<Text>, remove: &BTreeSet<Text>) -> Option<String> {
        let (index, membership) = self.configs.latest();
        if !self.has_committed_in_its_term() && !self.has(Bug::R30) {
            return Some("this leader has not yet committed an entry of its term".to_owned());
        }
        let is_busy = self.leading().is_some_and(|leader| leader.change.is_some());
        if (is_busy || index > self.commit || membership.is_joint()) && !self.has(Bug::R30) {
            return Some("another change is not finished".to_owned());
        }
        if add.is_empty() && remove.is_empty() {
            return Some("nobody is to be added or removed".to_owned());
        }
        if let Some(member) = add.iter().find(|member| node_of(&self.config.nodes, member).is_none()) {
            return Some(format!("`{member}` is no node given by --peer, nor one with a number behind a dot"));
        }
        if let Some(member) = add
            .iter()
            .find(|member| membership.voters.contains(*member) || remove.contains(*member))
        {
            return Some(format!("`{member}` cannot be added: it votes already, or is to be removed"));
        }
        let everybody = membership.everybody();
        if let Some(member) = remove.iter().find(|member| !everybody.contains(*member)) {
            return Some(format!("`{member}` cannot be removed: it is no member"));
        }
        if membership.voters.union(add).all(|voter| remove.contains(voter)) {
            return Some("nobody would be left to vote".to_owned());
        }
        None
    }

    /// Takes the next step of a change as soon as the one before is committed. What is begun is ended by every leader, asked or not.
    pub(super) fn drive_change(&mut self, step: &mut Step<'_>) {
        let (index, membership) = self.configs.latest();
        if index > self.commit || !self.has_committed_in_its_term() {
            return;
        }
        if membership.is_joint() {
            let next = membership.leave();
            self.propose(step, Command::Config(next));
            return;
        }
        let membership = membership.clone();
        let Some(leader) = self.leading() else { return };
        match leader.change.as_ref().map(|change| change.stage) {
            Some(Stage::Learning) => self.promote_when_ready(step, &membership),
            Some(Stage::Deciding) => self.end_change(step, &membership),
            None => {}
        }
        if !membership.voters.contains(self.member()) && self.configs.latest().0 <= self.commit {
            // Removed, and everybody who must know it knows: the others elect a leader among them.
            self.become_follower(step, self.hard.term, None);
        }
    }

    /// Enters the joint configuration once those to be added have caught up.
    fn promote_when_ready(&mut self, step: &mut Step<'_>, membership: &Membership) {
        let last_index = self.log.last_index();
        let Some(leader) = self.leader_mut() else { return };
        let Some(change) = &leader.change else { return };
        if change.add.iter().any(|member| leader.matched(member) + BEHIND_MAX < last_index) {
            return;
        }
        // A learner that answered nothing yet may not even run.
        if change.add.iter().any(|member| leader.matched(member) == 0) {
            return;
        }
        let joint = membership.enter(&change.add, &change.remove);
        if let Some(change) = &mut leader.change {
            change.stage = Stage::Deciding;
        }
        self.propose(step, Command::Config(joint));
    }

    fn end_change(&mut self, step: &mut Step<'_>, membership: &Membership) {
        let Some(change) = self.leader_mut().and_then(|leader| leader.change.take()) else {
            return;
        };
        step.reply(
            change.client,
            Outcome::Members {
                voters: membership.voters.iter().cloned().collect(),
                learners: membership.learners.iter().cloned().collect(),
            },
        );
    }

    /// A change that takes too long: who asked is told that it may still happen, and one that has not decided anything is given up.
    pub(super) fn end_late_change(&mut self, step: &mut Step<'_>) {
        let now_ns = step.now.mono_ns;
        let Some(leader) = self.leader_mut() else { return };
        if let Some(change) = leader.change.take_if(|change| now_ns >= change.deadline_ns) {
            let message = match change.stage {
                Stage::Learning => "those to be added did not catch up in time; they stay learners, ask again",
                Stage::Deciding => "the change is in the log and not yet committed",
            };
            step.reply(change.client, Outcome::unknown("timeout", message));
        }
    }

    /// Tells the trace which configuration is effective.
    pub(super) fn trace_config(&self, step: &mut Step<'_>, stage: &'static str) {
        let (index, membership) = self.configs.latest();
        trace_membership(step, index, membership, stage);
    }

    pub(super) fn trace_config_committed(&self, step: &mut Step<'_>, index: u64, membership: &Membership) {
        trace_membership(step, index, membership, "committed");
    }
}

fn change_deadline_ns(now: Now, header: &RequestHeader) -> u64 {
    let timeout_ms = header.deadline_ms.unwrap_or(TIMEOUT_MS);
    now.mono_ns.saturating_add(timeout_ms.saturating_mul(NS_PER_MS))
}

fn with_learners(membership: &Membership, add: &BTreeSet<Text>) -> Membership {
    let learners = membership.learners.union(add).cloned().collect();
    Membership {
        learners,
        ..membership.clone()
    }
}

fn without_learners(membership: &Membership, remove: &BTreeSet<Text>) -> Membership {
    let learners = membership.learners.difference(remove).cloned().collect();
    Membership {
        learners,
        ..membership.clone()
    }
}

fn trace_membership(step: &mut Step<'_>, index: u64, membership: &Membership, stage: &'static str) {
    let list = |members: &BTreeSet<Text>| members.iter().cloned().collect();
    step.trace(RaftEvent::Config {
        index,
        voters: list(&membership.voters),
        voters_old: membership.voters_old.as_ref().map(list),
        learners: list(&membership.learners),
        stage,
    });
}
