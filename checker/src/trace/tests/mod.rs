//! Every rule both ways, on small traces made for it, and what a hostile or damaged file does.

mod late;
mod notation;
mod reading;
mod rules;
mod upkeep;

use self::notation::{Settings, traces};
use super::{Conditions, NodeTraces, Violation};

/// The rules that `traces` break, all nodes having ended.
fn broken(traces: &NodeTraces) -> Vec<Violation> {
    traces.check(&settled())
}

/// All nodes have ended, and the history began with the clock.
fn settled() -> Conditions {
    Conditions {
        settled: true,
        ..Conditions::default()
    }
}

/// The names of the rules that traces in short form break.
#[track_caller]
fn check(settings: Settings, story: &str, expected: &[&str]) {
    let violations = broken(&traces(settings, story));
    let rules: Vec<&str> = violations.iter().map(|violation| violation.rule).collect();
    assert_eq!(rules, expected, "{violations:#?}");
}
