//! Linearizability of any [`Model`]: split into objects, a fast algorithm where one is known, the general search otherwise.
//!
//! | model | first | then |
//! |---|---|---|
//! | queue | [`aspects`](fast_queue): values enqueued once, O(n log n) | search |
//! | set | [`chain`](fast_set): only added to, read whole; linear in the answers | search, per element where nothing reads the whole |
//! | counter | [`bounds`](fast_counter): refutes only | search, which does not branch if all additions are equal |
//! | mutex | – | search, which never branches |
//! | register, cas-register, kv, any other | – | search |
//!
//! The answer names the algorithm that gave it. A fast algorithm is not believed: its order is replayed, its refutation searched again on the
//! few operations it names; if either fails, the search decides.
//!
//! An operation of unknown outcome may take effect at any time after its invocation, or never; a definite failure did not happen, and says
//! nothing unless the model reads it ([`Model::failed`]).

pub mod verify;

mod claim;
mod fast;
mod fast_counter;
mod fast_queue;
mod fast_set;
mod parts;
mod pending;
mod problem;
mod proof;
mod refusal;
mod search;
mod space;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

pub use self::claim::Claim;
pub(super) use self::problem::{interval, meaning};
pub(super) use self::proof::claims_and_windows;
pub use self::proof::{ModelProof, WindowProof};
pub use self::refusal::{Confirmed, Refusal};
pub use super::Options;
use super::meaning::Facts;
use super::objects::ObjectResult;
use super::shared::judged;

use rustc_hash::FxHashSet;

use self::fast::{Algorithm, Fast};
use self::parts::Part;
use self::problem::{NEVER, Problem};
use self::search::{Outcome, Progress, search};
use crate::escape::visible;
use crate::history::History;
use crate::history::operation::KeyId;
use crate::linearizability::budget::{Ended, Meter};
pub use crate::model::ModelChoice;
use crate::model::{CasRegister, Counter, Kv, Model, Mutex, Queue, Register, Set, Value};
use crate::verdict::Verdict;

/// What was found out about one object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelResult {
    /// Its key, the first if operations join several; `None` for operations without one.
    pub key: Option<KeyId>,
    /// Its keys' names, `a, b`, or an element of one, `a/5`. Not escaped.
    pub name: String,
    /// The places of its operations, whatever their outcome.
    pub places: Vec<u32>,
    /// How it was decided: `aspects`, `chain`, `bounds`, `search`.
    pub algorithm: &'static str,
    /// The verdict and its proof.
    pub answer: Answer,
}

/// A verdict with what proves it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// Linearizable: in this order, of places in [`History::operations`]; replayed.
    Valid(Vec<usize>),
    /// Not linearizable.
    Invalid(Box<Refusal>),
    /// Not decided.
    Unknown(Undecided),
}

impl Answer {
    /// The verdict in a word.
    pub fn verdict(&self) -> Verdict {
        match self {
            Answer::Valid(_) => Verdict::Valid,
            Answer::Invalid(_) => Verdict::Invalid,
            Answer::Unknown(_) => Verdict::Unknown,
        }
    }
}

/// Why an object is undecided, and how far it is proved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Undecided {
    /// What ended the search, lower case, without a full stop.
    pub reason: String,
    /// The limit, if one ended it.
    pub end: Option<Ended>,
    /// An order of everything that returned before `proved_ns`: that much is linearizable.
    pub prefix: Vec<usize>,
    /// Up to when it is proved, in nanoseconds.
    pub proved_ns: u64,
    /// The operation that returned then and could not be placed yet, and the first invocation among those that were open with it.
    pub window: Option<(usize, u64)>,
    /// Most operations that were open at once, those of unknown outcome left out.
    pub concurrency: usize,
    /// How many operations are of unknown outcome and say something.
    pub unknown: usize,
}

/// Judges every object of a history, in the order of their first operations.
pub fn check_model(history: &History, choice: ModelChoice, options: &Options<'_>) -> Vec<ModelResult> {
    let aspects = Algorithm {
        name: "aspects",
        decide: fast_queue::decide,
    };
    let chain = Algorithm {
        name: "chain",
        decide: fast_set::decide,
    };
    let bounds = Algorithm {
        name: "bounds",
        decide: fast_counter::decide,
    };
    match choice {
        ModelChoice::Register => check_with(history, &Register, None, options),
        ModelChoice::CasRegister => check_with(history, &CasRegister, None, options),
        ModelChoice::Kv => check_with(history, &Kv, None, options),
        ModelChoice::Counter => check_with(history, &Counter, Some(bounds), options),
        ModelChoice::Set => check_with(history, &Set, Some(chain), options),
        ModelChoice::Queue => check_with(history, &Queue, Some(aspects), options),
        ModelChoice::Mutex => check_with(history, &Mutex, None, options),
    }
}

/// Judges every object of a history by a model of one's own, by the general search.
pub fn check_model_of<M: Model<Op: Send + Sync> + Sync>(history: &History, model: &M, options: &Options<'_>) -> Vec<ModelResult> {
    check_with(history, model, None, options)
}

/// Judges the store of `kv`: keys that no transaction touches and to which nothing is appended are registers, which have algorithms of their own.
pub(super) fn check_kv(history: &History, options: &Options<'_>) -> Vec<ObjectResult> {
    let is_plain = |places: &[u32]| {
        let mut names = places.iter().map(|&place| history.function(&history.operations[place as usize]));
        names.all(|f| f != "txn" && f != "append")
    };
    let parts = parts::split(history, &Kv);
    // Without a key there may be transactions beside them, of other keys.
    // A transaction's line may carry a key, too: then the operations of that key are not those of the object.
    let transactions = history.operations.iter().filter(|operation| history.function(operation) == "txn");
    let of_transactions: BTreeSet<KeyId> = transactions.filter_map(|operation| operation.key).collect();
    let is_register = |part: &Part<_>| {
        let is_whole = part.key.is_some_and(|key| !of_transactions.contains(&key));
        is_whole && part.foreign.is_none() && is_plain(&part.places)
    };
    let facts = Facts::of(history, options.threads);
    let judge = |part: &Part<_>, options: &Options<'_>| {
        if is_register(part) {
            ObjectResult::Register(super::check_key(&facts, part.key, &part.places, options))
        } else {
            ObjectResult::Other(result_of(history, &Kv, part, None, options))
        }
    };
    let is_short = |result: &ObjectResult, bytes| match result {
        ObjectResult::Register(result) => super::objects::is_short(result, bytes),
        ObjectResult::Other(result) => is_short(result, bytes),
    };
    judged(&parts, options, weight, judge, is_short)
}

fn check_with<M: Model<Op: Send + Sync> + Sync>(
    history: &History,
    model: &M,
    fast: Option<Algorithm<M::Op>>,
    options: &Options<'_>,
) -> Vec<ModelResult> {
    let parts = parts::split(history, model);
    let judge = |part: &Part<M::Op>, options: &Options<'_>| result_of(history, model, part, fast.as_ref(), options);
    judged(&parts, options, weight, judge, is_short)
}

fn weight<Op>(part: &Part<Op>) -> u64 {
    part.items.len() as u64
}

/// Whether an object is unknown for want of these bytes.
fn is_short(result: &ModelResult, bytes: u64) -> bool {
    matches!(&result.answer, Answer::Unknown(undecided) if undecided.end == Some(Ended::Bytes(bytes)))
}

fn result_of<M: Model>(
    history: &History,
    model: &M,
    part: &Part<M::Op>,
    fast: Option<&Algorithm<M::Op>>,
    options: &Options<'_>,
) -> ModelResult {
    let (key, name, places) = (part.key, part.name.clone(), part.places.clone());
    let (algorithm, answer) = check_part(history, model, part, fast, options);
    let result = ModelResult {
        key,
        name,
        places,
        algorithm,
        answer,
    };
    #[cfg(test)]
    tests::proved::prove(history, model, &result);
    result
}

/// Longest name of a function in a reason, in characters.
const FUNCTION_CHARS_MAX: usize = 40;

fn check_part<M: Model>(
    history: &History,
    model: &M,
    part: &Part<M::Op>,
    fast: Option<&Algorithm<M::Op>>,
    options: &Options<'_>,
) -> (&'static str, Answer) {
    let problem = Problem::of(&part.items);
    let check = Check {
        history,
        model,
        places: &part.places,
        problem: &problem,
    };
    if let Some(foreign) = part.foreign {
        let line = history.operations[foreign as usize].invoke_line();
        let f = visible(history.function(&history.operations[foreign as usize]), FUNCTION_CHARS_MAX);
        let reason = format!(
            "`{f}` on line {line} is no operation of a {}, by its name or by its value",
            model.name()
        );
        return ("search", check.undecided(reason, None, Progress::default()));
    }
    let meter = Meter::of(options.budget, options.stop);
    if let Some(algorithm) = fast
        && let Some(answer) = check.fast(algorithm, &meter)
    {
        return (algorithm.name, answer);
    }
    ("search", check.search(&meter))
}

struct Check<'a, M: Model> {
    history: &'a History,
    model: &'a M,
    places: &'a [u32],
    problem: &'a Problem<M::Op>,
}

/// The first moment at which a fast algorithm refutes a history.
struct RefutedCut {
    /// An order of what had returned before.
    prefix: Vec<u32>,
    /// The operation that then returned.
    stuck: u32,
    /// The witness: items of the whole problem, and values.
    items: Vec<u32>,
    values: Vec<Value>,
}

/// Most operations of an object of which a fast algorithm also says how far it is linearizable, which takes it some twenty passes.
const CUT_OPERATIONS_MAX: usize = 1 << 18;

impl<M: Model> Check<'_, M> {
    fn fast(&self, algorithm: &Algorithm<M::Op>, meter: &Meter<'_>) -> Option<Answer> {
        let (items, values) = match (algorithm.decide)(self.problem) {
            Fast::Open => return None,
            Fast::Order(order) => return self.valid(&order),
            Fast::Refuted { items, values } => (items, values),
        };
        if self.problem.items.len() <= CUT_OPERATIONS_MAX
            && let Some(cut) = self.first_refuted_cut(algorithm)
        {
            let witness = Some((&cut.items[..], &cut.values[..]));
            let refusal = refusal::explain(self.model, self.problem, cut.prefix, cut.stuck, witness, meter)?;
            return Some(Answer::Invalid(Box::new(refusal)));
        }
        let required = items.iter().filter(|&&item| self.problem.items[item as usize].is_required());
        let stuck = *required.max_by_key(|&&item| (self.problem.items[item as usize].returned_ns, item))?;
        let refusal = refusal::explain(self.model, self.problem, Vec::new(), stuck, Some((&items, &values)), meter)?;
        Some(Answer::Invalid(Box::new(refusal)))
    }

    /// The earliest return at which the history up to then is refuted. A history refuted once stays so, so halving finds it.
    fn first_refuted_cut(&self, algorithm: &Algorithm<M::Op>) -> Option<RefutedCut> {
        let returns = refusal::by_return(self.problem);
        let cut = |count: usize| self.problem.until(returns[count]);
        let (mut refuted, mut allowed) = (returns.len(), None);
        let mut low = 0;
        while low < refuted {
            let middle = low + (refuted - low) / 2;
            let cut = cut(middle);
            match (algorithm.decide)(&cut) {
                Fast::Refuted { .. } => refuted = middle,
                Fast::Order(order) => {
                    low = middle + 1;
                    allowed = Some((cut, order));
                }
                // It may be refuted or not; what cannot refute more is taken as allowed, so that the cut is one it refutes.
                Fast::Open => low = middle + 1,
            }
        }
        let stuck = *returns.get(refuted)?;
        let cut = cut(refuted);
        let Fast::Refuted { items, values } = (algorithm.decide)(&cut) else {
            return None;
        };
        // The items of a cut have numbers of their own.
        let number_of = |cut: &Problem<M::Op>, item: u32| {
            let of = cut.items[item as usize];
            let key = |item: &problem::Item| (item.invoked_ns, item.place);
            self.problem
                .items
                .binary_search_by_key(&key(&of), key)
                .ok()
                .map(|number| number as u32)
        };
        let prefix = allowed.into_iter().flat_map(|(cut, order)| {
            let numbers: Vec<u32> = order.into_iter().filter_map(|item| number_of(&cut, item)).collect();
            numbers
        });
        let items = items.into_iter().filter_map(|item| number_of(&cut, item)).collect();
        Some(RefutedCut {
            prefix: prefix.collect(),
            stuck,
            items,
            values,
        })
    }

    fn search(&self, meter: &Meter<'_>) -> Answer {
        match search(self.model, self.problem, 1, meter) {
            Outcome::Order(order) => self.valid(&order).unwrap_or_else(|| {
                let reason = "the order that the search found does not replay: the model's steps are not a function of state and operation";
                self.undecided(reason.into(), None, Progress::default())
            }),
            Outcome::Stuck(progress) => {
                let first = progress
                    .first
                    .expect("a search that is stuck has an operation left that must happen");
                match refusal::explain(self.model, self.problem, progress.order, first, None, meter) {
                    Some(refusal) => Answer::Invalid(Box::new(refusal)),
                    None => self.undecided("two searches disagree: their hashes collided".into(), None, Progress::default()),
                }
            }
            Outcome::Ended(end, progress) => self.undecided(end.to_string(), Some(end), progress),
        }
    }

    fn valid(&self, order: &[u32]) -> Option<Answer> {
        let order: Vec<usize> = order.iter().map(|&item| self.place(item)).collect();
        verify::valid(self.history, self.model, self.places, &order).ok()?;
        Some(Answer::Valid(order))
    }

    fn undecided(&self, reason: String, end: Option<Ended>, progress: Progress) -> Answer {
        let items = &self.problem.items;
        let first = progress.first.map(|first| items[first as usize].returned_ns);
        Answer::Unknown(Undecided {
            reason,
            end,
            prefix: progress.order.iter().map(|&item| self.place(item)).collect(),
            proved_ns: first.and_then(|first| u64::try_from(first).ok()).unwrap_or_default(),
            window: progress
                .first
                .map(|first| (self.place(first), self.open_since(&progress.order, first))),
            concurrency: concurrency(self.problem),
            unknown: items.iter().filter(|item| !item.is_required()).count(),
        })
    }

    /// The first invocation among the operations that were open and not placed when `first` returned.
    fn open_since(&self, placed: &[u32], first: u32) -> u64 {
        let placed: FxHashSet<u32> = placed.iter().copied().collect();
        let until_ns = self.problem.items[first as usize].returned_ns;
        let open = (0..)
            .zip(&self.problem.items)
            .filter(|(number, item)| item.is_required() && item.invoked_ns <= until_ns && !placed.contains(number));
        let since = open.map(|(_, item)| item.invoked_ns).min();
        since.and_then(|since_ns| u64::try_from(since_ns).ok()).unwrap_or_default()
    }

    fn place(&self, item: u32) -> usize {
        self.problem.items[item as usize].place as usize
    }
}

fn concurrency<Op>(problem: &Problem<Op>) -> usize {
    let required = problem.items.iter().filter(|item| item.returned_ns != NEVER);
    let mut events: Vec<(i64, bool)> = required
        .flat_map(|item| [(item.invoked_ns, false), (item.returned_ns, true)])
        .collect();
    events.sort_unstable();
    let (mut open, mut most) = (0_usize, 0);
    for (_, is_return) in events {
        open = if is_return { open - 1 } else { open + 1 };
        most = most.max(open);
    }
    most
}
