//! Runs that are judged while their nodes write: what is told then stays true, and nothing is told that only a missing line makes so.

use std::collections::BTreeMap;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::model::{Bug, World};
use super::{SERVED, judged, names, settled, texts};
use crate::trace::raft::{Alarm, RaftRules};

const N_STEPS: usize = 800;

/// What leaves a node, so that others may rest on all that stands before it.
const LEAVING: [&str; 3] = [r#""kind":"send""#, r#""kind":"ack""#, r#""kind":"read""#];

/// A node's trace, and how far the rounds have read it.
struct Writing<'a> {
    node: &'a str,
    lines: Vec<(u64, &'a str)>,
    n_read: usize,
}

impl<'a> Writing<'a> {
    fn of(node: &'a str, text: &'a str) -> Writing<'a> {
        let timed = |line: &'a str| {
            let event: serde_json::Value = serde_json::from_str(line).expect("a line is JSON");
            (event["mono_ns"].as_u64().expect("a time"), line)
        };
        let lines = text.split_inclusive('\n').map(timed).collect();
        Writing { node, lines, n_read: 0 }
    }

    /// What a round reads that begins at this moment: all that was written by then, but for what a pause holds between its stamp and its
    /// write; and a little that is written while the round goes on.
    fn read(&mut self, begun_ns: u64, chance: &mut ChaCha8Rng) -> String {
        let stamped = self.lines.partition_point(|(mono_ns, _)| *mono_ns <= begun_ns);
        let until = if chance.random_bool(0.3) {
            let leaves = |(_, line): &(u64, &str)| LEAVING.iter().any(|kind| line.contains(kind));
            self.lines[..stamped].iter().rposition(leaves).map_or(0, |place| place + 1)
        } else {
            (stamped + chance.random_range(0..8)).min(self.lines.len())
        };
        let begin = self.n_read;
        self.n_read = until.max(begin);
        self.lines[begin..self.n_read].iter().map(|(_, line)| *line).collect()
    }

    fn rest(&mut self) -> String {
        let begin = std::mem::replace(&mut self.n_read, self.lines.len());
        self.lines[begin..].iter().map(|(_, line)| *line).collect()
    }
}

/// Judges these traces in rounds. Returns the first alarm, and the rules at the end.
pub(super) fn in_rounds(texts: &BTreeMap<&str, String>, seed: u64) -> (Option<Alarm>, RaftRules) {
    let mut chance = ChaCha8Rng::seed_from_u64(seed);
    let mut nodes: Vec<Writing<'_>> = texts.iter().map(|(node, text)| Writing::of(node, text)).collect();
    let end_ns = nodes.iter().filter_map(|node| Some(node.lines.last()?.0)).max().expect("lines");
    let mut rules = RaftRules::new(texts.keys().copied());
    let mut alarm = None;
    let mut begun_ns = 0;
    while begun_ns < end_ns {
        begun_ns += chance.random_range(0..=end_ns / 20);
        for node in &mut nodes {
            rules.feed(node.node, node.read(begun_ns, &mut chance).as_bytes());
        }
        rules.settle(begun_ns);
        alarm = alarm.or_else(|| rules.alarm());
    }
    for node in &mut nodes {
        rules.feed(node.node, node.rest().as_bytes());
    }
    rules.finish();
    (alarm, rules)
}

/// In run 44 a pause meets a node in the middle of what it says of its restart: what it does not say yet it has all the same.
#[test]
fn correct_runs_raise_no_alarm_however_their_traces_are_read() {
    for seed in 0..200 {
        let (texts, _) = World::new(seed, Bug::None).run(N_STEPS);
        let (alarm, rules) = in_rounds(&texts, seed);
        assert_eq!(alarm, None, "seed {seed}");
        assert_eq!(rules.violations(&settled()), [], "seed {seed}");
        assert_eq!(rules.n_events(), judged(&texts).n_events(), "seed {seed}");
    }
}

/// How many of these runs raise an alarm. Whatever is told is confirmed by the whole files.
#[track_caller]
fn n_alarms(bug: Bug) -> usize {
    let is_alarmed = |seed: &u64| {
        let (texts, _) = World::new(*seed, bug).run(N_STEPS);
        let (alarm, rules) = in_rounds(&texts, *seed);
        let whole = names(&judged(&texts).violations(&settled()));
        for rule in names(&rules.violations(&settled()))
            .into_iter()
            .chain(alarm.as_ref().map(|alarm| alarm.rule))
        {
            assert!(whole.contains(&rule), "{bug:?}, seed {seed}: {rule} is not in {whole:?}");
        }
        alarm.is_some()
    };
    (0..60).filter(is_alarmed).count()
}

#[test]
fn bugs_that_show_in_what_is_written_are_told_while_nodes_write() {
    for bug in [
        Bug::VoteNotDurable,
        Bug::TwoVotes,
        Bug::TermNotDurable,
        Bug::FsyncedIsLost,
        Bug::PrevNotCompared,
        Bug::AlwaysTruncates,
        Bug::CommitWithoutMin,
        Bug::RetryTakesEffect,
        Bug::SnapshotTooFar,
        Bug::AnswerByIndex,
    ] {
        assert!(n_alarms(bug) > 0, "{bug:?}");
    }
}

/// Half of the acknowledgements, or none: which lines are missing is known when no node writes any more.
#[test]
fn a_commit_without_a_majority_is_left_to_the_end() {
    let story = "n1 vote 1 n1\n n2 vote 1 n1\n n1 leader 1\n n1 append 1.1 noop\n n1 fsync 1.1\n n1 commit 1.1 count 1";
    let rules = judged(&texts(story));
    assert_eq!(names(&rules.violations(&settled())), ["trace T9"]);
    assert_eq!(rules.alarm(), None);
}

#[test]
fn an_alarm_names_the_rule_that_was_broken_first_and_the_moment_of_its_last_event() {
    let rules = judged(&texts(&format!("{SERVED} n2 vote 1 n3\n n3 vote 2 n3\n n3 vote 1 -")));
    let alarm = rules.alarm().expect("n2 voted twice");
    assert_eq!((alarm.rule, alarm.mono_ns), ("trace T2", 17_000_000));
    assert_eq!(alarm.message, "n2 voted twice in term 1: for n1 and for n3");
}

/// The clocks say which events a round may judge.
#[test]
fn nothing_is_told_while_clocks_disagree() {
    let story = format!("{SERVED} n2 vote 1 n3\n n1 vote 3 -");
    let mut texts = texts(&story);
    let text = texts.get_mut("n1").expect("a node of the story");
    *text = text.replace("\"mono_ns\":18000000", "\"mono_ns\":1000000");
    let rules = judged(&texts);
    assert_eq!(names(&rules.violations(&settled())), ["trace T2"]);
    assert_eq!(rules.alarm(), None);
}

#[test]
fn events_of_a_clock_that_runs_ahead_wait_and_are_counted() {
    let texts = texts(SERVED);
    let mut rules = RaftRules::new(texts.keys().copied());
    for (node, text) in &texts {
        rules.feed(node, text.as_bytes());
    }
    let n_all = rules.n_waiting();
    rules.settle(0);
    let n_starts = 3;
    assert_eq!((rules.n_events(), rules.n_waiting()), (n_starts, n_all - 3));
    rules.settle(u64::MAX);
    assert_eq!(rules.n_waiting(), 0);
}
