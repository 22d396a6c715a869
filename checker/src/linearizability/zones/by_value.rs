//! The clusters while the operations are read: who writes each value, and who saw it.

use std::sync::OnceLock;

use rustc_hash::FxHashMap;

use super::super::value_index::ValueIndex;
use super::chains::Links;
use super::{Best, Certificate, Cluster, Facts, Meaning, NAME_CHARS_MAX, Place, Times};
use crate::escape::visible;
use crate::history::operation::{Function, Outcome};
use crate::history::values::ValueId;
use crate::parallel;

/// Failed compare-and-sets that one piece of work looks at.
const CHUNK: usize = 1 << 14;

/// A value that decides something has a second writer.
pub(super) struct Repeated;

/// The clusters of one key, by value.
pub(super) struct ByValue {
    pub(super) clusters: Vec<Cluster>,
    pub(super) cluster_of: ValueIndex,
    /// Writes that certainly did not happen, in the order of the file.
    refused: Vec<u32>,
    /// The first of them by value, made when somebody read what nobody wrote. Never iterated: its order is nobody's.
    first_refused: OnceLock<FxHashMap<ValueId, Place>>,
    /// The clusters that a compare-and-set writes, in the order of the file, with the value it expects.
    pub(super) cas: Vec<(u32, ValueId)>,
    /// Failed compare-and-sets that only say what they did not see, and that value.
    failed: Vec<(Place, ValueId)>,
    /// For each cluster of a value that was replaced: the place in `cas` of what replaced it. Filled when the chains are linked.
    pub(super) replaced_by: Links,
    /// Per place of `cas`: an operation that proves that it happened. Filled when the chains are linked.
    pub(super) shown_by: Vec<Option<Place>>,
    /// The first cluster of each chain, as it is with the whole chain in it.
    pub(super) chains: Vec<(u32, Cluster)>,
    has_cas: bool,
    /// Whether a value that was read has a second writer.
    read_repeated: bool,
    /// Further writes of repeated values, each a cluster of its own.
    further: Vec<Cluster>,
}

impl ByValue {
    /// The clusters of the writes at `places`.
    ///
    /// # Errors
    /// With the reason, if an operation is none that a register knows.
    pub(super) fn of(facts: &Facts<'_>, places: &[u32]) -> Result<ByValue, String> {
        let (history, times) = (facts.history(), facts.times());
        let mut by_value = ByValue {
            clusters: vec![Cluster::of_write(times, Place::INITIAL)],
            cluster_of: ValueIndex::for_operations(places.len()),
            refused: Vec::new(),
            first_refused: OnceLock::new(),
            cas: Vec::new(),
            failed: Vec::new(),
            replaced_by: Links::default(),
            shown_by: Vec::new(),
            chains: Vec::new(),
            has_cas: false,
            read_repeated: false,
            further: Vec::new(),
        };
        by_value.cluster_of.get_or_insert(ValueId::NULL, 0);
        for &place in places {
            let operation = &history.operations[place as usize];
            match facts.meaning(place) {
                Meaning::Wrote(value) => {
                    by_value.add_write(times, Place::of(place), value);
                }
                Meaning::Replaced(expected, value) => {
                    by_value.has_cas = true;
                    match by_value.add_write(times, Place::of(place), value) {
                        Some(cluster) => by_value.cas.push((cluster, expected)),
                        // Written twice, once by a compare-and-set, which binds it to another value: nothing can be set aside.
                        None => by_value.read_repeated = true,
                    }
                }
                Meaning::Foreign => {
                    let f = visible(history.function(operation), NAME_CHARS_MAX);
                    return Err(format!("`{f}` on line {} is no operation of a register", operation.invoke_line()));
                }
                meaning => {
                    if let Meaning::SawOther(expected) = meaning {
                        by_value.failed.push((Place::of(place), expected));
                    }
                    if operation.outcome == Outcome::Fail {
                        by_value.refused.push(place);
                    }
                }
            }
        }
        Ok(by_value)
    }

    /// The new cluster, unless the value has one already.
    fn add_write(&mut self, times: &Times<'_>, write: Place, value: ValueId) -> Option<u32> {
        let new = self.clusters.len() as u32;
        let known = self.cluster_of.get_or_insert(value, new);
        if known == new {
            self.clusters.push(Cluster::of_write(times, write));
            return Some(new);
        }
        self.clusters[known as usize].repeated = true;
        self.further.push(Cluster {
            repeated: true,
            ..Cluster::of_write(times, write)
        });
        None
    }

    pub(super) fn add_read(&mut self, times: &Times<'_>, read: Place, value: ValueId, best: &mut Best) {
        let Some(known) = self.cluster_of.get(value) else {
            best.offer(times, self.unwritten(times, read, value));
            return;
        };
        let cluster = &mut self.clusters[known as usize];
        if cluster.repeated {
            self.read_repeated = true;
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

    /// What is wrong with seeing a value that nobody wrote.
    pub(super) fn unwritten(&self, times: &Times<'_>, read: Place, value: ValueId) -> Certificate {
        match self.first_refused.get_or_init(|| self.refused_by_value(times)).get(&value) {
            Some(&write) => Certificate::RefusedWriteRead { read, write },
            None => Certificate::PhantomRead { read },
        }
    }

    fn refused_by_value(&self, times: &Times<'_>) -> FxHashMap<ValueId, Place> {
        let history = times.history();
        let refused = |&place: &u32| {
            let operation = &history.operations[place as usize];
            let value = match operation.f {
                Function::Write => Some(operation.argument),
                Function::Cas => history.values.pair(operation.argument).map(|(_, new)| new),
                _ => None,
            };
            Some((value?, Place::of(place)))
        };
        // From the back, so that the first one stays.
        self.refused.iter().rev().filter_map(refused).collect()
    }

    pub(super) fn has_cas(&self) -> bool {
        self.has_cas || !self.failed.is_empty()
    }

    /// Whether something was set aside that may decide.
    pub(super) fn is_undecided(&self) -> bool {
        let expects_repeated = |(_, expected): &(Place, ValueId)| {
            let cluster = self.cluster_of.get(*expected);
            cluster.is_some_and(|cluster| self.clusters[cluster as usize].repeated)
        };
        self.read_repeated || self.failed.iter().any(expects_repeated)
    }

    /// The failed compare-and-sets that may be right; of the others, which certainly found what they expected, the proofs.
    ///
    /// The value was there throughout if an operation that found or left it returned before the attempt began, and one that found it
    /// began after the attempt had returned: a value that is written once does not come back.
    pub(super) fn failed_certainly(&self, times: &Times<'_>, threads: usize, best: &mut Best) -> Vec<Place> {
        let chunks: Vec<&[(Place, ValueId)]> = self.failed.chunks(CHUNK).collect();
        let judge = |chunk: &&[(Place, ValueId)]| -> Vec<Option<Certificate>> {
            let failed = chunk.iter();
            failed.map(|&(cas, expected)| self.found_expected(times, cas, expected)).collect()
        };
        let judged = parallel::map(&chunks, threads, |_| 0, judge).into_iter().flatten();
        let mut open = Vec::with_capacity(self.failed.len());
        for (&(cas, _), certificate) in self.failed.iter().zip(judged) {
            match certificate {
                Some(certificate) => best.offer(times, certificate),
                None => open.push(cas),
            }
        }
        open
    }

    /// What proves that a failed compare-and-set had what it expected before it.
    fn found_expected(&self, times: &Times<'_>, cas: Place, expected: ValueId) -> Option<Certificate> {
        let place = self.cluster_of.get(expected)?;
        let cluster = &self.clusters[place as usize];
        if cluster.first_ns >= times.invoked_ns(cas) {
            return None;
        }
        let replaced = self.replaced_by.get(place).and_then(|by| {
            let (cluster, _) = self.cas[by as usize];
            Some((self.clusters[cluster as usize].write, self.shown_by[by as usize]?))
        });
        let read = (cluster.last != cluster.write).then_some((cluster.last, cluster.last));
        let last = read.into_iter().chain(replaced);
        let (began_last, shown_by) = last.max_by_key(|(last, _)| times.invoked_ns(*last))?;
        (times.returned_ns(cas) < times.invoked_ns(began_last)).then_some(Certificate::FailedAlthoughEqual {
            cas,
            returned_first: cluster.first,
            began_last,
            shown_by,
        })
    }

    /// Those that happened, and the writes of those that need not have. Where chains were linked, only their heads are left.
    pub(super) fn into_clusters(self) -> (Vec<Cluster>, Vec<Place>) {
        let mut clusters = self.clusters;
        // What a compare-and-set replaced was there, whoever read it.
        let is_unread = |(place, cluster): &(u32, &Cluster)| !cluster.happened() && self.replaced_by.get(*place).is_none();
        let unread = (0..).zip(&clusters).filter(is_unread).map(|(_, cluster)| cluster.write);
        let unread = unread.collect();
        for (cluster, _) in self.cas {
            clusters[cluster as usize].first_ns = Times::NEVER;
        }
        for (head, chain) in self.chains {
            clusters[head as usize] = chain;
        }
        clusters.extend(self.further);
        clusters.retain(Cluster::happened);
        (clusters, unread)
    }
}
