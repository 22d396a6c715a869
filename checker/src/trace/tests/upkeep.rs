//! Tombstones that go, and version vectors: what K2 must let pass, and what it must not.

use super::check;
use super::notation::SOUND;

#[test]
fn a_key_whose_tombstone_went_may_be_gone_after_a_restart() {
    check(
        SOUND,
        "n1 put k 5@n1 (deleted)
         n1 reap k 5@n1
         n1 restart
         n1 put other 1@n1 x",
        &[],
    );
    check(
        SOUND,
        "n1 put k 5@n1 (deleted)
         n1 restart
         n1 put other 1@n1 x",
        &["trace K2"],
    );
}

#[test]
fn a_reaping_that_only_the_next_life_tells_of_is_no_loss() {
    check(
        SOUND,
        "n1 put k 5@n1 (deleted)
         n1 put l 1@n1 y
         n1 restart
         n1 found-reap k 5@n1
         n1 found l 1@n1 y
         n1 put other 1@n1 x",
        &[],
    );
    check(
        SOUND,
        "n1 put k 5@n1 (deleted)
         n1 put l 1@n1 y
         n1 restart
         n1 found-reap k 5@n1
         n1 put other 1@n1 x",
        &["trace K2"],
    );
}

#[test]
fn after_a_reaping_versions_begin_anew_on_that_replica_and_on_no_other() {
    check(
        SOUND,
        "n1 put k 5@n1 (deleted)
         n1 reap k 5@n1
         n1 put k 3@n2 old",
        &[],
    );
    check(
        SOUND,
        "n1 put k 5@n1 (deleted)
         n2 put k 5@n1 (deleted)
         n1 reap k 5@n1
         n2 put k 3@n2 old",
        &["trace K2"],
    );
}

#[test]
fn a_delete_is_acknowledged_like_a_put() {
    check(
        SOUND,
        "n1 put k 5@n1 (deleted)
         n2 put k 5@n1 (deleted)
         n1 delete-done 1 k ok 5@n1 n1,n2",
        &[],
    );
    check(
        SOUND,
        "n1 put k 5@n1 (deleted)
         n1 delete-done 1 k ok 5@n1 n1,n2",
        &["trace K1"],
    );
}

#[test]
fn concurrent_versions_come_in_any_order_but_replaced_ones_never_come_back() {
    check(
        SOUND,
        "n1 put k 5@n2 b n2:5
         n1 put k 3@n3 a n3:3
         n1 put k 6@n2 c n2:6 n3:3",
        &[],
    );
    check(
        SOUND,
        "n1 put k 6@n2 c n2:6 n3:3
         n1 put k 3@n3 a n3:3",
        &["trace K2"],
    );
}

#[test]
fn a_restart_gives_back_every_sibling_or_what_replaced_it() {
    let held = "n1 put k 5@n2 b n2:5
         n1 put k 3@n3 a n3:3
         n1 restart\n";
    let and = |found: &str| format!("{held}{found}\nn1 put other 1@n1 x n1:1");
    check(SOUND, &and("n1 found k 3@n3 a n3:3\nn1 found k 5@n2 b n2:5"), &[]);
    check(SOUND, &and("n1 found k 6@n2 c n2:6 n3:3"), &[]);
    check(SOUND, &and("n1 found k 5@n2 b n2:5"), &["trace K2"]);
    check(SOUND, &and("n1 found-reap k 6@n2"), &[]);
    check(SOUND, &format!("{held}n1 found k 5@n2 b n2:5"), &[]);
}
