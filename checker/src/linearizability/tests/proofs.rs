//! The verifier believes no proof that does not hold.

use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::oracle::is_linearizable;
use super::random::{Values, atomic, chaos};
use crate::history::testing::of_operations;
use crate::linearizability::{Certificate, Place, Side, check, linearization, verify};
use crate::verdict::Verdict;

#[test]
fn a_certificate_made_up_is_believed_only_where_brute_force_agrees() {
    let mut chance = ChaCha8Rng::seed_from_u64(5);
    let (mut believed, mut rejected) = (0, 0);
    for round in 0..20_000 {
        let operations = chaos(&mut chance, if round % 2 == 0 { Values::Unique } else { Values::Repeated });
        let history = of_operations(operations);
        let key = history.operations[0].key;
        for _ in 0..5 {
            let certificate = made_up(&mut chance, history.operations.len() as u32);
            if verify::invalid(&history, key, &certificate).is_ok() {
                believed += 1;
                assert!(
                    !is_linearizable(&history, &history.operations),
                    "{certificate:?} of {:#?}",
                    history.operations
                );
            } else {
                rejected += 1;
            }
        }
    }
    assert!(believed > 100 && rejected > 100, "{believed} believed, {rejected} rejected");
}

fn made_up(chance: &mut ChaCha8Rng, count: u32) -> Certificate {
    // One place past the end, and now and then the initial write.
    let mut place = || {
        if chance.random_ratio(1, 8) {
            Place::INITIAL
        } else {
            Place::of(chance.random_range(0..=count))
        }
    };
    let (read, write) = (place(), place());
    let mut side = || Side {
        write: place(),
        returned_first: place(),
        began_last: place(),
        shown_by: place(),
    };
    let overlap = Certificate::Overlap {
        one: side(),
        other: side(),
    };
    match chance.random_range(0..5) {
        0 => Certificate::PhantomRead { read },
        1 => Certificate::RefusedWriteRead { read, write },
        2 => Certificate::ReadFromTheFuture { read, write },
        _ => overlap,
    }
}

#[test]
fn a_true_certificate_with_one_place_changed_is_believed_only_if_it_still_holds() {
    let mut chance = ChaCha8Rng::seed_from_u64(6);
    let (mut believed, mut rejected) = (0, 0);
    for _ in 0..20_000 {
        let history = of_operations(chaos(&mut chance, Values::Unique));
        let result = &check(&history)[0];
        let Some(Certificate::Overlap { mut one, other }) = result.certificate else {
            continue;
        };
        let changed = Place::of(chance.random_range(0..history.operations.len() as u32));
        let place = [&mut one.write, &mut one.returned_first, &mut one.began_last]
            .into_iter()
            .nth(chance.random_range(0..3))
            .unwrap();
        if *place == changed {
            continue;
        }
        *place = changed;
        match verify::invalid(&history, result.key, &Certificate::Overlap { one, other }) {
            // Another read of the same value may prove the same.
            Ok(()) => believed += 1,
            Err(_) => rejected += 1,
        }
    }
    assert!(
        rejected > 20 * believed && rejected > 1_000,
        "{believed} believed, {rejected} rejected"
    );
}

#[test]
fn an_order_made_up_is_believed_only_where_brute_force_agrees() {
    let mut chance = ChaCha8Rng::seed_from_u64(7);
    let (mut believed, mut rejected) = (0, 0);
    for round in 0..10_000 {
        let operations = match round % 2 {
            0 => chaos(&mut chance, Values::Unique),
            _ => atomic(&mut chance, 2 + round % 4, 2, Values::Unique),
        };
        let history = of_operations(operations);
        let key = history.operations[0].key;
        let mut order: Vec<usize> = (0..history.operations.len())
            .filter(|&place| history.operations[place].returned_ns().is_some())
            .collect();
        for _ in 0..3 {
            order.shuffle(&mut chance);
            if verify::valid(&history, key, &order).is_ok() {
                believed += 1;
                assert!(
                    is_linearizable(&history, &history.operations),
                    "{order:?} of {:#?}",
                    history.operations
                );
            } else {
                rejected += 1;
            }
        }
    }
    assert!(believed > 100 && rejected > 100, "{believed} believed, {rejected} rejected");
}

#[test]
fn rejects_an_order_that_was_tampered_with() {
    let mut chance = ChaCha8Rng::seed_from_u64(8);
    for _ in 0..200 {
        let history = of_operations(atomic(&mut chance, 60, 3, Values::Unique));
        let key = history.operations[0].key;
        assert_eq!(check(&history)[0].verdict, Verdict::Valid);
        let order = linearization(&history, key).unwrap();
        let place = chance.random_range(0..order.len());
        let dropped: Vec<usize> = order.iter().copied().filter(|&kept| kept != order[place]).collect();
        assert!(verify::valid(&history, key, &dropped).is_err(), "one operation dropped");
        let doubled: Vec<usize> = order.iter().copied().chain([order[place]]).collect();
        assert!(verify::valid(&history, key, &doubled).is_err(), "one operation twice");
        assert!(verify::valid(&history, key, &[]).is_err(), "nothing at all");
        assert!(verify::valid(&history, None, &order).is_err(), "another key");
        assert!(
            verify::valid(&history, key, &[history.operations.len()]).is_err(),
            "an operation that does not exist"
        );
        let backwards: Vec<usize> = order.iter().rev().copied().collect();
        assert!(verify::valid(&history, key, &backwards).is_err(), "backwards");
    }
}
