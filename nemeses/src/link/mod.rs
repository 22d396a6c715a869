//! What can be wrong with one directed link, as plain data; who does it is another matter ([`crate::switch`], [`crate::links`]).
//!
//! Everything is a whole number (microseconds, parts per million, kilobits per second), so that qualities are compared, stored and
//! combined exactly.
//!
//! - [`Pair`]: which link
//! - [`Quality`]: how good it is
//! - `combine`: what two faults on the same link come to
//! - `validate`: what makes no sense

mod combine;
mod pair;
mod quality;
mod validate;

pub use pair::{CLIENTS, Pair};
pub use quality::{Burst, CERTAIN_PPM, Gate, Quality, Rate, Reorder};
