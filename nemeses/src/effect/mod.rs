//! Proof that a bad link is as bad as asked, and that a healed one is not: by what it does to packets of our own.
//!
//! - [`LinkProber`]: what to look at when links change, and the report
//! - `bound`: how much of what must be seen, by statistics
//! - [`Meter`], [`Seen`]: datagrams over a link, and what became of them
//! - [`Connection`]: connections that are to be reset; `ports`: datagrams of ports that are cut

mod bound;
mod connections;
mod meter;
mod ports;
mod proof;
mod seen;

pub use bound::Bound;
pub use connections::{Connection, Opening};
pub use meter::{Flow, Meter};
pub use proof::{EffectReport, LinkProber, Prepared, Turn};
pub use seen::{Arrival, Seen};
