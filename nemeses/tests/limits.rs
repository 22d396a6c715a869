//! Limits against the kernel: a program that opens a file again and again is refused, and later is not; Redis gets the processor time that it may have and
//! no more, and is killed when it takes more memory than it may.
//!
//! The groups are the host's own, if it lets us make any; and in any case those of version 2 in a User Mode Linux kernel, whose root we are.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "helpers of tests stand outside the tests")]

mod support;

use std::fs::{self, File};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use squall_nemeses::limits::descriptors::Descriptors;
use squall_nemeses::limits::load::{self, exhaust, prove_cpu};
use squall_nemeses::limits::{Controller, Groups, NodeGroup, Version};
use squall_nemeses::process::processes_of;
use support::redis::{Client, Redis, prepare};
use support::{inside, skip, uml};

/// Long enough for a loaded machine.
const BOUND: Duration = Duration::from_secs(10);
/// Set where the groups must be of version 2.
const ONLY_V2: &str = "SQUALL_GROUPS_OF_VERSION_2";
/// Makes this binary do a burner's or a hog's work instead of a test's.
const WORK: &str = "SQUALL_LIMITS_WORK";

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

/// A group that goes with the test.
struct Grouped {
    groups: Groups,
    node: NodeGroup,
}

impl Grouped {
    /// A node's group on this machine; or a line why there is none. That a host takes none of an ordinary user is no failure: another kernel does.
    fn new(test: &str) -> Option<Grouped> {
        let groups = Groups::create(test).unwrap();
        if !groups.refused.is_empty() {
            assert!(!only_v2(), "{:?}", groups.refused);
            println!("skipped {test} on this host, not in User Mode Linux: {:?}", groups.refused);
            groups.remove(BOUND).unwrap();
            return None;
        }
        let node = NodeGroup::create(&groups, "n1").unwrap();
        let versions = Controller::ALL.map(|controller| node.version(controller).unwrap());
        assert!(!only_v2() || versions == [Version::V2; 2], "{versions:?}");
        println!("measured with groups of {versions:?}");
        Some(Grouped { groups, node })
    }

    /// Takes a running process in.
    fn take_in(&self, pid: u32) {
        for door in self.node.doors() {
            fs::write(door, pid.to_string()).unwrap();
        }
    }

    /// A process of ours that does `work` in the group. What it prints as a test is none of its figures.
    fn worker(&self, work: &str) -> Command {
        let mut command = Command::new("/bin/sh");
        command
            .args(["-c", "exec \"$@\" 2>&1 >/dev/null", "sh"])
            .arg(std::env::current_exe().unwrap());
        command.args(["--exact", "works_in_a_group_when_it_is_asked_to", "--nocapture"]);
        let doors = self.node.doors();
        let doors: Vec<&str> = doors.iter().map(|door| door.to_str().unwrap()).collect();
        command.env(WORK, format!("{work} {}", doors.join(" ")));
        command
    }
}

impl Drop for Grouped {
    fn drop(&mut self) {
        self.groups.remove(BOUND).unwrap();
    }
}

fn only_v2() -> bool {
    std::env::var_os(ONLY_V2).is_some()
}

#[test]
fn works_in_a_group_when_it_is_asked_to() {
    let Ok(work) = std::env::var(WORK) else { return };
    let mut words = work.split(' ');
    let (kind, doors) = (words.next().unwrap(), words.map(Into::into).collect::<Vec<_>>());
    match kind.strip_prefix("hog:") {
        Some(bytes) => load::hog(&doors, bytes.parse().unwrap()).unwrap(),
        None => eprintln!("{}", load::burn(&doors, load::BURN).unwrap().as_micros()),
    }
}

fn redis(test: &str, data: &tempfile::TempDir) -> Option<Redis> {
    match prepare(data.path(), &[]) {
        Ok(prepared) => Some(prepared.start()),
        Err(why) => {
            skip(test, &why);
            None
        }
    }
}

/// Has Redis count, and tells the processor time it got for it and how long it took.
fn count(client: &mut Client) -> (Duration, Duration) {
    let used = |client: &mut Client| -> f64 {
        let told = client.say("INFO cpu");
        let line = told.lines().find_map(|line| line.strip_prefix("used_cpu_user_main_thread:"));
        line.unwrap_or_else(|| panic!("{told}")).trim().parse().unwrap()
    };
    let (before, began) = (used(client), Instant::now());
    let done = client.ask(&["EVAL", "local n = 0 for i = 1, 10000000 do n = n + i % 7 end return n", "0"]);
    let took = began.elapsed();
    assert_eq!(done.unwrap(), "29999997");
    (Duration::from_secs_f64(used(client) - before), took)
}

#[test]
fn redis_gets_its_quota_of_processor_time_and_all_of_it_after_the_heal() {
    let test = "redis_gets_its_quota_of_processor_time_and_all_of_it_after_the_heal";
    let data = tempfile::tempdir().unwrap();
    let (Some(group), Some(redis)) = (Grouped::new(test), redis(test, &data)) else {
        return;
    };
    group.take_in(redis.server.0.id());
    let mut client = redis.client();
    let prove_within = |percent, bound| prove_cpu(&group.node, percent, || group.worker("burn"), bound).unwrap().ok;
    let (prove, seems) = (
        |percent| prove_within(percent, BOUND),
        |percent| prove_within(percent, Duration::ZERO),
    );
    let throttled = |client: &mut Client| {
        let before = group.node.times_throttled().unwrap();
        let (got, took) = count(client);
        (group.node.times_throttled().unwrap() - before, got, took)
    };
    assert!(prove(None));
    assert_eq!(throttled(&mut client).0, 0, "before the fault");

    group.node.limit_cpu(Some(20)).unwrap();
    assert!(prove(Some(20)) && !seems(None), "the probe tells a quota from none");
    let (n, got, took) = throttled(&mut client);
    // In each period of 100 ms it gets 20 ms at most, and a tick more of a kernel that counts in ticks.
    let most = (took.as_secs_f64() * 10.0 + 2.0) * 0.03;
    println!("measured 20 % of a processor: {got:?} in {took:?}, {n} times throttled");
    assert!(n > 0 && got.as_secs_f64() <= most, "{got:?} in {took:?}, {n} times throttled");

    group.node.limit_cpu(None).unwrap();
    assert!(prove(None) && !seems(Some(20)));
    assert_eq!(throttled(&mut client).0, 0, "after the heal");
}

/// Has Redis keep so many MiB more; what it answered.
fn fill(redis: &Redis, mebibytes: usize) -> std::io::Result<()> {
    let mut client = redis.client();
    for number in 0..mebibytes {
        client.ask(&["SET", &format!("filler{number}"), &"x".repeat(1 << 20)])?;
    }
    Ok(())
}

#[test]
fn the_kernel_kills_redis_when_it_takes_more_memory_than_it_may_and_not_after_the_heal() {
    let test = "the_kernel_kills_redis_when_it_takes_more_memory_than_it_may_and_not_after_the_heal";
    let data = tempfile::tempdir().unwrap();
    let (Some(group), Some(victim)) = (Grouped::new(test), redis(test, &data)) else {
        return;
    };
    group.take_in(victim.server.0.id());
    fill(&victim, 24).unwrap();
    assert_eq!(group.node.times_out_of_memory().unwrap(), 0);
    assert!(group.node.limit_memory(Some(8 << 10)).unwrap().is_some());
    assert!(fill(&victim, 64).is_err(), "it took 40 MiB beyond its limit of 8");
    victim.ended();
    assert_eq!(group.node.times_out_of_memory().unwrap(), 1);

    group.node.limit_memory(None).unwrap();
    let after = redis(test, &data).unwrap();
    group.take_in(after.server.0.id());
    fill(&after, 64).unwrap();
    assert_eq!(
        (after.client().say("DBSIZE"), group.node.times_out_of_memory().unwrap()),
        ("64".into(), 1)
    );

    // The fault itself does not wait for the node to ask for memory.
    let exhausted = exhaust(
        &group.node,
        4 << 10,
        after.server.0.id(),
        |bytes| group.worker(&format!("hog:{bytes}")),
        BOUND,
    );
    let exhausted = exhausted.unwrap();
    assert!(exhausted.ok, "{exhausted:?}");
    after.ended();
}

#[test]
fn groups_of_version_2_pass_these_tests() {
    let test = "groups_of_version_2_pass_these_tests";
    if uml::is_init() {
        uml::set_up(&[]);
        let place = Path::new("/sys/fs/cgroup");
        mount(Some("cgroup2"), place, Some("cgroup2"), MsFlags::empty(), None::<&str>).unwrap();
        println!("controllers: {}", fs::read_to_string(place.join("cgroup.controllers")).unwrap());
        let mut suite = Command::new(std::env::current_exe().unwrap());
        suite.args(["--skip", test, "--nocapture", "--test-threads=1"]);
        suite
            .env(ONLY_V2, "1")
            .env("CI", "true")
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        println!("the suite ended with {}", suite.status().unwrap());
        uml::switch_off();
    }
    if only_v2() {
        return println!("these are of version 2 already");
    }
    let Some(kernel) = uml::kernel() else {
        return skip(test, "there is no `linux.uml`; install the package `user-mode-linux`");
    };
    let text = uml::boot(&kernel, test);
    assert!(text.contains("the suite ended with exit status: 0"), "{text}");
    assert!(
        text.contains("measured with groups of [V2, V2]") && !text.contains("skipped"),
        "{text}"
    );
    let measured = text.lines().filter_map(|line| line.find("measured ").map(|start| &line[start..]));
    measured.for_each(|line| println!("{line}, in User Mode Linux"));
}
