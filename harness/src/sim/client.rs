//! One simulated client: the loop of `run/clients.rs`, the binding of `run/binding.rs` and the sessions of `systems/raft.rs` as one state
//! machine, with the same waits and the same outcomes.

use std::collections::BTreeSet;
use std::sync::Arc;

use squall_workloads::{Attempts, ErrorNote, Generator, MISMATCH, Next, Operation, Outcome, Retry, Stamp, Step};

use crate::plan::Bind;
use crate::run::clients::{BackOff, Seat, settle};
use crate::systems::raft::SESSION_EXPIRED;

/// Its open operation.
#[derive(Debug)]
pub(super) struct Open {
    pub(super) operation: Operation,
    /// The node of the present attempt, by place.
    pub(super) node: usize,
    /// The client's number for the request on its way; another one for each attempt.
    pub(super) request: u64,
    /// Whether that request is for a session, which the operation needs first.
    pub(super) opens_session: bool,
    /// When its invocation was written down, in ns, and at which node, by place.
    pub(super) invoked: Option<(u64, usize)>,
    attempts: Attempts,
}

/// What follows from the end of an attempt.
#[derive(Debug)]
pub(super) enum After {
    /// It is tried again after so long, in ns.
    Again(u64),
    /// The operation ended.
    Ended(Ended),
}

/// An operation that ended.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) operation: Operation,
    /// The node it was invoked at, by place.
    pub(super) node: usize,
    pub(super) process: u64,
    pub(super) outcome: Outcome,
    /// How long the client waits now, in ns.
    pub(super) pause_ns: u64,
}

/// How a client is set up.
#[derive(Debug, Clone, Copy)]
pub(super) struct Setup {
    pub(super) bind: Bind,
    /// The node it begins with, by place.
    pub(super) node: usize,
    pub(super) seat: Seat,
    pub(super) seed: u64,
    pub(super) retry: Retry,
    /// How long an operation is tried, in ns.
    pub(super) patience_ns: u64,
}

/// A client between its generator and the cluster.
pub(super) struct Client {
    generator: Box<dyn Generator>,
    setup: Setup,
    /// The node it talks to, by place.
    node: usize,
    /// The last attempt did not succeed: with any binding but to a node, go elsewhere.
    failed: bool,
    /// Where the last refusal pointed.
    pointed_to: Option<String>,
    process: u64,
    pub(super) open: Option<Open>,
    requests: u64,
    stamp: Stamp,
    /// The session of its changes, and the one its last change was first sent in.
    session: Option<u64>,
    last_change: Option<(Stamp, u64)>,
    last: Option<Outcome>,
    back_off: BackOff,
    pub(super) is_done: bool,
    /// Keys that were, or may have been, written.
    pub(super) written: BTreeSet<Arc<str>>,
    /// The key it works on, or worked on last.
    pub(super) key: Option<Arc<str>>,
    /// Operations that happened after they had been asked more than once.
    pub(super) succeeded_after_retry: u64,
}

impl Client {
    /// A client that has done nothing.
    pub(super) fn new(generator: Box<dyn Generator>, setup: Setup) -> Client {
        Client {
            generator,
            node: setup.node,
            failed: setup.bind == Bind::Leader,
            pointed_to: None,
            process: u64::from(setup.seat.number),
            open: None,
            requests: 0,
            stamp: Stamp(0),
            session: None,
            last_change: None,
            last: None,
            back_off: BackOff::new(setup.seed, setup.seat.number),
            is_done: false,
            written: BTreeSet::new(),
            key: None,
            succeeded_after_retry: 0,
            setup,
        }
    }

    /// Asks the generator. `now_ns` is the time since the load began.
    pub(super) fn next(&mut self, now_ns: u64) -> Step {
        self.generator.next(now_ns, self.last.take().as_ref())
    }

    /// Opens an operation; its first attempt is yet to be made.
    pub(super) fn begin(&mut self, operation: Operation) {
        self.stamp = Stamp(self.stamp.0 + 1);
        self.key = Some(Arc::clone(&operation.key));
        self.open = Some(Open {
            operation,
            node: self.node,
            request: 0,
            opens_session: false,
            invoked: None,
            attempts: Attempts::new(self.setup.retry, self.setup.patience_ns),
        });
    }

    /// Chooses the node of the next attempt, by place; `names` are all nodes, and `leader` finds the one that takes itself for it.
    pub(super) fn choose_node(&mut self, names: &[String], leader: impl FnOnce() -> Option<usize>) -> usize {
        if self.failed && self.setup.bind != Bind::Node {
            let pointed_to = self.pointed_to.take();
            let pointed_to = pointed_to.and_then(|node| names.iter().position(|name| *name == node));
            let found = pointed_to.or_else(|| if self.setup.bind == Bind::Leader { leader() } else { None });
            self.node = found.unwrap_or((self.node + 1) % names.len());
            self.failed = false;
        }
        self.node
    }

    /// Numbers the request of the open operation that leaves for `node`.
    pub(super) fn number_request(&mut self, node: usize, opens_session: bool) -> u64 {
        self.requests += 1;
        if let Some(open) = &mut self.open {
            (open.node, open.request, open.opens_session) = (node, self.requests, opens_session);
        }
        self.requests
    }

    /// Whether this request is still open.
    pub(super) fn waits_for(&self, request: u64) -> bool {
        self.open.as_ref().is_some_and(|open| open.request == request)
    }

    /// Whether an attempt at a change needs a session to be opened first.
    pub(super) fn lacks_session(&self) -> bool {
        self.session.is_none()
    }

    /// A session was opened.
    pub(super) fn take_session(&mut self, id: u64) {
        self.session = Some(id);
    }

    /// The session for the present change.
    ///
    /// # Errors
    /// If its first attempt was made in another one, which is gone: asked again, it might be done twice.
    pub(super) fn session_for_change(&mut self) -> Result<Option<u64>, Outcome> {
        let Some(id) = self.session else { return Ok(None) };
        match self.last_change {
            Some((same, of)) if same == self.stamp && of != id => Err(Outcome::Failed(ErrorNote::new(
                "session-lost",
                "the session of the first attempt is gone; asked again in another one, the command might be done twice",
            ))),
            _ => {
                self.last_change = Some((self.stamp, id));
                Ok(Some(id))
            }
        }
    }

    /// The operation's number among the client's.
    pub(super) fn stamp(&self) -> u64 {
        self.stamp.0
    }

    /// Its process, and the operation whose invocation is to be written down, unless it was before.
    pub(super) fn invoke(&mut self, now_ns: u64, node: usize) -> Option<(u64, &Operation)> {
        let open = self.open.as_mut().filter(|open| open.invoked.is_none())?;
        open.invoked = Some((now_ns, node));
        Some((self.process, &open.operation))
    }

    fn stays_through_timeouts(&self) -> bool {
        self.setup.bind == Bind::Follow && self.setup.seat.number % 2 == 1
    }

    /// Takes the outcome of an attempt. `was_prepared` is false if the operation was not even sent.
    pub(super) fn after(&mut self, outcome: Outcome, was_prepared: bool, now_ns: u64) -> Option<After> {
        self.back_off.count(was_prepared);
        self.note_failure(&outcome, was_prepared);
        let open = self.open.as_mut()?;
        let (invoked_ns, node) = open.invoked?;
        open.request = 0;
        let outcome = settle(&open.operation, outcome);
        match open.attempts.after(outcome, now_ns - invoked_ns) {
            Next::Again { pause_ns_max } => {
                if self.setup.retry == Retry::Blind {
                    self.stamp = Stamp(self.stamp.0 + 1);
                }
                Some(After::Again(self.back_off.jitter_ns(pause_ns_max)))
            }
            Next::End(outcome) => Some(After::Ended(self.end(outcome, node)?)),
        }
    }

    fn note_failure(&mut self, outcome: &Outcome, was_prepared: bool) {
        self.failed |= match outcome {
            Outcome::Ok(_) => false,
            // It answered; only what it said was not what was hoped for.
            Outcome::Failed(note) if note.kind == MISMATCH => false,
            Outcome::Failed(note) | Outcome::Unknown(note) => {
                !was_prepared || !self.stays_through_timeouts() || (note.kind != "timeout" && note.kind != "connection-lost")
            }
        };
        match outcome {
            Outcome::Failed(note) => self.pointed_to.clone_from(&note.leader),
            Outcome::Unknown(note) if note.kind == SESSION_EXPIRED => self.session = None,
            _ => {}
        }
    }

    fn end(&mut self, outcome: Outcome, node: usize) -> Option<Ended> {
        let Open { operation, attempts, .. } = self.open.take()?;
        let process = self.process;
        if matches!(outcome, Outcome::Unknown(_)) {
            self.process += u64::from(self.setup.seat.of);
        }
        if !matches!(outcome, Outcome::Failed(_)) && !operation.f.changes_nothing() && !self.written.contains(&operation.key) {
            self.written.insert(Arc::clone(&operation.key));
        }
        self.succeeded_after_retry += u64::from(matches!(outcome, Outcome::Ok(_)) && attempts.made() > 1);
        self.last = Some(outcome.clone());
        let pause_ns = self
            .back_off
            .pause()
            .map_or(0, |pause| u64::try_from(pause.as_nanos()).unwrap_or(u64::MAX));
        Some(Ended {
            operation,
            node,
            process,
            outcome,
            pause_ns,
        })
    }
}

/// A node that is not there.
pub(super) fn refused() -> Outcome {
    Outcome::Failed(ErrorNote::new("unreachable", "connection refused"))
}

/// A node that died under the request.
pub(super) fn connection_lost() -> Outcome {
    Outcome::Unknown(ErrorNote::new("connection-lost", "connection reset by peer"))
}

/// A node that does not answer.
pub(super) fn timed_out(timeout_ms: u64) -> Outcome {
    Outcome::Unknown(ErrorNote::new("timeout", format!("no reply within {timeout_ms} ms")))
}

/// The reads after the storm at one node: each until it succeeds, or until the bound ends.
pub(super) struct FinalReads {
    /// In reverse order.
    operations: Vec<Operation>,
    deadline_ns: u64,
}

/// Pause before a failed final read is tried again, as in `run/final_reads.rs`.
const RETRY_PAUSE_NS: u64 = 20_000_000;

impl FinalReads {
    pub(super) fn new(mut operations: Vec<Operation>, deadline_ns: u64) -> FinalReads {
        operations.reverse();
        FinalReads { operations, deadline_ns }
    }
}

impl Generator for FinalReads {
    fn next(&mut self, now_ns: u64, last: Option<&Outcome>) -> Step {
        match last {
            Some(Outcome::Ok(_)) => {
                self.operations.pop();
            }
            Some(_) if now_ns >= self.deadline_ns => return Step::Done,
            Some(_) => return Step::WaitUntil(now_ns + RETRY_PAUSE_NS),
            // The beginning, or the end of a wait.
            None => {}
        }
        self.operations.last().cloned().map_or(Step::Done, Step::Invoke)
    }
}
