//! Is each key of a history linearizable: could every operation have taken effect at one moment between its invocation and its return?
//!
//! Keys are judged one by one, because linearizability is local: a history is linearizable exactly if each object's part of it is (Herlihy
//! and Wing 1990, theorem 1). `zones` decides registers whose written values are all different, which is what our workloads write by
//! construction; [`certificate`] and `order` are the proofs of its two answers, [`verify`] replays either, [`witness`] tells it to a
//! person. Another algorithm is another file beside `zones`, chosen per key; the field's general search (Wing and Gong 1993) was not taken
//! for unique values, because it is exponential in the width where one sort is enough.
//!
//! Intervals are closed and times may be equal; see [`history`](crate::history).
//!
//! ```
//! use squall_checker::history::History;
//! use squall_checker::linearizability::{Witness, check, first_violation};
//!
//! let file = br#"{"time":10,"type":"invoke","process":3,"f":"write","value":17}
//! {"time":20,"type":"ok","process":3,"f":"write","value":17}
//! {"time":30,"type":"invoke","process":5,"f":"read"}
//! {"time":40,"type":"ok","process":5,"f":"read","value":null}"#;
//! let history = History::read(&file[..])?;
//! let results = check(&history);
//! let violation = first_violation(&results).expect("17 was lost");
//! println!("{}", Witness::of(&history, violation).expect("a violation has a witness").text());
//! # Ok::<(), squall_checker::history::error::ReadError>(())
//! ```

mod order;
#[cfg(test)]
pub(crate) mod tests;
mod time;
mod zones;

pub mod certificate;
pub mod verify;
pub mod witness;

pub use self::certificate::{Certificate, Side};
pub use self::time::Place;
pub use self::witness::Witness;

use self::time::Times;
use self::zones::Zones;
use crate::history::History;
use crate::history::operation::KeyId;
use crate::verdict::Verdict;

/// What was found out about one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyResult {
    /// The key; `None` for operations without one, which are judged as one object.
    pub key: Option<KeyId>,
    /// How many operations it has, whatever their outcome.
    pub operations: usize,
    /// How it was decided: `zones`.
    pub algorithm: &'static str,
    /// [`Valid`](Verdict::Valid), [`Unknown`](Verdict::Unknown) or [`Invalid`](Verdict::Invalid).
    pub verdict: Verdict,
    /// Why it is unknown, lower case, without a full stop.
    pub reason: Option<String>,
    /// What proves it invalid.
    pub certificate: Option<Certificate>,
    /// When the violation was certain, in nanoseconds: its last operation had returned.
    pub certain_ns: Option<u64>,
}

/// Judges every key of a history of registers, in the order in which keys first appear.
pub fn check(history: &History) -> Vec<KeyResult> {
    let by_key = ByKey::of(history);
    by_key.keys().map(|key| check_key(history, key, by_key.places(key))).collect()
}

/// The violation that was certain first.
pub fn first_violation(results: &[KeyResult]) -> Option<&KeyResult> {
    results
        .iter()
        .filter(|result| result.verdict == Verdict::Invalid)
        .min_by_key(|result| result.certain_ns)
}

/// An order that proves `key` linearizable: places in [`History::operations`]. `None` unless the key is valid.
///
/// It costs as much as the check, which therefore does not make it unasked.
pub fn linearization(history: &History, key: Option<KeyId>) -> Option<Vec<usize>> {
    let by_key = ByKey::of(history);
    let places = by_key.places(key);
    let zones = Zones::of(history, places).ok()?;
    if zones.undecided.is_some() || zones.contradiction(history, places).is_some() {
        return None;
    }
    Some(order::linearization(history, places, &zones))
}

fn check_key(history: &History, key: Option<KeyId>, places: &[u32]) -> KeyResult {
    let result = |verdict, reason| KeyResult {
        key,
        operations: places.len(),
        algorithm: "zones",
        verdict,
        reason,
        certificate: None,
        certain_ns: None,
    };
    let zones = match Zones::of(history, places) {
        Ok(zones) => zones,
        Err(reason) => return result(Verdict::Unknown, Some(reason)),
    };
    let Some(certificate) = zones.contradiction(history, places) else {
        let verdict = if zones.undecided.is_some() {
            Verdict::Unknown
        } else {
            Verdict::Valid
        };
        return result(verdict, zones.undecided);
    };
    let certain_ns = u64::try_from(certificate.certain_ns(&Times::of(history))).ok();
    KeyResult {
        certificate: Some(certificate),
        certain_ns,
        ..result(Verdict::Invalid, None)
    }
}

/// The operations sorted by key, in one array: a history may have a million keys.
struct ByKey {
    /// Places in [`History::operations`], key after key; within a key in their order.
    places: Vec<u32>,
    /// Where each key's places begin: first those without a key, then key after key. The end of one is the begin of the next.
    begins: Vec<usize>,
}

impl ByKey {
    fn of(history: &History) -> ByKey {
        let slot = |key: Option<KeyId>| key.map_or(0, |key| key.index() + 1);
        let mut begins = vec![0; history.keys.len() + 2];
        for operation in &history.operations {
            begins[slot(operation.key) + 1] += 1;
        }
        for slot in 1..begins.len() {
            begins[slot] += begins[slot - 1];
        }
        let mut next = begins.clone();
        let mut places = vec![0; history.operations.len()];
        for (place, operation) in (0..).zip(&history.operations) {
            let next = &mut next[slot(operation.key)];
            places[*next] = place;
            *next += 1;
        }
        ByKey { places, begins }
    }

    /// The keys that have operations.
    fn keys(&self) -> impl Iterator<Item = Option<KeyId>> {
        let slots = self.begins.windows(2).enumerate().filter(|(_, bounds)| bounds[0] < bounds[1]);
        slots.map(|(slot, _)| slot.checked_sub(1).and_then(KeyId::new))
    }

    fn places(&self, key: Option<KeyId>) -> &[u32] {
        let slot = key.map_or(0, |key| key.index() + 1);
        match (self.begins.get(slot), self.begins.get(slot + 1)) {
            (Some(&begin), Some(&end)) => &self.places[begin..end],
            _ => &[],
        }
    }
}
