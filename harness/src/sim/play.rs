//! One simulated run from its start to its end: who asks for which timer, and what the phases are. The counterpart of `run/mod.rs`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use squall_checker::history::History;
use squall_checker::history::mark::{EndReason, Finding, Header};
use squall_node::core::ClientRef;
use squall_node::members::{NodeIndex, Text};
use squall_node::message::{Outcome as Answer, RequestBody, RequestHeader};
use squall_node::sim::{Cluster, Counts, Digest, Notice, TraceLog, World};
use squall_workloads::{Outcome, Retry, Step, final_reads};

use super::book::Book;
use super::client::{self, After, Client, FinalReads, Setup};
use super::members::{self, Asking};
use super::nemesis::Nemesis;
use super::store::Store;
use crate::plan::{Bind, Plan, node_names};
use crate::run::clients::{PATIENCE_DEADLINES, Seat};

pub(super) const NS_PER_MS: u64 = 1_000_000;

/// How long a reset connection takes to be noticed by its client, in ns.
const RESET_NS: u64 = 200_000;

/// What happened.
pub(super) struct Played {
    pub(super) history: History,
    pub(super) logs: Vec<TraceLog>,
    pub(super) trace_hash: u64,
    pub(super) counts: Counts,
}

/// Who asked for a timer.
#[derive(Debug, Clone, Copy)]
pub(super) enum Timer {
    /// A client asks its generator again.
    Turn(usize),
    /// A client waits no longer for this answer.
    Deadline { client: usize, request: u64 },
    /// A client's connection was reset under this request.
    Lost { client: usize, request: u64 },
    /// A client tries its open operation again.
    Again(usize),
    /// The injection at this place of the schedule is due.
    Inject(usize),
    /// It is over.
    Heal(usize),
    /// The nemesis asks the system again.
    Ask(u64),
    /// The nemesis waits no longer for this answer.
    Unheard { question: u64, request: u64 },
    /// The warm-up is over.
    Storm,
    /// The storm is over, by the plan.
    Calm,
    /// The load is over.
    Stop,
}

/// Where a run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Warm-up or storm.
    Load,
    /// The storm's time is over; a fault may still be in force.
    Calm,
    Recovery,
    /// No client begins anything any more.
    Stopping,
    Final,
    Over,
}

/// A run under way.
pub(super) struct Play<'a, S: Store> {
    pub(super) plan: &'a Plan,
    pub(super) store: &'a S,
    pub(super) cluster: Cluster<S::Core>,
    pub(super) book: Book,
    /// `n1`, `n2`, …, as the plan counts them.
    pub(super) names: Vec<String>,
    /// The same nodes, as the cluster counts them: by name, so that `n10` comes before `n2`.
    places: Vec<NodeIndex>,
    pub(super) clients: Vec<Client>,
    /// By which nodes know them.
    client_names: Vec<Text>,
    pub(super) nemesis: Nemesis,
    pub(super) asking: Asking,
    timers: Vec<Timer>,
    /// Clients that are not done.
    n_busy: usize,
    began_ns: u64,
    phase: Phase,
}

/// Plays a valid plan.
pub(super) fn play<S: Store>(plan: &Plan, store: &S, world: World) -> Result<Played, String> {
    if plan.spares > 0 {
        return Err(format!(
            "the plan has {} spare nodes, and a simulated cluster has none",
            plan.spares
        ));
    }
    let system = plan.system.open().map_err(|error| format!("{error:#}"))?;
    let names = node_names(plan.system.nodes());
    let place = |name: &String| store.members().index(name).expect("both name the same nodes");
    let mut play = Play {
        plan,
        store,
        places: names.iter().map(place).collect(),
        cluster: Cluster::new(store.members(), world, plan.seed, store.maker(plan.seed)),
        book: Book::new(header(plan, &system.describe())),
        names,
        clients: load(plan)?,
        client_names: (0..plan.workload.clients()).map(|number| format!("c{number}").into()).collect(),
        nemesis: Nemesis::default(),
        asking: Asking::default(),
        timers: Vec::new(),
        n_busy: 0,
        began_ns: 0,
        phase: Phase::Load,
    };
    play.begin();
    while play.phase != Phase::Over {
        match play.cluster.next_notice() {
            Some(notice) => play.take(notice),
            None => return Err("the simulated world stood still before the run was over".into()),
        }
    }
    Ok(play.end())
}

fn header(plan: &Plan, system: &str) -> Header {
    Header {
        squall_history: 1,
        run: format!("simulated-{}-{}", plan.system.name(), plan.seed),
        seed: plan.seed,
        clock: Default::default(),
        requested: plan.requested.clone(),
        system: format!("{system}, {} nodes", plan.system.nodes()),
        nodes: node_names(plan.system.nodes()),
        spares: plan.spare_names(),
        workload: plan.workload.name().into(),
        clients: plan.workload.clients(),
        traces: true,
        extra: plan.header_extra(seats(plan)),
    }
}

/// As in a real run: clients first, then one final reader per node.
fn seats(plan: &Plan) -> u32 {
    plan.workload.clients() + plan.system.nodes()
}

fn load(plan: &Plan) -> Result<Vec<Client>, String> {
    let workload = plan.workload.open()?;
    let client = |number: u32| {
        let setup = Setup {
            bind: plan.bind,
            node: (number % plan.system.nodes()) as usize,
            seat: Seat { number, of: seats(plan) },
            seed: plan.seed,
            retry: plan.workload.options().retry,
            patience_ns: plan.timing.operation_timeout_ms * NS_PER_MS * PATIENCE_DEADLINES,
        };
        Client::new(workload.generator(number), setup)
    };
    Ok((0..plan.workload.clients()).map(client).collect())
}

impl<S: Store> Play<'_, S> {
    pub(super) fn call_at(&mut self, at_ns: u64, timer: Timer) {
        self.timers.push(timer);
        self.cluster.call_at(at_ns, self.timers.len() as u64 - 1);
    }

    pub(super) fn find(&mut self, finding: &Finding) {
        self.book.finding(self.cluster.now_ns(), finding);
    }

    fn name(&self, at: NodeIndex) -> String {
        self.store.members().name(at).to_string()
    }

    fn enter(&mut self, name: &str) {
        self.find(&Finding::Phase { name: name.into() });
    }

    fn begin(&mut self) {
        let timing = self.plan.timing;
        for at in self.cluster.nodes() {
            self.cluster.start(at);
            self.is_ready(at, "start");
        }
        self.enter("warm-up");
        self.began_ns = self.cluster.now_ns();
        let at_ms = |ms: u64| self.began_ns + ms * NS_PER_MS;
        let phases = [
            (at_ms(timing.warm_up_ms), Timer::Storm),
            (at_ms(timing.warm_up_ms + timing.storm_ms), Timer::Calm),
        ];
        let injections = self.plan.schedule.iter().enumerate();
        let injections: Vec<_> = injections
            .map(|(place, injection)| (at_ms(injection.at_ms), Timer::Inject(place)))
            .collect();
        for (at_ns, timer) in phases.into_iter().chain(injections) {
            self.call_at(at_ns, timer);
        }
        self.n_busy = self.clients.len();
        (0..self.clients.len()).for_each(|client| self.turn(client));
    }

    fn take(&mut self, notice: Notice) {
        match notice {
            Notice::Reply { client, outcome } if client.connection == members::CONNECTION => {
                self.system_answered(client.request, &outcome);
            }
            Notice::Reply { client, outcome } => {
                let place = usize::try_from(client.connection).expect("clients are numbered by place");
                if self.clients[place].waits_for(client.request) {
                    self.answered(place, outcome);
                }
            }
            Notice::Timer(token) => {
                let place = usize::try_from(token).expect("timers are numbered by place");
                self.ring(self.timers[place]);
            }
            Notice::Exited { node, reason } => self.exited(node, &reason),
        }
    }

    fn ring(&mut self, timer: Timer) {
        match timer {
            Timer::Turn(client) => self.turn(client),
            Timer::Deadline { client, request } if self.clients[client].waits_for(request) => {
                self.unanswered(client, client::timed_out(self.plan.timing.operation_timeout_ms));
            }
            Timer::Lost { client, request } if self.clients[client].waits_for(request) => {
                self.unanswered(client, client::connection_lost());
            }
            Timer::Deadline { .. } | Timer::Lost { .. } => {}
            Timer::Again(client) => self.attempt(client),
            Timer::Inject(place) => self.inject(place),
            Timer::Heal(place) => {
                self.heal(place);
                self.calm_down();
            }
            Timer::Ask(question) => self.ask_again(question),
            Timer::Unheard { question, request } => self.system_unheard(question, request),
            Timer::Storm => self.enter("storm"),
            Timer::Calm => {
                self.phase = Phase::Calm;
                self.calm_down();
            }
            Timer::Stop => {
                self.phase = Phase::Stopping;
                // Those that wait for their time have none any more.
                let idle: Vec<usize> = (0..self.clients.len())
                    .filter(|client| self.clients[*client].open.is_none())
                    .collect();
                idle.into_iter().for_each(|client| self.is_done(client));
            }
        }
    }

    /// One step of a client that waits for nothing.
    fn turn(&mut self, place: usize) {
        if self.clients[place].is_done || self.clients[place].open.is_some() {
            return;
        }
        if self.phase == Phase::Stopping {
            return self.is_done(place);
        }
        match self.clients[place].next(self.cluster.now_ns() - self.began_ns) {
            Step::Done => self.is_done(place),
            Step::WaitUntil(due_ns) => self.call_at(self.began_ns + due_ns, Timer::Turn(place)),
            Step::Invoke(operation) => {
                self.clients[place].begin(operation);
                self.attempt(place);
            }
        }
    }

    /// Makes an attempt at a client's open operation, or asks for the session that it needs.
    fn attempt(&mut self, place: usize) {
        let leader = || self.places.iter().position(|at| is_leader(self.store, &self.cluster, *at));
        let node = self.clients[place].choose_node(&self.names, leader);
        let Some(open) = &self.clients[place].open else { return };
        let needs_session = self.store.has_sessions() && !open.operation.f.changes_nothing();
        if !self.cluster.is_up(self.places[node]) {
            self.conclude(place, node, client::refused(), false);
        } else if needs_session && self.clients[place].lacks_session() {
            self.send(place, node, RequestBody::Session {}, None, true);
        } else {
            self.ask(place, node, needs_session);
        }
    }

    /// Sends a client's open operation.
    fn ask(&mut self, place: usize, node: usize, in_session: bool) {
        let session = if in_session {
            self.clients[place].session_for_change()
        } else {
            Ok(None)
        };
        match session {
            Err(outcome) => self.conclude(place, node, outcome, false),
            Ok(session) => {
                self.invoke(place, node);
                let Some(open) = &self.clients[place].open else { return };
                let body = self.store.request(&open.operation);
                self.send(place, node, body, session, false);
            }
        }
    }

    fn send(&mut self, place: usize, node: usize, body: RequestBody, session: Option<u64>, opens_session: bool) {
        let request = self.clients[place].number_request(node, opens_session);
        let timeout_ms = self.plan.timing.operation_timeout_ms;
        let header = RequestHeader {
            id: request,
            client: Some(self.client_names[place].clone()),
            seq: Some(if opens_session { 0 } else { self.clients[place].stamp() }),
            session,
            // As on the wire: the node gives up a tenth earlier than its client.
            deadline_ms: Some(if opens_session { timeout_ms } else { timeout_ms * 9 / 10 }),
            lamport: None,
        };
        let reference = ClientRef {
            connection: place as u64,
            request,
        };
        let now_ns = self.cluster.now_ns();
        // Whether it is up was looked at in this very moment.
        self.cluster.request(self.places[node], reference, header, body);
        self.call_at(now_ns + timeout_ms * NS_PER_MS, Timer::Deadline { client: place, request });
    }

    /// Writes the invocation down, unless an earlier attempt did.
    fn invoke(&mut self, place: usize, node: usize) {
        let now_ns = self.cluster.now_ns();
        if let Some((process, operation)) = self.clients[place].invoke(now_ns, node) {
            self.book.invoke(now_ns, process, operation, &self.names[node]);
        }
    }

    /// A client's request is answered.
    fn answered(&mut self, place: usize, answer: Answer) {
        let Some(open) = &self.clients[place].open else { return };
        let node = open.node;
        match (open.opens_session, answer) {
            (true, Answer::Session { id }) => {
                self.clients[place].take_session(id);
                self.ask(place, node, true);
            }
            (true, answer) => {
                let outcome = match self.store.outcome(&open.operation, answer) {
                    Outcome::Failed(note) | Outcome::Unknown(note) => Outcome::Failed(note),
                    Outcome::Ok(_) => client::refused(),
                };
                self.conclude(place, node, outcome, false);
            }
            (false, answer) => {
                let outcome = self.store.outcome(&open.operation, answer);
                self.conclude(place, node, outcome, true);
            }
        }
    }

    /// A client's request will not be answered any more.
    fn unanswered(&mut self, place: usize, outcome: Outcome) {
        let Some(open) = &self.clients[place].open else { return };
        let node = open.node;
        match (open.opens_session, outcome) {
            // Of the operation itself, nothing was sent.
            (true, Outcome::Unknown(note)) => self.conclude(place, node, Outcome::Failed(note), false),
            (_, outcome) => self.conclude(place, node, outcome, true),
        }
    }

    /// Ends an attempt: it is made again, or the operation ends and its client goes on, after a pause if its node was not there.
    fn conclude(&mut self, place: usize, node: usize, outcome: Outcome, was_prepared: bool) {
        self.invoke(place, node);
        let now_ns = self.cluster.now_ns();
        match self.clients[place].after(outcome, was_prepared, now_ns) {
            None => {}
            Some(After::Again(pause_ns)) => self.call_at(now_ns + pause_ns, Timer::Again(place)),
            Some(After::Ended(ended)) => {
                self.book
                    .complete(now_ns, ended.process, &ended.operation, &self.names[ended.node], &ended.outcome);
                // Always by a timer: a node that refuses must not be asked again and again within one moment.
                self.call_at(now_ns + ended.pause_ns, Timer::Turn(place));
            }
        }
    }

    fn is_done(&mut self, place: usize) {
        if std::mem::replace(&mut self.clients[place].is_done, true) {
            return;
        }
        self.n_busy -= 1;
        if self.n_busy == 0 {
            match self.phase {
                Phase::Final => self.phase = Phase::Over,
                _ => self.read_everything(),
            }
        }
    }

    /// All connections to a node are reset.
    pub(super) fn reset_connections(&mut self, node: NodeIndex) {
        let at_ns = self.cluster.now_ns() + RESET_NS;
        for client in 0..self.clients.len() {
            let open = self.clients[client].open.as_ref();
            let open = open.filter(|open| open.request > 0 && self.places[open.node] == node);
            if let Some(request) = open.map(|open| open.request) {
                self.call_at(at_ns, Timer::Lost { client, request });
            }
        }
    }

    fn exited(&mut self, node: NodeIndex, reason: &str) {
        self.find(&Finding::Exit {
            node: self.name(node),
            expected: false,
            status: "exit by itself".into(),
            log_tail: vec![reason.to_owned()],
        });
        self.reset_connections(node);
    }

    /// A node is ready if it runs: a simulated one serves from its first step.
    fn is_ready(&mut self, at: NodeIndex, when: &str) {
        let ok = self.cluster.is_up(at) && !self.cluster.is_paused(at);
        self.find(&Finding::Ready {
            node: self.name(at),
            at: when.into(),
            ok,
            after_ms: 0,
            reason: (!ok).then(|| "it does not run".into()),
            log_tail: Vec::new(),
        });
    }

    /// Begins the recovery once the storm's time is over and nothing is in force.
    pub(super) fn calm_down(&mut self) {
        if self.phase != Phase::Calm || self.nemesis.is_at_work() || self.asking.is_under_way() {
            return;
        }
        self.phase = Phase::Recovery;
        self.enter("recovery");
        let live: Vec<NodeIndex> = self.cluster.nodes().filter(|at| self.cluster.is_up(*at)).collect();
        live.into_iter().for_each(|at| self.is_ready(at, "recovery"));
        let timing = self.plan.timing;
        let planned_ns = self.began_ns + timing.total_ms() * NS_PER_MS;
        let least_ns = self.cluster.now_ns() + timing.recovery_ms / 2 * NS_PER_MS;
        self.call_at(planned_ns.max(least_ns), Timer::Stop);
    }

    /// The last phase: one reader per live node, all keys spread over them.
    fn read_everything(&mut self) {
        self.phase = Phase::Final;
        self.enter("final");
        let keys: BTreeSet<Arc<str>> = self
            .clients
            .iter_mut()
            .flat_map(|client| std::mem::take(&mut client.written))
            .collect();
        let is_live = |place: &usize| self.cluster.is_up(self.places[*place]);
        let live: Vec<usize> = (0..self.names.len()).filter(is_live).collect();
        let names: Vec<String> = live.iter().map(|place| self.names[*place].clone()).collect();
        let reads = final_reads(self.plan.workload.kind().read(), keys, &names);
        let deadline_ns = self.cluster.now_ns() - self.began_ns + self.plan.timing.recovery_bound_ms * NS_PER_MS;
        let first = self.clients.len();
        for (number, (node, name)) in (self.plan.workload.clients()..).zip(live.into_iter().zip(&names)) {
            let operations = reads
                .iter()
                .filter(|read| read.node == *name)
                .map(|read| read.operation.clone())
                .collect();
            let setup = Setup {
                bind: Bind::Node,
                node,
                seat: Seat {
                    number,
                    of: seats(self.plan),
                },
                seed: 0,
                retry: Retry::None,
                patience_ns: 0,
            };
            self.clients
                .push(Client::new(Box::new(FinalReads::new(operations, deadline_ns)), setup));
            self.client_names.push(format!("final-{name}").into());
        }
        self.n_busy = self.clients.len() - first;
        if self.n_busy == 0 {
            self.phase = Phase::Over;
        }
        (first..self.clients.len()).for_each(|client| self.turn(client));
    }

    fn end(mut self) -> Played {
        let succeeded = self.clients.iter().map(|client| client.succeeded_after_retry).sum();
        self.find(&Finding::Counters {
            node: "clients".into(),
            counters: BTreeMap::from([("retried_ok".into(), succeeded)]),
        });
        self.find(&Finding::End {
            reason: EndReason::Complete,
            detail: None,
        });
        let mut digest: Digest = self.cluster.digest();
        let (history, outcomes) = self.book.close();
        digest.take(&outcomes);
        let logs = self.cluster.nodes().map(|at| self.cluster.trace(at).clone()).collect();
        Played {
            history,
            logs,
            trace_hash: digest.value(),
            counts: self.cluster.counts(),
        }
    }
}

/// Whether a node that answers takes itself for the leader.
pub(super) fn is_leader<S: Store>(store: &S, cluster: &Cluster<S::Core>, at: NodeIndex) -> bool {
    !cluster.is_paused(at) && cluster.core(at).is_some_and(|core| store.is_leader(core))
}
