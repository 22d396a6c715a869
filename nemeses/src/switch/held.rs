//! Packets on their way: those that are due later, in the order in which they are.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// All that may be held at once, in bytes: 10 Gbit/s for a fifth of a second. More is dropped, as a full queue does.
const BYTES_MAX: usize = 256 << 20;

/// A packet that waits.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Held {
    pub(super) due_ns: u64,
    /// Of two that are due at once the one that came first goes first.
    number: u64,
    pub(super) from: usize,
    pub(super) to: usize,
    pub(super) frame: Vec<u8>,
}

/// All packets that wait.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    heap: BinaryHeap<Reverse<Held>>,
    number: u64,
    bytes: usize,
}

impl Waiting {
    /// Holds a copy of a packet; false if there is no room.
    pub(super) fn hold(&mut self, due_ns: u64, from: usize, to: usize, frame: &[u8]) -> bool {
        if self.bytes + frame.len() > BYTES_MAX {
            return false;
        }
        self.bytes += frame.len();
        self.number += 1;
        self.heap.push(Reverse(Held {
            due_ns,
            number: self.number,
            from,
            to,
            frame: frame.to_vec(),
        }));
        true
    }

    /// When the next one is due.
    pub(super) fn next_due_ns(&self) -> Option<u64> {
        self.heap.peek().map(|held| held.0.due_ns)
    }

    /// The next one, if it is due.
    pub(super) fn take_due(&mut self, now_ns: u64) -> Option<Held> {
        if self.next_due_ns()? > now_ns {
            return None;
        }
        let Reverse(held) = self.heap.pop()?;
        self.bytes -= held.frame.len();
        Some(held)
    }

    /// Brings packets forward: none is due later than `latest` says of its link. Their order stays.
    pub(super) fn bring_forward(&mut self, latest: impl Fn(usize, usize) -> u64) {
        let held = std::mem::take(&mut self.heap).into_vec();
        let forward = held.into_iter().map(|Reverse(held)| {
            Reverse(Held {
                due_ns: held.due_ns.min(latest(held.from, held.to)),
                ..held
            })
        });
        self.heap = forward.collect();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drain(waiting: &mut Waiting, now_ns: u64) -> Vec<u8> {
        std::iter::from_fn(|| waiting.take_due(now_ns)).map(|held| held.frame[0]).collect()
    }

    #[test]
    fn comes_out_when_due_and_in_order() {
        let mut waiting = Waiting::default();
        for (due_ns, mark) in [(30, 3), (10, 1), (10, 2), (40, 4)] {
            assert!(waiting.hold(due_ns, 0, 1, &[mark]));
        }
        assert_eq!((waiting.next_due_ns(), drain(&mut waiting, 9)), (Some(10), vec![]));
        assert_eq!(drain(&mut waiting, 30), [1, 2, 3]);
        assert_eq!((drain(&mut waiting, 40), waiting.bytes), (vec![4], 0));
    }

    #[test]
    fn what_is_brought_forward_keeps_its_order() {
        let mut waiting = Waiting::default();
        for (due_ns, to, mark) in [(30, 1, 1), (40, 1, 2), (35, 2, 9), (20, 1, 0)] {
            waiting.hold(due_ns, 0, to, &[mark]);
        }
        waiting.bring_forward(|_, to| if to == 1 { 25 } else { u64::MAX });
        assert_eq!(drain(&mut waiting, 25), [0, 1, 2]);
        assert_eq!(drain(&mut waiting, 35), [9]);
    }

    #[test]
    fn holds_no_more_than_its_bound() {
        let mut waiting = Waiting::default();
        let large = vec![0; BYTES_MAX];
        assert!(waiting.hold(1, 0, 1, &large));
        assert!(!waiting.hold(1, 0, 1, &[1]));
        waiting.take_due(1);
        assert!(waiting.hold(1, 0, 1, &[1]));
    }
}
