//! Kill and pause against the kernel: a pid namespace with an init, children, grandchildren, a namespace inside, and a process that forks
//! without end.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "helpers of tests stand outside the tests")]

mod support;

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sched::{CloneFlags, unshare};
use squall_nemeses::process::{self, Signal, is_paused, kill, pause, processes_of, resume};
use support::inside;

/// Long enough for a loaded machine.
const BOUND: Duration = Duration::from_secs(10);

/// A node: the shell is pid 1 of a pid namespace of its own.
struct Node {
    init: Child,
}

impl Node {
    fn start(script: &str) -> Node {
        let start = || {
            // Of this thread's children alone, which is why it is a thread of its own.
            unshare(CloneFlags::CLONE_NEWPID).unwrap();
            Command::new("/bin/sh").args(["-c", script]).stdin(Stdio::null()).spawn().unwrap()
        };
        let init = std::thread::scope(|scope| scope.spawn(start).join().unwrap());
        Node { init }
    }

    fn pid(&self) -> u32 {
        self.init.id()
    }

    fn wait_for(&self, n_processes: usize) {
        until(|| processes_of(self.pid()).unwrap().len() >= n_processes);
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // Dead already in most tests.
        let _ = self.init.kill();
        self.init.wait().unwrap();
    }
}

fn until(condition: impl Fn() -> bool) {
    let deadline = Instant::now() + BOUND;
    while !condition() {
        assert!(Instant::now() < deadline, "the condition did not come true within {BOUND:?}");
        std::thread::yield_now();
    }
}

const PARENT: usize = 4;
/// Grows with every child that a process reaps.
const FAULTS_OF_REAPED: usize = 11;
const USER_TICKS: usize = 14;

/// A field of `/proc/PID/stat`, counted as `man 5 proc` does.
fn field(pid: u32, number: usize) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(')')?.1.split_whitespace().nth(number - 3)?.parse().ok()
}

const FAMILY: &str = "sleep 1000 & sh -c 'sleep 1000 & (sleep 1000; :) & wait' & while :; do :; done";
const FORKS: &str = "(while :; do /bin/true; done) & (while :; do /bin/true & wait; done) & wait";

#[test]
fn kill_ends_every_process_of_the_node_at_once() {
    inside("kill_ends_every_process_of_the_node_at_once", || {
        let node = Node::start(FAMILY);
        node.wait_for(4);
        let processes = processes_of(node.pid()).unwrap();
        let killed = kill(node.pid(), BOUND).unwrap();
        assert!(killed.ok && killed.n_processes >= 4, "{killed:?}");
        assert_eq!(processes_of(node.pid()).unwrap(), Vec::<u32>::new());
        assert!(
            processes.iter().all(|pid| !process::signal(*pid, Signal::Kill).unwrap()),
            "one of {processes:?} still lives"
        );
        let again = kill(node.pid(), BOUND).unwrap();
        assert!(again.ok && again.n_processes == 0, "{again:?}");
        println!("measured kill of {} processes: {} us", killed.n_processes, killed.duration_us);
    });
}

#[test]
fn a_paused_node_does_nothing_until_it_is_continued() {
    inside("a_paused_node_does_nothing_until_it_is_continued", || {
        let node = Node::start(&format!("({FAMILY}) & wait"));
        node.wait_for(5);
        assert!(!is_paused(node.pid()).unwrap());
        let paused = pause(node.pid(), BOUND).unwrap();
        assert!(paused.ok && paused.unlike.is_empty() && paused.processes.len() >= 5, "{paused:?}");
        assert!(is_paused(node.pid()).unwrap());
        let spent = |processes: &[u32]| -> Vec<_> { processes.iter().map(|pid| field(*pid, USER_TICKS)).collect() };
        let before = spent(&paused.processes);
        // Long enough for a process that runs to be charged a tick of 10 ms.
        let until_then = Instant::now() + Duration::from_millis(50);
        until(|| Instant::now() > until_then);
        assert_eq!(spent(&paused.processes), before);
        let resumed = resume(node.pid(), BOUND).unwrap();
        assert!(resumed.ok && resumed.processes == paused.processes, "{resumed:?}");
        until(|| spent(&paused.processes) != before);
        println!(
            "measured pause of {} processes: {} us, continue: {} us",
            paused.processes.len(),
            paused.duration_us,
            resumed.duration_us
        );
    });
}

#[test]
fn a_node_that_forks_without_end_is_paused_as_a_whole_and_goes_on_as_a_whole() {
    inside("a_node_that_forks_without_end_is_paused_as_a_whole_and_goes_on_as_a_whole", || {
        let node = Node::start(FORKS);
        let loops = || -> Vec<u32> {
            processes_of(node.pid())
                .unwrap()
                .into_iter()
                .filter(|pid| field(*pid, PARENT) == Some(node.pid().into()))
                .collect()
        };
        until(|| loops().len() == 2);
        let loops = loops();
        for round in 0..50 {
            let paused = pause(node.pid(), BOUND).unwrap();
            assert!(paused.ok, "{round}: {paused:?}");
            assert_eq!(processes_of(node.pid()).unwrap(), paused.processes, "nobody came or went since");
            let reaped: Vec<_> = loops.iter().map(|pid| field(*pid, FAULTS_OF_REAPED)).collect();
            let resumed = resume(node.pid(), BOUND).unwrap();
            assert!(resumed.ok, "{round}: {resumed:?}");
            for (pid, before) in loops.iter().zip(reaped) {
                until(|| field(*pid, FAULTS_OF_REAPED) > before);
            }
        }
    });
}

#[test]
fn pause_and_kill_reach_a_namespace_inside_the_nodes() {
    inside("pause_and_kill_reach_a_namespace_inside_the_nodes", || {
        let outer = Node::start("unshare --pid --fork sh -c 'sleep 1000 & wait' & wait");
        outer.wait_for(3);
        let paused = pause(outer.pid(), BOUND).unwrap();
        assert!(paused.ok && paused.processes.len() == 3, "{paused:?}");
        assert!(kill(outer.pid(), BOUND).unwrap().ok, "a paused node can be killed");
        assert!(paused.processes.iter().all(|pid| !process::signal(*pid, Signal::Kill).unwrap()));
    });
}

#[test]
fn a_node_without_processes_is_never_called_paused() {
    inside("a_node_without_processes_is_never_called_paused", || {
        let node = Node::start("exec sleep 1000");
        until(|| std::fs::read_to_string(format!("/proc/{}/comm", node.pid())).unwrap() == "sleep\n");
        let paused = pause(node.pid(), Duration::from_millis(20)).unwrap();
        assert!(!paused.ok && paused.processes.is_empty(), "{paused:?}");
        assert!(!is_paused(node.pid()).unwrap());
        let ended = kill(node.pid(), BOUND).unwrap();
        assert!(ended.ok);
        assert!(!pause(node.pid(), Duration::from_millis(20)).unwrap().ok, "nor is a dead one");
    });
}
