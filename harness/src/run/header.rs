//! What the history says of its run in its first line.

use std::collections::BTreeMap;

use squall_checker::history::mark::{Header, LEFT_OUT};

use super::network::Network;
use crate::plan::{Plan, node_names};
use crate::results::RunFolder;
use crate::systems::System;

/// The first line of the history. `left_out` are the kinds of faults that this machine refused, each with its reason.
pub(super) fn header(
    plan: &Plan,
    system: &dyn System,
    folder: &RunFolder,
    network: &Network,
    left_out: &BTreeMap<String, String>,
) -> Header {
    let mut extra = plan.header_extra(seats(plan));
    if !left_out.is_empty() {
        extra.insert(LEFT_OUT.into(), serde_json::json!(left_out));
    }
    Header {
        squall_history: 1,
        run: folder.name(),
        seed: plan.seed,
        clock: Default::default(),
        requested: plan.requested.clone(),
        system: describe(plan, system, network),
        nodes: node_names(plan.system.nodes()),
        spares: plan.spare_names(),
        workload: plan.workload.name().into(),
        clients: plan.workload.clients(),
        traces: system.traces(),
        extra,
    }
}

/// The system, and the network where it is not the kernel's with cuts alone: figures of different ones are not to be compared.
fn describe(plan: &Plan, system: &dyn System, network: &Network) -> String {
    let network = network.label().map(|label| format!(", {label}")).unwrap_or_default();
    let extras = [(plan.overlay.is_some(), ", VXLAN"), (plan.balancer, ", behind a balancer")];
    let extras: String = extras.iter().filter(|(has, _)| *has).map(|(_, text)| *text).collect();
    let domains = plan.topology.as_ref().map_or_else(String::new, |topology| format!(", {topology}"));
    let spares = match plan.spares {
        0 => String::new(),
        spares => format!(" and {spares} spare"),
    };
    let (system, nodes) = (system.describe(), plan.system.nodes());
    format!("{system}, {nodes} nodes{spares}{domains}{extras}{network}")
}

/// Every process of the run gets a seat of its own: clients first, then one final reader per node.
pub(super) fn seats(plan: &Plan) -> u32 {
    plan.workload.clients() + plan.system.nodes()
}
