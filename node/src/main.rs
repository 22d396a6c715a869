//! The thin program of the node crate; `squall node …` is the same thing.
fn main() {}
