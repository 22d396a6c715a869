//! The reader: what it takes, what it passes over, and what it refuses with its line.

use std::io;

use super::notation::{SOUND, texts};
use crate::history::read::LINE_BYTES_MAX;
use crate::trace::{Conditions, NodeTraces};

const STORY: &str = "
    n1 put k 1@n1 17
    n1 restart
    n1 found k 1@n1 17
    n1 get 1 k n1=1@n1 n2=1@n1";

fn read(text: &[u8]) -> NodeTraces {
    let mut traces = NodeTraces::default();
    traces.add("n1", Ok(text));
    traces
}

fn n_events(traces: &NodeTraces) -> usize {
    traces.nodes.values().map(|trace| trace.events.len()).sum()
}

/// The trace of n1 in `STORY`.
fn text() -> String {
    texts(SOUND, STORY).remove("n1").expect("n1 is a node of every story")
}

#[track_caller]
fn check_error(text: &str, expected: &str) {
    let traces = read(text.as_bytes());
    let errors: Vec<String> = traces.errors().map(|(_, error)| error.to_string()).collect();
    assert_eq!(errors, [expected], "{text}");
    assert!(traces.has("n1"), "a trace that cannot be read is not a missing one");
}

/// The node's own test prints the same file: it holds writer and reader together.
#[test]
fn reads_every_kind_of_the_nodes_golden_trace() {
    let golden = include_str!("../../../../node/tests/golden/trace.jsonl");
    let traces = read(golden.as_bytes());
    assert_eq!(traces.errors().count(), 0);
    // Hints and repairs count towards nothing, so no rule asks for them.
    let is_asked_for = |line: &&str| {
        !["hint_store", "hint_send", "repair"]
            .iter()
            .any(|kind| line.contains(&format!(r#""kind":"{kind}""#)))
    };
    assert_eq!(
        n_events(&traces),
        golden.lines().filter(is_asked_for).count(),
        "no other kind is passed over"
    );
}

#[test]
fn a_last_line_that_a_kill_cut_is_left_out() {
    let text = text();
    let n_lines = text.lines().count();
    for end in 0..=text.len() {
        let traces = read(&text.as_bytes()[..end]);
        assert_eq!(traces.errors().count(), 0, "{end}");
        assert_eq!(n_events(&traces), text[..end].matches('\n').count());
    }
    assert_eq!(n_events(&read(text.as_bytes())), n_lines);
}

#[test]
fn kinds_and_fields_of_a_later_version_are_passed_over() {
    let text = text().replace(r#""kind":"get""#, r#""kind":"hint_store","op":7"#);
    assert_eq!(n_events(&read(text.as_bytes())), 4, "with the start of each life, without the hint");
    assert_eq!(read(text.as_bytes()).errors().count(), 0);
    let text = self::text().replace(r#""kind""#, r#""zone":{"a":[1]},"kind""#);
    assert_eq!(read(text.as_bytes()).errors().count(), 0);
    let not_durable = self::text().replace(r#""durable":true"#, r#""durable":false"#);
    assert_eq!(n_events(&read(not_durable.as_bytes())), 3, "what is not durable yet is no evidence");
}

#[test]
fn garbage_is_refused_with_its_line_and_what_stands_before_it_is_kept() {
    let text = text();
    let garbled = text.replacen("\"kind\":\"put\"", "\"kind\":\"put", 1);
    let traces = read(garbled.as_bytes());
    assert_eq!(n_events(&traces), 1);
    let (node, error) = traces.errors().next().expect("an error");
    assert_eq!((node, error.line), ("n1", 2));
    check_error("[1]\n", "line 1: this is no event of a trace: expected a JSON object");
    check_error("\n", "line 1: this is no event of a trace: expected a JSON object");
    check_error("{}\n", "line 1: this is no event of a trace: missing field `node`");
    assert_eq!(read(b"\xff\xfe\n{\n").errors().count(), 1);
}

#[test]
fn missing_and_doubled_lines_are_noticed() {
    let text = text();
    let lines: Vec<&str> = text.lines().collect();
    let without = |gone: usize| {
        let kept = lines.iter().enumerate().filter(|(place, _)| *place != gone);
        kept.map(|(_, line)| format!("{line}\n")).collect::<String>()
    };
    check_error(&without(0), "line 1: incarnation 1 does not begin with its `start`");
    check_error(&without(2), "line 3: incarnation 2 does not begin with its `start`");
    check_error(&without(3), "line 4: event 2 follows event 0; lines are missing or doubled");
    check_error(
        &format!("{text}{}\n", lines[4]),
        "line 6: event 2 follows event 2; lines are missing or doubled",
    );
    check_error(&format!("{text}{}\n", lines[0]), "line 6: incarnation 1 follows incarnation 2");
}

#[test]
fn lines_and_operations_of_others_are_refused() {
    let text = text();
    let others = text.replace(r#""node":"n1","r""#, r#""node":"n2","r""#);
    check_error(&others, "line 1: the event is of node `n2`");
    for hostile in ["n2/2/1", "n1/1/1", "n1/2", "n1/2/x", "n1/2/1/1", "", "\\u001b[31m"] {
        let shown = hostile.replace("\\u001b", "\\u{1b}");
        check_error(
            &text.replace("n1/2/1", hostile),
            &format!("line 5: `{shown}` is no operation of this life of the node"),
        );
    }
}

#[test]
fn a_source_that_fails_is_an_error_of_its_node() {
    let mut traces = NodeTraces::default();
    traces.add("n1", Err::<&[u8], _>(io::Error::from(io::ErrorKind::PermissionDenied)));
    let (_, error) = traces.errors().next().expect("an error");
    assert_eq!(error.to_string(), "line 1: permission denied");
}

#[test]
fn a_line_without_end_is_not_stored() {
    let endless = io::BufReader::new(io::Read::take(io::repeat(b'x'), LINE_BYTES_MAX as u64 * 2));
    let mut traces = NodeTraces::default();
    traces.add("n1", Ok(endless));
    let (_, error) = traces.errors().next().expect("an error");
    assert_eq!(error.to_string(), format!("line 1: the line is longer than {LINE_BYTES_MAX} bytes"));
}

#[test]
fn hostile_numbers_do_no_harm() {
    let hostile = text()
        .replace(r#""n":3,"r":2,"w":2"#, r#""n":18446744073709551615,"r":0,"w":18446744073709551615"#)
        .replace("[1,", "[18446744073709551615,")
        .replace(r#""mono_offset_ns":0"#, r#""mono_offset_ns":-9223372036854775808"#)
        .replace(r#""lamport":1"#, r#""lamport":18446744073709551615"#);
    let traces = read(hostile.as_bytes());
    assert_eq!(traces.errors().count(), 0);
    assert_eq!(
        traces
            .check(&Conditions {
                origin_ns: u64::MAX,
                ..super::settled()
            })
            .len(),
        0
    );
}
