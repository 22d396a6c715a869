//! Is each key of a history linearizable: could every operation have taken effect at one moment between its invocation and its return?
//!
//! Keys are judged one by one, because linearizability is local: a history is linearizable exactly if each object's part of it is (Herlihy
//! and Wing 1990, theorem 1). Two algorithms share the work, chosen per key:
//!
//! - **zones** (A), where written values are all different, which is what our workloads write by construction. A read then names its write,
//!   all operations of a value stand in one block of any order, and blocks can be put in an order unless two of them must each come before
//!   the other: one sort finds out. Compare-and-sets tie blocks to chains. Failed ones that do not say what they saw (`failed`) are put into
//!   the order afterwards; around those that fit nowhere a short stretch of it is put in another order (`repair`).
//! - **frontier** (B), for any other register: a sweep through time with every state that is still possible, where nothing takes effect
//!   before somebody's return needs it, and of states of which one can do all another can, one is kept.
//!
//! Why each is right stands at the head of its file. [`certificate`] and `order` are the proofs of the two answers, [`Proof`] either of them
//! to be saved, [`verify`] replays it, [`witness`] tells it to a person. The field's general search (Wing and Gong 1993) was not taken for
//! registers, because it is exponential in the width where one sort is enough; [`general`] has it for the other models.
//!
//! **Intervals are closed.** An operation that returns at time t and one that is invoked at the same t are concurrent: two threads read one
//! clock, and two readings may be equal whichever came first. So every comparison of a return with an invocation is strict, and at equal
//! times invocations are swept before returns; see [`history`](crate::history).
//!
//! **What ends it.** The frontier's problem is NP-complete, so its work is counted ([`Budget`]) and never timed. What ends without an answer is
//! [`Unknown`](Verdict::Unknown), with the stretch of time where it ended and how far the key is proved.
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

mod budget;
mod failed;
mod frontier;
mod key;
mod meaning;
mod nearly_sorted;
mod object_proof;
mod objects;
mod order;
mod repair;
mod replay;
mod shared;
#[cfg(test)]
pub(crate) mod tests;
mod time;
mod value_index;
mod window;
mod zones;

pub mod certificate;
pub mod general;
pub mod proof;
pub mod verify;
pub mod witness;

pub use self::budget::{Budget, Ended, Stop};
pub use self::certificate::{Certificate, Side};
pub use self::object_proof::ObjectProof;
pub use self::objects::{ObjectResult, check_objects, first_violation_of};
pub use self::proof::Proof;
pub use self::replay::{Proved, Wrong, replay};
pub use self::time::Place;
pub use self::window::Window;
pub use self::witness::{Heart, Witness, WitnessOperation};

use self::key::Judged;
use self::meaning::Facts;
use crate::history::History;
use crate::history::operation::KeyId;
use crate::parallel;
use crate::verdict::Verdict;

/// How to judge.
#[derive(Clone, Copy)]
pub struct Options<'a> {
    /// What one key may cost.
    pub budget: Budget,
    /// How many threads may work at once, each on a key of its own, or on one key together; the answer is the same for any number. 1 unless
    /// said otherwise.
    pub threads: usize,
    /// Asked about every millisecond; once it says true, what is not decided by then is unknown.
    pub stop: Option<Stop<'a>>,
}

impl Default for Options<'_> {
    fn default() -> Self {
        Options {
            budget: Budget::default(),
            threads: 1,
            stop: None,
        }
    }
}

impl<'a> Options<'a> {
    /// The same for each of so many objects that are judged at once: only one alone has several threads.
    fn for_each_of(&self, objects: usize) -> Options<'a> {
        Options {
            threads: if objects > 1 { 1 } else { self.threads },
            ..*self
        }
    }
}

/// What was found out about one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyResult {
    /// The key; `None` for operations without one, which are judged as one object.
    pub key: Option<KeyId>,
    /// How many operations it has, whatever their outcome.
    pub operations: usize,
    /// How it was decided: `zones`, or `frontier` where values are written more than once. Where failed compare-and-sets do not say what
    /// they saw, zones leave short stretches around some of them to the frontier.
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

/// Judges every key of a history of registers, in the order in which keys first appear, with the usual [`Budget`] for each.
pub fn check(history: &History) -> Vec<KeyResult> {
    check_with(history, &Options::default())
}

/// Judges every key of a history of registers, in the order in which keys first appear.
pub fn check_with(history: &History, options: &Options<'_>) -> Vec<KeyResult> {
    let (facts, by_key) = prepared(history, options.threads);
    let keys: Vec<Option<KeyId>> = by_key.keys().collect();
    let weight = |key: &Option<KeyId>| by_key.places(*key).len() as u64;
    let each = options.for_each_of(keys.len());
    parallel::map(&keys, options.threads, weight, |&key| {
        check_key(&facts, key, by_key.places(key), &each)
    })
}

/// What proves each of the `results` of a check of the same history with the same options. An order is looked for again, which costs as
/// much as the check did.
pub fn proofs(history: &History, results: &[KeyResult], options: &Options<'_>) -> Vec<Proof> {
    let (facts, by_key) = prepared(history, options.threads);
    let weight = |result: &KeyResult| result.operations as u64;
    let each = options.for_each_of(results.len());
    parallel::map(results, options.threads, weight, |result| {
        let order = (result.verdict == Verdict::Valid).then(|| key::order(&facts, by_key.places(result.key), &each));
        Proof::new(history, result, order.flatten())
    })
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
    linearization_with(history, key, &Options::default())
}

/// [`linearization`] within a budget.
pub fn linearization_with(history: &History, key: Option<KeyId>, options: &Options<'_>) -> Option<Vec<usize>> {
    let (facts, by_key) = prepared(history, options.threads);
    key::order(&facts, by_key.places(key), options)
}

/// What judging any key needs to know of the whole history.
fn prepared(history: &History, threads: usize) -> (Facts<'_>, ByKey) {
    parallel::both(threads, || Facts::of(history, threads), || ByKey::of(history))
}

fn check_key(facts: &Facts<'_>, key: Option<KeyId>, places: &[u32], options: &Options<'_>) -> KeyResult {
    let history = facts.history();
    let (algorithm, judged) = key::judge(facts, places, options);
    let (verdict, reason, certificate) = match judged {
        Judged::Valid(_) => (Verdict::Valid, None, None),
        Judged::Unknown(reason) => (Verdict::Unknown, Some(reason), None),
        Judged::Invalid(certificate) => (Verdict::Invalid, None, Some(certificate)),
    };
    let certain_ns = certificate.as_ref().and_then(|certificate| certificate.certain_at_ns(history));
    let result = KeyResult {
        key,
        operations: places.len(),
        algorithm,
        verdict,
        reason,
        certificate,
        certain_ns,
    };
    #[cfg(test)]
    tests::proved::prove(history, &result, options);
    result
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
