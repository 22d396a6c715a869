//! The probe against every trouble there is, in both directions: it sees what is there, and it sees that it is not there.

use std::collections::BTreeSet;
use std::io::Write;

use std::num::{NonZeroU32, NonZeroU64};

use squall_nemeses::disk::probe::Probe;
use squall_nemeses::disk::{Caching, Cut, Misdirects, Operation, Rot, Rules, SyncTrouble, Trouble};

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
            ..Trouble::default()
        },
        Trouble {
            packed: true,
            ..Trouble::default()
        },
        Trouble {
            read_only: true,
            ..Trouble::default()
        },
        Trouble {
            read_only: true,
            broken: BTreeSet::from([Operation::Read]),
            delay_us: 2_000,
            ..Trouble::default()
        },
        Trouble {
            bytes_per_s: NonZeroU64::new(64 << 10),
            ..Trouble::default()
        },
        Trouble {
            misdirects: Some(Misdirects {
                seed: 3,
                every: NonZeroU32::MIN,
            }),
            ..Trouble::default()
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

/// What refuses writes in each way, and nothing else.
fn refusals() -> Vec<Trouble> {
    troubles()
        .into_iter()
        .filter(|trouble| trouble.refuses_writes() && !trouble.lies() && trouble.delay_us == 0)
        .collect()
}

#[test]
fn sees_that_a_disk_that_refuses_writes_is_slow_and_that_it_is_slow_no_more() {
    with_machine(Rules::PosixStrict, Caching::Through, |machine| {
        let well = Trouble::default();
        let slow = |refuses: &Trouble, rate| match rate {
            true => Trouble {
                bytes_per_s: NonZeroU64::new(256 << 10),
                ..refuses.clone()
            },
            false => Trouble {
                delay_us: 30_000,
                ..refuses.clone()
            },
        };
        let pairs = refusals()
            .into_iter()
            .flat_map(|refuses| [false, true].map(|rate| (refuses.clone(), slow(&refuses, rate))));
        for (number, (refuses, both)) in pairs.enumerate() {
            let stamp = 10 * number as u64;
            machine.disk.set_trouble(well.clone());
            probe(machine, stamp).prepare().unwrap();
            machine.disk.set_trouble(refuses.clone());
            let none = probe(machine, stamp + 1).prove(&both, &refuses).unwrap();
            assert!(!none.ok, "{both:?} is not slow: {}", none.said);
            machine.disk.set_trouble(both.clone());
            let during = probe(machine, stamp + 2).prove(&both, &refuses).unwrap();
            assert!(during.ok && during.said.contains("a read"), "{both:?}: {}", during.said);
            let still = probe(machine, stamp + 3).prove(&refuses, &both).unwrap();
            assert!(!still.ok, "{both:?} is slow still: {}", still.said);
            machine.disk.set_trouble(refuses.clone());
            let after = probe(machine, stamp + 4).prove(&refuses, &both).unwrap();
            assert!(after.ok, "{both:?}: {}", after.said);
        }
    });
}

#[test]
fn what_waits_for_a_slow_disk_waits_no_longer_than_it_is_slow() {
    with_machine(Rules::PosixStrict, Caching::Through, |machine| {
        let hours = [
            Trouble {
                bytes_per_s: NonZeroU64::new(1),
                ..Trouble::default()
            },
            Trouble {
                delay_us: 3_600_000_000,
                ..Trouble::default()
            },
        ];
        for slow in hours {
            let path = machine.path("log");
            std::fs::write(&path, b"there").unwrap();
            machine.disk.set_trouble(slow);
            let (begun, writes) = std::sync::mpsc::channel();
            let writer = std::thread::spawn(move || {
                begun.send(nix::unistd::gettid()).unwrap();
                let mut file = std::fs::OpenOptions::new().append(true).open(path).unwrap();
                file.write_all(&[7; 8_192]).unwrap();
            });
            let waits_in = format!("/proc/self/task/{}/wchan", writes.recv().unwrap());
            while !std::fs::read_to_string(&waits_in).unwrap().contains("request_wait_answer") {
                std::thread::yield_now();
            }
            machine.disk.set_trouble(Trouble::default());
            writer.join().unwrap();
            assert_eq!(crate::machine::read(&machine.path("log")).len(), 5 + 8_192);
        }
    });
}

#[test]
fn sees_that_one_of_two_slow_faults_is_gone_and_that_it_is_not() {
    with_machine(Rules::PosixStrict, Caching::Through, |machine| {
        let slow = |delay_ms: u64, kib_per_s: u64| Trouble {
            delay_us: delay_ms * 1_000,
            bytes_per_s: NonZeroU64::new(kib_per_s << 10),
            ..Trouble::default()
        };
        let pairs = [
            (slow(200, 0), slow(90, 0)),
            (slow(0, 4), slow(0, 10)),
            (slow(80, 8), slow(0, 8)),
            (slow(90, 8), slow(90, 0)),
        ];
        for (number, (both, one)) in pairs.into_iter().enumerate() {
            let stamp = 10 * number as u64;
            machine.disk.set_trouble(Trouble::default());
            probe(machine, stamp).prepare().unwrap();
            machine.disk.set_trouble(both.clone());
            let during = probe(machine, stamp + 1).prove(&both, &one).unwrap();
            assert!(during.ok, "{both:?}: {}", during.said);
            let still = probe(machine, stamp + 2).prove(&one, &both).unwrap();
            assert!(!still.ok, "all of {both:?} is there still: {}", still.said);
            machine.disk.set_trouble(one.clone());
            let after = probe(machine, stamp + 3).prove(&one, &both).unwrap();
            assert!(after.ok, "{one:?} is left: {}", after.said);
            machine.disk.set_trouble(Trouble::default());
            let gone = probe(machine, stamp + 4).prove(&one, &both).unwrap();
            assert!(!gone.ok, "nothing is left: {}", gone.said);
        }
    });
}

#[test]
fn the_bytes_that_prove_a_power_cut_can_be_left_wherever_the_trouble_says_so() {
    with_machine(Rules::PosixStrict, Caching::Through, |machine| {
        for (number, trouble) in troubles().into_iter().enumerate() {
            let stamp = 10 * number as u64;
            machine.disk.set_trouble(Trouble::default());
            probe(machine, stamp).prepare().unwrap();
            machine.disk.set_trouble(trouble.clone());
            let left = probe(machine, stamp + 1).leave();
            let proved = left.is_ok_and(|left| left.cut_power(Cut::Clean, trouble.lies()).unwrap().ok);
            // Where reads or names alone fail, or a stray write lands in the right place by chance, they may be left; nobody relies on it.
            let may_be_left = !trouble.broken.is_empty() || trouble.misdirects.is_some();
            assert!(
                proved != trouble.hides_a_power_cut() || (proved && may_be_left),
                "{trouble:?}: {proved}"
            );
            machine.disk.set_trouble(Trouble::default());
            machine.cut_power(Cut::Clean);
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

#[test]
fn rot_is_seen_by_readers_and_survives_power_cuts_and_nothing_durable_cannot_rot() {
    with_machine(Rules::PosixStrict, Caching::Through, |machine| {
        let rot = Rot {
            seed: 11,
            flips: 5,
            file: None,
        };
        probe(machine, 1).prepare().unwrap();
        let nothing = probe(machine, 1).rot(&rot).unwrap();
        assert!(!nothing.ok && nothing.flips.is_empty() && !machine.disk.is_damaged(), "{nothing:?}");

        std::fs::create_dir(machine.path("db")).unwrap();
        let path = machine.path("db/log");
        let written = vec![0x77; 20_000];
        std::fs::write(&path, &written).unwrap();
        for synced in [&path, &machine.path("db"), &machine.mount] {
            std::fs::File::open(synced).unwrap().sync_all().unwrap();
        }
        // What is in the kernel's cache has to be forgotten.
        assert_eq!(std::fs::read(&path).unwrap(), written);
        let mapped_before = map(&path);
        let report = probe(machine, 2).rot(&rot).unwrap();
        assert!(report.ok && report.flips.len() == 5 && machine.disk.is_damaged(), "{report:?}");
        let mut expected = written;
        for flip in &report.flips {
            assert_eq!(flip.file, std::path::Path::new("db/log"));
            expected[usize::try_from(flip.offset).unwrap()] ^= 1 << flip.bit;
        }
        assert_eq!(std::fs::read(&path).unwrap(), expected);
        assert_eq!(mapped_before(), expected, "a mapping sees it, too");
        machine.cut_power(Cut::Clean);
        assert_eq!(std::fs::read(&path).unwrap(), expected, "it is the disk's");
    });
}

/// Maps a file in a process of its own, and reads the mapping when it is asked.
fn map(path: &std::path::Path) -> impl FnOnce() -> Vec<u8> {
    use std::io::{Read, Write};
    let program = "import mmap,sys\nf=open(sys.argv[1],'rb')\nm=mmap.mmap(f.fileno(),0,prot=mmap.PROT_READ)\n\
        n=len(m[:])\nsys.stdin.read(1)\nsys.stdout.buffer.write(m[:n])";
    let mut command = std::process::Command::new("python3");
    let pipes = command.args(["-c", program]).arg(path);
    let child = pipes
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn();
    let path = path.to_owned();
    move || {
        // Without Python a read has to do.
        let Ok(mut child) = child else {
            return std::fs::read(path).unwrap();
        };
        child.stdin.take().unwrap().write_all(b"x").unwrap();
        let mut bytes = Vec::new();
        child.stdout.take().unwrap().read_to_end(&mut bytes).unwrap();
        child.wait().unwrap();
        bytes
    }
}

#[test]
fn a_misdirected_write_damages_another_place_and_leaves_its_own_as_it_was() {
    with_machine(Rules::PosixStrict, Caching::Through, |machine| {
        let (path, other) = (machine.path("log"), machine.path("other"));
        std::fs::write(&path, vec![1; 8_192]).unwrap();
        std::fs::write(&other, vec![2; 8_192]).unwrap();
        for synced in [&path, &other, &machine.mount] {
            std::fs::File::open(synced).unwrap().sync_all().unwrap();
        }
        machine.disk.set_trouble(Trouble {
            misdirects: Some(Misdirects {
                seed: 8,
                every: NonZeroU32::new(2).unwrap(),
            }),
            ..Trouble::default()
        });
        let append = |byte: u8| {
            use std::io::Write;
            let mut file = std::fs::OpenOptions::new().append(true).open(&path).unwrap();
            file.write_all(&[byte; 512]).unwrap();
            file.sync_all().unwrap();
        };
        append(9);
        append(7);
        machine.disk.set_trouble(Trouble::default());
        assert_eq!((machine.disk.take_misplaced(), machine.disk.is_damaged()), (1, true));
        let bytes = [
            machine.disk.durable_bytes("log".as_ref()),
            machine.disk.durable_bytes("other".as_ref()),
        ];
        let [log, other] = bytes.map(|bytes| bytes.unwrap().unwrap());
        assert_eq!(log.len(), 9_216, "the file is as long as its writer thinks");
        assert_eq!(
            (&log[8_192..8_704], &log[8_704..]),
            (&[0; 512][..], &[7; 512][..]),
            "the second write arrived"
        );
        let places = |byte: u8| log[..8_192].iter().chain(&other).filter(|has| **has == byte).count();
        assert_eq!(
            (places(9), places(1) + places(2)),
            (512, 15_872),
            "the first one stands in another's place"
        );
        machine.cut_power(Cut::Clean);
        assert_eq!(std::fs::read(&path).unwrap(), log);
    });
}

#[test]
fn a_packed_disk_takes_writes_again_when_something_is_removed() {
    with_machine(Rules::PosixStrict, Caching::Through, |machine| {
        let (path, ballast) = (machine.path("log"), machine.path("ballast"));
        std::fs::write(&path, b"log").unwrap();
        std::fs::write(&ballast, vec![5; 20_000]).unwrap();
        machine.disk.set_trouble(Trouble {
            packed: true,
            ..Trouble::default()
        });
        let number = |done: std::io::Result<()>| done.err().and_then(|error| error.raw_os_error());
        assert_eq!(number(std::fs::write(machine.path("new"), b"")), Some(libc::ENOSPC));
        let overwrite = |bytes: &[u8]| {
            use std::os::unix::fs::FileExt;
            std::fs::OpenOptions::new()
                .write(true)
                .open(&path)
                .and_then(|file| file.write_all_at(bytes, 0))
        };
        assert_eq!(number(overwrite(b"LOG")), Some(libc::ENOSPC), "even what replaces bytes needs room");
        assert_eq!((std::fs::read(&path).unwrap(), machine.disk.room()), (b"log".to_vec(), Some(0)));
        std::fs::remove_file(&ballast).unwrap();
        std::fs::File::open(&machine.mount).unwrap().sync_all().unwrap();
        assert_eq!(machine.disk.room(), Some(6 * 4_096));
        assert_eq!(number(overwrite(b"LOG")), None);
        assert_eq!(number(overwrite(&[3; 28_000])), Some(libc::ENOSPC), "but no more than there is");
    });
}
