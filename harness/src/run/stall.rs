//! The stall meter: was the harness itself scheduled?
//!
//! A thread of its own wakes every 10 ms and measures by how much it is late. On a starved or suspended machine any store looks
//! dead, so the judge believes no finding about liveness while this meter was late (ARCHITECTURE.md, "Crash and liveness").

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use squall_checker::history::mark::Finding;

use crate::record::Pen;

const NS_PER_MS: u64 = 1_000_000;

/// Pause between two ticks: short against the lateness that matters.
const TICK_NS: u64 = 10 * NS_PER_MS;

/// A stall from which on liveness is not judged. It is recorded at once, so that a killed harness leaves it in the history, too.
const RECORD_AT_ONCE_NS: u64 = 200 * NS_PER_MS;

/// Measures stalls until it is stopped.
pub struct StallMeter {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
    pen: Pen,
}

#[derive(Default)]
struct Shared {
    /// The worst lateness that stands in no finding yet.
    worst_ns: AtomicU64,
    stop: AtomicBool,
}

impl Shared {
    fn record(&self, pen: &Pen) {
        let worst_ms = self.worst_ns.swap(0, Ordering::Relaxed) / NS_PER_MS;
        pen.finding(Finding::Stall { worst_ms });
    }
}

impl StallMeter {
    /// Starts the ticker.
    ///
    /// # Errors
    /// If the system gives no more threads.
    pub fn start(pen: Pen) -> std::io::Result<StallMeter> {
        let shared = Arc::<Shared>::default();
        let ticker = Ticker {
            shared: Arc::clone(&shared),
            pen: pen.clone(),
        };
        let thread = std::thread::Builder::new().name("stall meter".into()).spawn(move || ticker.run())?;
        Ok(StallMeter {
            shared,
            thread: Some(thread),
            pen,
        })
    }

    /// Records the worst lateness of the phase that ends now, also when it is 0: that the meter ran is what makes liveness judgeable.
    pub fn phase_ends(&self) {
        self.shared.record(&self.pen);
    }

    /// Ends the ticker and records the rest.
    pub fn stop(mut self) {
        self.end();
        self.shared.record(&self.pen);
    }

    fn end(&mut self) {
        let Some(thread) = self.thread.take() else { return };
        self.shared.stop.store(true, Ordering::Relaxed);
        thread.thread().unpark();
        // It only ever panics if its pen does, which has its own way to say so.
        let _ = thread.join();
    }
}

impl Drop for StallMeter {
    fn drop(&mut self) {
        self.end();
    }
}

struct Ticker {
    shared: Arc<Shared>,
    pen: Pen,
}

impl Ticker {
    fn run(self) {
        let clock = self.pen.clock();
        let mut ticks = Ticks::begin(clock.now_ns());
        while !self.shared.stop.load(Ordering::Relaxed) {
            match ticks.look(clock.now_ns()) {
                // May return early; the loop looks again.
                Look::Early { wait_ns } => std::thread::park_timeout(Duration::from_nanos(wait_ns)),
                Look::Due { late_ns } => {
                    self.shared.worst_ns.fetch_max(late_ns, Ordering::Relaxed);
                    if late_ns >= RECORD_AT_ONCE_NS {
                        self.shared.record(&self.pen);
                    }
                }
            }
        }
    }
}

/// The rhythm, without a clock of its own.
struct Ticks {
    due_ns: u64,
}

/// What a look at the clock means.
#[derive(Debug, PartialEq, Eq)]
enum Look {
    Early { wait_ns: u64 },
    Due { late_ns: u64 },
}

impl Ticks {
    fn begin(now_ns: u64) -> Ticks {
        Ticks { due_ns: now_ns + TICK_NS }
    }

    fn look(&mut self, now_ns: u64) -> Look {
        if now_ns < self.due_ns {
            return Look::Early {
                wait_ns: self.due_ns - now_ns,
            };
        }
        let late_ns = now_ns - self.due_ns;
        // From now, not from when it was due: one stall is measured once.
        self.due_ns = now_ns + TICK_NS;
        Look::Due { late_ns }
    }
}

#[cfg(test)]
mod tests {
    use super::{Look, NS_PER_MS, StallMeter, Ticks};
    use crate::record::test_support::{events, recorder};

    #[test]
    fn measures_one_stall_once() {
        let ms = |ms: u64| ms * NS_PER_MS;
        let mut ticks = Ticks::begin(0);
        assert_eq!(ticks.look(ms(4)), Look::Early { wait_ns: ms(6) });
        assert_eq!(ticks.look(ms(10)), Look::Due { late_ns: 0 });
        assert_eq!(ticks.look(ms(520)), Look::Due { late_ns: ms(500) });
        assert_eq!(ticks.look(ms(521)), Look::Early { wait_ns: ms(9) });
        assert_eq!(ticks.look(ms(531)), Look::Due { late_ns: ms(1) });
    }

    #[test]
    fn every_phase_gets_its_line_and_so_does_the_end() {
        let (folder, recorder) = recorder();
        let meter = StallMeter::start(recorder.pen()).expect("a thread can be started");
        meter.phase_ends();
        meter.phase_ends();
        meter.stop();
        recorder.close().expect("the file can be written");
        let stalls = events(&folder).into_iter().filter(|event| event.f == "stall").count();
        assert!(stalls >= 3, "{stalls} lines");
    }
}
