//! Bad input: each mistake ends with 254, names the place and says how to mend it, and nothing is started.

mod common;

use std::fs;

use common::{Squall, exit_code};

/// Runs `args` and asserts that they are a usage error that mentions each of `words`.
fn refuses(args: &[&str], words: &[&str]) {
    let squall = Squall::new();
    let said = squall.run(args);
    assert_eq!(exit_code(&said), 254, "{args:?}: {}", said.text());
    for word in words {
        assert!(said.stderr.contains(word), "{args:?} should mention `{word}`: {}", said.text());
    }
    assert!(!squall.folder().join("results").exists(), "{args:?} started a run");
}

#[test]
fn refuses_flags_and_values_that_do_not_exist() {
    refuses(&["run", "--sed", "7"], &["--sed"]);
    refuses(&["run", "cassandra"], &["cassandra", "quorum", "etcd"]);
    refuses(&["run", "--faults", "partition,meteor"], &["meteor", "kill"]);
    refuses(
        &["run", "--faults", "kill,gentle"],
        &["`gentle` is a profile (partition, pause, stutter, cpu), and stands alone"],
    );
    refuses(&["run", "--faults", "all,kill"], &["`all` is every kind, and stands alone"]);
    refuses(&["run", "--workload", "bank"], &["bank"]);
    refuses(&["run", "--time", "15parsecs"], &["parsecs", "15s"]);
    refuses(&["run", "--runs", "0"], &["--runs"]);
}

#[test]
fn refuses_quorums_that_cannot_be() {
    refuses(&["run", "--r", "4"], &["--r 4", "N=3"]);
    refuses(&["run", "--w", "0"], &["--w 0"]);
    refuses(&["run", "--n", "6", "--nodes", "5"], &["--n 6", "5 nodes"]);
    refuses(&["run", "--clock-offset", "n9=5"], &["n9", "n5"]);
    refuses(&["run", "--serializable"], &["--serializable", "quorum"]);
    refuses(&["run", "etcd", "--r", "1"], &["--r", "etcd"]);
}

#[test]
fn names_line_column_and_word_of_a_mistake_in_a_plan() {
    let squall = Squall::new();
    let plan = squall.run(&["plan", "--seed", "7"]);
    assert_eq!(exit_code(&plan), 0, "{}", plan.text());
    let path = squall.folder().join("typo.json");
    fs::write(&path, plan.stdout.replace("\"warm_up_ms\"", "\"warmup_ms\"")).expect("the plan can be saved");
    let line = plan
        .stdout
        .lines()
        .position(|line| line.contains("warm_up_ms"))
        .expect("a plan has a warm-up")
        + 1;
    let said = squall.run(&["run", "--plan", &path.display().to_string()]);
    assert_eq!(exit_code(&said), 254, "{}", said.text());
    for word in ["typo.json", &format!("line {line}"), "column", "warmup_ms"] {
        assert!(said.stderr.contains(word), "`{word}`: {}", said.text());
    }
    let both = squall.run(&["run", "--plan", &path.display().to_string(), "--seed", "8"]);
    assert_eq!(exit_code(&both), 254, "{}", both.text());
}

#[test]
fn the_same_seed_and_options_print_the_same_plan() {
    let squall = Squall::new();
    let args = ["plan", "--seed", "42", "--time", "20s"];
    let (one, other) = (squall.run(&args), squall.run(&args));
    assert_eq!((exit_code(&one), &one.stdout), (0, &other.stdout));
    let different = squall.run(&["plan", "--seed", "43", "--time", "20s"]);
    assert_ne!(one.stdout, different.stdout);
}

#[test]
fn judges_a_history_with_a_cut_last_line_and_refuses_garbage_with_its_line() {
    let squall = Squall::new();
    let good = r#"{"index":0,"time":1,"type":"invoke","process":0,"f":"write","key":"x","value":1}
{"index":1,"time":2,"type":"ok","process":0,"f":"write","key":"x","value":1}
{"index":2,"time":3,"type":"invoke","process":0,"f":"read","key":"x","value":null}
{"index":3,"time":4,"type":"ok","process":0,"f":"read","key":"x","value":1}
"#;
    let check = |name: &str, text: &str| {
        let path = squall.folder().join(name);
        fs::write(&path, text).expect("the history can be saved");
        squall.run(&["check", &path.display().to_string()])
    };
    assert_eq!(exit_code(&check("good.jsonl", good)), 0);

    let cut = check("cut.jsonl", &format!("{good}{{\"index\":4,\"time\":5,\"ty"));
    assert_eq!(exit_code(&cut), 0, "{}", cut.text());
    assert!(cut.text().contains("cut"), "it is said: {}", cut.text());

    let garbage = check("garbage.jsonl", &good.replacen("{\"index\":2", "garbage", 1));
    assert_eq!(exit_code(&garbage), 254, "{}", garbage.text());
    assert!(garbage.stderr.contains("line 3"), "{}", garbage.text());

    let double = check(
        "double.jsonl",
        &good.replace(r#""time":4,"type":"ok""#, r#""time":4,"type":"invoke""#),
    );
    assert_eq!(exit_code(&double), 254, "{}", double.text());
    assert!(double.stderr.contains("line 4"), "{}", double.text());

    let stale = check(
        "stale.jsonl",
        &good.replace(r#""f":"read","key":"x","value":1"#, r#""f":"read","key":"x","value":null"#),
    );
    assert_eq!(exit_code(&stale), 1, "{}", stale.text());

    let repeated = format!(
        "{good}{}",
        good.replace(r#""process":0"#, r#""process":1"#)
            .replace(r#""time":"#, r#""time":1"#)
    );
    let repeated = check("repeated.jsonl", &repeated);
    assert_eq!(exit_code(&repeated), 0, "a value written twice is decided: {}", repeated.text());

    let empty = check("empty.jsonl", "");
    assert_eq!(exit_code(&empty), 3, "{}", empty.text());
}

#[test]
fn says_so_when_there_is_nothing_to_judge_or_nowhere_to_write() {
    refuses(&["check", "latest"], &["latest"]);
    refuses(&["check", "nowhere.jsonl"], &["nowhere.jsonl"]);
    let squall = Squall::new();
    let said = squall.run(&["run", "--seed", "1", "--out", "/proc/nowhere"]);
    assert_eq!(exit_code(&said), 254, "{}", said.text());
    assert!(said.stderr.contains("--out"), "{}", said.text());
}

#[test]
fn every_verb_and_flag_has_help() {
    let squall = Squall::new();
    for verb in [
        "run",
        "check",
        "export",
        "plan",
        "zoo",
        "doctor",
        "list",
        "node",
        "kv",
        "completions",
    ] {
        let help = squall.run(&[verb, "--help"]);
        assert_eq!(exit_code(&help), 0, "{verb}: {}", help.text());
        assert!(help.stdout.contains("Usage:"), "{verb}: {}", help.text());
    }
    for what in ["systems", "workloads", "faults", "bugs"] {
        let list = squall.run(&["list", what]);
        assert_eq!((exit_code(&list), list.stdout.is_empty()), (0, false), "{what}: {}", list.text());
    }
    for shell in ["bash", "zsh", "fish"] {
        assert!(squall.run(&["completions", shell]).stdout.contains("squall"), "{shell}");
    }
}
