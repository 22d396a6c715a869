//! The loop that drives one client: asks its generator, prepares, records, performs, records.
//!
//! An operation ends in one of three ways and is recorded so (ARCHITECTURE.md, "The history"). What could not be prepared certainly did
//! not happen. A read without a reply did not happen either, since a read changes nothing: declared unknown, it would only retire a process
//! for no gain. A write without a reply may have happened, then or later; its process ends and the client goes on under a new
//! number.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use squall_workloads::{Attempts, Client, ErrorNote, Generator, Next, Operation, Outcome, Retry, Stamp, Step};
use tokio::sync::watch;
use tokio::time::timeout;

pub use super::back_off::BackOff;
use crate::record::{Pen, RecorderGone};

/// Deadlines of one operation after which it is not tried again.
pub(crate) const PATIENCE_DEADLINES: u64 = 3;

/// Where a client stands among all that issue operations in a run, final readers included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seat {
    /// Its number, below `of`; also its first process.
    pub number: u32,
    /// How many there are in all; the distance from one process of a client to its next, so that none is ever used twice (Jepsen's rule).
    pub of: u32,
}

/// What all clients of a run have in common.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// How long preparing and performing an operation may each take.
    pub operation_timeout: Duration,
    /// Decides the pauses after misses and before asking again.
    pub seed: u64,
    /// What is done about an operation that did not succeed.
    pub retry: Retry,
}

/// What one client did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClientReport {
    /// Operations that happened.
    pub ok: u64,
    /// Operations that certainly did not happen.
    pub failed: u64,
    /// Operations that may have happened.
    pub unknown: u64,
    /// Those of `failed` whose node could not be asked.
    pub unreachable: u64,
    /// Connections made anew after one was lost.
    pub reconnects: u64,
    /// Operations that happened after they had been asked more than once.
    pub succeeded_after_retry: u64,
    /// Keys that were, or may have been, written. Each needs a final read.
    pub written: BTreeSet<Arc<str>>,
}

impl ClientReport {
    /// Operations in all.
    pub fn operations(&self) -> u64 {
        self.ok + self.failed + self.unknown
    }

    /// Adds what another client did.
    pub fn add(&mut self, other: ClientReport) {
        self.ok += other.ok;
        self.failed += other.failed;
        self.unknown += other.unknown;
        self.unreachable += other.unreachable;
        self.reconnects += other.reconnects;
        self.succeeded_after_retry += other.succeeded_after_retry;
        self.written.extend(other.written);
    }
}

/// One client with everything it needs to have its operations recorded.
pub struct Driver {
    client: Box<dyn Client>,
    pen: Pen,
    process: u64,
    next_process_after: u64,
    operation_timeout: Duration,
    retry: Retry,
    /// The idempotency key last used.
    stamp: Stamp,
    /// The node it last talked to, shared by the lines that name it.
    node: Arc<str>,
    /// Whether the connection was lost since it was last used.
    lost: bool,
    back_off: BackOff,
    report: ClientReport,
}

impl Driver {
    /// A client at its seat.
    pub fn new(client: Box<dyn Client>, pen: Pen, seat: Seat, settings: Settings) -> Driver {
        assert!(seat.number < seat.of, "seat {} of {}", seat.number, seat.of);
        let node = Arc::from(client.node());
        Driver {
            client,
            pen,
            process: u64::from(seat.number),
            next_process_after: u64::from(seat.of),
            operation_timeout: settings.operation_timeout,
            retry: settings.retry,
            stamp: Stamp(0),
            node,
            lost: false,
            back_off: BackOff::new(settings.seed, seat.number),
            report: ClientReport::default(),
        }
    }

    /// Does one operation and records it. Takes at most two deadlines for each attempt and then returns.
    ///
    /// # Errors
    /// If nothing is recorded any more; the operation was not sent.
    pub async fn attempt(&mut self, operation: &Operation) -> Result<Outcome, RecorderGone> {
        let prepared = self.prepare(operation).await;
        self.carry_out(operation, prepared).await
    }

    /// What the client did so far.
    pub fn report(&self) -> &ClientReport {
        &self.report
    }

    /// Prepares the first attempt at an operation.
    async fn prepare(&mut self, operation: &Operation) -> Result<(), ErrorNote> {
        self.stamp = Stamp(self.stamp.0 + 1);
        self.prepare_attempt(operation).await
    }

    async fn prepare_attempt(&mut self, operation: &Operation) -> Result<(), ErrorNote> {
        let limit = self.operation_timeout;
        let prepared = timeout(limit, self.client.prepare(operation, self.stamp, limit)).await;
        prepared.unwrap_or_else(|_| {
            Err(ErrorNote::new(
                "unreachable",
                format!("no connection within {} ms", limit.as_millis()),
            ))
        })
    }

    async fn carry_out(&mut self, operation: &Operation, prepared: Result<(), ErrorNote>) -> Result<Outcome, RecorderGone> {
        self.count_connection(prepared.is_ok());
        if self.client.node() != &*self.node {
            self.node = Arc::from(self.client.node());
        }
        let pen = self.pen.clone();
        let slot = pen.reserve().await?;
        let open = slot.invoke(self.process, operation, &self.node);
        let mut attempts = Attempts::new(self.retry, self.patience_ns());
        let (mut outcome, mut returned_ns) = self.perform(operation, prepared).await;
        let outcome = loop {
            match attempts.after(outcome, returned_ns.saturating_sub(open.invoked_ns())) {
                Next::End(outcome) => break outcome,
                Next::Again { pause_ns_max } => {
                    let pause_ns = self.back_off.jitter_ns(pause_ns_max);
                    tokio::time::sleep(Duration::from_nanos(pause_ns)).await;
                    if self.retry == Retry::Blind {
                        self.stamp = Stamp(self.stamp.0 + 1);
                    }
                    let prepared = self.prepare_attempt(operation).await;
                    self.count_connection(prepared.is_ok());
                    (outcome, returned_ns) = self.perform(operation, prepared).await;
                }
            }
        };
        open.complete(returned_ns, outcome.clone());
        self.report.succeeded_after_retry += u64::from(matches!(outcome, Outcome::Ok(_)) && attempts.made() > 1);
        self.count_outcome(operation, &outcome);
        Ok(outcome)
    }

    /// One attempt, and when its reply was read.
    async fn perform(&mut self, operation: &Operation, prepared: Result<(), ErrorNote>) -> (Outcome, u64) {
        let limit = self.operation_timeout;
        let outcome = match prepared {
            Ok(()) => timeout(limit, self.client.perform(operation, limit)).await,
            Err(note) => Ok(Outcome::Failed(note)),
        };
        let returned_ns = self.pen.clock().now_ns();
        let outcome =
            outcome.unwrap_or_else(|_| Outcome::Unknown(ErrorNote::new("timeout", format!("no reply within {} ms", limit.as_millis()))));
        if matches!(outcome, Outcome::Unknown(_)) {
            self.client.abandon();
            self.lost = true;
        }
        (settle(operation, outcome), returned_ns)
    }

    /// How long an operation is tried: long enough for a node that is gone to be given up and its successor to be found.
    fn patience_ns(&self) -> u64 {
        u64::try_from(self.operation_timeout.as_nanos())
            .unwrap_or(u64::MAX)
            .saturating_mul(PATIENCE_DEADLINES)
    }

    fn count_connection(&mut self, prepared: bool) {
        self.back_off.count(prepared);
        if prepared {
            self.report.reconnects += u64::from(self.lost);
            self.lost = false;
        } else {
            self.client.abandon();
            self.report.unreachable += 1;
            self.lost = true;
        }
    }

    fn count_outcome(&mut self, operation: &Operation, outcome: &Outcome) {
        match outcome {
            Outcome::Ok(_) => self.report.ok += 1,
            Outcome::Failed(note) => {
                tracing::debug!(%operation, %note, "an operation failed");
                self.report.failed += 1;
                return;
            }
            Outcome::Unknown(note) => {
                tracing::debug!(%operation, %note, "an operation has no known outcome");
                self.report.unknown += 1;
                self.process += self.next_process_after;
            }
        }
        if !operation.f.changes_nothing() && !self.report.written.contains(&*operation.key) {
            self.report.written.insert(Arc::clone(&operation.key));
        }
    }
}

/// Drives one client until its generator is done, `stop` turns true (or its sender is gone), or nothing is recorded any more. An operation in flight
/// keeps its deadline; anything else ends at once. `load_began_ns` is the moment, on the run's clock, from which the generator counts.
pub async fn drive_client(
    mut driver: Driver,
    mut generator: Box<dyn Generator>,
    load_began_ns: u64,
    mut stop: watch::Receiver<bool>,
) -> ClientReport {
    let mut last = None;
    while !is_stopped(&stop) {
        let now_ns = driver.pen.clock().now_ns().saturating_sub(load_began_ns);
        let pause = match generator.next(now_ns, last.take().as_ref()) {
            Step::Done => break,
            Step::WaitUntil(due_ns) => Some(Duration::from_nanos(due_ns.saturating_sub(now_ns))),
            Step::Invoke(operation) => {
                let prepared = tokio::select! {
                    biased;
                    prepared = driver.prepare(&operation) => prepared,
                    () = stopped(&mut stop) => break,
                };
                match driver.carry_out(&operation, prepared).await {
                    Ok(outcome) => last = Some(outcome),
                    Err(RecorderGone) => break,
                }
                driver.back_off.pause()
            }
        };
        if let Some(pause) = pause {
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = stopped(&mut stop) => break,
            }
        }
    }
    driver.client.abandon();
    driver.report
}

/// Whether the load is to end. With its sender gone nobody could ever say so.
fn is_stopped(stop: &watch::Receiver<bool>) -> bool {
    *stop.borrow() || stop.has_changed().is_err()
}

/// Returns when the load is to end.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}

/// A read that got no reply changed nothing.
pub fn settle(operation: &Operation, outcome: Outcome) -> Outcome {
    match outcome {
        Outcome::Unknown(note) if operation.f.changes_nothing() => Outcome::Failed(note),
        outcome => outcome,
    }
}

#[cfg(test)]
mod tests;
