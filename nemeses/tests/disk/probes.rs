//! The probe against every trouble there is, in both directions: it sees what is there, and it sees that it is not there.

use std::collections::BTreeSet;

use squall_nemeses::disk::probe::Probe;
use squall_nemeses::disk::{Caching, Cut, Operation, Rules, SyncTrouble, Trouble};

use crate::machine::{Machine, with_machine};

fn troubles() -> Vec<Trouble> {
    let broken = |operations: &[Operation]| Trouble {
        broken: operations.iter().copied().collect(),
        ..Trouble::default()
    };
    let sync = |sync| Trouble {
        sync: Some(sync),
        ..Trouble::default()
    };
    vec![
        broken(&[Operation::Read]),
        broken(&[Operation::Write]),
        broken(&[Operation::Sync]),
        broken(&[Operation::Names]),
        broken(&[Operation::Read, Operation::Write, Operation::Sync, Operation::Names]),
        sync(SyncTrouble::Lies),
        sync(SyncTrouble::Fails),
        Trouble {
            full: true,
            ..Trouble::default()
        },
        Trouble {
            delay_us: 20_000,
            ..Trouble::default()
        },
        Trouble {
            full: true,
            sync: Some(SyncTrouble::Lies),
            delay_us: 5_000,
            broken: BTreeSet::from([Operation::Read]),
            power: None,
        },
    ]
}

/// A probe through the mount of this very thread.
fn probe(machine: &Machine, stamp: u64) -> Probe {
    let thread = u32::try_from(rustix::thread::gettid().as_raw_nonzero().get()).unwrap();
    Probe::open("n1", thread, &machine.mount, &machine.disk, stamp).unwrap()
}

#[test]
fn sees_each_trouble_and_its_end_and_takes_none_for_another() {
    with_machine(Rules::PosixStrict, Caching::Through, |machine| {
        let well = Trouble::default();
        for (number, trouble) in troubles().into_iter().enumerate() {
            let stamp = 10 * number as u64;
            let before = probe(machine, stamp);
            before.prepare().unwrap();
            assert!(before.prove(&well, &well).unwrap().ok);
            assert!(!before.prove(&trouble, &well).unwrap().ok, "{trouble:?} is not there");
            machine.disk.set_trouble(trouble.clone());
            let during = probe(machine, stamp + 1).prove(&trouble, &well).unwrap();
            assert!(during.ok, "{trouble:?}: {}", during.said);
            assert!(
                probe(machine, stamp + 2).prove(&well, &trouble).map_or(true, |report| !report.ok),
                "{trouble:?} is not gone"
            );
            machine.disk.set_trouble(well.clone());
            let after = probe(machine, stamp + 3).prove(&well, &trouble).unwrap();
            assert!(after.ok, "{trouble:?}: {}", after.said);
        }
    });
}

#[test]
fn sees_what_a_power_cut_took_and_what_it_kept() {
    with_machine(Rules::PosixStrict, Caching::Through, |machine| {
        for (stamp, cut) in [(1, Cut::Clean), (2, Cut::Torn(5)), (3, Cut::Clean)] {
            let left = probe(machine, stamp).leave().unwrap();
            let report = left.cut_power(cut, false).unwrap();
            assert!(report.ok && report.said.starts_with("synced bytes are there"), "{report:?}");
            machine.cut_power(Cut::Clean);
        }
    });
}

#[test]
fn a_power_cut_of_a_disk_that_lied_is_seen_as_one_that_took_synced_bytes() {
    with_machine(Rules::PosixStrict, Caching::Through, |machine| {
        probe(machine, 1).prepare().unwrap();
        machine.disk.set_trouble(Trouble {
            sync: Some(SyncTrouble::Lies),
            ..Trouble::default()
        });
        let report = probe(machine, 2).leave().unwrap().cut_power(Cut::Clean, true).unwrap();
        assert!(report.ok && report.said.starts_with("synced bytes are gone"), "{report:?}");
        machine.cut_power(Cut::Clean);
        // And it is no proof where the disk was said to be honest.
        let left = probe(machine, 3).leave().unwrap();
        assert!(!left.cut_power(Cut::Clean, false).unwrap().ok);
    });
}
