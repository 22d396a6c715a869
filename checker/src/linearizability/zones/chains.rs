//! Compare-and-sets link clusters to chains; a chain becomes one cluster.

use rustc_hash::FxHashMap;

use super::by_value::{ByValue, Repeated};
use super::{Best, Certificate, Cluster, Place, Times};
use crate::history::values::ValueId;

/// For clusters, by their place: another number, or none. An array, because nearly every cluster of a history with compare-and-sets has one.
#[derive(Default)]
pub(super) struct Links(Vec<u32>);

impl Links {
    const NONE: u32 = u32::MAX;

    fn for_clusters(count: usize) -> Links {
        Links(vec![Links::NONE; count])
    }

    pub(super) fn get(&self, cluster: u32) -> Option<u32> {
        self.0.get(cluster as usize).copied().filter(|link| *link != Links::NONE)
    }

    fn set(&mut self, cluster: u32, link: u32) {
        self.0[cluster as usize] = link;
    }
}

/// The compare-and-sets of each chain, in their order.
#[derive(Default)]
pub(in super::super) struct Chains {
    /// Where each chain begins and ends in `places`, by its first write. Never iterated.
    bounds: FxHashMap<Place, (u32, u32)>,
    places: Vec<Place>,
}

impl Chains {
    /// The compare-and-sets that follow this write; none if it begins no chain.
    pub(in super::super) fn of(&self, write: Place) -> &[Place] {
        let bounds = self.bounds.get(&write);
        bounds.map_or(&[], |&(begin, end)| &self.places[begin as usize..end as usize])
    }
}

impl ByValue {
    /// Puts every chain into the cluster of its first write, and offers what contradicts the order within a chain. Returns the
    /// compare-and-sets of each chain by its first write. The clusters in the chains behind the first happen no more by themselves.
    ///
    /// # Errors
    /// If a compare-and-set that happened found a value with two writers.
    pub(super) fn link(&mut self, times: &Times<'_>, best: &mut Best) -> Result<Chains, Repeated> {
        let mut cas_of = Links::for_clusters(self.clusters.len());
        for (cas, &(cluster, _)) in (0..).zip(&self.cas) {
            cas_of.set(cluster, cas);
        }
        let complete = self.link_applied(times, &cas_of, best)?;
        let mut chains = Chains::default();
        let mut reached = vec![false; self.cas.len()];
        for head in 0..self.clusters.len() as u32 {
            if cas_of.get(head).is_some() || self.replaced_by.get(head).is_none() {
                continue;
            }
            let begin = chains.places.len() as u32;
            let cluster = self.chain(times, head, &mut reached, &mut chains.places, best);
            chains.bounds.insert(cluster.write, (begin, chains.places.len() as u32));
            self.chains.push((head, cluster));
        }
        let unreached = self
            .shown_by
            .iter()
            .zip(reached)
            .find(|(shown_by, reached)| shown_by.is_some() && !reached);
        if let Some((&Some(operation), _)) = unreached
            && complete
        {
            best.offer(times, Certificate::Circle { operation });
        }
        Ok(chains)
    }

    /// For each compare-and-set of unknown outcome that happened: an operation that proves it.
    pub(super) fn shown(&self) -> FxHashMap<Place, Place> {
        let shown = self.cas.iter().zip(&self.shown_by).filter_map(|(&(cluster, _), &shown_by)| {
            let write = self.clusters[cluster as usize].write;
            shown_by.filter(|shown_by| *shown_by != write).map(|shown_by| (write, shown_by))
        });
        shown.collect()
    }

    /// Finds out which compare-and-sets happened, and links each to the value it found. Whether every link was made.
    fn link_applied(&mut self, times: &Times<'_>, cas_of: &Links, best: &mut Best) -> Result<bool, Repeated> {
        self.replaced_by = Links::for_clusters(self.clusters.len());
        self.shown_by = vec![None; self.cas.len()];
        let mut complete = true;
        let mut work = Vec::new();
        for (cas, &(cluster, _)) in self.cas.iter().enumerate() {
            let cluster = &self.clusters[cluster as usize];
            if cluster.happened() {
                let returned = times.returned_ns(cluster.write) != Times::NEVER;
                self.shown_by[cas] = Some(if returned { cluster.write } else { cluster.first });
                work.push(cas as u32);
            }
        }
        // Taken from the front of the file, so that of two which replaced the same value the later one is the surprise.
        let mut next = 0;
        while let Some(&cas) = work.get(next) {
            next += 1;
            let (_, expected): (u32, ValueId) = self.cas[cas as usize];
            let shown_by = self.shown_by[cas as usize].expect("what is in the work list was shown to have happened");
            let Some(found) = self.cluster_of.get(expected) else {
                best.offer(times, self.unwritten(times, shown_by, expected));
                complete = false;
                continue;
            };
            if self.clusters[found as usize].repeated {
                return Err(Repeated);
            }
            if let Some(other) = self.replaced_by.get(found) {
                let other = self.shown_by[other as usize].expect("only what happened is linked");
                best.offer(
                    times,
                    Certificate::ReplacedTwice {
                        one: other,
                        other: shown_by,
                    },
                );
                complete = false;
                continue;
            }
            self.replaced_by.set(found, cas);
            if let Some(earlier) = cas_of.get(found)
                && self.shown_by[earlier as usize].is_none()
            {
                self.shown_by[earlier as usize] = Some(shown_by);
                work.push(earlier);
            }
        }
        Ok(complete)
    }

    /// The chain that begins with `head`: its compare-and-sets are added to `chain`, all of it is one cluster.
    fn chain(&self, times: &Times<'_>, head: u32, reached: &mut [bool], chain: &mut Vec<Place>, best: &mut Best) -> Cluster {
        let mut all = self.clusters[head as usize];
        let mut at = head;
        while let Some(cas) = self.replaced_by.get(at) {
            at = self.cas[cas as usize].0;
            let cluster = &self.clusters[at as usize];
            reached[cas as usize] = true;
            chain.push(cluster.write);
            // Whatever found or left this value comes after everything before it in the chain.
            if cluster.first_ns < all.last_ns {
                let (first, then) = (all.last, cluster.first);
                best.offer(times, Certificate::AgainstChain { first, then });
            }
            if cluster.first_ns < all.first_ns {
                (all.first, all.first_ns) = (cluster.first, cluster.first_ns);
            }
            if cluster.last_ns > all.last_ns {
                (all.last, all.last_ns) = (cluster.last, cluster.last_ns);
            }
        }
        all
    }
}
