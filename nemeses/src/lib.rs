//! Faults for distributed stores: inject, prove that they bite, heal, prove that they healed.

mod error;
pub mod links;
pub mod netlink;
pub mod netns;
pub mod partition;
mod pidfd;
pub mod probe;
mod program;
mod target;

pub use error::{Error, Result};
pub use program::program_folders;
pub use target::{Router, Target};
