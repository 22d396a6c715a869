//! What an algorithm for one model answers, before the general search is asked.

use super::problem::Problem;
use crate::model::Value;

/// The answer of a fast algorithm. None of them is trusted: an order is replayed, a refutation searched again on its few operations.
#[derive(Debug)]
pub(super) enum Fast {
    /// Items in a linearization order.
    Order(Vec<u32>),
    /// These items, of which only these values count, have no order.
    Refuted { items: Vec<u32>, values: Vec<Value> },
    /// It does not know.
    Open,
}

/// A fast algorithm for a model with these operations.
pub(super) struct Algorithm<Op> {
    pub(super) name: &'static str,
    pub(super) decide: fn(&Problem<Op>) -> Fast,
}
