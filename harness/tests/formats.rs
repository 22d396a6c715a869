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
    let checked = squall.run(&["check", again.to_str().unwrap(), "--format", "edn", "--independent", "yes"]);
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
    assert_eq!(one_said.stderr, other_said.stderr.replace(other, one));
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
