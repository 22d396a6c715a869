//! The command line of a node, for `squall-node …` and `squall node …` alike.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{ArgAction, Args, Subcommand};

use crate::bugs::{self, Bug, Planted};
use crate::driver::{self, DriverConfig};
use crate::error::NodeError;
use crate::members::{Members, NodeIndex, Text};
use crate::quorum::{QuorumConfig, QuorumCore, Reaping, Upkeep, VersionScheme};
use crate::raft::{RaftConfig, RaftCore, Reads};
use crate::ring;

/// Run one node of a store.
#[derive(Clone, Debug, Args)]
pub struct NodeCommand {
    /// Which store.
    #[command(subcommand)]
    pub store: Store,
}

/// The stores.
#[derive(Clone, Debug, Subcommand)]
pub enum Store {
    /// The quorum store: N replicas per key, reads from R, writes to W
    Quorum(QuorumArgs),
    /// The Raft store: one replicated log, linearizable commands
    Raft(RaftArgs),
}

/// Options of every node.
#[derive(Clone, Debug, Args)]
pub struct NodeArgs {
    /// Name of this node
    #[arg(long, value_name = "NAME")]
    pub id: String,
    /// Address for clients and peers
    #[arg(long, value_name = "IP:PORT")]
    pub listen: SocketAddr,
    /// A member and its address; once per member, this node too
    #[arg(long = "peer", value_name = "NAME=IP:PORT", required = true, value_parser = parse_peer)]
    pub peers: Vec<(String, SocketAddr)>,
    /// Folder for the log and the incarnation
    #[arg(long, value_name = "DIR")]
    pub data: PathBuf,
    /// File the event trace is appended to
    #[arg(long, value_name = "FILE")]
    pub trace: PathBuf,
    /// Socket that is told of every line of the trace; the node goes on when it answers
    #[arg(long, value_name = "FILE")]
    pub trace_gate: Option<PathBuf>,
    /// Starts of all nodes of the cluster so far, this one included: its Lamport stamps begin above those of all earlier ones
    #[arg(long, value_name = "COUNT", env = "SQUALL_START")]
    pub start: Option<u64>,
    /// Seed of the waits between reconnects and, in the Raft store, of election timeouts; drawn if missing
    #[arg(long)]
    pub seed: Option<u64>,
    /// Switch a planted bug on; only in a build with the feature `bugs`
    #[arg(long, value_name = "ID")]
    pub bug: Option<Bug>,
}

impl NodeArgs {
    /// The planted bug, if it is one of this store and part of this build.
    fn planted(&self, store: bugs::Store) -> Result<Planted, String> {
        match self.bug {
            Some(bug) if bug.store() != store => Err(format!("--bug {}: it is planted in another store", bug.id())),
            bug => Planted::new(bug),
        }
    }
}

/// Options of a quorum node.
#[derive(Clone, Debug, Args)]
pub struct QuorumArgs {
    /// What every node needs.
    #[command(flatten)]
    pub node: NodeArgs,
    /// Replicas per key
    #[arg(long, default_value_t = 3)]
    pub n: usize,
    /// Replies a get waits for
    #[arg(long, default_value_t = 2)]
    pub r: usize,
    /// Durable acknowledgements a put waits for
    #[arg(long, default_value_t = 2)]
    pub w: usize,
    /// Return what a get found without making it durable on W replicas first
    #[arg(long = "no-write-back", action = ArgAction::SetFalse)]
    pub write_back: bool,
    /// Where versions come from
    #[arg(long, value_enum, default_value_t = VersionScheme::Quorum)]
    pub versions: VersionScheme,
    /// With hybrid clocks: ask a majority for their versions before a put
    #[arg(long)]
    pub version_read: bool,
    /// Ask one replica for the value, the others for a version and a checksum
    #[arg(long)]
    pub digest_reads: bool,
    /// Time between two comparisons with another node, in ms; 0 for none
    #[arg(long, value_name = "MS", default_value_t = Upkeep::default().anti_entropy_ms)]
    pub anti_entropy_ms: u64,
    /// Do not keep what a home replica did not acknowledge, to send it later
    #[arg(long = "no-hints", action = ArgAction::SetFalse)]
    pub hints: bool,
    /// When tombstones of deleted keys go
    #[arg(long, value_enum, value_name = "RULE", default_value_t = Upkeep::default().reaping)]
    pub reaping: Reaping,
    /// How old a tombstone is before it may go, in ms
    #[arg(long, value_name = "MS", default_value_t = Upkeep::default().reap_after_ms)]
    pub reap_after_ms: u64,
    /// Added to the wall clock for versions made of it, in ms
    #[arg(long, value_name = "MS", default_value_t = 0, allow_negative_numbers = true)]
    pub clock_offset_ms: i64,
    /// Points per member on the hash ring
    #[arg(long, default_value_t = ring::VNODES_DEFAULT)]
    pub vnodes: u16,
    /// The failure domain of a member; once per member, or never. Replicas of a key go to different ones as far as there are
    #[arg(long = "domain", value_name = "NAME=DOMAIN", value_parser = parse_domain)]
    pub domains: Vec<(String, String)>,
    /// Time after which an unanswered call to a replica is made again, in ms
    #[arg(long, value_name = "MS", default_value_t = 300)]
    pub call_timeout_ms: u64,
    /// Time after which an operation ends without success, in ms
    #[arg(long, value_name = "MS", default_value_t = 1000)]
    pub op_timeout_ms: u64,
}

/// Options of a Raft node.
#[derive(Clone, Debug, Args)]
pub struct RaftArgs {
    /// What every node needs.
    #[command(flatten)]
    pub node: NodeArgs,
    /// Members that vote at first; all nodes if missing. Only read while the data folder is empty
    #[arg(long, value_name = "ID,...", value_delimiter = ',')]
    pub voters: Vec<String>,
    /// Id of the member that this node is: NAME, or NAME.NUMBER after its data were lost. Only read while the data folder is empty
    #[arg(long, value_name = "ID")]
    pub member: Option<String>,
    /// Start without a configuration and wait to be added
    #[arg(long)]
    pub join: bool,
    /// How reads are served
    #[arg(long, value_enum, default_value_t = Reads::ReadIndex)]
    pub reads: Reads,
    /// Shortest election timeout, in ms; the longest is twice as much
    #[arg(long, value_name = "MS", default_value_t = 300)]
    pub election_ms: u64,
    /// Time between heartbeats, in ms
    #[arg(long, value_name = "MS", default_value_t = 50)]
    pub heartbeat_ms: u64,
    /// Take a snapshot after so many entries
    #[arg(long, value_name = "ENTRIES", default_value_t = 10_000)]
    pub snapshot_every: u64,
    /// Open sessions at most; one more closes the one that was not used for longest
    #[arg(long, value_name = "COUNT", default_value_t = 1024)]
    pub sessions_max: u64,
    /// Time after which an operation ends without success, in ms
    #[arg(long, value_name = "MS", default_value_t = 1000)]
    pub op_timeout_ms: u64,
}

fn parse_peer(text: &str) -> Result<(String, SocketAddr), String> {
    let (name, address) = text
        .split_once('=')
        .ok_or("a member is given as NAME=IP:PORT, like n1=10.0.0.1:7000")?;
    let address = address
        .parse()
        .map_err(|_| format!("`{address}` is not an IP address and a port, like 10.0.0.1:7000"))?;
    Ok((name.to_owned(), address))
}

fn parse_domain(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, domain)) if !domain.is_empty() => Ok((name.to_owned(), domain.to_owned())),
        _ => Err("a failure domain is given as NAME=DOMAIN, like n1=rack1".into()),
    }
}

/// The failure domain of every member, in the order of the members; empty if none is given.
fn domains(members: &Members, given: &[(String, String)]) -> Result<Vec<Text>, String> {
    if let Some((stranger, _)) = given.iter().find(|(name, _)| members.index(name).is_none()) {
        return Err(format!("--domain {stranger}: it is not among the members given by --peer"));
    }
    if given.is_empty() {
        return Ok(Vec::new());
    }
    let of = |name: &Text| -> Result<Text, String> {
        let mut own = given.iter().filter(|(member, _)| **member == **name);
        match (own.next(), own.next()) {
            (Some((_, domain)), None) => Ok(domain.as_str().into()),
            (Some(_), Some(_)) => Err(format!("--domain {name} is given twice")),
            (None, _) => Err(format!("{name} has no --domain, and others have; give each member one, or none")),
        }
    };
    members.names().iter().map(of).collect()
}

/// Runs a node until SIGTERM or SIGINT. Builds its own runtime: call it from a thread that has none. Logs go to `tracing`, which the
/// caller sets up.
///
/// # Errors
/// [`NodeError`]: options that do not fit, data that cannot be used, or a disk that failed.
pub fn run(command: &NodeCommand) -> Result<(), NodeError> {
    match &command.store {
        Store::Quorum(args) => {
            let (config, driver_config) = quorum_config(args).map_err(NodeError::Usage)?;
            driver::run(&driver_config, |incarnation| QuorumCore::new(config, incarnation))
        }
        Store::Raft(args) => {
            let (config, driver_config) = raft_config(args).map_err(NodeError::Usage)?;
            let seed = args.node.seed.unwrap_or_else(number_from_entropy);
            driver::run(&driver_config, |incarnation| RaftCore::new(config, incarnation, seed))
        }
    }
}

/// The address book that the options give, and this node in it.
fn members(args: &NodeArgs) -> Result<(Members, NodeIndex), String> {
    let members = Members::new(args.peers.iter().map(|(name, _)| name.as_str()))?;
    let me = members
        .index(&args.id)
        .ok_or_else(|| format!("--id {} is not among the members given by --peer", args.id))?;
    Ok((members, me))
}

fn driver_config(args: &NodeArgs, members: Members, me: NodeIndex, layout: u32, planted: Planted) -> DriverConfig {
    let addresses: BTreeMap<_, _> = args
        .peers
        .iter()
        .filter_map(|(name, address)| Some((members.index(name)?, *address)))
        .collect();
    DriverConfig {
        me,
        listen: args.listen,
        peers: addresses.into_iter().filter(|(peer, _)| *peer != me).collect(),
        data: args.data.clone(),
        trace: args.trace.clone(),
        gate: args.trace_gate.clone(),
        start: args.start,
        seed: args.seed,
        layout,
        members,
        planted,
    }
}

/// Checks the options and makes them what core and driver take.
fn quorum_config(args: &QuorumArgs) -> Result<(QuorumConfig, DriverConfig), String> {
    let (members, me) = members(&args.node)?;
    let config = QuorumConfig {
        members: members.clone(),
        me,
        n: args.n,
        r: args.r,
        w: args.w,
        write_back: args.write_back,
        versions: args.versions,
        version_read: args.version_read,
        clock_offset_ms: args.clock_offset_ms,
        digest_reads: args.digest_reads,
        upkeep: Upkeep {
            anti_entropy_ms: args.anti_entropy_ms,
            hints: args.hints,
            reaping: args.reaping,
            reap_after_ms: args.reap_after_ms,
        },
        vnodes: args.vnodes,
        domains: domains(&members, &args.domains)?,
        call_timeout_ms: args.call_timeout_ms,
        op_timeout_ms: args.op_timeout_ms,
        planted: args.node.planted(bugs::Store::Quorum)?,
    };
    config.check()?;
    let driver_config = driver_config(&args.node, members, me, config.layout(), config.planted);
    Ok((config, driver_config))
}

/// The same for a Raft node.
fn raft_config(args: &RaftArgs) -> Result<(RaftConfig, DriverConfig), String> {
    let (nodes, me) = members(&args.node)?;
    let all = || nodes.names().iter().cloned().collect();
    let named = || args.voters.iter().map(|voter| Text::from(voter.as_str())).collect();
    let config = RaftConfig {
        me,
        member: args
            .member
            .as_ref()
            .map_or_else(|| nodes.name(me).clone(), |member| member.as_str().into()),
        birth: number_from_entropy() >> 16,
        voters: if args.voters.is_empty() { all() } else { named() },
        join: args.join,
        reads: args.reads,
        election_ms: args.election_ms,
        heartbeat_ms: args.heartbeat_ms,
        snapshot_every: args.snapshot_every,
        sessions_max: args.sessions_max,
        op_timeout_ms: args.op_timeout_ms,
        planted: args.node.planted(bugs::Store::Raft)?,
        nodes: nodes.clone(),
    };
    config.check()?;
    let driver_config = driver_config(&args.node, nodes, me, config.layout(), config.planted);
    Ok((config, driver_config))
}

/// A number from the operating system, by way of std's hasher keys, which are drawn from it: never from the seed, for two lives of a
/// member's data that were started alike must differ.
fn number_from_entropy() -> u64 {
    RandomState::new().build_hasher().finish()
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    #[command(name = "squall-node")]
    struct Program {
        #[command(flatten)]
        command: NodeCommand,
    }

    fn parse(options: &str) -> Result<(QuorumConfig, DriverConfig), String> {
        let fixed = "squall-node quorum --id n2 --listen 127.0.0.1:2 --peer n2=127.0.0.1:2 --peer n1=127.0.0.1:1 --data d --trace t";
        let words = fixed.split(' ').chain(options.split_whitespace());
        let program = Program::try_parse_from(words).map_err(|error| error.to_string())?;
        let Store::Quorum(args) = &program.command.store else {
            panic!("a quorum node was asked for");
        };
        quorum_config(args)
    }

    #[test]
    fn options_reach_the_core() {
        let (config, driver_config) = parse("--n 2 --r 1 --w 2 --no-write-back --versions wall-clock --clock-offset-ms -5").unwrap();
        assert_eq!((config.n, config.r, config.w, config.write_back), (2, 1, 2, false));
        assert_eq!((config.versions, config.clock_offset_ms), (VersionScheme::WallClock, -5));
        assert_eq!(config.members.name(config.me).as_ref(), "n2");
        assert_eq!(
            driver_config.peers,
            [(crate::members::NodeIndex(0), "127.0.0.1:1".parse().unwrap())]
        );
        let plain = parse("--n 2").unwrap().0;
        assert!(plain.write_back && !plain.digest_reads && !plain.version_read);
        assert_eq!(plain.upkeep, Upkeep::default());
        let spread = parse("--n 2 --domain n2=b --domain n1=a").unwrap().0;
        assert_eq!(spread.domains.iter().map(AsRef::as_ref).collect::<Vec<&str>>(), ["a", "b"]);
        let all = "--n 2 --versions hlc --version-read --digest-reads --anti-entropy-ms 0 --no-hints --reaping grace --reap-after-ms 7";
        let all = parse(all).unwrap().0;
        assert!(all.version_read && all.digest_reads);
        let expected = Upkeep {
            anti_entropy_ms: 0,
            hints: false,
            reaping: Reaping::Grace,
            reap_after_ms: 7,
        };
        assert_eq!(all.upkeep, expected);
    }

    #[test]
    fn what_does_not_fit_is_named() {
        assert!(
            parse("")
                .unwrap_err()
                .contains("--n 3 is not between 1 and the number of members, 2")
        );
        assert!(parse("--n 2 --peer n3").unwrap_err().contains("NAME=IP:PORT"));
        assert!(
            parse("--n 2 --peer n3=host:x")
                .unwrap_err()
                .contains("`host:x` is not an IP address and a port")
        );
        assert!(
            parse("--n 2 --versions lamport")
                .unwrap_err()
                .contains("quorum, wall-clock, coordinator-local, hlc, vector")
        );
        assert!(parse("--n 2 --domain n1=a").unwrap_err().contains("n2 has no --domain"));
        assert!(
            parse("--n 2 --domain n1=a --domain n2=a --domain n1=b")
                .unwrap_err()
                .contains("n1 is given twice")
        );
        assert!(parse("--n 2 --domain n9=a").unwrap_err().contains("--domain n9"));
        assert!(parse("--n 2 --domain n1").unwrap_err().contains("NAME=DOMAIN"));
        assert!(parse("--n 2 --version-read").unwrap_err().contains("belongs to --versions hlc"));
    }

    #[test]
    fn raft_options_reach_the_core() {
        let fixed = "squall-node raft --id n2 --listen 127.0.0.1:2 --peer n2=127.0.0.1:2 --peer n1=127.0.0.1:1 --data d --trace t";
        let parse = |options: &str| {
            let program = Program::try_parse_from(fixed.split(' ').chain(options.split_whitespace())).unwrap();
            let Store::Raft(args) = &program.command.store else {
                panic!("a Raft node was asked for");
            };
            raft_config(args).map(|(config, _)| config)
        };
        let config = parse("").unwrap();
        assert_eq!(
            (config.member.as_ref(), config.voters.len(), config.reads),
            ("n2", 2, Reads::ReadIndex)
        );
        let config = parse("--voters n1 --join --member n2.2 --reads lease --snapshot-every 7").unwrap();
        assert_eq!((config.member.as_ref(), config.voters.len(), config.snapshot_every), ("n2.2", 1, 7));
        assert!(parse("--voters n1").unwrap_err().contains("start it with --join"));
    }

    #[test]
    fn the_help_says_what_every_option_is() {
        let mut command = <Program as clap::CommandFactory>::command().term_width(100);
        let quorum = command.find_subcommand_mut("quorum").unwrap();
        insta::assert_snapshot!(quorum.render_help());
        let raft = command.find_subcommand_mut("raft").unwrap();
        insta::assert_snapshot!("raft_help", raft.render_help());
    }
}
