//! The plan: everything a run will do, as a pure function of version, options and seed.
//!
//! Nothing of this machine stands in it. What the machine or the system cannot do is left out afterwards, in `resolved.json`, so that
//! the same seed means the same storm everywhere. All chance is drawn here; at run time only roles are resolved.

mod injections;
mod kinds;
mod orders;
mod replay;
mod site;
#[cfg(test)]
pub(crate) mod tests;
mod text;
mod timing;
mod usual;

use std::collections::{BTreeMap, BTreeSet};

use rand::RngExt;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use squall_checker::history::mark::OUTSIDE_THE_FAULT_MODEL;
use squall_nemeses::disk::Rules;
use squall_nemeses::links::Abilities;
use squall_nemeses::{Fault, FaultInfo, Ground, Mechanism, NetworkKind, Struck, Topology};
use squall_workloads::{self as workloads, Function, Kind, Workload};

pub use self::kinds::{fault_info, impossible, left_out};
pub use self::site::{OVERLAY, Overlay, only_cuts};
pub(crate) use self::text::toml_error;
pub use self::timing::Timing;
use crate::schedule::when::When;
use crate::schedule::{self, Recipe};
use crate::systems::SystemPlan;

/// Spare nodes where their number is not said: so that most of those that join have never been there before, and none costs much.
pub const SPARES_USUAL: u32 = 4;

/// Most spare nodes: the rules on Raft's traces follow 64 nodes, and each has a namespace and a place in every probe.
pub const SPARES_MAX: u32 = 16;

/// Version of the plan's format.
pub const FORMAT: u32 = 1;

/// Everything a run will do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// Format of this file, [`FORMAT`].
    pub squall_plan: u32,
    /// Version of Squall that drew it; this one if it is left out.
    #[serde(default = "this_version")]
    pub version: String,
    /// The seed it was drawn from.
    pub seed: u64,
    /// Generator behind every draw, by name, so that another program could repeat them.
    #[serde(default = "this_generator")]
    pub generator: String,
    /// What is tested.
    pub system: SystemPlan,
    /// What clients do; registers if it is left out.
    #[serde(default)]
    pub workload: WorkloadPlan,
    /// Whom clients talk to; `follow` for raft and `node` for others if it is left out.
    #[serde(default)]
    pub bind: Bind,
    /// How long everything takes; as for `--time 15s` if it is left out.
    #[serde(default)]
    pub timing: Timing,
    /// Nodes beside the members, numbered after them, which faults let join and leave.
    #[serde(default, skip_serializing_if = "is_default")]
    pub spares: u32,
    /// By which rules something becomes durable on the nodes' disks; those that the system relies on if nothing is said.
    #[serde(default)]
    pub disk_rules: Rules,
    /// The racks, zones and regions that the nodes are in, if they are in any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topology: Option<Topology>,
    /// Whether clients talk to all nodes by one address, behind which a balancer gives each connection a node.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub balancer: bool,
    /// What nodes and clients are joined by above the network, if by anything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overlay: Option<Overlay>,
    /// The network that nodes and clients are to be on; where none is named it is the kernel's, unless a fault needs the switch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<NetworkKind>,
    /// Whether every packet is to be written to a file, which the switch alone can.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub pcap: bool,
    /// Fault kinds asked for; each must bite at least once. Those of the schedule if it is left out.
    #[serde(default)]
    pub requested: Vec<String>,
    /// The injections, by time.
    #[serde(default)]
    pub schedule: Vec<Injection>,
}

fn this_version() -> String {
    env!("CARGO_PKG_VERSION").into()
}

fn this_generator() -> String {
    "chacha8".into()
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// What clients do, by name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum WorkloadPlan {
    /// Reads, writes and compare-and-sets of registers.
    Register(workloads::Options),
    /// Increments and reads of counters.
    Counter(workloads::Options),
    /// Elements added to sets that are read whole.
    Set(workloads::Options),
}

/// Whom a client talks to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Bind {
    /// Client i stays with node i mod n, whatever happens to it: minority sides are exercised too.
    #[default]
    Node,
    /// The next node after every failure.
    Any,
    /// The node that takes itself for the leader; the next node where the system has none.
    Leader,
    /// Wherever the last refusal pointed, else the next node. Every other client stays through timeouts: an old leader that does not know
    /// of a new one keeps customers.
    Follow,
}

/// One fault, once.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Injection {
    /// Its number in the schedule.
    pub id: u64,
    /// When it is injected, in milliseconds since the load began; or from when on it waits for an event, or for a leader if it hits one and there is none.
    pub at_ms: u64,
    /// How long it stays in force.
    pub for_ms: u64,
    /// The event that it waits for, if it does. It waits so long that it can still stay as long as it should; then it is skipped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub when: Option<When>,
    /// What it is.
    pub fault: Fault,
    /// Whom it struck in the run that is replayed: they are struck again, whatever role they play. Its other choices are not made then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub struck: Option<Struck>,
}

/// What a plan is drawn from.
#[derive(Debug, Clone)]
pub struct Options {
    /// Decides everything that is left to chance.
    pub seed: u64,
    /// What is tested.
    pub system: SystemPlan,
    /// What clients do, but for its seed.
    pub workload: WorkloadPlan,
    /// Whom clients talk to.
    pub bind: Bind,
    /// How long everything takes.
    pub timing: Timing,
    /// Which faults, when and how.
    pub faults: Recipe,
    /// The network wanted, if any.
    pub network: Option<NetworkKind>,
    /// Whether packets are to be written to files.
    pub pcap: bool,
    /// The failure domains of the nodes, if any.
    pub topology: Option<Topology>,
    /// Spare nodes; none: as many as the schedule can use, up to [`SPARES_USUAL`].
    pub spares: Option<u32>,
}

impl Plan {
    /// Draws a plan.
    ///
    /// # Errors
    /// One sentence, if not every kind of fault finds a place in it.
    pub fn draw(options: Options) -> Result<Plan, String> {
        let Options {
            seed,
            system,
            workload,
            bind,
            timing,
            faults,
            network,
            pcap,
            mut topology,
            spares,
        } = options;
        let mut schedule = schedule::draw(seed, (&system, topology.as_ref()), &timing, &faults)?;
        let taken = schedule.iter().map(|injection| injection.fault.takes_spares());
        let spares = spares.unwrap_or_else(|| taken.sum::<u32>().min(SPARES_USUAL));
        for injection in &mut schedule {
            injection.fault.limit_spares(spares);
        }
        if let Some(topology) = &mut topology {
            let names = node_names(system.nodes() + spares);
            topology.place_more(&names[system.nodes() as usize..]);
        }
        let drawn: BTreeSet<&str> = schedule.iter().map(|injection| injection.fault.kind()).collect();
        let appears = |kind: &String| drawn.contains(kind.as_str());
        Ok(Plan {
            squall_plan: FORMAT,
            version: this_version(),
            seed,
            generator: this_generator(),
            system,
            workload,
            bind,
            timing,
            spares,
            disk_rules: Rules::default(),
            topology,
            balancer: false,
            overlay: None,
            network,
            pcap,
            requested: faults.kinds.into_iter().filter(appears).collect(),
            schedule,
        })
    }

    /// Whether a fault of disks is asked for or scheduled, or an event that only a disk of ours can hold.
    pub fn needs_disks(&self) -> bool {
        let of_disks = |kind: &str| fault_info(kind).is_ok_and(|info| info.mechanism == Mechanism::Disks);
        self.holds_fsyncs() || self.kinds().into_iter().any(of_disks)
    }

    /// Whether a fault waits for an fsync.
    pub fn holds_fsyncs(&self) -> bool {
        self.whens().any(When::is_of_disks)
    }

    /// Whether a fault waits for a packet, which the network `switch` alone can hold.
    pub fn holds_packets(&self) -> bool {
        self.whens().any(When::is_of_packets)
    }

    /// The events that faults wait for.
    fn whens(&self) -> impl Iterator<Item = &When> {
        self.schedule.iter().filter_map(|injection| injection.when.as_ref())
    }

    /// The network that is asked for; where none is, the one that is sure to do what is scheduled. What a run has is settled on its machine.
    pub fn network_kind(&self) -> NetworkKind {
        let needs_switch = self.pcap || self.holds_packets() || self.has_latency() || self.has_bad_links();
        match self.network {
            Some(kind) => kind,
            None if needs_switch => NetworkKind::Switch,
            None => NetworkKind::Kernel,
        }
    }

    /// Whether a fault makes links bad in other ways than by a cut between nodes.
    pub fn has_bad_links(&self) -> bool {
        !self.bad_link_kinds().is_empty()
    }

    /// The scheduled kinds of faults that do.
    pub fn bad_link_kinds(&self) -> BTreeSet<&'static str> {
        let faults = self.schedule.iter().map(|injection| &injection.fault);
        faults
            .filter(|fault| fault.mechanism() == Mechanism::Links)
            .map(Fault::kind)
            .collect()
    }

    /// The scheduled kinds of faults that the kernel's network with these abilities cannot do, each with its reason.
    pub fn refused_by(&self, abilities: &Abilities) -> BTreeMap<String, String> {
        let refused = self.schedule.iter().filter_map(|injection| {
            let why = abilities.refuses(&injection.fault.quality()?)?;
            let why = format!("it cannot be done on the network `kernel` here: {why}");
            Some((injection.fault.kind().to_owned(), why))
        });
        refused.collect()
    }

    /// The seed of what is left to chance on the links.
    pub fn network_seed(&self) -> u64 {
        schedule::generator(self.seed, "network").random()
    }

    /// The kinds of faults that are asked for or scheduled.
    pub fn kinds(&self) -> BTreeSet<&str> {
        let scheduled = self.schedule.iter().map(|injection| injection.fault.kind());
        self.requested.iter().map(String::as_str).chain(scheduled).collect()
    }

    /// Whether a fault waits for what only the nodes' traces tell.
    pub fn needs_gates(&self) -> bool {
        self.whens().any(When::is_traced)
    }

    /// Takes kinds of faults out, as if they had not been asked for. Nothing else moves.
    pub fn leave_out<K: Ord + std::borrow::Borrow<str>, V>(&mut self, kinds: &BTreeMap<K, V>) {
        self.requested.retain(|kind| !kinds.contains_key(kind.as_str()));
        self.schedule.retain(|injection| !kinds.contains_key(injection.fault.kind()));
    }

    /// Whether clocks are moved, so that nodes are started with clocks that can be.
    pub fn moves_clocks(&self) -> bool {
        self.schedule
            .iter()
            .any(|injection| injection.fault.mechanism() == Mechanism::Clocks)
    }

    /// What a history's header says beside its fields.
    pub(crate) fn header_extra(&self, seats: u32) -> serde_json::Map<String, serde_json::Value> {
        let mut extra = self.system.header_extra(seats, !self.workload.options().retry.is_none());
        let outside = self.outside_the_fault_model();
        if !outside.is_empty() {
            extra.insert(OUTSIDE_THE_FAULT_MODEL.into(), outside.into());
        }
        extra
    }

    /// Requested kinds of faults that are outside of the system's declared fault model.
    pub fn outside_the_fault_model(&self) -> Vec<&str> {
        // A system that relies on a file system with a journal promises nothing on one without.
        let is_too_strict = self.disk_rules == Rules::PosixStrict && self.system.disk_rules() != Rules::PosixStrict;
        let is_outside = |info: &FaultInfo| {
            let disclaims = self.system.disclaims(info.mechanism).is_some();
            info.is_beyond_promises() || disclaims || (is_too_strict && info.mechanism == Mechanism::Disks)
        };
        let outside = |kind: &&String| fault_info(kind).is_ok_and(is_outside);
        self.requested.iter().filter(outside).map(String::as_str).collect()
    }

    /// Checks what the types cannot.
    ///
    /// # Errors
    /// One sentence with the value at fault.
    pub fn validate(&self) -> Result<(), String> {
        if self.squall_plan != FORMAT {
            return Err(format!("`squall_plan` is {}, this version reads {FORMAT}", self.squall_plan));
        }
        if self.generator != this_generator() {
            return Err(format!(
                "`generator` is `{}`, this version draws with {}",
                self.generator,
                this_generator()
            ));
        }
        self.system.validate()?;
        self.workload.open()?;
        if let Some(missing) = self.workload.missing(&self.system) {
            let (system, workload) = (self.system.name(), self.workload.name());
            return Err(format!("`{system}` has no {missing:?}, which the workload `{workload}` needs"));
        }
        if self.timing.total_ms() > DAY_MS || self.timing.operation_timeout_ms == 0 || self.timing.operation_timeout_ms > DAY_MS {
            return Err("`timing`: a run lasts at most a day and an operation at least a millisecond".into());
        }
        if self.timing.start_bound_ms == 0 {
            return Err("`timing`: no node is ready at once; give `start_bound_ms` some seconds".into());
        }
        for name in &self.requested {
            if let Some(why) = impossible(fault_info(name)?, &self.system, self.site()) {
                return Err(format!("`{name}` is requested: {why}"));
            }
        }
        if self.pcap && self.network_kind() == NetworkKind::Kernel {
            return Err("`pcap`: only the network `switch` writes packets to files".into());
        }
        if self.holds_packets() && self.network_kind() == NetworkKind::Kernel {
            return Err("`before-packet`: only the network `switch` holds packets; leave `network` out, and it is taken".into());
        }
        self.validate_spares()?;
        let all = self.node_names();
        self.validate_site(&all)?;
        let (members, spares) = all.split_at(self.system.nodes() as usize);
        let nodes = members.to_vec();
        let ground = Ground {
            nodes: &nodes,
            spares,
            topology: self.topology.as_ref(),
        };
        for (position, injection) in self.schedule.iter().enumerate() {
            let id = injection.id;
            injection
                .validate(self, ground)
                .map_err(|error| format!("injection {id}: {error}"))?;
            if self.schedule[..position].iter().any(|earlier| earlier.id == id) {
                return Err(format!("injection {id}: the number is used twice"));
            }
        }
        Ok(())
    }
}

const DAY_MS: u64 = 24 * 3600 * 1000;

impl WorkloadPlan {
    /// The plan of a kind of workload.
    pub fn of(kind: Kind, options: workloads::Options) -> WorkloadPlan {
        match kind {
            Kind::Register => WorkloadPlan::Register(options),
            Kind::Counter => WorkloadPlan::Counter(options),
            Kind::Set => WorkloadPlan::Set(options),
        }
    }

    /// Which objects clients work on.
    pub fn kind(&self) -> Kind {
        match self {
            WorkloadPlan::Register(_) => Kind::Register,
            WorkloadPlan::Counter(_) => Kind::Counter,
            WorkloadPlan::Set(_) => Kind::Set,
        }
    }

    /// How.
    pub fn options(&self) -> &workloads::Options {
        match self {
            WorkloadPlan::Register(options) | WorkloadPlan::Counter(options) | WorkloadPlan::Set(options) => options,
        }
    }

    fn options_mut(&mut self) -> &mut workloads::Options {
        match self {
            WorkloadPlan::Register(options) | WorkloadPlan::Counter(options) | WorkloadPlan::Set(options) => options,
        }
    }

    /// The name under which it is run.
    pub fn name(&self) -> &'static str {
        self.kind().name()
    }

    /// Number of clients.
    pub fn clients(&self) -> u32 {
        self.options().clients
    }

    /// The workload.
    ///
    /// # Errors
    /// One sentence with the option at fault.
    pub fn open(&self) -> Result<Workload, String> {
        Workload::new(self.kind(), self.options().clone())
    }

    /// The first function that clients need and `system` does not have.
    fn missing(&self, system: &SystemPlan) -> Option<Function> {
        let had = system.functions();
        self.kind().functions(self.options()).into_iter().find(|f| !had.contains(f))
    }
}

/// The names of a cluster's nodes: `n1`, `n2`, …
pub fn node_names(count: u32) -> Vec<String> {
    (1..=count).map(|number| format!("n{number}")).collect()
}

/// By how much each node's CLOCK_MONOTONIC is ahead of the host's, in seconds: less than a year, and different for each, as on machines that
/// were started at different times. Code that compares the stamps of two nodes meets it. Only runs with clock faults have it.
pub fn monotonic_offsets_s(nodes: &[String], seed: u64) -> BTreeMap<String, u64> {
    let mut offsets = schedule::generator(seed, "clock.monotonic");
    nodes
        .iter()
        .map(|node| (node.clone(), offsets.random_range(3_600..365 * 24 * 3_600)))
        .collect()
}
