//! Faults for distributed stores: inject, prove that they bite, heal, prove that they healed.

mod error;
pub mod netlink;
pub mod netns;

pub use error::{Error, Result};
