//! Jepsen's EDN: every token, every shape of a file, tuples, initial values, and what is refused where.

use insta::assert_snapshot;

use super::{import, refused, told};
use crate::history::History;
use crate::history::formats::edn::json::{form_of, json_of, reread};
use crate::history::formats::export::{ExportOptions, write_edn};
use crate::history::formats::{EdnValue, Format, Independent, ReadOptions, read};
use crate::linearizability::check;
use crate::verdict::Verdict;

/// The JSON of the only form of a text.
fn json(text: &str) -> String {
    json_of(&reread(text).unwrap_or_else(|| panic!("{text}")))
}

/// Reads with options.
fn with(text: &str, options: &ReadOptions) -> Vec<String> {
    told(&read(text.as_bytes(), options).unwrap_or_else(|error| panic!("{error}")))
}

#[test]
fn every_token_is_read_and_comes_back() {
    for (text, expected) in [
        ("nil", "null"),
        ("true", "true"),
        ("-17", "-17"),
        ("+5", "5"),
        ("12N", "12"),
        ("9223372036854775808", "9223372036854775808"),
        ("123456789012345678901234567890N", "123456789012345678901234567890"),
        ("1.50", "1.5"),
        ("-1e3", "-1000.0"),
        ("1.50M", r#"{"decimal":"1.50"}"#),
        ("1/2", r#"{"ratio":"1/2"}"#),
        ("##Inf", r#"{"float":"inf"}"#),
        ("##-Inf", r#"{"float":"-inf"}"#),
        ("##NaN", r#"{"float":"NaN"}"#),
        (r#""a\"\\\n\u00e9\101\uD83D\uDE00""#, r#""a\"\\\néA😀""#),
        (r"\a", r#"{"char":"a"}"#),
        (r"\newline", r#"{"char":"\n"}"#),
        (r"\u00e9", r#"{"char":"é"}"#),
        (r"\o101", r#"{"char":"A"}"#),
        (r"\(", r#"{"char":"("}"#),
        (":jepsen.client/timeout", r#"":jepsen.client/timeout""#),
        (r#"":a""#, r#"{"string":":a"}"#),
        (":a'b", r#"{"keyword":"a'b"}"#),
        (r#"":a b""#, r#"":a b""#),
        ("a$b_c.d/e-f", r#"{"symbol":"a$b_c.d/e-f"}"#),
        ("[1,,2 ; two\n 3]", "[1,2,3]"),
        ("(1 2 3)", "[1,2,3]"),
        ("#{2 1 2}", r#"{"set":[1,2]}"#),
        ("{:b 1, :a 2}", r#"{":a":2,":b":1}"#),
        (r#"{"a" 1}"#, r#"{"a":1}"#),
        ("{0 10 1 5}", r#"{"map":[[0,10],[1,5]]}"#),
        (r#"{"set" [1]}"#, r#"{"map":[["set",[1]]]}"#),
        ("#:ns{:a 1 :_/b 2 :c/d 3}", r#"{":b":2,":c/d":3,":ns/a":1}"#),
        ("#inst \"2020-01-01T00:00:00Z\"", r#""2020-01-01T00:00:00Z""#),
        ("#jepsen.history.Op{:index 1}", r#"{":index":1}"#),
        ("#object[java.lang.Object 0x1f \"x\"]", r#"[{"symbol":"java.lang.Object"},31,"x"]"#),
        ("#error{:cause \"x\"}", r#"{":cause":"x"}"#),
        (r##"#"a\"b""##, r#"{"regex":"a\\\"b"}"#),
        ("#_ 1 #_ #_ 2 3 4", "4"),
        ("[1 #_ 2]", "[1]"),
        ("^{:a 1} ^:b [1]", "[1]"),
        ("#'user/f", r#"{"symbol":"user/f"}"#),
    ] {
        assert_eq!(json(text), expected, "{text}");
        let form = reread(text).unwrap();
        assert_eq!(json(&form.to_string()), expected, "{text} printed as {form}");
        assert_eq!(json_of(&form_of(expected)), expected, "{expected} as EDN");
    }
}

#[test]
fn values_are_equal_where_clojure_says_so() {
    for (left, right) in [
        ("1", "1N"),
        ("[1 2]", "(1 2)"),
        ("#{1 2}", "#{2 1}"),
        ("{:a 1 :b 2}", "{:b 2, :a 1}"),
    ] {
        assert_eq!(json(left), json(right), "{left} {right}");
    }
    for (left, right) in [
        ("1", "1.0"),
        ("1.5M", "1.50M"),
        (":a", "\"a\""),
        (":a", "\":a\""),
        ("a", "\"a\""),
        ("\\a", "\"a\""),
        ("[]", "#{}"),
    ] {
        assert_ne!(json(left), json(right), "{left} {right}");
    }
}

const OPERATIONS: [&str; 4] = [
    "{:process 0, :type :invoke, :f :write, :value 3}",
    "{:value nil :f :read :type :invoke :process 1}",
    "{:process 0, :type :ok, :f :write, :value 3}",
    "{:process 1 :type :ok :f :read :value 3}",
];

#[test]
fn a_file_is_a_vector_a_list_or_maps() {
    let all = OPERATIONS.join("\n");
    let expected = told(&import(&all));
    assert_eq!(expected, ["0 write - 3 3 Ok", "1 read - null 3 Ok"]);
    for text in [
        format!("[{all}]"),
        format!("; a comment with a ] in it\n\n(\n{all} ; the end\n)\n"),
        format!("\u{feff}[{all} #_ {{:process 9}}]"),
        OPERATIONS.map(|operation| format!("#jepsen.history.Op{operation}")).concat(),
    ] {
        let import = import(&text);
        assert_eq!((import.format, told(&import)), (Format::Edn, expected.clone()), "{text}");
    }
}

#[test]
fn the_order_is_the_index_and_nothing_else() {
    let text = "{:index 2 :time 7 :process 0, :type :ok, :f :write, :value 3}
        {:index 0 :time 50 :process 0, :type :invoke, :f :write, :value 3}
        {:index 5 :time -1 :process 1, :type :invoke, :f :read}";
    let history = import(text).history;
    let times: Vec<_> = history
        .operations
        .iter()
        .map(|operation| (operation.invoked_ns, operation.returned_ns()))
        .collect();
    assert_eq!(times, [(50, Some(51)), (52, None)]);
}

#[test]
fn a_file_without_times_has_an_entry_per_microsecond() {
    let history = import(&OPERATIONS.join(" ")).history;
    let times: Vec<_> = history
        .operations
        .iter()
        .map(|operation| (operation.invoked_ns, operation.returned_ns()))
        .collect();
    assert_eq!(times, [(0, Some(2_000)), (1_000, Some(3_000))]);
}

const INDEPENDENT: &str = "[{:process 0 :type :invoke :f :read :value [:k3 nil]}
 {:process 1 :type :invoke :f :cas :value [\"17\" [0 3]]}
 {:process 0 :type :ok :f :read :value [:k3 4]}
 {:process 1 :type :fail :f :cas :value [\"17\" [0 3]] :error :timeout}
 {:process :nemesis :type :info :f :start :value {\"n1\" #{\"n2\"}} :clock-offsets {\"n1\" 0.5}}
 {:process 2 :type :invoke :f :write :value [17 4]}
 {:process 2 :type :info :f :write :value :timed-out :error [:duplicate-key \"…\"]}]";

#[test]
fn tuples_are_guessed_and_the_guess_is_said() {
    let guessed = import(INDEPENDENT);
    assert_snapshot!(told(&guessed).join("\n"), @r#"
    0 read k3 null 4 Ok
    1 cas "17" [0,3] - Fail
    2 write 17 4 - Unknown
    "#);
    assert_snapshot!(guessed.notes.join("\n"), @"guessed that values are tuples `[key value]`, so keys are judged one by one; `--independent no` if they are not");
    let kinds: Vec<_> = guessed
        .history
        .operations
        .iter()
        .map(|operation| guessed.history.error_kind(operation))
        .collect();
    assert_eq!(kinds, [None, Some("timeout"), Some("duplicate-key")]);
    let mark = &guessed.history.marks[0].event;
    assert_eq!(
        (mark.f.as_str(), mark.value.to_string().as_str()),
        ("start", r#"{"n1":{"set":["n2"]}}"#)
    );
    assert!(mark.extra.contains_key("clock-offsets"));

    let register = "{:process 1 :type :invoke :f :cas :value [0 3]} {:process 1 :type :ok :f :cas :value [0 3]}";
    let guessed = import(register);
    assert_eq!(told(&guessed), ["1 cas - [0,3] [0,3] Ok"]);
    assert_snapshot!(guessed.notes.join("\n"), @"guessed that values are no tuples `[key value]`, so all operations act on one object; `--independent yes` if they are");
    let options = ReadOptions {
        independent: Independent::No,
        ..ReadOptions::default()
    };
    let import = read("{:process 2 :type :invoke :f :write :value [17 4]}".as_bytes(), &options).unwrap();
    assert_eq!(
        (told(&import), import.notes),
        (vec!["2 write - [17,4] - Unknown".to_owned()], Vec::new())
    );
}

#[test]
fn versions_of_etcds_registers_are_no_values() {
    let text = "{:process 0 :type :invoke :f :read :value [1 [nil nil]]} {:process 0 :type :ok :f :read :value [1 [7 4]]}
        {:process 0 :type :invoke :f :cas :value [1 [nil [4 5]]]} {:process 0 :type :ok :f :cas :value [1 [8 [4 5]]]}";
    assert_eq!(told(&import(text)), ["0 read 1 null 4 Ok", "0 cas 1 [4,5] [4,5] Ok"]);
}

#[test]
fn an_initial_value_is_what_was_never_written() {
    let text = "{:process 0 :type :invoke :f :read} {:process 0 :type :ok :f :read :value 0}
        {:process 0 :type :invoke :f :cas :value [0 1]} {:process 0 :type :ok :f :cas :value [0 1]}
        {:process 0 :type :invoke :f :read} {:process 0 :type :ok :f :read :value nil}
        {:process 0 :type :invoke :f :write :value nil} {:process 0 :type :ok :f :write :value nil}";
    let options = ReadOptions {
        initial: EdnValue::parse("0"),
        ..ReadOptions::default()
    };
    assert_snapshot!(with(text, &options).join("\n"), @r#"
    0 read - null null Ok
    0 cas - [null,1] [null,1] Ok
    0 read - null - Fail
    0 write - {"nil":null} {"nil":null} Ok
    "#);
}

#[test]
fn what_is_no_edn_is_refused_with_line_column_and_operation() {
    assert_snapshot!(refused("{:process 0 :type :invoke :f :read}\n  {:a [}"), @"line 2, column 8, operation 1: this is no EDN: `}` closes nothing");
    assert_snapshot!(refused("[{:process 0 :type :invoke :f :read}\n"), @"line 2, column 1, operation 1: this is no EDN: the file ends within the `[` of line 1, column 1");
    assert_snapshot!(refused("{:value \"a"), @"line 1, column 11, operation 0: this is no EDN: the file ends within the string of line 1, column 9");
    assert_snapshot!(refused("{:value 12x}"), @"line 1, column 9, operation 0: this is no EDN: `12x` is no number");
    assert_snapshot!(refused("{:value}"), @"line 1, column 1, operation 0: this is no EDN: this map has a key without a value");
    assert_snapshot!(refused("{:value @a}"), @"line 1, column 9, operation 0: this is no EDN: `@` begins nothing");
    assert_snapshot!(refused(&("{:value ".to_owned() + &"[".repeat(100_000))), @"line 1, column 59, operation 0: this is no EDN: nested deeper than 50 levels");
    assert_snapshot!(refused(&("{:value ".to_owned() + &"#_ ".repeat(100_000))), @"line 1, column 159, operation 0: this is no EDN: nested deeper than 50 levels");
}

#[test]
fn what_is_no_history_is_refused_with_line_column_and_operation() {
    assert_snapshot!(refused("[1]"), @"line 1, column 2, operation 0: this is no operation of a history: expected a map, `{:process 0, :type :invoke, …}`");
    assert_snapshot!(refused("{:type :invoke}"), @"line 1, column 1, operation 0: this is no operation of a history: it has no `:process`");
    assert_snapshot!(refused("{:type :begin :process 1}"), @"line 1, column 1, operation 0: this is no operation of a history: `:type` is `:begin`, none of :invoke, :ok, :fail and :info");
    assert_snapshot!(refused("{:type :ok :type :fail :process 1}"), @"line 1, column 1, operation 0: this is no operation of a history: `:type` stands twice");
    assert_snapshot!(refused("{:index 0 :process 0 :type :invoke :f :read} {:process 1 :type :invoke :f :read}"), @"line 1, column 46, operation 1: some operations have an `:index` and some have none; give all of them one, or none");
    assert_snapshot!(refused("{:index 4 :process 0 :type :invoke :f :read} {:index 4 :process 1 :type :invoke :f :read}"), @"line 1, column 46, operation 1: the `:index` 4 stands twice");
    assert_snapshot!(refused("{:process 0 :type :invoke :f :read} {:process 0 :type :invoke :f :read}"), @"line 1, column 37, operation 1: process 0 invokes `read` while its operation of line 1 is open; a process does one thing at a time");
    assert_snapshot!(refused("{:process 0 :type :invoke :f :cas :value 3}"), @"line 1, column 1, operation 0: this is no operation of a history: the value of a `cas` is a pair, `[expected new]`");
}

#[test]
fn a_compare_and_set_that_fails_without_a_word_may_not_have_compared() {
    // As RethinkDB's clients wrote down a lost connection in one of Knossos' histories; Knossos strips failures.
    let after = |error: &str| {
        let text = format!(
            "{{:process 0 :type :invoke :f :write :value 1}} {{:process 0 :type :ok :f :write :value 1}}
             {{:process 0 :type :invoke :f :cas :value [1 2]}} {{:process 0 :type :fail :f :cas :value [1 2] {error}}}
             {{:process 0 :type :invoke :f :read}} {{:process 0 :type :ok :f :read :value 1}}"
        );
        check(&import(&text).history)[0].verdict
    };
    for silent in [
        "",
        ":error nil",
        ":error {:t 18}",
        ":error 5",
        ":error :unavailable",
        ":error \"lost contact with primary replica\"",
    ] {
        assert_eq!(after(silent), Verdict::Valid, "{silent}");
    }
    assert_eq!(after(":error :mismatch"), Verdict::Invalid);
    assert_eq!(after(":error [:mismatch 3]"), Verdict::Invalid);
}

#[test]
fn a_bare_mismatch_survives_the_way_through_edn() {
    let ours = r#"{"time":1,"type":"invoke","process":0,"f":"cas","value":[1,2]}
{"time":2,"type":"fail","process":0,"f":"cas","value":[1,2]}"#;
    let mut out = Vec::new();
    write_edn(&History::read(ours.as_bytes()).unwrap(), &ExportOptions::default(), &mut out).unwrap();
    let back = import(&String::from_utf8(out).unwrap()).history;
    assert_eq!(back.error_kind(&back.operations[0]), Some("mismatch"));
}
