//! Random operations: whatever they are, a power cut leaves a state that the model has enumerated.

use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::legal::Pair;
use super::model::Place;
use crate::disk::names::ROOT;
use crate::disk::{Cut, Rules};

const NAMES: [&str; 3] = ["a", "b", "c"];
/// Sequences per set of rules; each is cut once.
const N_SEQUENCES: u64 = 800;

/// Does `n` random operations to files in the root and in one directory.
fn play(rules: Rules, rng: &mut ChaCha8Rng, n: usize) -> Pair {
    let mut pair = Pair::new(rules);
    let below = pair.make_directory((ROOT, "d"));
    if rng.random_bool(0.7) {
        pair.sync_directory(ROOT);
    }
    for number in 0..n {
        let files: Vec<(Place, u64)> = pair
            .model
            .tree
            .iter()
            .filter(|(place, _)| place.1 != "d")
            .map(|(place, ino)| (*place, *ino))
            .collect();
        let place = (*[ROOT, below].choose(rng).unwrap(), *NAMES.choose(rng).unwrap());
        let byte = u8::try_from(number + 1).unwrap();
        match (rng.random_range(0..12), files.choose(rng).copied()) {
            (0..=1, _) | (_, None) if !pair.model.tree.contains_key(&place) => {
                pair.create(place);
            }
            (2..=5, Some((_, ino))) => pair.write(ino, rng.random_range(0..40), rng.random_range(1..12), byte),
            (6, Some((_, ino))) => pair.resize(ino, rng.random_range(0..48)),
            (7, Some((_, ino))) => pair.sync_file(ino),
            (8, _) => pair.sync_directory(place.0),
            (9, Some((from, _))) => pair.rename(from, place),
            (10, Some((from, _))) => pair.unlink(from),
            (11, Some((_, ino))) if !pair.model.tree.contains_key(&place) => pair.link(ino, place),
            _ => {}
        }
    }
    pair
}

fn every_cut_is_legal(rules: Rules) {
    for seed in 0..N_SEQUENCES {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let n = rng.random_range(2..12);
        let pair = play(rules, &mut rng, n);
        pair.cut(if seed % 4 == 0 { Cut::Clean } else { Cut::Torn(seed) });
    }
}

#[test]
fn every_state_after_a_cut_is_one_that_posix_allows() {
    every_cut_is_legal(Rules::PosixStrict);
}

#[test]
fn every_state_after_a_cut_is_one_that_ext4_allows() {
    every_cut_is_legal(Rules::Ext4Ordered);
}

#[test]
fn a_disk_goes_on_after_a_cut_and_is_cut_again() {
    for seed in 0..300 {
        for rules in [Rules::PosixStrict, Rules::Ext4Ordered] {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            let mut pair = play(rules, &mut rng, 8);
            pair.disk.lose_power(Cut::Torn(seed)).unwrap();
            let after = pair.observe();
            // Whatever was left is durable now: nothing that is not written again can change.
            pair.disk.lose_power(Cut::Torn(seed + 1)).unwrap();
            assert_eq!(pair.observe(), after, "{rules:?} {seed}");
        }
    }
}
