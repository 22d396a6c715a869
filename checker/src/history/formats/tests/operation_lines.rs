//! One operation per line: what its lines mean, in the usual spelling and in others, and what is refused.

use std::io::{self, Read};

use insta::assert_snapshot;

use super::{import, refused, told};
use crate::history::formats::{Chunking, Format, ReadOptions, detect, operation_lines, read};
use crate::history::operation::MISMATCH;

const USUAL: &str = r#"{"proc":0,"f":"read","key":"17","arg":null,"res":null,"inv":10,"ret":20}
{"proc":1,"f":"write","key":"17","arg":1,"res":null,"inv":15,"ret":25}
{"proc":2,"f":"cas","key":"3","arg":[1,-2],"res":true,"inv":16,"ret":26}
{"proc":3,"f":"cas","key":"17","arg":[1,2],"res":false,"inv":17,"ret":27}
{"proc":0,"f":"read","key":"17","arg":null,"res":1,"inv":30,"ret":30}
{"proc":1,"f":"write","key":"17","arg":5,"res":null,"inv":31,"ret":null}
"#;

#[test]
fn each_line_is_an_operation() {
    let import = import(USUAL);
    assert_eq!(import.format, Format::OperationLines);
    assert_snapshot!(told(&import).join("\n"), @r"
    0 read 17 null null Ok
    1 write 17 1 1 Ok
    2 cas 3 [1,-2] [1,-2] Ok
    3 cas 17 [1,2] - Fail
    0 read 17 null 1 Ok
    1 write 17 5 - Unknown
    ");
    let history = &import.history;
    let refused = &history.operations[3];
    assert_eq!(history.error_kind(refused), Some(MISMATCH));
    assert_eq!(
        (refused.invoked_ns, refused.returned_ns(), refused.invoke_line()),
        (17, Some(27), 4)
    );
    assert!(history.operations[5].is_open());
    assert_eq!(history.lines, 6);
    let (expected, new) = history.values.pair(history.operations[2].argument).unwrap();
    assert_eq!((expected.integer(), new.integer()), (Some(1), Some(-2)));
}

#[test]
fn other_spellings_mean_the_same() {
    let spaced = USUAL.replace(',', " , ").replace(':', " : ").replace("[1 , -2]", "[ 1 ,-2 ]");
    assert_eq!(told(&import(&spaced)), told(&import(USUAL)));
    let key_last = r#"{ "inv":10, "ret":20, "proc":0, "f":"read", "res":null, "key":17, "more":{"a":[]} }"#;
    assert_eq!(told(&import(key_last)), told(&import(USUAL))[..1]);
}

#[test]
fn values_need_not_be_small_integers() {
    let lines = r#"{"proc":0,"f":"write","key":"k","arg":"a\u0062","res":null,"inv":10,"ret":20}
{"proc":0,"f":"read","key":"k","arg":null,"res":"ab","inv":30,"ret":40}
{"proc":0,"f":"read","key":"k","arg":null,"res":true,"inv":50,"ret":60}
{"proc":0,"f":"read","key":"k","arg":null,"res":18446744073709551615,"inv":70,"ret":80}
{"proc":0,"f":"cas","key":"k","arg":["ab",null],"res":true,"inv":90,"ret":99}
{"proc":0,"f":"enqueue","key":"k","arg":7,"res":null,"inv":100,"ret":101}"#;
    assert_snapshot!(told(&import(lines)).join("\n"), @r#"
    0 write k "ab" "ab" Ok
    0 read k null "ab" Ok
    0 read k null true Ok
    0 read k null 18446744073709551615 Ok
    0 cas k ["ab",null] ["ab",null] Ok
    0 enqueue k 7 null Ok
    "#);
}

#[test]
fn a_file_is_the_same_in_any_chunks() {
    /// A source that hands out one to seven bytes at a time.
    struct Drops<'a>(&'a [u8], usize);
    impl Read for Drops<'_> {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            self.1 = self.1 % 7 + 1;
            let count = self.1.min(into.len()).min(self.0.len());
            into[..count].copy_from_slice(&self.0[..count]);
            self.0 = &self.0[count..];
            Ok(count)
        }
    }
    let history = operation_lines::read(Drops(USUAL.as_bytes(), 0), Chunking::default()).unwrap();
    assert_eq!(history.operations, import(USUAL).history.operations);
}

#[test]
fn a_cut_last_line_is_no_part_of_the_history() {
    let import = import(&USUAL[..USUAL.len() - 20]);
    assert_eq!(import.history.operations.len(), 5);
    assert_eq!(import.history.cut_line.map(|cut| cut.line), Some(6));
}

#[test]
fn what_is_no_operation_is_refused_with_its_line() {
    let after = |line: &str| refused(&(USUAL.lines().next().unwrap().to_owned() + "\n" + line + "\n"));
    assert_snapshot!(after("what"), @"line 2: this is no operation: expected a JSON object");
    assert_snapshot!(after(r#"{"proc":1,"f":"read","key":"k","inv":1}"#), @"line 2, column 39: this is no operation: missing field `ret`");
    assert_snapshot!(after(r#"{"proc":1,"f":"cas","key":"k","arg":1,"res":true,"inv":11,"ret":12}"#), @"line 2: this is no operation: the `arg` of a `cas` is a list of two, `[expected, new]`");
    assert_snapshot!(after(r#"{"proc":1,"f":"cas","key":"k","arg":[1,2],"res":null,"inv":11,"ret":12}"#), @"line 2: this is no operation: a `cas` that returned says `true` or `false` in `res`");
    assert_snapshot!(after(r#"{"proc":1,"f":"read","key":"k","arg":null,"res":1,"inv":12,"ret":11}"#), @"line 2: process 1 completes at 11 ns, before its invocation on line 2 at 12 ns");
    assert_snapshot!(after(r#"{"proc":1,"f":"read","key":"k","arg":null,"res":1,"inv":12,"ret":4611686018427387905}"#), @"line 2: time 4611686018427387905 ns is past 2^62 ns; times are nanoseconds since the start of the run");
}

#[test]
fn a_process_does_one_thing_at_a_time() {
    let row = |process: u64, inv: u64, ret: &str| {
        format!("{{\"proc\":{process},\"f\":\"read\",\"key\":\"k\",\"arg\":null,\"res\":null,\"inv\":{inv},\"ret\":{ret}}}\n")
    };
    let two_open = row(5, 10, "20") + &row(5, 19, "30");
    assert_snapshot!(refused(&two_open), @"line 2: process 5 invokes `read` while its operation of line 1 is open; a process does one thing at a time");
    let retired = row(1 << 40, 10, "null") + &row(1 << 40, 19, "30");
    assert_snapshot!(refused(&retired), @"line 2: process 1099511627776 invokes `read` although its operation ended in `info` on line 1; its client must go on under a new process number");
    // Lines that are not ordered by their begin are judged at the end.
    let unordered = row(1, 100, "200") + &row(5, 10, "20") + &row(5, 19, "30");
    assert_snapshot!(refused(&unordered), @"line 3: process 5 invokes `read` while its operation of line 2 is open; a process does one thing at a time");
    let fine = row(1, 100, "200") + &row(5, 10, "20") + &row(5, 20, "30") + &row(1, 50, "100");
    assert_eq!(import(&fine).history.operations.len(), 4);
}

#[test]
fn a_line_past_the_bound_is_refused_before_it_is_stored() {
    let endless = io::repeat(b' ').take(64 << 20);
    let error = operation_lines::read(endless, Chunking::default()).unwrap_err();
    assert_eq!(error.to_string(), "line 1: the line is longer than 16777216 bytes");
}

#[test]
fn a_format_can_be_forced() {
    let options = ReadOptions {
        format: Some(Format::Squall),
        ..ReadOptions::default()
    };
    assert!(read(USUAL.as_bytes(), &options).is_err());
    assert_eq!(detect(USUAL.as_bytes()), Format::OperationLines);
}
