//! The other proof: an order of a valid key's operations that anybody can replay.

use super::time::{Place, Times};
use super::zones::{Cluster, Zones};
use crate::history::History;
use crate::history::values::ValueId;

/// An order of the operations at `places` that a register allows and that never puts an operation before one that had returned when it
/// began. Exists whenever the zones contradict nothing and nothing was set aside.
///
/// Clusters with `f < s` (forward zones) cannot be moved: they stand in the order of `f`, and do not cross. Any other cluster has a moment
/// that lies in all its operations; it goes there, at `s`, or to the end of the forward zone that covers `s` (it reaches that far, else the
/// two would contradict each other).
pub(super) fn linearization(history: &History, places: &[u32], zones: &Zones) -> Vec<usize> {
    let times = Times::of(history);
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
    with_reads(history, places, &times, &clusters)
}

/// The clusters' operations: each write, then its reads in the order of their invocations.
fn with_reads(history: &History, places: &[u32], times: &Times<'_>, clusters: &[&Cluster]) -> Vec<usize> {
    let value_of = |write: Place| write.operation().map_or(ValueId::NULL, |place| history.operations[place].argument);
    let reads = places.iter().map(|&place| Place::of(place));
    let mut reads: Vec<(ValueId, i64, Place)> = reads
        .filter_map(|read| Some((times.observed(read)?, times.invoked_ns(read), read)))
        .collect();
    reads.sort_unstable();
    let mut order = Vec::with_capacity(places.len());
    for cluster in clusters {
        let value = value_of(cluster.write);
        order.extend(cluster.write.operation());
        let begin = reads.partition_point(|(of, ..)| *of < value);
        order.extend(
            reads[begin..]
                .iter()
                .take_while(|(of, ..)| *of == value)
                .filter_map(|(.., read)| read.operation()),
        );
    }
    order
}
