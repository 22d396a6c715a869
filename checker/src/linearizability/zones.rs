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
//! **Repeated values.** Removing all operations of a value from a linearizable history of a register leaves a linearizable history. So
//! where a value has two writers its reads are set aside; what the rest contradicts stays contradicted, and what it does not is unknown.
//! A single write needs no reads to be ordered and stays. Without reads set aside the answer is exact.

use rustc_hash::FxHashMap;

use super::certificate::{Best, Certificate, Side};
use super::time::{Place, Times};
use crate::escape::visible;
use crate::history::History;
use crate::history::operation::{Function, Outcome};
use crate::history::values::ValueId;

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
    /// Those that happened, in order of their first return.
    pub(super) clusters: Vec<Cluster>,
    /// Why a contradiction that is not found may still exist: the first value that is read and written twice.
    pub(super) undecided: Option<String>,
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
    /// With the reason, if an operation is neither a read nor a write.
    pub(super) fn of(history: &History, places: &[u32]) -> Result<Zones, String> {
        let times = Times::of(history);
        let mut by_value = ByValue::of(&times, places)?;
        let mut best = Best::default();
        for read in places.iter().map(|&place| Place::of(place)) {
            if let Some(value) = times.observed(read) {
                by_value.add_read(&times, read, value, &mut best);
            }
        }
        let undecided = by_value.undecided(history);
        let mut clusters = by_value.into_clusters();
        // The place decides between equal times, so that equal histories give equal bytes.
        clusters.sort_unstable_by_key(|cluster| (cluster.first_ns, cluster.last_ns, cluster.write));
        Ok(Zones { clusters, undecided, best })
    }

    /// The contradiction with the fewest operations among the pairs, and of those the one that was certain first. `places` are those the
    /// zones are of.
    pub(super) fn contradiction(&self, history: &History, places: &[u32]) -> Option<Certificate> {
        let times = Times::of(history);
        let mut best = self.best;
        let mut clusters = self.clusters.iter();
        let mut kept = clusters.next().expect("the initial value is always a cluster");
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
        best.certificate().map(|certificate| earliest(&times, places, certificate))
    }
}

/// The same contradiction at its first appearance: a cluster's last read shows that its value was there too long, but so does every read
/// that began after the other value had been seen.
fn earliest(times: &Times<'_>, places: &[u32], certificate: Certificate) -> Certificate {
    let Certificate::Overlap { one, other } = certificate else {
        return certificate;
    };
    let began_last = |side: Side, opposite: Side| {
        // A read that is also what returned first stays: another one would make a witness of one operation more.
        if side.began_last == side.write || side.began_last == side.returned_first {
            return side.began_last;
        }
        let value = times.observed(side.began_last);
        let shows_it =
            |read: &Place| times.observed(*read) == value && times.invoked_ns(*read) > times.returned_ns(opposite.returned_first);
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

/// The clusters while the operations are read.
struct ByValue {
    clusters: Vec<Cluster>,
    /// Never iterated: its order is nobody's.
    cluster_of: FxHashMap<ValueId, u32>,
    /// Writes that certainly did not happen.
    refused: FxHashMap<ValueId, Place>,
    /// For each repeated value, its cluster and its second write.
    repeats: Vec<(u32, Place)>,
    /// Further writes of repeated values, each a cluster of its own.
    further: Vec<Cluster>,
}

impl ByValue {
    fn of(times: &Times<'_>, places: &[u32]) -> Result<ByValue, String> {
        let history = times.history();
        let mut by_value = ByValue {
            clusters: vec![Cluster::of_write(times, Place::INITIAL)],
            cluster_of: FxHashMap::from_iter([(ValueId::NULL, 0)]),
            refused: FxHashMap::default(),
            repeats: Vec::new(),
            further: Vec::new(),
        };
        for &place in places {
            let operation = &history.operations[place as usize];
            match (operation.f, operation.outcome) {
                (Function::Read, _) => {}
                (Function::Write, Outcome::Fail) => {
                    by_value.refused.entry(operation.argument).or_insert(Place::of(place));
                }
                (Function::Write, _) => by_value.add_write(times, Place::of(place), operation.argument),
                _ => {
                    let f = visible(history.function(operation), NAME_CHARS_MAX);
                    return Err(format!("`{f}` on line {} is neither a read nor a write", operation.invoke_line()));
                }
            }
        }
        Ok(by_value)
    }

    fn add_write(&mut self, times: &Times<'_>, write: Place, value: ValueId) {
        let new = self.clusters.len() as u32;
        let known = *self.cluster_of.entry(value).or_insert(new);
        if known == new {
            self.clusters.push(Cluster::of_write(times, write));
            return;
        }
        if !std::mem::replace(&mut self.clusters[known as usize].repeated, true) {
            self.repeats.push((known, write));
        }
        self.further.push(Cluster {
            repeated: true,
            ..Cluster::of_write(times, write)
        });
    }

    fn add_read(&mut self, times: &Times<'_>, read: Place, value: ValueId, best: &mut Best) {
        let Some(&known) = self.cluster_of.get(&value) else {
            match self.refused.get(&value) {
                Some(&write) => best.offer(times, Certificate::RefusedWriteRead { read, write }),
                None => best.offer(times, Certificate::PhantomRead { read }),
            }
            return;
        };
        let cluster = &mut self.clusters[known as usize];
        if cluster.repeated {
            cluster.read = true;
            return;
        }
        if times.returned_ns(read) < times.invoked_ns(cluster.write) {
            best.offer(
                times,
                Certificate::ReadFromTheFuture {
                    read,
                    write: cluster.write,
                },
            );
        }
        cluster.add_read(times, read);
    }

    fn undecided(&self, history: &History) -> Option<String> {
        let &(cluster, second) = self.repeats.iter().find(|(cluster, _)| self.clusters[*cluster as usize].read)?;
        let line = |place: Place| place.operation().map(|place| history.operations[place].invoke_line());
        let second_line = line(second)?;
        Some(match line(self.clusters[cluster as usize].write) {
            Some(first_line) => {
                format!("the value written on line {second_line} was already written on line {first_line}, and was read")
            }
            None => format!("line {second_line} writes null, which is also the value before any write, and was read"),
        })
    }

    fn into_clusters(self) -> Vec<Cluster> {
        let mut clusters = self.clusters;
        clusters.extend(self.further);
        clusters.retain(Cluster::happened);
        clusters
    }
}
