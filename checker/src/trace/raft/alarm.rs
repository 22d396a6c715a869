//! The first breach that can be told while nodes still write: what no line that is still to come takes back.
//!
//! Left to the end of the run is all that rests on a silence, since the missing line may be on its way, and all that asks for progress, since
//! a machine that was held up cannot judge it. Where clocks disagree nothing is told: [`RaftRules::settle`] itself rests on them.

use super::RaftRules;
use super::breach::{Breach, Rule};
use crate::trace::Conditions;

/// A rule that is broken for good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alarm {
    /// `trace T4`, as [`Violation::rule`](crate::trace::Violation::rule) at the end.
    pub rule: &'static str,
    /// What is broken: one sentence, lower case, without a full stop. Names in it stand as they came.
    pub message: String,
    /// When the last of the events that show it happened, in nanoseconds of the monotonic clock.
    pub mono_ns: u64,
}

impl RaftRules {
    /// The breach found first, if one was found that holds whatever the nodes write from now on.
    pub fn alarm(&self) -> Option<Alarm> {
        let breach = self.machine.breaches.all().iter().find(|breach| is_final(breach))?;
        if !self.doubts(&Conditions::default()).is_empty() {
            return None;
        }
        Some(Alarm {
            rule: breach.rule.id(),
            message: breach.message.clone(),
            mono_ns: breach.facts.iter().map(|fact| fact.sight.mono_ns).max().unwrap_or(0),
        })
    }
}

fn is_final(breach: &Breach) -> bool {
    breach.rests.absent == 0 && breach.rule != Rule::Amplification
}
