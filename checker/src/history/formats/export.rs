//! A history as EDN that Knossos and Elle accept: one operation per line, dense indices, sorted by time, invocations first.
//!
//! What those readers are strict about (evidence: `knossos.history/complete`, `jepsen.independent`):
//! - a `:fail` has its invocation's value; what a refused compare-and-set saw is told in `:error [:mismatch 5]`;
//! - keys are in the value, as tuples `[:k3 17]`, which Jepsen must be told (`independent/tuple`): the text cannot;
//! - an operation of the nemesis is two `:info`, one after the other, because they are paired by alternation;
//! - a process is single-threaded: where its completion and its next invocation have equal times, the completion comes first;
//! - an operation without completion has none, and an `:info` comes at the end, because its operation is open until then;
//! - numbers past 63 bits end in `N`.
//!
//! Knossos lets a read of nil pass whatever the register holds. Where "absent" shall be checked, say what stands for it
//! ([`ExportOptions::absent`]) and give Knossos' model that value to begin with.
//! Findings of the harness are no operations and are left out; so is what the header says.

use std::collections::BTreeMap;
use std::io::{self, Write};

use super::EdnValue;
use super::edn::Form;
use super::edn::json::{form_of, is_keyword};
use super::keys::key_of;
use crate::history::event::{Event, EventType, Process};
use crate::history::mark::Stage;
use crate::history::operation::{Function, MISMATCH, Operation, Outcome};
use crate::history::values::ValueId;
use crate::history::{History, Mark};

/// How to tell what EDN has no word for.
#[derive(Debug, Clone, Default)]
pub struct ExportOptions {
    /// What stands for the value of a register that was never written; nil if it is `None`.
    pub absent: Option<EdnValue>,
}

/// Writes a whole history.
///
/// # Errors
/// If `out` cannot be written.
pub fn write_edn(history: &History, options: &ExportOptions, out: &mut impl Write) -> io::Result<()> {
    let absent = options.absent.as_ref().map_or(Form::Nil, |absent| absent.0.clone());
    let mut writer = Writer {
        history,
        absent,
        index: 0,
        last_ns: 0,
        out,
    };
    // What each process is doing, as far as it is written.
    let mut open: BTreeMap<u64, usize> = BTreeMap::new();
    for moment in moments(history) {
        match moment.what {
            What::Invocation(place) => {
                let operation = &history.operations[place];
                if let Some(before) = open.insert(operation.process, place) {
                    writer.completion(&history.operations[before])?;
                }
                writer.operation(operation, operation.invoked_ns, EventType::Invoke)?;
            }
            What::Completion(place) => {
                let operation = &history.operations[place];
                // Otherwise it was written before the next invocation of its process.
                if open.get(&operation.process) == Some(&place) {
                    open.remove(&operation.process);
                    writer.completion(operation)?;
                }
            }
            What::Mark(place) => writer.mark(&history.marks[place])?,
        }
    }
    let ended = |operation: &&Operation| operation.outcome == Outcome::Unknown && !operation.is_open();
    for operation in history.operations.iter().filter(ended) {
        let last_ns = writer.last_ns;
        writer.operation(operation, last_ns, EventType::Info)?;
    }
    Ok(())
}

/// Something that gets a line, or two.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Moment {
    time_ns: u64,
    what: What,
}

/// In the order of equal times; places in the history.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum What {
    Invocation(usize),
    Mark(usize),
    Completion(usize),
}

fn moments(history: &History) -> Vec<Moment> {
    let mut moments = Vec::with_capacity(2 * history.operations.len() + history.marks.len());
    for (place, operation) in history.operations.iter().enumerate() {
        moments.push(Moment {
            time_ns: operation.invoked_ns,
            what: What::Invocation(place),
        });
        if let Some(time_ns) = operation.returned_ns() {
            moments.push(Moment {
                time_ns,
                what: What::Completion(place),
            });
        }
    }
    for (place, mark) in history.marks.iter().enumerate() {
        moments.push(Moment {
            time_ns: mark.event.time,
            what: What::Mark(place),
        });
    }
    moments.sort_unstable();
    moments
}

struct Writer<'a, W> {
    history: &'a History,
    absent: Form,
    index: u64,
    last_ns: u64,
    out: &'a mut W,
}

impl<W: Write> Writer<'_, W> {
    fn completion(&mut self, operation: &Operation) -> io::Result<()> {
        let kind = match operation.outcome {
            Outcome::Ok => EventType::Ok,
            Outcome::Fail => EventType::Fail,
            Outcome::Unknown => return Ok(()),
        };
        self.operation(operation, operation.returned_ns().unwrap_or(self.last_ns), kind)
    }

    fn operation(&mut self, operation: &Operation, time_ns: u64, kind: EventType) -> io::Result<()> {
        let told = match (kind, operation.f) {
            (EventType::Ok, f) if f != Function::Write => operation.observed().map_or(Form::Nil, |seen| self.value(operation.f, seen)),
            (_, Function::Read) => Form::Nil,
            _ => self.value(operation.f, operation.argument),
        };
        let value = match self.history.key(operation) {
            Some(key) => Form::Vector(vec![key_of(key), told]),
            None => told,
        };
        let mut rest = String::new();
        if let Some(node) = self.history.node(operation) {
            rest += &format!(", :node {}", Form::Text(node.to_owned()));
        }
        if matches!(kind, EventType::Fail | EventType::Info) {
            rest += &self.error(operation);
        }
        let f = name(self.history.function(operation));
        self.line(time_ns, kind, &Form::Integer(operation.process.cast_signed()), &f, &value, &rest)
    }

    fn error(&self, operation: &Operation) -> String {
        let kind = self.history.error_kind(operation);
        let is_failed_cas = operation.f == Function::Cas && operation.outcome == Outcome::Fail;
        match (kind, operation.observed()) {
            (Some(MISMATCH), Some(seen)) => format!(", :error [:{MISMATCH} {}]", self.value(Function::Read, seen)),
            (None, Some(seen)) if is_failed_cas => format!(", :error [:{MISMATCH} {}]", self.value(Function::Read, seen)),
            (Some(kind), _) => format!(", :error {}", name(kind)),
            // With us it has compared; in EDN that must be said.
            (None, None) if is_failed_cas => format!(", :error :{MISMATCH}"),
            (None, _) => String::new(),
        }
    }

    fn value(&self, f: Function, value: ValueId) -> Form {
        match (f, self.history.values.pair(value)) {
            (Function::Cas, Some((expected, new))) => Form::Vector(vec![self.scalar(expected), self.scalar(new)]),
            (Function::Read | Function::Write, _) => self.scalar(value),
            _ => form_of(&self.history.value(value)),
        }
    }

    /// What a register holds.
    fn scalar(&self, value: ValueId) -> Form {
        match value.integer() {
            Some(integer) => Form::Integer(integer),
            None if value == ValueId::NULL => self.absent.clone(),
            None => form_of(&self.history.value(value)),
        }
    }

    fn mark(&mut self, mark: &Mark) -> io::Result<()> {
        let Event { time, kind, f, value, .. } = &mark.event;
        let Process::Named(actor) = &mark.event.process else {
            return Ok(());
        };
        if mark.finding().is_some() {
            return Ok(());
        }
        let actor = name(actor);
        let value = form_of(&value.to_string());
        let Some(stage) = mark.fault_stage() else {
            return self.line(*time, *kind, &actor, &name(f), &value, "");
        };
        // Two lines at once, so that faults which overlap do not pair with each other.
        let verb = match stage.stage {
            Stage::Applied => "start",
            Stage::Healed => "stop",
            Stage::Asked | Stage::Probed | Stage::HealAsked | Stage::Skipped => return Ok(()),
        };
        let f = name(&format!("{verb}-{f}"));
        self.line(*time, EventType::Info, &actor, &f, &Form::Nil, "")?;
        self.line(*time, EventType::Info, &actor, &f, &value, "")
    }

    fn line(&mut self, time_ns: u64, kind: EventType, process: &Form, f: &Form, value: &Form, rest: &str) -> io::Result<()> {
        let kind = match kind {
            EventType::Invoke => "invoke",
            EventType::Ok => "ok",
            EventType::Fail => "fail",
            EventType::Info => "info",
        };
        let index = self.index;
        self.index += 1;
        self.last_ns = self.last_ns.max(time_ns);
        writeln!(
            self.out,
            "{{:index {index}, :time {time_ns}, :type :{kind}, :process {process}, :f {f}, :value {value}{rest}}}"
        )
    }
}

/// A keyword if Clojure reads it as one, else a string.
fn name(name: &str) -> Form {
    if is_keyword(name) {
        Form::Keyword(name.to_owned())
    } else {
        Form::Text(name.to_owned())
    }
}
