//! Thousands of runs of the model: correct ones break nothing, and every planted bug is found by a rule that it should break.

use std::collections::BTreeSet;

use super::model::{Bug, World};
use super::{judged, settled};

const N_STEPS: usize = 800;

/// The rules that a run breaks, and how far it came.
fn run(seed: u64, bug: Bug) -> (Vec<&'static str>, u64, String) {
    let (texts, n_commits) = World::new(seed, bug).run(N_STEPS);
    let rules = judged(&texts);
    let doubts = rules.doubts(&settled());
    assert_eq!(doubts, [], "seed {seed}");
    let violations = rules.violations(&settled());
    let text = format!("{violations:#?}");
    (super::names(&violations), n_commits, text)
}

fn correct_runs(seeds: std::ops::Range<u64>) {
    let mut n_commits_all = 0;
    for seed in seeds.clone() {
        let (rules, n_commits, text) = run(seed, Bug::None);
        assert_eq!(rules, [""; 0], "seed {seed}: {text}");
        n_commits_all += n_commits;
    }
    let n_runs = seeds.end - seeds.start;
    assert!(
        n_commits_all > 5 * n_runs,
        "{n_commits_all} commits in {n_runs} runs: the model does nothing"
    );
}

#[test]
fn correct_runs_break_nothing() {
    correct_runs(0..350);
}

#[test]
fn more_correct_runs_break_nothing() {
    correct_runs(350..700);
}

#[test]
fn still_more_correct_runs_break_nothing() {
    correct_runs(700..1_050);
}

/// Runs until a rule of the expected ones is broken.
#[track_caller]
fn found(bug: Bug, expected: &[&str]) {
    const RUNS_MAX: u64 = 400;
    let mut others = BTreeSet::new();
    for seed in 0..RUNS_MAX {
        let (rules, ..) = run(seed, bug);
        if rules.iter().any(|rule| expected.contains(rule)) {
            return;
        }
        others.extend(rules);
    }
    panic!("{bug:?} broke none of {expected:?} in {RUNS_MAX} runs, but {others:?}");
}

#[test]
fn finds_bugs_of_votes_and_elections() {
    found(Bug::VoteNotDurable, &["trace T2"]);
    found(Bug::TwoVotes, &["trace T2"]);
    found(Bug::TermNotDurable, &["trace T3"]);
    found(Bug::ElectionByMinority, &["trace T1"]);
    found(Bug::StaleLogElected, &["trace T7"]);
}

#[test]
fn finds_bugs_of_commits_and_disks() {
    found(Bug::CommitByMinority, &["trace T9"]);
    found(Bug::ReplyBeforeFsync, &["trace T9"]);
    found(Bug::FsyncedIsLost, &["trace T9"]);
    found(Bug::OldTermCommitted, &["trace T8"]);
    found(Bug::RefusalCountsAsMatch, &["trace T9"]);
}

#[test]
fn finds_bugs_of_logs() {
    found(Bug::PrevNotCompared, &["trace T4"]);
    found(Bug::AlwaysTruncates, &["trace T5"]);
    found(Bug::CommitWithoutMin, &["trace T6"]);
}

#[test]
fn finds_bugs_of_answers_and_reads() {
    found(Bug::ReadUnconfirmed, &["trace T12"]);
    found(Bug::ReadUnconfirmed, &["trace T16"]);
    found(Bug::ReadBeforeNoop, &["trace T12"]);
    found(Bug::RetryTakesEffect, &["trace T10"]);
    found(Bug::FailedOnStepDown, &["trace T11"]);
    found(Bug::AnswerByIndex, &["trace T11"]);
    found(Bug::AnswerOnAppend, &["trace T9"]);
}

#[test]
fn finds_bugs_of_snapshots() {
    found(Bug::SnapshotTooFar, &["trace T6"]);
    found(Bug::SnapshotKeepsSuffix, &["trace T4"]);
    found(Bug::SnapshotKeepsState, &["trace T6"]);
}

#[test]
fn finds_bugs_of_membership() {
    found(Bug::JointIgnored, &["trace T1", "trace T9"]);
    found(Bug::TwoChanges, &["trace T13"]);
    found(Bug::OldConfigAfterTruncation, &["trace T13"]);
}
