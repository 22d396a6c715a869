//! Faults of the balancer in front of the nodes ([`crate::balancer`]): its flow table is lost, its ports are used up.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::family::{Family, Scene};
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
    about: "use up the balancer's ports: connections that stand go on, and no new one is let through",
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
        node: None,
        key: None,
        state: State {
            balancer,
            ..State::default()
        },
    }
}

impl Family for LbFlush {
    fn info(&self) -> &'static FaultInfo {
        &LB_FLUSH
    }

    fn target(&self) -> Option<&TargetChoice> {
        None
    }

    fn resolve(&self, scene: &Scene<'_>) -> Result<Resolved, Skipped> {
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

    fn target(&self) -> Option<&TargetChoice> {
        None
    }

    fn resolve(&self, scene: &Scene<'_>) -> Result<Resolved, Skipped> {
        if scene.now.balancer.no_ports {
            return Err(Skipped("another fault has used them up already".into()));
        }
        Ok(resolved(BalancerTrouble {
            no_ports: true,
            ..BalancerTrouble::default()
        }))
    }
}
