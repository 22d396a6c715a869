//! Many objects judged at once within one budget of memory.
//!
//! However many searches run at the same time, together they hold no more than the budget: first every object gets a small share of it, a
//! few objects at once; those that this does not suffice for are then judged one after another, each with all of it. What an object ends
//! with depends on the budget alone, never on how many threads there are or which was faster.

use super::{Budget, Options};
use crate::parallel;

/// Into how many shares the memory is cut, and so the most objects that are judged at once.
const SHARES: usize = 8;

/// The results of `judge` for each item, in the items' order. `weight` says how long an item may take; `is_short` whether a result ended
/// because these bytes did not suffice.
pub(super) fn judged<T: Sync, R: Send>(
    items: &[T],
    options: &Options<'_>,
    weight: impl Fn(&T) -> u64,
    judge: impl Fn(&T, &Options<'_>) -> R + Sync,
    is_short: impl Fn(&R, u64) -> bool,
) -> Vec<R> {
    if let [only] = items {
        return vec![judge(only, options)];
    }
    let bytes = options.budget.bytes / SHARES as u64;
    let share = Options {
        budget: Budget { bytes, ..options.budget },
        threads: 1,
        ..*options
    };
    let mut results = parallel::map(items, options.threads.min(SHARES), weight, |item| judge(item, &share));
    for (item, result) in items.iter().zip(&mut results) {
        if is_short(result, bytes) {
            *result = judge(item, options);
        }
    }
    results
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    /// Items need so many bytes; a result is what was found, or `None` if they did not suffice.
    fn run(threads: usize, most_held: &AtomicU64) -> Vec<Option<u64>> {
        let items = [10_u64, 90, 12, 101, 13, 700, 12, 900, 1, 2, 3, 4];
        let options = Options {
            budget: Budget {
                bytes: 800,
                ..Budget::default()
            },
            threads,
            stop: None,
        };
        let held = AtomicU64::new(0);
        let judge = |&need: &u64, options: &Options<'_>| {
            let now = held.fetch_add(need.min(options.budget.bytes), Ordering::SeqCst) + need.min(options.budget.bytes);
            most_held.fetch_max(now, Ordering::SeqCst);
            held.fetch_sub(need.min(options.budget.bytes), Ordering::SeqCst);
            (need <= options.budget.bytes).then_some(need)
        };
        judged(
            &items,
            &options,
            |&need| need,
            judge,
            |result, bytes| {
                assert_eq!(bytes, 100);
                result.is_none()
            },
        )
    }

    #[test]
    fn what_a_share_does_not_suffice_for_gets_all_of_the_memory_alone() {
        for threads in [0, 1, 3, 100] {
            let most_held = AtomicU64::new(0);
            let results = run(threads, &most_held);
            let needs = [10, 90, 12, 101, 13, 700, 12, 900, 1, 2, 3, 4];
            assert_eq!(results, needs.map(|need| (need <= 800).then_some(need)));
            assert!(most_held.into_inner() <= 800, "never more than the budget at once");
        }
    }
}
