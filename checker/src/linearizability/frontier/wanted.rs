//! The values that would help somebody in one configuration.

/// A set of values that is emptied at once.
pub(super) struct Wanted {
    /// Per value: the round in which it was wanted last.
    rounds: Vec<u32>,
    round: u32,
    /// Whether any other value than the present one helps.
    pub(super) any_other: bool,
}

impl Wanted {
    pub(super) fn new(values: usize) -> Wanted {
        Wanted {
            rounds: vec![0; values],
            round: 0,
            any_other: false,
        }
    }

    pub(super) fn clear(&mut self) {
        self.any_other = false;
        self.round = self.round.checked_add(1).unwrap_or_else(|| {
            self.rounds.fill(0);
            1
        });
    }

    /// Whether it is new.
    pub(super) fn insert(&mut self, value: u32) -> bool {
        let is_new = self.rounds[value as usize] != self.round;
        self.rounds[value as usize] = self.round;
        is_new
    }

    /// Whether somebody looks for this very value.
    pub(super) fn is_looked_for(&self, value: u32) -> bool {
        self.rounds[value as usize] == self.round
    }

    /// Whether a change from `present` to `value` helps.
    pub(super) fn has(&self, value: u32, present: u32) -> bool {
        value != present && (self.any_other || self.is_looked_for(value))
    }
}
