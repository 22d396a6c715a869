//! Operations that wait: for a moment, on a slow disk, or until somebody lets them go, where a trigger holds an fsync.
//!
//! No thread of the file system ever waits: what has to is put aside as a job, with its answer in it. So a held fsync of one file stops nothing but
//! who asked for it.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// What is left to do of an operation.
pub(super) type Job = Box<dyn FnOnce() + Send>;

/// Says of an fsync that is about to begin whether it is to be held.
pub(super) type Asker = Arc<dyn Fn() -> bool + Send + Sync>;

/// Holds fsyncs.
#[derive(Default)]
pub(super) struct Gate {
    state: Mutex<State>,
    arrived: Condvar,
}

#[derive(Default)]
struct State {
    /// How many more syncs pass before one is held; `None` while nobody holds any.
    to_pass: Option<u64>,
    /// Asked of every sync that would pass.
    asker: Option<Asker>,
    held: Vec<Job>,
    /// All syncs there have been.
    seen: u64,
}

impl Gate {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Holds the `nth` sync from now (the next is the first) and every later one.
    pub(super) fn hold(&self, nth: u64) {
        self.state().to_pass = Some(nth.saturating_sub(1));
    }

    /// Has every sync from now on asked about; one that is to be held is, and every later one.
    pub(super) fn ask(&self, asker: Asker) {
        self.state().asker = Some(asker);
    }

    /// Whether a sync is held, waiting up to `bound` for one.
    pub(super) fn wait_held(&self, bound: Duration) -> bool {
        let waited = self.arrived.wait_timeout_while(self.state(), bound, |state| state.held.is_empty());
        !waited.unwrap_or_else(PoisonError::into_inner).0.held.is_empty()
    }

    /// Lets go what is held and holds no more; says how many there were.
    pub(super) fn release(&self) -> usize {
        let held = self.take();
        let n_held = held.len();
        held.into_iter().for_each(|job| job());
        n_held
    }

    /// Ends what is held without doing it, as a power cut does.
    pub(super) fn abandon(&self) {
        drop(self.take());
    }

    fn take(&self) -> Vec<Job> {
        let mut state = self.state();
        state.to_pass = None;
        std::mem::take(&mut state.held)
    }

    /// How many syncs there have been.
    pub(super) fn seen(&self) -> u64 {
        self.state().seen
    }

    /// Does a sync, or puts it aside.
    pub(super) fn pass(&self, job: Job) {
        let mut state = self.state();
        state.seen += 1;
        if state.holds_next() {
            state.held.push(job);
            self.arrived.notify_all();
        } else {
            drop(state);
            job();
        }
    }
}

impl State {
    /// Whether the next sync is to be held. Once one is, all are: a disk that held the one and did another would make durable what waits.
    fn holds_next(&mut self) -> bool {
        if let Some(left @ 1..) = &mut self.to_pass {
            *left -= 1;
            return false;
        }
        if self.to_pass.is_none() && self.asker.as_ref().is_some_and(|asker| asker()) {
            self.to_pass = Some(0);
        }
        self.to_pass.is_some()
    }
}

/// Does jobs later, in order of their hours.
pub(super) struct Later(Sender<Order>);

enum Order {
    Do(Due),
    /// All that waits, now.
    Hurry,
}

struct Due {
    at: Instant,
    number: u64,
    job: Job,
}

impl Later {
    /// Starts the thread that does them; it ends with the last handle.
    pub(super) fn start() -> io::Result<Later> {
        let (sender, receiver) = mpsc::channel::<Order>();
        thread::Builder::new().name("disk-later".into()).spawn(move || {
            let mut waiting: BinaryHeap<Reverse<Due>> = BinaryHeap::new();
            let mut number = 0;
            loop {
                let until = waiting.peek().map_or(Duration::from_secs(3_600), |first| {
                    first.0.at.saturating_duration_since(Instant::now())
                });
                match receiver.recv_timeout(until) {
                    Ok(Order::Do(due)) => {
                        number += 1;
                        waiting.push(Reverse(Due { number, ..due }));
                    }
                    Ok(Order::Hurry) => {
                        while let Some(Reverse(due)) = waiting.pop() {
                            (due.job)();
                        }
                    }
                    Err(RecvTimeoutError::Timeout) => {}
                    Err(RecvTimeoutError::Disconnected) => return,
                }
                while waiting.peek().is_some_and(|first| first.0.at <= Instant::now()) {
                    if let Some(Reverse(due)) = waiting.pop() {
                        (due.job)();
                    }
                }
            }
        })?;
        Ok(Later(sender))
    }

    /// Does `job` after `delay`.
    pub(super) fn after(&self, delay: Duration, job: Job) {
        let due = Due {
            at: Instant::now() + delay,
            number: 0,
            job,
        };
        // The thread lives as long as this handle.
        let _ = self.0.send(Order::Do(due));
    }

    /// Does at once, in order, whatever waits.
    pub(super) fn hurry(&self) {
        let _ = self.0.send(Order::Hurry);
    }
}

impl PartialEq for Due {
    fn eq(&self, other: &Due) -> bool {
        (self.at, self.number) == (other.at, other.number)
    }
}

impl Eq for Due {}

impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Due) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Due {
    fn cmp(&self, other: &Due) -> std::cmp::Ordering {
        (self.at, self.number).cmp(&(other.at, other.number))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    #[test]
    fn an_asked_gate_holds_the_sync_it_is_told_to_and_every_later_one_until_it_is_released() {
        let (gate, done, asked) = (Gate::default(), Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let n_asked = Arc::clone(&asked);
        gate.ask(Arc::new(move || n_asked.fetch_add(1, Ordering::SeqCst) == 1));
        let sync = || {
            let done = Arc::clone(&done);
            gate.pass(Box::new(move || {
                done.fetch_add(1, Ordering::SeqCst);
            }));
            gate.wait_held(Duration::ZERO)
        };
        assert_eq!([sync(), sync(), sync()], [false, true, true]);
        assert_eq!(
            (done.load(Ordering::SeqCst), asked.load(Ordering::SeqCst)),
            (1, 2),
            "who is held is not asked about"
        );
        assert_eq!((gate.release(), done.load(Ordering::SeqCst)), (2, 3));
        assert!(!sync(), "the next one is asked about again, and passes");
        assert_eq!(asked.load(Ordering::SeqCst), 3);
    }

    #[test]
    fn jobs_that_wait_are_done_in_order_when_there_is_no_reason_to_wait_any_more() {
        let (later, (done, seen)) = (Later::start().unwrap(), mpsc::channel());
        for (hours, name) in [(2, "third"), (1, "first"), (1, "second")] {
            let done = done.clone();
            later.after(Duration::from_secs(hours * 3_600), Box::new(move || done.send(name).unwrap()));
        }
        later.hurry();
        let next = || seen.recv_timeout(Duration::from_secs(60)).unwrap();
        assert_eq!([next(), next(), next()], ["first", "second", "third"]);
    }

    #[test]
    fn an_abandoned_sync_is_never_done() {
        let (gate, done) = (Gate::default(), Arc::new(AtomicU64::new(0)));
        gate.ask(Arc::new(|| true));
        let counted = Arc::clone(&done);
        gate.pass(Box::new(move || {
            counted.fetch_add(1, Ordering::SeqCst);
        }));
        gate.abandon();
        assert_eq!((gate.release(), done.load(Ordering::SeqCst)), (0, 0));
    }
}
