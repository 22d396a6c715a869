//! The writes and compare-and-sets that lead to what a witness's operations saw.

use rustc_hash::{FxHashMap, FxHashSet};

use super::super::meaning::Meaning;
use crate::history::History;
use crate::history::operation::KeyId;
use crate::history::values::ValueId;

/// The operations `named` and those without which what they found would be a value that nobody wrote; sorted. Where a value has several
/// writers nobody can say which one it was, and nothing is added.
pub(super) fn with_links(history: &History, key: Option<KeyId>, named: &[usize]) -> Vec<usize> {
    let found = |place: &usize| Meaning::of(history, &history.operations[*place]).found();
    let mut places: FxHashSet<usize> = named.iter().copied().collect();
    let mut work: Vec<ValueId> = named.iter().filter_map(found).collect();
    let written: FxHashSet<ValueId> = named
        .iter()
        .filter_map(|place| Meaning::of(history, &history.operations[*place]).written())
        .collect();
    // Without compare-and-sets a certificate names the writes that it needs.
    if work.iter().all(|value| written.contains(value)) {
        return named.to_vec();
    }
    let mut writers: FxHashMap<ValueId, Vec<usize>> = FxHashMap::default();
    for (place, operation) in history.operations.iter().enumerate().filter(|(_, operation)| operation.key == key) {
        if let Some(value) = Meaning::of(history, operation).written() {
            writers.entry(value).or_default().push(place);
        }
    }
    while let Some(value) = work.pop() {
        if let Some(&[writer]) = writers.get(&value).map(Vec::as_slice)
            && places.insert(writer)
        {
            work.extend(found(&writer));
        }
    }
    let mut places: Vec<usize> = places.into_iter().collect();
    places.sort_unstable();
    places
}
