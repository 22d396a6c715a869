//! The Raft core: its state, and the way of an event through it.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::clients::Pending;
use super::config::{RaftConfig, node_of};
use super::describe::{received, sent};
use super::disk::Disk;
use super::election::Ballot;
use super::identity::Acquaintance;
use super::leader::Leader;
use super::log::RaftLog;
use super::machine::Machine;
use super::membership::{Configs, Membership};
use super::message::RaftMessage;
use super::reads::OpenReads;
use super::snapshot::{Incoming, Snapshot};
use super::transfer::Handover;
use crate::bugs::Bug;
use crate::core::{ClientRef, Core, CoreHealth, Effect, Event, Now, Stamp};
use crate::members::{NodeIndex, Text};
use crate::message::Outcome;
use crate::status::Standing;
use crate::trace::{Place, RaftEvent, TraceEvent};

pub(super) const NS_PER_MS: u64 = 1_000_000;

/// Time between two `health` events.
const HEALTH_EVERY_NS: u64 = 1_000_000_000;

/// One node of the Raft store.
#[derive(Debug)]
pub struct RaftCore {
    pub(super) config: RaftConfig,
    pub(super) incarnation: u64,
    pub(super) chance: ChaCha8Rng,
    /// Who this is, and whom it knows.
    pub(super) acquaintance: Acquaintance,
    pub(super) hard: Hard,
    pub(super) log: RaftLog,
    pub(super) configs: Configs,
    pub(super) machine: Machine,
    /// The newest one taken or installed.
    pub(super) snapshot: Snapshot,
    /// One that is being read from the disk or received.
    pub(super) incoming: Option<Incoming>,
    pub(super) commit: u64,
    pub(super) applied: u64,
    pub(super) disk: Disk,
    pub(super) role: Role,
    /// The member that leads this term.
    pub(super) leader: Option<Text>,
    /// Until then no other leader is helped to power: the present one was heard of.
    pub(super) loyal_until_ns: u64,
    pub(super) election_at_ns: u64,
    pub(super) pending: Pending,
    pub(super) reads: OpenReads,
    pub(super) handover: Option<Handover>,
    health_at_ns: u64,
    pub(super) messages: u64,
    pub(super) appends: u64,
    pub(super) is_stopped: bool,
}

/// Term and vote: changed together, and durable before anything that depends on them leaves.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Hard {
    pub(super) term: u64,
    pub(super) vote: Option<Text>,
}

/// What the node is in the present term.
#[derive(Debug)]
pub(super) enum Role {
    Follower,
    PreCandidate(Ballot),
    Candidate(Ballot),
    Leader(Box<Leader>),
}

/// One step: the time, and where effects go.
pub(super) struct Step<'a> {
    pub(super) now: Now,
    pub(super) effects: &'a mut Vec<Effect<RaftMessage>>,
}

impl Step<'_> {
    pub(super) fn trace(&mut self, event: RaftEvent) {
        self.effects.push(Effect::Trace(TraceEvent::Raft(event)));
    }

    pub(super) fn reply(&mut self, client: ClientRef, outcome: Outcome) {
        self.effects.push(Effect::Reply { client, outcome });
    }
}

impl Core for RaftCore {
    type Message = RaftMessage;

    fn load(&mut self, record: &[u8]) -> Result<(), String> {
        self.load_record(record)
    }

    fn step(&mut self, now: Now, event: Event<RaftMessage>, effects: &mut Vec<Effect<RaftMessage>>) {
        if self.is_stopped {
            return;
        }
        let step = &mut Step { now, effects };
        match event {
            Event::Start { mono_offset_ns } => return self.start(step, mono_offset_ns),
            Event::Durable { appended } => self.on_durable(step, appended),
            Event::Request { client, header, body } => self.on_request(step, client, header, body),
            Event::Message { from, message } => self.on_message(step, from, message),
            Event::LinkUp { peer } => self.on_link(step, peer),
            Event::Wake => {}
        }
        self.keep_time(step);
    }

    fn wake_at_ns(&self) -> Option<u64> {
        if self.is_stopped {
            return None;
        }
        let role_ns = match &self.role {
            Role::Leader(leader) => leader.wake_at_ns(),
            _ => self.election_at_ns,
        };
        [
            Some(role_ns),
            Some(self.health_at_ns),
            self.acquaintance.wake_at_ns(),
            self.pending.wake_at_ns(),
            self.reads.wake_at_ns(),
            self.reads.forwarded.wake_at_ns(self.heartbeat_ns()),
            self.handover.as_ref().map(|handover| handover.deadline_ns),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    fn health(&self) -> CoreHealth {
        CoreHealth {
            keys: self.machine.key_count() as u64,
            open_operations: (self.pending.count() + self.reads.count()) as u64,
        }
    }

    fn standing(&self) -> Option<Standing> {
        let (index, membership) = self.configs.latest();
        Some(Standing {
            member: self.member().clone(),
            role: self.role_name().into(),
            term: self.hard.term,
            leader: self.leader_node(),
            commit: self.commit,
            applied: self.applied,
            last: self.log.last_index(),
            last_term: self.log.last().1,
            snapshot: self.snapshot.last.0,
            voters: membership.voters.iter().cloned().collect(),
            learners: membership.learners.iter().cloned().collect(),
            changing: index > self.commit || membership.is_joint(),
        })
    }

    fn sent(&self, _to: NodeIndex, message: &RaftMessage, stamp: Stamp) -> Option<TraceEvent> {
        Some(TraceEvent::Raft(sent(message, stamp)))
    }

    fn received(&self, _from: NodeIndex, message: &RaftMessage, stamp: Stamp) -> Option<TraceEvent> {
        Some(TraceEvent::Raft(received(message, stamp)))
    }
}

impl RaftCore {
    /// A core for one life of a node. `config` was checked; `incarnation` is durable and was never used before; all chance comes from
    /// `seed`.
    pub fn new(config: RaftConfig, incarnation: u64, seed: u64) -> RaftCore {
        let mut chance = ChaCha8Rng::seed_from_u64(seed);
        // Nodes that are started with one seed must not time out together, nor a node alike in each of its lives.
        chance.set_stream(incarnation << 16 | u64::from(config.me.0));
        RaftCore {
            acquaintance: Acquaintance::new(&config),
            config,
            incarnation,
            chance,
            hard: Hard::default(),
            log: RaftLog::default(),
            configs: Configs::new(0, Membership::default()),
            machine: Machine::default(),
            snapshot: Snapshot::default(),
            incoming: None,
            commit: 0,
            applied: 0,
            disk: Disk::default(),
            role: Role::Follower,
            leader: None,
            loyal_until_ns: 0,
            election_at_ns: 0,
            pending: Pending::default(),
            reads: OpenReads::default(),
            handover: None,
            health_at_ns: 0,
            messages: 0,
            appends: 0,
            is_stopped: false,
        }
    }

    /// Whether a planted bug is switched on; constantly false in a build without bugs.
    pub(super) fn has(&self, bug: Bug) -> bool {
        self.config.planted.has(bug)
    }

    /// What the state machine holds now.
    pub fn machine(&self) -> &Machine {
        &self.machine
    }

    /// The term, and the last entry of the log: for tests and simulators.
    pub fn progress(&self) -> (u64, Place) {
        (self.hard.term, self.log.last())
    }

    /// Which life of the node this core is.
    pub fn incarnation(&self) -> u64 {
        self.incarnation
    }

    /// The id of the member that this node is.
    pub fn member(&self) -> &Text {
        &self.acquaintance.identity.member
    }

    /// `follower`, `pre-candidate`, `candidate`, `leader`, or `learner` for everybody who has no vote.
    pub fn role_name(&self) -> &'static str {
        match self.role {
            Role::Leader(_) => "leader",
            Role::Candidate(_) => "candidate",
            Role::PreCandidate(_) => "pre-candidate",
            Role::Follower if self.is_voter() => "follower",
            Role::Follower => "learner",
        }
    }

    pub(super) fn is_voter(&self) -> bool {
        self.configs.latest().1.is_voter(self.member())
    }

    /// The node where the leader lives: what a client can do something with.
    pub(super) fn leader_node(&self) -> Option<Text> {
        let node = node_of(&self.config.nodes, self.leader.as_ref()?)?;
        Some(self.config.nodes.name(node).clone())
    }

    pub(super) fn set_role(&mut self, step: &mut Step<'_>, role: Role) {
        self.role = role;
        step.trace(RaftEvent::Role {
            role: self.role_name(),
            term: self.hard.term,
            last: self.log.last(),
        });
    }

    /// A time between one and two election timeouts.
    pub(super) fn reset_election_timer(&mut self, now: Now) {
        let shortest_ns = self.config.election_ms.saturating_mul(NS_PER_MS);
        let wait_ns = self.chance.random_range(shortest_ns..shortest_ns.saturating_mul(2));
        self.election_at_ns = now.mono_ns.saturating_add(wait_ns);
    }

    pub(super) fn election_ns(&self) -> u64 {
        self.config.election_ms.saturating_mul(NS_PER_MS)
    }

    pub(super) fn heartbeat_ns(&self) -> u64 {
        self.config.heartbeat_ms.saturating_mul(NS_PER_MS)
    }

    fn start(&mut self, step: &mut Step<'_>, mono_offset_ns: i64) {
        let is_new = self.settle_identity();
        self.trace_start(step, mono_offset_ns);
        if is_new {
            self.record_identity(step);
        }
        // The life before may have promised the leader not to help another one for so long; nobody remembers.
        self.loyal_until_ns = step.now.mono_ns.saturating_add(self.election_ns());
        self.health_at_ns = step.now.mono_ns.saturating_add(HEALTH_EVERY_NS);
        self.reset_election_timer(step.now);
    }

    /// Does what is due.
    fn keep_time(&mut self, step: &mut Step<'_>) {
        let now_ns = step.now.mono_ns;
        self.end_late_commands(step);
        self.end_late_reads(step);
        self.tend_forwarded(step);
        self.end_late_handover(step);
        self.introduce_again(step);
        match &self.role {
            Role::Leader(_) => self.keep_leading(step),
            _ if now_ns >= self.election_at_ns => self.campaign_first(step),
            _ => {}
        }
        if now_ns >= self.health_at_ns {
            self.health_at_ns = now_ns.saturating_add(HEALTH_EVERY_NS);
            step.trace(RaftEvent::Health {
                commit: self.commit,
                applied: self.applied,
                term: self.hard.term,
                role: self.role_name(),
                messages: self.messages,
                appends: self.appends,
            });
        }
    }

    fn on_link(&mut self, step: &mut Step<'_>, peer: NodeIndex) {
        self.introduce_to(step, peer);
        self.send_again_to(step, peer);
    }
}
