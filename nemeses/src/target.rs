//! What a fault acts on: plain data about nodes and the router between them, made by whoever built the network.

use std::net::Ipv4Addr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// One node, as far as faults care.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Target {
    /// Name of the node, for example `n3`.
    pub id: String,
    /// Its address; the source of all its traffic.
    pub address: Ipv4Addr,
    /// A file that refers to its network namespace, for example `/run/netns/n3`.
    pub namespace: PathBuf,
    /// Its link at the router's side, for example `v-n3`.
    pub interface: String,
    /// Pid 1 of its own pid namespace, by the number that we see; `None` while it is down.
    pub init_pid: Option<u32>,
    /// Its data folder.
    pub data: PathBuf,
}

/// The namespace that forwards all traffic between nodes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Router {
    /// A file that refers to it.
    pub namespace: PathBuf,
}
