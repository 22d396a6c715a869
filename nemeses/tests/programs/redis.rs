//! Redis at a node: its connections, its processes, its descriptors and its clock.

use std::io::{BufRead, BufReader, Read};
use std::net::Ipv4Addr;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::sched::{CloneFlags, unshare};
use squall_nemeses::limits::descriptors::Descriptors;
use squall_nemeses::link::Quality;
use squall_nemeses::process::{kill, pause, processes_of, resume};

use crate::said;
use crate::support::program::{BOUND, Running, find, until};
use crate::support::redis::{Prepared, Redis, prepare};
use crate::support::wired::{Wired, each_network};
use crate::support::{inside, skip};

/// A server at n2 that others reach; or a line why not.
fn at_n2(test: &str, wired: &Wired, data: &tempfile::TempDir) -> Option<Redis> {
    let address = wired.star.address("n2").to_string();
    match prepare(data.path(), &["--port", "6379", "--bind", &address, "--protected-mode", "no"]) {
        Ok(prepared) => Some(prepared.start_by(|command| wired.star.at("n2", || command.spawn().unwrap()))),
        Err(why) => {
            skip(test, &why);
            None
        }
    }
}

/// redis-cli at n1 that asks the server at n2.
fn cli(address: Ipv4Addr, words: &[&str]) -> Command {
    let mut command = Command::new(find("redis-cli", "redis-tools").unwrap());
    command.args(["-h", &address.to_string(), "-p", "6379"]).args(words);
    command
}

/// redis-cli at n1, when it has said `word`.
fn start_cli(wired: &Wired, words: &[&str], word: &str) -> Running {
    let mut command = cli(wired.star.address("n2"), words);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut client = Running(wired.star.at("n1", || command.spawn().unwrap()));
    let mut lines = BufReader::new(client.0.stdout.take().unwrap()).lines();
    let found = lines.by_ref().map_while(Result::ok).any(|line| line.contains(word));
    assert!(found, "redis-cli ended and never said `{word}`");
    // It must not fill up a pipe that nobody reads.
    std::thread::spawn(move || lines.for_each(drop));
    client
}

#[test]
fn redis_and_redis_cli_see_a_reset_of_their_connections_and_new_ones_live() {
    const NAME: &str = "redis::redis_and_redis_cli_see_a_reset_of_their_connections_and_new_ones_live";
    each_network(NAME, 2, |wired| {
        let data = tempfile::tempdir().unwrap();
        let reset = Quality {
            resets: 1,
            ..Quality::default()
        };
        if !wired.takes(&reset) {
            return;
        }
        let Some(redis) = at_n2(NAME, wired, &data) else { return };
        let mut asking = start_cli(wired, &["-r", "-1", "-i", "0.01", "PING"], "PONG");
        let _listening = start_cli(wired, &["SUBSCRIBE", "news"], "subscribe");
        let mut client = redis.client();
        assert_eq!(client.say("PUBLISH news before"), "1");
        wired.apply(&[("n1", "n2", &reset)]);
        until("redis-cli to end", || asking.0.try_wait().unwrap().is_some());
        let mut error = String::new();
        asking.0.stderr.take().unwrap().read_to_string(&mut error).unwrap();
        assert!(error.contains("Connection reset by peer"), "{error}");
        // The kernel's network resets whoever speaks.
        until("the server to lose its listener", || client.say("PUBLISH news after") == "0");
        let ping = || wired.star.at("n1", || said(&mut cli(wired.star.address("n2"), &["PING"])));
        assert_eq!(ping(), "PONG\n", "a reset is over at once");
        wired.apply(&[]);
        assert_eq!(ping(), "PONG\n");
    });
}

#[test]
fn redis_cli_is_refused_by_a_link_that_refuses_and_by_no_other() {
    const NAME: &str = "redis::redis_cli_is_refused_by_a_link_that_refuses_and_by_no_other";
    each_network(NAME, 2, |wired| {
        let data = tempfile::tempdir().unwrap();
        let refuse = Quality {
            refuse: true,
            ..Quality::default()
        };
        if !wired.takes(&refuse) {
            return;
        }
        let Some(_redis) = at_n2(NAME, wired, &data) else { return };
        let ping = |from| wired.star.at(from, || said(&mut cli(wired.star.address("n2"), &["PING"])));
        assert_eq!(ping("n1"), "PONG\n");
        wired.apply(&[("n1", "n2", &refuse)]);
        assert!(ping("n1").contains("Connection refused"), "{}", ping("n1"));
        assert_eq!(ping("clients"), "PONG\n");
        wired.apply(&[]);
        assert_eq!(ping("n1"), "PONG\n");
    });
}

/// Redis below an init of its own, as a node is.
struct Node {
    redis: Redis,
}

impl Node {
    fn start(prepared: Prepared) -> Node {
        let in_namespace = |command: &mut Command| -> Child {
            let mut init = Command::new("/bin/sh");
            init.args(["-c", "\"$@\" & wait", "init"])
                .arg(command.get_program())
                .args(command.get_args());
            let start = || {
                // Of this thread's children alone, which is why it is a thread of its own.
                unshare(CloneFlags::CLONE_NEWPID).unwrap();
                init.stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap()
            };
            std::thread::scope(|scope| scope.spawn(start).join().unwrap())
        };
        Node {
            redis: prepared.start_by(in_namespace),
        }
    }

    fn init(&self) -> u32 {
        self.redis.server.0.id()
    }
}

fn node(test: &str, data: &tempfile::TempDir, options: &[&str], body: impl FnOnce(Node)) {
    inside(test, || match prepare(data.path(), options) {
        Ok(prepared) => body(Node::start(prepared)),
        Err(why) => skip(test, &why),
    });
}

#[test]
fn a_paused_redis_takes_a_request_and_answers_when_it_is_continued() {
    let data = tempfile::tempdir().unwrap();
    node(
        "redis::a_paused_redis_takes_a_request_and_answers_when_it_is_continued",
        &data,
        &[],
        |node| {
            let mut client = node.redis.client();
            client.say("SET a before");
            assert!(pause(node.init(), BOUND).unwrap().ok);
            let mut waiting = node.redis.client();
            waiting.0.get_ref().set_read_timeout(Some(Duration::from_millis(300))).unwrap();
            assert!(waiting.ask(&["SET", "a", "during"]).is_err(), "a paused server answers nobody");
            assert!(resume(node.init(), BOUND).unwrap().ok);
            // What was asked meanwhile is done, though who asked had given up.
            until("the request of the pause", || client.say("GET a") == "during");
            assert!(processes_of(node.init()).unwrap().len() == 1);
        },
    );
}

#[test]
fn a_killed_redis_is_gone_and_keeps_what_it_wrote_while_the_machine_lives() {
    let data = tempfile::tempdir().unwrap();
    let options = ["--appendonly", "yes", "--appendfsync", "no"];
    node(
        "redis::a_killed_redis_is_gone_and_keeps_what_it_wrote_while_the_machine_lives",
        &data,
        &options,
        |node| {
            let mut client = node.redis.client();
            client.say("SET a acknowledged");
            let killed = kill(node.init(), BOUND).unwrap();
            assert!(killed.ok && killed.n_processes == 1, "{killed:?}");
            assert!(client.ask(&["PING"]).is_err(), "its connections are gone");
            assert!(node.redis.try_client().is_err());
            let again = prepare(data.path(), &options).unwrap().start();
            assert_eq!(again.client().say("GET a"), "acknowledged");
        },
    );
}

#[test]
fn a_redis_without_descriptors_takes_no_connection_until_it_has_some_again() {
    let data = tempfile::tempdir().unwrap();
    node(
        "redis::a_redis_without_descriptors_takes_no_connection_until_it_has_some_again",
        &data,
        &[],
        |node| {
            let mut old = node.redis.client();
            assert_eq!(node.redis.client().say("PING"), "PONG");
            // It may not have seen yet that the last connection has ended.
            until("the others to be gone", || old.say("CLIENT LIST TYPE normal").lines().count() == 1);
            let mut descriptors = Descriptors::default();
            assert!(descriptors.limit(node.init(), Some(0)).unwrap().ok);
            let mut refused = node.redis.client();
            refused.0.get_ref().set_read_timeout(Some(Duration::from_millis(300))).unwrap();
            assert!(refused.ask(&["PING"]).is_err());
            assert_eq!(old.say("PING"), "PONG", "what is open stays open");
            assert!(descriptors.limit(node.init(), None).unwrap().ok);
            // It was in the queue all the while, and its question with it.
            refused.0.get_ref().set_read_timeout(Some(BOUND)).unwrap();
            assert_eq!(refused.ask(&["ECHO", "later"]).unwrap(), "PONG");
            assert_eq!(node.redis.client().say("PING"), "PONG");
        },
    );
}

#[cfg(target_arch = "x86_64")]
#[test]
fn the_clock_of_redis_is_moved_and_its_keys_expire_by_it() {
    use squall_nemeses::clock::{Page, Skew, spawn};
    const HOUR_MS: i64 = 3_600_000;
    let folder = tempfile::tempdir().unwrap();
    let mut page = Page::create(&folder.path().join("page")).unwrap();
    let data = tempfile::tempdir().unwrap();
    let prepared = match prepare(data.path(), &[]) {
        Ok(prepared) => prepared,
        Err(why) => return skip("redis::the_clock_of_redis_is_moved_and_its_keys_expire_by_it", &why),
    };
    let path = page.path().to_owned();
    let redis = prepared.start_by(|command| spawn(command, &path, Command::spawn).unwrap().0);
    let mut client = redis.client();
    let mut shows = |page: &Page, when: &str| {
        let before = page.shows(squall_nemeses::clock::true_ns());
        let told = client.say("TIME");
        let after = page.shows(squall_nemeses::clock::true_ns());
        let (seconds, micros) = told.split_once(' ').unwrap();
        let shown = (seconds.parse::<i64>().unwrap() * 1_000_000 + micros.parse::<i64>().unwrap()) * 1_000;
        assert!(
            (before - 1_000..=after).contains(&shown),
            "{when}: {shown} is not within {before}..={after}"
        );
        shown
    };
    let mut keys = redis.client();
    let jump = |hours: i64| Skew {
        offset_ms: hours * HOUR_MS,
        ..Skew::default()
    };
    shows(&page, "before the fault");
    keys.say("SET short x EX 3600");
    keys.say("SET long x EX 36000");

    page.set(&jump(-1)).unwrap();
    shows(&page, "an hour back");
    let left = keys.say("TTL short").parse::<i64>().unwrap();
    assert!((7_100..=7_200).contains(&left), "an hour more to live: {left} s");
    page.set(&jump(2)).unwrap();
    shows(&page, "two hours ahead");
    assert_eq!((keys.say("GET short"), keys.say("GET long")), ("(nil)".into(), "x".into()));
    page.set(&Skew { frozen: true, ..jump(2) }).unwrap();
    assert_eq!(shows(&page, "frozen"), shows(&page, "frozen still"));

    page.set(&Skew::default()).unwrap();
    shows(&page, "after the heal");
    let left = keys.say("TTL long").parse::<i64>().unwrap();
    assert!((35_000..=36_000).contains(&left), "as long as was asked: {left} s");
    assert_eq!(
        (keys.say("GET short"), keys.say("GET long")),
        ("(nil)".into(), "x".into()),
        "what expired stays so"
    );
}
