//! What one rule found.

use serde::{Deserialize, Serialize};

use crate::trace::neighbourhood::Neighbourhood;
use crate::verdict::Verdict;

/// What kind of promise a broken rule stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Class {
    /// Something happened that must never happen.
    Safety,
    /// Something that must happen did not, within its bound.
    Liveness,
    /// A node process ended that nobody asked to end.
    Crash,
}

impl Class {
    /// The word a person reads.
    pub fn word(self) -> &'static str {
        match self {
            Class::Safety => "safety",
            Class::Liveness => "liveness",
            Class::Crash => "crash",
        }
    }
}

/// One rule's word on one history. Keys, values and log lines stand in it as they came: whoever prints it escapes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleFinding {
    /// The rule's name: `linearizability`, `crash`, `readiness`, …
    pub rule: String,
    /// What it says.
    pub verdict: Verdict,
    /// What kind of promise is broken; only with [`Verdict::Invalid`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class: Option<Class>,
    /// One sentence, lower case, without a full stop.
    pub message: String,
    /// The smallest evidence, one fact per line.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub evidence: Vec<String>,
    /// The events around it, for a diagram; only of a broken rule on Raft traces.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub neighbourhood: Option<Neighbourhood>,
}

impl RuleFinding {
    /// A finding without evidence lines that breaks no promise.
    pub fn new(rule: &str, verdict: Verdict, message: impl Into<String>) -> RuleFinding {
        RuleFinding {
            rule: rule.to_owned(),
            verdict,
            class: None,
            message: message.into(),
            evidence: Vec::new(),
            neighbourhood: None,
        }
    }

    /// A broken promise.
    pub fn broken(rule: &str, class: Class, message: impl Into<String>) -> RuleFinding {
        RuleFinding {
            class: Some(class),
            ..RuleFinding::new(rule, Verdict::Invalid, message)
        }
    }

    /// The same with evidence.
    pub fn with_evidence(mut self, lines: impl IntoIterator<Item = String>) -> RuleFinding {
        self.evidence.extend(lines);
        self
    }
}
