//! One client's stream of operations and the moments at which they are due.
//!
//! Unique values make the judge's exact check linear instead of exponential (Gibbons and Korach 1997); few clients per key make
//! violations visible, because with fifty writers on one key another write nearly always hides a lost one; keys that live for a few hundred
//! operations keep a violation's surroundings small.
//!
//! An operation is a function of (seed, client, count). With a rate, a client's time is cut into slots and `count` is the number of the
//! slot: a client that was blocked passes over the slots it missed, so that all clients of a key move on to the next one together. In
//! a closed loop (rate 0) `count` is the number of operations the client has done. Only what a compare-and-set expects depends on more: it
//! is what this client last saw of the key, which is the one thing that flows back from the store.

use std::sync::Arc;

use crate::chance::Draws;
use crate::client::{Argument, Function, Operation, Outcome, Seen};
use crate::generator::{Generator, Step};
use crate::options::Options;
use crate::rotation::Rotation;
use crate::workload::Kind;

const NS_PER_S: u64 = 1_000_000_000;

/// A key that stands at a place of the rotation.
#[derive(Debug, Clone)]
struct Standing {
    /// Its number.
    number: u64,
    name: Arc<str>,
    /// What this client last saw of it; `None`: nothing was ever written there, as far as it knows.
    seen: Option<i64>,
}

/// One client's stream.
pub(crate) struct Stream {
    kind: Kind,
    client: u64,
    clients: u64,
    reads_percent: u64,
    cas_percent: u64,
    deletes_percent: u64,
    /// Length of a slot; `None` in a closed loop.
    slot_ns: Option<u64>,
    rotation: Rotation,
    functions: Draws,
    changes: Draws,
    places: Draws,
    times: Draws,
    /// The same for all clients of a group.
    meetings: Draws,
    /// The key last used at each place.
    standing: Vec<Option<Standing>>,
    /// The smallest count that was not used.
    next: u64,
    /// What was asked last, and the place of its key.
    asked: Option<(usize, Operation)>,
}

impl Stream {
    pub(crate) fn new(kind: Kind, options: &Options, client: u32) -> Stream {
        let clients = u64::from(options.clients);
        let rotation = Rotation::new(options, client);
        Stream {
            kind,
            client: u64::from(client),
            clients,
            reads_percent: u64::from(options.reads_percent),
            cas_percent: u64::from(options.cas_percent),
            deletes_percent: u64::from(options.deletes_percent),
            slot_ns: (clients * NS_PER_S).checked_div(u64::from(options.rate)),
            standing: vec![None; rotation.places()],
            // The words in the names of the draws are older than the other workloads; a change would change every stream.
            functions: Draws::new(options.seed, "register.function", client),
            changes: Draws::new(options.seed, "register.change", client),
            places: Draws::new(options.seed, "register.place", client),
            times: Draws::new(options.seed, "register.time", client),
            meetings: Draws::new(options.seed, "register.meeting", rotation.number()),
            rotation,
            next: 0,
            asked: None,
        }
    }

    /// The operation at `count`.
    pub(crate) fn operation(&mut self, count: u64) -> Operation {
        self.placed(count).1
    }

    /// The operation at `count`, with the place of its key.
    fn placed(&mut self, count: u64) -> (usize, Operation) {
        let place = self.places.below(count, self.rotation.places() as u64);
        let number = self.rotation.key_number(place, count);
        let place = usize::try_from(place).expect("a place is below the number of keys at once");
        let known = self.standing[place].take().filter(|known| known.number == number);
        let known = known.unwrap_or_else(|| Standing {
            number,
            name: format!("k{number}").into(),
            seen: None,
        });
        let (key, seen) = (Arc::clone(&known.name), known.seen);
        self.standing[place] = Some(known);
        if self.functions.below(count, 100) < self.reads_percent {
            return (place, Operation::new(self.kind.read(), key, Argument::None));
        }
        // Tells who wrote it and when; never 0, which stores like to give back by mistake.
        let unique = count * self.clients + self.client + 1;
        let unique = i64::try_from(unique).expect("a count is a moment of the run in slots");
        let change = self.changes.below(count, 100);
        if change < self.cas_percent {
            return (place, Operation::new(Function::Cas, key, Argument::Pair(seen, unique)));
        }
        if change < self.cas_percent + self.deletes_percent {
            return (place, Operation::new(Function::Write, key, Argument::None));
        }
        (place, self.kind.change(key, unique))
    }

    /// Remembers what the last operation tells about its key.
    fn learn(&mut self, last: &Outcome) {
        let Some((place, operation)) = self.asked.take() else { return };
        let Some(standing) = self.standing[place].as_mut().filter(|standing| standing.name == operation.key) else {
            return;
        };
        let seen = match (last, operation.argument) {
            (Outcome::Ok(_), Argument::Value(new) | Argument::Pair(_, new)) => Some(new),
            (Outcome::Ok(seen), Argument::None) => number(seen),
            (Outcome::Failed(note), _) => note.seen.as_ref().and_then(number),
            // Perhaps its own value stands there now: whoever expects it tells the two cases apart.
            (Outcome::Unknown(_), Argument::Value(new) | Argument::Pair(_, new)) => Some(new),
            (Outcome::Unknown(_), Argument::None) => None,
        };
        standing.seen = seen.or(standing.seen);
    }

    /// When the operation at `count` is due: in even slots anywhere, so that clients keep no step; in odd ones all clients of a group meet
    /// at one moment of the slot. An operation takes a millisecond and its slot ten, so operations that never met would hardly ever
    /// overlap, and what a store does wrong it does where they overlap: a read that sees a write in progress, and the next that does not.
    fn due_ns(&mut self, count: u64, slot_ns: u64) -> u64 {
        let draws = if count.is_multiple_of(2) {
            &mut self.times
        } else {
            &mut self.meetings
        };
        count.saturating_mul(slot_ns).saturating_add(draws.below(count, slot_ns))
    }

    fn invoke(&mut self, count: u64) -> Step {
        self.next = count + 1;
        let (place, operation) = self.placed(count);
        self.asked = Some((place, operation.clone()));
        Step::Invoke(operation)
    }
}

fn number(seen: &Seen) -> Option<i64> {
    match seen {
        Seen::Number(number) => Some(*number),
        Seen::Nothing | Seen::List(_) | Seen::Foreign(_) => None,
    }
}

impl Generator for Stream {
    fn next(&mut self, now_ns: u64, last: Option<&Outcome>) -> Step {
        if let Some(last) = last {
            self.learn(last);
        }
        let Some(slot_ns) = self.slot_ns else {
            return self.invoke(self.next);
        };
        // The slot before the current one still counts: timers are a millisecond late, and a slot may be shorter than an operation.
        let earliest = (now_ns / slot_ns).saturating_sub(1);
        let count = self.next.max(earliest);
        let due_ns = self.due_ns(count, slot_ns);
        if due_ns > now_ns {
            return Step::WaitUntil(due_ns);
        }
        self.invoke(count)
    }
}
