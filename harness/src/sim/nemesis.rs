//! The schedule of a plan, played on a simulated cluster. The counterpart of `run/nemesis`: the same resolution, the same stages.
//!
//! A simulated fault cannot fail to bite, but the code that applies it can be wrong: its probe looks at the cluster, not at what was asked.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::{Value, json};
use squall_checker::history::mark::{FaultStage, Finding, Stage};
use squall_nemeses::clock::Course;
use squall_nemeses::{Asks, Change, Fault, KeyRoles, Mechanism, Proof, Receipt, Resolved, Roles, State, World};
use squall_node::core::Core;
use squall_node::members::NodeIndex;

use super::members::Purpose;
use super::play::{NS_PER_MS, Play, Timer, is_leader};
use super::store::Store;
use crate::plan::Injection;
use crate::run::members::{HEAL_BOUND, INJECT_BOUND};

/// The faults in force.
#[derive(Debug, Default)]
pub(super) struct Nemesis {
    world: World,
    /// The wall clocks that were ever set.
    clocks: BTreeMap<String, Course>,
    /// What each injection in force came to, by its place in the schedule.
    resolved: BTreeMap<usize, Resolved>,
    /// Those among them that the system did not confirm: they may be in force, or be so later.
    unconfirmed: BTreeSet<usize>,
}

impl Nemesis {
    /// Whether any fault is in force.
    pub(super) fn is_at_work(&self) -> bool {
        !self.resolved.is_empty()
    }
}

impl<S: Store> Play<'_, S> {
    /// The injection at this place is due.
    pub(super) fn inject(&mut self, place: usize) {
        let injection = &self.plan.schedule[place];
        let (id, fault) = (injection.id, &injection.fault);
        let asked = serde_json::to_value(fault).expect("a fault has string keys");
        self.stage(
            fault,
            FaultStage {
                asked: Some(asked),
                ..stage(id, Stage::Asked)
            },
        );
        let skip = |why: String| FaultStage {
            reason: Some(why),
            ..stage(id, Stage::Skipped)
        };
        let mut roles = self.find_roles(injection.asks());
        if let Some(struck) = &injection.struck {
            roles.key.clone_from(&struck.key);
            roles.struck = Some(struck.clone());
        }
        let resolved = match fault.resolve(&self.names, &self.state_now(), &roles) {
            Ok(resolved) => resolved,
            Err(skipped) => return self.stage(fault, skip(skipped.to_string())),
        };
        let before = self.nemesis.world.desired();
        self.nemesis.world.inject(id, resolved.state.clone());
        let change = self.nemesis.world.desired().change_from(&before);
        self.change(&change);
        self.nemesis.resolved.insert(place, resolved);
        // Only the system itself can do it.
        if fault.mechanism() == Mechanism::System {
            return self.ask_system(Purpose::Inject(place), &change, INJECT_BOUND);
        }
        let does_something = change != Change::default() || matches!(fault.mechanism(), Mechanism::Cuts | Mechanism::Clocks);
        let probe = self.probe(does_something);
        self.applied(place, probe);
    }

    /// The fault at this place is in force.
    fn applied(&mut self, place: usize, probe: Value) {
        let injection = &self.plan.schedule[place];
        let (id, fault) = (injection.id, &injection.fault);
        let receipt = self.nemesis.resolved.get(&place).map(|resolved| Receipt {
            back_end: "simulator".to_owned(),
            resolved: resolved.clone(),
            links: None,
            clocks: BTreeMap::new(),
            beat: None,
            waited_ms: 0,
            trigger: None,
        });
        let resolved = receipt.map(|receipt| serde_json::to_value(receipt).expect("a receipt has string keys"));
        self.stage(
            fault,
            FaultStage {
                resolved,
                ..stage(id, Stage::Applied)
            },
        );
        self.stage(
            fault,
            FaultStage {
                probe: Some(probe),
                ..stage(id, Stage::Probed)
            },
        );
        self.call_at(self.cluster.now_ns() + injection.for_ms * NS_PER_MS, Timer::Heal(place));
    }

    /// What the system said to a request of ours.
    pub(super) fn was_asked(&mut self, purpose: Purpose, proofs: Vec<Proof>) {
        let unanswered = proofs
            .iter()
            .filter_map(|proof| proof.answered.as_ref())
            .find(|answered| !answered.ok);
        match (purpose, unanswered) {
            (Purpose::Inject(place), None) => {
                let probe = proofs.into_iter().next();
                let probe = probe.map_or(json!({"ok": false, "reason": "nothing changed"}), |proof| json!(proof));
                self.applied(place, probe);
            }
            (Purpose::Inject(place), Some(answered)) => {
                let injection = &self.plan.schedule[place];
                let reason = format!("{}; undone when its time is over, in case it happens later", answered.said);
                self.stage(
                    &injection.fault,
                    FaultStage {
                        reason: Some(reason),
                        ..stage(injection.id, Stage::Skipped)
                    },
                );
                self.nemesis.unconfirmed.insert(place);
                self.call_at(self.cluster.now_ns() + injection.for_ms * NS_PER_MS, Timer::Heal(place));
            }
            // A cluster that takes nobody in is not alive, which is the judge's matter and no failure of ours.
            (Purpose::Heal(place), _) => {
                let probe = match proofs.into_iter().next() {
                    Some(proof) => json!({"ok": true, "proof": proof}),
                    None => json!({"ok": true, "reason": "nothing is to be healed"}),
                };
                self.healed(place, probe);
            }
            (Purpose::Undo, _) => {}
        }
        self.calm_down();
    }

    /// The time of the injection at this place is over.
    pub(super) fn heal(&mut self, place: usize) {
        let injection = &self.plan.schedule[place];
        let (id, fault) = (injection.id, &injection.fault);
        let is_confirmed = !self.nemesis.unconfirmed.remove(&place);
        if is_confirmed {
            self.stage(fault, stage(id, Stage::HealAsked));
        }
        let before = self.nemesis.world.desired();
        self.nemesis.world.heal(id);
        self.nemesis.resolved.remove(&place);
        let change = self.nemesis.world.desired().change_from(&before);
        match fault.mechanism() {
            _ if !is_confirmed => self.ask_system(Purpose::Undo, &change, HEAL_BOUND),
            Mechanism::System => self.ask_system(Purpose::Heal(place), &change, HEAL_BOUND),
            // Those that cannot be simulated were skipped.
            Mechanism::Cuts
            | Mechanism::Links
            | Mechanism::Balancer
            | Mechanism::Life
            | Mechanism::Motion
            | Mechanism::Clocks
            | Mechanism::Limits
            | Mechanism::Disks => {
                self.change(&change);
                let probe = self.probe(true);
                self.healed(place, probe);
            }
        }
    }

    fn healed(&mut self, place: usize, probe: Value) {
        let injection = &self.plan.schedule[place];
        self.stage(
            &injection.fault,
            FaultStage {
                probe: Some(probe),
                ..stage(injection.id, Stage::Healed)
            },
        );
    }

    fn stage(&mut self, fault: &Fault, stage: FaultStage) {
        self.book.fault(self.cluster.now_ns(), fault.kind(), &stage);
    }

    /// What is asked of the world, with the nodes that are down for other reasons.
    fn state_now(&self) -> State {
        let mut now = self.nemesis.world.desired();
        let is_down = |name: &&String| !self.cluster.is_up(self.place_of(name));
        now.down.extend(self.names.iter().filter(is_down).cloned());
        now
    }

    /// What all nodes that answer say of who leads and who holds a key in use.
    fn find_roles(&self, asks: Asks) -> Roles {
        let leads = |at: &NodeIndex| is_leader(self.store, &self.cluster, *at);
        let leader = self.cluster.nodes().find(leads).filter(|_| asks.leader);
        let key = asks.key_pick.and_then(|pick| {
            let keys: BTreeSet<&Arc<str>> = self.clients.iter().filter_map(|client| client.key.as_ref()).collect();
            let place = (pick as usize).checked_rem(keys.len())?;
            let key = keys.into_iter().nth(place)?;
            Some(KeyRoles {
                key: key.to_string(),
                coordinator: None,
                replicas: self.store.replicas(key)?,
            })
        });
        let name = |at: NodeIndex| self.store.members().name(at).to_string();
        let standing = |at: NodeIndex| Some((name(at), Core::standing(self.cluster.core(at)?)?));
        let runs = |at: &NodeIndex| !self.cluster.is_paused(*at);
        let standings: Vec<_> = self.cluster.nodes().filter(runs).filter_map(standing).collect();
        let campaigns = |role: &str| matches!(role, "candidate" | "pre-candidate");
        let candidate = standings.iter().find(|(_, standing)| campaigns(&standing.role));
        let logs = standings
            .iter()
            .map(|(name, standing)| (name.clone(), (standing.last_term, standing.last)));
        Roles {
            leader: leader.map(name),
            candidate: candidate.filter(|_| asks.candidate).map(|(name, _)| name.clone()),
            logs: logs.filter(|_| asks.logs).collect(),
            source: None,
            key,
            struck: None,
        }
    }

    fn change(&mut self, change: &Change) {
        for (name, skew) in &change.clocks {
            let course = self.nemesis.clocks.entry(name.clone()).or_default();
            *course = course.set(skew, signed(self.cluster.true_wall_ns()));
            let slot = course.slot();
            let shows = move |true_ns: u64| slot.shows(signed(true_ns)).unsigned_abs();
            self.cluster.set_wall_clock(self.place_of(name), shows);
        }
        if let Some(cuts) = &change.cuts {
            let cuts = cuts.iter().map(|(from, to)| (self.place_of(from), self.place_of(to))).collect();
            self.cluster.set_cuts(&cuts);
        }
        for name in &change.kill {
            let at = self.place_of(name);
            if self.cluster.is_up(at) {
                self.cluster.kill(at);
                self.reset_connections(at);
                self.find(&Finding::Exit {
                    node: name.clone(),
                    expected: true,
                    status: "killed, and its power lost".into(),
                    log_tail: Vec::new(),
                });
            }
        }
        for name in &change.resume {
            self.cluster.resume(self.place_of(name));
        }
        for name in &change.restart {
            self.cluster.start(self.place_of(name));
        }
        for name in &change.pause {
            self.cluster.pause(self.place_of(name));
        }
    }

    /// Whether the cluster is as all faults in force together ask for: who runs, who is stopped, which links are cut.
    fn probe(&self, does_something: bool) -> Value {
        if !does_something {
            return json!({"ok": false, "reason": "nothing changed"});
        }
        let wanted = self.nemesis.world.desired();
        let unlike = self.names.iter().find(|name| {
            let (at, is_down) = (self.place_of(name), wanted.down.contains(*name));
            let is_paused = wanted.paused.contains(*name) && !is_down;
            // One that exited by itself is a finding of its own.
            (is_down && self.cluster.is_up(at)) || (self.cluster.is_up(at) && self.cluster.is_paused(at) != is_paused)
        });
        let links = self
            .names
            .iter()
            .flat_map(|from| self.names.iter().map(move |to| (from.clone(), to.clone())));
        let unlike_link = links.filter(|(from, to)| from != to).find(|pair| {
            let is_cut = self.cluster.is_cut(self.place_of(&pair.0), self.place_of(&pair.1));
            is_cut != wanted.cuts.contains(pair)
        });
        let true_ns = self.cluster.true_wall_ns();
        let unlike_clock = self.nemesis.clocks.iter().find(|(name, course)| {
            let is_as_wanted = wanted.clocks.get(*name).cloned().unwrap_or_default() == *course.skew();
            let shown = signed(self.cluster.wall_ns(self.place_of(name)));
            !is_as_wanted || shown != course.slot().shows(signed(true_ns))
        });
        if let Some((node, _)) = unlike_clock {
            return json!({"ok": false, "clock": node});
        }
        match (unlike, unlike_link) {
            (None, None) => json!({"ok": true}),
            (Some(node), _) => json!({"ok": false, "node": node}),
            (_, Some(link)) => json!({"ok": false, "link": link}),
        }
    }

    fn place_of(&self, name: &str) -> NodeIndex {
        self.store.members().index(name).expect("a valid plan names members only")
    }
}

/// Times since 1970 in ns fit both until the year 2262.
fn signed(ns: u64) -> i64 {
    i64::try_from(ns).unwrap_or(i64::MAX)
}

/// Whether a simulated cluster can suffer it: it has no groups, no descriptors and no gates, its links are good or cut, clients are next to every node,
/// and nothing in it beats.
pub(super) fn is_simulated(injection: &Injection) -> bool {
    injection.fault.pulse().is_none()
        && !injection.fault.info().is_by_domain()
        && injection.when.is_none()
        && match injection.fault.mechanism() {
            Mechanism::Cuts | Mechanism::Life | Mechanism::Motion | Mechanism::Clocks | Mechanism::System => true,
            Mechanism::Links | Mechanism::Limits | Mechanism::Disks | Mechanism::Balancer => false,
        }
}

/// A stage with nothing but its number.
fn stage(id: u64, stage: Stage) -> FaultStage {
    FaultStage {
        id,
        stage,
        asked: None,
        resolved: None,
        probe: None,
        reason: None,
    }
}
