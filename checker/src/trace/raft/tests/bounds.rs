//! T14, T15, and what bounds the memory.

use std::collections::BTreeSet;
use std::fmt::Write;

use super::writer::{Begin, Item, Writer, next_state};
use super::{ELECTED, SERVED, broken, check, judged, names, settled, texts};
use crate::trace::raft::RaftRules;
use crate::trace::raft::breach::Sight;
use crate::trace::raft::event::Role;
use crate::trace::raft::slots::SLOTS_MAX;
use crate::trace::{Calm, Conditions, Promise};

/// A row is a millisecond, so a second of health lines needs their clock pushed.
fn health(per_second: &[u64], appends: u64) -> Vec<&'static str> {
    let mut story = String::from(ELECTED);
    let mut messages = 0;
    for sent in per_second {
        messages += sent;
        writeln!(story, "n1 health 0 {messages} {appends}").expect("a text can grow");
    }
    let mut texts = texts(&story);
    let text = texts.get_mut("n1").expect("a node of the story");
    let mut second = 0u64;
    let spread = text.lines().map(|line| {
        let mut line: serde_json::Value = serde_json::from_str(line).expect("a line is JSON");
        if line["kind"] == "health" {
            second += 1;
            line["mono_ns"] = (second * 1_000_000_000).into();
        }
        format!("{line}\n")
    });
    *text = spread.collect();
    names(&broken(&texts))
}

#[test]
fn t14_a_flood_of_messages_is_found_and_a_burst_is_not() {
    let flood = 60_000;
    assert_eq!(health(&[100, flood, flood, flood, flood, flood, flood], 0), ["trace T14"]);
    assert_eq!(health(&[100, flood, flood, flood, flood, 100, flood, flood], 0), [""; 0]);
    assert_eq!(health(&[3_000; 30], 0), [""; 0]);
}

#[test]
fn t14_appending_the_same_entries_over_and_over_is_found() {
    assert_eq!(health(&[1], 10_001), ["trace T14"]);
    assert_eq!(health(&[1], 10_000), [""; 0]);
}

fn calm_story(rows: &str) -> RaftRules {
    judged(&texts(&format!("{SERVED}{rows}")))
}

fn calm(from_ms: u64, until_ms: u64) -> Conditions {
    let live: BTreeSet<String> = ["n1", "n2", "n3"].into_iter().map(str::to_owned).collect();
    let ns = |ms: u64| ms * 1_000_000;
    Conditions {
        calm: Some(Calm {
            from_ns: ns(from_ms),
            until_ns: ns(until_ms),
            live,
            spares: BTreeSet::new(),
        }),
        ..settled()
    }
}

#[test]
fn t15_a_leader_is_there_soon_after_the_heal() {
    let deposed = calm_story("n1 follower 1");
    let violations = deposed.violations(&calm(100, 10_000));
    assert_eq!(names(&violations), ["trace T15"]);
    assert_eq!(violations[0].promise, Promise::Liveness);
    assert_eq!(violations[0].message, "no node was leader within 5000 ms after the last heal");
    assert_eq!(
        names(&deposed.violations(&calm(5, 10_000))),
        ["trace T15"],
        "n3 has applied nothing"
    );
    assert_eq!(names(&deposed.violations(&calm(100, 5_099))), [""; 0], "too short to say");
    assert_eq!(names(&deposed.violations(&settled())), [""; 0]);
}

#[test]
fn t15_spare_nodes_are_no_part_of_the_majority_but_one_of_them_may_lead() {
    let mut rules = RaftRules::new(["n1", "n2", "n3", "n4", "n5", "n6", "n7"]);
    for (node, text) in &texts(&format!("{SERVED}n1 follower 1")) {
        rules.feed(node, text.as_bytes());
    }
    rules.finish();
    let messages = |rules: &RaftRules, spares: &[&str]| -> Vec<String> {
        let mut conditions = calm(100, 10_000);
        let named = spares.iter().map(|spare| (*spare).to_owned());
        conditions.calm.as_mut().expect("a calm").spares = named.collect();
        rules
            .violations(&conditions)
            .into_iter()
            .map(|violation| violation.message)
            .collect()
    };
    let spares = ["n4", "n5", "n6", "n7"];
    let no_leader = "no node was leader within 5000 ms after the last heal";
    assert_eq!(messages(&rules, &spares), [no_leader]);
    let of_seven = messages(&rules, &[]);
    assert!(
        !of_seven.iter().any(|message| message == no_leader),
        "three of seven are no majority: {of_seven:?}"
    );
    let sight = Sight {
        node: 3,
        line: 1,
        mono_ns: 50_000_000,
    };
    rules.machine.progress.role(sight, Role::Leader);
    assert_eq!(messages(&rules, &spares), [""; 0], "n4 leads");
}

#[test]
fn t15_live_voters_catch_up() {
    let behind = calm_story("");
    let violations = behind.violations(&calm(100, 10_000));
    assert_eq!(names(&violations), ["trace T15"]);
    assert_eq!(
        violations[0].message,
        "n3 had applied index 0 only, 5000 ms after the last heal, although index 2 was committed before it"
    );
    let caught_up = calm_story("n3 append 1.1 noop\n n3 append 2.1 a\n n3 commit 2.1 leader 1\n n3 apply 1.1 noop\n n3 apply 2.1 a c1:1");
    assert_eq!(names(&caught_up.violations(&calm(100, 10_000))), [""; 0]);
    let mut without_n3 = calm(100, 10_000);
    without_n3.calm.as_mut().expect("a calm").live.remove("n3");
    assert_eq!(names(&behind.violations(&without_n3)), [""; 0], "a node that is down owes nothing");
}

#[test]
fn what_every_node_has_applied_is_forgotten() {
    let rules = long(9_000, 3, SLOTS_MAX);
    assert_eq!(names(&rules.violations(&settled())), [""; 0]);
    assert!(rules.machine.slots.get(4_000).is_none() && rules.machine.slots.get(8_999).is_some());
    assert!(rules.machine.nodes.iter().all(|node| node.log.base_index() > 4_000));
    assert_eq!(rules.notes(), [""; 0]);
}

#[test]
fn a_node_that_stays_away_bounds_the_memory_and_is_told_of() {
    let rules = long(2_010, 2, 2_000);
    assert_eq!(names(&rules.violations(&settled())), [""; 0]);
    assert!(rules.machine.slots.get(100).is_none());
    let [note] = &rules.notes()[..] else { panic!() };
    assert!(
        note.starts_with("a node stayed behind for so long that what it did up to index "),
        "{note}"
    );
}

/// n1 leads n2, and n3 if all three take part, through so many entries.
fn long(n_entries: u64, n_nodes: usize, n_slots_max: usize) -> RaftRules {
    let nodes = ["n1", "n2", "n3"];
    let voters: Vec<String> = nodes.map(str::to_owned).into();
    let mut rules = RaftRules::new(nodes);
    rules.machine.slots.n_max = n_slots_max;
    let mut writers: Vec<Writer> = nodes.map(Writer::new).into();
    for writer in &mut writers {
        let log = &[];
        let (term, vote, base, commit, applied, state) = (0, None, (0, 0), 0, 0, 0);
        let (voters, voters_old, reads) = (&voters[..], None, "read-index");
        writer.begin(&Begin {
            term,
            vote,
            base,
            log,
            commit,
            applied,
            state,
            voters,
            voters_old,
            reads,
        });
        writer.stamp = 1;
        writer.hard(1, Some("n1"));
    }
    writers[0].stamp = 2;
    writers[0].role("leader", 1, (0, 0));
    let mut state = 0;
    let item = Item {
        term: 1,
        command: "x".into(),
    };
    for index in 1..=n_entries {
        for writer in &mut writers[..n_nodes] {
            writer.stamp = 10 * index;
            writer.append(index, &item, false);
            writer.fsync(index, 1, false);
        }
        state = next_state(state, index, "x", true);
        for (writer, by) in writers[..n_nodes].iter_mut().zip(["count", "leader", "leader"]) {
            writer.stamp = 10 * index + if by == "count" { 1 } else { 2 };
            writer.commit(index, 1, by, 1);
            writer.apply(index, &item, state, None, true);
        }
        if index % 1_000 == 0 || index == n_entries {
            for writer in &mut writers {
                rules.feed(&writer.node, std::mem::take(&mut writer.text).as_bytes());
            }
            rules.finish();
        }
    }
    rules
}

#[test]
fn an_index_beyond_all_bounds_is_not_kept() {
    check(
        "n1 append 1.1 a\n n1 commit 18446744073709551615.1 leader 1",
        &["trace T6", "trace T9"],
    );
    check("n1 append 18446744073709551615.1 a", &["trace T4"]);
    check(
        "n1 fsync 18446744073709551615.1\n n1 truncate 18446744073709551615 1",
        &["trace T4"],
    );
}
