//! The driver: everything a core must not have - sockets, a disk, clocks and chance. One driver serves every core.
//!
//! One thread does all but the log: connections, core and trace take turns on a current-thread runtime, so a turn is never interrupted and
//! no lock is needed. The log has a thread of its own, because an fsync blocks. A turn is: take what arrived, step the core, write the
//! trace, hand the log's batch over, and only then let bytes out (`driver/node.rs`). Not taken: a task per operation. Its order of effects
//! would be the scheduler's, and the simulator could not repeat it.

mod backoff;
mod client;
mod clock;
mod dialer;
mod gate;
mod journal;
mod link;
mod listener;
mod node;
mod outbox;
mod shared;
mod trace_file;

use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::task::{JoinSet, LocalSet};

use self::trace_file::Sink;
use crate::bugs::Planted;
use crate::core::Core;
use crate::disk;
use crate::error::NodeError;
use crate::incarnation;
use crate::lamport::Lamport;
use crate::members::{Members, NodeIndex};
use crate::message::Greeting;
use crate::trace::Tracer;
use crate::wal::{self, FileStorage, Storage, Wal};

/// What the driver needs to know; the core's own parameters are not its business.
#[derive(Clone, Debug)]
pub struct DriverConfig {
    /// All members.
    pub members: Members,
    /// This node.
    pub me: NodeIndex,
    /// Where clients and peers connect.
    pub listen: SocketAddr,
    /// Where the other members listen.
    pub peers: Vec<(NodeIndex, SocketAddr)>,
    /// The data folder; created if missing.
    pub data: PathBuf,
    /// The file the trace is appended to.
    pub trace: PathBuf,
    /// A socket that is told of every line of the trace, and whose answer is awaited before anything that depends on it is done.
    pub gate: Option<PathBuf>,
    /// How many nodes were started before this one and with it, counted over the whole cluster; see [`Lamport`].
    pub start: Option<u64>,
    /// Seed of the driver's chance; drawn if missing.
    pub seed: Option<u64>,
    /// Checksum over what all nodes must agree on.
    pub layout: u32,
    /// The planted bug that is switched on, if it is one of the log's.
    pub planted: Planted,
}

/// Messages waiting for the core at most. A full inbox stops the readers, and TCP stops the senders.
const INBOX_MAX: usize = 256;

/// Recovers the data folder, then serves until SIGTERM or SIGINT. `make` gets the incarnation, which is durable by then.
///
/// # Errors
/// [`NodeError`]: a start that is not possible, or a disk that failed.
pub fn run<C: Core>(config: &DriverConfig, make: impl FnOnce(u64) -> C) -> Result<(), NodeError> {
    let _lock = lock_data(&config.data)?;
    let wal_path = config.data.join(wal::FILE);
    let storage = FileStorage::open(&wal_path).map_err(|source| file_error("open", &wal_path, source))?;
    let storage = storage.with(config.planted);
    let length = storage.length().map_err(|source| file_error("read", &wal_path, source))?;
    let incarnation = incarnation::begin(&config.data, length > 0)?;
    let mut core = make(incarnation);
    let (wal, recovered) = Wal::recover(storage, &wal_path, &mut |record| core.load(record))?;
    if recovered.bytes_cut > 0 {
        tracing::warn!(bytes = recovered.bytes_cut, "cut a torn last batch off the log");
    }
    let trace = Sink::open(&config.trace, config.gate.as_deref()).map_err(|source| file_error("open", &config.trace, source))?;
    let tracer = Tracer::new(config.members.name(config.me).clone(), incarnation, trace);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|source| NodeError::System {
            action: "build the runtime",
            source,
        })?;
    let journal = journal::Journal::start(wal)?;
    tracing::info!(incarnation, batches = recovered.batches, records = recovered.records, "recovered");
    runtime.block_on(LocalSet::new().run_until(serve(config, core, incarnation, tracer, journal)))
}

/// Everything that needs the runtime. The tasks end with this function: their sets abort them.
async fn serve<C: Core>(
    config: &DriverConfig,
    core: C,
    incarnation: u64,
    tracer: Tracer<Sink>,
    journal: journal::Journal,
) -> Result<(), NodeError> {
    let signal_error = |source| NodeError::System {
        action: "handle signals",
        source,
    };
    let mut terminate = signal(SignalKind::terminate()).map_err(signal_error)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(signal_error)?;
    let listener = TcpListener::bind(config.listen).await.map_err(|source| NodeError::Listen {
        address: config.listen,
        source,
    })?;
    let (inbox_sender, inbox) = mpsc::channel(INBOX_MAX);
    let greeting = Greeting {
        node: config.members.name(config.me).clone(),
        incarnation,
        layout: config.layout,
    };
    // A life that nobody counted is counted by itself.
    let lamport = Lamport::of_start(config.start.unwrap_or(0).max(incarnation));
    let shared = Rc::new(shared::Shared::new(config.members.clone(), greeting, lamport, inbox_sender));
    let mut node = node::Node::new(core, Rc::clone(&shared), tracer, journal);
    node.start()?;
    let seed = config.seed.unwrap_or_else(backoff::seed_from_entropy);
    let mut dialers = JoinSet::new();
    for (peer, address) in &config.peers {
        dialers.spawn_local(dialer::keep_connected(
            Rc::clone(&shared),
            *peer,
            *address,
            backoff::Backoff::of_peer(seed, *peer),
        ));
    }
    tracing::info!(node = %shared.greeting.node, address = %config.listen, "serving");
    tokio::select! {
        biased;
        _ = terminate.recv() => Ok(()),
        _ = interrupt.recv() => Ok(()),
        outcome = node.run(inbox) => outcome,
        () = listener::serve(listener, Rc::clone(&shared)) => Ok(()),
        // A dialer never returns, so this is a broken rule of our own: loud.
        Some(Err(panic)) = dialers.join_next() => std::panic::resume_unwind(panic.into_panic()),
    }
}

/// Creates the data folder and keeps other processes out of it: two that share it would give one version twice.
fn lock_data(data: &Path) -> Result<File, NodeError> {
    disk::create_directory(data).map_err(|source| file_error("create", data, source))?;
    let folder = File::open(data).map_err(|source| file_error("open", data, source))?;
    match rustix::fs::flock(&folder, rustix::fs::FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(folder),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(NodeError::DataInUse { path: data.to_owned() }),
        Err(errno) => Err(file_error("lock", data, errno.into())),
    }
}

fn file_error(action: &'static str, path: &Path, source: std::io::Error) -> NodeError {
    NodeError::File {
        action,
        path: path.to_owned(),
        source,
    }
}
