//! What is written down of a simulated run: the history, as values.

use squall_checker::history::History;
use squall_checker::history::build::HistoryBuilder;
use squall_checker::history::mark::{FaultStage, Finding, Header};
use squall_node::sim::Digest;
use squall_workloads::{Operation, Outcome, Seen};

use crate::record::line::{json, mark, name_and_value, operation_line};

/// A history that is being written.
#[derive(Debug)]
pub(super) struct Book {
    builder: HistoryBuilder,
    index: u64,
    digest: Digest,
}

impl Book {
    pub(super) fn new(header: Header) -> Book {
        Book {
            builder: HistoryBuilder::new(header),
            index: 0,
            digest: Digest::default(),
        }
    }

    fn next_index(&mut self) -> u64 {
        self.index += 1;
        self.index - 1
    }

    /// An operation begins.
    pub(super) fn invoke(&mut self, time_ns: u64, process: u64, operation: &Operation, node: &str) {
        let index = self.next_index();
        self.builder
            .operation(&operation_line(index, time_ns, process, operation, node, None));
    }

    /// An operation ended.
    pub(super) fn complete(&mut self, time_ns: u64, process: u64, operation: &Operation, node: &str, outcome: &Outcome) {
        let index = self.next_index();
        let seen = match outcome {
            Outcome::Ok(Seen::Nothing) => (0, 0),
            Outcome::Ok(Seen::Number(number)) => (1, *number),
            Outcome::Ok(Seen::Foreign(_)) => (2, 0),
            Outcome::Ok(Seen::List(items)) => (3, i64::try_from(items.len()).unwrap_or(i64::MAX)),
            Outcome::Failed(_) => (4, 0),
            Outcome::Unknown(_) => (5, 0),
        };
        self.digest.take(&(time_ns, process, seen));
        self.builder
            .operation(&operation_line(index, time_ns, process, operation, node, Some(outcome)));
    }

    /// The harness found something.
    pub(super) fn finding(&mut self, time_ns: u64, finding: &Finding) {
        let index = self.next_index();
        let (f, value) = name_and_value(finding);
        self.builder.event(mark(index, time_ns, "harness", f, value));
    }

    /// A fault entered a stage.
    pub(super) fn fault(&mut self, time_ns: u64, kind: &str, stage: &FaultStage) {
        let index = self.next_index();
        self.builder.event(mark(index, time_ns, "nemesis", kind.to_owned(), json(stage)));
    }

    /// The history, and all outcomes as one number.
    pub(super) fn close(self) -> (History, u64) {
        (self.builder.finish(), self.digest.value())
    }
}
