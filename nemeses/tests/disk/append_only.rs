//! Redis with its log of commands (AOF) on a disk of ours: what it acknowledged by its promise is there after every power cut, what it did not promise
//! is lost, and its own checker takes what each cut leaves.

use std::fs::File;
use std::process::Command;
use std::time::{Duration, Instant};

use squall_nemeses::disk::{Caching, Cut, Operation, Rules, SyncTrouble, Trouble};

use crate::machine::{Machine, skip, with_machine};
use crate::program::{find, output};
use crate::redis::{Client, Redis, prepare};

/// Its log is one file for all, which grows; nothing rewrites it meanwhile.
const LOG: [&str; 4] = ["--appendonly", "yes", "--auto-aof-rewrite-percentage", "0"];
const MANIFEST: &str = "appendonlydir/appendonly.aof.manifest";
const N_SYNCED: usize = 40;
const N_UNSYNCED: usize = 25;

/// Redis on the machine's disk; a line why not where there is none.
fn start(machine: &Machine, fsync: &str) -> Option<Redis> {
    match prepare(&machine.mount, &[&LOG[..], &["--appendfsync", fsync]].concat()) {
        Ok(prepared) => Some(prepared.start()),
        Err(why) => {
            skip(&why);
            None
        }
    }
}

/// Sets so many keys more, each acknowledged; their names are their order.
fn set(client: &mut Client, keys: std::ops::Range<usize>) {
    for key in keys {
        assert_eq!(client.say(&format!("SET k{key} {}", "x".repeat(300))), "OK", "k{key}");
    }
}

/// How many keys there are, of which none is missing between others.
fn count(redis: &Redis) -> usize {
    let mut client = redis.client();
    let n = client.say("DBSIZE").parse().unwrap();
    for key in 0..n {
        assert_eq!(client.say(&format!("STRLEN k{key}")), "300", "k{key} of {n}");
    }
    n
}

/// What `redis-check-aof` says of the log, and whether it takes it. Told to, it cuts off what it cannot take.
fn check(machine: &Machine, fix: bool) -> (bool, String) {
    let mut command = Command::new("/bin/sh");
    let program = find("redis-check-aof", "redis-tools").unwrap();
    let script = if fix { "yes | \"$0\" --fix \"$1\"" } else { "exec \"$0\" \"$1\"" };
    command.args(["-c", script]).arg(program).arg(machine.path(MANIFEST));
    let output = output(&mut command);
    (output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned())
}

/// A machine on which Redis has run before, and whose folders are durable: Redis itself never syncs the folder of `appendonlydir`.
fn installed(machine: &Machine) -> Option<()> {
    let redis = start(machine, "always")?;
    redis.client().say("PING");
    redis.kill();
    File::open(&machine.mount).unwrap().sync_all().unwrap();
    Some(())
}

/// Sets keys that Redis syncs, then some that it does not, kills it and cuts the power.
fn lose(machine: &mut Machine, from: usize, cut: Cut) -> Option<()> {
    let redis = start(machine, "always")?;
    let mut client = redis.client();
    set(&mut client, from..from + N_SYNCED);
    assert_eq!(client.say("CONFIG SET appendfsync no"), "OK");
    set(&mut client, from + N_SYNCED..from + N_SYNCED + N_UNSYNCED);
    redis.kill();
    machine.cut_power(cut);
    Some(())
}

#[test]
fn a_power_cut_keeps_what_redis_synced_and_loses_what_it_did_not_to_the_last_write() {
    for rules in [Rules::PosixStrict, Rules::Ext4Ordered] {
        for caching in [Caching::Through, Caching::Back] {
            with_machine(rules, caching, move |machine| {
                if installed(machine).is_none() {
                    return;
                }
                for round in 1..=2 {
                    let expected = round * N_SYNCED;
                    lose(machine, expected - N_SYNCED, Cut::Clean).unwrap();
                    let (taken, said) = check(machine, false);
                    assert!(taken, "{rules:?} {caching:?}: {said}");
                    let redis = start(machine, "always").unwrap();
                    assert_eq!(count(&redis), expected, "{rules:?} {caching:?}");
                    redis.kill();
                }
            });
        }
    }
}

#[test]
fn whatever_tail_a_torn_cut_leaves_the_checker_mends_and_no_promise_is_broken() {
    for rules in [Rules::PosixStrict, Rules::Ext4Ordered] {
        with_machine(rules, Caching::Through, move |machine| {
            if installed(machine).is_none() {
                return;
            }
            let (mut n_torn, mut from) = (0, 0);
            for seed in 0..6 {
                lose(machine, from, Cut::Torn(seed)).unwrap();
                if !check(machine, false).0 {
                    n_torn += 1;
                    let (mended, said) = check(machine, true);
                    assert!(mended, "{rules:?} {seed}: {said}");
                }
                let redis = start(machine, "always").unwrap();
                let n = count(&redis);
                let possible = from + N_SYNCED..=from + N_SYNCED + N_UNSYNCED;
                assert!(possible.contains(&n), "{rules:?} {seed}: {n} keys, not {possible:?}");
                redis.kill();
                from = n;
            }
            assert!(n_torn > 0, "{rules:?}: no cut tore the log");
        });
    }
}

#[test]
fn a_new_redis_whose_folder_nobody_synced_is_lost_by_posix_and_not_by_ext4() {
    for (rules, left) in [(Rules::PosixStrict, 0), (Rules::Ext4Ordered, N_SYNCED)] {
        with_machine(rules, Caching::Through, move |machine| {
            let Some(()) = lose(machine, 0, Cut::Clean) else { return };
            assert_eq!(count(&start(machine, "always").unwrap()), left, "{rules:?}");
        });
    }
}

#[test]
fn a_lying_fsync_breaks_the_promise_of_redis_and_only_while_it_lies() {
    with_machine(Rules::PosixStrict, Caching::Through, |machine| {
        if installed(machine).is_none() {
            return;
        }
        let redis = start(machine, "always").unwrap();
        let mut client = redis.client();
        set(&mut client, 0..10);
        machine.disk.set_trouble(Trouble {
            sync: Some(SyncTrouble::Lies),
            ..Trouble::default()
        });
        set(&mut client, 10..20);
        redis.kill();
        machine.cut_power(Cut::Clean);
        machine.disk.set_trouble(Trouble::default());
        let redis = start(machine, "always").unwrap();
        assert_eq!(count(&redis), 10, "those that it acknowledged under the lie are gone");
        set(&mut redis.client(), 10..20);
        redis.kill();
        machine.cut_power(Cut::Clean);
        assert_eq!(count(&start(machine, "always").unwrap()), 20, "after the heal none is");
    });
}

/// What Redis answers to a write, until it is what is waited for.
fn wait_for_answer(client: &mut Client, what: &str) -> String {
    let mut answer = String::new();
    crate::program::until(what, || {
        answer = client.say("SET k x");
        answer.contains(what)
    });
    answer
}

#[test]
fn a_disk_that_takes_no_writes_is_what_redis_complains_of_until_it_takes_them_again() {
    let full = Trouble {
        full: true,
        ..Trouble::default()
    };
    let read_only = Trouble {
        read_only: true,
        ..Trouble::default()
    };
    let broken = Trouble {
        broken: [Operation::Write].into(),
        ..Trouble::default()
    };
    with_machine(Rules::PosixStrict, Caching::Through, move |machine| {
        let Some(redis) = start(machine, "everysec") else { return };
        let mut client = redis.client();
        for (trouble, reason) in [
            (full, "No space left on device"),
            (read_only, "Read-only file system"),
            (broken, "Input/output error"),
        ] {
            assert_eq!(client.say("SET k x"), "OK", "before: {reason}");
            machine.disk.set_trouble(trouble);
            let answer = wait_for_answer(&mut client, "MISCONF");
            assert!(answer.contains(reason), "{answer}");
            machine.disk.set_trouble(Trouble::default());
            wait_for_answer(&mut client, "OK");
        }
    });
}

#[test]
fn a_redis_that_cannot_keep_its_promise_ends_and_none_that_it_gave_is_broken() {
    let full = Trouble {
        full: true,
        ..Trouble::default()
    };
    let fails = Trouble {
        sync: Some(SyncTrouble::Fails),
        ..Trouble::default()
    };
    for (trouble, reason) in [(full, "No space left on device"), (fails, "Input/output error")] {
        with_machine(Rules::PosixStrict, Caching::Through, move |machine| {
            if installed(machine).is_none() {
                return;
            }
            let redis = start(machine, "always").unwrap();
            let mut client = redis.client();
            set(&mut client, 0..10);
            machine.disk.set_trouble(trouble);
            assert!(client.ask(&["SET", "k10", &"x".repeat(300)]).is_err(), "it must not acknowledge");
            let log = redis.ended();
            assert!(log.contains(reason) && log.contains("Exiting"), "{log}");
            machine.cut_power(Cut::Clean);
            machine.disk.set_trouble(Trouble::default());
            if !check(machine, false).0 {
                assert!(check(machine, true).0);
            }
            assert_eq!(count(&start(machine, "always").unwrap()), 10, "{reason}");
        });
    }
}

#[test]
fn a_slow_disk_makes_every_promise_of_redis_late() {
    const DELAY: Duration = Duration::from_millis(40);
    with_machine(Rules::PosixStrict, Caching::Through, |machine| {
        let Some(redis) = start(machine, "always") else { return };
        let mut client = redis.client();
        let mut timed = || {
            let began = Instant::now();
            assert_eq!(client.say("SET k x"), "OK");
            began.elapsed()
        };
        machine.disk.set_trouble(Trouble {
            delay_us: u64::try_from(DELAY.as_micros()).unwrap(),
            ..Trouble::default()
        });
        // A write and a sync. The lower bound is exact; there is none above, since a machine may be busy.
        assert!((0..3).all(|_| timed() >= 2 * DELAY));
        machine.disk.set_trouble(Trouble::default());
        assert!((0..20).map(|_| timed()).min().unwrap() < 2 * DELAY);
    });
}
