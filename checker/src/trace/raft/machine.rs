//! Every event goes to every rule that asks for it, and then into the state of its node.

use std::collections::BTreeMap;

use super::amplification::Amplification;
use super::breach::{Breaches, Node, Sight};
use super::clocks::Clocks;
use super::commit::{self, Commits};
use super::completeness::Completeness;
use super::confirm::{self, Confirmations, Letter};
use super::election::Election;
use super::event::{Ack, Apply, By, Event, Index, Outcome, Role, Stage, Start, Term, What};
use super::fresh::{Freshness, Read};
use super::log::{Entry, Log};
use super::lost::Lost;
use super::membership::{self, Membership};
use super::names::{NameId, Names};
use super::neighbours::Recent;
use super::node::{Mark, NodeState, Replay};
use super::progress::Progress;
use super::scene::Scene;
use super::slots::Slots;
use super::stream::Position;
use super::{matching, monotone, once, state};

/// How many applied entries lie between two looks for what can be forgotten.
const FORGET_EVERY: u64 = 1_024;

/// All rules and all that they know.
#[derive(Debug)]
pub(super) struct Machine {
    pub(super) nodes: Vec<NodeState>,
    pub(super) breaches: Breaches,
    pub(super) clocks: Clocks,
    pub(super) lost: Lost,
    pub(super) progress: Progress,
    pub(super) slots: Slots,
    pub(super) n_events: u64,
    homes: BTreeMap<NameId, Node>,
    election: Election,
    completeness: Completeness,
    commits: Commits,
    effects: once::Effects,
    fresh: Freshness,
    confirmations: Confirmations,
    membership: Membership,
    amplification: Amplification,
    recent: Recent,
    /// Whether a breach still wants events that follow it.
    follows: bool,
    n_applied: u64,
}

impl Machine {
    /// For nodes of these names.
    pub(super) fn of(names: &[String]) -> Machine {
        let n_nodes = names.len();
        Machine {
            nodes: names.iter().map(|name| NodeState::new(name)).collect(),
            breaches: Breaches::default(),
            clocks: Clocks::of(n_nodes),
            lost: Lost::of(n_nodes),
            progress: Progress::of(n_nodes),
            slots: Slots::default(),
            n_events: 0,
            homes: BTreeMap::new(),
            election: Election::default(),
            completeness: Completeness::default(),
            commits: Commits::default(),
            effects: once::Effects::default(),
            fresh: Freshness::default(),
            confirmations: Confirmations::of(n_nodes),
            membership: Membership::default(),
            amplification: Amplification::of(n_nodes),
            recent: Recent::of(n_nodes),
            follows: false,
            n_applied: 0,
        }
    }

    /// Takes the next event. Whatever it depends on was taken before.
    pub(super) fn take(&mut self, node: Node, event: &Event, names: &Names) {
        self.n_events += 1;
        let sight = Sight {
            node: u8::try_from(node).expect("there are at most 64 nodes"),
            line: event.line,
            mono_ns: event.mono_ns,
        };
        if matches!(event.what, What::Start(_)) {
            self.clocks.start(node);
        }
        self.clocks.event(sight);
        self.recent.add(node, event);
        if self.follows {
            self.follows = false;
            for breach in self.breaches.all_mut() {
                self.follows |= breach.around.follow(node, event);
            }
        }
        self.end_replay(node, sight, &event.what, names);
        self.judge(node, sight, &event.what, names);
        if self.breaches.n_new > 0 {
            let around = self.recent.around();
            for breach in self.breaches.take_new() {
                breach.around = around.clone();
            }
            self.follows = true;
        }
    }

    fn judge(&mut self, node: Node, sight: Sight, what: &What, names: &Names) {
        match what {
            What::Start(start) => self.start(node, sight, start, names),
            What::Hard { term, vote } => self.hard(node, sight, *term, *vote, names),
            What::Role { role, term, last } => self.role(node, sight, *role, (*term, *last), names),
            What::Append {
                index,
                term,
                digest,
                is_config,
                ..
            } => self.append(node, sight, (*index, *term, *digest), *is_config, names),
            What::Truncate { from, term } => self.truncate(node, sight, *from, *term, names),
            What::Fsync { upto, term_at, .. } => self.fsync(node, sight, *upto, *term_at),
            What::Commit { to, term_at, by, term } => self.commit(node, sight, (*to, *term_at, *term), *by, names),
            What::Apply(apply) => self.apply(node, sight, apply, names),
            What::SnapTake {
                index,
                term_at,
                state_hash,
            } => self.snap_take(node, sight, (*index, *term_at, *state_hash), names),
            What::SnapInstall {
                index,
                term_at,
                state_hash,
            } => self.snap_install(node, sight, (*index, *term_at, *state_hash), names),
            What::Config { index, stage, config } => {
                let (scene, rules) = self.scene(node, sight, names);
                rules.membership.config(scene, *index, *stage, config, rules.breaches);
                let me = &mut self.nodes[node];
                // In force since it was appended; by now a later one may stand behind it.
                let is_past = *stage == Stage::Committed && me.config_entries.last().is_some_and(|(last, _)| last > index);
                if !is_past {
                    me.config = (**config).clone();
                }
            }
            What::Ack(ack) => self.ack(node, sight, ack, names),
            What::Read {
                index,
                applied,
                basis,
                begun_ns,
                term,
            } => {
                let confirmed = confirm::Read {
                    basis: *basis,
                    begun_ns: *begun_ns,
                    term: *term,
                };
                let read = Read {
                    index: *index,
                    applied: *applied,
                    basis: *basis,
                    begun_ns: *begun_ns,
                };
                self.amplification.n_answers += 1;
                let (scene, rules) = self.scene(node, sight, names);
                rules.fresh.read(scene, read, rules.clocks, rules.breaches);
                rules.confirmations.read(scene, confirmed, rules.breaches);
            }
            What::Send {
                to,
                stamp,
                message,
                term,
                ok,
            } => {
                let incarnation = self.nodes[node].start.as_ref().map_or(0, |start| start.incarnation);
                self.lost.sent(node, incarnation, *stamp);
                self.clocks.sent(sight, incarnation, *stamp);
                let letter = Letter {
                    id: (incarnation, *stamp),
                    message: *message,
                    term: *term,
                };
                self.confirmations.sent(sight, self.home(*to, names), letter);
                let (scene, rules) = self.scene(node, sight, names);
                rules.election.send(scene, *to, *message, *term, *ok, rules.breaches);
            }
            What::Receive {
                from,
                incarnation,
                stamp,
                message,
                term,
            } => {
                let letter = Letter {
                    id: (*incarnation, *stamp),
                    message: *message,
                    term: *term,
                };
                self.receive(sight, *from, letter, names);
            }
            What::Health { messages, appends, .. } => {
                let (scene, rules) = self.scene(node, sight, names);
                rules.amplification.health(scene, *messages, *appends, rules.breaches);
                self.reached(node, sight);
            }
        }
    }

    fn start(&mut self, node: Node, sight: Sight, start: &Start, names: &Names) {
        let (scene, rules) = self.scene(node, sight, names);
        rules.election.start(scene, start, rules.breaches);
        monotone::start(scene, start, rules.breaches);
        state::start(scene, start, rules.slots, rules.breaches);
        self.commits.start(start.commit);
        self.amplification.start(node);
        self.progress.role(sight, Role::Follower);
        self.homes.insert(start.member, node);
        self.lost.began(node, start.incarnation);
        let seen = self.slots.get(start.base.0).and_then(|slot| slot.seen(start.base.1)?.hash);
        let state = &mut self.nodes[node];
        if state.member() != Some(start.member) {
            state.durable.clear();
        }
        let hash = state.known_hash(start.base.0).or(seen);
        state.replay = Some(Replay {
            sight,
            owed: state.durable.last(),
        });
        state.log = Log::after(start.base, hash);
        (state.hard, state.hard_at) = ((start.term, start.vote), Some(sight));
        (state.role, state.role_at) = (Role::Follower, Some(sight));
        (state.commit, state.applied, state.snapshot) = (start.commit, start.applied, start.base.0);
        state.config = start.config.clone();
        state.config_entries.clear();
        state.start = Some(Box::new(start.clone()));
        self.reached(node, sight);
    }

    /// The first event that is no part of a start ends it: the node has told all that it found.
    fn end_replay(&mut self, node: Node, sight: Sight, what: &What, names: &Names) {
        let is_part = matches!(
            what,
            What::Start(_) | What::Append { replayed: true, .. } | What::Fsync { replayed: true, .. }
        );
        let Some(replay) = self.nodes[node].replay.filter(|_| !is_part) else {
            return;
        };
        let (scene, rules) = self.scene(node, sight, names);
        commit::found_again(scene, replay.sight, rules.breaches);
        if let Some(start) = &scene.me().start {
            let scene = Scene {
                sight: replay.sight,
                ..scene
            };
            matching::ends(scene, start.last, rules.breaches);
        }
        let state = &mut self.nodes[node];
        state.replay = None;
        // What is lost is lost once.
        if state.durable.last().is_some_and(|mark| mark.upto > state.log.last_index()) {
            state.durable.clear();
        }
    }

    fn hard(&mut self, node: Node, sight: Sight, term: Term, vote: Option<NameId>, names: &Names) {
        let (scene, rules) = self.scene(node, sight, names);
        monotone::hard(scene, term, rules.breaches);
        rules.election.hard(scene, term, vote, rules.breaches);
        let state = &mut self.nodes[node];
        (state.hard, state.hard_at) = ((term, vote), Some(sight));
    }

    fn role(&mut self, node: Node, sight: Sight, role: Role, (term, last): (Term, (Index, Term)), names: &Names) {
        let (scene, rules) = self.scene(node, sight, names);
        monotone::role(scene, role, term, rules.breaches);
        matching::ends(scene, last, rules.breaches);
        if role == Role::Leader {
            rules.election.leader(scene, term, rules.breaches);
            rules.completeness.leader(scene, term, rules.breaches);
            rules.membership.decides(scene, "leads", rules.breaches);
        } else if role == Role::Candidate {
            rules.membership.decides(scene, "asks for votes", rules.breaches);
        }
        self.progress.role(sight, role);
        let state = &mut self.nodes[node];
        (state.role, state.role_at) = (role, Some(sight));
    }

    fn append(&mut self, node: Node, sight: Sight, (index, term, digest): (Index, Term, u64), is_config: bool, names: &Names) {
        let is_new = self.slots.get(index).is_none_or(|slot| slot.seen(term).is_none());
        self.amplification.n_entries += u64::from(is_new);
        let (scene, rules) = self.scene(node, sight, names);
        let hash = matching::append(scene, index, term, digest, rules.slots, rules.breaches);
        let state = &mut self.nodes[node];
        let last = state.log.last_index();
        if index <= last {
            state.log.truncate(index);
            membership::truncated(state, index);
        }
        if index != state.log.last_index() + 1 {
            // A hole: the rule has said so, and what follows is judged from here on.
            state.log = Log::after((index - 1, 0), None);
        }
        state.log.push(Entry { term, digest, hash });
        if is_config {
            membership::appended(state, index, term);
        }
    }

    fn truncate(&mut self, node: Node, sight: Sight, from: Index, term: Term, names: &Names) {
        let (scene, rules) = self.scene(node, sight, names);
        matching::truncate(scene, from, term, rules.slots, rules.breaches);
        let state = &mut self.nodes[node];
        if from <= state.log.base_index() {
            state.log = Log::after((from - 1, 0), None);
            state.durable.clear();
        } else {
            state.durable.truncate(from, state.log.term_at(from - 1));
            state.log.truncate(from);
        }
        membership::truncated(state, from);
    }

    fn fsync(&mut self, node: Node, sight: Sight, upto: Index, term_at: Term) {
        let state = &mut self.nodes[node];
        // An fsync that was under way while the entry was replaced proves nothing of the new one.
        if state.log.term_at(upto) == Some(term_at) {
            state.durable.add(Mark { upto, term_at, sight });
        }
    }

    fn commit(&mut self, node: Node, sight: Sight, (to, term_at, term): (Index, Term, Term), by: By, names: &Names) {
        let (scene, rules) = self.scene(node, sight, names);
        monotone::commit(scene, to, rules.breaches);
        // A snapshot's index is known to be committed before the log has it.
        if by != By::Snapshot {
            state::commit(scene, to, term_at, rules.slots, rules.breaches);
        }
        if by == By::Count {
            rules.membership.decides(scene, "commits", rules.breaches);
            if rules
                .commits
                .count(scene, (to, term_at, term), rules.clocks, rules.slots, rules.breaches)
            {
                rules.completeness.counted(scene, to, term, rules.breaches);
            }
        } else {
            rules.commits.learned(scene, to, term_at, by, rules.breaches);
        }
        let state = &mut self.nodes[node];
        state.commit = state.commit.max(to);
        self.reached(node, sight);
    }

    fn apply(&mut self, node: Node, sight: Sight, apply: &Apply, names: &Names) {
        let is_first = self.slots.at(apply.index).is_some_and(|slot| slot.applied.is_none());
        let (scene, rules) = self.scene(node, sight, names);
        monotone::apply(scene, apply.index, rules.breaches);
        state::apply(scene, apply, rules.slots, rules.breaches);
        if is_first {
            rules.effects.first_apply(scene, apply, rules.slots, rules.breaches);
            once::failed(apply.index, rules.slots, rules.breaches);
        }
        self.nodes[node].applied = apply.index;
        self.reached(node, sight);
        self.n_applied += 1;
        if self.n_applied.is_multiple_of(FORGET_EVERY) {
            self.forget();
        }
    }

    /// Forgets what every node has applied.
    fn forget(&mut self) {
        let begun = self.nodes.iter().filter(|state| state.start.is_some());
        let by_all = begun.map(|state| state.applied).min().unwrap_or(0);
        let forgotten = self.slots.forget(by_all);
        for state in &mut self.nodes {
            state.forget(forgotten);
        }
    }

    fn snap_take(&mut self, node: Node, sight: Sight, (index, term_at, state_hash): (Index, Term, u64), names: &Names) {
        let (scene, rules) = self.scene(node, sight, names);
        state::take(scene, index, term_at, state_hash, rules.slots, rules.breaches);
        let state = &mut self.nodes[node];
        let hash = state.log.hash_at(index);
        state.keep_snapshot_hash(index, hash);
        state.snapshot = state.snapshot.max(index);
    }

    fn snap_install(&mut self, node: Node, sight: Sight, (index, term_at, state_hash): (Index, Term, u64), names: &Names) {
        let (scene, rules) = self.scene(node, sight, names);
        monotone::install(scene, index, rules.breaches);
        state::install(scene, index, term_at, state_hash, rules.slots, rules.breaches);
        let seen = self.slots.get(index).and_then(|slot| slot.seen(term_at)?.hash);
        let state = &mut self.nodes[node];
        if state.log.term_at(index) == Some(term_at) {
            state.log.forget(index);
        } else {
            state.log = Log::after((index, term_at), seen);
            state.durable.clear();
            state.config_entries.clear();
        }
        let hash = state.log.hash_at(index);
        state.keep_snapshot_hash(index, hash);
        state.applied = index;
        state.commit = state.commit.max(index);
        state.snapshot = state.snapshot.max(index);
        self.reached(node, sight);
    }

    fn ack(&mut self, node: Node, sight: Sight, ack: &Ack, names: &Names) {
        self.amplification.n_answers += 1;
        if ack.index == 0 {
            return;
        }
        let (scene, rules) = self.scene(node, sight, names);
        once::ack(scene, ack, rules.slots, rules.breaches);
        if ack.outcome == Outcome::Ok {
            rules.commits.answered(scene, ack.index, ack.term_at, rules.breaches);
            rules.fresh.answer(scene, ack.index, rules.clocks, rules.breaches);
        }
    }

    fn receive(&mut self, sight: Sight, from: NameId, letter: Letter, names: &Names) {
        let (incarnation, stamp) = letter.id;
        let Some(home) = self.home(from, names) else { return };
        self.lost.received(home, incarnation, stamp, sight);
        let (sender, receiver) = (&self.nodes[home].name, &self.nodes[usize::from(sight.node)].name);
        self.clocks.received(sight, (home, sender), receiver, (incarnation, stamp));
        self.confirmations.received(sight, home, letter);
    }

    /// The node of a member, or of that name.
    /// From which node, and what life of it, a message comes that this event receives, with its stamp.
    pub(super) fn sender(&self, event: &Event, names: &Names) -> Option<(Node, Position)> {
        let What::Receive {
            from, incarnation, stamp, ..
        } = &event.what
        else {
            return None;
        };
        Some((self.home(*from, names)?, (*incarnation, *stamp)))
    }

    fn home(&self, member: NameId, names: &Names) -> Option<Node> {
        let by_name = || self.nodes.iter().position(|state| state.name == names.get(member));
        self.homes.get(&member).copied().or_else(by_name)
    }

    fn reached(&mut self, node: Node, sight: Sight) {
        let state = &self.nodes[node];
        self.progress.reached(sight, state.commit, state.applied);
    }

    /// What a rule sees, and the rules, which are no part of it.
    fn scene<'a>(&'a mut self, node: Node, sight: Sight, names: &'a Names) -> (Scene<'a>, Rules<'a>) {
        let scene = Scene {
            nodes: &self.nodes,
            names,
            homes: &self.homes,
            node,
            sight,
        };
        let rules = Rules {
            breaches: &mut self.breaches,
            clocks: &self.clocks,
            slots: &mut self.slots,
            election: &mut self.election,
            completeness: &mut self.completeness,
            commits: &mut self.commits,
            effects: &mut self.effects,
            fresh: &mut self.fresh,
            confirmations: &self.confirmations,
            membership: &mut self.membership,
            amplification: &mut self.amplification,
        };
        (scene, rules)
    }
}

/// The rules apart from the nodes.
struct Rules<'a> {
    breaches: &'a mut Breaches,
    clocks: &'a Clocks,
    slots: &'a mut Slots,
    election: &'a mut Election,
    completeness: &'a mut Completeness,
    commits: &'a mut Commits,
    effects: &'a mut once::Effects,
    fresh: &'a mut Freshness,
    confirmations: &'a Confirmations,
    membership: &'a mut Membership,
    amplification: &'a mut Amplification,
}
