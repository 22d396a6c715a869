//! How long operations took, per kind and phase.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;
use serde::Serialize;
use squall_checker::history::History;
use squall_checker::history::operation::{Operation, Outcome};

use super::Outcomes;

/// Most rows of a kind and a phase that get a histogram of their own: a real run has ten or so, but names in a file can be many, and a
/// histogram of absurd latencies takes 350 kB.
const ROWS_MAX: usize = 200;

/// The name of all kinds and phases beyond [`ROWS_MAX`].
const OTHER: &str = "other";

/// Operations of one kind that began in one phase. Latencies are of successful operations, in microseconds, exact to 0.1 %.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LatencyRow {
    /// The kind: `read`.
    pub f: String,
    /// The phase; `all` in a history without phases.
    pub phase: String,
    /// How they ended.
    pub outcomes: Outcomes,
    /// Half of them took no longer.
    pub p50_us: u64,
    /// 95 of 100 took no longer.
    pub p95_us: u64,
    /// 99 of 100 took no longer.
    pub p99_us: u64,
    /// 999 of 1 000 took no longer.
    pub p999_us: u64,
    /// The slowest.
    pub max_us: u64,
}

/// One row per kind and phase that has operations: kinds by name, phases in the order in which they began.
///
/// `phases` are the moments at which phases begin, by time.
pub(super) fn rows(history: &History, phases: &[(u64, String)]) -> Vec<LatencyRow> {
    let mut cells: BTreeMap<(&str, usize), Cell> = BTreeMap::new();
    for operation in &history.operations {
        // 0: before the first phase.
        let phase = phases.partition_point(|(began_ns, _)| *began_ns <= operation.invoked_ns);
        let place = (history.function(operation), phase);
        let place = if cells.len() < ROWS_MAX || cells.contains_key(&place) {
            place
        } else {
            (OTHER, 0)
        };
        cells.entry(place).or_default().add(operation);
    }
    let name = |phase: usize| match phase.checked_sub(1) {
        Some(place) => phases[place].1.clone(),
        None if phases.is_empty() => "all".into(),
        None => "before".into(),
    };
    cells
        .into_iter()
        .map(|((f, phase), cell)| cell.row(f.to_owned(), name(phase)))
        .collect()
}

#[derive(Default)]
struct Cell {
    outcomes: Outcomes,
    /// Made with the first success, so that a kind that never succeeds costs nothing.
    latency_us: Option<Histogram<u64>>,
}

impl Cell {
    fn add(&mut self, operation: &Operation) {
        self.outcomes.add(operation.outcome);
        if let (Outcome::Ok, Some(returned_ns)) = (operation.outcome, operation.returned_ns()) {
            let histogram = self
                .latency_us
                .get_or_insert_with(|| Histogram::new(3).expect("three digits are within the allowed five"));
            let latency_us = returned_ns.saturating_sub(operation.invoked_ns) / 1_000;
            histogram
                .record(latency_us)
                .expect("a histogram without a bound grows to hold any time");
        }
    }

    fn row(self, f: String, phase: String) -> LatencyRow {
        let at = |quantile: f64| {
            self.latency_us
                .as_ref()
                .map_or(0, |histogram| histogram.value_at_quantile(quantile))
        };
        LatencyRow {
            f,
            phase,
            outcomes: self.outcomes,
            p50_us: at(0.5),
            p95_us: at(0.95),
            p99_us: at(0.99),
            p999_us: at(0.999),
            max_us: at(1.0),
        }
    }
}
