//! The breaches of one rule: the first in time is told, the others are counted.

use super::scene::Sight;
use super::{CONVERGENCE, Promise, Violation};

/// One sentence, and the evidence.
type Told = (String, Vec<String>);

/// Gathers what one rule finds.
#[derive(Default)]
pub(super) struct Breaches<'a> {
    first: Option<First<'a>>,
    n_all: u64,
}

struct First<'a> {
    mono_ns: u64,
    tell: Box<dyn FnOnce() -> Told + 'a>,
}

impl<'a> Breaches<'a> {
    /// A breach that was certain with this event. `tell` may take its time: it is asked at the end, and of one breach only.
    pub(super) fn add(&mut self, at: Sight<'_>, tell: impl FnOnce() -> Told + 'a) {
        self.n_all += 1;
        let mono_ns = at.event.mono_ns;
        if self.first.as_ref().is_none_or(|first| mono_ns < first.mono_ns) {
            let tell = Box::new(tell);
            self.first = Some(First { mono_ns, tell });
        }
    }

    /// The rule's word, if it was broken.
    pub(super) fn violation(self, rule: &'static str) -> Option<Violation> {
        let (message, mut evidence) = (self.first?.tell)();
        if self.n_all > 1 {
            evidence.push(format!("the rule is broken {} times in all; this is the first", self.n_all));
        }
        Some(Violation {
            rule,
            promise: if rule == CONVERGENCE { Promise::Liveness } else { Promise::Safety },
            message,
            evidence,
            neighbourhood: None,
        })
    }
}
