//! Tests of the streams: their rate, their keys, their values.

use std::collections::{BTreeMap, BTreeSet};

use super::{Kind, Options, Workload};
use crate::client::{Argument, ErrorNote, Function, Operation, Outcome, Seen};
use crate::{Generator, Step};

fn register(options: Options) -> Workload {
    Workload::new(Kind::Register, options).expect("the test's options are sound")
}

/// The first operations of a client, by count. Streaming them is a hundred times faster than asking for each.
fn first(options: &Options, client: u32, n_operations: usize) -> Vec<Operation> {
    let closed = register(Options {
        rate: 0,
        ..options.clone()
    });
    drive(&mut *closed.generator(client), 1, n_operations as u64)
        .into_iter()
        .map(|(_, operation)| operation)
        .collect()
}

/// Drives a generator with a clock that jumps to whatever it waits for; an operation takes `operation_ns`.
fn drive(generator: &mut dyn Generator, operation_ns: u64, end_ns: u64) -> Vec<(u64, Operation)> {
    let mut now_ns = 0;
    let mut done = Vec::new();
    while now_ns < end_ns {
        match generator.next(now_ns, None) {
            Step::Invoke(operation) => {
                done.push((now_ns, operation));
                now_ns += operation_ns;
            }
            Step::WaitUntil(due_ns) => {
                assert!(due_ns > now_ns, "a wait leads forward");
                now_ns = due_ns;
            }
            Step::Done => panic!("a register workload has no end of its own"),
        }
    }
    done
}

#[test]
fn an_operation_depends_on_seed_client_and_count_only() {
    let workload = register(Options {
        seed: 7,
        ..Options::default()
    });
    let all = |order: &mut dyn Iterator<Item = u64>| -> BTreeMap<u64, Operation> {
        order.map(|count| (count, workload.operation(4, count))).collect()
    };
    assert_eq!(all(&mut (0..300)), all(&mut (0..300).rev()));

    let closed = register(Options {
        seed: 7,
        rate: 0,
        ..Options::default()
    });
    let streamed = drive(&mut *closed.generator(4), 10, 3000);
    for (count, (_, operation)) in streamed.into_iter().enumerate() {
        assert_eq!(operation, workload.operation(4, count as u64), "count {count}");
    }
}

#[test]
fn another_seed_is_another_stream() {
    let ops = |seed| {
        (0..50)
            .map(|count| {
                register(Options {
                    seed,
                    ..Options::default()
                })
                .operation(0, count)
            })
            .collect::<Vec<_>>()
    };
    assert_ne!(ops(1), ops(2));
}

#[test]
fn the_first_operations_of_seed_7_stay_what_they_are() {
    let workload = register(Options {
        seed: 7,
        ..Options::default()
    });
    let line = |client| {
        (0..6)
            .map(|count| workload.operation(client, count).to_string())
            .collect::<Vec<_>>()
            .join(", ")
    };
    insta::assert_snapshot!((0..3).map(line).collect::<Vec<_>>().join("\n"), @r"
    write k1 1, read k1, read k0, read k0, read k1, write k0 51
    write k1 2, read k0, read k0, write k0 32, write k1 42, write k0 52
    write k1 3, write k1 13, read k0, read k1, read k0, read k1
    ");
    let due: Vec<String> = drive(&mut *workload.generator(0), 1_000_000, 60_000_000)
        .iter()
        .map(|(at_ns, _)| at_ns.to_string())
        .collect();
    insta::assert_snapshot!(due.join(" "), @"4874335 19995104 24886673 39906450 46757966 59303205");
}

#[test]
fn no_value_is_written_twice_and_each_tells_its_client() {
    let workload = register(Options {
        clients: 13,
        ..Options::default()
    });
    let mut seen = BTreeSet::new();
    for client in 0..13 {
        for count in 0..2000 {
            let operation = workload.operation(client, count);
            assert_eq!(operation.argument == Argument::None, operation.f == Function::Read);
            if let Argument::Value(value) = operation.argument {
                assert!(seen.insert(value), "{value} is written twice");
                assert_eq!((value - 1) % 13, i64::from(client));
            }
        }
    }
}

#[test]
fn every_key_is_shared_by_three_to_ten_clients() {
    for clients in 3..=60 {
        for clients_per_key in 3..=10 {
            let options = Options {
                clients,
                clients_per_key,
                ..Options::default()
            };
            let mut users: BTreeMap<String, BTreeSet<u32>> = BTreeMap::new();
            let mut count_of: BTreeMap<String, u32> = BTreeMap::new();
            for client in 0..clients {
                for operation in first(&options, client, 200) {
                    let key = operation.key.to_string();
                    users.entry(key.clone()).or_default().insert(client);
                    *count_of.entry(key).or_default() += 1;
                }
            }
            // The first and last keys of each place live shorter than the others within the part looked at.
            for (key, users) in users.iter().filter(|(key, _)| count_of[*key] >= 50) {
                assert!(
                    (3..=10).contains(&users.len()),
                    "{clients} clients, {clients_per_key} per key: {key} has {}",
                    users.len()
                );
            }
        }
    }
}

#[test]
fn in_every_window_of_time_a_key_has_three_to_ten_clients() {
    let options = Options {
        clients: 20,
        rate: 2_000,
        ..Options::default()
    };
    let workload = register(options);
    let mut windows: BTreeMap<(String, u64), BTreeSet<u32>> = BTreeMap::new();
    let mut lives: BTreeMap<String, (u64, u64)> = BTreeMap::new();
    for client in 0..20 {
        for (at_ns, operation) in drive(&mut *workload.generator(client), 2_000_000, 4_000_000_000) {
            let key = operation.key.to_string();
            windows.entry((key.clone(), at_ns / 200_000_000)).or_default().insert(client);
            let life = lives.entry(key).or_insert((at_ns, at_ns));
            *life = (life.0.min(at_ns), life.1.max(at_ns));
        }
    }
    let mut whole = 0;
    for ((key, window), users) in &windows {
        assert!(users.len() <= 10, "{key} in window {window}: {users:?}");
        let (from_ns, to_ns) = (window * 200_000_000, (window + 1) * 200_000_000);
        if lives[key].0 <= from_ns && lives[key].1 >= to_ns {
            whole += 1;
            assert!(users.len() >= 3, "{key} in window {window}: {users:?}");
        }
    }
    assert!(whole >= 20, "only {whole} windows were looked at");
}

#[test]
fn keeps_the_rate_and_the_order_of_slots() {
    let workload = register(Options {
        seed: 3,
        ..Options::default()
    });
    let mut all = Vec::new();
    for client in 0..10 {
        let done = drive(&mut *workload.generator(client), 300_000, 10_000_000_000);
        assert!(done.windows(2).all(|pair| pair[0].0 < pair[1].0));
        all.extend(done);
    }
    assert!((9_950..=10_000).contains(&all.len()), "{} operations in 10 s at 1000/s", all.len());
}

#[test]
fn a_client_that_was_blocked_goes_on_with_the_slots_of_now() {
    let workload = register(Options {
        seed: 7,
        ..Options::default()
    });
    let mut generator = workload.generator(2);
    let slot_ns = 10_000_000;
    let mut steps = Vec::new();
    let mut now_ns = 5 * 1_000_000_000;
    while steps.len() < 3 {
        match generator.next(now_ns, None) {
            Step::Invoke(operation) => steps.push(operation),
            Step::WaitUntil(due_ns) => now_ns = due_ns,
            Step::Done => unreachable!("a register workload has no end of its own"),
        }
    }
    let first = now_ns / slot_ns - 2;
    assert!((499..=500).contains(&first), "slot {first}");
    let expected: Vec<Operation> = (first..first + 3).map(|count| workload.operation(2, count)).collect();
    assert_eq!(steps, expected);
}

#[test]
fn a_key_lives_for_about_as_many_operations_as_asked() {
    let options = Options {
        ops_per_key: 120,
        keys_at_once: 3,
        ..Options::default()
    };
    let mut count_of: BTreeMap<String, u32> = BTreeMap::new();
    for client in 0..10 {
        first(&options, client, 2000)
            .iter()
            .for_each(|operation| *count_of.entry(operation.key.to_string()).or_default() += 1);
    }
    let mut counts: Vec<u32> = count_of.into_values().collect();
    counts.sort_unstable();
    let median = counts[counts.len() / 2];
    assert!((110..=130).contains(&median), "median {median} of {} keys", counts.len());
    assert!(counts.last() < Some(&200), "{counts:?}");
}

#[test]
fn says_which_option_is_out_of_range() {
    let check = |options: Options, expected: &str| {
        let message = options.validate().expect_err("the options are unsound");
        assert!(message.contains(expected), "{message}");
    };
    let good = Options::default();
    assert_eq!(good.validate(), Ok(()));
    check(
        Options {
            clients: 2,
            ..good.clone()
        },
        "`clients` is 2",
    );
    check(
        Options {
            clients: 1001,
            ..good.clone()
        },
        "`clients` is 1001",
    );
    check(
        Options {
            clients_per_key: 50,
            ..good.clone()
        },
        "`clients_per_key` is 50",
    );
    check(
        Options {
            keys_at_once: 0,
            ..good.clone()
        },
        "`keys_at_once` is 0",
    );
    check(
        Options {
            ops_per_key: 0,
            ..good.clone()
        },
        "`ops_per_key` is 0",
    );
    check(
        Options {
            rate: u32::MAX,
            ..good.clone()
        },
        "`rate` is 4294967295",
    );
    check(
        Options {
            reads_percent: 101,
            ..good.clone()
        },
        "`reads_percent` is 101",
    );
    check(
        Options {
            cas_percent: 101,
            ..good.clone()
        },
        "`cas_percent` is 101",
    );
    let cas = Options { cas_percent: 1, ..good };
    assert!(Workload::new(Kind::Register, cas.clone()).is_ok());
    assert!(Workload::new(Kind::Set, cas).unwrap_err().contains("`cas_percent` is 1"));
}

#[test]
fn names_the_unknown_word_in_a_plan() {
    let error = serde_json::from_str::<Options>(r#"{"clients":10,"keys":3}"#)
        .expect_err("`keys` is no option")
        .to_string();
    assert!(error.contains("unknown field `keys`"), "{error}");
}

#[test]
fn the_clients_of_a_group_meet_in_every_other_slot() {
    let options = Options {
        clients: 10,
        clients_per_key: 5,
        rate: 1_000,
        seed: 11,
        ..Options::default()
    };
    let workload = Workload::new(Kind::Register, options).expect("the options fit");
    let due: Vec<Vec<u64>> = (0..10)
        .map(|client| {
            drive(&mut *workload.generator(client), 1_000, 200_000_000)
                .iter()
                .map(|(due_ns, _)| *due_ns)
                .collect()
        })
        .collect();
    for group in [&due[..5], &due[5..]] {
        let met = group[0]
            .iter()
            .filter(|moment| group.iter().all(|client| client.contains(moment)))
            .count();
        assert!((8..=11).contains(&met), "{met} of 20 slots");
    }
    assert!(
        due[0].iter().filter(|moment| due[5].contains(moment)).count() < 3,
        "groups keep no step with each other"
    );
}

#[test]
fn deletes_take_the_place_of_writes_and_move_nothing_else() {
    let with = |deletes_percent| {
        let options = Options {
            deletes_percent,
            ..Options::default()
        };
        let register = register(options);
        (0..1000).map(|count| register.operation(0, count)).collect::<Vec<_>>()
    };
    let (plain, deleting) = (with(0), with(20));
    let mut deletes = 0;
    for (before, after) in plain.iter().zip(&deleting) {
        if before == after {
            continue;
        }
        assert_eq!(
            (before.f, after.f, after.argument),
            (Function::Write, Function::Write, Argument::None)
        );
        assert_eq!(before.key, after.key);
        deletes += 1;
    }
    assert!(
        (60..140).contains(&deletes),
        "{deletes} of about 500 changes are deletes, 100 were asked for"
    );
}

/// A closed loop of one client that changes registers by compare-and-set only; answers by `answer`.
fn expectations(answer: impl Fn(&Operation) -> Outcome) -> Vec<(Option<i64>, i64)> {
    let options = Options {
        rate: 0,
        reads_percent: 30,
        cas_percent: 100,
        keys_at_once: 1,
        ops_per_key: 1_000_000,
        ..Options::default()
    };
    let mut generator = register(options).generator(0);
    let (mut pairs, mut last) = (Vec::new(), None);
    for _ in 0..100 {
        let Step::Invoke(operation) = generator.next(0, last.as_ref()) else {
            panic!("a closed loop never waits")
        };
        if let Argument::Pair(expected, new) = operation.argument {
            pairs.push((expected, new));
        }
        last = Some(answer(&operation));
    }
    pairs
}

#[test]
fn a_compare_and_set_expects_what_its_client_saw_last() {
    let pairs = expectations(|operation| match operation.argument {
        Argument::None => Outcome::Ok(Seen::Number(4)),
        _ => Outcome::Ok(Seen::Nothing),
    });
    assert!(pairs.len() > 50, "{pairs:?}");
    assert!(pairs[1..].iter().all(|(expected, _)| expected.is_some()), "{pairs:?}");
    assert!(pairs.iter().any(|(expected, _)| *expected == Some(4)), "what a read saw");
    assert!(pairs.windows(2).any(|two| two[1].0 == Some(two[0].1)), "what it set itself");

    let pairs = expectations(|_| Outcome::Failed(ErrorNote::mismatch(Seen::Number(9))));
    assert!(
        pairs[2..].iter().all(|(expected, _)| *expected == Some(9)),
        "what was there instead: {pairs:?}"
    );

    let pairs = expectations(|_| Outcome::Failed(ErrorNote::new("no-quorum", "")));
    assert!(pairs.iter().all(|(expected, _)| expected.is_none()), "{pairs:?}");
}

#[test]
fn elements_are_unique_and_increments_are_equal() {
    let operations = |kind| {
        let workload = Workload::new(kind, Options::default()).expect("the options fit");
        (0..10)
            .flat_map(|client| (0..500).map(move |count| (client, count)))
            .map(|(client, count)| workload.operation(client, count))
            .collect::<Vec<_>>()
    };
    let mut elements = BTreeSet::new();
    for operation in operations(Kind::Set) {
        match operation.argument {
            Argument::Value(element) => {
                assert_eq!(operation.f, Function::AddElement);
                assert!(elements.insert(element), "{element} is added twice");
            }
            _ => assert_eq!(operation.f, Function::ReadSet),
        }
    }
    assert!(elements.len() > 2_000);
    let changes = |operation: &Operation| operation.f == Function::Increment && operation.argument == Argument::Value(1);
    let (increments, reads): (Vec<_>, Vec<_>) = operations(Kind::Counter).into_iter().partition(changes);
    assert!(increments.len() > 2_000 && reads.iter().all(|read| read.f == Function::ReadCounter));
}

#[test]
fn every_workload_is_listed_under_its_name() {
    for kind in Kind::ALL {
        assert_eq!(Kind::named(kind.name()), Some(kind));
        let functions = kind.functions(&Options::default());
        assert!(functions.contains(&kind.read()) && functions.iter().any(|f| !f.changes_nothing()));
    }
    assert_eq!(Kind::named("nosuch"), None);
}
