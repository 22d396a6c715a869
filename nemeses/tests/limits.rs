//! A limit on descriptors against the kernel: a program that opens a file again and again is refused, and later is not.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "helpers of tests stand outside the tests")]

mod support;

use std::fs::File;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sched::{CloneFlags, unshare};
use squall_nemeses::limits::descriptors::Descriptors;
use squall_nemeses::process::processes_of;
use support::inside;

/// Long enough for a loaded machine.
const BOUND: Duration = Duration::from_secs(10);

/// Says of each try whether it could open a file. It tells it through a descriptor that is open already.
const OPENS: &str = "sh -c 'while :; do if (: < /dev/null); then echo opened; else echo refused; fi; done' & wait";

fn start(said: &Path) -> Child {
    let said = File::create(said).unwrap();
    let start = || {
        // Of this thread's children alone, which is why it is a thread of its own.
        unshare(CloneFlags::CLONE_NEWPID).unwrap();
        let mut node = Command::new("/bin/sh");
        node.args(["-c", OPENS]).stdin(Stdio::null()).stdout(said).stderr(Stdio::null());
        node.spawn().unwrap()
    };
    std::thread::scope(|scope| scope.spawn(start).join().unwrap())
}

/// Waits until everything that is said from now on is `word`, and is said again.
fn wait_for(said: &Path, word: &str) {
    let deadline = Instant::now() + BOUND;
    let length = || std::fs::metadata(said).unwrap().len();
    let from = length();
    // What was being tried when the limit changed may still be told.
    let lately = || {
        let text = std::fs::read_to_string(said).unwrap();
        let news: Vec<String> = text[usize::try_from(from).unwrap()..].lines().skip(3).map(String::from).collect();
        news
    };
    while lately().len() < 5 {
        assert!(Instant::now() < deadline, "nothing more was said within {BOUND:?}");
        std::thread::yield_now();
    }
    let news = lately();
    assert!(news[..4].iter().all(|line| line == word), "{word}: {news:?}");
}

#[test]
fn a_node_without_descriptors_opens_nothing_until_they_are_given_back() {
    inside("a_node_without_descriptors_opens_nothing_until_they_are_given_back", || {
        let folder = tempfile::tempdir().unwrap();
        let said = folder.path().join("said");
        let mut node = start(&said);
        let deadline = Instant::now() + BOUND;
        while processes_of(node.id()).unwrap().is_empty() {
            assert!(Instant::now() < deadline, "the node never started");
            std::thread::yield_now();
        }
        wait_for(&said, "opened");
        let mut descriptors = Descriptors::default();
        let limited = descriptors.limit(node.id(), Some(0)).unwrap();
        assert!(limited.ok && limited.spare == Some(0), "{limited:?}");
        wait_for(&said, "refused");
        let lifted = descriptors.limit(node.id(), None).unwrap();
        assert!(lifted.ok, "{lifted:?}");
        wait_for(&said, "opened");
        node.kill().unwrap();
        node.wait().unwrap();
        let gone = Descriptors::default().limit(node.id(), Some(0)).unwrap();
        assert!(!gone.ok && gone.soft.is_empty(), "nobody was limited: {gone:?}");
    });
}
