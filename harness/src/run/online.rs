//! The online check of a run: a thread that takes what the recorder's tap gives, and stops the run at the first violation.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use squall_checker::escape::visible;
use squall_checker::history::mark::Finding;
use squall_checker::online::{Online, Violation};

use super::lifeline::{Stop, StopSwitch};
use crate::record::{Pen, Tapped, TappedLine};

/// How much later than its stamp a line may reach the queue. Clients stamp and enqueue without a pause between, so this is a thread that the
/// scheduler held up just there; it also is how long an overwritten value is remembered in full, some hundreds of values.
const SLACK: Duration = Duration::from_millis(100);

/// Longest key in a sentence, in characters.
const KEY_CHARS_MAX: usize = 40;

/// The running check.
pub(super) struct OnlineCheck {
    /// Whether nothing may be recorded any more.
    over: Arc<Mutex<bool>>,
}

impl OnlineCheck {
    /// Starts the thread. It ends with the recorder.
    ///
    /// # Errors
    /// If the system gives no more threads.
    pub(super) fn start(tapped: Tapped, pen: Pen, switch: StopSwitch) -> std::io::Result<OnlineCheck> {
        let over = Arc::<Mutex<bool>>::default();
        let watcher = Watcher {
            tapped,
            pen,
            switch,
            over: Arc::clone(&over),
        };
        std::thread::Builder::new()
            .name("online check".into())
            .spawn(move || watcher.run())?;
        Ok(OnlineCheck { over })
    }

    /// Says nothing more from now on: the end of the history is about to be recorded.
    pub(super) fn end(&self) {
        *self.over.lock().expect("no holder of this lock panics") = true;
    }
}

struct Watcher {
    tapped: Tapped,
    pen: Pen,
    switch: StopSwitch,
    over: Arc<Mutex<bool>>,
}

impl Watcher {
    fn run(self) {
        let mut online = Online::new(u64::try_from(SLACK.as_nanos()).expect("a slack is far below 500 years"));
        while let Some(line) = self.tapped.next() {
            match line {
                TappedLine::Invoke {
                    index,
                    process,
                    key,
                    asked,
                    time_ns,
                } => {
                    let Ok(place) = u32::try_from(index) else {
                        return self.give_up("the history has more than 2^32 lines");
                    };
                    online.invoke(process, place, Some(key), asked, time_ns);
                }
                TappedLine::Complete { process, ended, time_ns } => {
                    if let Some(violation) = online.complete(process, ended, time_ns) {
                        // The first one is enough: it stops the run.
                        return self.report(&violation);
                    }
                }
            }
            for left in online.newly_left() {
                self.say(Finding::NotCheckedOnline {
                    key: left.key.map(|key| key.to_string()),
                    reason: left.reason,
                });
            }
        }
        if self.tapped.fell_behind() {
            self.give_up("it fell behind the recorder");
        }
    }

    fn report(&self, violation: &Violation) {
        let operations = violation.certificate.operations();
        let said_ns = self.say(Finding::Violation {
            key: violation.key.as_deref().map(str::to_owned),
            operations: operations.into_iter().map(|index| index as u64).collect(),
            completed_ns: violation.completed_ns,
            rule: None,
        });
        let Some(said_ns) = said_ns else { return };
        let key = violation.key.as_deref().unwrap_or_default();
        self.switch.stop(Stop::Violation(format!(
            "key `{}` is not linearizable, seen online {} ms after the operation that made it certain",
            visible(key, KEY_CHARS_MAX),
            said_ns.saturating_sub(violation.completed_ns).div_ceil(1_000_000)
        )));
    }

    fn give_up(&self, why: &str) {
        tracing::warn!(why, "not checked online any more");
        crate::report::stdout::note(&format!(
            "not checked online any more: {why}; the whole history is judged at the end"
        ));
        self.say(Finding::NotCheckedOnline {
            key: None,
            reason: why.to_owned(),
        });
    }

    /// Records a finding, unless the end is recorded already; returns its stamp.
    fn say(&self, finding: Finding) -> Option<u64> {
        let over = self.over.lock().expect("no holder of this lock panics");
        (!*over).then(|| self.pen.finding(finding))
    }
}
