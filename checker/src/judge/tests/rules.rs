//! Each rule both ways.

use serde_json::json;

use super::{Story, good_but, judged};
use crate::history::History;
use crate::judge::{Class, Traces, judge};
use crate::trace::NodeTraces;
use crate::verdict::Verdict::{self, *};

/// The story's verdict, and that the finding which decides it says `words`.
#[track_caller]
fn check(story: &Story, verdict: Verdict, class: Option<Class>, words: &str) {
    let judgement = judged(story);
    assert_eq!(judgement.verdict, verdict, "{:#?}", judgement.findings);
    let decisive = judgement.decisive().expect("some rule has something to say");
    assert_eq!(decisive.class, class, "{decisive:?}");
    assert!(decisive.message.contains(words), "`{words}` is not in {decisive:?}");
}

#[track_caller]
fn check_vacuous(change: impl FnOnce(&mut Story), words: &str) {
    check(&good_but(change), Vacuous, None, words);
}

#[test]
fn a_good_run_is_valid_and_says_what_was_proved() {
    check(&Story::good(), Valid, None, "the only key is linearizable");
    assert_eq!(judged(&Story::good()).notes, Vec::<String>::new());
}

#[test]
fn a_stale_read_is_invalid_with_its_witness() {
    let story = good_but(Story::stale_read);
    check(&story, Invalid, Some(Class::Safety), "key `stale` is not linearizable");
    let witness = judged(&story).witness.expect("a violation has a witness");
    assert_eq!(witness.key.as_deref(), Some("stale"));
}

#[test]
fn a_key_with_a_foreign_operation_is_unknown_with_the_reason() {
    check(
        &good_but(Story::foreign_operation),
        Unknown,
        None,
        "key `foreign` could not be judged: `pop` on line",
    );
}

#[test]
fn a_value_written_twice_is_judged_like_any_other() {
    check(&good_but(Story::value_written_twice), Valid, None, "all 2 keys are linearizable");
}

#[test]
fn an_unasked_exit_is_a_crash_with_the_log_tail() {
    let story = good_but(|story| story.exit("n2", 1_500, false));
    check(
        &story,
        Invalid,
        Some(Class::Crash),
        "node n2 ended by itself at 1.500 s: signal 6 (SIGABRT)",
    );
    assert_eq!(judged(&story).findings[0].evidence, ["n2: panicked"]);
}

#[test]
fn an_exit_that_a_fault_explains_is_no_crash() {
    check(&good_but(|story| story.exit("n2", 1_500, true)), Valid, None, "");
}

#[test]
fn a_node_that_is_never_ready_at_the_start_is_a_harness_error_even_if_it_ended() {
    let never_ready = good_but(|story| story.not_ready("n1", "start"));
    check(
        &never_ready,
        HarnessError,
        None,
        "node n1 was not ready within 0.400 s of its start",
    );
    assert_eq!(
        judged(&never_ready).findings[0].evidence,
        ["last answer of n1 at 0.001 s: refused", "n1: up", "n1: down"]
    );
    let ended_too = good_but(|story| {
        story.not_ready("n1", "start");
        story.exit("n1", 2, false);
    });
    check(&ended_too, HarnessError, None, "node n1 was not ready");
}

#[test]
fn a_node_that_does_not_recover_after_a_proved_heal_has_lost_liveness() {
    let story = good_but(|story| story.not_ready("n3", "recovery"));
    check(
        &story,
        Invalid,
        Some(Class::Liveness),
        "node n3 was not ready within 0.400 s of the last heal",
    );
}

#[test]
fn liveness_is_not_judged_if_the_harness_was_held_up() {
    let story = good_but(|story| {
        story.not_ready("n3", "recovery");
        story.finding("stall", 700, json!({"worst_ms": 200}));
    });
    check(
        &story,
        Unknown,
        None,
        "liveness cannot be judged: the harness itself was held up for 200 ms",
    );
    check(
        &good_but(|story| story.finding("stall", 700, json!({"worst_ms": 5_000}))),
        Valid,
        None,
        "",
    );
}

#[test]
fn liveness_is_not_judged_before_the_heal_is_proved() {
    let during = good_but(|story| {
        story.not_ready("n3", "recovery");
        story.fault(
            2,
            "partition",
            &[
                (1_100, "asked"),
                (1_101, "applied"),
                (1_110, "probed"),
                (2_499, "heal-asked"),
                (2_499, "healed"),
            ],
        );
        story.recovery = 0;
    });
    check(&during, Unknown, None, "fault 2 (partition) was still in force");
    let unproved = good_but(|story| {
        story.not_ready("n3", "recovery");
        story.stage("healed", |healed| healed["probe"] = json!(null));
    });
    check(&unproved, Unknown, None, "the heal of fault 1 (partition) was not proved");
}

#[test]
fn a_failed_restart_counts_only_when_no_other_fault_is_in_force() {
    let alone = good_but(|story| story.ready("n2", "restart", false, 2_900));
    check(
        &alone,
        Invalid,
        Some(Class::Liveness),
        "node n2 was not ready within 0.400 s of its restart",
    );
    check(&good_but(|story| story.ready("n2", "restart", false, 1_900)), Valid, None, "");
}

#[test]
fn a_refuted_heal_is_a_harness_error_and_no_loss_of_liveness() {
    let story = good_but(|story| {
        story.stage("healed", |healed| healed["probe"] = json!({"ok": false, "saw": "still cut"}));
        story.not_ready("n3", "recovery");
    });
    check(
        &story,
        HarnessError,
        None,
        "fault 1 (partition) was healed at 2.010 s and our own probe still sees it",
    );
    assert_eq!(judged(&story).findings[0].evidence, [r#"probe: {"ok":false,"saw":"still cut"}"#]);
}

#[test]
fn a_recording_without_an_end_is_unknown() {
    check(
        &good_but(|story| story.end = None),
        Unknown,
        None,
        "the recording has no end: the harness was killed",
    );
    let broken = good_but(|story| {
        story.end = None;
        story.stale_read();
    });
    check(&broken, Invalid, Some(Class::Safety), "`stale`");
}

#[test]
fn a_failure_of_the_harness_is_told_with_its_reason() {
    let story = good_but(|story| story.end = Some("harness-error"));
    check(&story, HarnessError, None, "the harness could not go on at 4.000 s");
    assert_eq!(judged(&story).findings[0].evidence, ["disk full"]);
}

#[test]
fn an_interrupted_run_is_judged_as_its_prefix_without_the_rule_of_vacuity() {
    let story = good_but(|story| {
        story.end = Some("interrupted");
        story.warm_up = 4;
        story.recovery = 0;
        story.final_reads.clear();
        story.without_stage("probed");
    });
    let judgement = judged(&story);
    assert_eq!((judgement.verdict, judgement.interrupted), (Valid, true));
    assert!(!judged(&Story::good()).interrupted);
}

#[test]
fn a_run_that_stopped_at_a_violation_is_judged_as_its_prefix_and_says_how_soon_it_stopped() {
    let stopped = good_but(|story| {
        story.end = Some("violation");
        story.stale_read();
        story.recovery = 0;
        let seen = json!({"key": "stale", "operations": [1, 2], "completed_ns": 2_605_000_000_u64});
        story.finding("violation", 2_616, seen);
    });
    let judgement = judged(&stopped);
    assert_eq!((judgement.verdict, judgement.interrupted), (Invalid, false));
    assert_eq!(
        judgement.notes,
        ["stopped at the first violation seen online, 11 ms after its last operation had returned at 2.605 s"]
    );
}

#[test]
fn a_violation_that_only_the_online_check_saw_is_unknown_and_names_the_disagreement() {
    let story = good_but(|story| {
        story.end = Some("violation");
        story.finding("violation", 2_616, json!({"key": "k\u{1b}1", "operations": [], "completed_ns": 1}));
    });
    check(&story, Unknown, None, "the online check saw a violation of key");
    assert!(!judged(&story).findings[0].message.contains('\u{1b}'));
}

#[test]
fn vacuity_a_asks_for_a_hundred_operations_before_and_after_the_faults() {
    check_vacuous(
        |story| story.warm_up = 99,
        "99 conclusive operations before the first fault, at least 100 are needed",
    );
    check_vacuous(|story| story.recovery = 96, "99 conclusive operations after the last heal");
    check(&good_but(|story| story.recovery = 97), Valid, None, "");
    check_vacuous(|story| story.without_stage("healed"), "fault 1 (partition) was never seen healed");
}

#[test]
fn vacuity_a_asks_for_a_hundred_operations_in_all_without_faults() {
    let calm = |warm_up| {
        good_but(|story| {
            story.header.as_mut().unwrap()["requested"] = json!([]);
            story.marks.retain(|mark| mark.1 != "nemesis");
            story.warm_up = warm_up;
            story.recovery = 0;
        })
    };
    check(&calm(97), Valid, None, "");
    check(&calm(96), Vacuous, None, "99 conclusive operations in all");
}

#[test]
fn vacuity_b_asks_for_a_final_read_of_every_key_and_from_every_live_node() {
    check_vacuous(|story| story.final_reads.truncate(2), "node n3 is alive and answered no final read");
    check_vacuous(
        |story| story.final_reads[0].1 = "fail",
        "node n1 is alive and answered no final read",
    );
    let none = good_but(|story| story.final_reads.clear());
    check(&none, Vacuous, None, "key k was written and has no successful final read");
    assert!(judged(&none).findings[1].message.starts_with("nodes n1, n2, n3 are alive"));
}

#[test]
fn vacuity_b_asks_nothing_of_a_node_that_is_down() {
    let down = good_but(|story| {
        story.exit("n3", 1_500, true);
        story.marks.retain(|mark| !(mark.3["node"] == "n3" && mark.3["at"] == "recovery"));
        story.final_reads.truncate(2);
    });
    check(&down, Valid, None, "");
    let back = good_but(|story| {
        story.exit("n3", 1_500, true);
        story.final_reads.truncate(2);
    });
    check(&back, Vacuous, None, "node n3 is alive and answered no final read");
}

#[test]
fn vacuity_c_asks_that_each_requested_kind_bit() {
    let requested = |story: &mut Story| story.header.as_mut().unwrap()["requested"] = json!(["partition", "kill"]);
    check_vacuous(requested, "kill was requested and never injected");
    check_vacuous(
        |story| {
            requested(story);
            story.marks.push((
                1_200,
                "nemesis",
                "kill",
                json!({"id": 2, "stage": "skipped", "reason": "target already down"}),
            ));
        },
        "kill was requested and every injection was skipped: target already down",
    );
}

#[test]
fn a_skip_alone_is_not_vacuous() {
    let skipped = |story: &mut Story| {
        story.marks.push((
            1_200,
            "nemesis",
            "partition",
            json!({"id": 2, "stage": "skipped", "reason": "no leader"}),
        ));
    };
    check(&good_but(skipped), Valid, None, "");
}

#[test]
fn vacuity_d_asks_again_of_a_fault_that_is_probed_before_its_heal() {
    let again = |first: bool, last: bool| {
        move |story: &mut Story| {
            story.stage("probed", |probed| probed["probe"]["ok"] = json!(first));
            let probed = json!({"id": 1, "stage": "probed", "probe": {"ok": last}});
            story.marks.push((1_990, "nemesis", "partition", probed));
            story.marks.sort_by_key(|mark| mark.0);
        }
    };
    check(&good_but(again(true, true)), Valid, None, "");
    check_vacuous(
        again(true, false),
        "fault 1 (partition) was seen to bite, but its probe before the heal saw no effect",
    );
    for last in [true, false] {
        check_vacuous(again(false, last), "fault 1 (partition) did nothing");
    }
}

#[test]
fn vacuity_d_asks_for_a_positive_probe_of_every_injection() {
    check_vacuous(
        |story| story.stage("probed", |probed| probed["probe"]["ok"] = json!(false)),
        "fault 1 (partition) did nothing",
    );
    check_vacuous(
        |story| story.stage("probed", |probed| probed["probe"] = json!({})),
        "fault 1 (partition) did nothing",
    );
    check_vacuous(|story| story.without_stage("probed"), "fault 1 (partition) was never probed");
    check_vacuous(
        |story| story.fault(2, "partition", &[(1_300, "asked")]),
        "fault 2 (partition) was begun and never came into force",
    );
}

/// The good story, whose fault came to this state of the world; nobody asks anything while it is in force.
fn idle_under(state: serde_json::Value) -> Story {
    good_but(|story| story.stage("applied", |applied| applied["resolved"] = json!({"resolved": {"state": state}})))
}

#[test]
fn vacuity_e_asks_for_an_operation_during_faults_that_leave_a_majority_together() {
    let words = "no operation during the faults";
    let one_cut_off = json!({"cuts": [["n1", "n3"], ["n2", "n3"]]});
    for state in [one_cut_off.clone(), json!({"down": ["n2"]}), json!({"paused": ["n1"]})] {
        check(&idle_under(state), Vacuous, None, words);
    }
    let busy = |time_ms: u64| {
        let mut story = idle_under(one_cut_off.clone());
        for (time_ms, kind) in [(time_ms, "invoke"), (time_ms + 1, "info")] {
            story
                .operations
                .push(json!({"time": time_ms * 1_000_000, "type": kind, "process": 40, "f": "read", "key": "k", "value": null}));
        }
        story
    };
    check(&busy(1_500), Valid, None, "");
    check(&busy(2_050), Vacuous, None, words);
}

#[test]
fn vacuity_e_asks_nothing_where_silence_may_be_honest() {
    for lost in [
        json!({"cuts": [["n1", "n2"], ["n2", "n3"], ["n3", "n1"]]}),
        json!({"down": ["n1"], "paused": ["n2"]}),
        json!({"cuts": [["clients", "n1"]]}),
        json!({"slowed": ["n1"]}),
    ] {
        check(&idle_under(lost), Valid, None, "");
    }
    // Both clients wait for an answer all along.
    let mut held_up = idle_under(json!({"down": ["n2"]}));
    for process in [40, 41] {
        for (time_ms, kind) in [(990_u64, "invoke"), (2_100, "info")] {
            held_up
                .operations
                .push(json!({"time": time_ms * 1_000_000, "type": kind, "process": process, "f": "read", "key": "k", "value": null}));
        }
    }
    check(&held_up, Valid, None, "");
    // Two faults of which each leaves a majority, but not both.
    let mut both = idle_under(json!({"down": ["n1"]}));
    for (time_ms, stage) in [
        (1_001, "asked"),
        (1_002, "applied"),
        (1_003, "probed"),
        (2_000, "heal-asked"),
        (2_010, "healed"),
    ] {
        let value = json!({"id": 2, "stage": stage, "probe": {"ok": true}, "resolved": {"resolved": {"state": {"down": ["n2"]}}}});
        both.marks.push((time_ms, "nemesis", "partition", value));
    }
    check(&both, Valid, None, "");
}

#[test]
fn a_foreign_history_is_vacuous_only_if_nothing_in_it_concludes() {
    let foreign = |change: &dyn Fn(&mut Story)| {
        good_but(|story| {
            story.header = None;
            story.marks.clear();
            story.end = None;
            story.final_reads.clear();
            story.warm_up = 0;
            story.recovery = 0;
            change(story);
        })
    };
    check(
        &foreign(&|_| {}),
        Vacuous,
        None,
        "no operation in this history says what it saw or did",
    );
    check(&foreign(&|story| story.warm_up = 1), Valid, None, "the only key is linearizable");
    let refused = |story: &mut Story| {
        for kind in ["invoke", "fail"] {
            story
                .operations
                .push(json!({"index": 0, "time": 5, "type": kind, "process": 1, "f": "write", "key": "k", "value": 1}));
        }
    };
    check(&foreign(&refused), Vacuous, None, "no operation in this history");
}

#[test]
fn a_header_without_a_run_only_states_the_clock_of_a_foreign_history() {
    let foreign = good_but(|story| {
        story.header = Some(json!({"squall_history": 1, "clock": {"kind": "monotonic", "origin_ns": 0, "error_ns": 1_000}}));
        story.marks.clear();
        story.end = None;
        story.final_reads.clear();
        story.warm_up = 3;
        story.recovery = 0;
    });
    let read = History::read(foreign.text().replace("final", "other").as_bytes()).unwrap();
    assert_eq!(read.clock_error_ns(), 1_000);
    check(&foreign, Valid, None, "the only key is linearizable");
}

#[test]
fn a_line_of_ours_that_cannot_be_read_is_unknown_and_named() {
    for (process, f, value) in [
        ("harness", "exit", json!({"node": "n1", "expected": "no"})),
        ("harness", "end", json!({"reason": "tired"})),
        ("harness", "ready", json!(null)),
        ("nemesis", "partition", json!({"stage": "applied", "probe": {}})),
        ("nemesis", "partition", json!({"id": 1, "stage": 5})),
        ("nemesis", "partition", json!("begun")),
    ] {
        let story = good_but(|story| story.marks.push((20, process, f, value.clone())));
        check(&story, Unknown, None, &format!("`{f}` of the {process}, cannot be read"));
    }
}

#[test]
fn a_stage_that_is_missing_between_others_is_named() {
    for stage in ["asked", "applied", "heal-asked"] {
        let story = good_but(|story| story.without_stage(stage));
        let judgement = judged(&story);
        let words = format!("fault 1 (partition) has no stage `{stage}` in the history");
        assert_eq!(judgement.verdict, Vacuous);
        assert!(
            judgement.findings.iter().any(|finding| finding.message == words),
            "{:#?}",
            judgement.findings
        );
    }
    let unhealed = good_but(|story| {
        story.without_stage("applied");
        story.without_stage("healed");
    });
    check(&unhealed, Vacuous, None, "was never seen healed");
}

#[test]
fn an_interrupted_run_in_which_nothing_concludes_is_vacuous() {
    let story = good_but(|story| {
        story.end = Some("interrupted");
        story.warm_up = 0;
        story.recovery = 0;
        story.final_reads.clear();
    });
    check(&story, Vacuous, None, "no operation in this history says what it saw or did");
    assert!(judged(&story).interrupted);
}

#[test]
fn operations_of_processes_with_names_are_counted_in_a_note() {
    let story = good_but(|story| {
        for kind in ["invoke", "ok", "info"] {
            story
                .operations
                .push(json!({"time": 5, "type": kind, "process": "p0", "f": "read", "key": 1, "value": 1}));
        }
    });
    let judgement = judged(&story);
    assert_eq!(judgement.verdict, Valid);
    assert_eq!(
        judgement.notes,
        ["2 lines say `invoke`, `ok` or `fail` of a process with a name and no number, and were passed over: clients are numbers"]
    );
}

#[test]
fn a_function_of_somebody_else_is_no_write() {
    let story = good_but(|story| {
        for kind in ["invoke", "ok"] {
            story
                .operations
                .push(json!({"time": 2_600_000_000_u64, "type": kind, "process": 40, "f": "f0", "key": "other", "value": 1}));
        }
    });
    let findings = judged(&story).findings;
    assert!(
        findings.iter().all(|finding| !finding.message.contains("was written")),
        "{findings:#?}"
    );
}

#[test]
fn a_cut_header_alone_is_said() {
    let history = History::read(&br#"{"squall_history":1,"run":"r"#[..]).unwrap();
    let judgement = judge(&history, Traces::Missing);
    assert_eq!(judgement.verdict, Vacuous);
    assert_eq!(judgement.notes, ["line 1, the only one, is cut after 28 bytes and was left out"]);
}

#[test]
fn a_cut_last_line_is_counted_and_said() {
    let text = Story::good().text() + r#"{"index":9999,"ti"#;
    let judgement = judge(&History::read(text.as_bytes()).unwrap(), Traces::AtHand(&NodeTraces::default()));
    assert_eq!(judgement.verdict, Valid);
    assert_eq!(judgement.notes.len(), 1);
    assert!(
        judgement.notes[0].ends_with("is cut after 17 bytes and was left out"),
        "{:?}",
        judgement.notes
    );
}

#[test]
fn lines_of_strangers_are_passed_over() {
    let story = good_but(|story| {
        story.marks.push((10, "nemesis", "start-partition", json!("majority")));
        story
            .marks
            .push((15, "nemesis", "partition", json!({"id": 9, "stage": "unheard-of"})));
        story.marks.push((20, "harness", "unheard-of", json!({"node": "n1"})));
        story
            .marks
            .push((30, "somebody", "exit", json!({"node": "n1", "expected": false, "status": "gone"})));
    });
    check(&story, Valid, None, "");
}

#[test]
fn a_fault_outside_the_declared_model_is_said() {
    let mut story = Story::good();
    let header = story.header.as_mut().expect("a good story has one");
    header["outside_the_fault_model"] = json!(["clock", "torn"]);
    let judgement = judged(&story);
    assert_eq!(judgement.notes, ["outside the declared fault model: clock, torn"]);
    assert_eq!(judged(&Story::good()).notes, Vec::<String>::new());
}

#[test]
fn faults_that_the_machine_refused_are_said_by_their_reasons() {
    let mut story = Story::good();
    let header = story.header.as_mut().expect("a good story has one");
    header["left_out"] = json!({"cpu": "no group", "eio": "no disk", "fsync": "no disk"});
    assert_eq!(
        judged(&story).notes,
        [
            "left out, and so not tested: eio, fsync: no disk",
            "left out, and so not tested: cpu: no group",
        ]
    );
}

#[test]
fn a_node_whose_clock_no_fault_reaches_is_named_and_others_are_not() {
    let mut story = Story::good();
    let watch = |node, n_past: u64| json!({"node": node, "monotonic_offset_s": 7, "n_past": n_past, "n_calls": 300, "program": "past"});
    story.finding("clock-watch", 400, watch("n1", 0));
    story.finding("clock-watch", 401, watch("n2", 12));
    story.finding(
        "clock-watch",
        402,
        json!({"node": "n3", "monotonic_offset_s": 0, "n_past": 0, "n_calls": 0, "reason": "no permission"}),
    );
    story.finding(
        "clock-watch",
        403,
        json!({"node": "n4", "monotonic_offset_s": 0, "n_past": 0, "n_calls": 9, "n_unreached": 2, "program": "jvm"}),
    );
    assert_eq!(
        judged(&story).notes,
        [
            "n2 reads the clock past the vDSO (`past`): clock faults do not reach it; 12 such readings in 300 system calls",
            "n3: whether clock faults reach it was not found out: no permission",
            "n4 runs 2 of its processes without the redirect (`jvm`): clock faults do not reach them",
        ]
    );
}
