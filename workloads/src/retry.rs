//! What a client does about an operation that did not succeed: nothing, ask again blindly, or ask again so that the store knows it again.
//!
//! A pure state machine like the generators. The three policies are the three semantics of remote calls: at most once (nothing is sent
//! twice; an operation without a reply stays unknown), at least once (sent again until it is acknowledged, so it may happen twice), and
//! exactly once (sent again under the same idempotency key, which the store remembers; Birrell and Nelson, "Implementing Remote
//! Procedure Calls", 1984).
//!
//! The attempts of one operation are one operation in the history: invoked before the first, returned after the last. An attempt without
//! a reply may have happened, so a later definite failure is no failure of the operation: it stays unknown.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::client::{ErrorNote, MISMATCH, Outcome};

/// What a client does about an operation that did not succeed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Retry {
    /// Nothing: at most once.
    #[default]
    None,
    /// It asks again under a new idempotency key: at least once.
    Blind,
    /// It asks again under the same idempotency key: exactly once, if the store has sessions.
    Idempotent,
}

impl Retry {
    /// Whether nothing is ever asked again.
    pub fn is_none(&self) -> bool {
        *self == Retry::None
    }
}

/// Attempts at one operation, the first included. With a deadline of 1 s each they outlast an election and most faults.
const ATTEMPTS_MAX: u32 = 5;

/// Bound of the first pause before asking again, in ns; doubles with every attempt.
const PAUSE_NS_FIRST: u64 = 10_000_000;

/// Last bound of the pause, in ns: the patience of a leader election.
const PAUSE_NS_MAX: u64 = 200_000_000;

/// The attempts at one operation so far.
#[derive(Debug, Clone)]
pub struct Attempts {
    retry: Retry,
    patience_ns: u64,
    made: u32,
    /// The first attempt of which nobody knows whether it happened.
    unknown: Option<ErrorNote>,
}

/// What follows from an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// The operation ended so.
    End(Outcome),
    /// It is to be tried again after a pause between zero and this bound, in ns (full jitter: clients that failed together do not return together).
    Again {
        /// The bound.
        pause_ns_max: u64,
    },
}

impl Attempts {
    /// No attempt was made yet. Nothing is asked again once `patience_ns` have passed since the first attempt began.
    pub fn new(retry: Retry, patience_ns: u64) -> Attempts {
        Attempts {
            retry,
            patience_ns,
            made: 0,
            unknown: None,
        }
    }

    /// How many were made.
    pub fn made(&self) -> u32 {
        self.made
    }

    /// Takes the outcome of one attempt, `elapsed_ns` after the first one began. What failed because the store compared and refused is an
    /// answer, and final.
    pub fn after(&mut self, outcome: Outcome, elapsed_ns: u64) -> Next {
        self.made += 1;
        let is_final = match &outcome {
            Outcome::Ok(_) => true,
            Outcome::Failed(note) => note.kind == MISMATCH,
            Outcome::Unknown(note) => {
                self.unknown.get_or_insert_with(|| note.clone());
                false
            }
        };
        if is_final || self.retry.is_none() || self.made == ATTEMPTS_MAX || elapsed_ns >= self.patience_ns {
            return Next::End(self.settled(outcome));
        }
        let bound_ns = PAUSE_NS_FIRST << (self.made - 1).min(16);
        Next::Again {
            pause_ns_max: bound_ns.min(PAUSE_NS_MAX),
        }
    }

    /// The operation's outcome if `last` is that of its last attempt: a failure after an attempt that may have happened is none. A
    /// comparison that failed is none either: the attempt before may be what it found.
    fn settled(&mut self, last: Outcome) -> Outcome {
        match (last, self.unknown.take()) {
            (Outcome::Failed(_), Some(unknown)) => Outcome::Unknown(unknown),
            (last, _) => last,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{ATTEMPTS_MAX, Attempts, Next, Retry};
    use crate::client::{ErrorNote, Outcome, Seen};

    fn failed() -> Outcome {
        Outcome::Failed(ErrorNote::new("not-leader", ""))
    }

    fn unknown() -> Outcome {
        Outcome::Unknown(ErrorNote::new("timeout", ""))
    }

    /// The end that a list of attempts' outcomes leads to, and how many of them it took.
    fn end(retry: Retry, outcomes: &[Outcome]) -> (Outcome, usize) {
        let mut attempts = Attempts::new(retry, u64::MAX);
        for (number, outcome) in (1..).zip(outcomes) {
            if let Next::End(outcome) = attempts.after(outcome.clone(), 0) {
                return (outcome, number);
            }
        }
        panic!("more than {} attempts", outcomes.len());
    }

    #[test]
    fn without_a_policy_every_outcome_is_final() {
        for outcome in [Outcome::Ok(Seen::Nothing), failed(), unknown()] {
            assert_eq!(end(Retry::None, std::slice::from_ref(&outcome)), (outcome.clone(), 1));
        }
    }

    #[test]
    fn asks_again_until_it_succeeds() {
        for retry in [Retry::Blind, Retry::Idempotent] {
            assert_eq!(
                end(retry, &[failed(), unknown(), failed(), Outcome::Ok(Seen::Nothing)]),
                (Outcome::Ok(Seen::Nothing), 4)
            );
        }
    }

    #[test]
    fn a_failure_after_an_attempt_that_may_have_happened_stays_unknown() {
        let mismatch = Outcome::Failed(ErrorNote::mismatch(Seen::Number(3)));
        assert_eq!(end(Retry::Idempotent, &[unknown(), mismatch.clone()]), (unknown(), 2));
        assert_eq!(end(Retry::Idempotent, &[failed(), mismatch.clone()]), (mismatch, 2));
        let most = vec![failed(); ATTEMPTS_MAX as usize];
        assert_eq!(end(Retry::Blind, &most), (failed(), most.len()));
        let mut one_unknown = most;
        one_unknown[0] = unknown();
        assert_eq!(end(Retry::Blind, &one_unknown), (unknown(), one_unknown.len()));
    }

    #[test]
    fn gives_up_when_its_patience_ends() {
        let mut attempts = Attempts::new(Retry::Blind, 100);
        assert!(matches!(attempts.after(unknown(), 99), Next::Again { .. }));
        assert_eq!(attempts.after(failed(), 100), Next::End(unknown()));
    }

    #[test]
    fn pauses_grow_up_to_a_bound() {
        let mut attempts = Attempts::new(Retry::Blind, u64::MAX);
        let mut bounds = Vec::new();
        while let Next::Again { pause_ns_max } = attempts.after(failed(), 0) {
            bounds.push(pause_ns_max / 1_000_000);
        }
        assert_eq!(bounds, [10, 20, 40, 80]);
    }
}
