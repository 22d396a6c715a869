//! Sorting and searching what is nearly in order: clusters stand in the order of their writes' invocations and are wanted in that of their first returns,
//! so that each is only a few places from where it belongs, however long the history is.

/// Moves per item after which the items are not nearly sorted. A general sort of ten million costs about as much.
const MOVES_PER_ITEM: usize = 24;

/// Sorts by `key`, which must be different for all items: by insertion, which costs as much as the items are out of place, or by a general
/// sort once that turns out to be more.
pub(super) fn sort_by_key<T: Copy, K: Ord>(items: &mut [T], key: impl Fn(&T) -> K) {
    let mut moves_left = items.len().saturating_mul(MOVES_PER_ITEM);
    for place in 1..items.len() {
        let item = items[place];
        let its_key = key(&item);
        let mut to = place;
        while to > 0 && key(&items[to - 1]) > its_key {
            items[to] = items[to - 1];
            to -= 1;
        }
        items[to] = item;
        match moves_left.checked_sub(place - to) {
            Some(left) => moves_left = left,
            None => return items.sort_unstable_by_key(key),
        }
    }
}

/// How many items of a sorted slice come before what is looked for, as `partition_point` tells; the nearer `near` is to that, the faster.
pub(super) fn partition_point_near<T>(sorted: &[T], near: usize, is_before: impl Fn(&T) -> bool) -> usize {
    let near = near.min(sorted.len());
    let mut step = 1;
    if sorted.get(near).is_some_and(&is_before) {
        let mut begin = near + 1;
        while let Some(item) = sorted.get(begin + step) {
            if !is_before(item) {
                break;
            }
            begin += step + 1;
            step *= 2;
        }
        let end = sorted.len().min(begin + step);
        return begin + sorted[begin..end].partition_point(is_before);
    }
    let mut end = near;
    while let Some(place) = end.checked_sub(step) {
        if is_before(&sorted[place]) {
            break;
        }
        end = place;
        step *= 2;
    }
    let begin = end.saturating_sub(step);
    begin + sorted[begin..end].partition_point(is_before)
}

#[cfg(test)]
mod tests {
    use rand::seq::SliceRandom;
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    #[track_caller]
    fn check(mut items: Vec<u32>) {
        let mut expected = items.clone();
        expected.sort_unstable();
        sort_by_key(&mut items, |item| *item);
        assert_eq!(items, expected);
    }

    #[test]
    fn sorts_in_every_order() {
        let mut chance = ChaCha8Rng::seed_from_u64(7);
        check(Vec::new());
        check(vec![1]);
        check((0..1_000).collect());
        check((0..1_000).rev().collect());
        for _ in 0..200 {
            let count = chance.random_range(2..300);
            let mut items: Vec<u32> = (0..count).collect();
            items.shuffle(&mut chance);
            check(items);
            let reach = chance.random_range(1..60);
            let mut near: Vec<u32> = (0..count).map(|item| item * 100 + chance.random_range(0..reach * 100)).collect();
            near.dedup();
            check(near);
        }
    }

    #[test]
    fn a_search_from_anywhere_finds_the_same_place() {
        let mut chance = ChaCha8Rng::seed_from_u64(8);
        for _ in 0..300 {
            let mut items: Vec<u32> = (0..chance.random_range(0..80)).map(|_| chance.random_range(0..60)).collect();
            items.sort_unstable();
            let wanted = chance.random_range(0..62);
            let expected = items.partition_point(|item| *item < wanted);
            for near in 0..items.len() + 3 {
                assert_eq!(
                    partition_point_near(&items, near, |item| *item < wanted),
                    expected,
                    "{items:?} {wanted} {near}"
                );
            }
        }
    }

    #[test]
    fn what_is_far_out_of_order_is_not_sorted_by_insertion() {
        let comparisons = std::cell::Cell::new(0_usize);
        let mut items: Vec<u32> = (0..100_000).rev().collect();
        sort_by_key(&mut items, |item| {
            comparisons.set(comparisons.get() + 1);
            *item
        });
        assert!(items.is_sorted());
        assert!(comparisons.get() < 10_000_000, "{} keys were looked at", comparisons.get());
    }
}
