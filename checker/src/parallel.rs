//! Work spread over threads such that the spreading can never be seen in the answer.
//!
//! [`map`] is nearly all there is ([`both`] is it for two different things, [`relay`] for what is made and used by and by): each item is worked on alone, by a function that sees nothing but the item, and the results stand in the
//! items' order. Which thread took which item, and when, reaches nobody; the same items give the same results on one thread and on
//! seven. This is the only file of the checker that starts threads. The one not taken is a shared pool: it would be a state of the whole
//! program, and starting a thread costs some 20 µs where the work that is worth a thread takes milliseconds.

use std::panic::resume_unwind;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::sync_channel;
use std::thread;

/// Buffers between the two ends of a [`relay`]: one for each and one to lie between them.
const BUFFERS: usize = 3;

/// The results of `work` on each item, in the items' order, found by at most `threads` threads (0 counts as 1).
///
/// Items are begun in the order of falling `weight` (any measure of how long they take), equal ones in their order, so that a long item
/// does not begin when all others are done. On one thread the items are worked on in the same order, on the caller's.
///
/// # Panics
/// If `work` panics, with the same panic: on another thread as soon as all threads have ended.
pub fn map<T: Sync, R: Send>(items: &[T], threads: usize, weight: impl Fn(&T) -> u64, work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let mut order: Vec<usize> = (0..items.len()).collect();
    order.sort_by_key(|&place| std::cmp::Reverse(weight(&items[place])));
    let next = AtomicUsize::new(0);
    let work_until_done = || {
        let mut done = Vec::new();
        // The counter orders nothing but itself: what the items hold was there before the threads were.
        while let Some(&place) = order.get(next.fetch_add(1, Ordering::Relaxed)) {
            done.push((place, work(&items[place])));
        }
        done
    };
    let others = threads.min(items.len()).saturating_sub(1);
    let mut done = thread::scope(|scope| {
        let others: Vec<_> = (0..others).map(|_| scope.spawn(work_until_done)).collect();
        let mut done = work_until_done();
        for other in others {
            done.extend(other.join().unwrap_or_else(|panic| resume_unwind(panic)));
        }
        done
    });
    done.sort_unstable_by_key(|&(place, _)| place);
    done.into_iter().map(|(_, result)| result).collect()
}

/// The results of two functions that see nothing of each other, at once if there may be `threads` of at least two.
///
/// # Panics
/// If one of them panics, with the same panic.
pub fn both<A, B: Send>(threads: usize, one: impl FnOnce() -> A, other: impl FnOnce() -> B + Send) -> (A, B) {
    if threads < 2 {
        let one = one();
        return (one, other());
    }
    thread::scope(|scope| {
        let other = scope.spawn(other);
        let one = one();
        (one, other.join().unwrap_or_else(|panic| resume_unwind(panic)))
    })
}

/// Fills buffers and uses them, in the order in which they were filled: at once if there may be `threads` of at least two, with the same result on
/// one. A buffer is filled again when it was used, so there are never more than [`BUFFERS`]. `fill` says whether the buffer is to be used;
/// the first one that is not ends it all.
///
/// # Errors
/// The error of `fill`, when everything that it had filled before is used.
///
/// # Panics
/// If one of them panics, with the same panic.
pub fn relay<T: Default + Send, E: Send>(
    threads: usize,
    mut fill: impl FnMut(&mut T) -> Result<bool, E> + Send,
    mut take: impl FnMut(&mut T),
) -> Result<(), E> {
    if threads < 2 {
        let mut buffer = T::default();
        while fill(&mut buffer)? {
            take(&mut buffer);
        }
        return Ok(());
    }
    let (full, filled) = sync_channel::<T>(BUFFERS);
    let (empty, used) = sync_channel::<T>(BUFFERS);
    for _ in 0..BUFFERS {
        // There is room for all of them.
        let _ = empty.send(T::default());
    }
    // It owns its ends, so that a panic drops them and the other thread waits for nobody.
    thread::scope(move |scope| {
        let filler = scope.spawn(move || {
            while let Ok(mut buffer) = used.recv() {
                if !fill(&mut buffer)? || full.send(buffer).is_err() {
                    break;
                }
            }
            Ok(())
        });
        for mut buffer in filled {
            take(&mut buffer);
            // If the other thread has ended, nobody needs it.
            let _ = empty.send(buffer);
        }
        filler.join().unwrap_or_else(|panic| resume_unwind(panic))
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::{Barrier, Mutex};

    use super::*;

    #[test]
    fn results_stand_in_the_items_order_whatever_the_threads() {
        let items: Vec<u64> = (0..200).map(|item| item * 7919 % 211).collect();
        let expected: Vec<u64> = items.iter().map(|item| item * item).collect();
        for threads in [0, 1, 2, 7, 500] {
            assert_eq!(map(&items, threads, |&item| item, |&item| item * item), expected);
        }
        assert_eq!(map(&[], 2, |&()| 0, |&()| 0), Vec::<i32>::new());
    }

    #[test]
    fn the_heaviest_item_is_begun_first_and_equals_in_their_order() {
        let begun = Mutex::new(Vec::new());
        let items = [("a", 1), ("b", 3), ("c", 2), ("d", 3)];
        map(&items, 1, |item| item.1, |item| begun.lock().unwrap().push(item.0));
        assert_eq!(*begun.lock().unwrap(), ["b", "d", "c", "a"]);
    }

    #[test]
    fn every_thread_takes_work() {
        // Nobody passes the barrier until three are in it.
        let barrier = Barrier::new(3);
        let work = |_: &u8| {
            barrier.wait();
            thread::current().id()
        };
        let threads = map(&[1, 2, 3], 3, |_| 0, work);
        let different: BTreeSet<String> = threads.iter().map(|id| format!("{id:?}")).collect();
        assert_eq!(different.len(), 3);
    }

    #[test]
    fn both_are_done_whatever_the_threads() {
        for threads in [0, 1, 2, 7] {
            assert_eq!(both(threads, || "one", || 2), ("one", 2));
            let caught = std::panic::catch_unwind(|| both(threads, || 1, || assert_eq!(threads, 9, "the other")));
            assert!(
                caught
                    .unwrap_err()
                    .downcast_ref::<String>()
                    .is_some_and(|message| message.contains("the other"))
            );
        }
    }

    #[test]
    fn what_is_filled_is_used_in_order_whatever_the_threads() {
        for threads in [0, 1, 2, 7] {
            for (end, expected) in [(Ok(false), Ok(())), (Err("broken"), Err("broken"))] {
                let mut numbers = 0..100;
                let fill = |buffer: &mut Vec<u32>| {
                    buffer.clear();
                    buffer.extend(numbers.next());
                    if buffer.is_empty() { end } else { Ok(true) }
                };
                let mut used = Vec::new();
                let ended = relay(threads, fill, |buffer: &mut Vec<u32>| used.append(buffer));
                assert_eq!(ended, expected);
                assert_eq!(used, (0..100).collect::<Vec<u32>>());
            }
        }
    }

    #[test]
    fn a_panic_at_either_end_of_a_relay_is_the_callers() {
        let message = |relayed: std::thread::Result<Result<(), ()>>| relayed.unwrap_err().downcast_ref::<&str>().copied();
        for threads in [1, 2] {
            let fill = |_: &mut u8| -> Result<bool, ()> { panic!("the filler") };
            let relayed = std::panic::catch_unwind(|| relay(threads, fill, |_: &mut u8| ()));
            assert_eq!(message(relayed), Some("the filler"));
            // However far the filler has come.
            for n_filled in 0..5 {
                let mut left = n_filled;
                let fill = |_: &mut u8| -> Result<bool, ()> {
                    left -= 1;
                    Ok(left >= 0)
                };
                let late = |_: &mut u8| {
                    thread::yield_now();
                    panic!("the taker")
                };
                let relayed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| relay(threads, fill, late)));
                assert_eq!(relayed.is_err(), n_filled > 0);
            }
        }
    }

    #[test]
    fn a_panic_of_the_work_is_the_callers() {
        for threads in [1, 2, 7] {
            let caught = std::panic::catch_unwind(|| map(&[1, 2, 3, 4], threads, |_| 0, |&item| assert!(item != 3, "item three")));
            let message = caught.unwrap_err();
            assert_eq!(message.downcast_ref::<&str>(), Some(&"item three"));
        }
    }
}
