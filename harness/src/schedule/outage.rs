//! What a schedule as a whole does to the cluster: whether it ever leaves a majority.

use crate::plan::Plan;

/// Of the storm, in percent: with less than a tenth of it left clients can prove little.
const MOST_PERCENT: u64 = 90;

/// For how many milliseconds of the storm no majority of the nodes is up, if that is nearly all of it. Only faults that are sure to take a whole
/// node away count, each a node of its own, as they skip nodes that are away; so what is found is there if each finds its node.
pub fn without_majority_ms(plan: &Plan) -> Option<u64> {
    let n_nodes = plan.system.nodes() as usize;
    let takes_one: Vec<(u64, u64)> = plan
        .schedule
        .iter()
        .filter(|injection| injection.fault.takes_a_node_away())
        .map(|injection| (injection.at_ms, injection.at_ms.saturating_add(injection.for_ms)))
        .collect();
    let mut changes: Vec<u64> = takes_one.iter().flat_map(|(from, to)| [*from, *to]).collect();
    changes.sort_unstable();
    changes.dedup();
    let n_away = |from: u64, to: u64| takes_one.iter().filter(|(began, ended)| *began <= from && to <= *ended).count();
    let without_ms: u64 = changes
        .windows(2)
        .filter(|span| 2 * (n_nodes - n_away(span[0], span[1]).min(n_nodes)) <= n_nodes)
        .map(|span| span[1] - span[0])
        .sum();
    (without_ms * 100 >= plan.timing.storm_ms * MOST_PERCENT).then_some(without_ms)
}
