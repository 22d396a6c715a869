//! Anti-entropy, hints, digest reads, deletes and the other version schemes: alone and together they keep a sound store sound, and where
//! their rules are broken that is seen.

use squall_node::quorum::{Reaping, Upkeep, VersionScheme};

use crate::world::{SOUND, Setting, UPKEEP};
use crate::{check_sound, count_broken};

/// Nothing but what clients ask for.
pub(crate) const NOTHING: Upkeep = Upkeep {
    anti_entropy_ms: 0,
    hints: false,
    reaping: Reaping::Never,
    reap_after_ms: 0,
};

const DELETING: Setting = Setting {
    deletes_per_mille: 150,
    ..SOUND
};

#[test]
fn without_any_upkeep_the_store_is_linearizable() {
    let events = check_sound(
        Setting {
            upkeep: NOTHING,
            ..DELETING
        },
        60,
    );
    assert!(events.is_empty(), "{events:?}");
}

#[test]
fn hints_are_stored_and_sent_and_break_nothing() {
    let upkeep = Upkeep { hints: true, ..NOTHING };
    let events = check_sound(Setting { upkeep, ..SOUND }, 60);
    assert!(events["hint_store"] > 100 && events["hint_send"] > 100, "{events:?}");
}

#[test]
fn anti_entropy_repairs_and_breaks_nothing() {
    let upkeep = Upkeep {
        anti_entropy_ms: 25,
        ..NOTHING
    };
    let events = check_sound(
        Setting {
            nodes: 5,
            upkeep,
            ..DELETING
        },
        60,
    );
    assert!(events["repair"] > 100, "{events:?}");
}

#[test]
fn digest_reads_are_linearizable() {
    for nodes in [3, 5] {
        check_sound(
            Setting {
                nodes,
                digest_reads: true,
                ..DELETING
            },
            60,
        );
    }
}

#[test]
fn tombstones_that_everybody_agreed_on_go_and_nothing_comes_back() {
    for (nodes, n, r, w) in [(3, 3, 2, 2), (5, 3, 2, 2), (4, 4, 3, 2), (5, 5, 3, 3)] {
        let setting = Setting {
            nodes,
            n,
            r,
            w,
            ..DELETING
        };
        let w = w.max(n / 2 + 1 - (1 - n % 2));
        let events = check_sound(Setting { w, ..setting }, 40);
        assert!(events["reap"] > 50, "{events:?}");
    }
}

#[test]
fn tombstones_that_go_by_age_let_deleted_values_come_back() {
    let upkeep = Upkeep {
        reaping: Reaping::Grace,
        ..UPKEEP
    };
    let broken = count_broken(Setting { upkeep, ..DELETING }, 60);
    assert!(broken >= 10, "{broken} of 60");
}

#[test]
fn hybrid_clocks_are_linearizable_while_clocks_agree() {
    check_sound(
        Setting {
            versions: VersionScheme::Hlc,
            ..SOUND
        },
        60,
    );
}

#[test]
fn hybrid_clocks_that_differ_are_found_broken() {
    let broken = count_broken(
        Setting {
            nodes: 5,
            versions: VersionScheme::Hlc,
            skew_ms: 100,
            ..SOUND
        },
        60,
    );
    assert!(broken >= 10, "{broken} of 60");
}

#[test]
fn hybrid_clocks_that_differ_are_linearizable_if_replicas_are_asked_first() {
    check_sound(
        Setting {
            versions: VersionScheme::Hlc,
            version_read: true,
            skew_ms: 100,
            ..DELETING
        },
        60,
    );
}

#[test]
fn with_vectors_no_acknowledged_value_is_lost() {
    for (nodes, digest_reads) in [(3, false), (5, false), (5, true)] {
        let setting = Setting {
            nodes,
            digest_reads,
            versions: VersionScheme::Vector,
            ..SOUND
        };
        let events = check_sound(setting, 40);
        assert!(events["siblings"] > 20, "{events:?}");
    }
}

#[test]
fn with_vectors_and_quorums_that_do_not_meet_values_are_lost() {
    let broken = count_broken(
        Setting {
            r: 1,
            w: 1,
            versions: VersionScheme::Vector,
            ..SOUND
        },
        20,
    );
    assert!(broken >= 10, "{broken} of 20");
}
