//! T13: the members change one step at a time, and every node counts by the configuration of its own log.

use std::collections::BTreeMap;

use super::breach::{Breaches, Rule, Sight};
use super::event::{Config, Index, Role, Stage, Term};
use super::names::NameId;
use super::node::NodeState;
use super::scene::Scene;
use super::tell::entry;

/// Largest number of members of two configurations together whose majorities are compared one by one: 2^12 sets.
const MEMBERS_MAX: usize = 12;

/// Most configurations kept: the oldest go first.
const CONFIGS_MAX: usize = 1 << 12;

/// The configurations that entries stand for.
#[derive(Debug, Clone, Default)]
pub(super) struct Membership {
    known: BTreeMap<(Index, Term), (Config, Sight)>,
}

impl Membership {
    /// A configuration takes effect on a node. `config_entries` of the node tell where it stands.
    pub(super) fn config(&mut self, scene: Scene<'_>, index: Index, stage: Stage, config: &Config, breaches: &mut Breaches) {
        let me = scene.me();
        if stage != Stage::Appended {
            return;
        }
        let Some(place) = me.config_entries.iter().rposition(|(at, _)| *at == index) else {
            return;
        };
        let term = me.config_entries[place].1;
        if me.role == Role::Leader {
            let before = place.checked_sub(1).map(|before| me.config_entries[before]);
            one_at_a_time(scene, before, index, breaches);
            overlapping(scene, index, config, breaches);
        }
        let (known, at) = self.known.entry((index, term)).or_insert_with(|| (config.clone(), scene.sight));
        if known != config {
            breaches.add(Rule::Membership, || {
                let place = entry(index, term);
                let message = format!(
                    "{place} stands for two configurations: {} and {}",
                    tell(scene, known),
                    tell(scene, config)
                );
                let says = |config: &Config| format!("configuration of {place}: {}", tell(scene, config));
                (message, vec![at.says(says(known)), scene.sight.says(says(config))])
            });
        }
        if self.known.len() > CONFIGS_MAX {
            self.known.pop_first();
        }
    }

    /// A node is about to decide something by counting members: the last configuration in its log is the one to count by, committed or
    /// not (Raft §6). Asked of a node whose last configuration is known.
    pub(super) fn decides(&self, scene: Scene<'_>, what: &str, breaches: &mut Breaches) {
        let me = scene.me();
        let Some((config, at)) = me.config_entries.last().and_then(|place| self.known.get(place)) else {
            return;
        };
        if *config == me.config {
            return;
        }
        breaches.add(Rule::Membership, || {
            let own = tell(scene, &me.config);
            let message = format!(
                "{} {what} by {own}, but the last configuration in its log is {}",
                scene.name(),
                tell(scene, config)
            );
            let facts = vec![
                at.says(format!("configuration appended: {}", tell(scene, config))),
                scene.sight.says(format!("{what} by {own}")),
            ];
            (message, facts)
        });
    }
}

/// A leader appends a configuration only when the one before is committed (Ongaro's thesis §4.1 and §4.3).
fn one_at_a_time(scene: Scene<'_>, before: Option<(Index, Term)>, index: Index, breaches: &mut Breaches) {
    let me = scene.me();
    let Some((before, term)) = before.filter(|(before, _)| *before > me.commit) else {
        return;
    };
    breaches.add(Rule::Membership, || {
        let earlier = entry(before, term);
        let message = format!(
            "{} appended a configuration at index {index} while {earlier}, another one, was not committed",
            scene.name()
        );
        (
            message,
            vec![
                scene
                    .sight
                    .says(format!("configuration appended at index {index}, committed up to {}", me.commit)),
            ],
        )
    });
}

fn overlapping(scene: Scene<'_>, index: Index, config: &Config, breaches: &mut Breaches) {
    let before = &scene.me().config;
    let Some(apart) = disjoint(before, config) else { return };
    breaches.add(Rule::Membership, || {
        let (old, new) = (tell(scene, before), tell(scene, config));
        let names: Vec<&str> = apart.iter().map(|member| scene.text(*member)).collect();
        let message = format!(
            "at index {index} {} went from {old} to {new}: {} can decide by the first while the others decide by the second",
            scene.name(),
            names.join(" and ")
        );
        (
            message,
            vec![scene.sight.says(format!("configuration appended: {new}, after {old}"))],
        )
    });
}

/// Members that decide by one configuration while all others decide by the other, if there are any.
fn disjoint(one: &Config, other: &Config) -> Option<Vec<NameId>> {
    let mut members: Vec<NameId> = one.sets().chain(other.sets()).flatten().copied().collect();
    members.sort_unstable();
    members.dedup();
    if members.len() > MEMBERS_MAX {
        return None;
    }
    let decides = |config: &Config, side: u32, chosen: u32| {
        config.sets().all(|set| {
            let is_chosen = |member: &&NameId| members.binary_search(member).is_ok_and(|place| (chosen >> place & 1) == side);
            set.iter().filter(is_chosen).count() > set.len() / 2
        })
    };
    let chosen = (0..1u32 << members.len()).find(|chosen| decides(one, 1, *chosen) && decides(other, 0, *chosen))?;
    let is_chosen = |place: &usize| chosen >> place & 1 == 1;
    Some((0..members.len()).filter(is_chosen).map(|place| members[place]).collect())
}

fn tell(scene: Scene<'_>, config: &Config) -> String {
    let set = |members: &[NameId]| members.iter().map(|member| scene.text(*member)).collect::<Vec<_>>().join(" ");
    match &config.voters_old {
        Some(old) => format!("[{}] jointly with [{}]", set(&config.voters), set(old)),
        None => format!("[{}]", set(&config.voters)),
    }
}

/// An entry that changes the members came into a log.
pub(super) fn appended(node: &mut NodeState, index: Index, term: Term) {
    node.config_entries.push((index, term));
}

/// Entries were removed.
pub(super) fn truncated(node: &mut NodeState, from: Index) {
    while node.config_entries.last().is_some_and(|(index, _)| *index >= from) {
        node.config_entries.pop();
    }
}
