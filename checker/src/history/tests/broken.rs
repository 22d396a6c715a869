//! Every way in which a file can be wrong, with its place and words.

use std::io::{self, BufReader, Read};

use insta::assert_snapshot;

use crate::history::History;
use crate::history::read::LINE_BYTES_MAX;

const INVOKE: &str = r#"{"index":0,"time":100,"type":"invoke","process":3,"f":"write","key":"k3","value":17,"node":"n2"}"#;
const OK: &str = r#"{"index":1,"time":200,"type":"ok","process":3,"f":"write","key":"k3","value":17,"node":"n2"}"#;
const INFO: &str = r#"{"index":1,"time":200,"type":"info","process":3,"f":"write","key":"k3","value":17,"error":{"kind":"timeout"}}"#;

/// The error of a file of these lines.
fn error(lines: &[&str]) -> String {
    let text = lines.join("\n") + "\n";
    History::read(text.as_bytes()).expect_err("the file is broken").to_string()
}

#[test]
fn garbage_in_the_middle() {
    assert_snapshot!(error(&[INVOKE, "what is this", OK]), @"line 2, column 1: this is no event of a history: expected a JSON object");
    assert_snapshot!(error(&[INVOKE, r#"{"index":1,"time":200,"#, OK]), @"line 2, column 22: this is no event of a history: EOF while parsing a value");
    assert_snapshot!(error(&[INVOKE, "  [1,2]", OK]), @"line 2, column 3: this is no event of a history: expected a JSON object");
    assert_snapshot!(error(&[INVOKE, &format!("{OK} {OK}")]), @"line 2, column 94: this is no event of a history: trailing characters");
}

#[test]
fn a_line_that_lacks_or_misspells_a_field() {
    assert_snapshot!(error(&[r#"{"time":1,"type":"invoke","f":"read"}"#]), @"line 1, column 37: this is no event of a history: missing field `process`");
    assert_snapshot!(error(&[r#"{"time":-1,"type":"invoke","process":1,"f":"read"}"#]), @"line 1, column 10: this is no event of a history: invalid value: integer `-1`, expected u64");
    assert_snapshot!(error(&[r#"{"time":1,"type":"begin","process":1,"f":"read"}"#]), @"line 1, column 24: this is no event of a history: unknown variant `begin`, expected one of `invoke`, `ok`, `fail`, `info`");
    assert_snapshot!(error(&[r#"{"time":1,"type":"invoke","process":-4,"f":"read"}"#]), @"line 1, column 38: this is no event of a history: invalid type: integer `-4`, expected a process number or a name");
    assert_snapshot!(error(&[r#"{"time":1,"type":"invoke","process":1,"f":"read","key":[1]}"#]), @"line 1, column 56: this is no event of a history: invalid type: sequence, expected a string or an integer");
}

#[test]
fn two_open_operations_of_one_process() {
    let second = r#"{"index":1,"time":150,"type":"invoke","process":3,"f":"read","key":"k3"}"#;
    assert_snapshot!(error(&[INVOKE, "", second]), @"line 3: process 3 invokes `read` while its operation of line 1 is open; a process does one thing at a time");
}

#[test]
fn a_process_that_goes_on_after_an_unknown_outcome() {
    assert_snapshot!(error(&[INVOKE, INFO, INVOKE]), @"line 3: process 3 invokes `write` although its operation ended in `info` on line 2; its client must go on under a new process number");
    assert_snapshot!(error(&[INVOKE, INFO, OK]), @"line 3: `ok` of process 3, which has no open operation");
}

#[test]
fn a_completion_of_nothing() {
    assert_snapshot!(error(&[OK]), @"line 1: `ok` of process 3, which has no open operation");
    assert_snapshot!(error(&[INFO]), @"line 1: `info` of process 3, which has no open operation");
    assert_snapshot!(error(&[INVOKE, OK, OK]), @"line 3: `ok` of process 3, which has no open operation");
}

#[test]
fn a_completion_of_something_else() {
    assert_snapshot!(error(&[INVOKE, r#"{"time":200,"type":"ok","process":3,"f":"read","key":"k3"}"#]), @"line 2: process 3 completes function `read`, but its invocation on line 1 says `write`");
    assert_snapshot!(error(&[INVOKE, r#"{"time":200,"type":"fail","process":3,"f":"write","key":"k4"}"#]), @"line 2: process 3 completes key `k4`, but its invocation on line 1 says `k3`");
}

#[test]
fn a_completion_before_its_invocation() {
    assert_snapshot!(error(&[INVOKE, r#"{"time":99,"type":"ok","process":3,"f":"write","key":"k3"}"#]), @"line 2: process 3 completes at 99 ns, before its invocation on line 1 at 100 ns");
}

#[test]
fn a_process_whose_time_runs_backwards() {
    let earlier = r#"{"time":199,"type":"invoke","process":3,"f":"read","key":"k3"}"#;
    assert_snapshot!(error(&[INVOKE, OK, earlier]), @"line 3: process 3 invokes `read` at 199 ns, before its completion on line 2 at 200 ns; a process does one thing at a time");
    let equal = earlier.replace("199", "200");
    assert!(History::read([INVOKE, OK, &equal].join("\n").as_bytes()).is_ok());
}

#[test]
fn a_read_that_says_ok_and_not_what_it_saw() {
    let read = INVOKE.replace("write", "read").replace("17", "null");
    let seen = OK.replace("write", "read").replace(r#""value":17,"#, "");
    assert_snapshot!(error(&[&read, &seen]), @"line 2: process 3 completes its `read` of line 1 with `ok` and without a `value`; a read that saw nothing says `null`");
    let null = OK.replace("write", "read").replace("17", "null");
    assert!(History::read([&read[..], &null].join("\n").as_bytes()).is_ok());
}

#[test]
fn a_write_that_is_acknowledged_as_another() {
    assert_snapshot!(error(&[INVOKE, &OK.replace("17", "18")]), @"line 2: process 3 completes its `write` with value 18, but its invocation on line 1 says 17");
    assert!(History::read([INVOKE, &OK.replace("17", "17.0")].join("\n").as_bytes()).is_ok());
}

#[test]
fn a_header_of_another_version() {
    assert_snapshot!(error(&[r#"{"squall_history":2,"run":"later"}"#, INVOKE]), @"line 1: the history has format version 2, this program reads version 1; use the program that wrote it");
    assert_snapshot!(error(&[r#"{"squall_history":"one"}"#]), @r#"line 1, column 23: this is no event of a history: invalid type: string "one", expected u32"#);
}

#[test]
fn a_header_that_comes_late() {
    assert_snapshot!(error(&[INVOKE, OK, r#"{"squall_history":1}"#]), @"line 3, column 20: this is no event of a history: missing field `time`");
}

#[test]
fn a_time_that_is_none() {
    assert_snapshot!(error(&[r#"{"time":9223372036854775807,"type":"invoke","process":1,"f":"read"}"#]), @"line 1: time 9223372036854775807 ns is past 2^62 ns; times are nanoseconds since the start of the run");
}

#[test]
fn a_value_without_end() {
    let deep = "[".repeat(100_000) + &"]".repeat(100_000);
    let line = format!(r#"{{"time":1,"type":"invoke","process":1,"f":"write","value":{deep}}}"#);
    assert_snapshot!(error(&[&line]), @"line 1: the value is nested deeper than 128 levels");
}

#[test]
fn too_many_nodes() {
    let lines: Vec<String> = (0..70_000)
        .map(|number| format!(r#"{{"time":1,"type":"invoke","process":{number},"f":"read","node":"n{number}"}}"#))
        .collect();
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    assert_snapshot!(error(&lines), @"line 65536: more than 65535 different nodes");
}

#[test]
fn a_line_without_end_is_refused_before_it_is_stored() {
    for byte in [b'a', b' '] {
        let endless = INVOKE.as_bytes().chain(&b"\n"[..]).chain(io::repeat(byte));
        let error = History::read(BufReader::new(endless)).unwrap_err();
        assert_eq!(error.to_string(), format!("line 2: the line is longer than {LINE_BYTES_MAX} bytes"));
    }
}

#[test]
fn hostile_names_are_spelled_out_in_the_message() {
    let invoke = r#"{"time":1,"type":"invoke","process":1,"f":"\u001b[2J","key":"k"}"#;
    assert_snapshot!(error(&[invoke, invoke]), @r"line 2: process 1 invokes `\u{1b}[2J` while its operation of line 1 is open; a process does one thing at a time");
    assert_snapshot!(error(&[r#"{"time":1,"type":"\u001b[2J"}"#]), @r"line 1, column 28: this is no event of a history: unknown variant `\u{1b}[2J`, expected one of `invoke`, `ok`, `fail`, `info`");
}

#[test]
fn a_source_that_breaks() {
    struct Broken;
    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::other("the disk is gone"))
        }
    }
    let source = INVOKE.as_bytes().chain(&b"\n"[..]).chain(Broken);
    assert_snapshot!(History::read(BufReader::new(source)).unwrap_err(), @"line 2: the history cannot be read: the disk is gone");
}
