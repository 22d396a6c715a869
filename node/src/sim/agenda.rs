//! What is due when: a heap of small keys, and the happenings themselves in slots that are used again, so that sifting moves 24 bytes and
//! nothing is allocated once a run is under way.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Happenings by time; those of one moment in the order in which they were entered.
#[derive(Debug)]
pub(super) struct Agenda<T> {
    due: BinaryHeap<Reverse<(u64, u64, u32)>>,
    slots: Vec<Option<T>>,
    free: Vec<u32>,
    entered: u64,
}

impl<T> Default for Agenda<T> {
    fn default() -> Agenda<T> {
        Agenda {
            due: BinaryHeap::new(),
            slots: Vec::new(),
            free: Vec::new(),
            entered: 0,
        }
    }
}

impl<T> Agenda<T> {
    /// Enters a happening.
    pub(super) fn enter(&mut self, at_ns: u64, happening: T) {
        let slot = match self.free.pop() {
            Some(slot) => {
                self.slots[slot as usize] = Some(happening);
                slot
            }
            None => {
                self.slots.push(Some(happening));
                u32::try_from(self.slots.len() - 1).expect("fewer than 2^32 happenings are due at once")
            }
        };
        self.entered += 1;
        self.due.push(Reverse((at_ns, self.entered, slot)));
    }

    /// Takes out the next happening: its time in ns, its number among all entered, and itself.
    pub(super) fn next(&mut self) -> Option<(u64, u64, T)> {
        let Reverse((at_ns, number, slot)) = self.due.pop()?;
        self.free.push(slot);
        let happening = self.slots[slot as usize].take().expect("a key in the heap has its slot filled");
        Some((at_ns, number, happening))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gives_back_by_time_and_then_by_entry() {
        let mut agenda = Agenda::default();
        for (at_ns, name) in [(5, "late"), (3, "first"), (3, "second"), (1, "early")] {
            agenda.enter(at_ns, name);
        }
        assert_eq!(agenda.next().map(|(at_ns, _, name)| (at_ns, name)), Some((1, "early")));
        agenda.enter(3, "third");
        let rest: Vec<_> = std::iter::from_fn(|| agenda.next()).map(|(at_ns, _, name)| (at_ns, name)).collect();
        assert_eq!(rest, [(3, "first"), (3, "second"), (3, "third"), (5, "late")]);
        assert_eq!(agenda.slots.len(), 4, "slots are used again");
    }
}
