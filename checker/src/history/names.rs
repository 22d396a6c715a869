//! Names as numbers: keys, nodes, functions and kinds of errors, each stored once.

use std::sync::Arc;

use rustc_hash::FxHashMap;

/// Names numbered in the order in which they first appear. Equal histories give equal numbers, so the order may reach output.
#[derive(Debug, Clone, Default)]
pub struct Names {
    names: Vec<Arc<str>>,
    /// Never iterated: its order is nobody's.
    places: FxHashMap<Arc<str>, usize>,
}

impl Names {
    /// The place of `name`, which is added at the end if it is new.
    pub(super) fn intern(&mut self, name: &str) -> usize {
        if let Some(&place) = self.places.get(name) {
            return place;
        }
        let place = self.names.len();
        let shared: Arc<str> = name.into();
        self.names.push(shared.clone());
        self.places.insert(shared, place);
        place
    }

    /// The place of `name`, if it occurs.
    pub fn find(&self, name: &str) -> Option<usize> {
        self.places.get(name).copied()
    }

    /// The name at `place`.
    pub fn get(&self, place: usize) -> Option<&str> {
        self.names.get(place).map(AsRef::as_ref)
    }

    /// How many names there are.
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// All names, in order of first appearance.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(AsRef::as_ref)
    }
}
