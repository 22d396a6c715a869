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
