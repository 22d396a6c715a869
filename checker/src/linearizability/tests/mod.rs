//! The check against a brute-force search, against planted faults, against itself, and case by case.

mod bare;
mod cases;
#[path = "../../../tests/common/certain.rs"]
mod certain;
mod differential;
mod ends;
mod fuzz;
mod oracle;
mod planted;
mod proofs;
pub(super) mod proved;
pub(crate) mod random;
#[path = "../../../tests/common/simulate.rs"]
mod simulate;
mod witness;
