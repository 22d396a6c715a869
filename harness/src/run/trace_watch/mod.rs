//! The trace rules of a Raft run, asked while it goes on: a thread that follows every node's trace and stops the run at the first breach.
//!
//! **Why its word is sound.** A round notes the time, then reads what every file holds, then settles up to that time. A node hands an event to
//! the kernel before anything that depends on it leaves, so all that an event of that time rests on was written by then, and this round
//! has read it (`RaftRules::settle`). A node that is paused between an event's stamp and its write, or is killed there, told nobody: its line
//! comes in a later round or never, and nothing that was judged rests on it. All this asks that the nodes' clocks agree; where they do
//! not, the watch ends. What rests on a silence is left to the judge.

mod tail;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use squall_checker::escape::visible;
use squall_checker::history::mark::Finding;
use squall_checker::trace::Conditions;
use squall_checker::trace::raft::{Alarm, RaftRules};

use self::tail::Tail;
use super::lifeline::{Stop, StopSwitch};
use crate::record::{Pen, RunClock};

/// Between two rounds: a breach is told in the round that begins next after its last event. A round costs a few system calls per node.
const BEAT: Duration = Duration::from_millis(250);

/// Most events that are read and not judged yet, about 100 MiB: those of seconds in which the rules did not keep up, or of a node whose clock
/// says that all it does is yet to come.
const WAITING_MAX: usize = 1 << 20;

/// Longest message in a sentence, in characters.
const MESSAGE_CHARS_MAX: usize = 200;

/// The running watch.
pub(super) struct TraceWatch {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl TraceWatch {
    /// Starts the thread. `traces` is where each node writes.
    ///
    /// # Errors
    /// If the system gives no more threads.
    pub(super) fn start(traces: BTreeMap<String, PathBuf>, pen: Pen, switch: StopSwitch) -> std::io::Result<TraceWatch> {
        let stop = Arc::<AtomicBool>::default();
        let watcher = Watcher {
            rounds: Rounds::over(traces, WAITING_MAX),
            pen,
            switch,
            stop: Arc::clone(&stop),
        };
        let thread = std::thread::Builder::new()
            .name("trace watch".into())
            .spawn(move || watcher.run())?;
        Ok(TraceWatch {
            stop,
            thread: Some(thread),
        })
    }

    /// Ends the thread. Nothing is said after that: the end of the history may be recorded.
    pub(super) fn end(mut self) {
        self.finish();
    }

    fn finish(&mut self) {
        let Some(thread) = self.thread.take() else { return };
        self.stop.store(true, Ordering::Relaxed);
        thread.thread().unpark();
        if thread.join().is_err() {
            tracing::error!("the trace watch panicked");
        }
    }
}

impl Drop for TraceWatch {
    fn drop(&mut self) {
        self.finish();
    }
}

struct Watcher {
    rounds: Rounds,
    pen: Pen,
    switch: StopSwitch,
    stop: Arc<AtomicBool>,
}

impl Watcher {
    fn run(mut self) {
        let clock = self.pen.clock().clone();
        while !self.stop.load(Ordering::Relaxed) {
            let outcome = self.rounds.next(|| clock.origin_ns() + clock.now_ns());
            for unreadable in outcome.unreadable {
                self.say_not_checked(unreadable);
            }
            match outcome.word {
                Word::Nothing => {}
                // The first one is enough: it stops the run.
                Word::Alarm(alarm) => return self.report(&alarm, &clock),
                Word::GivenUp(why) => return self.give_up(why),
            }
            std::thread::park_timeout(BEAT);
        }
        tracing::info!(events = self.rounds.rules.n_events(), "trace rules asked online");
    }

    fn report(&self, alarm: &Alarm, clock: &RunClock) {
        let completed_ns = alarm.mono_ns.saturating_sub(clock.origin_ns());
        let said_ns = self.pen.finding(Finding::Violation {
            key: None,
            operations: Vec::new(),
            completed_ns,
            rule: Some(alarm.rule.to_owned()),
        });
        self.switch.stop(Stop::Violation(format!(
            "{}: {}; seen online {} ms after the last event that shows it",
            alarm.rule,
            visible(&alarm.message, MESSAGE_CHARS_MAX),
            said_ns.saturating_sub(completed_ns).div_ceil(1_000_000)
        )));
    }

    fn give_up(&self, why: String) {
        tracing::warn!(why, "trace rules not asked online any more");
        crate::report::stdout::note(&format!(
            "trace rules not asked online any more: {}; they are asked at the end",
            visible(&why, MESSAGE_CHARS_MAX)
        ));
        self.say_not_checked(why);
    }

    fn say_not_checked(&self, reason: String) {
        self.pen.finding(Finding::NotCheckedOnline { key: None, reason });
    }
}

/// What a round came to.
#[derive(Debug)]
struct Outcome {
    word: Word,
    /// Traces that are not followed any more, with the reason.
    unreadable: Vec<String>,
}

#[derive(Debug, PartialEq, Eq)]
enum Word {
    Nothing,
    Alarm(Alarm),
    /// No further round can say anything; why, lower case, without a full stop.
    GivenUp(String),
}

/// Files in, breaches out; it has no thread and no clock of its own.
#[derive(Debug)]
struct Rounds {
    rules: RaftRules,
    /// Of the nodes that are followed.
    tails: BTreeMap<String, Tail>,
    piece: Vec<u8>,
    n_waiting_max: usize,
}

impl Rounds {
    fn over(traces: BTreeMap<String, PathBuf>, n_waiting_max: usize) -> Rounds {
        Rounds {
            rules: RaftRules::new(traces.keys().map(String::as_str)),
            tails: traces.into_iter().map(|(node, path)| (node, Tail::of(path))).collect(),
            piece: Vec::new(),
            n_waiting_max,
        }
    }

    /// Reads what is new of every trace and judges what can be judged. `mono_ns` is the monotonic clock.
    fn next(&mut self, mono_ns: impl Fn() -> u64) -> Outcome {
        // Before the first byte is read: see the module's header.
        let drained_from_ns = mono_ns();
        let Rounds {
            rules,
            tails,
            piece,
            n_waiting_max,
        } = self;
        for (node, tail) in tails.iter_mut() {
            let mut n_waiting = rules.n_waiting();
            let read = tail.read_on(piece, |lines| {
                if n_waiting <= *n_waiting_max {
                    rules.feed(node, lines);
                    n_waiting = rules.n_waiting();
                }
            });
            if n_waiting > *n_waiting_max {
                return self.fell_behind();
            }
            if let Err(error) = read {
                rules.fail(node, error);
            }
        }
        self.rules.settle(drained_from_ns);
        Outcome {
            word: self.word(),
            unreadable: self.leave_unreadable(),
        }
    }

    fn fell_behind(&self) -> Outcome {
        let why = format!("more than {} events of the nodes' traces wait to be judged", self.n_waiting_max);
        Outcome {
            word: Word::GivenUp(why),
            unreadable: Vec::new(),
        }
    }

    fn word(&self) -> Word {
        if let Some(alarm) = self.rules.alarm() {
            return Word::Alarm(alarm);
        }
        // While nodes run, doubts are about clocks alone, and without them no round knows what it may judge.
        let doubt = self.rules.doubts(&Conditions::default()).into_iter().next();
        doubt.map_or(Word::Nothing, |doubt| Word::GivenUp(format!("of {}, {}", doubt.node, doubt.reason)))
    }

    /// Follows traces no more that cannot be read on. What the others show stays judged.
    fn leave_unreadable(&mut self) -> Vec<String> {
        let left = self.rules.errors().filter(|(node, _)| self.tails.contains_key(*node));
        let left: Vec<(String, String)> = left
            .map(|(node, error)| (node.to_owned(), format!("the trace of {node} cannot be read: {error}")))
            .collect();
        for (node, _) in &left {
            self.tails.remove(node);
        }
        left.into_iter().map(|(_, why)| why).collect()
    }
}

#[cfg(test)]
mod tests;
