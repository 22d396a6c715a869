//! The other proof: an order of a valid key's operations that anybody can replay.

use super::meaning::Meaning;
use super::time::{Place, Times};
use super::zones::{Cluster, Zones};
use crate::history::History;
use crate::history::values::ValueId;

/// An order of the operations at `places` that a register allows and that never puts an operation before one that had returned when it
/// began. Exists whenever the zones contradict nothing and nothing was set aside. Failed compare-and-sets that only say what they did not
/// see are not in it; [`failed`](super::failed) puts them in.
///
/// Clusters with `f < s` (forward zones) cannot be moved: they stand in the order of `f`, and do not cross. Any other cluster has a moment
/// that lies in all its operations; it goes there, at `s`, or to the end of the forward zone that covers `s` (it reaches that far, else the
/// two would contradict each other).
pub(super) fn linearization(history: &History, places: &[u32], zones: &Zones) -> Vec<u32> {
    let is_forward = |cluster: &Cluster| cluster.first_ns < cluster.last_ns;
    let forward: Vec<(i64, i64)> = zones
        .clusters
        .iter()
        .filter(|cluster| is_forward(cluster))
        .map(|cluster| (cluster.first_ns, cluster.last_ns))
        .collect();
    let position_ns = |cluster: &Cluster| {
        if is_forward(cluster) {
            return cluster.first_ns;
        }
        let began_before = forward.partition_point(|(first_ns, _)| *first_ns < cluster.last_ns);
        match began_before.checked_sub(1).map(|place| forward[place]) {
            Some((_, end_ns)) if end_ns > cluster.last_ns => end_ns,
            _ => cluster.last_ns,
        }
    };
    let mut clusters: Vec<&Cluster> = zones.clusters.iter().collect();
    clusters.sort_by_cached_key(|cluster| (position_ns(cluster), is_forward(cluster), cluster.write));
    let reads = Reads::of(history, places);
    let mut order = Vec::with_capacity(places.len());
    for cluster in clusters {
        let chain = zones.chains.get(&cluster.write).into_iter().flatten();
        for &write in std::iter::once(&cluster.write).chain(chain) {
            order.extend(write.operation().map(|place| place as u32));
            let value = Meaning::at(history, write).written().expect("a cluster begins with a write");
            order.extend(reads.take(value));
        }
    }
    order
}

/// The operations that saw a value, by value and invocation.
struct Reads {
    sorted: Vec<(ValueId, i64, u32)>,
}

impl Reads {
    fn of(history: &History, places: &[u32]) -> Reads {
        let times = Times::of(history);
        let saw = |&place: &u32| match Meaning::at(history, Place::of(place)) {
            Meaning::Saw(value) => Some((value, times.invoked_ns(Place::of(place)), place)),
            _ => None,
        };
        let mut sorted: Vec<(ValueId, i64, u32)> = places.iter().filter_map(saw).collect();
        sorted.sort_unstable();
        Reads { sorted }
    }

    fn take(&self, value: ValueId) -> impl Iterator<Item = u32> {
        let begin = self.sorted.partition_point(|(of, ..)| *of < value);
        self.sorted[begin..]
            .iter()
            .take_while(move |(of, ..)| *of == value)
            .map(|(.., read)| *read)
    }
}
