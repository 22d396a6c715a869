//! A cluster in its world: what can be asked of it, what it tells, and the turns in between.

mod control;
mod records;

use std::collections::VecDeque;

use super::agenda::Agenda;
use super::chance::Chance;
use super::digest::Digest;
use super::disk::SimDisk;
use super::network::{Letter, Network};
use super::process::{EnteredWake, Inbound, Process};
use super::trace::TraceLog;
use super::world::World;
use crate::core::{ClientRef, Core, Effect, Event, Now, Stamp};
use crate::members::{Members, NodeIndex};
use crate::message::{Outcome, RequestBody, RequestHeader};

/// Where virtual time begins: not at 0, which some code takes for never.
const BEGIN_NS: u64 = 1_000_000;

/// What a wall clock shows at virtual time 0, in ns since 1970: some day in 2006.
const EPOCH_NS: u64 = 1 << 60;

/// What a cluster tells whoever drives it.
#[derive(Debug)]
pub enum Notice {
    /// A reply reached its client.
    Reply {
        /// Whose request it answers.
        client: ClientRef,
        /// The answer.
        outcome: Outcome,
    },
    /// A timer that was asked for.
    Timer(u64),
    /// A node ended by itself: its core panicked or stopped, or it refused its log.
    Exited {
        /// The node.
        node: NodeIndex,
        /// Why, in words.
        reason: String,
    },
}

/// How much was done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Starts of nodes.
    pub starts: u64,
    /// Happenings of any kind.
    pub happenings: u64,
    /// Steps of cores.
    pub steps: u64,
    /// Messages between nodes that were sent.
    pub messages: u64,
    /// Batches made durable.
    pub fsyncs: u64,
    /// Records that restarted nodes read from their logs.
    pub replayed: u64,
}

enum Happening<M> {
    Letter(Letter<M>),
    /// A message of the kernel or of a client for one life of a node.
    Inbound {
        at: NodeIndex,
        life: u64,
        inbound: Inbound<M>,
    },
    Reply {
        from: NodeIndex,
        life: u64,
        client: ClientRef,
        outcome: Outcome,
    },
    Synced {
        at: NodeIndex,
        life: u64,
    },
    Wake {
        at: NodeIndex,
        life: u64,
        due_ns: u64,
    },
    Timer(u64),
}

struct Node<C: Core> {
    process: Option<Process<C>>,
    /// Which life this is, or was: durable before anything of it is seen.
    life: u64,
    disk: SimDisk,
    trace: TraceLog,
    /// What its wall clock shows at a true time, in ns since 1970.
    wall_clock: Box<dyn Fn(u64) -> u64>,
}

/// A wall clock that is off by so much, always.
fn ahead_by(skew_ns: i64) -> Box<dyn Fn(u64) -> u64> {
    Box::new(move |true_ns| true_ns.saturating_add_signed(skew_ns))
}

/// A cluster of one store in a simulated world.
pub struct Cluster<C: Core> {
    world: World,
    now_ns: u64,
    agenda: Agenda<Happening<C::Message>>,
    network: Network<C::Message>,
    nodes: Vec<Node<C>>,
    make: Box<dyn Fn(NodeIndex, u64) -> C>,
    /// Told before anything else happens.
    notices: VecDeque<Notice>,
    disks: Chance,
    timers: Chance,
    clients: Chance,
    /// Reused from step to step.
    effects: Vec<Effect<C::Message>>,
    digest: Digest,
    counts: Counts,
}

impl<C: Core> Cluster<C> {
    /// A cluster whose nodes are all down. `make` makes the core of one life of a node, the first being 1.
    pub fn new(members: &Members, world: World, seed: u64, make: impl Fn(NodeIndex, u64) -> C + 'static) -> Cluster<C> {
        let node = |at: NodeIndex| Node {
            process: None,
            life: 0,
            disk: SimDisk::default(),
            trace: TraceLog::new(members.name(at).clone()),
            wall_clock: ahead_by(world.wall_skew_ns.get(usize::from(at.0)).copied().unwrap_or(0)),
        };
        Cluster {
            now_ns: BEGIN_NS,
            agenda: Agenda::default(),
            network: Network::new(members.count(), seed),
            nodes: members.indices().map(node).collect(),
            make: Box::new(make),
            notices: VecDeque::new(),
            disks: Chance::new(seed, "sim.disk"),
            timers: Chance::new(seed, "sim.timer"),
            clients: Chance::new(seed, "sim.client"),
            effects: Vec::new(),
            digest: Digest::default(),
            counts: Counts::default(),
            world,
        }
    }

    /// Virtual time, in ns.
    pub fn now_ns(&self) -> u64 {
        self.now_ns
    }

    /// All nodes.
    pub fn nodes(&self) -> impl Iterator<Item = NodeIndex> + use<C> {
        (0..u16::try_from(self.nodes.len()).expect("at most 1024 members exist")).map(NodeIndex)
    }

    /// Whether a node's process runs, paused or not.
    pub fn is_up(&self, at: NodeIndex) -> bool {
        self.node(at).process.is_some()
    }

    /// Whether a node's process is stopped.
    pub fn is_paused(&self, at: NodeIndex) -> bool {
        self.node(at).process.as_ref().is_some_and(Process::is_paused)
    }

    /// The core of a node that is up.
    pub fn core(&self, at: NodeIndex) -> Option<&C> {
        self.node(at).process.as_ref().map(Process::core)
    }

    /// Whether messages from one node do not reach another.
    pub fn is_cut(&self, from: NodeIndex, to: NodeIndex) -> bool {
        self.network.is_cut(from, to)
    }

    /// Which life of the node this is, or was; 0 before the first.
    pub fn incarnation(&self, at: NodeIndex) -> u64 {
        self.node(at).life
    }

    /// The disk of a node.
    pub fn disk(&self, at: NodeIndex) -> &SimDisk {
        &self.node(at).disk
    }

    /// What a node told.
    pub fn trace(&self, at: NodeIndex) -> &TraceLog {
        &self.node(at).trace
    }

    /// Everything that happened so far, as one number.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// How much was done so far.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// Asks for [`Notice::Timer`] with this token, not before `at_ns`.
    pub fn call_at(&mut self, at_ns: u64, token: u64) {
        self.agenda.enter(at_ns.max(self.now_ns), Happening::Timer(token));
    }

    /// Sends a client's request; false if the node is down and refuses the connection. If the node dies before the answer, there is none.
    pub fn request(&mut self, at: NodeIndex, client: ClientRef, header: RequestHeader, body: RequestBody) -> bool {
        if !self.is_up(at) {
            return false;
        }
        let delay_ns = self.clients.delay_ns(self.world.clients);
        let stamp = Stamp {
            incarnation: 0,
            lamport: header.lamport.unwrap_or(0),
        };
        let event = Event::Request { client, header, body };
        let inbound = Inbound { stamp, event };
        self.enter_for(at, delay_ns, inbound);
        true
    }

    /// Lets virtual time go on until something is to be told. `None`: nothing will ever happen again.
    pub fn next_notice(&mut self) -> Option<Notice> {
        loop {
            if let Some(notice) = self.notices.pop_front() {
                return Some(notice);
            }
            let (at_ns, number, happening) = self.agenda.next()?;
            self.now_ns = at_ns;
            self.counts.happenings += 1;
            self.digest.take(&(at_ns, number));
            if let Some(notice) = self.happen(happening) {
                return Some(notice);
            }
        }
    }

    fn happen(&mut self, happening: Happening<C::Message>) -> Option<Notice> {
        match happening {
            Happening::Letter(letter) => self.arrive(letter),
            Happening::Inbound { at, life, inbound } => {
                if self.lives(at, life) {
                    self.deliver(at, inbound);
                }
            }
            Happening::Reply {
                from,
                life,
                client,
                outcome,
            } => {
                // A killed process resets its connections, and a reply that is still under way may be lost with it.
                if self.lives(from, life) || self.clients.happens(500) {
                    return Some(Notice::Reply { client, outcome });
                }
            }
            Happening::Synced { at, life } => self.synced(at, life),
            Happening::Wake { at, life, due_ns } => self.wake(at, life, due_ns),
            Happening::Timer(token) => return Some(Notice::Timer(token)),
        }
        None
    }

    fn arrive(&mut self, letter: Letter<C::Message>) {
        let sender_lives = self.lives(letter.from, letter.from_life);
        let Some(letter) = self.network.arrive(letter, sender_lives, &self.world) else {
            return;
        };
        let stamp = Stamp {
            incarnation: letter.from_life,
            lamport: letter.lamport,
        };
        let event = Event::Message {
            from: letter.from,
            message: letter.message,
        };
        self.deliver(letter.to, Inbound { stamp, event });
    }

    /// Hands something to a node: it takes a turn, or keeps it until it is resumed. A node that is down never hears of it.
    fn deliver(&mut self, at: NodeIndex, inbound: Inbound<C::Message>) {
        let Some(process) = &mut self.node_mut(at).process else { return };
        if let Some(Inbound { stamp, event }) = process.keep(inbound) {
            process.lamport.observe(stamp.lamport);
            self.record_received(at, stamp, &event);
            self.step(at, event);
        }
    }

    fn synced(&mut self, at: NodeIndex, life: u64) {
        if !self.lives(at, life) {
            return;
        }
        self.counts.fsyncs += 1;
        let node = self.node_mut(at);
        node.disk.sync_ends();
        let Some(process) = &mut node.process else { return };
        let event = Event::Durable {
            appended: process.synced(),
        };
        // The thread of the log has to tell the node, which may die before it hears of it.
        let delay_ns = self.disks.below(20_000);
        self.enter_for(at, delay_ns, Inbound::of_kernel(event));
    }

    fn wake(&mut self, at: NodeIndex, life: u64, due_ns: u64) {
        let (lives, now_ns) = (self.lives(at, life), self.now_ns);
        let is_current = |process: &&mut Process<C>| lives && process.wake.is_some_and(|wake| wake.due_ns == due_ns);
        let Some(process) = self.node_mut(at).process.as_mut().filter(is_current) else {
            return; // it was overtaken by an earlier one
        };
        if process.is_paused() {
            return; // looked after when it is resumed
        }
        process.wake = None;
        if process.core().wake_at_ns().is_some_and(|at_ns| at_ns <= now_ns) {
            self.step(at, Event::Wake);
        } else {
            self.wake_later(at);
        }
    }

    /// One turn of a node: a step, its effects in order, then the batch goes to the disk.
    fn step(&mut self, at: NodeIndex, event: Event<C::Message>) {
        self.counts.steps += 1;
        let now_ns = self.now_ns;
        let mut effects = std::mem::take(&mut self.effects);
        let node = self.node_mut(at);
        let Some(process) = &mut node.process else { return };
        let now = Now {
            mono_ns: now_ns,
            wall_ns: (node.wall_clock)(EPOCH_NS + now_ns),
        };
        let stepped = process.step(now, event, &mut effects);
        let mut ended = stepped.err();
        if ended.is_some() {
            // Of a step that did not end, nothing leaves.
            effects.clear();
        }
        let is_stop = |effect: &Effect<C::Message>| matches!(effect, Effect::Stop { .. });
        if effects.iter().any(is_stop) {
            // Of one that stops the node, only what it tells.
            effects.retain(|effect| is_stop(effect) || matches!(effect, Effect::Trace(_)));
        }
        for effect in effects.drain(..) {
            match effect {
                Effect::Stop { reason } => ended = Some(reason),
                effect => self.carry_out(at, effect),
            }
        }
        self.effects = effects;
        match ended {
            None => {
                self.submit(at);
                self.wake_later(at);
            }
            Some(reason) => {
                self.kill(at);
                self.notices.push_back(Notice::Exited { node: at, reason });
            }
        }
    }

    fn carry_out(&mut self, at: NodeIndex, effect: Effect<C::Message>) {
        match effect {
            Effect::Append { record } => self.process(at).append(&record),
            Effect::Compact { records } => self.process(at).replace(records),
            Effect::Stop { .. } => unreachable!("taken out before"),
            Effect::Send { to, message } => self.send(at, to, message),
            Effect::Reply { client, outcome } => {
                self.process(at).lamport.tick();
                let delay_ns = self.clients.delay_ns(self.world.clients);
                let life = self.node(at).life;
                let from = at;
                let reply = Happening::Reply {
                    from,
                    life,
                    client,
                    outcome,
                };
                self.enter(delay_ns, reply);
            }
            Effect::Trace(event) => self.record(at, event),
        }
    }

    fn send(&mut self, from: NodeIndex, to: NodeIndex, message: C::Message) {
        assert_ne!(from, to, "a core sends to itself");
        self.counts.messages += 1;
        let from_life = self.node(from).life;
        let lamport = self.process(from).lamport.tick();
        self.record_sent(from, to, &message, lamport);
        let letter = Letter {
            from,
            from_life,
            to,
            lamport,
            message,
        };
        let fate = self.network.send(&self.world);
        if let Some(delay_ns) = fate.second {
            self.enter(delay_ns, Happening::Letter(letter.clone()));
        }
        if let Some(delay_ns) = fate.first {
            self.enter(delay_ns, Happening::Letter(letter));
        }
    }

    fn submit(&mut self, at: NodeIndex) {
        let life = self.node(at).life;
        if self.process(at).submit() {
            let delay_ns = self.disks.delay_ns(self.world.fsync);
            self.enter(delay_ns, Happening::Synced { at, life });
        }
    }

    /// Enters the node's next wake, unless an earlier one is entered: one that turns out needless is cheaper than one per step.
    fn wake_later(&mut self, at: NodeIndex) {
        let node = self.node_mut(at);
        let life = node.life;
        let Some(process) = &node.process else { return };
        let Some(wanted_ns) = process.core().wake_at_ns() else { return };
        if process.wake.is_some_and(|wake| wake.wanted_ns <= wanted_ns) {
            return;
        }
        let late_ns = 1 + self.timers.below(self.world.timer_late_ns_max);
        let due_ns = wanted_ns.max(self.now_ns) + late_ns;
        self.process(at).wake = Some(EnteredWake { wanted_ns, due_ns });
        self.agenda.enter(due_ns, Happening::Wake { at, life, due_ns });
    }

    /// Two nodes find each other, if both are up and both ways are open.
    fn link_up(&mut self, one: NodeIndex, other: NodeIndex) {
        let is_open = !self.network.is_cut(one, other) && !self.network.is_cut(other, one);
        if !is_open || !self.is_up(one) || !self.is_up(other) {
            return;
        }
        for (at, peer) in [(one, other), (other, one)] {
            let delay_ns = self.network.delay_ns(&self.world);
            let event = Event::LinkUp { peer };
            self.enter_for(at, delay_ns, Inbound::of_kernel(event));
        }
    }

    fn enter(&mut self, delay_ns: u64, happening: Happening<C::Message>) {
        self.agenda.enter(self.now_ns + delay_ns, happening);
    }

    /// Enters something for the present life of a node.
    fn enter_for(&mut self, at: NodeIndex, delay_ns: u64, inbound: Inbound<C::Message>) {
        let life = self.node(at).life;
        self.enter(delay_ns, Happening::Inbound { at, life, inbound });
    }

    fn lives(&self, at: NodeIndex, life: u64) -> bool {
        let node = self.node(at);
        node.process.is_some() && node.life == life
    }

    fn node(&self, at: NodeIndex) -> &Node<C> {
        &self.nodes[usize::from(at.0)]
    }

    fn node_mut(&mut self, at: NodeIndex) -> &mut Node<C> {
        &mut self.nodes[usize::from(at.0)]
    }

    /// The process that takes a turn right now.
    fn process(&mut self, at: NodeIndex) -> &mut Process<C> {
        self.node_mut(at).process.as_mut().expect("only a running process has effects")
    }
}
