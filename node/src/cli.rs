//! The command line of a node, for `squall-node …` and `squall node …` alike.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{ArgAction, Args, Subcommand};

use crate::driver::{self, DriverConfig};
use crate::error::NodeError;
use crate::members::Members;
use crate::quorum::{QuorumConfig, QuorumCore, VersionScheme};
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
}

/// Options of a quorum node.
#[derive(Clone, Debug, Args)]
pub struct QuorumArgs {
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
    /// Added to the wall clock for wall-clock versions, in ms
    #[arg(long, value_name = "MS", default_value_t = 0, allow_negative_numbers = true)]
    pub clock_offset_ms: i64,
    /// Points per member on the hash ring
    #[arg(long, default_value_t = ring::VNODES_DEFAULT)]
    pub vnodes: u16,
    /// Time after which an unanswered call to a replica is made again, in ms
    #[arg(long, value_name = "MS", default_value_t = 300)]
    pub call_timeout_ms: u64,
    /// Time after which an operation ends without success, in ms
    #[arg(long, value_name = "MS", default_value_t = 1000)]
    pub op_timeout_ms: u64,
    /// Seed of the waits between reconnects; drawn if missing
    #[arg(long)]
    pub seed: Option<u64>,
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
    }
}

/// Checks the options and makes them what core and driver take.
fn quorum_config(args: &QuorumArgs) -> Result<(QuorumConfig, DriverConfig), String> {
    let members = Members::new(args.peers.iter().map(|(name, _)| name.as_str()))?;
    let me = members
        .index(&args.id)
        .ok_or_else(|| format!("--id {} is not among the members given by --peer", args.id))?;
    let config = QuorumConfig {
        members: members.clone(),
        me,
        n: args.n,
        r: args.r,
        w: args.w,
        write_back: args.write_back,
        versions: args.versions,
        clock_offset_ms: args.clock_offset_ms,
        vnodes: args.vnodes,
        call_timeout_ms: args.call_timeout_ms,
        op_timeout_ms: args.op_timeout_ms,
    };
    config.check()?;
    let addresses: BTreeMap<_, _> = args
        .peers
        .iter()
        .filter_map(|(name, address)| Some((members.index(name)?, *address)))
        .collect();
    let driver_config = DriverConfig {
        me,
        listen: args.listen,
        peers: addresses.into_iter().filter(|(peer, _)| *peer != me).collect(),
        data: args.data.clone(),
        trace: args.trace.clone(),
        seed: args.seed,
        layout: config.layout(),
        members,
    };
    Ok((config, driver_config))
}
