//! What a picture of a witness has to show: the operation that has no place, why in a few words, and the gap in time that forbids it.

use super::claims::Words;
use crate::escape::visible;
use crate::history::operation::Outcome;
use crate::linearizability::general::Claim;
use crate::model::Value;

/// The heart of a witness that is not about a register of one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heart {
    /// The line of the invocation of the operation that has no place.
    pub line: u64,
    /// Why: `5 was added`.
    pub words: String,
    /// From one operation's end to the begin of another, in nanoseconds, if that forbids it; and whether the words happened so long `before` or
    /// `later`.
    pub gap: Option<(u64, u64, &'static str)>,
}

/// Longest value in the words, in characters.
const VALUE_CHARS_MAX: usize = 14;

fn short(json: &str) -> String {
    visible(json, VALUE_CHARS_MAX)
}

impl Words<'_> {
    /// The heart of what these words are about.
    pub(super) fn heart(&self) -> Heart {
        let (place, words, gap) = match self.claim {
            Some(claim) => self.heart_of(claim),
            None => (self.refusal.stuck, "no place left".to_owned(), None),
        };
        Heart {
            line: self.operation(place).invoke_line(),
            words,
            gap: gap.filter(|(from_ns, to_ns, _)| from_ns < to_ns),
        }
    }

    fn heart_of(&self, claim: &Claim) -> (usize, String, Option<(u64, u64, &'static str)>) {
        let before = |first: usize, then: usize| Some((self.operation(first).returned_ns()?, self.operation(then).invoked_ns, "before"));
        let later = |first: usize, then: usize| Some((self.operation(first).returned_ns()?, self.operation(then).invoked_ns, "later"));
        let argument = |place: usize| short(&self.history.value(self.operation(place).argument));
        match *claim {
            Claim::DequeuedTooOften { ref dequeues } => {
                let last = *dequeues.last().unwrap_or(&self.refusal.stuck);
                let value = self.seen(last);
                let shown = short(&value.to_string());
                match (dequeues.len(), self.with("enqueue", &value).first()) {
                    (1, Some(&enqueue)) if self.operation(enqueue).outcome == Outcome::Fail => {
                        (last, format!("enqueue {shown} was refused"), None)
                    }
                    (1, Some(&enqueue)) => (last, "enqueued only".to_owned(), later(last, enqueue)),
                    (1, None) => (last, format!("nobody enqueued {shown}"), None),
                    _ => (last, format!("{shown} was dequeued already"), None),
                }
            }
            Claim::OutOfOrder { first, second, taken } => (taken, format!("{} came before {}", argument(first), argument(second)), None),
            Claim::NotEmpty { empty, ref there } => match there[..] {
                [enqueue] => (empty, format!("{} was enqueued", argument(enqueue)), before(enqueue, empty)),
                _ => (empty, "it was never empty".to_owned(), None),
            },
            Claim::NeverAdded { read, ref value } => match self.with("add", &Value::of_json(value)).first() {
                Some(&add) if self.operation(add).outcome == Outcome::Fail => (read, format!("add {} was refused", short(value)), None),
                Some(&add) => (read, "added only".to_owned(), later(read, add)),
                None => (read, format!("nobody added {}", short(value)), None),
            },
            Claim::Missing { read, known, ref value } => {
                let how = if self.f(known) == "add" { "added" } else { "read" };
                (read, format!("{} was {how}", short(value)), before(known, read))
            }
            Claim::Overtaken {
                read, ref lacks, ref saw, ..
            } => (read, format!("{} was added before {}", short(lacks), short(saw)), None),
            Claim::Forked { other, ref only_one, .. } => (other, format!("lacks {}, which was read", short(only_one)), None),
            Claim::ListedTwice { read, ref value } => (read, format!("{} is there twice", short(value)), None),
            Claim::OutOfBounds { read } => (read, self.bound(read), None),
            Claim::Unbalanced { first, last } => {
                let (many, others) = self.sides(first, last);
                match many[..] {
                    [holder, _] if others.is_empty() && self.f(last) == "acquire" => {
                        (last, format!("process {} acquired it", self.process(holder)), before(holder, last))
                    }
                    _ if self.f(last) == "acquire" => (last, "the lock was held".to_owned(), None),
                    _ => (last, "the lock was free".to_owned(), None),
                }
            }
        }
    }
}
