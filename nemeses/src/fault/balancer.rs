//! Faults of the balancer in front of the nodes ([`crate::balancer`]): its flow table is lost, its ports are used up.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::family::{Family, Scene, hits_no_target};
use super::{Fault, FaultInfo, Mechanism, Resolved};
use crate::balancer::BalancerTrouble;
use crate::target::{Skipped, TargetChoice};
use crate::world::State;

pub(super) const LB_FLUSH: FaultInfo = FaultInfo {
    name: "lb-flush",
    about: "flush the balancer's flow table: every connection through it is reset at its next packet",
    needs: &[],
    nodes_min: 1,
    mechanism: Mechanism::Balancer,
    draw: |_| Fault::LbFlush(LbFlush {}),
};

pub(super) const LB_PORTS: FaultInfo = FaultInfo {
    name: "lb-ports",
    about: "use up the balancer's ports, again and again: connections that stand go on, and no new one is let through",
    needs: &[],
    nodes_min: 1,
    mechanism: Mechanism::Balancer,
    draw: |_| Fault::LbPorts(LbPorts {}),
};

/// Flushes the balancer's flow table, once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LbFlush {}

/// Uses the balancer's ports up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LbPorts {}

fn resolved(balancer: BalancerTrouble) -> Resolved {
    Resolved {
        nodes: Vec::new(),
        key: None,
        state: State {
            balancer,
            ..State::default()
        },
    }
}

/// What is wrong with the balancer is seen by connections through it.
fn unless_all_are_cut_off(scene: &Scene<'_>) -> Result<(), Skipped> {
    match scene.now.is_reached_by_clients(scene.nodes) {
        true => Ok(()),
        false => Err(Skipped(
            "other faults cut every node off from the clients, so that nothing can be seen of it".into(),
        )),
    }
}

impl Family for LbFlush {
    fn info(&self) -> &'static FaultInfo {
        &LB_FLUSH
    }

    hits_no_target!();

    fn resolve(&self, scene: &Scene<'_>) -> Result<Resolved, Skipped> {
        unless_all_are_cut_off(scene)?;
        if scene.now.balancer.no_ports {
            return Err(Skipped(
                "another fault has used the balancer's ports up, so that nothing can be seen of it".into(),
            ));
        }
        Ok(resolved(BalancerTrouble {
            flushes: 1,
            ..BalancerTrouble::default()
        }))
    }
}

impl Family for LbPorts {
    fn info(&self) -> &'static FaultInfo {
        &LB_PORTS
    }

    hits_no_target!();

    fn resolve(&self, scene: &Scene<'_>) -> Result<Resolved, Skipped> {
        unless_all_are_cut_off(scene)?;
        if scene.now.balancer.no_ports {
            return Err(Skipped("another fault has used them up already".into()));
        }
        Ok(resolved(BalancerTrouble {
            no_ports: true,
            ..BalancerTrouble::default()
        }))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::link::{CLIENTS, Pair, Quality};
    use crate::target::Roles;

    fn resolve(fault: &dyn Family, links: &[Pair]) -> Result<Resolved, Skipped> {
        let nodes = ["n1", "n2"].map(String::from);
        let links = links.iter().map(|pair| (pair.clone(), Quality::cut()));
        let now = State {
            links: BTreeMap::from_iter(links),
            ..State::default()
        };
        fault.resolve(&Scene {
            nodes: &nodes,
            spares: &[],
            topology: None,
            now: &now,
            roles: &Roles::default(),
        })
    }

    #[test]
    fn is_skipped_where_no_node_can_be_had_and_one_is_enough() {
        let (to_first, from_second) = (Pair::new(CLIENTS, "n1"), Pair::new("n2", CLIENTS));
        for fault in [&LbFlush {} as &dyn Family, &LbPorts {}] {
            assert!(resolve(fault, &[]).is_ok());
            assert!(resolve(fault, std::slice::from_ref(&to_first)).is_ok());
            assert!(resolve(fault, &[to_first.clone(), Pair::new("n1", "n2")]).is_ok());
            assert_eq!(
                resolve(fault, &[to_first.clone(), from_second.clone()]).unwrap_err().to_string(),
                "other faults cut every node off from the clients, so that nothing can be seen of it"
            );
        }
    }
}
