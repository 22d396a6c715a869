//! The check against a brute-force search, against planted faults, and case by case.

mod bare;
mod cases;
mod ends;
mod fuzz;
mod oracle;
mod planted;
mod proofs;
pub(crate) mod random;
mod witness;
