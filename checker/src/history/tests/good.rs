//! What a good file becomes, and a file that was cut.

use crate::history::event::EventType;
use crate::history::mark::{EndReason, Finding, Stage};
use crate::history::operation::{Function, Outcome};
use crate::history::values::ValueId;
use crate::history::{CutLine, History};

const FILE: &str = r#"{"squall_history":1,"run":"r-7","seed":7,"clock":{"kind":"monotonic","origin_ns":5,"error_ns":0},"requested":["partition"],"new":1}
{"index":0,"time":1203,"type":"invoke","process":3,"f":"write","key":"k3","value":17,"node":"n2"}
{"index":1,"time":1300,"type":"invoke","process":4,"f":"read","key":"k3","value":null,"node":"n1"}
{"index":2,"time":1400,"type":"info","process":"nemesis","f":"partition","value":{"id":4,"stage":"applied","probe":{"ok":true}},"more":[1]}
{"index":3,"time":2044,"type":"ok","process":3,"f":"write","key":"k3","value":17,"node":"n2"}
{"index":4,"time":2050,"type":"ok","process":4,"f":"read","key":"k3","value":17,"node":"n1"}
{"index":5,"time":2060,"type":"invoke","process":4,"f":"cas","key":"k3","value":[1, 2]}
{"index":6,"time":2070,"type":"fail","process":4,"f":"cas","key":"k3","value":[1,2],"error":{"kind":"mismatch","seen":null}}
{"index":7,"time":2080,"type":"invoke","process":3,"f":"append","key":"l\u00e4","value":"é"}
{"index":8,"time":2090,"type":"info","process":3,"f":"append","error":"timeout","unknown":{"deep":[true]}}
{"index":9,"time":2095,"type":"invoke","process":13,"f":"read","key":"k3"}
{"index":10,"time":2100,"type":"info","process":"harness","f":"end","value":{"reason":"complete"}}
"#;

fn read(text: &str) -> History {
    History::read(text.as_bytes()).expect("the file is good")
}

#[test]
fn reads_every_kind_of_line() {
    let history = read(FILE);
    assert_eq!((history.lines, history.cut_line), (12, None));
    let header = history.header.as_ref().unwrap();
    assert_eq!(
        (header.run.as_str(), header.seed, header.requested.len(), header.clock.origin_ns),
        ("r-7", 7, 1, 5)
    );
    assert_eq!(header.extra["new"], 1);
    assert_eq!(history.keys.iter().collect::<Vec<_>>(), ["k3", "lä"]);

    let [write, read, cas, append, open] = history.operations[..] else {
        panic!("{:?}", history.operations)
    };
    assert_eq!((write.process, write.f, write.outcome), (3, Function::Write, Outcome::Ok));
    assert_eq!((write.invoked_ns, write.returned_ns()), (1203, Some(2044)));
    assert_eq!((write.invoke_line(), write.complete_line()), (2, Some(5)));
    assert_eq!(
        (history.value(write.argument).as_ref(), history.node(&write), history.key(&write)),
        ("17", Some("n2"), Some("k3"))
    );

    assert_eq!((read.argument, read.observed()), (ValueId::NULL, Some(write.argument)));

    assert_eq!((cas.outcome, history.error_kind(&cas)), (Outcome::Fail, Some("mismatch")));
    assert_eq!(
        (history.value(cas.argument).as_ref(), cas.observed()),
        ("[1,2]", Some(ValueId::NULL)),
        "null was seen"
    );

    assert_eq!(
        (history.function(&append), append.outcome, append.returned_ns()),
        ("append", Outcome::Unknown, None)
    );
    assert_eq!(
        (append.is_open(), append.observed(), history.error_kind(&append)),
        (false, None, Some("timeout"))
    );
    assert_eq!(history.value(append.argument), "\"é\"");

    assert_eq!((open.outcome, open.is_open(), open.returned_ns()), (Outcome::Unknown, true, None));
}

#[test]
fn keeps_marks_whole_and_reads_them_in_our_words() {
    let history = read(FILE);
    let [fault, end] = &history.marks[..] else {
        panic!("{:?}", history.marks)
    };
    assert_eq!((fault.line, fault.event.kind, fault.event.time), (4, EventType::Info, 1400));
    assert_eq!(fault.event.extra["more"], serde_json::json!([1]));
    let stage = fault.fault_stage().unwrap();
    assert_eq!((stage.id, stage.stage), (4, Stage::Applied));
    assert_eq!(fault.finding(), None);
    assert_eq!(
        end.finding(),
        Some(Finding::End {
            reason: EndReason::Complete,
            detail: None
        })
    );
    assert_eq!(end.fault_stage(), None);
}

#[test]
fn every_prefix_of_a_file_is_a_history_and_says_if_it_was_cut_within_a_line() {
    for length in 0..FILE.len() {
        let prefix = &FILE.as_bytes()[..length];
        let history = History::read(prefix).unwrap_or_else(|error| panic!("the first {length} bytes: {error}"));
        let last = prefix.rsplit(|&byte| byte == b'\n').next().unwrap();
        let whole = last.is_empty() || serde_json::from_slice::<serde_json::Value>(last).is_ok();
        let line = prefix.iter().filter(|&&byte| byte == b'\n').count() as u64 + 1;
        assert_eq!(
            history.cut_line,
            (!whole).then_some(CutLine { line, bytes: last.len() }),
            "the first {length} bytes"
        );
    }
}

#[test]
fn a_file_cut_within_any_number_is_a_history() {
    let numbers = r#"{"time":1,"type":"invoke","process":1,"f":"write","value":[1500.25e-7,-1,true,"\ud83d\ude00"]}"#;
    for length in 1..numbers.len() {
        let history = History::read(&numbers.as_bytes()[..length]).unwrap_or_else(|error| panic!("the first {length} bytes: {error}"));
        assert_eq!(history.cut_line, Some(CutLine { line: 1, bytes: length }));
    }
    let header = r#"{"squall_history":1,"x":1500."#;
    assert!(read(header).cut_line.is_some());
}

#[test]
fn a_header_is_known_by_its_field_wherever_it_stands_and_after_a_byte_order_mark() {
    assert!(
        read(r#"{"clock":{"kind":"monotonic","origin_ns":0,"error_ns":9},"squall_history":1}"#)
            .header
            .is_some()
    );
    assert!(read(&format!("\u{feff}{FILE}")).header.is_some());
    let event = r#"{"time":1,"type":"invoke","process":1,"f":"write","value":{"squall_history":1}}"#;
    assert_eq!(read(event).operations.len(), 1);
}

#[test]
fn lines_of_the_nemesis_may_number_their_keys() {
    let history = read(r#"{"time":1,"type":"info","process":"nemesis","f":"start","key":5,"node":7,"value":null}"#);
    assert_eq!(history.marks[0].event.key.as_deref(), Some("5"));
}

#[test]
fn an_empty_file_is_a_history() {
    for text in ["", "\n", "\r\n\r\n", "   ", "{\"squall_history\":1}"] {
        let history = read(text);
        assert!(
            history.operations.is_empty() && history.marks.is_empty() && history.cut_line.is_none(),
            "{text:?}"
        );
    }
    assert!(read("{ \"squall_history\" : 1 }").header.is_some());
}

#[test]
fn tolerates_blank_lines_and_carriage_returns() {
    let history = read(&FILE.replace('\n', "\r\n\r\n  "));
    assert_eq!((history.operations.len(), history.marks.len()), (5, 2));
    assert_eq!(history.operations[0].invoke_line(), 3);
}

#[test]
fn numbers_are_good_keys_and_no_key_is_one_too() {
    let history = read(
        r#"{"time":1,"type":"invoke","process":1,"f":"read","key":5}
{"time":2,"type":"ok","process":1,"f":"read","key":"5","value":1.50}
{"time":3,"type":"invoke","process":1,"f":"read"}
{"time":4,"type":"ok","process":1,"f":"read","value":123456789012345678901234567890}"#,
    );
    assert_eq!(history.keys.iter().collect::<Vec<_>>(), ["5"]);
    assert_eq!(history.operations[1].key, None);
    let seen = |place: usize| history.value(history.operations[place].observed().unwrap()).into_owned();
    assert_eq!((seen(0).as_str(), seen(1).as_str()), ("1.5", "123456789012345678901234567890"));
}

#[test]
fn kinds_of_errors_are_bounded() {
    let lines: Vec<String> = (0..2_000)
        .flat_map(|number| {
            [
                format!(r#"{{"time":1,"type":"invoke","process":{number},"f":"read"}}"#),
                format!(r#"{{"time":1,"type":"fail","process":{number},"f":"read","error":{{"kind":"error {number}"}}}}"#),
            ]
        })
        .collect();
    let history = read(&lines.join("\n"));
    assert_eq!(history.error_kinds.len(), 1_001);
    assert_eq!(history.error_kind(&history.operations[999]), Some("error 999"));
    assert_eq!(history.error_kind(&history.operations[1_999]), Some("other"));
}
