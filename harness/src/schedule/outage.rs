//! What a schedule as a whole does to the cluster: whether it ever leaves a majority.

use crate::plan::Plan;

/// Of the storm, in percent: with less than a tenth of it left clients can prove little.
const MOST_PERCENT: u64 = 90;

/// For how many milliseconds of the storm no majority of the nodes is up, if that is nearly all of it. Only faults that are sure to take whole
/// nodes away count, each others than the rest, as they skip nodes that are away; so what is found is there if each finds its nodes. A domain that is lost
/// may have any of these nodes in it.
pub fn without_majority_ms(plan: &Plan) -> Option<u64> {
    let n_nodes = plan.system.nodes() as usize;
    let takes_nodes: Vec<(u64, u64, usize)> = plan
        .schedule
        .iter()
        .map(|injection| {
            let n_taken = injection.fault.n_taken_away(n_nodes);
            (injection.at_ms, injection.at_ms.saturating_add(injection.for_ms), n_taken)
        })
        .collect();
    let takes_domain: Vec<(u64, u64, usize)> = plan
        .schedule
        .iter()
        .filter_map(|injection| {
            let (_, nodes) = plan.topology.as_ref()?.domain(injection.fault.takes_away()?)?;
            Some((injection.at_ms, injection.at_ms.saturating_add(injection.for_ms), nodes.len()))
        })
        .collect();
    let spans = takes_nodes.iter().chain(&takes_domain);
    let mut changes: Vec<u64> = spans.flat_map(|(from, to, _)| [*from, *to]).collect();
    changes.sort_unstable();
    changes.dedup();
    let n_away = |from: u64, to: u64| {
        let covers = |(began, ended, _): &&(u64, u64, usize)| *began <= from && to <= *ended;
        let together: usize = takes_nodes.iter().filter(covers).map(|(_, _, n_taken)| *n_taken).sum();
        let domains = takes_domain.iter().filter(covers);
        domains.map(|(_, _, n_nodes)| *n_nodes).max().unwrap_or(0).max(together)
    };
    let without_ms: u64 = changes
        .windows(2)
        .filter(|span| 2 * (n_nodes - n_away(span[0], span[1]).min(n_nodes)) <= n_nodes)
        .map(|span| span[1] - span[0])
        .sum();
    (without_ms * 100 >= plan.timing.storm_ms * MOST_PERCENT).then_some(without_ms)
}
