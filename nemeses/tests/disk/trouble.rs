//! What can be wrong with a disk, as a program meets it, and how it is well again.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

use squall_nemeses::disk::{Caching, Cut, Operation, Rules, SyncTrouble, Trouble};

use crate::machine::{BOUND, read, with_machine};

fn broken(operation: Operation) -> Trouble {
    Trouble {
        broken: BTreeSet::from([operation]),
        ..Trouble::default()
    }
}

fn number<T: std::fmt::Debug>(result: std::io::Result<T>) -> Option<i32> {
    result.unwrap_err().raw_os_error()
}

#[test]
fn what_is_broken_fails_alone_and_is_well_again() {
    with_machine(Rules::PosixStrict, Caching::Through, |machine| {
        fs::write(machine.path("a"), [1; 100]).unwrap();
        let file = OpenOptions::new().read(true).write(true).open(machine.path("a")).unwrap();
        machine.disk.set_trouble(broken(Operation::Write));
        assert_eq!(number(file.write_at(b"x", 0)), Some(libc::EIO));
        file.sync_all().unwrap();
        machine.disk.set_trouble(broken(Operation::Sync));
        assert_eq!(file.write_at(b"x", 0).unwrap(), 1);
        assert_eq!(number(file.sync_all()), Some(libc::EIO));
        machine.disk.set_trouble(broken(Operation::Names));
        assert_eq!(number(File::create(machine.path("b"))), Some(libc::EIO));
        assert_eq!(number(fs::rename(machine.path("a"), machine.path("c"))), Some(libc::EIO));
        machine.disk.set_trouble(Trouble::default());
        fs::rename(machine.path("a"), machine.path("c")).unwrap();
        file.sync_all().unwrap();
        drop(file);
        machine.cut_power(Cut::Torn(1));
        machine.disk.set_trouble(broken(Operation::Read));
        for name in ["a", "c"].into_iter().filter(|name| machine.path(name).exists()) {
            assert_eq!(number(fs::read(machine.path(name))), Some(libc::EIO));
        }
    });
}

#[test]
fn a_full_disk_takes_no_more_bytes_and_no_more_names_but_lets_overwrite() {
    with_machine(Rules::PosixStrict, Caching::Through, |machine| {
        fs::write(machine.path("a"), [1; 100]).unwrap();
        let file = OpenOptions::new().write(true).open(machine.path("a")).unwrap();
        let full = Trouble {
            full: true,
            ..Trouble::default()
        };
        machine.disk.set_trouble(full);
        assert_eq!(number(file.write_at(b"x", 100)), Some(libc::ENOSPC));
        assert_eq!(number(File::create(machine.path("b"))), Some(libc::ENOSPC));
        assert_eq!(file.write_at(b"x", 99).unwrap(), 1);
        assert_eq!(rustix::fs::statvfs(machine.path("")).unwrap().f_bavail, 0);
        machine.disk.set_trouble(Trouble::default());
        assert_eq!(file.write_at(b"x", 100).unwrap(), 1);
    });
}

#[test]
fn a_failed_fsync_fails_once_and_its_bytes_are_gone_after_a_cut() {
    with_machine(Rules::PosixStrict, Caching::Through, |machine| {
        let mut file = File::create(machine.path("a")).unwrap();
        File::open(&machine.mount).unwrap().sync_all().unwrap();
        file.write_all(&[1; 4_096]).unwrap();
        let fails = Trouble {
            sync: Some(SyncTrouble::Fails),
            ..Trouble::default()
        };
        machine.disk.set_trouble(fails);
        assert_eq!(number(file.sync_all()), Some(libc::EIO));
        file.sync_all().unwrap();
        machine.disk.set_trouble(Trouble::default());
        file.sync_all().unwrap();
        assert_eq!(read(&machine.path("a")), [1; 4_096], "the cache still has it");
        drop(file);
        machine.cut_power(Cut::Clean);
        assert_eq!(read(&machine.path("a")), [0; 4_096], "the length was durable, the page was not");
    });
}

#[test]
fn a_lying_fsync_loses_what_it_acknowledged() {
    for (lies, left) in [(true, 0), (false, 4_096)] {
        with_machine(Rules::PosixStrict, Caching::Through, move |machine| {
            let mut file = File::create(machine.path("a")).unwrap();
            File::open(&machine.mount).unwrap().sync_all().unwrap();
            machine.disk.set_trouble(Trouble {
                sync: lies.then_some(SyncTrouble::Lies),
                ..Trouble::default()
            });
            file.write_all(&[1; 4_096]).unwrap();
            file.sync_all().unwrap();
            drop(file);
            assert_eq!(
                machine.disk.durable_bytes("a".as_ref()).unwrap().map(|bytes| bytes.len()),
                Some(left)
            );
            machine.cut_power(Cut::Clean);
            assert_eq!(read(&machine.path("a")).len(), left);
        });
    }
}

#[test]
fn a_slow_disk_delays_every_operation_and_no_longer_when_it_is_healed() {
    const DELAY: Duration = Duration::from_millis(60);
    with_machine(Rules::PosixStrict, Caching::Through, |machine| {
        let file = File::create(machine.path("a")).unwrap();
        let timed = || {
            let began = Instant::now();
            file.write_all_at(b"x", 0).unwrap();
            file.sync_data().unwrap();
            began.elapsed()
        };
        machine.disk.set_trouble(Trouble {
            delay_us: u64::try_from(DELAY.as_micros()).unwrap(),
            ..Trouble::default()
        });
        // The lower bound is exact; there is none above, since a machine may be busy.
        assert!(timed() >= 2 * DELAY);
        machine.disk.set_trouble(Trouble::default());
        assert!((0..20).map(|_| timed()).min().unwrap() < 2 * DELAY);
    });
}

#[test]
fn holds_the_nth_fsync_until_it_is_released_and_nothing_else() {
    with_machine(Rules::PosixStrict, Caching::Through, |machine| {
        let file = File::create(machine.path("a")).unwrap();
        File::open(&machine.mount).unwrap().sync_all().unwrap();
        machine.disk.hold_fsync(2);
        file.write_all_at(b"one", 0).unwrap();
        file.sync_all().unwrap();
        assert!(!machine.disk.wait_held(Duration::ZERO));
        file.write_all_at(b"two", 0).unwrap();
        std::thread::scope(|scope| {
            let synced = scope.spawn(|| file.sync_all());
            assert!(machine.disk.wait_held(BOUND));
            // Written, and not durable; others are served meanwhile.
            fs::write(machine.path("b"), b"other").unwrap();
            assert_eq!(machine.disk.durable_bytes("a".as_ref()).unwrap().unwrap(), b"one");
            assert!(!synced.is_finished());
            assert_eq!(machine.disk.release(), 1);
            synced.join().unwrap().unwrap();
        });
        assert_eq!(machine.disk.durable_bytes("a".as_ref()).unwrap().unwrap(), b"two");
        file.sync_all().unwrap();
    });
}

#[test]
fn a_power_cut_ends_a_held_fsync_without_doing_it() {
    with_machine(Rules::PosixStrict, Caching::Through, |machine| {
        let file = File::create(machine.path("a")).unwrap();
        File::open(&machine.mount).unwrap().sync_all().unwrap();
        file.write_all_at(b"one", 0).unwrap();
        machine.disk.hold_fsync(1);
        std::thread::scope(|scope| {
            let synced = scope.spawn(|| file.sync_all());
            assert!(machine.disk.wait_held(BOUND));
            machine.disk.cut_power(Cut::Clean).unwrap();
            assert_eq!(number(synced.join().unwrap()), Some(libc::EIO));
        });
        assert_eq!(number(file.write_at(b"x", 0)), Some(libc::EIO), "the old mount is dead");
        drop(file);
        machine.cut_power(Cut::Clean);
        assert_eq!(read(&machine.path("a")), b"");
    });
}
