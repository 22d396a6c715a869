//! Thousands of runs of the model: correct ones break nothing, and every planted bug is found by a rule that it should break.

use std::collections::{BTreeMap, BTreeSet};

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::Value;

use super::super::RaftRules;
use super::model::{Bug, World};
use super::settling::in_rounds;
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

/// The same traces with the stamps of each life of each node moved by what `shift` says: what nodes look like that did not know, when they began, how far
/// the stamps of others had come.
fn restamped<'n>(texts: &BTreeMap<&'n str, String>, mut shift: impl FnMut() -> u64) -> BTreeMap<&'n str, String> {
    let mut shifts: BTreeMap<(String, u64), u64> = BTreeMap::new();
    let mut nodes: BTreeMap<String, String> = BTreeMap::new();
    let line = |line: &str| -> Value { serde_json::from_str(line).expect("the writer writes JSON") };
    for event in texts.values().flat_map(|text| text.lines()).map(line) {
        let node = event["node"].as_str().expect("a name").to_owned();
        if let Some(member) = event["member"].as_str() {
            nodes.insert(member.to_owned(), node.clone());
        }
        let life = event["incarnation"].as_u64().expect("a number");
        shifts.entry((node, life)).or_insert_with(&mut shift);
    }
    let moved = |node: &str, life: u64, stamp: u64| stamp + shifts.get(&(node.to_owned(), life)).copied().unwrap_or(0);
    let restamp = |text: &str| {
        let mut event = line(text);
        let life = event["incarnation"].as_u64().expect("a number");
        let stamp = moved(
            event["node"].as_str().expect("a name"),
            life,
            event["lamport"].as_u64().expect("a stamp"),
        );
        event["lamport"] = stamp.into();
        if let Some(id) = event["id"].as_str() {
            let parts: Vec<&str> = id.split('/').collect();
            let [member, life, stamp] = parts[..] else { panic!("{id}") };
            let (life, stamp) = (life.parse().expect("a number"), stamp.parse().expect("a number"));
            let node = nodes.get(member).map_or(member, String::as_str);
            event["id"] = format!("{member}/{life}/{}", moved(node, life, stamp)).into();
        }
        event.to_string() + "\n"
    };
    texts
        .iter()
        .map(|(node, text)| (*node, text.lines().map(restamp).collect()))
        .collect()
}

/// A message is taken after it was sent, whatever the stamps say; and no rule rests on more than that.
#[test]
fn correct_runs_break_nothing_whatever_the_stamps_of_each_life() {
    let mut rng = ChaCha8Rng::seed_from_u64(16);
    for seed in 0..200 {
        let (texts, _) = World::new(seed, Bug::None).run(N_STEPS);
        let texts = restamped(&texts, || rng.random_range(0..4_000));
        let (alarm, in_rounds) = in_rounds(&texts, seed);
        assert_eq!(alarm, None, "seed {seed}");
        for rules in [judged(&texts), side_by_side(&texts, &mut rng), in_rounds] {
            let violations = rules.violations(&settled());
            assert_eq!(super::names(&violations), [""; 0], "seed {seed}: {violations:#?}");
            assert_eq!(rules.n_waiting(), 0, "seed {seed}");
        }
    }
}

/// The rules after these files, read a few bytes at a time, each at its own pace.
fn side_by_side(texts: &BTreeMap<&str, String>, rng: &mut ChaCha8Rng) -> RaftRules {
    let mut rules = RaftRules::new(texts.keys().copied());
    let mut rest: BTreeMap<&str, &[u8]> = texts.iter().map(|(node, text)| (*node, text.as_bytes())).collect();
    while !rest.is_empty() {
        let nodes: Vec<&str> = rest.keys().copied().collect();
        let node = nodes[rng.random_range(0..nodes.len())];
        let (piece, left) = rest[node].split_at(rest[node].len().min(rng.random_range(1..4_000)));
        rules.feed(node, piece);
        match left {
            [] => rest.remove(node),
            _ => rest.insert(node, left),
        };
        rules.advance(|node| rest.contains_key(node));
    }
    rules
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
