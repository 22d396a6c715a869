//! Faults for distributed stores: inject, prove that they bite, heal, prove that they healed.
//!
//! ```text
//!  plan                     run time                                             history
//!  Fault::draw ─► Fault ─► resolve ─► State ─► World (union of all in force) ─► links, process ─► Receipt
//!    fault/        target.rs            world.rs                                  probe ────────► Proof
//! ```
//!
//! **The main decision: a desired state, and probes.** A fault is a state it asks for, under a number; the world is the union of
//! all in force; healing takes a number away and applies what is left. And no back end is believed: datagrams over every pair of nodes, the end
//! of a process, the state of every thread prove each injection and each heal.
//!
//! **The one not taken:** faults that are objects with `inject` and `heal`, believed by their exit codes. There the second of two overlapping faults
//! heals the first one's cuts, a lost heal stays for ever, and a fault that silently did nothing goes unnoticed, which is the classic failure of the
//! field's tools (chaos-mesh/chaos-mesh #1389: no delay at all, the error only in a daemon's log).
//!
//! Absent here: operations, histories, workloads, a clock that stamps, and chance at run time.
//!
//! - [`fault`], one file per family, [`target`](crate::TargetChoice), [`world`]: what is wanted
//! - [`partition`]: the shapes, pure; [`topology`]: racks, zones and regions
//! - [`links`]: cuts by iptables, nftables or policy rules, [`Fabric`]: those of every leaf; bad links by netem, or what stands in for it
//! - [`process`]: kill, pause
//! - [`balancer`]: one address for all nodes, by NAT
//! - [`clock`]: the wall clock of a node
//! - [`limits`]: processor time, memory, descriptors
//! - [`probe`]: what passes between whom
//! - [`receipt`]: what goes into the history
//! - [`netlink`], [`netns`]: the kernel's network tables and namespaces, also for whoever builds the network

mod awake;
pub mod balancer;
mod capability;
pub mod clock;
pub mod disk;
pub mod effect;
mod error;
pub mod fabric;
pub mod fault;
pub mod limits;
pub mod link;
pub mod links;
pub mod netlink;
pub mod netns;
mod network;
pub mod partition;
mod pidfd;
pub mod probe;
pub mod process;
mod program;
pub mod receipt;
pub mod switch;
mod target;
pub mod topology;
mod word;
pub mod world;

pub use capability::Capability;
pub use error::{Error, Result};
pub use fabric::Fabric;
pub use fault::{Asks, Dice, FAULTS, Fault, FaultInfo, Ground, Mechanism, Pulse, Resolved, Site};
pub use network::{KernelNetwork, Network, NetworkKind};
pub use program::program_folders;
pub use receipt::{Answered, Proof, Receipt};
pub use target::{KeyRoles, Roles, Router, Several, Skipped, Struck, Target, TargetChoice};
pub use topology::Topology;
pub use world::{Change, State, World};
