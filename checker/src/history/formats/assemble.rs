//! Entries become a history: put in order, given times, taken out of their tuples, paired.
//!
//! The order of such a file is its index, or its lines where there is none, and nothing else (Jepsen: a precedes b exactly if a's
//! completion has the smaller index). Our order is by time, with equal times concurrent, so every entry gets a time after the entry
//! before it: its own if that is later, else one nanosecond more than the last; a file without times has one entry per microsecond.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::edn::Form;
use super::edn::json::json_of;
use super::entry::Entry;
use super::independent::{Independent, looks_independent, looks_versioned};
use super::keys::name_of;
use super::{Format, ReadOptions};
use crate::history::error::{ReadError, ReadErrorKind};
use crate::history::event::{Event, EventType, Process};
use crate::history::line::{Actor, Json, Line, Text};
use crate::history::operation::MISMATCH;
use crate::history::pairing::Pairing;
use crate::history::values::DEPTH_MAX;
use crate::history::{History, Mark};

/// The step between entries of a file without times.
const STEP_NS: u64 = 1_000;

/// The history of these entries, and what had to be guessed.
///
/// # Errors
/// With line, column and operation, if indices are partial or stand twice, or the entries contradict each other.
pub(super) fn history(
    mut entries: Vec<Entry>,
    lines: u64,
    format: Format,
    options: &ReadOptions,
) -> Result<(History, Vec<String>), ReadError> {
    put_in_order(&mut entries)?;
    let mut notes = Vec::new();
    let rules = Rules::of(&entries, format, options, &mut notes);
    let mut history = History {
        lines,
        ..History::default()
    };
    let mut pairing = Pairing::default();
    // The step stands for the time that is missing everywhere; a single missing one is a nanosecond after the last.
    let step_ns = if entries.iter().all(|entry| entry.time_ns.is_none()) {
        STEP_NS
    } else {
        1
    };
    let mut last_ns = None;
    for entry in entries {
        let earliest_ns = last_ns.map_or(0, |last_ns: u64| last_ns.saturating_add(step_ns));
        let time_ns = entry.time_ns.unwrap_or(0).max(earliest_ns);
        last_ns = Some(time_ns);
        let at_entry = |kind| ReadError {
            line: entry.line,
            column: Some(entry.column),
            operation: Some(entry.place),
            kind,
        };
        match entry.process {
            Process::Client(process) => rules.take(&mut history, &mut pairing, process, time_ns, &entry).map_err(at_entry)?,
            Process::Named(_) => {
                let line = entry.line;
                history.marks.push(Mark {
                    line,
                    event: mark(entry, time_ns),
                });
            }
        }
    }
    Ok((pairing.finish(history), notes))
}

fn put_in_order(entries: &mut [Entry]) -> Result<(), ReadError> {
    let error = |entry: &Entry, kind| ReadError {
        line: entry.line,
        column: Some(entry.column),
        operation: Some(entry.place),
        kind,
    };
    let Some(first) = entries.first() else { return Ok(()) };
    let indexed = first.index.is_some();
    if let Some(entry) = entries.iter().find(|entry| entry.index.is_some() != indexed) {
        return Err(error(entry, ReadErrorKind::PartialIndices));
    }
    entries.sort_by_key(|entry| entry.index);
    for two in entries.windows(2) {
        if let (Some(index), Some(second)) = (two[0].index, two[1].index)
            && index == second
        {
            return Err(error(&two[1], ReadErrorKind::DuplicateIndex { index }));
        }
    }
    Ok(())
}

/// The kind of a failed compare-and-set's error that nobody told: it may have compared or not.
const UNSAID: &str = "unsaid";

/// What values mean in this file.
struct Rules {
    /// Keys stand in the field `:key`, and functions are `get` and `put`.
    keyed: bool,
    independent: bool,
    versioned: bool,
    /// The JSON text of the value that registers hold before any write.
    initial: Option<String>,
    mismatch_is_certain: bool,
}

impl Rules {
    fn of(entries: &[Entry], format: Format, options: &ReadOptions, notes: &mut Vec<String>) -> Rules {
        let keyed = format == Format::PorcupineKv;
        let independent = match options.independent {
            _ if keyed => false,
            Independent::Yes => true,
            Independent::No => false,
            Independent::Auto => {
                let guess = looks_independent(entries);
                if format == Format::Edn {
                    notes.push(if guess {
                        "guessed that values are tuples `[key value]`, so keys are judged one by one; `--independent no` if they are not".into()
                    } else {
                        "guessed that values are no tuples `[key value]`, so all operations act on one object; `--independent yes` if they are"
                            .into()
                    });
                }
                guess
            }
        };
        let versioned = !keyed && looks_versioned(entries, independent);
        if versioned {
            notes.push("guessed that values are pairs `[version value]`; the versions are not judged".into());
        }
        let initial = options.initial.as_ref().map(|initial| json_of(&initial.0));
        Rules {
            keyed,
            independent,
            versioned,
            // Porcupine's stores hold an empty string before any write.
            initial: initial
                .or_else(|| keyed.then(|| "\"\"".to_owned()))
                .filter(|initial| initial != "null"),
            mismatch_is_certain: format == Format::JepsenLog,
        }
    }

    fn take(&self, history: &mut History, pairing: &mut Pairing, process: u64, time_ns: u64, entry: &Entry) -> Result<(), ReadErrorKind> {
        let f = self.function(&entry.f);
        let (key, value) = self.key_and_value(entry)?;
        let mut kind = entry.kind;
        let mut error = entry.error.as_ref().map(|error| self.error(error));
        if kind == EventType::Fail && f == "cas" && value.is_some_and(|value| value.as_pair().is_some()) {
            if self.mismatch_is_certain {
                error = Some(format!("{{\"kind\":\"{MISMATCH}\"}}"));
            } else if error.as_deref().is_none_or(|error| error == "null") {
                // Clients fail without a word for refused connections too; Knossos takes no failure for an observation.
                error = Some(format!("{{\"kind\":\"{UNSAID}\"}}"));
            }
        }
        let json = match (value, kind) {
            // What a read is invoked with is a guess of the client's, and what is not `ok` has seen nothing.
            (None, _) | (_, EventType::Fail | EventType::Info) => "null".to_owned(),
            (Some(_), EventType::Invoke) if f == "read" => "null".to_owned(),
            (Some(Form::Nil), EventType::Ok) if f == "read" && self.initial.is_some() => {
                // With an initial value, nil is no value: such a read says nothing (Knossos' registers allow it always).
                kind = EventType::Fail;
                error = Some("{\"kind\":\"nil\"}".to_owned());
                "null".to_owned()
            }
            (Some(value), _) => self.value(f, value),
        };
        let checked = |json| match serde_json::from_str::<&RawValue>(json) {
            Ok(json) => Ok(json.get()),
            Err(_) => Err(ReadErrorKind::ValueTooDeep { limit: DEPTH_MAX }),
        };
        let line = Line {
            time: time_ns,
            kind,
            process: Actor::Client(process),
            f: Text(Cow::Borrowed(f)),
            key: key.map(Text),
            value: Some(Json::Text(checked(&json)?)),
            node: entry.node.as_deref().map(|node| Text(Cow::Borrowed(node))),
            error: error.as_deref().map(checked).transpose()?,
        };
        if kind == EventType::Invoke && f == "cas" && value.and_then(Form::as_pair).is_none() {
            return Err(ReadErrorKind::Operation("the value of a `cas` is a pair, `[expected new]`".into()));
        }
        pairing.take(history, process, &line, entry.line)
    }

    fn function<'e>(&self, f: &'e str) -> &'e str {
        match f {
            "get" if self.keyed => "read",
            "put" if self.keyed => "write",
            other => other,
        }
    }

    /// The key, and the value without it. A completion may leave both out.
    fn key_and_value<'e>(&self, entry: &'e Entry) -> Result<(Option<Cow<'e, str>>, Option<&'e Form>), ReadErrorKind> {
        let (key, value) = if self.keyed {
            (entry.key.as_deref().map(Cow::Borrowed), Some(&entry.value))
        } else if !self.independent {
            (None, Some(&entry.value))
        } else if let Some((key, value)) = entry.value.as_pair() {
            (Some(Cow::Owned(name_of(key))), Some(value))
        } else if matches!(entry.kind, EventType::Fail | EventType::Info) {
            (None, None)
        } else {
            let message = "its value is no tuple `[key value]`; `--independent no` if the values are no tuples";
            return Err(ReadErrorKind::Operation(message.into()));
        };
        Ok((key, if self.versioned { value.map(without_version) } else { value }))
    }

    fn value(&self, f: &str, value: &Form) -> String {
        match value.as_pair() {
            Some((expected, new)) if f == "cas" => format!("[{},{}]", self.translated(expected), self.translated(new)),
            _ => self.translated(value),
        }
    }

    /// The value as JSON, with the initial value as `null`, which is what a register holds before any write.
    fn translated(&self, value: &Form) -> String {
        let json = json_of(value);
        match &self.initial {
            Some(initial) if *initial == json => "null".to_owned(),
            Some(_) if json == "null" => "{\"nil\":null}".to_owned(),
            _ => json,
        }
    }

    /// `[:mismatch 5]` is what our exports say of a refused compare-and-set; of any other error its first word is its kind.
    fn error(&self, error: &Form) -> String {
        let kind = |form: &Form| form.as_name().map(|name| serde_json::Value::from(name).to_string());
        if let Some((first, seen)) = error.as_pair()
            && first.as_name() == Some(MISMATCH)
        {
            return format!("{{\"kind\":\"{MISMATCH}\",\"seen\":{}}}", self.translated(seen));
        }
        let first = match error {
            Form::Vector(items) | Form::List(items) => items.first().and_then(kind),
            other => kind(other),
        };
        first.unwrap_or_else(|| "null".to_owned())
    }
}

fn without_version(value: &Form) -> &Form {
    value.as_pair().map_or(value, |(_, value)| value)
}

/// A line that is no operation, with everything it has.
fn mark(entry: Entry, time_ns: u64) -> Event {
    let value = |form: &Form| serde_json::from_str(&json_of(form)).unwrap_or_default();
    Event {
        index: entry.index.unwrap_or(entry.place),
        time: time_ns,
        kind: entry.kind,
        process: entry.process,
        f: entry.f.into(),
        key: None,
        value: value(&entry.value),
        node: entry.node.map(Into::into),
        error: entry.error.as_ref().map(value),
        extra: entry.extra.iter().map(|(name, form)| (name.clone(), value(form))).collect(),
    }
}
