//! K4 and K7: reads that meet no writer, and replicas that never agree.

use std::collections::BTreeSet;

use super::notation::{NODES, SOUND, WEAK, texts};
use super::{check, settled};
use crate::trace::{Calm, Conditions, NodeTraces, Promise};

#[test]
fn k4_a_read_meets_the_last_put_that_was_answered_before_it() {
    let story = "
        n1 assign 1 k 1@n1 17
        n1 put k 1@n1 17
        n2 put k 1@n1 17
        n1 put-done 1 k ok 1@n1 n1,n2
        n3 get 1 k n4=- n5=-
        n3 get-done 1 k ok - -";
    check(SOUND, story, &["trace K4"]);
    check(WEAK, story, &[]);
    check(SOUND, &story.replace("put-done 1 k ok", "put-done 1 k unknown"), &[]);
    check(SOUND, &story.replace("get-done 1 k ok", "get-done 1 k failed"), &[]);
    check(
        SOUND,
        &story.replace("n3 get 1 k", "n3 get 1 j").replace("get-done 1 k", "get-done 1 j"),
        &[],
    );
    let met = story.replace("n4=- n5=-", "n2=1@n1 n3=-").replace(
        "n3 get-done 1 k ok - -",
        "n3 write-back 1 k 1@n1 yes\n n3 put k 1@n1 17\n n3 get-done 1 k ok 1@n1 n2,n3",
    );
    check(SOUND, &met, &[]);
}

/// A replica that missed a write, judged after a quiet time up to this moment.
fn after(story: &str, anti_entropy: bool, until_ms: u64, live: &[&str]) -> Vec<(&'static str, Promise)> {
    let mut traces = NodeTraces::default();
    for (node, text) in texts(WEAK, story) {
        let promise = if anti_entropy {
            r#""anti_entropy_ms":100,"mono_offset_ns""#
        } else {
            r#""mono_offset_ns""#
        };
        traces.add(node, Ok(text.replace(r#""mono_offset_ns""#, promise).as_bytes()));
    }
    let live: BTreeSet<String> = live.iter().map(|node| (*node).to_owned()).collect();
    let calm = Some(Calm {
        from_ns: 10_000_000,
        until_ns: until_ms * 1_000_000,
        live,
        spares: BTreeSet::new(),
    });
    let conditions = Conditions { calm, ..settled() };
    let violations = traces.check(&conditions);
    violations.iter().map(|violation| (violation.rule, violation.promise)).collect()
}

#[test]
fn k7_replicas_agree_some_time_after_the_last_heal() {
    let behind = "
        n1 put k 1@n1 17
        n2 put k 1@n1 17
        n1 put k 2@n1 18";
    let broken = [("trace K7", Promise::Liveness)];
    assert_eq!(after(behind, true, 2_810, &NODES), broken);
    assert_eq!(after(behind, true, 2_809, &NODES), [], "too short to say");
    assert_eq!(after(behind, false, 60_000, &NODES), [], "nobody promised it");
    assert_eq!(after(behind, true, 60_000, &NODES[1..]), [], "a node was down");
    let repaired = format!("{behind}\n n2 put k 2@n1 18");
    assert_eq!(after(&repaired, true, 60_000, &NODES), []);
}
