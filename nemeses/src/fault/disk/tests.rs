//! What faults of disks come to, and what a plan may not say of them.

use super::damage::{BitRot, MisdirectedWrite};
use super::power::{Hits, Power, Torn};
use super::resources::{DiskFull, DiskRate, ReadOnly};
use super::*;
use crate::disk::Cut;
use crate::target::{Roles, Several};

fn nodes() -> Vec<String> {
    ["n1", "n2", "n3"].map(String::from).to_vec()
}

fn majority() -> Several {
    Several {
        order: nodes(),
        leader: None,
    }
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
    assert_eq!(down(Hits::Majority(majority())).down.len(), 2);
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
    assert_eq!(resolved(&full, &now).unwrap().nodes, ["n1"]);
    let now = resolved(&full, &State::default()).unwrap().state;
    assert_eq!(resolved(&Fsync { target: any() }, &now).unwrap().nodes, ["n2"]);
    assert_eq!(resolved(&slow, &now).unwrap().nodes, ["n1"]);
}

/// All that goes wrong with a disk and may end its node, on n1.
fn failures() -> Vec<State> {
    let astray = MisdirectedWrite {
        target: any(),
        every: 4,
        seed: 9,
    };
    let broken = Eio {
        target: any(),
        operations: BTreeSet::from([Operation::Write]),
    };
    let faults: [&dyn Family; 6] = [
        &Enospc { target: any() },
        &DiskFull { target: any() },
        &ReadOnly { target: any() },
        &broken,
        &Fsync { target: any() },
        &astray,
    ];
    faults.map(|fault| resolved(fault, &State::default()).unwrap().state).to_vec()
}

/// The bytes that prove a cut could not be left there.
#[test]
fn no_power_is_cut_from_a_disk_that_keeps_no_bytes() {
    for failing in failures() {
        for hits in [Hits::All, Hits::Majority(majority())] {
            let skipped = resolved(&Power { hits }, &failing).unwrap_err();
            assert_eq!(
                skipped.to_string(),
                "the disk of n1 keeps no bytes now, by another fault, that could prove it"
            );
        }
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

/// The end of a lie is a power cut, proved by bytes that such a disk would not take.
#[test]
fn a_disk_that_lies_fails_in_no_other_way_and_one_that_fails_does_not_lie() {
    let lie = LyingFsync { order: nodes() };
    let lying = resolved(&lie, &State::default()).unwrap().state;
    let rot = BitRot {
        target: any(),
        flips: 3,
        seed: 9,
        file: None,
    };
    let broken = Eio {
        target: any(),
        operations: BTreeSet::from([Operation::Read]),
    };
    let astray = MisdirectedWrite {
        target: any(),
        every: 4,
        seed: 9,
    };
    let faults: [&dyn Family; 7] = [
        &Enospc { target: any() },
        &DiskFull { target: any() },
        &ReadOnly { target: any() },
        &broken,
        &Fsync { target: any() },
        &astray,
        &rot,
    ];
    for fault in faults {
        assert_eq!(
            resolved(fault, &lying).unwrap_err().to_string(),
            "no node can be hit: the first, n1, is lied to by its disk, on which nothing else could be proved"
        );
        let failing = resolved(fault, &State::default()).unwrap().state;
        assert_eq!(
            resolved(&lie, &failing).unwrap_err().to_string(),
            "the disk of n1 fails it now, by another fault, so that no lie could be proved"
        );
    }
    let slow = SlowDisk {
        target: any(),
        delay_ms: 5,
    };
    assert_eq!(resolved(&slow, &lying).unwrap().nodes, ["n1"], "slowness hides nothing");
    let slow = resolved(&slow, &State::default()).unwrap().state;
    assert_eq!(resolved(&lie, &slow).unwrap().state.disks.len(), 3);
}

/// It would change nothing, so that nothing could be seen of it.
#[test]
fn a_disk_that_is_slower_already_is_not_slowed_by_a_milder_rate() {
    let rate = |kib_per_s| DiskRate {
        target: TargetChoice::Node("n1".into()),
        kib_per_s,
    };
    let now = resolved(&rate(64), &State::default()).unwrap().state;
    assert_eq!(
        resolved(&rate(64), &now).unwrap_err().to_string(),
        "node n1 is treated no better by another fault of its disk"
    );
    assert!(resolved(&rate(65), &now).is_err() && resolved(&rate(63), &now).is_ok());
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
    assert_eq!(resolved(&astray, &now).unwrap().nodes, ["n2"], "two damages would hide each other");
}

#[test]
fn names_the_word_that_is_wrong() {
    let check = |fault: &dyn Family, expected: &str| assert_eq!(fault.validate(&nodes()).unwrap_err(), expected);
    let order = vec!["n1".to_owned()];
    check(
        &Power {
            hits: Hits::Majority(Several { order, leader: None }),
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
    check(
        &SlowDisk { target, delay_ms: 0 },
        "`delay_ms` is 0; it goes from 1 to 2000, as other faults wait for its probe",
    );
}
