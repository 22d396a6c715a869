//! Programs of our own that keep a promise by fsync, and what is left of it after a power cut.

use std::fs::{self, File};
use std::io::Write;

use squall_nemeses::disk::{Caching, Cut, Rules};

use crate::machine::{Machine, read, with_machine};

const RECORD: usize = 100;

/// Appends records and syncs after each but the last `n_unsynced`; returns how many it acknowledged.
fn append(machine: &Machine, n: usize, n_unsynced: usize) -> usize {
    let mut file = File::create(machine.path("log")).unwrap();
    File::open(&machine.mount).unwrap().sync_all().unwrap();
    for number in 0..n {
        file.write_all(&record(number)).unwrap();
        if number + n_unsynced < n {
            file.sync_data().unwrap();
        }
    }
    n - n_unsynced
}

fn record(number: usize) -> [u8; RECORD] {
    [u8::try_from(number + 1).unwrap(); RECORD]
}

/// Every acknowledged record is there; what follows is, sector by sector, what was written or zeros.
fn check_log(bytes: &[u8], n_acked: usize, context: &str) {
    assert!(
        bytes.len() >= n_acked * RECORD,
        "{context}: {} bytes are left of {n_acked} records",
        bytes.len()
    );
    for (at, byte) in bytes.iter().enumerate() {
        let written = record(at / RECORD)[0];
        let acked = at / RECORD < n_acked;
        assert!(*byte == written || (!acked && *byte == 0), "{context}: byte {at} is {byte}");
    }
}

#[test]
fn a_log_that_is_synced_keeps_every_acknowledged_record() {
    for rules in [Rules::PosixStrict, Rules::Ext4Ordered] {
        for caching in [Caching::Through, Caching::Back] {
            with_machine(rules, caching, move |machine| {
                let n_acked = append(machine, 100, 20);
                machine.cut_power(Cut::Clean);
                assert_eq!(read(&machine.path("log")).len(), n_acked * RECORD, "what was not synced is gone");
                check_log(&read(&machine.path("log")), n_acked, "clean");
                for seed in 0..20 {
                    let n_acked = append(machine, 100, 20);
                    machine.cut_power(Cut::Torn(seed));
                    check_log(&read(&machine.path("log")), n_acked, &format!("{rules:?} {caching:?} {seed}"));
                }
            });
        }
    }
}

#[test]
fn some_torn_cut_tears_a_record() {
    with_machine(Rules::PosixStrict, Caching::Through, |machine| {
        let mut n_torn = 0;
        for seed in 0..20 {
            let n_acked = append(machine, 100, 20);
            machine.cut_power(Cut::Torn(seed));
            let bytes = read(&machine.path("log"));
            n_torn += usize::from(bytes.len() > n_acked * RECORD && bytes[n_acked * RECORD..].contains(&0));
        }
        assert!(n_torn > 3, "{n_torn} of 20");
    });
}

/// Replaces `config` by version `number`, leaving out what the test is about.
fn replace(machine: &Machine, number: u8, sync_bytes: bool, sync_directory: bool) {
    let mut file = File::create(machine.path("config.new")).unwrap();
    file.write_all(&[number; 1_000]).unwrap();
    if sync_bytes {
        file.sync_all().unwrap();
    }
    drop(file);
    fs::rename(machine.path("config.new"), machine.path("config")).unwrap();
    if sync_directory {
        File::open(&machine.mount).unwrap().sync_all().unwrap();
    }
}

#[test]
fn a_replaced_file_is_the_old_or_the_new_one_and_the_new_one_once_its_directory_is_synced() {
    for rules in [Rules::PosixStrict, Rules::Ext4Ordered] {
        with_machine(rules, Caching::Through, move |machine| {
            for seed in 0..30 {
                replace(machine, 1, true, true);
                replace(machine, 2, true, seed % 2 == 0);
                machine.cut_power(Cut::Torn(seed));
                let left = read(&machine.path("config"));
                assert_eq!(left.len(), 1_000, "{rules:?} {seed}");
                assert!(left == [2; 1_000] || (left == [1; 1_000] && seed % 2 == 1), "{rules:?} {seed}");
            }
        });
    }
}

#[test]
fn bytes_that_were_not_synced_before_the_rename_are_lost_by_posix_and_not_by_ext4() {
    for (rules, left) in [(Rules::PosixStrict, 0), (Rules::Ext4Ordered, 1_000)] {
        with_machine(rules, Caching::Through, move |machine| {
            replace(machine, 1, true, true);
            replace(machine, 2, false, true);
            machine.cut_power(Cut::Clean);
            assert_eq!(read(&machine.path("config")).len(), left);
        });
    }
}
