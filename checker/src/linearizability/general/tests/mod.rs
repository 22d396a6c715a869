//! The general checker against brute force, against planted faults, and case by case.

mod cases;
mod claims;
mod fuzz;
mod known_answers;
mod large;
mod oracle;
pub(super) mod proved;
mod random;
mod replays;
