//! One client's stream of operations and the moments at which they are due.

use std::sync::Arc;

use super::{Options, Rotation};
use crate::chance::Draws;
use crate::client::{Function, Operation, Outcome};
use crate::{Generator, Step};

const NS_PER_S: u64 = 1_000_000_000;

/// One client's stream.
pub(super) struct Stream {
    client: u64,
    clients: u64,
    reads_percent: u64,
    /// Length of a slot; `None` in a closed loop.
    slot_ns: Option<u64>,
    rotation: Rotation,
    functions: Draws,
    places: Draws,
    times: Draws,
    /// The same for all clients of a group.
    meetings: Draws,
    /// The name of the key last used at each place, with its number.
    names: Vec<Option<(u64, Arc<str>)>>,
    /// The smallest count that was not used.
    next: u64,
}

impl Stream {
    pub(super) fn new(options: &Options, client: u32) -> Stream {
        let clients = u64::from(options.clients);
        let rotation = Rotation::new(options, client);
        Stream {
            client: u64::from(client),
            clients,
            reads_percent: u64::from(options.reads_percent),
            slot_ns: (clients * NS_PER_S).checked_div(u64::from(options.rate)),
            names: vec![None; rotation.ahead.len()],
            functions: Draws::new(options.seed, "register.function", client),
            places: Draws::new(options.seed, "register.place", client),
            times: Draws::new(options.seed, "register.time", client),
            meetings: Draws::new(options.seed, "register.meeting", rotation.number()),
            rotation,
            next: 0,
        }
    }

    /// The operation at `count`.
    pub(super) fn operation(&mut self, count: u64) -> Operation {
        let place = self.places.below(count, self.rotation.ahead.len() as u64);
        let key = self.key(place, count);
        if self.functions.below(count, 100) < self.reads_percent {
            return Operation {
                f: Function::Read,
                key,
                value: None,
            };
        }
        // Tells who wrote it and when; never 0, which stores like to give back by mistake.
        let value = count * self.clients + self.client + 1;
        Operation {
            f: Function::Write,
            key,
            value: Some(i64::try_from(value).expect("a count is a moment of the run in slots")),
        }
    }

    fn key(&mut self, place: u64, count: u64) -> Arc<str> {
        let number = self.rotation.key_number(place, count);
        let known = &mut self.names[usize::try_from(place).expect("a place is below the number of keys at once")];
        match known {
            Some((same, name)) if *same == number => Arc::clone(name),
            _ => {
                let name: Arc<str> = format!("k{number}").into();
                *known = Some((number, Arc::clone(&name)));
                name
            }
        }
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
}

impl Generator for Stream {
    fn next(&mut self, now_ns: u64, _last: Option<&Outcome>) -> Step {
        let Some(slot_ns) = self.slot_ns else {
            self.next += 1;
            return Step::Invoke(self.operation(self.next - 1));
        };
        // The slot before the current one still counts: timers are a millisecond late, and a slot may be shorter than an operation.
        let earliest = (now_ns / slot_ns).saturating_sub(1);
        let count = self.next.max(earliest);
        let due_ns = self.due_ns(count, slot_ns);
        if due_ns > now_ns {
            return Step::WaitUntil(due_ns);
        }
        self.next = count + 1;
        Step::Invoke(self.operation(count))
    }
}
