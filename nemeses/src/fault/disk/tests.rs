//! What faults of disks come to, and what a plan may not say of them.

use super::damage::{BitRot, MisdirectedWrite};
use super::resources::{DiskFull, DiskRate, ReadOnly};
use super::*;
use crate::target::Roles;

fn nodes() -> Vec<String> {
    ["n1", "n2", "n3"].map(String::from).to_vec()
}

fn any() -> TargetChoice {
    TargetChoice::Any { order: nodes() }
}

fn resolved(fault: &dyn Family, now: &State) -> Result<Resolved, Skipped> {
    let (nodes, roles) = (nodes(), Roles::default());
    fault.resolve(&Scene {
        nodes: &nodes,
        spares: &[],
        topology: None,
        now,
        roles: &roles,
    })
}

#[test]
fn a_cut_of_power_takes_one_a_majority_or_all_down_each_torn_in_its_own_way() {
    let well = State::default();
    let down = |hits: Hits| resolved(&Torn { hits, seed: 7 }, &well).unwrap().state;
    assert_eq!(down(Hits::One(any())).down.len(), 1);
    assert_eq!(down(Hits::Majority { order: nodes() }).down.len(), 2);
    let all = down(Hits::All);
    assert_eq!(all.down.len(), 3);
    let cuts: Vec<Option<Cut>> = all.disks.values().map(|trouble| trouble.power).collect();
    assert_eq!(cuts, [7, 8, 9].map(|seed| Some(Cut::Torn(seed))));
    let nobody = resolved(&Power { hits: Hits::All }, &all).unwrap_err();
    assert_eq!(nobody.to_string(), "all of them are down already");
}

#[test]
fn a_disk_fails_in_one_way_at_a_time_but_may_be_slow_beside() {
    let slow = SlowDisk {
        target: any(),
        delay_ms: 5,
    };
    let full = Enospc { target: any() };
    let now = resolved(&slow, &State::default()).unwrap().state;
    assert_eq!(resolved(&full, &now).unwrap().node.as_deref(), Some("n1"));
    let now = resolved(&full, &State::default()).unwrap().state;
    assert_eq!(resolved(&Fsync { target: any() }, &now).unwrap().node.as_deref(), Some("n2"));
    assert_eq!(resolved(&slow, &now).unwrap().node.as_deref(), Some("n1"));
}

/// The bytes that prove a cut could not be written.
#[test]
fn no_power_is_cut_from_a_disk_that_takes_no_writes() {
    let full = resolved(&Enospc { target: any() }, &State::default()).unwrap().state;
    for hits in [Hits::All, Hits::Majority { order: nodes() }] {
        let skipped = resolved(&Power { hits }, &full).unwrap_err();
        assert_eq!(skipped.to_string(), "the disk of n1 takes no writes now, by another fault");
    }
    let slow = SlowDisk {
        target: any(),
        delay_ms: 5,
    };
    let slow = resolved(&slow, &State::default()).unwrap().state;
    assert_eq!(resolved(&Power { hits: Hits::All }, &slow).unwrap().state.down.len(), 3);
}

#[test]
fn disks_that_lie_are_not_told_to_lie() {
    let lie = LyingFsync { order: nodes() };
    let now = resolved(&lie, &State::default()).unwrap().state;
    assert_eq!(resolved(&lie, &now).unwrap_err().to_string(), "all of them lie already");
}

#[test]
fn what_damages_for_good_may_end_a_node_and_what_slows_does_not() {
    let trouble = |fault: &dyn Family| resolved(fault, &State::default()).unwrap().state.disks["n1"].clone();
    let rot = BitRot {
        target: any(),
        flips: 3,
        seed: 9,
        file: Some("wal".into()),
    };
    let astray = MisdirectedWrite {
        target: any(),
        every: 4,
        seed: 9,
    };
    let rate = DiskRate {
        target: any(),
        kib_per_s: 64,
    };
    assert!(trouble(&rot).damages() && trouble(&rot).may_end_a_node());
    assert!(trouble(&astray).damages() && trouble(&astray).may_end_a_node());
    assert!(!trouble(&rate).may_end_a_node());
    assert_eq!(trouble(&rate).bytes_per_s.map(std::num::NonZeroU64::get), Some(65_536));
    assert!(trouble(&DiskFull { target: any() }).may_end_a_node() && trouble(&ReadOnly { target: any() }).may_end_a_node());
    let now = resolved(&rot, &State::default()).unwrap().state;
    assert_eq!(
        resolved(&astray, &now).unwrap().node.as_deref(),
        Some("n2"),
        "two damages would hide each other"
    );
}

#[test]
fn names_the_word_that_is_wrong() {
    let check = |fault: &dyn Family, expected: &str| assert_eq!(fault.validate(&nodes()).unwrap_err(), expected);
    let order = vec!["n1".to_owned()];
    check(
        &Power {
            hits: Hits::Majority { order },
        },
        "`order` names 1 of 3 nodes",
    );
    check(&LyingFsync { order: vec![] }, "`order` names no node");
    let nothing = Eio {
        target: any(),
        operations: BTreeSet::new(),
    };
    check(&nothing, "`operations` names none");
    let target = TargetChoice::Node("n1".into());
    let rot = |flips, file: Option<&str>| BitRot {
        target: any(),
        flips,
        seed: 1,
        file: file.map(str::to_owned),
    };
    check(&rot(0, None), "`flips` is 0; it goes from 1 to 10000");
    for outside in ["", "/etc/passwd", "../n2/data/wal", "./wal"] {
        check(
            &rot(1, Some(outside)),
            &format!("`file` is `{outside}`; it is a path below the node's data folder"),
        );
    }
    let astray = MisdirectedWrite {
        target: any(),
        every: 0,
        seed: 1,
    };
    check(&astray, "`every` is 0; 1 is every write");
    for kib_per_s in [0, u64::MAX] {
        let rate = DiskRate { target: any(), kib_per_s };
        check(&rate, &format!("`kib_per_s` is {kib_per_s}; it goes from 1 to 16777216"));
    }
    check(&SlowDisk { target, delay_ms: 0 }, "`delay_ms` is 0; it goes from 1 to 60000");
}
