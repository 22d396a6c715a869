//! The other proof: an order of a valid key's operations that anybody can replay.

use super::meaning::{Facts, Meaning};
use super::nearly_sorted::{self, partition_point_near};
use super::time::Place;
use super::value_index::ValueIndex;
use super::zones::{Cluster, Zones};
use crate::history::values::ValueId;

/// An order of the operations of the `zones` that a register allows and that never puts an operation before one that had returned when it
/// began. Exists whenever the zones contradict nothing and nothing was set aside. Failed compare-and-sets that only say what they did not
/// see are not in it; [`failed`](super::failed) puts them in.
///
/// Clusters with `f < s` (forward zones) cannot be moved: they stand in the order of `f`, and do not cross. Any other cluster has a moment
/// that lies in all its operations; it goes there, at `s`, or to the end of the forward zone that covers `s` (it reaches that far, else the
/// two would contradict each other).
pub(super) fn linearization(facts: &Facts<'_>, zones: &Zones, reads: &Reads) -> Vec<u32> {
    let clusters = in_order(&zones.clusters);
    let mut order = Vec::with_capacity(reads.reads.len() + 2 * clusters.len());
    for cluster in clusters {
        let cluster = &zones.clusters[cluster as usize];
        for &write in std::iter::once(&cluster.write).chain(zones.chains.of(cluster.write)) {
            order.extend(write.operation().map(|place| place as u32));
            let value = facts.meaning_at(write).written().expect("a cluster begins with a write");
            order.extend(reads.of_value(value).iter().map(|(_, read)| *read));
        }
    }
    order
}

/// The places of the clusters, in the order in which they can stand.
fn in_order(clusters: &[Cluster]) -> Vec<u32> {
    let is_forward = |cluster: &Cluster| cluster.first_ns < cluster.last_ns;
    let forward = clusters.iter().filter(|cluster| is_forward(cluster));
    let forward: Vec<(i64, i64)> = forward.map(|cluster| (cluster.first_ns, cluster.last_ns)).collect();
    let mut near = 0;
    let mut position_ns = |cluster: &Cluster| {
        if is_forward(cluster) {
            return cluster.first_ns;
        }
        near = partition_point_near(&forward, near, |(first_ns, _)| *first_ns < cluster.last_ns);
        match near.checked_sub(1).map(|place| forward[place]) {
            Some((_, end_ns)) if end_ns > cluster.last_ns => end_ns,
            _ => cluster.last_ns,
        }
    };
    let positioned = clusters
        .iter()
        .zip(0_u32..)
        .map(|(cluster, place)| (position_ns(cluster), is_forward(cluster), cluster.write, place));
    let mut positioned: Vec<_> = positioned.collect();
    nearly_sorted::sort_by_key(&mut positioned, |positioned| *positioned);
    positioned.into_iter().map(|(.., place)| place).collect()
}

/// The operations that saw a value, by value and invocation.
pub(super) struct Reads {
    slots: ValueIndex,
    /// Where each slot's reads end; they begin where those of the slot before end.
    ends: Vec<u32>,
    reads: Vec<(i64, u32)>,
}

impl Reads {
    pub(super) fn of(facts: &Facts<'_>, places: &[u32]) -> Reads {
        let mut slots = ValueIndex::for_operations(places.len());
        let mut ends: Vec<u32> = Vec::new();
        let mut slot_of = Vec::new();
        for &place in places {
            if let Meaning::Saw(value) = facts.meaning(place) {
                let new = ends.len() as u32;
                let slot = slots.get_or_insert(value, new);
                if slot == new {
                    ends.push(0);
                }
                ends[slot as usize] += 1;
                slot_of.push((slot, place));
            }
        }
        let mut begin = 0;
        for end in &mut ends {
            begin += std::mem::replace(end, begin);
        }
        let mut reads = vec![(0, 0); slot_of.len()];
        for (slot, place) in slot_of {
            let end = &mut ends[slot as usize];
            reads[*end as usize] = (facts.times().invoked_ns(Place::of(place)), place);
            *end += 1;
        }
        let mut begin = 0;
        for &end in &ends {
            nearly_sorted::sort_by_key(&mut reads[begin..end as usize], |read| *read);
            begin = end as usize;
        }
        Reads { slots, ends, reads }
    }

    fn of_value(&self, value: ValueId) -> &[(i64, u32)] {
        let Some(slot) = self.slots.get(value) else { return &[] };
        let slot = slot as usize;
        let begin = slot.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.reads[begin as usize..self.ends[slot] as usize]
    }
}
