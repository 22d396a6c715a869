//! What is exported, and that it comes back: whatever stands in a history, reading the export gives the same operations in the same order.

use insta::assert_snapshot;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::{import, told};
use crate::history::History;
use crate::history::formats::edn::Form;
use crate::history::formats::edn::json::reread;
use crate::history::formats::export::{ExportOptions, write_edn};
use crate::history::formats::{EdnValue, Independent, ReadOptions, read};

fn exported(history: &History, options: &ExportOptions) -> String {
    let mut out = Vec::new();
    write_edn(history, options, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

const RUN: &str = r#"{"squall_history":1}
{"time":1,"type":"invoke","process":0,"f":"write","key":"k3","value":17,"node":"n1"}
{"time":1,"type":"invoke","process":1,"f":"read","key":"k3"}
{"time":2,"type":"info","process":"nemesis","f":"partition","value":{"id":4,"stage":"asked"}}
{"time":3,"type":"info","process":"nemesis","f":"partition","value":{"id":4,"stage":"applied"}}
{"time":4,"type":"info","process":"harness","f":"phase","value":{"name":"storm"}}
{"time":5,"type":"ok","process":1,"f":"read","key":"k3","value":null}
{"time":5,"type":"info","process":0,"f":"write","key":"k3","value":17,"error":{"kind":"timeout"}}
{"time":5,"type":"invoke","process":1,"f":"cas","key":"k3","value":[17,9223372036854775808]}
{"time":5,"type":"invoke","process":2,"f":"write","key":"17","value":"a\nb"}
{"time":6,"type":"fail","process":1,"f":"cas","key":"k3","value":[17,9223372036854775808],"error":{"kind":"mismatch","seen":5}}
{"time":7,"type":"invoke","process":1,"f":"append","key":"a b","value":{"x":[]}}
{"time":9,"type":"info","process":"nemesis","f":"partition","value":{"id":4,"stage":"healed"}}
"#;

#[test]
fn an_export_keeps_what_knossos_and_elle_are_strict_about() {
    let history = History::read(RUN.as_bytes()).unwrap();
    assert_snapshot!(exported(&history, &ExportOptions::default()), @r#"
    {:index 0, :time 1, :type :invoke, :process 0, :f :write, :value [:k3 17], :node "n1"}
    {:index 1, :time 1, :type :invoke, :process 1, :f :read, :value [:k3 nil]}
    {:index 2, :time 3, :type :info, :process :nemesis, :f :start-partition, :value nil}
    {:index 3, :time 3, :type :info, :process :nemesis, :f :start-partition, :value {"id" 4, "stage" "applied"}}
    {:index 4, :time 5, :type :ok, :process 1, :f :read, :value [:k3 nil]}
    {:index 5, :time 5, :type :invoke, :process 1, :f :cas, :value [:k3 [17 9223372036854775808N]]}
    {:index 6, :time 5, :type :invoke, :process 2, :f :write, :value [17 "a\nb"]}
    {:index 7, :time 6, :type :fail, :process 1, :f :cas, :value [:k3 [17 9223372036854775808N]], :error [:mismatch 5]}
    {:index 8, :time 7, :type :invoke, :process 1, :f :append, :value ["a b" {"x" []}]}
    {:index 9, :time 9, :type :info, :process :nemesis, :f :stop-partition, :value nil}
    {:index 10, :time 9, :type :info, :process :nemesis, :f :stop-partition, :value {"id" 4, "stage" "healed"}}
    {:index 11, :time 9, :type :info, :process 0, :f :write, :value [:k3 17], :node "n1", :error :timeout}
    "#);
}

#[test]
fn what_stands_for_an_absent_value_is_read_back_as_absent() {
    let history = History::read(RUN.as_bytes()).unwrap();
    let absent = EdnValue::parse(":absent");
    let text = exported(&history, &ExportOptions { absent: absent.clone() });
    assert!(text.contains(":f :read, :value [:k3 :absent]"), "{text}");
    let options = ReadOptions {
        initial: absent,
        ..ReadOptions::default()
    };
    let back = read(text.as_bytes(), &options).unwrap();
    assert_eq!(told(&back)[1], "1 read k3 null null Ok");
}

/// A name or text with everything that could break a line, a string or a keyword.
fn text(chance: &mut ChaCha8Rng) -> String {
    const PIECES: [&str; 14] = ["k", "17", "\"", "\\", "\n", ":", "[1,2]", "{", " ", "é", "\u{1b}", "/", "-", ";"];
    (0..chance.random_range(1..4))
        .map(|_| PIECES[chance.random_range(0..PIECES.len())])
        .collect()
}

fn value(chance: &mut ChaCha8Rng, depth: usize) -> serde_json::Value {
    use serde_json::{Value, json};
    match chance.random_range(0..if depth > 2 { 6 } else { 9 }) {
        0 => Value::Null,
        1 => json!(chance.random_range(-5..5)),
        2 => json!(chance.random::<i64>()),
        3 => json!(chance.random::<u64>()),
        4 => json!(text(chance)),
        5 => json!(chance.random_bool(0.5)),
        6 => json!(chance.random_range(-9..9) as f64 / 4.0),
        7 => (0..chance.random_range(0..4)).map(|_| value(chance, depth + 1)).collect(),
        _ => {
            let fields = (0..chance.random_range(0..4)).map(|_| (text(chance), value(chance, depth + 1)));
            Value::Object(fields.collect())
        }
    }
}

/// The lines of a random history in our own format.
fn history(chance: &mut ChaCha8Rng) -> History {
    use serde_json::json;
    let keyed = chance.random_bool(0.5);
    let keys: Vec<String> = (0..3).map(|_| text(chance)).collect();
    let mut open: Vec<Option<serde_json::Value>> = vec![None; 4];
    let mut process: Vec<u64> = (0..4).collect();
    let mut lines = String::new();
    let mut time = 0;
    for _ in 0..chance.random_range(0..40) {
        time += chance.random_range(1..4);
        let client = chance.random_range(0..4);
        let mut event = match open[client].take() {
            Some(event) => event,
            None => {
                let f = ["read", "write", "cas", "append"][chance.random_range(0..4)];
                let argument = match f {
                    "read" => json!(null),
                    "cas" => json!([value(chance, 1), value(chance, 1)]),
                    _ => value(chance, 0),
                };
                let mut event = json!({"type": "invoke", "process": process[client], "f": f, "value": argument});
                if keyed {
                    event["key"] = json!(keys[chance.random_range(0..3)]);
                }
                open[client] = Some(event.clone());
                event
            }
        };
        if open[client].is_none() {
            event["type"] = json!(["ok", "ok", "fail", "info"][chance.random_range(0..4)]);
            match (event["type"].as_str(), event["f"].as_str()) {
                (Some("ok"), Some("read")) => event["value"] = value(chance, 0),
                (Some("fail"), Some("cas")) => event["error"] = json!({"kind": "mismatch", "seen": value(chance, 1)}),
                (Some("info"), _) => process[client] += 4,
                _ => {}
            }
        }
        event["time"] = json!(time);
        lines += &format!("{event}\n");
    }
    History::read(lines.as_bytes()).unwrap_or_else(|error| panic!("{error}\n{lines}"))
}

#[test]
fn what_is_exported_comes_back() {
    let mut chance = ChaCha8Rng::seed_from_u64(11);
    for _ in 0..1_000 {
        let history = history(&mut chance);
        let text = exported(&history, &ExportOptions::default());
        let options = ReadOptions {
            independent: if history.keys.is_empty() {
                Independent::No
            } else {
                Independent::Yes
            },
            ..ReadOptions::default()
        };
        let back = read(text.as_bytes(), &options).unwrap_or_else(|error| panic!("{error}\n{text}"));
        let again = exported(&back.history, &ExportOptions::default());
        assert_eq!(again, text);
        let times = |history: &History| -> Vec<_> {
            let each = history
                .operations
                .iter()
                .map(|operation| (operation.invoked_ns, operation.returned_ns()));
            each.collect()
        };
        assert_eq!(times(&back.history), times(&history), "{text}");
        let first = crate::history::formats::Import { history, ..back.clone() };
        assert_eq!(told(&back), told(&first), "{text}");
    }
}

/// A form of any kind.
fn form(chance: &mut ChaCha8Rng, depth: usize) -> Form {
    let names = ["a", "ns/b", "k-1", "a.b$c", "+", "x?"];
    let name = names[chance.random_range(0..names.len())].to_owned();
    let items = |chance: &mut ChaCha8Rng| (0..chance.random_range(0..4)).map(|_| form(chance, depth + 1)).collect();
    match chance.random_range(0..if depth > 3 { 12 } else { 17 }) {
        0 => Form::Nil,
        1 => Form::Bool(chance.random_bool(0.5)),
        2 => Form::Integer(chance.random()),
        3 => Form::Big(format!("-{}0", u64::MAX - chance.random_range(0..9))),
        4 => Form::Float(chance.random_range(-1e20..1e20)),
        5 => Form::Decimal("1.50".into()),
        6 => Form::Ratio("-1/2".into()),
        7 => Form::Char(char::from_u32(chance.random_range(0..0xd800)).unwrap()),
        8 => Form::Text(text(chance)),
        9 => Form::Keyword(name),
        10 => Form::Symbol(name),
        11 => Form::Regex(r#"a\"b\\"#.into()),
        12 => Form::List(items(chance)),
        13 => Form::Vector(items(chance)),
        14 => Form::Set(items(chance)),
        15 => Form::Tagged(name.trim_start_matches('+').to_owned() + "t", Box::new(form(chance, depth + 1))),
        _ => Form::Map(
            (0..chance.random_range(0..3))
                .map(|_| (form(chance, depth + 1), form(chance, depth + 1)))
                .collect(),
        ),
    }
}

#[test]
fn a_form_that_is_printed_is_read_as_itself() {
    let mut chance = ChaCha8Rng::seed_from_u64(12);
    for _ in 0..20_000 {
        let form = form(&mut chance, 0);
        let text = form.to_string();
        assert_eq!(reread(&text), Some(form), "{text}");
    }
}

#[test]
fn a_process_that_completes_and_begins_at_once_does_one_thing_at_a_time() {
    let lines = r#"{"proc":1,"f":"write","key":"k","arg":1,"res":null,"inv":5,"ret":9}
{"proc":1,"f":"read","key":"k","arg":null,"res":1,"inv":9,"ret":9}
{"proc":1,"f":"read","key":"k","arg":null,"res":1,"inv":9,"ret":12}
"#;
    let text = exported(&import(lines).history, &ExportOptions::default());
    assert_eq!(told(&import(&text)), told(&import(lines)));
}
