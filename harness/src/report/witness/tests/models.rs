//! Pictures of what is no register: queues, sets, counters, locks and stores.

use squall_checker::history::History;
use squall_checker::linearizability::{Options, check_objects, first_violation_of};
use squall_checker::model::ModelChoice;

use super::super::Picture;
use super::assert_well_formed;

/// Rows `process f argument invoked returned seen`, times in milliseconds; `-` never returned.
fn picture(model: ModelChoice, rows: &str) -> Picture {
    let mut events: Vec<(u64, bool, String)> = Vec::new();
    for row in rows.lines().map(str::trim).filter(|row| !row.is_empty()) {
        let [process, f, argument, invoked, returned, seen] = row.split_whitespace().collect::<Vec<_>>()[..] else {
            panic!("{row}")
        };
        let mut push = |time_ms: &str, kind: &str, value: &str| {
            let time_ns = time_ms.parse::<u64>().unwrap() * 1_000_000;
            let line =
                format!(r#"{{"time":{time_ns},"type":"{kind}","process":{process},"f":"{f}","key":"k","value":{value},"node":"n1"}}"#);
            events.push((time_ns, kind != "invoke", line));
        };
        push(invoked, "invoke", argument);
        if returned != "-" {
            push(returned, "ok", seen);
        }
    }
    events.sort();
    let lines: Vec<String> = events.into_iter().map(|(.., line)| line).collect();
    let history = History::read(lines.join("\n").as_bytes()).unwrap();
    let results = check_objects(&history, model, &Options::default());
    let violation = first_violation_of(&results).expect("the rows break the rule");
    let witness = violation.witness(&history, model).expect("a violation has a witness");
    let picture = Picture::of(&history, &witness).expect("the witness is of this history");
    assert_well_formed(&picture.svg);
    assert_well_formed(picture.html.trim_start_matches("<!doctype html>\n"));
    picture
}

fn drawn(model: ModelChoice, rows: &str) -> String {
    let svg = picture(model, rows).svg;
    assert!(!svg.contains("value of"), "no ribbon without one value: {svg}");
    svg[..svg.find("<style>").expect("the picture has its style")].to_owned()
}

#[track_caller]
fn shows(model: ModelChoice, rows: &str, words: &[&str]) {
    let svg = drawn(model, rows);
    for word in words.iter().chain(&["class=\"cross\""]) {
        assert!(svg.contains(word), "`{word}` in {svg}");
    }
}

const OUT_OF_ORDER: &str = "1 enqueue 5 0 10 5 \n 2 enqueue 6 20 30 6 \n 3 dequeue null 40 50 6 \n 4 dequeue null 60 70 5";

#[test]
fn a_queue_out_of_order() {
    insta::assert_snapshot!(drawn(ModelChoice::Queue, OUT_OF_ORDER));
}

#[test]
fn a_queue_that_was_not_empty_has_the_gap_shaded() {
    let rows = "1 enqueue 9 0 5 9 \n 2 dequeue null 25 40 null";
    shows(
        ModelChoice::Queue,
        rows,
        &["9 was enqueued 20.0 ms before", "dequeue → nothing", "class=\"zone\"", "queue k"],
    );
}

#[test]
fn a_value_dequeued_too_soon() {
    let rows = "2 dequeue null 10 20 9 \n 1 enqueue 9 30 40 9";
    shows(ModelChoice::Queue, rows, &["enqueued only 10.0 ms later", "dequeue → 9"]);
}

#[test]
fn a_read_of_a_set_that_lacks_an_element_shows_only_what_counts() {
    let rows = "1 add 5 0 10 5 \n 1 add 6 11 12 6 \n 1 add 7 13 14 7 \n 2 read null 20 30 [6,7]";
    shows(ModelChoice::Set, rows, &["5 was added 10.0 ms before", "read → []", "set k"]);
}

#[test]
fn a_counter_and_its_bound() {
    let rows = "1 add 5 0 10 5 \n 2 add 7 0 12 7 \n 4 read null 20 30 6";
    shows(ModelChoice::Counter, rows, &["it was at least 12", "read → 6", "add 5"]);
}

#[test]
fn a_lock_held_twice() {
    let rows = "2 acquire null 100 110 null \n 3 acquire null 115 120 null \n 2 release null 130 140 null";
    shows(
        ModelChoice::Mutex,
        rows,
        &["process 2 acquired it 5.00 ms before", "acquire", "lock k"],
    );
}

#[test]
fn a_transaction_that_sees_half_of_another() {
    let rows = r#"1 txn [["w","x",1],["w","y",1]] 0 10 [["w","x",1],["w","y",1]]
        2 txn [["r","x",null],["r","y",null]] 20 30 [["r","x",1],["r","y",null]]"#;
    shows(
        ModelChoice::Kv,
        rows,
        &["no place left", "txn r x 1, r y null", "group of keys x, y"],
    );
}

#[test]
fn the_page_of_a_queue_names_it_and_its_values() {
    let html = picture(ModelChoice::Queue, OUT_OF_ORDER).html;
    for words in ["queue k is not linearizable", "5 came before 6", "The 4 operations that prove it"] {
        assert!(html.contains(words), "{words}: {html}");
    }
}
