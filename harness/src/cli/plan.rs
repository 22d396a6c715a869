//! The options that decide a plan, and `squall plan`, which prints it.

mod faults;
mod topology;
mod values;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use anyhow::{Context, Result};
use squall_nemeses::disk::Rules;
use squall_nemeses::{NetworkKind, Site, Topology};
use squall_node::bugs::Bug;
use squall_workloads::{self as workloads, Kind, Retry};

use self::topology::TopologyArgs;
pub(super) use self::values::parse_time_ms;
use self::values::{Percents, Times, parse_network, parse_offset, parse_percents, parse_times_ms};
use crate::exit::{self, usage};
use crate::plan::{Bind, Options, Plan, SPARES_MAX, Timing, WorkloadPlan};
use crate::report::stdout;
use crate::schedule::outage::without_majority_ms;
use crate::schedule::profiles;
use crate::systems::quorum_extras::Extras;
use crate::systems::{SYSTEMS, SystemPlan, etcd, quorum, raft};

/// Options that decide a plan.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct PlanArgs {
    /// What to test; see `squall list systems`
    #[arg(default_value = "quorum")]
    pub(super) system: String,

    /// Decides everything that is left to chance; drawn and printed first if not given
    #[arg(long, value_name = "NUM")]
    pub(super) seed: Option<u64>,

    /// Length of the run, without start and final reads: 15s, 2m, 500ms
    #[arg(long, value_name = "TIME", default_value = "15s", value_parser = parse_time_ms)]
    time: u64,

    /// Fault kinds, separated by commas; or a profile, `all`, `none`, or `swarm`: some of all, drawn; see `squall list faults`
    #[arg(long, value_name = "KINDS", default_value = profiles::DEFAULT)]
    pub(super) faults: String,

    /// When something is durable on a node's disk, for faults of disks; what the system relies on
    #[arg(long, value_name = "RULES", value_enum)]
    disk_rules: Option<DiskRules>,
    /// From one fault to the next: 2s, or 500ms..3s; equal slots if neither this nor a length is given
    #[arg(long, value_name = "TIMES", value_parser = parse_times_ms, help_heading = "Faults")]
    fault_every: Option<Times>,

    /// How long a fault stays: 1s, or 300ms..2s
    #[arg(long, value_name = "TIMES", value_parser = parse_times_ms, help_heading = "Faults")]
    fault_for: Option<Times>,

    /// How hard faults are, from 0, the mildest that a kind draws, to 100, the hardest: 50, or 20..80
    #[arg(long, value_name = "PERCENTS", value_parser = parse_percents, help_heading = "Faults")]
    fault_intensity: Option<Percents>,

    /// The network of nodes and clients: `kernel`, whose links are made bad by netem or what stands in for it, or `switch`, ours, which can do to them
    /// whatever there is; by default the first that can do it here: kernel, switch, kernel with packets queued to us
    #[arg(long, value_name = "NAME", value_parser = parse_network)]
    network: Option<NetworkKind>,

    /// Writes every packet to a file for each node, `pcap/n1.pcap` and so on in the run folder; takes the network `switch`
    #[arg(long)]
    pcap: bool,

    /// What clients do; see `squall list workloads`
    #[arg(long, value_name = "NAME", default_value = "register", help_heading = "Clients")]
    workload: String,

    /// Number of clients
    #[arg(long, value_name = "NUM", default_value_t = workloads::Options::default().clients, help_heading = "Clients")]
    clients: u32,

    /// Clients that share a key at a time; fewer see more, as overlapping writes hide a lost one
    #[arg(long, value_name = "NUM", default_value_t = workloads::Options::default().clients_per_key, help_heading = "Clients")]
    clients_per_key: u32,

    /// Operations per second of all clients together; 0 = each asks again as soon as it was answered
    #[arg(long, value_name = "NUM", default_value_t = workloads::Options::default().rate, help_heading = "Clients")]
    rate: u32,

    /// Keys that a group of clients works on at a time
    #[arg(long, value_name = "NUM", default_value_t = workloads::Options::default().keys_at_once, help_heading = "Clients")]
    keys_at_once: u32,

    /// Operations on a key before its clients move on to a fresh one
    #[arg(long, value_name = "NUM", default_value_t = workloads::Options::default().ops_per_key, help_heading = "Clients")]
    ops_per_key: u32,

    /// Share of reads among the operations
    #[arg(long, value_name = "PERCENT", default_value_t = workloads::Options::default().reads_percent, help_heading = "Clients")]
    reads: u32,

    /// register: share of compare-and-sets among the changes; the others are writes
    #[arg(long, value_name = "PERCENT", default_value_t = 0, help_heading = "Clients")]
    cas: u32,

    /// register, quorum: share of deletes among the changes
    #[arg(long, value_name = "PERCENT", default_value_t = 0, help_heading = "Clients")]
    deletes: u32,

    /// What a client does about an operation that did not succeed
    #[arg(long, value_name = "HOW", value_enum, default_value_t = RetryArg::None, help_heading = "Clients")]
    retry: RetryArg,

    /// Deadline of one operation; past it its outcome is unknown
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = parse_time_ms, help_heading = "Clients")]
    operation_timeout: u64,

    /// Whom a client talks to; `node` by default, `follow` for raft
    #[arg(long, value_name = "WHOM", value_enum, help_heading = "Clients")]
    bind: Option<Bind>,

    /// Members of the cluster; 5 for quorum, 3 for raft and etcd
    #[arg(long, value_name = "NUM", help_heading = "System")]
    nodes: Option<u32>,

    /// raft, etcd: nodes beside the members, for faults by which nodes join: numbered after them, started when a fault takes them; as many as the
    /// schedule can use, up to 4
    #[arg(long, value_name = "NUM", help_heading = "System", value_parser = clap::value_parser!(u32).range(..=i64::from(SPARES_MAX)))]
    spares: Option<u32>,

    /// quorum: replicas of each key; 3, or fewer if there are fewer nodes
    #[arg(long, value_name = "NUM", help_heading = "System")]
    n: Option<u32>,

    /// quorum: replies a read waits for; a majority of N
    #[arg(long, value_name = "NUM", help_heading = "System")]
    r: Option<u32>,

    /// quorum: durable acknowledgements a write waits for; a majority of N
    #[arg(long, value_name = "NUM", help_heading = "System")]
    w: Option<u32>,

    /// quorum: reads do not make what they saw durable before they answer
    #[arg(long, help_heading = "System")]
    no_write_back: bool,

    /// quorum: how a coordinator makes versions; `quorum` by default
    #[arg(long, value_name = "SCHEME", value_enum, help_heading = "System")]
    versions: Option<quorum::Versions>,

    /// quorum: shifts a node's wall clock by so many milliseconds; may be repeated
    #[arg(long, value_name = "NODE=MS", value_parser = parse_offset, help_heading = "System")]
    clock_offset: Vec<(String, i64)>,

    #[command(flatten)]
    extras: Extras,

    /// raft: how reads are answered; `read-index` by default
    #[arg(long, value_name = "HOW", value_enum, help_heading = "System")]
    read_mode: Option<raft::Reads>,

    /// raft: entries between two snapshots; 1000
    #[arg(long, value_name = "NUM", help_heading = "System")]
    snapshot_every: Option<u32>,

    /// quorum, raft: switches a planted bug on; see `squall list bugs`. Only in a build with the feature `bugs`
    #[arg(long, value_name = "ID", help_heading = "System")]
    bug: Option<Bug>,

    /// etcd: reads are answered by the asked member alone
    #[arg(long, help_heading = "System")]
    serializable: bool,

    #[command(flatten)]
    topology: TopologyArgs,
}

/// [`Retry`], as it is typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum RetryArg {
    /// Nothing: an operation happens at most once
    None,
    /// Asks again as if for the first time: at least once
    Blind,
    /// Asks again under the same idempotency key: exactly once, if the store has sessions
    Idempotent,
}

impl From<RetryArg> for Retry {
    fn from(retry: RetryArg) -> Retry {
        match retry {
            RetryArg::None => Retry::None,
            RetryArg::Blind => Retry::Blind,
            RetryArg::Idempotent => Retry::Idempotent,
        }
    }
}

/// [`Rules`], as they are typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum DiskRules {
    /// A name after a sync of its directory, bytes after one of the file
    PosixStrict,
    /// As ext4 does it: a journal of names in order, and bytes before a rename over another file
    Ext4Ordered,
}

impl From<DiskRules> for Rules {
    fn from(rules: DiskRules) -> Rules {
        match rules {
            DiskRules::PosixStrict => Rules::PosixStrict,
            DiskRules::Ext4Ordered => Rules::Ext4Ordered,
        }
    }
}

/// Longest plan that is read: 100,000 injections.
const PLAN_BYTES_MAX: u64 = 32 << 20;

/// Ids of [`PlanArgs`], none of which goes with a ready plan.
pub(super) const PLAN_ARGUMENTS: [&str; 40 + topology::ARGUMENTS.len()] = [
    "system",
    "seed",
    "time",
    "faults",
    "fault_every",
    "fault_for",
    "fault_intensity",
    "network",
    "pcap",
    "workload",
    "clients",
    "clients_per_key",
    "rate",
    "ops_per_key",
    "reads",
    "cas",
    "deletes",
    "retry",
    "keys_at_once",
    "operation_timeout",
    "bind",
    "nodes",
    "spares",
    "n",
    "r",
    "w",
    "no_write_back",
    "versions",
    "clock_offset",
    "version_read",
    "digest_reads",
    "anti_entropy_ms",
    "no_hints",
    "reaping",
    "reap_after_ms",
    "read_mode",
    "snapshot_every",
    "bug",
    "serializable",
    "disk_rules",
    topology::ARGUMENTS[0],
    topology::ARGUMENTS[1],
    topology::ARGUMENTS[2],
    topology::ARGUMENTS[3],
    topology::ARGUMENTS[4],
    topology::ARGUMENTS[5],
    topology::ARGUMENTS[6],
];

/// The plan that `squall run` would draw for these words, a seed among them.
///
/// # Errors
/// A usage error, as if they had been typed.
pub(crate) fn of_words(words: &[String]) -> Result<Plan> {
    #[derive(clap::Parser)]
    struct Program {
        #[command(flatten)]
        plan: PlanArgs,
    }
    let words = std::iter::once("plan").chain(words.iter().map(String::as_str));
    let args = <Program as clap::Parser>::try_parse_from(words)?.plan;
    args.plan(args.seed.map_or_else(draw_seed, Ok)?)
}

/// What `squall plan` takes.
#[derive(Debug, clap::Args)]
pub(super) struct PrintArgs {
    #[command(flatten)]
    plan_args: PlanArgs,

    /// Prints TOML, which is easier to edit than JSON
    #[arg(long)]
    toml: bool,

    /// Prints the JSON schema of plan files instead, for editors
    #[arg(long, conflicts_with_all = PLAN_ARGUMENTS)]
    schema: bool,
}

/// Prints the plan that `squall run` would execute, or the schema of all plans.
pub(super) fn print(args: &PrintArgs) -> Result<u8> {
    if args.schema {
        stdout::print(&Plan::schema());
        return Ok(exit::VALID);
    }
    let (as_toml, args) = (args.toml, &args.plan_args);
    let seed = args.seed.map_or_else(draw_seed, Ok)?;
    let plan = args.plan(seed)?;
    args.say_left_out(&plan);
    say_outage(&plan);
    stdout::print(&if as_toml { plan.to_toml() } else { plan.to_json() });
    Ok(exit::VALID)
}

/// Reads a plan from a file, or from standard input if the path is `-`.
///
/// # Errors
/// A usage error that names file, line, column and word.
pub(super) fn read(path: &Path) -> Result<Plan> {
    let mut text = String::new();
    let opened: std::io::Result<Box<dyn Read>> = if path == Path::new("-") {
        Ok(Box::new(std::io::stdin()))
    } else {
        File::open(path).map(|file| Box::new(file) as Box<dyn Read>)
    };
    opened
        .and_then(|file| file.take(PLAN_BYTES_MAX + 1).read_to_string(&mut text))
        .map_err(|error| usage(format!("cannot read the plan `{}`: {error}", path.display()), ""))?;
    if text.len() as u64 > PLAN_BYTES_MAX {
        return Err(usage(
            format!("{}: longer than {PLAN_BYTES_MAX} bytes", path.display()),
            "a plan has a few lines per fault",
        ));
    }
    if text.contains("\"squall_resolved\"") {
        return Err(usage(
            format!("{}: it says what a machine made of a plan, and is none", path.display()),
            "`replay.json` beside it is the plan that strikes the same nodes again, `plan.json` the plan as it was",
        ));
    }
    // A plan in JSON begins with a brace, one in TOML cannot.
    let plan = if text.trim_start().starts_with('{') {
        Plan::from_json(&text)
    } else {
        Plan::from_toml(&text)
    };
    plan.map_err(|error| {
        usage(
            format!("{}: {error}", path.display()),
            "print a plan to compare with by `squall plan`",
        )
    })
}

/// Warns of a plan under which clients can hardly get anything done.
pub(super) fn say_outage(plan: &Plan) {
    if let Some(without_ms) = without_majority_ms(plan) {
        stdout::note(&format!(
            "no majority of the nodes is up and in touch for {without_ms} of the {} ms of the storm: little can be proved",
            plan.timing.storm_ms
        ));
    }
}

/// A seed from the machine's chance: 32 bits, so that a person can type it.
pub(super) fn draw_seed() -> Result<u64> {
    let mut bytes = [0u8; 4];
    rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty()).context("draw a seed")?;
    Ok(u64::from(u32::from_le_bytes(bytes)))
}

impl PlanArgs {
    /// The plan for a seed.
    ///
    /// # Errors
    /// A usage error for values that do not fit together.
    pub(super) fn plan(&self, seed: u64) -> Result<Plan> {
        let topology = self.topology.open()?;
        let system = self.system_plan(topology.as_ref())?;
        let Some(kind) = Kind::named(&self.workload) else {
            return Err(usage(
                format!("--workload {}: there is no such workload", self.workload),
                "see `squall list workloads`",
            ));
        };
        let options = workloads::Options {
            clients: self.clients,
            clients_per_key: self.clients_per_key.min(self.clients),
            keys_at_once: self.keys_at_once,
            ops_per_key: self.ops_per_key,
            rate: self.rate,
            reads_percent: self.reads,
            cas_percent: self.cas,
            deletes_percent: self.deletes,
            retry: self.retry.into(),
            seed,
        };
        let usual_bind = Bind::usual(&system);
        let timing = Timing::of(self.time, self.operation_timeout);
        let mut plan = Plan::draw(Options {
            seed,
            faults: self.recipe(&system, self.site(topology.as_ref()), seed)?,
            network: self.network,
            pcap: self.pcap,
            topology,
            spares: self.spares,
            system,
            workload: WorkloadPlan::of(kind, options),
            bind: self.bind.unwrap_or(usual_bind),
            timing,
        })
        .map_err(|error| usage(error, "see `squall run --help`, \"Faults\""))?;
        plan.balancer = self.topology.lb;
        plan.overlay = self.topology.overlay;
        plan.disk_rules = self.disk_rules.map_or(plan.system.disk_rules(), Rules::from);
        plan.validate().map_err(|error| usage(error, "see `squall run --help`"))?;
        Ok(plan)
    }

    /// What nodes are in, behind and beside. Who says nothing of spare nodes gets as many as the faults can use.
    fn site<'a>(&self, topology: Option<&'a Topology>) -> Site<'a> {
        Site {
            topology,
            balancer: self.topology.lb,
            spares: self.spares != Some(0),
        }
    }

    fn system_plan(&self, topology: Option<&Topology>) -> Result<SystemPlan> {
        let nodes = |usual| self.topology.nodes(topology, self.nodes, usual);
        let system = match self.system.as_str() {
            "quorum" => {
                self.refuse("quorum", &[self.of_raft(), self.of_etcd()].concat())?;
                let nodes = nodes(quorum::usual_nodes())?;
                let n = self.n.unwrap_or_else(|| quorum::usual_n(nodes));
                SystemPlan::Quorum(quorum::Settings {
                    nodes,
                    n,
                    r: self.r.unwrap_or_else(|| quorum::usual_quorum(n)),
                    w: self.w.unwrap_or_else(|| quorum::usual_quorum(n)),
                    write_back: !self.no_write_back,
                    versions: self.versions.unwrap_or_default(),
                    clock_offset_ms: self.clock_offset.iter().cloned().collect::<BTreeMap<_, _>>(),
                    domains: self.topology.placed(topology)?,
                    extras: self.extras.clone(),
                    bug: self.bug,
                })
            }
            "raft" => {
                self.refuse("raft", &[self.of_quorum(), self.of_etcd()].concat())?;
                let usual = raft::Settings::default();
                SystemPlan::Raft(raft::Settings {
                    nodes: nodes(usual.nodes)?,
                    reads: self.read_mode.unwrap_or(usual.reads),
                    snapshot_every: self.snapshot_every.unwrap_or(usual.snapshot_every),
                    bug: self.bug,
                })
            }
            "etcd" => {
                let bug = vec![("--bug", self.bug.is_some())];
                self.refuse("etcd", &[self.of_quorum(), self.of_raft(), bug].concat())?;
                SystemPlan::Etcd(etcd::Settings {
                    nodes: nodes(etcd::Settings::default().nodes)?,
                    serializable: self.serializable,
                })
            }
            other => {
                let known: Vec<&str> = SYSTEMS.iter().map(|system| system.name).collect();
                return Err(usage(format!("there is no system `{other}`; there are {}", known.join(", ")), ""));
            }
        };
        system.validate().map_err(|error| usage(error, ""))?;
        Ok(system)
    }

    /// The settings that only a quorum store has, and whether each was given.
    fn of_quorum(&self) -> Vec<(&'static str, bool)> {
        let extras = self.extras.names().map(|name| (name, true));
        let own = [
            ("--n", self.n.is_some()),
            ("--r", self.r.is_some()),
            ("--w", self.w.is_some()),
            ("--no-write-back", self.no_write_back),
            ("--versions", self.versions.is_some()),
            ("--clock-offset", !self.clock_offset.is_empty()),
            ("--deletes", self.deletes > 0),
            ("--placement", self.topology.has_placement()),
        ];
        own.into_iter().chain(extras).collect()
    }

    fn of_raft(&self) -> Vec<(&'static str, bool)> {
        vec![
            ("--read-mode", self.read_mode.is_some()),
            ("--snapshot-every", self.snapshot_every.is_some()),
        ]
    }

    fn of_etcd(&self) -> Vec<(&'static str, bool)> {
        vec![("--serializable", self.serializable)]
    }

    fn refuse(&self, system: &str, flags: &[(&str, bool)]) -> Result<()> {
        match flags.iter().find(|(_, given)| *given) {
            Some((flag, _)) => Err(usage(
                format!("{flag} is no setting of {system}"),
                "see `squall run --help`, \"System\"",
            )),
            None => Ok(()),
        }
    }
}
