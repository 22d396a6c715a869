//! Two algorithms that share nothing asked about the same large histories: zones and the frontier about unique values, the frontier and the
//! general search about repeated ones. `checker/tests` compares all of them with all orders of small histories.

use super::simulate::{Fault, Flags, simulate, write};
use crate::history::History;
use crate::history::formats::{ReadOptions, read};
use crate::history::values::ValueId;
use crate::linearizability::ByKey;
use crate::linearizability::budget::{Budget, Meter};
use crate::linearizability::check;
use crate::linearizability::frontier::{Found, Item, Register, search};
use crate::linearizability::general::{self, ModelChoice, check_model};
use crate::verdict::Verdict;

/// What one frontier may look at: a few seconds. Fifty clients at one register can need more, where zones need one sort.
const CONFIGURATIONS_MAX: u64 = 2_000_000;

/// A simulated history, and its verdict where that is certain.
fn history(flags: &Flags) -> (History, Option<Verdict>) {
    let simulated = simulate(flags);
    let mut file = Vec::new();
    write(&simulated.operations, &mut file).unwrap();
    let verdict = match flags.fault {
        Fault::None => Verdict::Valid,
        _ => Verdict::Invalid,
    };
    let history = read(file.as_slice(), &ReadOptions::default()).unwrap().history;
    (history, simulated.is_certain.then_some(verdict))
}

/// How often two algorithms both had an answer.
#[derive(Debug, Default)]
struct Tally {
    valid: usize,
    invalid: usize,
    open: usize,
}

/// Compares, key by key, what zones say with what the frontier says.
fn compare_with_frontier(flags: &Flags, tally: &mut Tally) {
    let (history, certain) = history(flags);
    let by_key = ByKey::of(&history);
    let results = check(&history);
    let verdict = Verdict::merge(results.iter().map(|result| result.verdict));
    assert!(certain.is_none_or(|certain| certain == verdict), "{flags:?}: {verdict:?}");
    for result in results.into_iter().filter(|result| result.algorithm == "zones") {
        let items = by_key.places(result.key).iter().map(|&place| Item::at(&history, place));
        let register = Register::of(items, ValueId::NULL);
        let budget = Budget {
            configurations: CONFIGURATIONS_MAX,
            ..Budget::default()
        };
        match search(&register, &Meter::of(budget, None)) {
            Found::Valid(_) => {
                tally.valid += 1;
                assert_eq!(result.verdict, Verdict::Valid, "{flags:?}: {result:?}");
            }
            Found::Invalid(item) => {
                tally.invalid += 1;
                assert_eq!(result.verdict, Verdict::Invalid, "{flags:?}: {result:?}");
                // The frontier stops at the first return that nothing explains; no certificate can be certain sooner.
                let returned_ns = register.items[item].returned_ns;
                let certain_ns = result.certain_ns.and_then(|certain_ns| i64::try_from(certain_ns).ok());
                assert!(certain_ns >= Some(returned_ns), "{flags:?}: {result:?} before {returned_ns}");
            }
            Found::Open(_) => tally.open += 1,
        }
    }
}

/// What goes wrong, and the share of compare-and-sets.
const FAULTS: [(Fault, f64); 6] = [
    (Fault::None, 0.0),
    (Fault::None, 0.3),
    (Fault::Stale, 0.0),
    (Fault::Stale, 0.3),
    (Fault::Lost, 0.0),
    (Fault::Double, 0.0),
];

/// Good and bad histories of each width, with and without compare-and-sets.
#[track_caller]
fn check_zones(operations: usize, widths: &[usize], seeds: u64) {
    let mut tally = Tally::default();
    for &clients in widths {
        for seed in 0..seeds {
            for (fault, cas) in FAULTS {
                let flags = Flags {
                    operations,
                    clients,
                    fault,
                    cas,
                    keys: 1 + seed as usize % 2,
                    unknown: [0.0, 0.01][seed as usize % 2],
                    seed,
                    // Where a fault shows seldom, the history is compared all the same.
                    seeds: 3,
                    ..Flags::default()
                };
                compare_with_frontier(&flags, &mut tally);
            }
        }
    }
    let decided = tally.valid + tally.invalid;
    assert!(tally.valid > 0 && tally.invalid > 0 && tally.open * 10 <= decided, "{tally:?}");
}

#[test]
fn zones_and_the_frontier_agree_on_a_thousand_operations_of_up_to_fifty_clients() {
    check_zones(1_000, &[2, 3, 5, 10, 20, 50], 3);
}

#[test]
fn zones_and_the_frontier_agree_on_ten_thousand_operations() {
    check_zones(10_000, &[2, 5, 10, 20], 2);
}

#[test]
fn zones_and_the_frontier_agree_on_a_hundred_thousand_operations() {
    check_zones(100_000, &[2, 5], 1);
}

#[test]
fn the_frontier_and_the_general_search_agree_where_values_repeat() {
    let mut tally = Tally::default();
    for seed in 0..300 {
        let flags = Flags {
            operations: 40 + seed as usize % 160,
            clients: 2 + seed as usize % 5,
            read: 0.4,
            cas: [0.0, 0.3][seed as usize % 2],
            domain: 3 + seed % 4,
            unknown: [0.0, 0.02][seed as usize / 2 % 2],
            fault: [Fault::None, Fault::Stale][seed as usize / 4 % 2],
            seed,
            ..Flags::default()
        };
        let (history, certain) = history(&flags);
        let result = check(&history).remove(0);
        assert!(certain.is_none_or(|certain| certain == result.verdict), "{flags:?}: {result:?}");
        let options = general::Options {
            budget: crate::linearizability::Budget {
                configurations: CONFIGURATIONS_MAX,
                ..crate::linearizability::Budget::default()
            },
            ..general::Options::default()
        };
        let searched = check_model(&history, ModelChoice::CasRegister, &options).remove(0);
        match searched.answer.verdict() {
            Verdict::Unknown => tally.open += 1,
            verdict => {
                assert_eq!(verdict, result.verdict, "{flags:?}: {result:?}, {searched:?}");
                tally.valid += usize::from(verdict == Verdict::Valid);
                tally.invalid += usize::from(verdict == Verdict::Invalid);
            }
        }
    }
    assert!(tally.valid > 100 && tally.invalid > 50 && tally.open < 10, "{tally:?}");
}
