//! A node's last messages, and when each left by its own clock. Found by their ids, which grow with each message.

use std::collections::VecDeque;

/// A message of a node: the life and the stamp of its frame.
pub(super) type LetterId = (u64, u64);

/// The last `MAX` messages of a node; the oldest go first.
#[derive(Debug, Clone, Default)]
pub(super) struct Sent<const MAX: usize> {
    left_ns: VecDeque<(LetterId, u64)>,
}

impl<const MAX: usize> Sent<MAX> {
    /// A message leaves, with a larger id than all before.
    pub(super) fn add(&mut self, id: LetterId, left_ns: u64) {
        push(&mut self.left_ns, (id, left_ns), MAX);
    }

    /// When this message left; `None` if it is forgotten or was never seen.
    pub(super) fn left_ns(&self, id: LetterId) -> Option<u64> {
        let (found, left_ns) = self.first_from(id)?;
        (found == id).then_some(left_ns)
    }

    /// The first message of this id or a larger one, and when it left.
    pub(super) fn first_from(&self, id: LetterId) -> Option<(LetterId, u64)> {
        let place = self.left_ns.partition_point(|(sent, _)| *sent < id);
        self.left_ns.get(place).copied()
    }
}

/// Adds to what is kept, and lets the oldest go if there are `max` already.
pub(super) fn push<T>(kept: &mut VecDeque<T>, item: T, max: usize) {
    if kept.len() == max {
        kept.pop_front();
    }
    kept.push_back(item);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_forgotten_message_is_not_found_and_the_next_one_stands_in_for_it() {
        let mut sent = Sent::<2>::default();
        for (id, left_ns) in [((1, 5), 10), ((1, 8), 20), ((2, 1), 30)] {
            sent.add(id, left_ns);
        }
        assert_eq!(
            (sent.left_ns((1, 5)), sent.left_ns((1, 8)), sent.left_ns((2, 1))),
            (None, Some(20), Some(30))
        );
        assert_eq!(sent.first_from((1, 5)), Some(((1, 8), 20)));
        assert_eq!((sent.left_ns((1, 9)), sent.first_from((1, 9))), (None, Some(((2, 1), 30))));
        assert_eq!(sent.first_from((2, 2)), None);
    }
}
