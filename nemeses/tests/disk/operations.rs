//! What a file system has to do: names, links, locks, maps, lengths, through the kernel.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, symlink};

use rustix::fs::{FallocateFlags, FlockOperation, RenameFlags, fallocate, flock, renameat_with};
use squall_nemeses::disk::{Caching, Cut, Rules};

use crate::machine::{read, with_machine};

#[test]
fn does_what_a_file_system_does() {
    with_machine(Rules::PosixStrict, Caching::Through, |machine| {
        let path = |name: &str| machine.path(name);
        fs::create_dir(path("d")).unwrap();
        fs::write(path("d/a"), b"hello").unwrap();
        fs::hard_link(path("d/a"), path("b")).unwrap();
        symlink("d/a", path("s")).unwrap();
        assert_eq!((read(&path("b")), read(&path("s"))), (b"hello".to_vec(), b"hello".to_vec()));
        assert_eq!(fs::metadata(path("b")).unwrap().nlink(), 2);
        let mut appended = OpenOptions::new().append(true).open(path("b")).unwrap();
        appended.write_all(b", world").unwrap();
        assert_eq!(read(&path("d/a")), b"hello, world");
        fs::set_permissions(path("b"), fs::Permissions::from_mode(0o640)).unwrap();
        assert_eq!(fs::metadata(path("d/a")).unwrap().permissions().mode() & 0o7777, 0o640);
        fs::rename(path("d/a"), path("d/c")).unwrap();
        assert!(fs::remove_dir(path("d")).is_err() && fs::rename(path("d"), path("b")).is_err());
        fs::write(path("x"), b"x").unwrap();
        renameat_with(rustix::fs::CWD, path("x"), rustix::fs::CWD, path("b"), RenameFlags::EXCHANGE).unwrap();
        assert_eq!((read(&path("b")), read(&path("x"))), (b"x".to_vec(), b"hello, world".to_vec()));
        let refused = renameat_with(rustix::fs::CWD, path("x"), rustix::fs::CWD, path("b"), RenameFlags::NOREPLACE);
        assert_eq!(refused, Err(rustix::io::Errno::EXIST));
        File::create(path("x")).unwrap();
        assert_eq!(read(&path("d/c")), b"", "truncated through its other name");
        let room = rustix::fs::statvfs(path("")).unwrap();
        assert!(room.f_bavail > 0 && room.f_namemax == 255);
        assert_eq!(read(&machine.mirror.join("b")), b"x", "the mirror shows it outside");
    });
}

#[test]
fn room_holes_and_lengths() {
    with_machine(Rules::PosixStrict, Caching::Through, |machine| {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .open(machine.path("a"))
            .unwrap();
        fallocate(&file, FallocateFlags::empty(), 0, 10_000).unwrap();
        assert_eq!(file.metadata().unwrap().len(), 10_000);
        file.write_all_at(&[7; 10_000], 0).unwrap();
        fallocate(&file, FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE, 4_096, 4_096).unwrap();
        file.set_len(9_000).unwrap();
        let bytes = read(&machine.path("a"));
        assert_eq!(bytes.len(), 9_000);
        assert!(bytes[..4_096].iter().chain(&bytes[8_192..]).all(|byte| *byte == 7) && bytes[4_096..8_192].iter().all(|byte| *byte == 0));
    });
}

#[test]
fn lists_a_thousand_names_and_removes_them_while_it_lists() {
    with_machine(Rules::Ext4Ordered, Caching::Through, |machine| {
        for number in 0..1_000 {
            File::create(machine.path(&format!("f{number}"))).unwrap();
        }
        let listed: BTreeSet<_> = fs::read_dir(&machine.mount)
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        assert_eq!(listed.len(), 1_000);
        for entry in fs::read_dir(&machine.mount).unwrap() {
            fs::remove_file(entry.unwrap().path()).unwrap();
        }
        assert_eq!(fs::read_dir(&machine.mount).unwrap().count(), 0);
    });
}

#[test]
fn locks_keep_others_out() {
    with_machine(Rules::PosixStrict, Caching::Through, |machine| {
        let open = || {
            OpenOptions::new()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .open(machine.path("lock"))
                .unwrap()
        };
        let (one, other) = (open(), open());
        flock(&one, FlockOperation::LockExclusive).unwrap();
        assert!(flock(&other, FlockOperation::NonBlockingLockExclusive).is_err());
        drop(one);
        flock(&other, FlockOperation::NonBlockingLockExclusive).unwrap();
    });
}

#[test]
fn a_deleted_file_that_is_open_goes_on() {
    with_machine(Rules::PosixStrict, Caching::Through, |machine| {
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .open(machine.path("a"))
            .unwrap();
        file.write_all(b"still here").unwrap();
        fs::remove_file(machine.path("a")).unwrap();
        let mut bytes = [0; 10];
        file.read_exact_at(&mut bytes, 0).unwrap();
        assert_eq!(&bytes, b"still here");
    });
}

/// Writes through a shared map, with or without msync, and is killed.
fn write_through_a_map(with_sync: bool, caching: Caching) {
    with_machine(Rules::PosixStrict, caching, move |machine| {
        fs::write(machine.path("m"), [1; 8_192]).unwrap();
        File::open(machine.path("m")).unwrap().sync_all().unwrap();
        File::open(&machine.mount).unwrap().sync_all().unwrap();
        let sync = if with_sync { "m.flush()" } else { "" };
        let program = format!(
            "import mmap\nf=open('m','r+b')\nm=mmap.mmap(f.fileno(),0)\nm[5000:5004]=b'\\2\\2\\2\\2'\n{sync}\nprint('done',flush=True)\ninput()"
        );
        let Some(mut child) = machine.python(&program) else { return };
        let mut said = [0; 4];
        child.stdout.as_mut().unwrap().read_exact(&mut said).unwrap();
        assert_eq!(read(&machine.path("m"))[5_000], 2, "a reader sees what the map wrote");
        child.kill().unwrap();
        child.wait().unwrap();
        machine.cut_power(Cut::Clean);
        assert_eq!(read(&machine.path("m"))[5_000], if with_sync { 2 } else { 1 });
    });
}

#[test]
fn a_shared_map_is_durable_after_msync_and_only_then() {
    for caching in [Caching::Through, Caching::Back] {
        write_through_a_map(true, caching);
        write_through_a_map(false, caching);
    }
}

#[test]
fn a_process_that_is_killed_loses_nothing_while_the_power_stays() {
    with_machine(Rules::PosixStrict, Caching::Back, |machine| {
        let Some(mut child) = machine.python("f=open('a','wb',buffering=0)\nf.write(b'x'*9000)\nprint('done',flush=True)\ninput()") else {
            return;
        };
        let mut said = [0; 4];
        child.stdout.as_mut().unwrap().read_exact(&mut said).unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(read(&machine.path("a")).len(), 9_000);
        machine.cut_power(Cut::Clean);
        assert!(!machine.path("a").exists(), "the power takes it");
    });
}
