//! Faults by failure domain: a lost leaf, a lost spine, a slow region. They need a topology ([`crate::topology`]), which says whom they hit.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::family::{Family, Ground, Scene, hits_no_target};
use super::links::{Delay, LinkKind, check_visible, resolved};
use super::{Dice, Fault, FaultInfo, Mechanism, Resolved};
use crate::link::{CLIENTS, Pair, Quality};
use crate::target::{Skipped, TargetChoice};
use crate::topology::{Tier, Topology};
use crate::world::State;

pub(super) const RACK_DOWN: FaultInfo = FaultInfo {
    name: "rack-down",
    about: "lose the leaf of a rack, or all of a zone or region: its nodes run on and reach nobody, nor do clients reach them",
    needs: &[],
    nodes_min: 1,
    mechanism: Mechanism::Cuts,
    draw: |dice| {
        let domain = draw_domain(dice, |_| Tier::Rack);
        Fault::RackDown(RackDown { domain })
    },
};

pub(super) const SPINE_CUT: FaultInfo = FaultInfo {
    name: "spine-cut",
    about: "lose a spine, with all that goes by it from rack to rack, one way or both",
    needs: &[],
    nodes_min: 1,
    mechanism: Mechanism::Cuts,
    draw: |dice| {
        let busy = dice.topology.map_or_else(Vec::new, busy_spines);
        Fault::SpineCut(SpineCut {
            spine: dice.one_of(&busy).unwrap_or(1),
        })
    },
};

pub(super) const REGION_SLOW: FaultInfo = FaultInfo {
    name: "region-slow",
    about: "make the links between a region and the others slow; where there is one region, a zone's, or a rack's",
    needs: &[],
    nodes_min: 2,
    mechanism: Mechanism::Links,
    draw: |dice| {
        let domain = draw_domain(dice, |topology| topology.outermost().unwrap_or(Tier::Rack));
        let delay_us = u64::from(dice.between(20_000, 400_000));
        let jitter_us = delay_us / dice.one_of(&[u64::MAX, 10, 4]).unwrap_or(u64::MAX);
        let quality = Quality {
            delay_us,
            jitter_us,
            ..Quality::default()
        };
        Fault::RegionSlow(RegionSlow { domain, quality })
    },
};

/// Loses the leaves of a domain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RackDown {
    /// A rack, a zone or a region.
    pub domain: String,
}

/// Loses a spine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SpineCut {
    /// Which, from 1.
    pub spine: u32,
}

/// Makes the links between a domain and all others slow.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RegionSlow {
    /// A rack, a zone or a region.
    pub domain: String,
    /// How slow: a delay, and a jitter.
    pub quality: Quality,
}

/// Why no fault of a kind can be done where nodes stand so; `None` if one can.
pub(super) fn impossible(kind: &str, topology: Option<&Topology>) -> Option<String> {
    let Some(topology) = topology else {
        return Some("it needs failure domains; give the cluster some by `--topology 3x2`".into());
    };
    let nowhere = kind == REGION_SLOW.name && topology.outermost().is_none();
    nowhere.then(|| "all nodes are in one rack, and nothing is to be slow between them".into())
}

fn draw_domain(dice: &mut Dice<'_>, tier: impl Fn(&Topology) -> Tier) -> String {
    let domains = dice.topology.map_or_else(Vec::new, |topology| topology.domains(tier(topology)));
    dice.one_of(&domains).unwrap_or_default().to_owned()
}

/// The spines, from 1, that carry something.
fn busy_spines(topology: &Topology) -> Vec<u32> {
    let carries = |spine: &u32| !topology.links_by_spine(spine - 1).is_empty();
    (1..=topology.spines).filter(carries).collect()
}

fn check_domain(domain: &str, ground: Ground<'_>, kind: &str) -> Result<(), String> {
    let topology = ground.topology.ok_or_else(|| impossible(kind, None).unwrap_or_default())?;
    if topology.domain(domain).is_some() {
        return Ok(());
    }
    let known: Vec<&str> = Tier::ALL.into_iter().flat_map(|tier| topology.domains(tier)).collect();
    Err(format!("there is no domain `{domain}`; there are {}", known.join(", ")))
}

/// All of these links cut: between nodes as partitions cut them, those of clients as bad links.
fn cut(links: Vec<Pair>) -> State {
    let of_clients = |pair: &Pair| pair.from == CLIENTS || pair.to == CLIENTS;
    let (clients, nodes): (Vec<Pair>, Vec<Pair>) = links.into_iter().partition(of_clients);
    State {
        cuts: nodes.into_iter().map(|pair| (pair.from, pair.to)).collect(),
        links: clients.into_iter().map(|pair| (pair, Quality::cut())).collect(),
        ..State::default()
    }
}

/// What is left of a fault that only cuts, where others do the same already: nothing new could be seen of it.
fn cut_anew(state: State, scene: &Scene<'_>) -> Result<Resolved, Skipped> {
    let is_cut = |pair: &Pair| scene.now.links.get(pair).is_some_and(|quality| quality.cut);
    if state.cuts.is_subset(&scene.now.cuts) && state.links.keys().all(is_cut) {
        return Err(Skipped("other faults cut all of these links already".into()));
    }
    Ok(Resolved {
        nodes: Vec::new(),
        key: None,
        state,
    })
}

fn topology<'a>(scene: &Scene<'a>) -> Result<&'a Topology, Skipped> {
    scene.topology.ok_or_else(|| Skipped("the nodes are in no failure domains".into()))
}

impl Family for RackDown {
    fn info(&self) -> &'static FaultInfo {
        &RACK_DOWN
    }

    hits_no_target!();

    fn validate_on(&self, ground: Ground<'_>) -> Result<(), String> {
        check_domain(&self.domain, ground, RACK_DOWN.name)
    }

    fn resolve(&self, scene: &Scene<'_>) -> Result<Resolved, Skipped> {
        cut_anew(cut(topology(scene)?.links_of_domain(&self.domain)), scene)
    }
}

impl Family for SpineCut {
    fn info(&self) -> &'static FaultInfo {
        &SPINE_CUT
    }

    hits_no_target!();

    fn validate_on(&self, ground: Ground<'_>) -> Result<(), String> {
        let topology = ground
            .topology
            .ok_or_else(|| impossible(SPINE_CUT.name, None).unwrap_or_default())?;
        if !(1..=topology.spines).contains(&self.spine) {
            return Err(format!("there is no spine {}; there are 1 to {}", self.spine, topology.spines));
        }
        if !busy_spines(topology).contains(&self.spine) {
            return Err(format!(
                "nothing goes by spine {}, so that nothing would be lost with it",
                self.spine
            ));
        }
        Ok(())
    }

    fn resolve(&self, scene: &Scene<'_>) -> Result<Resolved, Skipped> {
        cut_anew(cut(topology(scene)?.links_by_spine(self.spine.saturating_sub(1))), scene)
    }
}

impl Family for RegionSlow {
    fn info(&self) -> &'static FaultInfo {
        &REGION_SLOW
    }

    hits_no_target!();

    fn check(&self) -> Result<(), String> {
        if self.quality.delay_us == 0 || Delay::part(&self.quality) != self.quality {
            return Err("`quality` of a `region-slow` is a `delay_us`, and a `jitter_us` if you like".into());
        }
        self.quality.validate()?;
        check_visible(&self.quality)
    }

    fn validate_on(&self, ground: Ground<'_>) -> Result<(), String> {
        self.check()?;
        check_domain(&self.domain, ground, REGION_SLOW.name)?;
        let leads_out = ground
            .topology
            .is_some_and(|topology| !topology.links_across(&self.domain).is_empty());
        leads_out
            .then_some(())
            .ok_or_else(|| format!("all nodes are in `{}`, and no link leads out of it", self.domain))
    }

    fn resolve(&self, scene: &Scene<'_>) -> Result<Resolved, Skipped> {
        let slow = |pair: Pair| (pair, self.quality.clone());
        let links: BTreeMap<Pair, Quality> = topology(scene)?.links_across(&self.domain).into_iter().map(slow).collect();
        resolved(Vec::new(), None, links, scene)
    }
}
