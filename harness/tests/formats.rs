//! Anybody's history from the command line: judged by content, said on stderr, exported and judged alike.

mod common;

use std::fs;

use common::{Squall, exit_code};

const STALE: &str = "[{:process 0 :type :invoke :f :write :value [:k 3]} {:process 0 :type :ok :f :write :value [:k 3]}
 {:process 1 :type :invoke :f :read :value [:k nil]} {:process 1 :type :ok :f :read :value [:k nil]}]";

#[test]
fn a_foreign_history_is_judged_and_its_export_too() {
    let squall = Squall::new();
    let file = squall.folder().join("history.edn");
    fs::write(&file, STALE).unwrap();
    let path = file.to_str().unwrap();
    let checked = squall.run(&["check", path]);
    assert_eq!(exit_code(&checked), 1, "{}", checked.text());
    assert!(
        checked.stderr.contains("read as Jepsen's EDN (`--format edn`)"),
        "{}",
        checked.text()
    );
    assert!(checked.stderr.contains("guessed that values are tuples"), "{}", checked.text());

    let exported = squall.run(&["export", path, "--format", "edn"]);
    assert_eq!(exit_code(&exported), 0, "{}", exported.text());
    assert!(exported.stdout.starts_with("{:index 0, "), "{}", exported.text());
    let again = squall.folder().join("again.edn");
    fs::write(&again, &exported.stdout).unwrap();
    let checked = squall.run(&[
        "check",
        again.to_str().unwrap(),
        "--format",
        "edn",
        "--independent",
        "yes",
        "--model",
        "register",
    ]);
    assert_eq!(exit_code(&checked), 1, "{}", checked.text());
    assert!(!checked.stderr.contains("guessed"), "{}", checked.text());
}

#[test]
fn a_file_that_is_broken_is_a_usage_error_with_its_place() {
    let squall = Squall::new();
    let file = squall.folder().join("broken.edn");
    fs::write(&file, "{:process 0 :type :invoke :f :read}\n{:process 0 :type :invoke :f :read}").unwrap();
    let checked = squall.run(&["check", file.to_str().unwrap()]);
    assert_eq!(exit_code(&checked), 254, "{}", checked.text());
    assert!(checked.stderr.contains("line 2, column 1, operation 1"), "{}", checked.text());
    let forced = squall.run(&["check", file.to_str().unwrap(), "--format", "operations"]);
    assert_eq!(exit_code(&forced), 254, "{}", forced.text());
    assert!(forced.stderr.contains("this is no operation"), "{}", forced.text());
}

#[test]
fn what_is_judged_is_not_overwritten_and_what_edn_cannot_say_is_not_exported() {
    let squall = Squall::new();
    let file = squall.folder().join("history.edn");
    fs::write(&file, STALE).unwrap();
    let path = file.to_str().unwrap();
    for flag in ["--proof", "--picture"] {
        let checked = squall.run(&["check", path, flag, path]);
        assert_eq!(exit_code(&checked), 254, "{}", checked.text());
        assert_eq!(fs::read_to_string(&file).unwrap(), STALE);
    }
    let mixed = squall.folder().join("mixed.jsonl");
    let lines = [
        r#"{"time":1,"type":"invoke","process":0,"f":"write","key":"y","value":2}"#,
        r#"{"time":2,"type":"ok","process":0,"f":"write","key":"y","value":2}"#,
        r#"{"time":3,"type":"invoke","process":1,"f":"txn","value":[["r","y",null]]}"#,
        r#"{"time":4,"type":"ok","process":1,"f":"txn","value":[["r","y",null]]}"#,
    ];
    fs::write(&mixed, lines.join("\n")).unwrap();
    let exported = squall.run(&["export", mixed.to_str().unwrap()]);
    assert_eq!((exit_code(&exported), exported.stdout.as_str()), (254, ""), "{}", exported.text());
    assert!(exported.stderr.contains("--format sqh"), "{}", exported.text());
}

/// What the two said must be the same but for the name of the file.
fn check_same(squall: &Squall, one: &str, other: &str) {
    let [one_said, other_said] = [one, other].map(|path| squall.run(&["check", path, "--numbers"]));
    assert_eq!(
        exit_code(&one_said),
        exit_code(&other_said),
        "{}{}",
        one_said.text(),
        other_said.text()
    );
    assert_eq!(one_said.stdout, other_said.stdout.replace(other, one));
    assert_eq!(untimed(&one_said.stderr), untimed(&other_said.stderr).replace(other, one));
}

/// Without what differs from one time to the next.
fn untimed(text: &str) -> String {
    let lines = text.lines().filter(|line| !line.starts_with("judged in "));
    lines.fold(String::new(), |text, line| text + line + "\n")
}

const LOST: &str = r#"{"squall_history":1,"run":"r","seed":7}
{"index":0,"time":10,"type":"invoke","process":0,"f":"write","key":"k","value":3,"node":"n1"}
{"index":1,"time":20,"type":"ok","process":0,"f":"write","key":"k","value":3,"node":"n1"}
{"index":2,"time":21,"type":"info","process":"nemesis","f":"partition","value":{"id":1,"stage":"asked"}}
{"index":3,"time":30,"type":"invoke","process":1,"f":"read","key":"k","value":null,"node":"n2"}
{"index":4,"time":40,"type":"ok","process":1,"f":"read","key":"k","value":null,"node":"n2"}
{"index":5,"time":50,"type":"invoke","process":1,"f":"re"#;

#[test]
fn a_binary_history_is_judged_as_its_lines_to_the_byte() {
    let squall = Squall::new();
    let lines = squall.folder().join("history.jsonl");
    fs::write(&lines, LOST).unwrap();
    let lines = lines.to_str().unwrap();
    let binary = squall.folder().join("history.sqh");
    fs::write(&binary, squall.run_for_bytes(&["export", lines, "--format", "sqh"])).unwrap();
    check_same(&squall, lines, binary.to_str().unwrap());
}

#[test]
fn a_run_is_judged_by_its_lines_whatever_stands_beside_them() {
    let squall = Squall::new();
    let folder = squall.folder().join("a-run");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("history.jsonl"), LOST).unwrap();
    let path = folder.to_str().unwrap();
    let bytes = squall.run_for_bytes(&["export", path, "--format", "sqh"]);
    fs::write(folder.join("history.sqh"), &bytes).unwrap();
    assert_eq!(exit_code(&squall.run(&["check", path])), 1);
    // Somebody mends the lines: what was lost is seen.
    let mended = LOST.replace(
        r#""f":"read","key":"k","value":null,"node":"n2"}
{"index":5"#,
        r#""f":"read","key":"k","value":3,"node":"n2"}
{"index":5"#,
    );
    assert_ne!(mended, LOST);
    fs::write(folder.join("history.jsonl"), mended).unwrap();
    for beside in [&bytes[..], &bytes[..bytes.len() / 2], b""] {
        fs::write(folder.join("history.sqh"), beside).unwrap();
        let checked = squall.run(&["check", path]);
        assert_ne!(exit_code(&checked), 1, "{}", checked.text());
        assert_ne!(exit_code(&checked), 254, "{}", checked.text());
    }
    // Named itself, a damaged one is refused.
    fs::write(folder.join("history.sqh"), &bytes[..bytes.len() / 2]).unwrap();
    let refused = squall.run(&["check", folder.join("history.sqh").to_str().unwrap()]);
    assert_eq!(exit_code(&refused), 254, "{}", refused.text());
    assert!(
        refused.stderr.contains("take the JSON lines that it was made of"),
        "{}",
        refused.text()
    );
}

/// EDN of operations `(process, type, function, value)`, one per line.
fn edn(rows: &[(u64, &str, &str, &str)]) -> String {
    rows.iter()
        .map(|(process, kind, f, value)| format!("{{:process {process} :type :{kind} :f :{f} :value {value}}}\n"))
        .collect()
}

#[test]
fn jepsens_workloads_are_judged_by_their_models_and_the_guess_is_printed() {
    let squall = Squall::new();
    let check = |name: &str, text: String, code: i32, model: &str, sentence: &str| {
        let file = squall.folder().join(format!("{name}.edn"));
        fs::write(&file, text).unwrap();
        let checked = squall.run(&["check", file.to_str().unwrap()]);
        assert_eq!(exit_code(&checked), code, "{name}: {}", checked.text());
        let guess = format!("judged as {model} (`--model {model}`)");
        for words in [&guess, "guessed that values are", "`--format edn`"] {
            assert!(checked.stderr.contains(words), "{name}, `{words}`: {}", checked.text());
        }
        assert!(checked.stdout.contains(sentence), "{name}: {}", checked.text());
    };
    let queue = [
        (0, "invoke", "enqueue", "1"),
        (0, "ok", "enqueue", "1"),
        (1, "invoke", "dequeue", "nil"),
        (1, "ok", "dequeue", "2"),
    ];
    check("queue", edn(&queue), 1, "queue", "dequeued 2");
    let set = [
        (0, "invoke", "add", "0"),
        (0, "ok", "add", "0"),
        (1, "invoke", "read", "nil"),
        (1, "ok", "read", "#{0 1}"),
    ];
    check("set", edn(&set), 1, "set", "holds 1, which nobody added");
    let counter = [
        (0, "invoke", "add", "2"),
        (0, "ok", "add", "2"),
        (1, "invoke", "read", "nil"),
        (1, "ok", "read", "3"),
    ];
    check("counter", edn(&counter), 1, "counter", "no more than 2 had been added");
    let mutex = [
        (0, "invoke", "acquire", "nil"),
        (0, "info", "acquire", "nil"),
        (1, "invoke", "acquire", "nil"),
        (1, "ok", "acquire", "nil"),
    ];
    check("mutex", edn(&mutex), 0, "mutex", "the lock is linearizable");
    let written = "[[:w :x 1] [:w 5 1]]";
    let torn = "[[:r :x 1] [:r 5 nil]]";
    let txn = [
        (0, "invoke", "txn", written),
        (0, "ok", "txn", written),
        (1, "invoke", "txn", "[[:r :x nil] [:r 5 nil]]"),
        (1, "ok", "txn", torn),
    ];
    check("rw-register", edn(&txn), 1, "kv", "txn :r :x 1, :r 5 null");
    let read = "[[:read :x 1]]";
    let multi = [
        (0, "invoke", "txn", "[[:write :x 1]]"),
        (0, "ok", "txn", "[[:write :x 1]]"),
        (1, "invoke", "txn", "[[:read :x nil]]"),
        (1, "ok", "txn", read),
    ];
    check("multi-register", edn(&multi), 0, "kv", "linearizable");
    let append = [(0, "invoke", "txn", "[[:append 5 1]]"), (0, "ok", "txn", "[[:append 5 1]]")];
    check("list-append", edn(&append), 2, "kv", "`txn` on line 1 is no operation of a kv");
    let bank = [
        (0, "invoke", "transfer", "{:from 1 :to 2 :amount 5}"),
        (0, "ok", "transfer", "{:from 1 :to 2 :amount 5}"),
    ];
    check("bank", edn(&bank), 2, "register", "`transfer` on line 1");
}

#[test]
fn what_a_register_holds_at_first_is_said_by_a_flag() {
    let squall = Squall::new();
    let file = squall.folder().join("initial.edn");
    fs::write(&file, edn(&[(0, "invoke", "read", "nil"), (0, "ok", "read", "0")])).unwrap();
    let path = file.to_str().unwrap();
    assert_eq!(exit_code(&squall.run(&["check", path])), 1);
    assert_eq!(exit_code(&squall.run(&["check", path, "--init", "0"])), 0);
    assert_eq!(exit_code(&squall.run(&["check", path, "--init", "(("])), 254);
}

#[test]
fn hostile_files_end_in_a_verdict_or_a_usage_error_under_every_model() {
    let squall = Squall::new();
    let deep = "[".repeat(100_000);
    let long = format!(
        "{{\"time\":0,\"type\":\"invoke\",\"process\":0,\"f\":\"{}\",\"value\":1}}",
        "f".repeat(100_000)
    );
    let odd_values = [
        "1e999",
        "[[],[[]]]",
        r#"[["r"],["w","x"]]"#,
        r#"{"set":[1,1]}"#,
        "18446744073709551616",
        "-9223372036854775808",
        r#""\u0000\u202e""#,
    ];
    let odd = |value: &str| {
        let line = |time: u64, kind: &str, f: &str| format!(r#"{{"time":{time},"type":"{kind}","process":0,"f":"{f}","value":{value}}}"#);
        let of = |f: &str, at: u64| format!("{}\n{}\n", line(at, "invoke", f), line(at + 1, "ok", f));
        let fs = [
            "add", "inc", "dec", "read", "enqueue", "dequeue", "acquire", "release", "txn", "cas", "write", "contains", "remove",
        ];
        (0..).step_by(2).zip(fs).map(|(at, f)| of(f, at)).collect::<String>()
    };
    let mut files: Vec<String> = odd_values.iter().map(|value| odd(value)).collect();
    files.extend([
        deep,
        long,
        "\u{0}\u{1b}[2J".into(),
        "{:process 0 :type :invoke :f".into(),
        "#_#_#_".into(),
        ":a".repeat(10_000),
    ]);
    for (number, text) in files.iter().enumerate() {
        let file = squall.folder().join(format!("hostile{number}"));
        fs::write(&file, text).unwrap();
        for model in ["register", "cas-register", "kv", "counter", "set", "queue", "mutex"] {
            let checked = squall.run(&["check", file.to_str().unwrap(), "--model", model]);
            let code = exit_code(&checked);
            assert!([0, 1, 2, 3, 254].contains(&code), "{model}, file {number}: {}", checked.text());
            assert!(
                !checked.text().contains('\u{1b}') && !checked.text().contains("panicked"),
                "{}",
                checked.text()
            );
        }
    }
}
