//! Registers whose written values are all different: exact, one sort.
//!
//! Source: Gibbons and Korach, "Testing Shared Memories", SIAM J. Comput. 1997 (the case where it is known which write a read saw).
//!
//! **The idea.** Where every value is written once, a read names its write. All operations of one value, its *cluster*, must stand in one
//! block of the order: write first, then its reads, and nothing of another value between. So the question is only whether the blocks can
//! be put in an order. For a cluster let
//!
//! - `f` be the smallest return and `s` the largest invocation of its operations (a write that never returned returns at infinity).
//!
//! Cluster u must come before v as soon as some operation of u returned before some operation of v began: `f(u) < s(v)`. Two clusters that
//! must each come before the other are a contradiction, and **only such pairs need to be looked for**: on any cycle of "must come before"
//! the member m with the largest `s` is preceded by everybody on it (`f(x) < s(successor of x) <= s(m)`), so m and its own successor
//! already contradict each other. Comparisons are strict, because equal times are concurrent.
//!
//! **The sweep.** The clusters in order of `f`; of those seen so far it is enough to keep the one with the largest `s`, as it contradicts
//! whatever any of them contradicts: a pair exists if and only if `f(v) < s(kept)` and `f(kept) < s(v)` for some v.
//!
//! **What costs nothing.** A write of unknown outcome that nobody read may never have happened: it is dropped. A read of unknown or failed
//! outcome says nothing. The initial null is a write before time.
//!
//! **Compare-and-set.** A successful one from a to b is b's writer and finds a, so b must follow a directly: the clusters linked this way are
//! one *chain*, whose operations have an order of their own, and stand in one block of the order. A chain that breaks its own order is a
//! contradiction (`chains`); else a chain is a cluster like any other, with the `f` and `s` of all its operations. One of unknown outcome
//! happened exactly if somebody saw its value. A failed one that reports the value it saw is a read; one that only says "something else" is
//! judged in [`failed`](super::failed).
//!
//! **Repeated values.** Removing all operations of a value from a linearizable history of a register leaves a linearizable history. So
//! where a value has two writers its reads are set aside; what the rest contradicts stays contradicted, and what it does not is left to
//! the frontier. A single write needs no reads to be ordered and stays. Without reads set aside the answer is exact. Compare-and-set binds
//! values to each other, so where there are any, nothing is set aside and the key goes to the frontier at once.

mod by_value;
mod chains;

use rustc_hash::FxHashMap;

use self::by_value::{ByValue, Repeated};
use self::chains::Chains;
use super::certificate::{Best, Certificate, Side};
use super::meaning::{Facts, Meaning};
use super::nearly_sorted;
use super::time::{Place, Times};

/// All operations of one written value.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cluster {
    /// Its write.
    pub(super) write: Place,
    /// The operation with the smallest return, and that return.
    pub(super) first: Place,
    pub(super) first_ns: i64,
    /// The operation with the largest invocation, and that invocation.
    pub(super) last: Place,
    pub(super) last_ns: i64,
    /// Whether somebody read it.
    read: bool,
    /// Whether its value has another writer: then its reads are set aside.
    repeated: bool,
}

impl Cluster {
    fn of_write(times: &Times<'_>, write: Place) -> Cluster {
        let first_ns = times.returned_ns(write);
        Cluster {
            write,
            first: write,
            first_ns,
            last: write,
            last_ns: times.invoked_ns(write),
            read: false,
            repeated: false,
        }
    }

    fn add_read(&mut self, times: &Times<'_>, read: Place) {
        self.read = true;
        if times.returned_ns(read) < self.first_ns {
            (self.first, self.first_ns) = (read, times.returned_ns(read));
        }
        if times.invoked_ns(read) > self.last_ns {
            (self.last, self.last_ns) = (read, times.invoked_ns(read));
        }
    }

    /// Whether it certainly happened.
    fn happened(&self) -> bool {
        self.first_ns != Times::NEVER
    }
}

/// The clusters of one key.
pub(super) struct Zones {
    /// Those that happened, in order of their first return; a chain counts as one, named by its first write.
    pub(super) clusters: Vec<Cluster>,
    pub(super) chains: Chains,
    /// For each compare-and-set of unknown outcome that happened: an operation that proves it. Never iterated.
    shown: FxHashMap<Place, Place>,
    /// The failed compare-and-sets that only say what they did not see, and that were not certainly wrong.
    pub(super) failed: Vec<Place>,
    /// Writes of unknown outcome that nobody read, and that need not have happened.
    pub(super) unread: Vec<Place>,
    /// Whether reads were set aside: a contradiction that is not found may still exist.
    pub(super) undecided: bool,
    /// The smallest contradiction that needs no order of values.
    best: Best,
}

/// Longest name of a function in a reason, in characters.
const NAME_CHARS_MAX: usize = 60;

/// Contradictory pairs whose smallest form is computed. A key that is broken all over has one per operation; the smallest of the first
/// four thousand is small enough, and the answer stays linear.
const PAIRS_MAX: usize = 4_096;

impl Zones {
    /// The clusters of the operations at `places`, all of one key.
    ///
    /// # Errors
    /// With the reason, if an operation is none that a register knows.
    pub(super) fn of(facts: &Facts<'_>, places: &[u32], threads: usize) -> Result<Zones, String> {
        let times = *facts.times();
        let mut by_value = ByValue::of(facts, places)?;
        let mut best = Best::default();
        for &read in places {
            if let Meaning::Saw(value) = facts.meaning(read) {
                by_value.add_read(&times, Place::of(read), value, &mut best);
            }
        }
        let mut undecided = by_value.is_undecided();
        let mut chains = Chains::default();
        if by_value.has_cas() && !undecided {
            match by_value.link(&times, &mut best) {
                Ok(linked) => chains = linked,
                Err(Repeated) => undecided = true,
            }
        }
        if by_value.has_cas() && undecided {
            return Ok(Zones::nothing());
        }
        let mut failed = by_value.failed_certainly(&times, threads, &mut best);
        failed.sort_unstable();
        let shown = by_value.shown();
        let (mut clusters, unread) = by_value.into_clusters();
        // The place decides between equal times, so that equal histories give equal bytes.
        nearly_sorted::sort_by_key(&mut clusters, |cluster| (cluster.first_ns, cluster.last_ns, cluster.write));
        Ok(Zones {
            clusters,
            chains,
            shown,
            failed,
            unread,
            undecided,
            best,
        })
    }

    /// Everything is set aside.
    fn nothing() -> Zones {
        Zones {
            clusters: Vec::new(),
            chains: Chains::default(),
            shown: FxHashMap::default(),
            failed: Vec::new(),
            unread: Vec::new(),
            undecided: true,
            best: Best::default(),
        }
    }

    /// The contradiction with the fewest operations among the pairs, and of those the one that was certain first. `places` are those the
    /// zones are of.
    pub(super) fn contradiction(&self, facts: &Facts<'_>, places: &[u32]) -> Option<Certificate> {
        let times = *facts.times();
        let mut best = self.best.clone();
        let mut clusters = self.clusters.iter();
        // The initial value is always a cluster, unless everything was set aside.
        let mut kept = clusters.next()?;
        let mut pairs = 0;
        for cluster in clusters {
            if cluster.first_ns < kept.last_ns && kept.first_ns < cluster.last_ns && pairs < PAIRS_MAX {
                pairs += 1;
                best.offer_overlap(&times, kept, cluster);
            }
            if cluster.last_ns > kept.last_ns {
                kept = cluster;
            }
        }
        let certificate = earliest(facts, places, best.certificate()?);
        let Certificate::Overlap { mut one, mut other } = certificate else {
            return Some(certificate);
        };
        for side in [&mut one, &mut other] {
            side.shown_by = *self.shown.get(&side.began_last).unwrap_or(&side.began_last);
        }
        Some(Certificate::Overlap { one, other })
    }
}

/// The same contradiction at its first appearance: a cluster's last read shows that its value was there too long, but so does every read
/// that began after the other value had been seen.
fn earliest(facts: &Facts<'_>, places: &[u32], certificate: Certificate) -> Certificate {
    let times = facts.times();
    let Certificate::Overlap { one, other } = certificate else {
        return certificate;
    };
    let began_last = |side: Side, opposite: Side| {
        // A read that is also what returned first stays: another one would make a witness of one operation more.
        if side.began_last == side.write || side.began_last == side.returned_first {
            return side.began_last;
        }
        let seen = facts.meaning_at(side.began_last);
        // Only a read can be replaced by another read; a compare-and-set is what it is.
        if !matches!(seen, Meaning::Saw(_)) {
            return side.began_last;
        }
        let shows_it =
            |read: &Place| facts.meaning_at(*read) == seen && times.invoked_ns(*read) > times.returned_ns(opposite.returned_first);
        let reads = places.iter().map(|&place| Place::of(place)).filter(shows_it);
        reads.min_by_key(|&read| (times.returned_ns(read), read)).unwrap_or(side.began_last)
    };
    Certificate::Overlap {
        one: Side {
            began_last: began_last(one, other),
            ..one
        },
        other: Side {
            began_last: began_last(other, one),
            ..other
        },
    }
}
