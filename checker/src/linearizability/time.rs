//! When operations certainly came before one another.

use serde::{Deserialize, Serialize};

use crate::history::History;

/// One operation of a history by its place in [`History::operations`], or the write of null before time.
///
/// Ordered by place, the initial write last. Serialized as the place, or null.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(from = "Option<u32>", into = "Option<u32>")]
pub struct Place(u32);

impl Place {
    /// The value a register has before any write: as if null had been written before time.
    pub const INITIAL: Place = Place(u32::MAX);

    /// The operation at `place`. A file has fewer than 2^32 lines, so places fit.
    pub(super) fn of(place: u32) -> Place {
        Place(place)
    }

    /// The place in [`History::operations`]; `None` for the initial write.
    pub fn operation(self) -> Option<usize> {
        (self != Place::INITIAL).then_some(self.0 as usize)
    }
}

impl From<Option<u32>> for Place {
    fn from(place: Option<u32>) -> Place {
        place.map_or(Place::INITIAL, Place)
    }
}

impl From<Place> for Option<u32> {
    fn from(place: Place) -> Option<u32> {
        (place != Place::INITIAL).then_some(place.0)
    }
}

/// The times of a history's operations on the extended line: the initial write is before all of it, the return of an unknown outcome after.
///
/// `a` certainly came before `b` exactly if `returned_ns(a) < invoked_ns(b)`. Where clocks may differ by E, a return counts as E later:
/// only what is further apart than E is in order.
#[derive(Clone, Copy)]
pub(super) struct Times<'a> {
    history: &'a History,
    clock_error_ns: i64,
}

impl<'a> Times<'a> {
    /// After everything that happened.
    pub(super) const NEVER: i64 = i64::MAX;
    /// Before everything that happened.
    const ALWAYS: i64 = i64::MIN;

    pub(super) fn of(history: &'a History) -> Times<'a> {
        Times {
            history,
            clock_error_ns: finite(history.clock_error_ns()),
        }
    }

    pub(super) fn history(&self) -> &'a History {
        self.history
    }

    pub(super) fn invoked_ns(&self, place: Place) -> i64 {
        place
            .operation()
            .map_or(Self::ALWAYS, |place| finite(self.history.operations[place].invoked_ns))
    }

    pub(super) fn returned_ns(&self, place: Place) -> i64 {
        let Some(place) = place.operation() else { return Self::ALWAYS };
        match self.history.operations[place].returned_ns() {
            Some(returned_ns) => finite(finite(returned_ns).saturating_add(self.clock_error_ns) as u64),
            None => Self::NEVER,
        }
    }

    /// When an operation was seen to take part: at its return, or at its invocation if it never returned.
    pub(super) fn seen_ns(&self, place: Place) -> i64 {
        match self.returned_ns(place) {
            Self::NEVER => self.invoked_ns(place),
            returned_ns => returned_ns,
        }
    }
}

/// A time strictly between the two ends. The reader refuses what would be cut here.
fn finite(time_ns: u64) -> i64 {
    i64::try_from(time_ns).unwrap_or(i64::MAX).min(i64::MAX - 1)
}
