//! Every end of the search: budgets, the caller's stop, any width; and what is said then.

use std::collections::BTreeSet;

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::random::{Values, atomic, atomic_with_cas, disturbed};
use crate::history::History;
use crate::history::operation::{Function, Operation, Outcome};
use crate::history::testing::{of_operations, operation};
use crate::linearizability::{Budget, KeyResult, Options, Proof, check, check_with, linearization, proofs, verify};
use crate::verdict::Verdict;

/// Twelve clients that write few values, a long time.
fn hard() -> History {
    atomic_with_cas(&mut ChaCha8Rng::seed_from_u64(30), 2_000, 12, Values::Repeated, false)
}

#[track_caller]
fn unknown(options: &Options<'_>) -> String {
    let results = check_with(&hard(), options);
    let again = check_with(&hard(), options);
    assert_eq!(results, again, "the same work ends at the same place");
    assert_eq!(results[0].verdict, Verdict::Unknown);
    results[0].reason.clone().unwrap()
}

#[track_caller]
fn check_says_where(reason: &str, begin: &str) {
    assert!(reason.starts_with(begin), "{reason}");
    for part in [
        " between ",
        " operations at once and ",
        " of unknown outcome open; ",
        " is linearizable",
    ] {
        assert!(reason.contains(part), "{part:?} is missing: {reason}");
    }
}

#[test]
fn a_budget_of_configurations_ends_with_how_far_the_key_is_proved() {
    let budget = Budget {
        configurations: 500,
        ..Budget::default()
    };
    let reason = unknown(&Options {
        budget,
        ..Options::default()
    });
    check_says_where(&reason, "the budget of 500 configurations ended between ");
}

#[test]
fn a_budget_of_bytes_ends_with_how_far_the_key_is_proved() {
    let budget = Budget {
        bytes: 20_000,
        ..Budget::default()
    };
    let reason = unknown(&Options {
        budget,
        ..Options::default()
    });
    check_says_where(&reason, "the budget of 20000 bytes ended between ");
}

#[test]
fn a_stop_ends_with_how_far_the_key_is_proved() {
    let reason = unknown(&Options {
        stop: Some(&|| true),
        ..Options::default()
    });
    check_says_where(&reason, "the check was stopped between ");
}

#[test]
fn what_is_said_to_be_proved_is_linearizable() {
    let history = hard();
    for configurations in [500, 1_000, 2_000] {
        let budget = Budget {
            configurations,
            ..Budget::default()
        };
        let options = Options {
            budget,
            ..Options::default()
        };
        let reason = check_with(&history, &options).remove(0).reason.unwrap();
        let (_, line) = reason.rsplit_once("(line ").unwrap();
        let line: u64 = line[..line.find(')').unwrap()].parse().unwrap();
        let ended = history.operations.iter().find(|operation| operation.complete_line() == Some(line));
        let end_ns = ended.and_then(Operation::returned_ns).unwrap();
        // What was under way may have happened or not.
        let cut = |operation: &Operation| match operation.returned_ns() {
            Some(returned_ns) if returned_ns >= end_ns => {
                let is_change = operation.f != Function::Read && operation.outcome == Outcome::Ok;
                (is_change && operation.invoked_ns <= end_ns).then(|| operation.still_open())
            }
            _ => Some(*operation),
        };
        let proved = History {
            operations: history.operations.iter().filter_map(cut).collect(),
            ..history.clone()
        };
        assert_eq!(check(&proved)[0].verdict, Verdict::Valid);
    }
}

#[test]
fn any_number_of_operations_may_be_open_at_once() {
    for width in [65_u32, 130, 600, 3_000] {
        let mut operations: Vec<_> = (0..width)
            .map(|place| operation(place, Function::Write, Some(i64::from(place % 3)), 1, Some(1_000)))
            .collect();
        let read = |place: u32, value: i64, at_ns: u64| operation(place, Function::Read, Some(value), at_ns, Some(at_ns + 1));
        operations.extend([read(width, 2, 10), read(width + 1, 1, 20), read(width + 2, 2, 30)]);
        let good = of_operations(operations.clone());
        let result = check(&good).remove(0);
        assert_eq!(
            (result.verdict, result.algorithm),
            (Verdict::Valid, "frontier"),
            "{:?}",
            result.reason
        );
        let order = linearization(&good, result.key).unwrap();
        assert_eq!(verify::valid(&good, result.key, &order), Ok(()));
        operations.push(read(width + 3, 7, 40));
        assert_eq!(check(&of_operations(operations))[0].verdict, Verdict::Invalid);
    }
}

/// Forty keys of different lengths, through the reader; every third is disturbed.
fn of_many_keys() -> History {
    let mut chance = ChaCha8Rng::seed_from_u64(31);
    let mut events: Vec<(u64, bool, String)> = Vec::new();
    for key in 0..40 {
        let values = if key % 2 == 0 { Values::Unique } else { Values::Repeated };
        let mut operations = atomic(&mut chance, 20 + 10 * key, 4, values);
        if key % 3 == 0 {
            operations = disturbed(&mut chance, operations);
        }
        for operation in operations {
            let (process, f) = (1_000 * key as u64 + operation.process, operation.f);
            let name = if f == Function::Read { "read" } else { "write" };
            let mut push = |time_ns: u64, kind: &str, value: Option<i64>| {
                let value = value.map_or("null".to_owned(), |value| value.to_string());
                let line =
                    format!(r#"{{"time":{time_ns},"type":"{kind}","process":{process},"f":"{name}","key":"k{key}","value":{value}}}"#);
                events.push((time_ns, kind != "invoke", line));
            };
            push(operation.invoked_ns, "invoke", operation.argument.integer());
            if let Some(returned_ns) = operation.returned_ns() {
                push(returned_ns, "ok", operation.observed().unwrap_or(operation.argument).integer());
            }
        }
    }
    events.sort_by_key(|&(time_ns, is_return, _)| (time_ns, is_return));
    let lines: Vec<String> = events.into_iter().map(|(.., line)| line).collect();
    History::read(lines.join("\n").as_bytes()).unwrap()
}

#[test]
fn the_answer_is_the_same_for_any_number_of_threads() {
    let history = of_many_keys();
    let with = |threads: usize| -> (Vec<KeyResult>, String) {
        let options = Options {
            threads,
            ..Options::default()
        };
        let results = check_with(&history, &options);
        let proofs = proofs(&history, &results, &options);
        assert_eq!(proofs.len(), 40);
        for proof in &proofs {
            assert_eq!(proof.verify(&history), Ok(()), "{proof:?}");
        }
        (results, serde_json::to_string(&proofs).unwrap())
    };
    let one = with(1);
    let verdicts: BTreeSet<Verdict> = one.0.iter().map(|result| result.verdict).collect();
    assert_eq!(verdicts, BTreeSet::from([Verdict::Valid, Verdict::Invalid]));
    for threads in [0, 2, 7] {
        assert_eq!(with(threads), one);
    }
}

#[test]
fn a_proof_that_was_saved_is_replayed_and_one_that_was_changed_is_not_believed() {
    let history = of_many_keys();
    let saved = serde_json::to_string(&proofs(&history, &check(&history), &Options::default())).unwrap();
    let proofs: Vec<Proof> = serde_json::from_str(&saved).unwrap();
    for proof in proofs {
        assert_eq!(proof.verify(&history), Ok(()));
        let turned = match proof.verdict {
            Verdict::Valid => Verdict::Invalid,
            _ => Verdict::Valid,
        };
        let lies = [
            Proof {
                verdict: turned,
                ..proof.clone()
            },
            Proof {
                key: Some("k40".to_owned()),
                ..proof.clone()
            },
            Proof {
                key: None,
                ..proof.clone()
            },
            Proof {
                order: None,
                certificate: None,
                ..proof.clone()
            },
            Proof {
                order: proof.order.clone().map(|order| order[1..].to_vec()),
                certificate: None,
                ..proof
            },
        ];
        for lie in lies {
            assert!(lie.verify(&history).is_err(), "{lie:?}");
        }
    }
}
