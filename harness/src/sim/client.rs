//! One simulated client: the loop of `run/clients.rs` as a state machine, with the same waits, the same binding and the same outcomes.

use std::collections::BTreeSet;
use std::sync::Arc;

use squall_workloads::{ErrorNote, Generator, Operation, Outcome, Step};

use crate::plan::Bind;
use crate::run::clients::{BackOff, Seat, settle};

/// Its open operation.
#[derive(Debug)]
pub(super) struct Open {
    pub(super) operation: Operation,
    /// The node it was sent to, by place.
    pub(super) node: usize,
    /// The client's number for it.
    pub(super) request: u64,
}

/// What a client does next.
#[derive(Debug)]
pub(super) enum Next {
    /// It asks.
    Ask(Operation),
    /// It waits until this moment of the load, in ns.
    Wait(u64),
    /// It is done.
    Done,
}

/// A client between its generator and the cluster.
pub(super) struct Client {
    generator: Box<dyn Generator>,
    bind: Bind,
    nodes: usize,
    /// The node it talks to, by place.
    pub(super) node: usize,
    /// The last operation did not succeed: with any binding but to a node, go elsewhere.
    failed: bool,
    pub(super) process: u64,
    process_step: u64,
    pub(super) open: Option<Open>,
    requests: u64,
    last: Option<Outcome>,
    back_off: BackOff,
    pub(super) is_done: bool,
    /// Keys that were, or may have been, written.
    pub(super) written: BTreeSet<Arc<str>>,
    /// The key it works on, or worked on last.
    pub(super) key: Option<Arc<str>>,
}

impl Client {
    /// A client at its seat that begins with the node at place `node`.
    pub(super) fn new(generator: Box<dyn Generator>, bind: Bind, (node, nodes): (usize, usize), seat: Seat, seed: u64) -> Client {
        Client {
            generator,
            bind,
            nodes,
            node,
            failed: bind == Bind::Leader,
            process: u64::from(seat.number),
            process_step: u64::from(seat.of),
            open: None,
            requests: 0,
            last: None,
            back_off: BackOff::new(seed, seat.number),
            is_done: false,
            written: BTreeSet::new(),
            key: None,
        }
    }

    /// Asks the generator. `now_ns` is the time since the load began.
    pub(super) fn next(&mut self, now_ns: u64) -> Next {
        match self.generator.next(now_ns, self.last.take().as_ref()) {
            Step::Done => Next::Done,
            Step::WaitUntil(due_ns) => Next::Wait(due_ns),
            Step::Invoke(operation) => Next::Ask(operation),
        }
    }

    /// Chooses the node for the next operation; `leader` is the place of the node that takes itself for one.
    pub(super) fn choose_node(&mut self, leader: impl FnOnce() -> Option<usize>) {
        if !self.failed || self.bind == Bind::Node {
            return;
        }
        let leader = if self.bind == Bind::Leader { leader() } else { None };
        self.node = leader.unwrap_or((self.node + 1) % self.nodes);
        self.failed = false;
    }

    /// Opens an operation at the chosen node; returns its number.
    pub(super) fn begin(&mut self, operation: Operation) -> u64 {
        self.requests += 1;
        self.key = Some(Arc::clone(&operation.key));
        self.open = Some(Open {
            operation,
            node: self.node,
            request: self.requests,
        });
        self.requests
    }

    /// Whether this operation is still open.
    pub(super) fn waits_for(&self, request: u64) -> bool {
        self.open.as_ref().is_some_and(|open| open.request == request)
    }

    /// Ends the open operation: how it is recorded, under which process, and how long to wait, in ns. `was_reached` is false if its node
    /// could not be asked.
    pub(super) fn end(&mut self, outcome: Outcome, was_reached: bool) -> Option<(Open, Outcome, u64, u64)> {
        let open = self.open.take()?;
        let process = self.process;
        let outcome = settle(&open.operation, outcome);
        let is_ok = matches!(outcome, Outcome::Ok(_));
        self.failed |= !is_ok;
        if matches!(outcome, Outcome::Unknown(_)) {
            self.process += self.process_step;
        }
        if !matches!(outcome, Outcome::Failed(_)) && !open.operation.f.changes_nothing() && !self.written.contains(&open.operation.key) {
            self.written.insert(Arc::clone(&open.operation.key));
        }
        self.last = Some(outcome.clone());
        self.back_off.count(was_reached);
        let pause_ns = self
            .back_off
            .pause()
            .map_or(0, |pause| u64::try_from(pause.as_nanos()).unwrap_or(u64::MAX));
        Some((open, outcome, process, pause_ns))
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
