//! Which objects were judged, each by which algorithm: a table for programs, one line for a person.

use std::collections::BTreeMap;

use serde::Serialize;
use squall_checker::history::History;
use squall_checker::judge::{Chosen, Examination};
use squall_checker::verdict::Verdict;

use super::words::{count, plural};

/// Objects that are listed one by one: a history may have a million keys.
const LISTED_MAX: usize = 1_000;

/// What was judged, as it stands in `verdict.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Objects {
    /// The model's name.
    pub model: &'static str,
    /// Why this model: `asked`, `declared` by the header, or `guessed`.
    chosen: &'static str,
    /// How many objects there are.
    n_objects: usize,
    /// How many each algorithm decided, or was the last to try.
    algorithms: BTreeMap<&'static str, usize>,
    /// The objects: those that are not valid first, then in the history's order.
    objects: Vec<ObjectRow>,
    /// How many are not listed.
    #[serde(skip_serializing_if = "is_zero")]
    not_listed: usize,
}

/// One object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct ObjectRow {
    /// Its key or keys, or the element of a set; null for operations without a key.
    name: Option<String>,
    operations: usize,
    algorithm: &'static str,
    verdict: Verdict,
    /// Why it is unknown, and how far it is proved.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

fn is_zero(number: &usize) -> bool {
    *number == 0
}

impl Objects {
    /// What an examination found, object by object.
    pub(super) fn of(history: &History, examination: &Examination) -> Objects {
        let mut listed: Vec<_> = examination.objects.iter().collect();
        // Stable: among equals the history's order.
        listed.sort_by_key(|object| std::cmp::Reverse(object.verdict()));
        let rows = listed.into_iter().take(LISTED_MAX).map(|object| ObjectRow {
            name: object.name(history).map(String::from),
            operations: object.operations(),
            algorithm: object.algorithm(),
            verdict: object.verdict(),
            reason: object.reason(history),
        });
        Objects {
            model: examination.model.name(),
            chosen: match examination.chosen {
                Chosen::Asked => "asked",
                Chosen::Declared => "declared",
                Chosen::Guessed => "guessed",
            },
            n_objects: examination.objects.len(),
            algorithms: examination.algorithms.clone(),
            objects: rows.collect(),
            not_listed: examination.objects.len().saturating_sub(LISTED_MAX),
        }
    }

    /// `judged as cas-register: 78 objects by zones, 1 by frontier`; nothing if there was nothing to judge.
    pub(super) fn line(&self) -> Option<String> {
        let mut shares: Vec<(&str, usize)> = self.algorithms.iter().map(|(name, number)| (*name, *number)).collect();
        shares.sort_by_key(|(name, number)| (std::cmp::Reverse(*number), *name));
        let (first, rest) = shares.split_first()?;
        let rest = rest.iter().map(|(name, number)| format!(", {} by {name}", count(*number as u64)));
        let first = format!("{} by {}", plural(first.1 as u64, "object"), first.0);
        Some(format!("judged as {}: {first}{}", self.model, rest.collect::<String>()))
    }
}
