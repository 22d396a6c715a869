//! Porcupine's test data: log lines of Jepsen's etcd tests, and key-value operations.

use insta::assert_snapshot;

use super::{import, refused, told};
use crate::history::formats::{Format, detect};

#[test]
fn a_jepsen_log_is_read_line_by_line() {
    let import = import(
        "a line of the log's own
INFO  jepsen.util - 0\t:invoke\t:read\tnil
INFO  jepsen.util - 1\t:invoke\t:cas\t[3 0]
INFO  jepsen.util - :nemesis\t:info\t:start\tnil
INFO  jepsen.util - 0\t:ok\t:read\tnil
INFO  jepsen.util - 1\t:fail\t:cas\t[3 0]
INFO  jepsen.util - 0\t:invoke\t:read\tnil
INFO  jepsen.util - 1\t:invoke\t:cas\t[3 0]
INFO  jepsen.util - 0\t:fail\t:read\t:timed-out
INFO  jepsen.util - 1\t:info\t:cas\t:timed-out
INFO  jepsen.util - Everything set up
INFO  jepsen.util - 6\t:invoke\t:write\t4
",
    );
    assert_eq!(
        (import.format, import.history.lines, import.history.marks.len()),
        (Format::JepsenLog, 12, 1)
    );
    assert_snapshot!(told(&import).join("\n"), @r"
    0 read - null null Ok
    1 cas - [3,0] - Fail
    0 read - null - Fail
    1 cas - [3,0] - Unknown
    6 write - 4 - Unknown
    ");
    let kinds: Vec<_> = import
        .history
        .operations
        .iter()
        .map(|operation| import.history.error_kind(operation))
        .collect();
    assert_eq!(kinds, [None, Some("mismatch"), Some("timed-out"), Some("timed-out"), None]);
}

#[test]
fn a_line_of_a_log_that_begins_like_an_operation_is_one() {
    assert_snapshot!(refused("INFO  jepsen.util - 0\t:invoke\t:read\n"), @"line 1, column 36, operation 0: this is no operation of a history: the line ends before its value");
    assert_snapshot!(refused("INFO  jepsen.util - 0\t:began\t:read\tnil\n"), @"line 1, column 21, operation 0: this is no operation of a history: `:type` is `:began`, none of :invoke, :ok, :fail and :info");
}

#[test]
fn porcupines_stores_begin_with_an_empty_string() {
    let import = import(
        r#"{:process 9, :type :invoke, :f :append, :key "0", :value "x 9 0 y"}
{:process 4, :type :invoke, :f :get, :key "3", :value nil}
{:process 4, :type :ok, :f :get, :key "3", :value ""}
{:process 9, :type :ok, :f :append, :key "0", :value "x 9 0 y"}
{:process 9, :type :invoke, :f :put, :key "0", :value "x 9 1 y"}
{:process 4, :type :invoke, :f :get, :key "0", :value nil}
{:process 4, :type :ok, :f :get, :key "0", :value "x 9 0 y"}
"#,
    );
    assert_eq!((import.format, import.notes.len()), (Format::PorcupineKv, 0));
    assert_snapshot!(told(&import).join("\n"), @r#"
    9 append "0" "x 9 0 y" "x 9 0 y" Ok
    4 read "3" null null Ok
    9 write "0" "x 9 1 y" - Unknown
    4 read "0" null "x 9 0 y" Ok
    "#);
}

#[test]
fn a_format_is_guessed_by_how_a_file_begins() {
    for (head, format) in [
        ("", Format::Squall),
        ("{\"squall_history\":1}", Format::Squall),
        (" { \"time\":1}", Format::Squall),
        ("{\"proc\":1,\"inv\":2}", Format::OperationLines),
        ("{\"inv\":2, \"proc\":1}", Format::OperationLines),
        ("{:process 0}", Format::Edn),
        ("; {\"proc\"\n,, [{:process 0}]", Format::Edn),
        ("#jepsen.history.Op{:process 0}", Format::Edn),
        ("({:process 9, :f :get, :key \"1\"})", Format::PorcupineKv),
        ("{:process 9, :f :get, :value \"1\"}", Format::Edn),
        ("[12:00] INFO jepsen.util - 0\t:invoke\t:read\tnil", Format::JepsenLog),
        ("what", Format::Squall),
    ] {
        assert_eq!(detect(head.as_bytes()), format, "{head}");
    }
}
