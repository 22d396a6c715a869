//! The tap: what the writer takes from the queue goes to the online check, too, as long as that keeps up.
//!
//! It never waits. Its buffer is bounded, and when it is full it closes for good: a history with holes would make false alarms, and the
//! recording is worth more than the check.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};

use squall_checker::online::{Asked, Ended, Value};
use squall_workloads::{Argument, Function, Outcome, Seen};

use super::pen::Entry;

/// Lines that may wait for the check: as many as for the writer, so that a full queue fits.
const TAP_LINES: usize = super::pen::QUEUE_LINES;

/// A line of an operation, as the online check takes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TappedLine {
    /// An operation began.
    Invoke {
        /// The `index` of its line.
        index: u64,
        /// Its process.
        process: u64,
        /// Its key.
        key: Arc<str>,
        /// What it asks for.
        asked: Asked,
        /// Its stamp.
        time_ns: u64,
    },
    /// An operation ended.
    Complete {
        /// Its process.
        process: u64,
        /// How.
        ended: Ended,
        /// Its stamp.
        time_ns: u64,
    },
}

/// The writer's end.
#[derive(Debug)]
pub struct Tap {
    lines: Option<SyncSender<TappedLine>>,
    fell_behind: Arc<AtomicBool>,
}

/// The reader's end.
#[derive(Debug)]
pub struct Tapped {
    lines: Receiver<TappedLine>,
    fell_behind: Arc<AtomicBool>,
}

/// A tap and its other end.
pub fn tap() -> (Tap, Tapped) {
    tap_of(TAP_LINES)
}

fn tap_of(lines_max: usize) -> (Tap, Tapped) {
    let (sender, lines) = sync_channel(lines_max);
    let fell_behind = Arc::<AtomicBool>::default();
    let tap = Tap {
        lines: Some(sender),
        fell_behind: Arc::clone(&fell_behind),
    };
    (tap, Tapped { lines, fell_behind })
}

impl Tap {
    /// Passes on what the check needs of an entry. Never blocks.
    pub(super) fn offer(&mut self, index: u64, entry: &Entry) {
        let (Some(lines), Some(line)) = (&self.lines, tapped(index, entry)) else {
            return;
        };
        match lines.try_send(line) {
            Ok(()) => return,
            Err(TrySendError::Full(_)) => self.fell_behind.store(true, Ordering::Relaxed),
            Err(TrySendError::Disconnected(_)) => {}
        }
        self.lines = None;
    }
}

impl Tapped {
    /// Waits for the next line; `None` when no more comes.
    pub fn next(&self) -> Option<TappedLine> {
        self.lines.recv().ok()
    }

    /// Whether no more comes because too much waited. To be asked after the end.
    pub fn fell_behind(&self) -> bool {
        self.fell_behind.load(Ordering::Relaxed)
    }
}

fn tapped(index: u64, entry: &Entry) -> Option<TappedLine> {
    match entry {
        Entry::Invoke {
            time_ns,
            process,
            operation,
            ..
        } => Some(TappedLine::Invoke {
            index,
            process: *process,
            key: Arc::clone(&operation.key),
            asked: match (operation.f, operation.argument) {
                (Function::Read, _) => Asked::Read,
                (Function::Write, Argument::Value(value)) => Asked::Write(Value::Integer(value)),
                (Function::Cas, Argument::Pair(expected, new)) => Asked::Cas {
                    expected: expected.map_or(Value::Null, Value::Integer),
                    new: Value::Integer(new),
                },
                _ => Asked::Other,
            },
            time_ns: *time_ns,
        }),
        Entry::Complete {
            time_ns,
            process,
            operation,
            outcome,
            ..
        } => Some(TappedLine::Complete {
            process: *process,
            ended: match outcome {
                Outcome::Ok(seen) => Ended::Ok(match (seen, operation.argument) {
                    // A completion that saw nothing repeats the invocation's value, as its line does.
                    (Seen::Nothing, Argument::Value(value)) => Value::Integer(value),
                    _ => value_of(seen),
                }),
                Outcome::Failed(note) => match (&note.seen, operation.f) {
                    (Some(seen), Function::Cas) => Ended::Differed(value_of(seen)),
                    _ => Ended::Failed,
                },
                Outcome::Unknown(_) => Ended::Unknown,
            },
            time_ns: *time_ns,
        }),
        Entry::Finding { .. } | Entry::Fault { .. } | Entry::Close => None,
    }
}

fn value_of(seen: &Seen) -> Value {
    match seen {
        Seen::Nothing => Value::Null,
        Seen::Number(number) => Value::Integer(*number),
        Seen::List(_) | Seen::Foreign(_) => Value::Foreign,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use squall_checker::online::{Asked, Ended, Value};
    use squall_workloads::{Operation, Outcome, Seen};

    use super::{TappedLine, tap_of};
    use crate::record::test_support::{bare_header, events};
    use crate::record::{Recorder, RunClock};

    fn record(lines_max: usize, operations: usize) -> (super::Tapped, Vec<u64>) {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (tap, tapped) = tap_of(lines_max);
        let path = folder.path().join("history.jsonl");
        let recorder = Recorder::create_tapped(&path, &bare_header(), RunClock::start(), tap).expect("the folder is empty");
        let pen = recorder.pen();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .expect("a runtime can be built");
        runtime.block_on(async {
            for _ in 0..operations {
                let slot = pen.reserve().await.expect("the recorder runs");
                let open = slot.invoke(3, &Operation::read("k"), &Arc::from("n1"));
                let returned_ns = open.invoked_ns();
                open.complete(returned_ns, Outcome::Ok(Seen::Number(17)));
            }
        });
        recorder.close().expect("the file can be written");
        (tapped, events(&folder).iter().map(|event| event.index).collect())
    }

    #[test]
    fn passes_on_what_the_file_says_in_its_order() {
        let (tapped, indexes) = record(100, 2);
        assert_eq!(indexes, [0, 1, 2, 3]);
        let mut lines = std::iter::from_fn(|| tapped.next());
        let first = lines.next().expect("a line for each operation's line");
        assert!(
            matches!(&first, TappedLine::Invoke { index: 0, process: 3, key, asked: Asked::Read, .. } if &**key == "k"),
            "{first:?}"
        );
        let rest: Vec<TappedLine> = lines.collect();
        assert!(
            matches!(
                rest[..],
                [
                    TappedLine::Complete {
                        ended: Ended::Ok(Value::Integer(17)),
                        ..
                    },
                    TappedLine::Invoke { index: 2, .. },
                    TappedLine::Complete { .. }
                ]
            ),
            "{rest:?}"
        );
        assert!(!tapped.fell_behind());
    }

    #[test]
    fn closes_rather_than_wait_and_the_file_misses_nothing() {
        let (tapped, indexes) = record(3, 1_000);
        assert_eq!(indexes, (0..2_000).collect::<Vec<u64>>());
        assert_eq!(std::iter::from_fn(|| tapped.next()).count(), 3);
        assert!(tapped.fell_behind());
    }
}
