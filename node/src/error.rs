//! Why a node cannot start or must end.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use thiserror::Error;

use crate::incarnation::IncarnationError;
use crate::wal::WalError;

/// The error of this crate's program. Printed with its sources it makes one line.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum NodeError {
    /// The options do not fit together. Says which one, its value, and what fits.
    #[error("{0}")]
    Usage(String),
    /// The log is damaged, or the disk refused to read it.
    #[error(transparent)]
    Wal(#[from] WalError),
    /// No new incarnation could be begun.
    #[error(transparent)]
    Incarnation(#[from] IncarnationError),
    /// Another process has this data folder.
    #[error("the data folder {path} is in use by another process", path = .path.display())]
    DataInUse {
        /// The folder.
        path: PathBuf,
    },
    /// A file or folder needed at start cannot be used.
    #[error("cannot {action} {path}", path = .path.display())]
    File {
        /// What was tried: `create`, `open` and so on.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The address is not ours to listen on.
    #[error("cannot listen on {address}")]
    Listen {
        /// What was asked for.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// A write or fsync of the log failed. Never retried: nobody knows what is durable then.
    #[error("the log cannot be made durable, so this node ends")]
    LogFailed(#[source] io::Error),
    /// A write to the trace failed. What it describes must not be seen, so the node ends.
    #[error("the trace cannot be written, so this node ends")]
    TraceFailed(#[source] io::Error),
    /// The core must not take part any more. Says why and what to do.
    #[error("{0}")]
    Stopped(String),
    /// The runtime, a signal handler or a thread could not be made.
    #[error("cannot {action}")]
    System {
        /// What was tried.
        action: &'static str,
        /// What the system said.
        source: io::Error,
    },
}

impl NodeError {
    /// The exit code of a node that ends for this reason: 254 for wrong options, 255 for all else.
    pub fn exit_code(&self) -> u8 {
        match self {
            NodeError::Usage(_) => 254,
            _ => 255,
        }
    }
}
