//! Damaged files: what is said of the node, and that the rest is judged.

use std::collections::BTreeMap;
use std::io;

use super::{SERVED, names, settled, texts};
use crate::trace::raft::RaftRules;
use crate::trace::{Conditions, NodeTraces};

/// A story with messages, so that each node's words rest on the other's.
const TALKED: &str = "
    n1 vote 1 n1
    n1 send n2 vote 1
    n2 receive n1 2 vote 1
    n2 vote 1 n1
    n2 send n1 vote_reply 1 yes
    n1 receive n2 5 vote_reply 1
    n1 leader 1
    n1 append 1.1 noop
    n1 fsync 1.1
    n1 send n2 append 1
    n2 receive n1 10 append 1
    n2 append 1.1 noop
    n2 fsync 1.1
    n2 send n1 append_reply 1 yes
    n1 receive n2 14 append_reply 1
    n1 commit 1.1 count 1
    n1 send n2 heartbeat 1
    n2 receive n1 17 heartbeat 1
    n2 commit 1.1 leader 1
    n3 vote 1 n2
    n3 vote 1 n3
";

/// The names of the rules that are broken and the doubts, by node.
fn told(texts: &BTreeMap<&str, String>, conditions: &Conditions) -> (Vec<&'static str>, Vec<String>) {
    let mut rules = RaftRules::new(["n1", "n2", "n3"]);
    for (node, text) in texts {
        rules.feed(node, text.as_bytes());
    }
    rules.finish();
    let errors = rules.errors().map(|(node, error)| format!("{node}: {error}"));
    let doubts = rules
        .doubts(conditions)
        .into_iter()
        .map(|doubt| format!("{}: {}", doubt.node, doubt.reason));
    (names(&rules.violations(conditions)), errors.chain(doubts).collect())
}

#[track_caller]
fn check_damaged(change: impl Fn(&str, &str) -> Option<String>, rules: &[&str], doubts: &[&str]) {
    let texts = texts(TALKED)
        .into_iter()
        .filter_map(|(node, text)| Some((node, change(node, &text)?)));
    let (found, said) = told(&texts.collect(), &settled());
    assert_eq!(
        (&found[..], &said.iter().map(String::as_str).collect::<Vec<_>>()[..]),
        (rules, doubts)
    );
}

/// The first lines of a text.
fn head(text: &str, n_lines: usize) -> String {
    text.split_inclusive('\n').take(n_lines).collect()
}

#[test]
fn whole_traces_leave_no_doubt() {
    check_damaged(|_, text| Some(text.to_owned()), &["trace T2"], &[]);
}

/// Without its last lines a voter seems not to have fsynced, or not to have voted.
#[test]
fn a_tail_that_somebody_cut_off_is_noticed_by_what_the_node_sent() {
    for kept in 3..6 {
        check_damaged(
            |node, text| Some(if node == "n2" { head(text, kept) } else { text.to_owned() }),
            &["trace T2"],
            &["n2: lines at the end of incarnation 1 are missing: n1, line 9, received a message that no line says was sent"],
        );
    }
    check_damaged(
        |node, text| Some(if node == "n1" { head(text, 4) } else { text.to_owned() }),
        &["trace T2"],
        &["n1: lines at the end of incarnation 1 are missing: n2, line 9, received a message that no line says was sent"],
    );
}

#[test]
fn a_node_without_a_trace_is_missed_by_those_it_spoke_to() {
    check_damaged(
        |node, text| (node != "n1").then(|| text.to_owned()),
        &["trace T2"],
        &["n1: all lines of incarnation 1 are missing: n2, line 9, received a message that no line says was sent"],
    );
    check_damaged(|node, text| (node != "n3").then(|| text.to_owned()), &[], &[]);
}

#[test]
fn garbage_ends_a_nodes_trace_and_the_rest_is_judged() {
    let garbage = |text: &str| {
        format!(
            "{}garbage\n{}",
            head(text, 4),
            text.split_inclusive('\n').skip(4).collect::<String>()
        )
    };
    check_damaged(
        |node, text| Some(if node == "n2" { garbage(text) } else { text.to_owned() }),
        &["trace T2"],
        &["n2: line 5: this is no event of a trace: expected a JSON object"],
    );
}

#[test]
fn a_gap_ends_a_nodes_trace_and_the_rest_is_judged() {
    let gap = |text: &str| format!("{}{}", head(text, 2), text.split_inclusive('\n').skip(3).collect::<String>());
    check_damaged(
        |node, text| Some(if node == "n2" { gap(text) } else { text.to_owned() }),
        &["trace T2"],
        &["n2: line 3: event 3 follows event 1; lines are missing or doubled"],
    );
}

#[test]
fn a_clock_that_goes_back_is_told_and_rules_on_time_are_not_asked() {
    let back = |text: &str| text.replace("\"mono_ns\":9000000", "\"mono_ns\":12000000");
    let mut texts = texts(SERVED);
    let text = texts.get_mut("n2").expect("a node of the story");
    *text = back(text);
    assert_eq!(told(&texts, &settled()), (vec!["trace T9"], vec![]));
    let text = texts.get_mut("n2").expect("a node of the story");
    *text = text.replace("\"mono_ns\":14000000", "\"mono_ns\":4000000");
    let doubt = "n2: its clock went back by 8000000 ns at line 6: no rule on time was asked of it";
    assert_eq!(told(&texts, &settled()), (vec![], vec![doubt.to_owned()]));
}

#[test]
fn a_message_that_came_before_it_left_shows_clocks_that_disagree() {
    let late = |text: &str| text.replace("\"mono_ns\":2000000,", "\"mono_ns\":3500000,");
    let texts: BTreeMap<_, _> = texts(TALKED)
        .into_iter()
        .map(|(node, text)| (node, if node == "n1" { late(&text) } else { text }))
        .collect();
    let (_, said) = told(&texts, &settled());
    assert_eq!(
        said,
        [
            "n1: a message sent to n2 came 500000 ns before it left, by their clocks: no rule on time was asked of it",
            "n2: a message received from n1 came 500000 ns before it left, by their clocks: no rule on time was asked of it"
        ]
    );
}

/// A stale read is no evidence between clocks that disagree, however late that shows.
#[test]
fn a_stale_read_between_clocks_that_disagree_is_not_reported() {
    let story = format!("{SERVED} n3 read 0 0 lease 15\n n3 send n1 vote 9\n n1 receive n3 18 vote 9");
    let mut texts = texts(&story);
    assert_eq!(told(&texts, &settled()).0, ["trace T12"]);
    let text = texts.get_mut("n1").expect("a node of the story");
    *text = text.replace("\"mono_ns\":19000000", "\"mono_ns\":17500000");
    assert_eq!(told(&texts, &settled()).0, [""; 0]);
}

#[test]
fn of_nodes_that_still_ran_a_missing_event_means_nothing() {
    let mut texts = texts(SERVED);
    let text = texts.get_mut("n2").expect("a node of the story");
    *text = head(text, 2);
    assert_eq!(told(&texts, &settled()).0, ["trace T9"]);
    assert_eq!(told(&texts, &Conditions::default()).0, [""; 0]);
}

/// Drained in any pieces, cut anywhere, and judged on the way: the same word.
#[test]
fn judged_while_it_grows_a_trace_gets_the_same_word() {
    let texts = texts(TALKED);
    let whole = told(&texts, &settled());
    for piece in [1, 7, 64, 333] {
        let mut rules = RaftRules::new(texts.keys().copied());
        for round in 0..=texts.values().map(|text| text.len() / piece).max().unwrap_or(0) {
            for (node, text) in &texts {
                let begin = (round * piece).min(text.len());
                rules.feed(node, &text.as_bytes()[begin..(begin + piece).min(text.len())]);
            }
            // All bytes up to here were written by then; here nothing is known of when.
            rules.settle(0);
        }
        rules.finish();
        assert_eq!((names(&rules.violations(&settled())), vec![]), whole, "{piece}");
    }
}

#[test]
fn events_are_judged_once_everything_that_they_rest_on_was_drained() {
    let texts = texts(TALKED);
    let mut rules = RaftRules::new(texts.keys().copied());
    rules.feed("n1", texts["n1"].as_bytes());
    rules.settle(0);
    assert_eq!(rules.n_events(), 1, "the start alone was stamped by then");
    rules.feed("n2", texts["n2"].as_bytes());
    rules.feed("n3", texts["n3"].as_bytes());
    rules.settle(19_000_000);
    assert_eq!(names(&rules.violations(&settled())), [""; 0]);
    rules.settle(21_000_000);
    assert_eq!(names(&rules.violations(&settled())), ["trace T2"]);
}

/// Files read side by side, one of them not there, one not readable.
#[test]
fn files_are_read_side_by_side() {
    let texts = texts(TALKED);
    let sources = |missing: &str, kind: io::ErrorKind| {
        let sources = texts.iter().map(|(node, text)| {
            let source = if *node == missing { Err(kind.into()) } else { Ok(text.as_bytes()) };
            ((*node).to_owned(), source)
        });
        NodeTraces::read(sources.collect::<Vec<_>>())
    };
    let whole = sources("", io::ErrorKind::NotFound);
    assert_eq!(names(&whole.check(&settled())), ["trace T2"]);
    assert!(whole.has("n3") && whole.errors().next().is_none());
    let missing = sources("n3", io::ErrorKind::NotFound);
    assert_eq!(names(&missing.check(&settled())), [""; 0]);
    assert!(!missing.has("n3") && missing.errors().next().is_none());
    let refused = sources("n2", io::ErrorKind::PermissionDenied);
    assert_eq!(names(&refused.check(&settled())), ["trace T2"]);
    assert_eq!(refused.errors().map(|(node, _)| node).collect::<Vec<_>>(), ["n2"]);
}
