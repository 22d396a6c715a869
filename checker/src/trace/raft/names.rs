//! Names as small numbers, so that events are small and equal names compare at once.

use rustc_hash::FxHashMap;

/// A member's or a client's name, as its number in one set of traces.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NameId(u32);

/// Every name of a set of traces, stored once.
#[derive(Debug, Clone, Default)]
pub(super) struct Names {
    texts: Vec<Box<str>>,
    // Never iterated: its order is nobody's.
    ids: FxHashMap<Box<str>, NameId>,
}

impl Names {
    /// The number of a name, a new one if it was never seen.
    pub(super) fn intern(&mut self, text: &str) -> NameId {
        if let Some(id) = self.ids.get(text) {
            return *id;
        }
        let id = NameId(u32::try_from(self.texts.len()).expect("a trace holds fewer names than 2^32 bytes"));
        self.texts.push(text.into());
        self.ids.insert(text.into(), id);
        id
    }

    /// The name behind a number.
    pub(super) fn get(&self, id: NameId) -> &str {
        &self.texts[id.0 as usize]
    }
}
