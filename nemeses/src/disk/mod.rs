//! A disk per node that can lose power: a file system of ours whose content can be taken back to what was durable.
//!
//! ```text
//!  node ─ kernel ─ /dev/fuse ─► serve ─► core ─► store (bytes by number, and a mirror of the names)
//!                                │        ├─ names      the tree and the journal of its steps that are not durable
//!         trouble, gate ─────────┘        └─ unsynced   what of each file is not durable
//! ```
//!
//! Damage, which is bits that flip and writes that land elsewhere, is done to durable bytes past the undo log: no power cut takes it back.
//!
//! **The main decision: an undo log.** Operations are done at once, and what is needed to take them back is kept until a sync makes it durable. So reads
//! cost nothing, appends remember nothing but a length, and a power cut is the undoing of what is left, by the rules of [`Rules`].
//!
//! **The one not taken:** a cache of what is not durable, written on sync (LazyFS, "When Amnesia Strikes", VLDB 2024). There every read has to look in two
//! places, and the memory of the cache is the size of what a node wrote.
//!
//! Absent here: any knowledge of the programs above, and real syncs: our own kernel does not lose power. File times are no part of a crash state.

mod answers;
mod core;
mod dice;
mod forget;
mod gate;
mod inode;
mod mount;
mod names;
pub mod probe;
mod requests;
mod rules;
mod serve;
mod store;
mod trouble;
mod unsynced;

#[cfg(test)]
mod tests;

pub use self::core::Flip;
pub use self::core::Lost;
pub use mount::{mount, open_device, share, unmount};
pub use rules::{Cut, Rules};
pub use serve::{Caching, Disk, Served};
pub use trouble::{Misdirects, Operation, Rot, SyncTrouble, Trouble};
