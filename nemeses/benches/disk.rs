//! What a disk that can lose power costs, beside the folder below it: `cargo bench -p squall-nemeses --bench disk`.
//!
//! One item is one operation. `append_and_sync` is what a write-ahead log does; `unsynced_writes` what a store does that syncs later;
//! `power_cut` is everything from the cut to the first answer of the new mount, with 200 appended and 200 overwritten pages to undo.
//! It needs root and `/dev/fuse`.

#![allow(clippy::unwrap_used, reason = "a bench that cannot have its disk has nothing to measure")]

use std::cell::RefCell;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use divan::Bencher;
use divan::counter::ItemsCount;
use rustix::mount::{MountPropagationFlags, mount_change};
use rustix::thread::{UnshareFlags, unshare_unsafe};
use squall_nemeses::disk::{self, Caching, Cut, Disk, Rules, Served};

const PAGE: [u8; 4_096] = [7; 4_096];
/// Writes per sample; the file they go to is 32 MiB.
const N_WRITES: u64 = 8_192;

#[allow(unsafe_code, reason = "rustix marks every unshare(2) unsafe, for the sake of CLONE_FILES")]
fn main() {
    // SAFETY: a mount namespace of its own takes no descriptor from any thread, and there is only this one.
    unsafe { unshare_unsafe(UnshareFlags::NEWNS) }.unwrap();
    mount_change("/", MountPropagationFlags::REC | MountPropagationFlags::PRIVATE).unwrap();
    divan::main();
}

/// A mounted disk, or with `None` the folder it would stand in.
struct Machine {
    disk: Disk,
    mount: PathBuf,
    served: Option<Served>,
    folder: tempfile::TempDir,
    caching: Option<Caching>,
}

impl Machine {
    fn new(caching: Option<Caching>, rules: Rules) -> Machine {
        let folder = tempfile::tempdir_in(".").unwrap();
        let mount = folder.path().join("mount");
        std::fs::create_dir(&mount).unwrap();
        let disk = Disk::open(&folder.path().join("objects"), &folder.path().join("mirror"), rules).unwrap();
        let mut machine = Machine {
            disk,
            mount,
            served: None,
            folder,
            caching,
        };
        machine.attach();
        machine
    }

    fn attach(&mut self) {
        let Some(caching) = self.caching else { return };
        let device = disk::open_device().unwrap();
        disk::mount(&device, &self.mount).unwrap();
        self.served = Some(self.disk.serve(device, caching).unwrap());
    }

    fn detach(&mut self) {
        if let Some(served) = self.served.take() {
            disk::unmount(&self.mount).unwrap();
            served.join().unwrap();
        }
    }

    fn file(&self, name: &str) -> File {
        OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(self.mount.join(name))
            .unwrap()
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.detach();
        assert!(self.folder.path().exists());
    }
}

const KINDS: [&str; 3] = ["folder", "through", "back"];

fn caching(kind: &str) -> Option<Caching> {
    match kind {
        "through" => Some(Caching::Through),
        "back" => Some(Caching::Back),
        _ => None,
    }
}

#[divan::bench(args = KINDS, sample_count = 2_000, sample_size = 1)]
fn append_and_sync(bencher: Bencher<'_, '_>, kind: &str) {
    let machine = Machine::new(caching(kind), Rules::PosixStrict);
    let file = machine.file("log");
    let offset = std::cell::Cell::new(0);
    bencher.counter(ItemsCount::new(1u32)).bench_local(|| {
        file.write_all_at(&PAGE, offset.replace(offset.get() + 4_096)).unwrap();
        file.sync_data().unwrap();
    });
}

#[divan::bench(args = KINDS, sample_count = 10, sample_size = 1)]
fn unsynced_writes(bencher: Bencher<'_, '_>, kind: &str) {
    let machine = Machine::new(caching(kind), Rules::PosixStrict);
    bencher
        .counter(ItemsCount::new(N_WRITES))
        .with_inputs(|| machine.file("data"))
        .bench_local_values(|file| {
            for number in 0..N_WRITES {
                file.write_all_at(&PAGE, number * 4_096).unwrap();
            }
            file
        });
}

#[divan::bench(args = KINDS, sample_count = 10, sample_size = 1)]
fn unsynced_overwrites(bencher: Bencher<'_, '_>, kind: &str) {
    let machine = Machine::new(caching(kind), Rules::PosixStrict);
    let file = machine.file("data");
    file.write_all_at(&vec![1; 32 << 20], 0).unwrap();
    bencher
        .counter(ItemsCount::new(N_WRITES))
        .with_inputs(|| file.sync_data().unwrap())
        .bench_local_values(|()| {
            for number in 0..N_WRITES {
                file.write_all_at(&PAGE, number * 7_919 % N_WRITES * 4_096).unwrap();
            }
        });
}

#[divan::bench(args = [Rules::PosixStrict, Rules::Ext4Ordered], sample_count = 50, sample_size = 1)]
fn power_cut(bencher: Bencher<'_, '_>, rules: Rules) {
    let machine = RefCell::new(Machine::new(Some(Caching::Through), rules));
    let prepare = || {
        let machine = machine.borrow();
        let (old, new) = (machine.file("old"), machine.file("new"));
        old.write_all_at(&vec![1; 200 * 4_096], 0).unwrap();
        old.sync_data().unwrap();
        File::open(&machine.mount).unwrap().sync_all().unwrap();
        for number in 0..200 {
            old.write_all_at(&PAGE, number * 4_096).unwrap();
            new.write_all_at(&PAGE, number * 4_096).unwrap();
        }
    };
    bencher.with_inputs(prepare).bench_local_values(|()| {
        let mut machine = machine.borrow_mut();
        machine.disk.cut_power(Cut::Clean).unwrap();
        machine.detach();
        machine.attach();
        std::fs::metadata(machine.mount.join("old")).unwrap()
    });
}
