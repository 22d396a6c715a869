//! What a schedule as a whole does to the cluster: whether it ever leaves a majority.

use crate::plan::Plan;

/// Of the storm, in percent: with less than a tenth of it left clients can prove little.
const MOST_PERCENT: u64 = 90;

/// For how many milliseconds of the storm no majority of the nodes is up, if that is nearly all of it. Only faults that are sure to take a whole
/// node away count, each a node of its own, as they skip nodes that are away; so what is found is there if each finds its node. A domain that is lost
/// may have any of these nodes in it.
pub fn without_majority_ms(plan: &Plan) -> Option<u64> {
    let n_nodes = plan.system.nodes() as usize;
    let takes_one: Vec<(u64, u64)> = plan
        .schedule
        .iter()
        .filter(|injection| injection.fault.takes_a_node_away())
        .map(|injection| (injection.at_ms, injection.at_ms.saturating_add(injection.for_ms)))
        .collect();
    let takes_domain: Vec<(u64, u64, usize)> = plan
        .schedule
        .iter()
        .filter_map(|injection| {
            let (_, nodes) = plan.topology.as_ref()?.domain(injection.fault.takes_away()?)?;
            Some((injection.at_ms, injection.at_ms.saturating_add(injection.for_ms), nodes.len()))
        })
        .collect();
    let spans = takes_one
        .iter()
        .copied()
        .chain(takes_domain.iter().map(|(from, to, _)| (*from, *to)));
    let mut changes: Vec<u64> = spans.flat_map(|(from, to)| [from, to]).collect();
    changes.sort_unstable();
    changes.dedup();
    let n_away = |from: u64, to: u64| {
        let covers = |began: u64, ended: u64| began <= from && to <= ended;
        let one_by_one = takes_one.iter().filter(|(began, ended)| covers(*began, *ended)).count();
        let domains = takes_domain.iter().filter(|(began, ended, _)| covers(*began, *ended));
        domains.map(|(_, _, n_nodes)| *n_nodes).max().unwrap_or(0).max(one_by_one)
    };
    let without_ms: u64 = changes
        .windows(2)
        .filter(|span| 2 * (n_nodes - n_away(span[0], span[1]).min(n_nodes)) <= n_nodes)
        .map(|span| span[1] - span[0])
        .sum();
    (without_ms * 100 >= plan.timing.storm_ms * MOST_PERCENT).then_some(without_ms)
}
