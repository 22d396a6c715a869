//! The plan: everything a run will do, as a pure function of version, options and seed.
//!
//! Nothing of this machine stands in it. What the machine or the system cannot do is left out afterwards, in `resolved.json`, so that
//! the same seed means the same storm everywhere. All chance is drawn here; at run time only roles are resolved.

use std::collections::{BTreeMap, BTreeSet};

use rand::RngExt;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use squall_checker::history::mark::OUTSIDE_THE_FAULT_MODEL;
use squall_nemeses::disk::Rules;
use squall_nemeses::{Fault, FaultInfo, Mechanism, NetworkKind};
use squall_workloads::{self as workloads, Function, Kind, Workload};

use crate::schedule::when::When;
use crate::schedule::{self, Recipe};
use crate::systems::SystemPlan;

/// Version of the plan's format.
pub const FORMAT: u32 = 1;

/// Everything a run will do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// Format of this file, [`FORMAT`].
    pub squall_plan: u32,
    /// Version of Squall that drew it.
    pub version: String,
    /// The seed it was drawn from.
    pub seed: u64,
    /// Generator behind every draw, by name, so that another program could repeat them.
    pub generator: String,
    /// What is tested.
    pub system: SystemPlan,
    /// What clients do.
    pub workload: WorkloadPlan,
    /// Whom clients talk to.
    pub bind: Bind,
    /// How long everything takes.
    pub timing: Timing,
    /// By which rules something becomes durable on the nodes' disks.
    #[serde(default, skip_serializing_if = "is_default")]
    pub disk_rules: Rules,
    /// The network that nodes and clients are to be on; where none is named it is the kernel's, unless a fault needs the switch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<NetworkKind>,
    /// Whether every packet is to be written to a file, which the switch alone can.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub pcap: bool,
    /// Fault kinds asked for; each must bite at least once.
    pub requested: Vec<String>,
    /// The injections, by time.
    pub schedule: Vec<Injection>,
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

/// Lengths in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Timing {
    /// Load without faults, before the storm.
    pub warm_up_ms: u64,
    /// Load with faults; every injection is healed by its end.
    pub storm_ms: u64,
    /// Load without faults, after the storm.
    pub recovery_ms: u64,
    /// Deadline of one operation.
    pub operation_timeout_ms: u64,
    /// How long a started cluster may take to become ready.
    pub start_bound_ms: u64,
    /// How long a healed cluster may take to become ready; also the bound of the final reads.
    pub recovery_bound_ms: u64,
}

impl Timing {
    /// Divides `total_ms`: a seventh to warm up and a sixth to recover, within bounds, the rest to the storm; without faults the
    /// storm is plain load.
    pub fn of(total_ms: u64, operation_timeout_ms: u64) -> Timing {
        let warm_up_ms = (total_ms / 7).clamp(500, 5_000);
        let recovery_ms = (total_ms / 6).clamp(700, 6_000);
        Timing {
            warm_up_ms,
            storm_ms: total_ms.saturating_sub(warm_up_ms + recovery_ms).max(500),
            recovery_ms,
            operation_timeout_ms,
            start_bound_ms: 15_000,
            // TCP's retransmission timer has doubled all through an outage, and a loaded machine adds its own.
            recovery_bound_ms: 20_000,
        }
    }

    /// The phase planned for a moment, in milliseconds since the load began.
    pub fn phase_at(&self, elapsed_ms: u64) -> &'static str {
        match elapsed_ms {
            ms if ms < self.warm_up_ms => "warm-up",
            ms if ms < self.warm_up_ms + self.storm_ms => "storm",
            ms if ms < self.total_ms() => "recovery",
            _ => "final",
        }
    }

    /// The whole planned length.
    pub fn total_ms(&self) -> u64 {
        self.warm_up_ms + self.storm_ms + self.recovery_ms
    }
}

/// One fault, once.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Injection {
    /// Its number in the schedule.
    pub id: u64,
    /// When it is injected, in milliseconds since the load began; or from when on it waits for an event.
    pub at_ms: u64,
    /// How long it stays in force.
    pub for_ms: u64,
    /// The event that it waits for, if it does. It waits so long that it can still stay as long as it should; then it is skipped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub when: Option<When>,
    /// What it is.
    pub fault: Fault,
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
        } = options;
        let schedule = schedule::draw(seed, &system, &timing, &faults)?;
        let drawn: BTreeSet<&str> = schedule.iter().map(|injection| injection.fault.kind()).collect();
        let appears = |kind: &String| drawn.contains(kind.as_str());
        Ok(Plan {
            squall_plan: FORMAT,
            version: env!("CARGO_PKG_VERSION").into(),
            seed,
            generator: "chacha8".into(),
            system,
            workload,
            bind,
            timing,
            disk_rules: Rules::default(),
            network,
            pcap,
            requested: faults.kinds.into_iter().filter(appears).collect(),
            schedule,
        })
    }

    /// Whether a fault of disks is asked for or scheduled.
    pub fn needs_disks(&self) -> bool {
        let of_disks = |kind: &str| fault_info(kind).is_ok_and(|info| info.mechanism == Mechanism::Disks);
        self.kinds().into_iter().any(of_disks)
    }

    /// The network that the run has.
    pub fn network_kind(&self) -> NetworkKind {
        let needs_switch = self.pcap
            || self
                .schedule
                .iter()
                .any(|injection| injection.fault.mechanism() == Mechanism::Links);
        match self.network {
            Some(kind) => kind,
            None if needs_switch => NetworkKind::Switch,
            None => NetworkKind::Kernel,
        }
    }

    /// The seed of what is left to chance on the links of the switch.
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
        let whens = self.schedule.iter().filter_map(|injection| injection.when.as_ref());
        whens.into_iter().any(When::is_traced)
    }

    /// Takes kinds of faults out, as if they had not been asked for. Nothing else moves.
    pub fn leave_out<K: Ord + std::borrow::Borrow<str>, V>(&mut self, kinds: &BTreeMap<K, V>) {
        self.requested.retain(|kind| !kinds.contains_key(kind.as_str()));
        self.schedule.retain(|injection| !kinds.contains_key(injection.fault.kind()));
    }

    /// The plan as it is stored and printed: the same bytes for the same plan.
    pub fn to_json(&self) -> String {
        let mut text = serde_json::to_string_pretty(self).expect("a plan has string keys and finite numbers");
        text.push('\n');
        text
    }

    /// The plan as a person edits it.
    pub fn to_toml(&self) -> String {
        toml::to_string_pretty(self).expect("a plan has string keys and numbers of 63 bits")
    }

    /// Reads a plan in TOML.
    ///
    /// # Errors
    /// As [`Plan::from_json`].
    pub fn from_toml(text: &str) -> Result<Plan, String> {
        // Its words show the line and a caret below the very place.
        let plan: Plan = toml::from_str(text).map_err(|error| error.to_string().trim_end().to_owned())?;
        plan.validate().map_err(|error| placed(text, &error, Form::Toml))?;
        Ok(plan)
    }

    /// The JSON schema of a plan, draft 2020-12.
    pub fn schema() -> String {
        let schema = schemars::schema_for!(Plan);
        serde_json::to_string_pretty(&schema).expect("a schema has string keys") + "\n"
    }

    /// Reads a plan in JSON.
    ///
    /// # Errors
    /// Names line, column and the offending word; or the rule that the values break.
    pub fn from_json(text: &str) -> Result<Plan, String> {
        let plan: Plan = serde_json::from_str(text).map_err(|error| {
            let place = format!("line {}, column {}", error.line(), error.column());
            let what = error.to_string();
            format!("{place}: {}", what.split(" at line ").next().unwrap_or(&what))
        })?;
        plan.validate().map_err(|error| placed(text, &error, Form::Json))?;
        Ok(plan)
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
        let is_outside = |info: &FaultInfo| info.is_beyond_promises() || self.system.disclaims(info.mechanism).is_some();
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
        if self.generator != "chacha8" {
            return Err(format!("`generator` is `{}`, this version draws with chacha8", self.generator));
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
        for name in &self.requested {
            if let Some(why) = impossible(fault_info(name)?, &self.system) {
                return Err(format!("`{name}` is requested: {why}"));
            }
        }
        if self.pcap && self.network_kind() == NetworkKind::Kernel {
            return Err("`pcap`: only the network `switch` writes packets to files".into());
        }
        let nodes = node_names(self.system.nodes());
        let storm = self.timing.warm_up_ms..=self.timing.warm_up_ms + self.timing.storm_ms;
        for (position, injection) in self.schedule.iter().enumerate() {
            let id = injection.id;
            if let Some(why) = impossible(injection.fault.info(), &self.system) {
                return Err(format!("injection {id}: {}: {why}", injection.fault.kind()));
            }
            injection
                .fault
                .validate(&nodes)
                .map_err(|error| format!("injection {id}: {error}"))?;
            if injection.fault.mechanism() == Mechanism::Links && self.network_kind() == NetworkKind::Kernel {
                let kind = injection.fault.kind();
                return Err(format!(
                    "injection {id}: `{kind}` cannot be done on the network `kernel`, but on `switch`"
                ));
            }
            if let Some(when) = &injection.when {
                when.validate(&self.system, &nodes)
                    .map_err(|error| format!("injection {id}: {error}"))?;
            }
            if !storm.contains(&injection.at_ms) || !storm.contains(&injection.at_ms.saturating_add(injection.for_ms)) {
                return Err(format!(
                    "injection {id}: it must begin and end within the storm, {} to {} ms",
                    storm.start(),
                    storm.end()
                ));
            }
            if self.schedule[..position].iter().any(|earlier| earlier.id == id) {
                return Err(format!("injection {id}: the number is used twice"));
            }
        }
        Ok(())
    }
}

/// How a plan is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Json,
    Toml,
}

/// The error, with its place if it can be found.
fn placed(text: &str, error: &str, form: Form) -> String {
    match place_of(text, error, form) {
        Some((line, column)) => format!("line {line}, column {column}: {error}"),
        None => error.to_owned(),
    }
}

/// Where in a plan's text the thing stands that an error is about: an injection's number, the first of the words in backticks that the text
/// has, or the setting behind a flag.
fn place_of(text: &str, error: &str, form: Form) -> Option<(usize, usize)> {
    let key = |name: &str| match form {
        Form::Json => format!("\"{name}\""),
        // At the beginning of a line.
        Form::Toml => format!("\n{name} ="),
    };
    let quoted = error
        .split('`')
        .skip(1)
        .step_by(2)
        .flat_map(|word| [format!("\"{word}\""), key(word)]);
    let flags = error
        .split_whitespace()
        .filter_map(|word| word.strip_prefix("--"))
        .map(|flag| key(&flag.trim_end_matches([':', ',']).replace('-', "_")));
    let injections = error
        .strip_prefix("injection ")
        .and_then(|rest| rest.split(':').next())
        .map(|id| match form {
            Form::Json => format!("\"id\": {id},"),
            Form::Toml => format!("\nid = {id}\n"),
        });
    let at = injections.into_iter().chain(quoted).chain(flags).find_map(|needle| {
        let at = text.find(&needle)?;
        Some(at + usize::from(needle.starts_with('\n')))
    })?;
    let before = &text[..at];
    Some((
        before.matches('\n').count() + 1,
        before.chars().rev().take_while(|char| *char != '\n').count() + 1,
    ))
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

/// Looks a fault kind up.
///
/// # Errors
/// Names the kinds there are.
pub fn fault_info(name: &str) -> Result<&'static FaultInfo, String> {
    squall_nemeses::FAULTS.iter().find(|info| info.name == name).ok_or_else(|| {
        let known: Vec<&str> = squall_nemeses::FAULTS.iter().map(|info| info.name).collect();
        format!("there is no fault `{name}`; there are {}", known.join(", "))
    })
}

/// Why a fault is not injected unless it is named: the system cannot take it, or does not claim to survive it.
pub fn left_out(info: &FaultInfo, system: &SystemPlan) -> Option<String> {
    let disclaimed = || {
        let why = system.disclaims(info.mechanism)?;
        let name = system.name();
        Some(format!(
            "{name} does not claim to survive it with these settings: {why}; name it to have it all the same"
        ))
    };
    let lie = || {
        let why = "no system claims to survive it; name it to have it all the same";
        info.is_beyond_promises().then(|| why.to_owned())
    };
    impossible(info, system).or_else(disclaimed).or_else(lie)
}

/// Why a fault cannot be done to a system, if so.
pub fn impossible(info: &FaultInfo, system: &SystemPlan) -> Option<String> {
    let capabilities = system.capabilities();
    let missing: Vec<String> = info
        .needs
        .iter()
        .filter(|need| !capabilities.contains(need))
        .map(ToString::to_string)
        .collect();
    if !missing.is_empty() {
        return Some(format!("{} cannot {}", system.name(), missing.join(", ")));
    }
    if info.mechanism == Mechanism::Clocks
        && let Err(why) = squall_nemeses::clock::supported()
    {
        return Some(why.to_string());
    }
    let nodes = system.nodes();
    (nodes < info.nodes_min).then(|| format!("it takes at least {} nodes, and the cluster has {nodes}", info.nodes_min))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::systems::quorum::{Settings, Versions};

    fn plan() -> Plan {
        let system = SystemPlan::Quorum(Settings {
            nodes: 5,
            n: 3,
            r: 2,
            w: 2,
            write_back: true,
            versions: Versions::Quorum,
            extras: Default::default(),
            clock_offset_ms: Default::default(),
            bug: None,
        });
        Plan::draw(Options {
            seed: 7,
            system,
            workload: WorkloadPlan::Register(workloads::Options {
                seed: 7,
                ..Default::default()
            }),
            bind: Bind::Node,
            timing: Timing::of(15_000, 1_000),
            faults: Recipe::from(["partition", "kill", "pause"].map(String::from).to_vec()),
            network: None,
            pcap: false,
        })
        .expect("every kind finds a place")
    }

    fn drawn(seed: u64, plan: &Plan) -> Vec<Injection> {
        schedule::draw(seed, &plan.system, &plan.timing, &Recipe::from(plan.requested.clone())).expect("every kind finds a place")
    }

    #[test]
    fn what_was_drawn_can_be_read_again() {
        let drawn = plan();
        assert_eq!(Plan::from_json(&drawn.to_json()), Ok(drawn));
    }

    #[test]
    fn a_plan_in_toml_is_the_same_plan() {
        let drawn = plan();
        assert_eq!(Plan::from_toml(&drawn.to_toml()), Ok(drawn));
    }

    #[test]
    fn a_wrong_word_in_toml_is_shown_where_it_stands() {
        let text = plan().to_toml();
        let typo = Plan::from_toml(&text.replacen("for_ms", "for_mss", 1)).expect_err("a typo");
        let line = text.lines().position(|line| line.starts_with("for_ms")).expect("a length") + 1;
        assert!(
            typo.contains(&format!("at line {line}, column 1")) && typo.contains("for_mss"),
            "{typo}"
        );
        let wrong = Plan::from_toml(&text.replacen("r = 2", "r = 9", 1)).expect_err("a wrong value");
        let line = text.lines().position(|line| line == "r = 2").expect("a setting") + 1;
        assert!(wrong.starts_with(&format!("line {line}, column 1: --r 9")), "{wrong}");
    }

    #[test]
    fn the_schema_knows_every_kind_of_fault_and_refuses_other_words() {
        let schema: serde_json::Value = serde_json::from_str(&Plan::schema()).expect("JSON");
        let kinds = schema["$defs"]["Fault"]["oneOf"].as_array().expect("one of the kinds");
        let named: BTreeSet<&str> = kinds.iter().filter_map(|kind| kind["required"][0].as_str()).collect();
        assert_eq!(named, squall_nemeses::FAULTS.iter().map(|info| info.name).collect());
        assert!(kinds.iter().all(|kind| kind["additionalProperties"] == false));
        assert_eq!(schema["additionalProperties"], false);
        assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
    }

    #[test]
    fn every_requested_kind_is_in_the_schedule_and_ends_with_the_storm() {
        for seed in 0..200 {
            let mut options = plan();
            options.schedule = drawn(seed, &options);
            assert_eq!(options.validate(), Ok(()), "seed {seed}");
            for kind in &options.requested {
                assert!(
                    options.schedule.iter().any(|injection| injection.fault.kind() == kind),
                    "seed {seed}: {kind}"
                );
            }
        }
    }

    #[test]
    fn the_network_is_the_kernels_unless_something_needs_the_switch() {
        let mut plan = plan();
        assert_eq!(plan.network_kind(), NetworkKind::Kernel);
        plan.pcap = true;
        assert_eq!((plan.network_kind(), plan.validate()), (NetworkKind::Switch, Ok(())));
        plan.network = Some(NetworkKind::Kernel);
        assert_eq!(
            plan.validate().unwrap_err(),
            "`pcap`: only the network `switch` writes packets to files"
        );
        plan.pcap = false;
        plan.requested = vec!["delay".into()];
        plan.schedule = drawn(7, &plan);
        assert_eq!(
            plan.validate().unwrap_err(),
            "injection 0: `delay` cannot be done on the network `kernel`, but on `switch`"
        );
        plan.network = None;
        assert_eq!((plan.network_kind(), plan.validate()), (NetworkKind::Switch, Ok(())));
    }

    #[test]
    fn a_wrong_value_is_named_with_its_place() {
        let text = plan().to_json();
        let wrong = [
            (text.replacen("\"partition\"", "\"partitoin\"", 1), "partitoin"),
            (text.replacen("\"r\": 2", "\"r\": 9", 1), "--r 9"),
            (text.replacen("\"at_ms\": ", "\"at_ms\": 9", 1), "injection 0"),
            (text.replacen("\"squall_plan\": 1", "\"squall_plan\": 8", 1), "squall_plan"),
        ];
        for (text, word) in wrong {
            let error = Plan::from_json(&text).expect_err("it is wrong");
            assert!(
                error.starts_with("line ") && error.contains("column ") && error.contains(word),
                "{error}"
            );
        }
    }

    #[test]
    fn a_draw_in_one_place_moves_nothing_elsewhere() {
        let (all, fewer) = (plan(), {
            let mut plan = plan();
            plan.requested.truncate(1);
            plan.schedule = drawn(plan.seed, &plan);
            plan
        });
        let times = |plan: &Plan| {
            plan.schedule
                .iter()
                .map(|injection| (injection.at_ms, injection.for_ms))
                .collect::<Vec<_>>()
        };
        assert_eq!(times(&all), times(&fewer), "kinds do not move times");
    }
}
