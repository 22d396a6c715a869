//! What proves that a key is not linearizable: one operation, or two values with at most six.

use serde::{Deserialize, Serialize};

use super::time::{Place, Times};
use super::window::Window;
use super::zones::Cluster;
use crate::history::History;

/// The proof of a violation. [`verify`](super::verify) replays it without knowing how it was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Certificate {
    /// A read returned a value that nobody wrote to this key.
    PhantomRead {
        /// The read.
        read: Place,
    },
    /// A read returned a value whose every write was definitely refused. A failure means: did not happen and never will.
    RefusedWriteRead {
        /// The read.
        read: Place,
        /// A write that failed.
        write: Place,
    },
    /// A read returned before the write of its value began.
    ReadFromTheFuture {
        /// The read.
        read: Place,
        /// The only write of its value.
        write: Place,
    },
    /// By the compare-and-sets that lead from one to the other, an operation must come after one that began after its return.
    AgainstChain {
        /// What must come first.
        first: Place,
        /// What must come after it, and had returned before.
        then: Place,
    },
    /// Two compare-and-sets replaced the same value, which was written once.
    ReplacedTwice {
        /// An operation that proves that one of them happened: itself, or one that saw what came of it.
        one: Place,
        /// The same of the other.
        other: Place,
    },
    /// Compare-and-sets that happened go round in a circle: no write begins them.
    Circle {
        /// An operation that proves that one of them happened.
        operation: Place,
    },
    /// A compare-and-set failed although the value it expected was there from before its invocation until after its return.
    FailedAlthoughEqual {
        /// The failed one.
        cas: Place,
        /// An operation that left or found the expected value, and returned before.
        returned_first: Place,
        /// An operation that found the expected value, and began after.
        began_last: Place,
        /// An operation that proves that `began_last` happened; itself unless its outcome is unknown.
        shown_by: Place,
    },
    /// No order explains these operations, whose values are written more than once.
    Window(Window),
    /// Each of two values must come before the other.
    Overlap {
        /// One value.
        one: Side,
        /// The other.
        other: Side,
    },
}

/// One value's part in an overlap. Every operation here writes or reads this value, or one that came of it by compare-and-sets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Side {
    /// The value's write.
    pub write: Place,
    /// An operation that returned before the other side's [`began_last`](Side::began_last) began.
    pub returned_first: Place,
    /// An operation that began after the other side's [`returned_first`](Side::returned_first) had returned.
    pub began_last: Place,
    /// An operation that proves that [`began_last`](Side::began_last) happened; itself, unless that is a compare-and-set of unknown outcome.
    #[serde(default = "Side::not_said")]
    pub shown_by: Place,
}

impl Side {
    fn not_said() -> Place {
        Place::INITIAL
    }
}

impl Certificate {
    /// The operations it names, each once, in the order of their invocations' lines. At most six, or eight where compare-and-sets are of
    /// unknown outcome. What they found and left may come from further writes and compare-and-sets, which are not named.
    pub fn operations(&self) -> Vec<usize> {
        let mut operations: Vec<usize> = self.named().iter().filter_map(|place| place.operation()).collect();
        operations.sort_unstable();
        operations.dedup();
        operations
    }

    fn named(&self) -> Vec<Place> {
        match *self {
            Certificate::Window(ref window) => [window.anchor, window.unplaceable]
                .iter()
                .chain(&window.operations)
                .copied()
                .collect(),
            Certificate::PhantomRead { read } => vec![read],
            Certificate::RefusedWriteRead { read, write } | Certificate::ReadFromTheFuture { read, write } => vec![read, write],
            Certificate::Overlap { one, other } => [one, other]
                .into_iter()
                .flat_map(|side| [side.write, side.returned_first, side.began_last, side.shown_by])
                .collect(),
            Certificate::AgainstChain { first, then } => vec![first, then],
            Certificate::ReplacedTwice { one, other } => vec![one, other],
            Certificate::Circle { operation } => vec![operation],
            Certificate::FailedAlthoughEqual {
                cas,
                returned_first,
                began_last,
                shown_by,
            } => vec![cas, returned_first, began_last, shown_by],
        }
    }

    /// When the violation was certain, in nanoseconds on the history's clock; `None` before its beginning.
    pub(super) fn certain_at_ns(&self, history: &History) -> Option<u64> {
        u64::try_from(self.certain_ns(&Times::of(history))).ok()
    }

    /// When the violation was certain: the last of its operations had been seen.
    pub(super) fn certain_ns(&self, times: &Times<'_>) -> i64 {
        if let Certificate::Window(window) = self {
            return times.seen_ns(window.unplaceable);
        }
        self.named().into_iter().map(|place| times.seen_ns(place)).max().unwrap_or(i64::MIN)
    }
}

/// The best certificate offered so far: the fewest operations; of those, the one that was certain first; of those, the first offered.
#[derive(Debug, Clone, Default)]
pub(super) struct Best(Option<(usize, i64, Certificate)>);

impl Best {
    pub(super) fn certificate(self) -> Option<Certificate> {
        self.0.map(|(_, _, certificate)| certificate)
    }

    pub(super) fn offer(&mut self, times: &Times<'_>, certificate: Certificate) {
        let (count, certain_ns) = (certificate.operations().len(), certificate.certain_ns(times));
        if self
            .0
            .as_ref()
            .is_none_or(|(best_count, best_ns, _)| (count, certain_ns) < (*best_count, *best_ns))
        {
            self.0 = Some((count, certain_ns, certificate));
        }
    }

    /// Offers every way in which a few operations of two contradictory clusters contradict each other already: a write alone may do, or
    /// the write with one of the two reads that bound its cluster.
    pub(super) fn offer_overlap(&mut self, times: &Times<'_>, one: &Cluster, other: &Cluster) {
        for one in sides(times, one) {
            for other in sides(times, other) {
                let before = |a: Side, b: Side| times.returned_ns(a.returned_first) < times.invoked_ns(b.began_last);
                if before(one, other) && before(other, one) {
                    self.offer(times, Certificate::Overlap { one, other });
                }
            }
        }
    }
}

/// The cluster cut down to its write and none, one or both of its bounding operations; smallest first.
fn sides(times: &Times<'_>, cluster: &Cluster) -> [Side; 4] {
    let Cluster { write, first, last, .. } = *cluster;
    [vec![], vec![first], vec![last], vec![first, last]].map(|reads| {
        let mut side = Side {
            write,
            returned_first: write,
            began_last: write,
            shown_by: write,
        };
        for read in reads {
            if times.returned_ns(read) < times.returned_ns(side.returned_first) {
                side.returned_first = read;
            }
            if times.invoked_ns(read) > times.invoked_ns(side.began_last) {
                side.began_last = read;
            }
        }
        side.shown_by = side.began_last;
        side
    })
}
