//! Proof that a bad link is as bad as asked, and that a healed one is not: by what it does to packets of our own.
//!
//! - [`Meter`], [`Seen`]: datagrams over a link, and what became of them

mod meter;
mod seen;

pub use meter::{Flow, Meter};
pub use seen::{Arrival, Seen};
