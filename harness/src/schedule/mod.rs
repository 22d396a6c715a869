//! The schedule of a plan: which faults, when, for how long, how hard, against whom. A pure function of a [`Recipe`] and a seed.
//!
//! Every concern has a generator of its own (times, kinds, figures and targets, aims), so that another interval moves no kind and another kind no
//! time. What a recipe can be called by a name is in [`profiles`]; what a schedule as a whole does to the cluster in [`outage`].

pub mod outage;
pub mod packet;
pub mod profiles;
#[cfg(test)]
mod tests;
pub mod when;

use std::ops::RangeInclusive;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use squall_nemeses::{Dice, Fault, TargetChoice, Topology};

use crate::plan::{Injection, Timing, node_names};
use crate::systems::SystemPlan;

/// Mean length of one slot of the schedule: the longest outage a default run of 15 s can show several of.
const SLOT_MS: u64 = 1_700;
/// Shortest slot for kinds that nobody named: in shorter ones faults stand in each other's way (no leader to be found, nothing to be proved), and the
/// storm takes longer than it is to.
const SLOT_MS_MIN: u64 = SLOT_MS * 2 / 3;
/// From one injection to the next where only their length is given: about a slot.
const EVERY_MS: RangeInclusive<u64> = 1_000..=2_400;
/// How long a fault lasts where only the intervals are given: what slots come to.
const FOR_MS: RangeInclusive<u64> = 750..=1_700;

/// What a schedule is drawn from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recipe {
    /// Kinds of faults; each appears before any appears again.
    pub kinds: Vec<String>,
    /// Whether each of them must appear: they were asked for by name. Else a short storm has some of them.
    pub all: bool,
    /// Whom they hit.
    pub aim: Aim,
    /// From one injection to the next, in milliseconds. None, and no length either: the storm is cut into equal slots, one fault in each.
    pub every_ms: Option<RangeInclusive<u64>>,
    /// How long each lasts.
    pub lasts: Lasts,
    /// How hard they are, in percent of the way from the mildest to the hardest that a kind draws.
    pub intensity: RangeInclusive<u32>,
}

/// Whom the faults of a schedule hit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Aim {
    /// Whoever each draws.
    Drawn,
    /// Whoever leads when it is due.
    Leader,
    /// Always the same node.
    OneNode,
    /// As many nodes at once as can be away while a majority is left.
    Minority,
    /// As many nodes at once as leave no majority.
    Majority,
}

/// How long the faults of a schedule last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lasts {
    /// What the intervals suggest.
    Suggested,
    /// So many milliseconds.
    Between(RangeInclusive<u64>),
    /// One fault, for the whole storm.
    Storm,
}

impl From<Vec<String>> for Recipe {
    /// All of these kinds in equal slots, of any intensity, against whomever they draw.
    fn from(kinds: Vec<String>) -> Recipe {
        Recipe {
            kinds,
            all: true,
            aim: Aim::Drawn,
            every_ms: None,
            lasts: Lasts::Suggested,
            intensity: 0..=100,
        }
    }
}

/// When a fault begins and how long it lasts, in milliseconds.
type Hour = (u64, u64);

/// Draws a schedule for a system, and the failure domains of its nodes, if they are in any.
///
/// # Errors
/// If the storm is too short for every kind to appear that must.
pub fn draw(
    seed: u64,
    (system, topology): (&SystemPlan, Option<&Topology>),
    timing: &Timing,
    recipe: &Recipe,
) -> Result<Vec<Injection>, String> {
    if recipe.kinds.is_empty() {
        return Ok(Vec::new());
    }
    let hours = draw_hours(&mut generator(seed, "schedule.times"), timing, recipe);
    if recipe.all && hours.len() < recipe.kinds.len() {
        return Err(format!(
            "{} faults fit into the storm of {} ms, and {} kinds are wanted; give it more --time, or a shorter --fault-every",
            hours.len(),
            timing.storm_ms,
            recipe.kinds.len()
        ));
    }
    let nodes = node_names(system.nodes());
    let capabilities = system.capabilities();
    let mut kinds = generator(seed, "schedule.kinds");
    let mut aims = generator(seed, "schedule.aims");
    let mut figures = generator(seed, "schedule.targets");
    let mut dice = Dice::new(&nodes, &capabilities, &mut figures);
    dice.topology = topology;
    dice.intensity = recipe.intensity.clone();
    let one_node = nodes[aims.random_range(0..nodes.len())].clone();
    let mut round: Vec<&String> = Vec::new();
    let mut schedule = Vec::new();
    for (at_ms, for_ms) in hours {
        if round.is_empty() {
            round = recipe.kinds.iter().collect();
            shuffle(&mut round, &mut kinds);
        }
        let kind = round.pop().expect("a round was just dealt");
        for aim in aims_of(recipe.aim, &nodes, &one_node, &mut aims) {
            dice.aim = aim;
            schedule.push(Injection {
                id: schedule.len() as u64,
                at_ms,
                for_ms,
                when: None,
                fault: Fault::draw(kind, &mut dice),
                struck: None,
            });
        }
    }
    Ok(schedule)
}

/// A generator of its own for each concern: a draw added in one place moves nothing elsewhere.
pub fn generator(seed: u64, concern: &str) -> ChaCha8Rng {
    let mut key = [0u8; 32];
    key[..8].copy_from_slice(&seed.to_le_bytes());
    for (slot, byte) in key[8..].iter_mut().zip(concern.bytes()) {
        *slot = byte;
    }
    ChaCha8Rng::from_seed(key)
}

/// Whom the faults of one hour hit, one each; `None` is whoever the fault draws.
fn aims_of(aim: Aim, nodes: &[String], one_node: &str, rng: &mut ChaCha8Rng) -> Vec<Option<TargetChoice>> {
    let majority = nodes.len() / 2 + 1;
    let n_together = match aim {
        Aim::Drawn => return vec![None],
        Aim::Leader => return vec![Some(TargetChoice::Leader)],
        Aim::OneNode => return vec![Some(TargetChoice::Node(one_node.to_owned()))],
        Aim::Minority => nodes.len() - majority,
        // Of an even number half is enough.
        Aim::Majority => nodes.len() - majority + 1,
    };
    let mut order: Vec<&String> = nodes.iter().collect();
    shuffle(&mut order, rng);
    let together = order.into_iter().take(n_together.max(1));
    together.map(|node| Some(TargetChoice::Node(node.clone()))).collect()
}

fn draw_hours(rng: &mut ChaCha8Rng, timing: &Timing, recipe: &Recipe) -> Vec<Hour> {
    let end_ms = timing.warm_up_ms + timing.storm_ms;
    let lasts_ms = match (&recipe.lasts, &recipe.every_ms) {
        (Lasts::Storm, _) => return vec![(timing.warm_up_ms, timing.storm_ms)],
        (Lasts::Suggested, None) => return draw_slots(rng, timing, recipe),
        (Lasts::Suggested, Some(_)) => FOR_MS,
        (Lasts::Between(lasts_ms), _) => lasts_ms.clone(),
    };
    let every_ms = recipe.every_ms.clone().unwrap_or(EVERY_MS);
    let mut hours = Vec::new();
    let mut at_ms = timing.warm_up_ms;
    while at_ms < end_ms {
        let for_ms = rng.random_range(lasts_ms.clone()).min(end_ms - at_ms);
        hours.push((at_ms, for_ms));
        at_ms += rng.random_range(every_ms.clone()).max(1);
    }
    hours
}

/// Cuts the storm into equal slots and puts one fault into each: lengths are 45 to 100 % of a slot and starts may lie late in it, so that
/// neighbours sometimes overlap. There are as many slots as kinds, unless nobody named the kinds and there is no room for all of them.
fn draw_slots(rng: &mut ChaCha8Rng, timing: &Timing, recipe: &Recipe) -> Vec<Hour> {
    let n_kinds = recipe.kinds.len() as u64;
    let room = if recipe.all { n_kinds } else { timing.storm_ms / SLOT_MS_MIN };
    let count = (timing.storm_ms / SLOT_MS).max(n_kinds.min(room)).max(1);
    let slot_ms = timing.storm_ms / count;
    let end_ms = timing.warm_up_ms + timing.storm_ms;
    let hour = |place: u64| {
        let at_ms = timing.warm_up_ms + place * slot_ms + rng.random_range(0..=slot_ms * 3 / 10);
        let for_ms = rng.random_range(slot_ms * 45 / 100..=slot_ms).min(end_ms - at_ms);
        (at_ms, for_ms)
    };
    (0..count).map(hour).collect()
}

/// Puts items into a drawn order.
pub(crate) fn shuffle<T>(items: &mut [T], rng: &mut ChaCha8Rng) {
    for last in (1..items.len()).rev() {
        items.swap(last, rng.random_range(0..=last));
    }
}
