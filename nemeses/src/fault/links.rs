//! Bad links: slow, lossy, narrow, out of order, flapping. What a link's quality can be is said by [`Quality`]; a kind here may set a part of it.

use std::collections::{BTreeMap, BTreeSet};
use std::marker::PhantomData;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::family::{Asks, Family, Scene, hits_no_target};
use super::{Dice, Fault, FaultInfo, Mechanism, Resolved};
use crate::link::{Burst, CLIENTS, Gate, Pair, Quality, Rate, Reorder};
use crate::target::{KeyRoles, Skipped, TargetChoice, check_choice, unless_down};
use crate::world::State;

/// A hundredth is seen in some thousand packets; more than this is a cut, for which there are other faults.
const SHARE_PPM_MIN: u64 = 10_000;
const SHARE_PPM_MAX: u64 = 990_000;
/// Longer than an idle link takes on a loaded machine.
const DELAY_US_MIN: u64 = 5_000;
/// Longer than a loaded machine leaves a thread alone.
const GATE_US_MIN: u64 = 30_000;
/// The longest that a gate stays as it is: a probe has to see it both ways, and other faults wait for the probe.
const GATE_US_MAX: u64 = 2_000_000;
/// A pace of which a probe sees some packets, and one that it can tell from no bottleneck.
const KBIT_PER_S_MIN: u64 = 256;
const KBIT_PER_S_MAX: u64 = 100_000;
/// So that some full packets find room at the slowest pace.
const QUEUE_US_MIN: u64 = 200_000;
/// No ordinary packet is larger than 1500 bytes.
const MTU_MAX: u64 = 1_499;

/// Makes some links bad in the way of one kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "LinkFault", bound = "")]
pub struct LinkFault<K> {
    /// Which links.
    pub on: On,
    /// What they are to be like.
    pub quality: Quality,
    #[serde(skip)]
    kind: PhantomData<K>,
}

/// Which directed links a fault makes bad.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum On {
    /// All between nodes.
    Everywhere,
    /// These; `clients` may be an end.
    Links(Vec<Pair>),
    /// Those between a node and the others, both ways.
    Around(TargetChoice),
    /// What a node sends to the others.
    From(TargetChoice),
    /// What a node gets from the others.
    To(TargetChoice),
    /// Those between the clients and a node, both ways.
    Clients(TargetChoice),
}

/// One kind of bad link.
pub trait LinkKind: Clone + std::fmt::Debug + PartialEq + Eq + 'static {
    /// What is known of it.
    fn info() -> &'static FaultInfo;

    /// The part of a quality that a fault of this kind may set; all else is left out.
    fn part(quality: &Quality) -> Quality;
}

impl<K: LinkKind> LinkFault<K> {
    /// A fault of this kind.
    #[must_use]
    pub fn new(on: On, quality: Quality) -> LinkFault<K> {
        LinkFault {
            on,
            quality,
            kind: PhantomData,
        }
    }
}

impl<K: LinkKind> Family for LinkFault<K> {
    fn info(&self) -> &'static FaultInfo {
        K::info()
    }

    fn target(&self) -> Option<&TargetChoice> {
        self.on.target()
    }

    fn target_mut(&mut self) -> Option<&mut TargetChoice> {
        self.on.target_mut()
    }

    fn quality(&self) -> Option<Quality> {
        Some(self.quality.clone())
    }

    fn validate(&self, nodes: &[String]) -> Result<(), String> {
        self.on.validate(nodes)?;
        let kind = K::info().name;
        if self.quality.is_healthy() {
            return Err(format!("`quality` is empty: a `{kind}` says what is wrong with the links"));
        }
        if K::part(&self.quality) != self.quality {
            return Err(format!(
                "`quality` has a field that no `{kind}` has; use the fault that it belongs to as well"
            ));
        }
        self.quality.validate()?;
        check_visible(&self.quality)
    }

    fn resolve(&self, scene: &Scene<'_>) -> Result<Resolved, Skipped> {
        let (nodes, pairs) = self.on.settle(scene)?;
        let links = pairs.into_iter().map(|pair| (pair, self.quality.clone())).collect();
        let key = self.on.target().and_then(|target| target.key(scene.roles));
        resolved(nodes, key, links, scene)
    }
}

/// A fault that could not be told from none, or from a cut, must not be asked for.
pub(super) fn check_visible(quality: &Quality) -> Result<(), String> {
    let Quality { reorder, rate, burst, .. } = quality;
    let gates = [("flap", quality.flap), ("stall", quality.stall)];
    let shares = [
        ("loss_ppm", quality.loss_ppm),
        ("corrupt_ppm", quality.corrupt_ppm),
        ("duplicate_ppm", quality.duplicate_ppm),
        ("corrupt_past_checksum_ppm", quality.corrupt_past_checksum_ppm),
        ("reorder.share_ppm", reorder.map_or(0, |reorder| reorder.share_ppm)),
        ("burst", burst.map_or(0, Burst::mean_loss_ppm)),
    ];
    for (name, share) in shares.into_iter().filter(|(_, share)| *share > 0) {
        visible(name, share.into(), SHARE_PPM_MIN, SHARE_PPM_MAX)?;
    }
    for (name, gate) in gates.into_iter().filter_map(|(name, gate)| Some((name, gate?))) {
        visible(&format!("{name}.closed_us"), gate.closed_us, GATE_US_MIN, GATE_US_MAX)?;
        visible(&format!("{name}.open_us"), gate.open_us, 0, GATE_US_MAX)?;
    }
    if quality.delay_us > 0 {
        visible("delay_us", quality.delay_us, DELAY_US_MIN, u64::MAX)?;
    }
    rate.map_or(Ok(()), |rate| {
        visible("rate.kbit_per_s", rate.kbit_per_s, KBIT_PER_S_MIN, KBIT_PER_S_MAX)?;
        visible("rate.queue_us", rate.queue_us, QUEUE_US_MIN, u64::MAX)
    })?;
    quality.mtu.map_or(Ok(()), |mtu| visible("mtu", mtu.into(), 0, MTU_MAX))
}

fn visible(name: &str, value: u64, least: u64, most: u64) -> Result<(), String> {
    match value {
        small if small < least => Err(format!("`{name}` is {value}; below {least} no probe can tell that it bites")),
        large if large > most => Err(format!("`{name}` is {value}; above {most} no probe can tell what it does")),
        _ => Ok(()),
    }
}

/// Links that are cut by another fault show nothing of this one.
pub(super) fn resolved(
    nodes: Vec<String>,
    key: Option<KeyRoles>,
    links: BTreeMap<Pair, Quality>,
    scene: &Scene<'_>,
) -> Result<Resolved, Skipped> {
    let is_cut = |pair: &Pair| scene.now.cuts.contains(&(pair.from.clone(), pair.to.clone()));
    if links.is_empty() {
        return Err(Skipped(format!("there are no such links between {} nodes", scene.nodes.len())));
    }
    // A connection needs both ways.
    let is_hidden = |(pair, quality): (&Pair, &Quality)| is_cut(pair) || ((quality.resets > 0 || quality.refuse) && is_cut(&pair.back()));
    if links.iter().all(is_hidden) {
        return Err(Skipped("another fault cuts all of these links now".into()));
    }
    let changes = |(pair, quality): (&Pair, &Quality)| {
        let now = scene.now.links.get(pair).cloned().unwrap_or_default();
        now.with(quality) != now
    };
    if !links.iter().any(changes) {
        return Err(Skipped("other faults ask as much of these links now".into()));
    }
    let state = State { links, ..State::default() };
    Ok(Resolved { nodes, key, state })
}

impl On {
    /// One node's links are bad three times out of four: all links at once slow everything down alike.
    fn draw(dice: &mut Dice<'_>) -> On {
        match dice.card(4) {
            0 => On::Everywhere,
            1 => On::From(dice.target()),
            2 => On::To(dice.target()),
            _ => On::Around(dice.target()),
        }
    }

    fn target(&self) -> Option<&TargetChoice> {
        match self {
            On::Around(target) | On::From(target) | On::To(target) | On::Clients(target) => Some(target),
            On::Everywhere | On::Links(_) => None,
        }
    }

    fn target_mut(&mut self) -> Option<&mut TargetChoice> {
        match self {
            On::Around(target) | On::From(target) | On::To(target) | On::Clients(target) => Some(target),
            On::Everywhere | On::Links(_) => None,
        }
    }

    fn validate(&self, nodes: &[String]) -> Result<(), String> {
        match self {
            On::Links(links) => check_links(links.iter(), nodes),
            _ => self.target().map_or(Ok(()), |target| check_choice(target, nodes)),
        }
    }

    /// The nodes that were chosen, and the links.
    fn settle(&self, scene: &Scene<'_>) -> Result<(Vec<String>, BTreeSet<Pair>), Skipped> {
        let chosen = match self.target() {
            Some(target) => target.settle(scene, unless_down(scene.now))?,
            None => Vec::new(),
        };
        let out = |node: &String| -> Vec<Pair> {
            let others = scene.nodes.iter().filter(|other| *other != node);
            others.map(|other| Pair::new(node, other)).collect()
        };
        let of = |node: &String| -> Vec<Pair> {
            match self {
                On::Everywhere | On::Links(_) => Vec::new(),
                On::From(_) => out(node),
                On::To(_) => out(node).iter().map(Pair::back).collect(),
                On::Around(_) => out(node).into_iter().flat_map(|pair| [pair.back(), pair]).collect(),
                On::Clients(_) => vec![Pair::new(CLIENTS, node), Pair::new(node, CLIENTS)],
            }
        };
        let pairs = match self {
            On::Everywhere => all_links(scene.nodes).into_iter().collect(),
            On::Links(links) => links.iter().cloned().collect(),
            _ => chosen.iter().flat_map(of).collect(),
        };
        Ok((chosen, pairs))
    }
}

fn all_links(nodes: &[String]) -> Vec<Pair> {
    let from = nodes.iter().flat_map(|from| nodes.iter().map(move |to| (from, to)));
    from.filter(|(from, to)| from != to).map(|(from, to)| Pair::new(from, to)).collect()
}

fn check_links<'a>(links: impl Iterator<Item = &'a Pair>, nodes: &[String]) -> Result<(), String> {
    let mut any = false;
    for pair in links {
        any = true;
        let known = |end: &String| end == CLIENTS || nodes.contains(end);
        if let Some(stranger) = [&pair.from, &pair.to].into_iter().find(|end| !known(end)) {
            return Err(format!(
                "link `{pair}`: there is no node `{stranger}`; there are {}, {CLIENTS}",
                nodes.join(", ")
            ));
        }
    }
    if any { Ok(()) } else { Err("no link is named".into()) }
}

/// Declares kinds of bad links: the type, its `FaultInfo`, the part of a quality that is its, and how one is drawn.
macro_rules! link_kinds {
    ($($(#[$doc:meta])* $kind:ident $info:ident $name:literal $about:literal [$($field:ident),+] $on:expr, $draw:expr;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct $kind;

        pub(super) const $info: FaultInfo = FaultInfo {
            name: $name,
            about: $about,
            needs: &[],
            nodes_min: 2,
            mechanism: Mechanism::Links,
            draw: |dice| {
                let on: fn(&mut Dice<'_>) -> On = $on;
                let quality: fn(&mut Dice<'_>) -> Quality = $draw;
                let on = on(dice);
                Fault::$kind(LinkFault::new(on, quality(dice)))
            },
        };

        impl LinkKind for $kind {
            fn info() -> &'static FaultInfo {
                &$info
            }

            fn part(quality: &Quality) -> Quality {
                Quality {
                    $($field: quality.$field.clone(),)+
                    ..Quality::default()
                }
            }
        }
    )*};
}

link_kinds! {
    /// Packets are late.
    Delay DELAY "delay" "make links slow, evenly or by a jitter that keeps the order" [delay_us, jitter_us] On::draw, |dice| {
        let delay_us = u64::from(dice.between(20_000, 400_000));
        Quality { delay_us, jitter_us: delay_us / pick(dice, &[u64::MAX, 10, 4]), ..Quality::default() }
    };
    /// Packets are lost.
    Loss LOSS "loss" "lose packets, each by itself or in bursts" [loss_ppm, burst] On::draw, |dice| match dice.card(3) {
        // Mean losses of 9 to 50 %, in bursts of four to ten packets.
        0 => Quality { burst: Some(Burst {
            enter_ppm: dice.between(25_000, 100_000),
            leave_ppm: pick(dice, &[100_000, 250_000]),
            loss_ppm: 1_000_000,
        }), ..Quality::default() },
        _ => Quality { loss_ppm: dice.between(50_000, 500_000), ..Quality::default() },
    };
    /// Packets arrive twice.
    Duplicate DUPLICATE "duplicate" "deliver packets twice" [duplicate_ppm] On::draw, |dice| {
        Quality { duplicate_ppm: dice.between(50_000, 500_000), ..Quality::default() }
    };
    /// Packets overtake each other.
    Reordering REORDER "reorder" "keep packets back so that others overtake them" [reorder] On::draw, |dice| {
        let share_ppm = dice.between(50_000, 250_000);
        Quality { reorder: Some(Reorder { share_ppm, by_us: dice.between(2_000, 20_000).into() }), ..Quality::default() }
    };
    /// Packets are damaged on the wire.
    Corrupt CORRUPT "corrupt" "turn bits on the wire; the receiver's kernel sees it by the checksum and drops the packet" [corrupt_ppm] On::draw, |dice| {
        Quality { corrupt_ppm: dice.between(50_000, 300_000), ..Quality::default() }
    };
    /// Packets are damaged where no checksum sees it.
    CorruptPastChecksum CORRUPT_PAST_CHECKSUM "corrupt-past-checksum" "turn bits of payloads and mend the checksum: only the program can notice"
    [corrupt_past_checksum_ppm] On::draw, |dice| {
        Quality { corrupt_past_checksum_ppm: dice.between(50_000, 200_000), ..Quality::default() }
    };
    /// Links are narrow.
    Narrow RATE "rate" "let few bits a second pass, with a queue before the bottleneck" [rate] On::draw, |dice| {
        let kbit_per_s = dice.between(10_000, 512).into();
        Quality { rate: Some(Rate { kbit_per_s, queue_us: pick(dice, &[300_000, 800_000]) }), ..Quality::default() }
    };
    /// Connections are reset.
    Reset RESET "reset" "reset TCP connections at both ends, once or as long as it lasts (on the network `kernel` each end as it next speaks)" [resets, refuse] On::draw, |dice| match dice.card(4) {
        0 => Quality { refuse: true, ..Quality::default() },
        _ => Quality { resets: 1, ..Quality::default() },
    };
    /// Large packets vanish.
    BlackHole MTU "mtu" "swallow large packets without a word: a path MTU black hole" [mtu] On::draw, |dice| {
        Quality { mtu: u16::try_from(dice.between(1400, 576)).ok(), ..Quality::default() }
    };
    /// A receiver takes its packets in gulps.
    SlowReceiver SLOW_RECEIVER "slow-receiver" "hold what a node gets and deliver it in gulps" [stall] |dice| On::To(dice.target()), |dice| {
        let closed_us = dice.between(100_000, 600_000).into();
        Quality { stall: Some(Gate { first_us: 0, closed_us, open_us: pick(dice, &[20_000, 50_000, 100_000]) }), ..Quality::default() }
    };
    /// Links come and go.
    Flapping FLAPPING "flapping" "cut links and heal them by turns" [flap] On::draw, |dice| {
        let closed_us = dice.between(60_000, 300_000).into();
        Quality { flap: Some(Gate { first_us: 0, closed_us, open_us: pick(dice, &[60_000, 200_000, 400_000]) }), ..Quality::default() }
    };
    /// Clients do not reach a node.
    ClientCut CLIENT_CUT "client-cut" "cut the clients from a node, which the other nodes still reach" [cut, cut_ports] |dice| On::Clients(dice.target()), |_| {
        Quality::cut()
    };
}

/// One of a few.
fn pick<T: Copy + Default>(dice: &mut Dice<'_>, choices: &[T]) -> T {
    dice.one_of(choices).unwrap_or_default()
}

pub(super) const SWIZZLE: FaultInfo = FaultInfo {
    name: "swizzle",
    about: "cut the links of some nodes one by one, and heal them one by one in another order",
    needs: &[],
    nodes_min: 3,
    mechanism: Mechanism::Links,
    draw: |dice| Fault::Swizzle(Swizzle::draw(dice)),
};

/// Between two cuts, and between two heals.
const SWIZZLE_STEP_US: u64 = 40_000;
/// How long all of them are cut.
const SWIZZLE_ALL_US: u64 = 150_000;

/// Cuts links one by one and heals them one by one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Swizzle {
    /// When each link is cut and healed.
    pub links: BTreeMap<Pair, Gate>,
}

impl Swizzle {
    /// The links between a few nodes and all others, both ways at once.
    fn draw(dice: &mut Dice<'_>) -> Swizzle {
        let order = dice.order();
        let n_hit = 1 + dice.card((order.len() as u32 / 2).max(1)) as usize;
        let hit = &order[..n_hit.min(order.len())];
        let mut links: Vec<Pair> = all_links(&order);
        links.retain(|pair| hit.contains(&pair.from) && (!hit.contains(&pair.to) || pair.from < pair.to));
        let n = links.len() as u64;
        let healed = dice.shuffled(0..n);
        let gate = |(cut, heal): (u64, u64)| Gate {
            first_us: cut * SWIZZLE_STEP_US,
            closed_us: (n - cut + heal) * SWIZZLE_STEP_US + SWIZZLE_ALL_US,
            open_us: 0,
        };
        let cut = dice.shuffled(0..n);
        let gates = cut.into_iter().zip(healed).map(gate);
        let links = links
            .into_iter()
            .zip(gates)
            .flat_map(|(pair, gate)| [(pair.back(), gate), (pair, gate)]);
        Swizzle { links: links.collect() }
    }
}

impl Family for Swizzle {
    fn info(&self) -> &'static FaultInfo {
        &SWIZZLE
    }

    hits_no_target!();

    fn quality(&self) -> Option<Quality> {
        self.qualities().into_values().next()
    }

    fn validate(&self, nodes: &[String]) -> Result<(), String> {
        check_links(self.links.keys(), nodes)?;
        self.qualities().values().try_for_each(Quality::validate)
    }

    fn asks(&self) -> Asks {
        Asks::default()
    }

    fn resolve(&self, scene: &Scene<'_>) -> Result<Resolved, Skipped> {
        resolved(Vec::new(), None, self.qualities(), scene)
    }
}

impl Swizzle {
    fn qualities(&self) -> BTreeMap<Pair, Quality> {
        let quality = |gate: &Gate| Quality {
            flap: Some(*gate),
            ..Quality::default()
        };
        self.links.iter().map(|(pair, gate)| (pair.clone(), quality(gate))).collect()
    }
}
