//! What becomes of a run whose faults this machine refuses: it goes on without some of them, and never without what was asked for by name, or without
//! all of them. A green run with no fault in it would say that a storm was survived.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::Error;

use crate::exit::usage;

/// Where the wish for the faults of a run comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asked<'a> {
    /// What `--faults` is: kinds by name, or a word for several.
    Words(&'a str),
    /// The file of a plan; `-` is standard input.
    Plan(&'a Path),
}

impl Asked<'_> {
    /// Why there can be no run with these kinds of faults, of which the machine refuses some for these reasons; `None` if there can be one.
    pub(super) fn refusal(&self, kinds: &BTreeSet<&str>, left_out: &BTreeMap<String, String>) -> Option<Error> {
        if let Asked::Words(words) = self
            && let Some((kind, why)) = left_out.iter().find(|(kind, _)| is_named(words, kind))
        {
            return Some(usage(format!("--faults {kind}: {why}"), ""));
        }
        if kinds.is_empty() || !kinds.iter().all(|kind| left_out.contains_key(*kind)) {
            return None;
        }
        let whose = match self {
            Asked::Words(words) => format!("--faults {words}"),
            Asked::Plan(path) if *path == Path::new("-") => "the plan".into(),
            Asked::Plan(path) => format!("the plan `{}`", path.display()),
        };
        Some(usage(
            format!("{whose}: this machine can do none of its faults: {}", reasons(kinds, left_out)),
            "`--faults none` is a run without faults",
        ))
    }
}

/// Whether a kind of fault is asked for by its name.
fn is_named(words: &str, kind: &str) -> bool {
    words.split(',').any(|name| name.trim() == kind)
}

/// `cpu: why; eio, fsync: why`, each reason once.
fn reasons(kinds: &BTreeSet<&str>, left_out: &BTreeMap<String, String>) -> String {
    let mut by_reason: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for kind in kinds {
        let why = left_out.get(*kind).map_or("", String::as_str);
        by_reason.entry(why).or_default().push(kind);
    }
    let sentences: Vec<String> = by_reason
        .iter()
        .map(|(why, kinds)| format!("{}: {why}", kinds.join(", ")))
        .collect();
    sentences.join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(asked: Asked<'_>, kinds: &[&str], left_out: &[(&str, &str)], expected: Option<&str>) {
        let left_out = left_out.iter().map(|(kind, why)| ((*kind).to_owned(), (*why).to_owned())).collect();
        let refusal = asked.refusal(&kinds.iter().copied().collect(), &left_out);
        assert_eq!(refusal.map(|error| error.to_string()).as_deref(), expected);
    }

    #[test]
    fn a_run_that_would_lose_every_fault_is_refused_with_the_reasons() {
        let no_disk = [("eio", "no disk"), ("torn", "no disk"), ("cpu", "no group")];
        check(
            Asked::Words("disk"),
            &["torn", "eio"],
            &no_disk,
            Some("--faults disk: this machine can do none of its faults: eio, torn: no disk"),
        );
        check(
            Asked::Plan(Path::new("p.toml")),
            &["torn", "cpu", "eio"],
            &no_disk,
            Some("the plan `p.toml`: this machine can do none of its faults: eio, torn: no disk; cpu: no group"),
        );
    }

    #[test]
    fn one_that_keeps_some_or_asks_for_none_is_not() {
        check(Asked::Words("all"), &["cpu", "kill"], &[("cpu", "no group")], None);
        check(Asked::Plan(Path::new("-")), &["cpu", "kill"], &[("cpu", "no group")], None);
        check(Asked::Words("none"), &[], &[], None);
        check(Asked::Words("storm"), &["kill"], &[], None);
    }

    #[test]
    fn a_kind_that_was_named_is_not_left_out() {
        check(
            Asked::Words("kill, cpu"),
            &["cpu", "kill"],
            &[("cpu", "no group")],
            Some("--faults cpu: no group"),
        );
    }
}
