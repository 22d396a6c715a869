//! `squall kv`: a person talks to a node.

use std::net::{SocketAddr, ToSocketAddrs};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::exit;
use crate::report::stdout;
use crate::systems::wire::{Reply, Request, Sibling, ask};

/// What to ask whom.
#[derive(Debug, clap::Args)]
pub(super) struct KvArgs {
    #[command(subcommand)]
    question: Question,
}

#[derive(Debug, clap::Subcommand)]
enum Question {
    /// Prints the value of a key; nothing if there is none. Concurrent values come one per line, each with its version
    Get {
        /// The key
        key: String,
        #[command(flatten)]
        whom: Whom,
    },
    /// Stores a value under a key
    Put {
        /// The key
        key: String,
        /// The value
        value: String,
        #[command(flatten)]
        whom: Whom,
    },
    /// Takes the value of a key away
    Delete {
        /// The key
        key: String,
        #[command(flatten)]
        whom: Whom,
    },
    /// Prints what the node says of itself, as JSON
    Status {
        #[command(flatten)]
        whom: Whom,
    },
}

#[derive(Debug, clap::Args)]
struct Whom {
    /// The node's address
    #[arg(long, value_name = "HOST:PORT")]
    node: String,
    /// How long to wait for the answer, in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 2_000, value_parser = clap::value_parser!(u64).range(1..=3_600_000))]
    timeout_ms: u64,
}

/// Asks, prints the answer. A definite failure is exit code 1, an unknown outcome 2.
pub(super) fn talk(args: &KvArgs) -> Result<u8> {
    let (request, whom) = match &args.question {
        Question::Get { key, whom } => (Request::Get { key }, whom),
        Question::Put { key, value, whom } => (Request::Put { key, value }, whom),
        Question::Delete { key, whom } => (Request::Delete { key }, whom),
        Question::Status { whom } => (Request::Status {}, whom),
    };
    let address = resolve(&whom.node)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("start a runtime")?;
    let reply = runtime
        .block_on(ask(address, &request, Duration::from_millis(whom.timeout_ms)))
        .with_context(|| format!("ask the node at {address}"))?;
    match reply {
        Reply::Value { value: Some(value), .. } => stdout::print_foreign(&value),
        Reply::Value { value: None, version } if version.is_null() => stdout::note("the key was never written"),
        Reply::Value { value: None, .. } => stdout::note("the key was deleted"),
        Reply::Siblings { values } if values.is_empty() => stdout::note("the key was never written"),
        Reply::Siblings { values } => values.iter().for_each(print_sibling),
        Reply::Stored { version } => stdout::print(&format!("stored as version {version}\n")),
        Reply::Status(fields) => stdout::print(&format!("{}\n", serde_json::Value::Object(fields))),
        Reply::Failed(note) => {
            stdout::error(&anyhow::anyhow!("it did not happen: {}: {}", note.kind, note.message));
            return Ok(exit::INVALID);
        }
        Reply::Unknown(note) => {
            stdout::error(&anyhow::anyhow!("it may have happened: {}: {}", note.kind, note.message));
            return Ok(exit::UNKNOWN);
        }
        other => bail!("the node answered with {other:?}, which nobody asked for"),
    }
    Ok(exit::VALID)
}

/// A value that others stand beside: only its version tells them apart.
fn print_sibling(sibling: &Sibling) {
    let Sibling { value, version } = sibling;
    match value {
        Some(value) => stdout::print_foreign(&format!("{version} {value}")),
        None => stdout::print_foreign(&format!("{version} (deleted)")),
    }
}

fn resolve(node: &str) -> Result<SocketAddr> {
    let mut addresses = node
        .to_socket_addrs()
        .map_err(|error| exit::usage(format!("--node {node}: {error}"), "write it as HOST:PORT"))?;
    addresses
        .next()
        .ok_or_else(|| exit::usage(format!("--node {node}: the name has no address"), "write it as HOST:PORT"))
}
