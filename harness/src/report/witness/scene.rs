//! What the picture shows: the witness, the operations of its key around it, the faults that were in force, and what is left out.

use std::collections::BTreeMap;

use squall_checker::history::History;
use squall_checker::history::operation::{Operation, Outcome};
use squall_checker::judge::timeline::{Injection, Timeline};
use squall_checker::linearizability::Witness;

use super::arrange::{Effect, Item, order};
use super::conflict::{Conflict, conflict, told};
use super::labels::{full, general, label};
use super::words::{long, value};
use crate::report::numbers_text;

/// Operations around the witness, at most: what an eye takes in.
const CONTEXT_MAX: usize = 20;
/// Rows, at most.
const ROWS_MAX: usize = 12;
/// Operations of a witness that are drawn; `witness.txt` has all.
const PROOF_MAX: usize = 20;
/// Faults that are drawn.
const FAULTS_MAX: usize = 4;

/// Why an operation is in the picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// The witness.
    Proof,
    /// The operation of the witness that has no place.
    Impossible,
    /// What else clients did to the key at that time.
    Context,
}

/// One box.
#[derive(Debug, Clone)]
pub(super) struct Shown<'a> {
    pub(super) operation: &'a Operation,
    pub(super) part: Part,
    /// Its row, counted from 0.
    pub(super) row: usize,
    /// What stands in the box.
    pub(super) label: String,
    /// The value the register has after it.
    pub(super) after: Option<String>,
    /// The value it is about, with all its characters.
    pub(super) full: Option<String>,
    /// Whether it writes.
    pub(super) writes: bool,
}

/// One fault in force.
#[derive(Debug, Clone)]
pub(super) struct Fault {
    /// Its kind, which decides the colour.
    pub(super) kind: String,
    pub(super) label: String,
    pub(super) from_ns: u64,
    /// `None`: to the end of the recording.
    pub(super) to_ns: Option<u64>,
}

/// Everything the picture is drawn from.
#[derive(Debug, Clone)]
pub(super) struct Scene<'a> {
    /// `k3`, or `the register`; `queue q`.
    pub(super) key: String,
    /// Whether the ribbon shows what it holds: of a register, one value.
    pub(super) has_value: bool,
    /// Row names, in the order of their first operation.
    pub(super) rows: Vec<String>,
    pub(super) shown: Vec<Shown<'a>>,
    /// Places in `shown`, in the order in which they take effect; empty if none was found.
    pub(super) order: Vec<usize>,
    /// Whether the order covers the context too.
    pub(super) orders_context: bool,
    /// [`Conflict::impossible`] is a place in `shown`.
    pub(super) conflict: Option<Conflict>,
    pub(super) faults: Vec<Fault>,
    /// First and last moment of the operations.
    pub(super) from_ns: u64,
    pub(super) to_ns: u64,
}

impl Scene<'_> {
    /// Whether the order is only that of the witness, although there is context.
    pub(super) fn is_witness_alone(&self) -> bool {
        !self.order.is_empty() && !self.orders_context && self.shown.iter().any(|shown| shown.part == Part::Context)
    }
}

/// The witness with its candidates for context, nearest first; [`Candidates::scene`] takes as many as there is room for.
pub(super) struct Candidates<'a> {
    history: &'a History,
    witness: &'a Witness,
    proof: Vec<&'a Operation>,
    conflict: Option<Conflict>,
    context: Vec<&'a Operation>,
    timeline: Timeline,
}

impl<'a> Candidates<'a> {
    /// One pass over the history; `None` if the witness is not of this history.
    pub(super) fn of(history: &'a History, witness: &'a Witness) -> Option<Candidates<'a>> {
        let at_line = |line: u64| {
            let place = history.operations.binary_search_by_key(&line, Operation::invoke_line).ok()?;
            history.operations.get(place)
        };
        let proof: Vec<&Operation> = witness
            .operations
            .iter()
            // What stands for many is told in the text alone.
            .filter(|operation| operation.folded == 0)
            .take(PROOF_MAX)
            .map(|operation| at_line(operation.invoke_line))
            .collect::<Option<_>>()?;
        let key = proof.first()?.key;
        let conflict = match &witness.heart {
            Some(heart) => told(heart, &proof),
            None => conflict(history, &proof),
        };
        let focus_ns = focus_ns(&proof, conflict.as_ref());
        let lines: Vec<u64> = proof.iter().map(|operation| operation.invoke_line()).collect();
        // The best so far, nearest last to go; ties by line, so that the choice is the same everywhere.
        let mut nearest: BTreeMap<(u64, u64), &Operation> = BTreeMap::new();
        for operation in &history.operations {
            if operation.key != key || operation.outcome == Outcome::Fail || lines.contains(&operation.invoke_line()) {
                continue;
            }
            let distance = (distance_ns(operation, focus_ns), operation.invoke_line());
            if nearest.len() == CONTEXT_MAX && nearest.last_key_value().is_some_and(|(farthest, _)| *farthest < distance) {
                continue;
            }
            nearest.insert(distance, operation);
            if nearest.len() > CONTEXT_MAX {
                nearest.pop_last();
            }
        }
        Some(Candidates {
            history,
            witness,
            proof,
            conflict,
            context: nearest.into_values().collect(),
            timeline: Timeline::of(history),
        })
    }

    /// How many operations of context there are.
    pub(super) fn n_context(&self) -> usize {
        self.context.len()
    }

    /// The scene with at most this much context.
    pub(super) fn scene(&self, n_context: usize) -> Scene<'a> {
        let (shown, rows) = self.shown(n_context);
        let from_ns = shown.iter().map(|shown| shown.operation.invoked_ns).min().unwrap_or(0);
        let last_ns = |shown: &Shown<'_>| shown.operation.returned_ns().unwrap_or(shown.operation.invoked_ns);
        let to_ns = shown.iter().map(last_ns).max().unwrap_or(from_ns);
        let (order, orders_context) = self.order(&shown);
        let impossible = shown.iter().position(|shown| shown.part == Part::Impossible);
        let conflict = self
            .conflict
            .clone()
            .zip(impossible)
            .map(|(conflict, impossible)| Conflict { impossible, ..conflict });
        Scene {
            key: match self.witness.subject() {
                ("key", Some(name)) => value(name),
                (noun, Some(name)) => format!("{noun} {}", value(name)),
                (noun, None) => format!("the {noun}"),
            },
            has_value: self.witness.heart.is_none(),
            rows,
            order,
            orders_context,
            conflict,
            faults: faults(&self.timeline, from_ns, to_ns),
            from_ns,
            to_ns,
            shown,
        }
    }

    fn shown(&self, n_context: usize) -> (Vec<Shown<'a>>, Vec<String>) {
        let impossible = self.conflict.as_ref().map(|conflict| conflict.impossible);
        let proof = self.proof.iter().enumerate().map(|(place, &operation)| {
            let part = if Some(place) == impossible { Part::Impossible } else { Part::Proof };
            (operation, part)
        });
        let mut processes: Vec<u64> = Vec::new();
        let mut chosen: Vec<(&Operation, Part)> = Vec::new();
        for (operation, part) in proof.chain(self.context.iter().take(n_context).map(|&operation| (operation, Part::Context))) {
            let is_new = !processes.contains(&operation.process);
            if part == Part::Context && is_new && processes.len() >= ROWS_MAX {
                continue;
            }
            if is_new {
                processes.push(operation.process);
            }
            chosen.push((operation, part));
        }
        chosen.sort_by_key(|(operation, _)| (operation.invoked_ns, operation.invoke_line()));
        processes.clear();
        let is_register = self.witness.heart.is_none();
        let shown: Vec<Shown<'_>> = chosen
            .into_iter()
            .map(|(operation, part)| {
                let row = processes
                    .iter()
                    .position(|process| *process == operation.process)
                    .unwrap_or_else(|| {
                        processes.push(operation.process);
                        processes.len() - 1
                    });
                if !is_register {
                    let seen = self.seen_by(operation);
                    return Shown {
                        operation,
                        part,
                        row,
                        label: general(self.history, operation, seen),
                        after: None,
                        full: full(self.history, operation, seen),
                        writes: false,
                    };
                }
                let effect = Effect::of(self.history, operation);
                Shown {
                    operation,
                    part,
                    row,
                    label: label(self.history, operation, part),
                    full: effect.as_ref().map(|effect| effect.after().to_owned()),
                    after: effect.as_ref().map(|effect| effect.after().to_owned()),
                    writes: effect.as_ref().is_some_and(|effect| effect.leaves().is_some()),
                }
            })
            .collect();
        let rows = processes
            .iter()
            .enumerate()
            .map(|(row, process)| row_name(self.history, *process, row, &shown))
            .collect();
        (shown, rows)
    }

    /// What the witness keeps of what an operation saw.
    fn seen_by(&self, operation: &Operation) -> Option<&str> {
        let line = operation.invoke_line();
        let of_witness = self.witness.operations.iter().find(|of| of.invoke_line == line && of.folded == 0);
        of_witness.filter(|of| of.outcome == Outcome::Ok).map(|of| of.value.as_str())
    }

    /// An order of everything shown but the impossible operation; where the context has none, of the witness alone.
    fn order(&self, shown: &[Shown<'_>]) -> (Vec<usize>, bool) {
        if self.conflict.is_none() || self.witness.heart.is_some() {
            return (Vec::new(), false);
        }
        let error_ns = self.history.clock_error_ns();
        let of = |wanted: &dyn Fn(&Shown<'_>) -> bool| {
            let (places, items): (Vec<usize>, Vec<Item>) = shown
                .iter()
                .enumerate()
                .filter(|(_, shown)| shown.part != Part::Impossible && wanted(shown))
                .filter_map(|(place, shown)| {
                    let returned_ns = shown
                        .operation
                        .returned_ns()
                        .map(|returned_ns| returned_ns.saturating_add(error_ns));
                    let item = Item {
                        effect: Effect::of(self.history, shown.operation)?,
                        invoked_ns: shown.operation.invoked_ns,
                        returned_ns,
                    };
                    Some((place, item))
                })
                .unzip();
            Some(order(&items)?.into_iter().map(|index| places[index]).collect::<Vec<usize>>())
        };
        match of(&|_| true) {
            Some(order) => (order, true),
            None => (of(&|shown| shown.part != Part::Context).unwrap_or_default(), false),
        }
    }

    /// How many operations of the key are not in the scene, by the step between two of these ordered moments in which they were invoked.
    pub(super) fn hidden(&self, scene: &Scene<'_>, times_ns: &[u64]) -> BTreeMap<usize, u64> {
        let key = self.proof.first().and_then(|operation| operation.key);
        let mut lines: Vec<u64> = scene.shown.iter().map(|shown| shown.operation.invoke_line()).collect();
        lines.sort_unstable();
        let mut hidden = BTreeMap::new();
        let (Some(&from_ns), Some(&to_ns)) = (times_ns.first(), times_ns.last()) else {
            return hidden;
        };
        for operation in &self.history.operations {
            if !(from_ns..to_ns).contains(&operation.invoked_ns) {
                continue;
            }
            if operation.key != key || operation.outcome == Outcome::Fail || lines.binary_search(&operation.invoke_line()).is_ok() {
                continue;
            }
            let after = times_ns.partition_point(|time_ns| *time_ns <= operation.invoked_ns);
            if after > 0 && after < times_ns.len() {
                *hidden.entry(after - 1).or_default() += 1;
            }
        }
        hidden
    }
}

/// Where the eye shall rest: the zone with the impossible operation, or the whole witness.
fn focus_ns(proof: &[&Operation], conflict: Option<&Conflict>) -> (u64, u64) {
    let end_ns = |operation: &Operation| operation.returned_ns().unwrap_or(operation.invoked_ns);
    match conflict {
        Some(conflict) => {
            let bad = proof[conflict.impossible];
            let (from_ns, to_ns) = conflict.zone_ns.unwrap_or((bad.invoked_ns, end_ns(bad)));
            (from_ns.min(bad.invoked_ns), to_ns.max(end_ns(bad)))
        }
        None => (
            proof.iter().map(|operation| operation.invoked_ns).min().unwrap_or(0),
            proof.iter().map(|operation| end_ns(operation)).max().unwrap_or(0),
        ),
    }
}

/// How far an operation is from the focus. An open one counts from its begin: it is near for ever, and there may be thousands.
fn distance_ns(operation: &Operation, (from_ns, to_ns): (u64, u64)) -> u64 {
    let end_ns = operation.returned_ns().unwrap_or(operation.invoked_ns);
    from_ns.saturating_sub(end_ns).max(operation.invoked_ns.saturating_sub(to_ns))
}

/// `process 31 at n2`; the node only if all its operations here went there.
fn row_name(history: &History, process: u64, row: usize, shown: &[Shown<'_>]) -> String {
    let mut nodes = shown
        .iter()
        .filter(|shown| shown.row == row)
        .map(|shown| history.node(shown.operation));
    match nodes.next().flatten() {
        Some(first) if nodes.all(|node| node == Some(first)) => format!("process {process} at {}", value(first)),
        _ => format!("process {process}"),
    }
}

/// The faults that were in force at some moment between the two; those that began last are nearest to what happened.
fn faults(timeline: &Timeline, from_ns: u64, to_ns: u64) -> Vec<Fault> {
    let of = |injection: &Injection| {
        let began_ns = injection.applied_ns.filter(|_| injection.skipped.is_none())?;
        let ended_ns = injection.heal_asked_ns.or(injection.healed_ns);
        let overlaps = began_ns <= to_ns && ended_ns.is_none_or(|ended_ns| ended_ns >= from_ns);
        let target = numbers_text::target(&injection.kind, injection.asked.as_ref(), injection.resolved.as_ref());
        overlaps.then(|| Fault {
            kind: injection.kind.clone(),
            label: format!("{} {}", value(&injection.kind), long(&target)),
            from_ns: began_ns,
            to_ns: ended_ns,
        })
    };
    let mut faults: Vec<Fault> = timeline.injections.iter().filter_map(of).collect();
    faults.sort_by_key(|fault| fault.from_ns);
    faults.split_off(faults.len().saturating_sub(FAULTS_MAX))
}
