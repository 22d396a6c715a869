//! The Raft core in whole clusters: by scripts whose full output is expected (`scripts/*.txt`, after etcd-io/raft's `testdata`), and by
//! storms of chance that must keep every promise.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod cluster;
mod limits;
mod script;
mod storm;
mod watch;
#[path = "../simulation/zones.rs"]
mod zones;

use std::fs;
use std::path::Path;

/// Runs every script; with `REGENERATE_SCRIPTS=1` in the environment the expected output is written anew instead of compared.
#[test]
fn every_script_gives_the_expected_output() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/raft/scripts");
    let mut paths: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    assert!(paths.len() >= 12, "the scripts are there");
    for path in paths {
        let text = fs::read_to_string(&path).unwrap();
        let output = script::run(&text);
        if std::env::var_os("REGENERATE_SCRIPTS").is_some() {
            fs::write(&path, output).unwrap();
        } else if output != text {
            let place = output.lines().zip(text.lines()).position(|(found, expected)| found != expected);
            let place = place.unwrap_or(output.lines().count().min(text.lines().count()));
            let line = |text: &str| text.lines().nth(place).unwrap_or("(end)").to_owned();
            panic!(
                "{}:{}: expected `{}`, found `{}`; see the whole difference with REGENERATE_SCRIPTS=1 and git diff",
                path.display(),
                place + 1,
                line(&text),
                line(&output)
            );
        }
    }
}
