//! The rules, one by one, in both directions: what a sync keeps, and what is lost without it.

use std::collections::BTreeSet;
use std::ffi::OsStr;

use super::legal::Pair;
use crate::disk::inode::Kind;
use crate::disk::names::ROOT;
use crate::disk::{Cut, Rules};

const BOTH: [Rules; 2] = [Rules::PosixStrict, Rules::Ext4Ordered];

#[test]
fn a_synced_byte_survives_and_one_that_is_not_does_not() {
    for rules in BOTH {
        let mut pair = Pair::new(rules);
        let ino = pair.create((ROOT, "a"));
        pair.write(ino, 0, 40, 1);
        pair.sync_file(ino);
        pair.sync_directory(ROOT);
        pair.write(ino, 8, 4, 2);
        pair.write(ino, 40, 4, 3);
        let (_, contents) = pair.cut(Cut::Clean);
        assert_eq!(contents[&ino], vec![1; 40], "{rules:?}");
    }
}

#[test]
fn a_name_needs_a_sync_of_its_directory_by_posix_and_none_by_ext4() {
    for (rules, survives) in [(Rules::PosixStrict, false), (Rules::Ext4Ordered, true)] {
        let mut pair = Pair::new(rules);
        let ino = pair.create((ROOT, "a"));
        pair.write(ino, 0, 4, 1);
        pair.sync_file(ino);
        assert_eq!(pair.cut(Cut::Clean).0.contains_key(&(ROOT, "a")), survives);
    }
}

#[test]
fn an_unlinked_file_comes_back_until_its_directory_is_synced() {
    for synced in [false, true] {
        let mut pair = Pair::new(Rules::PosixStrict);
        let ino = pair.create((ROOT, "a"));
        pair.write(ino, 0, 4, 1);
        pair.sync_file(ino);
        pair.sync_directory(ROOT);
        pair.unlink((ROOT, "a"));
        if synced {
            pair.sync_directory(ROOT);
        }
        assert_eq!(pair.cut(Cut::Clean).1.contains_key(&ino), !synced);
    }
}

/// Replaces `a` by a new file as careful programs do, but for a missing sync of the new bytes.
fn replaced_without_a_sync_of_the_bytes(rules: Rules) -> Vec<u8> {
    let mut pair = Pair::new(rules);
    let old = pair.create((ROOT, "a"));
    pair.write(old, 0, 4, 1);
    pair.sync_file(old);
    pair.sync_directory(ROOT);
    let new = pair.create((ROOT, "b"));
    pair.write(new, 0, 4, 2);
    pair.rename((ROOT, "b"), (ROOT, "a"));
    pair.sync_directory(ROOT);
    let (tree, contents) = pair.cut(Cut::Clean);
    contents[&tree[&(ROOT, "a")]].clone()
}

#[test]
fn a_file_renamed_over_another_may_be_empty_by_posix_and_never_by_ext4() {
    assert_eq!(replaced_without_a_sync_of_the_bytes(Rules::PosixStrict), Vec::<u8>::new());
    assert_eq!(replaced_without_a_sync_of_the_bytes(Rules::Ext4Ordered), vec![2; 4]);
}

#[test]
fn a_rename_is_one_step_whichever_directory_is_synced() {
    for synced in [ROOT, 0] {
        let mut pair = Pair::new(Rules::PosixStrict);
        let below = pair.make_directory((ROOT, "d"));
        let ino = pair.create((ROOT, "a"));
        pair.sync_directory(ROOT);
        pair.rename((ROOT, "a"), (below, "b"));
        pair.sync_directory(if synced == ROOT { ROOT } else { below });
        let (tree, _) = pair.cut(Cut::Clean);
        assert_eq!((tree.get(&(ROOT, "a")), tree.get(&(below, "b"))), (None, Some(&ino)));
    }
}

#[test]
fn an_fsync_that_lies_loses_what_an_honest_one_keeps() {
    for (lies, kept) in [(true, vec![]), (false, vec![1; 4])] {
        let mut pair = Pair::new(Rules::PosixStrict);
        let ino = pair.create((ROOT, "a"));
        pair.sync_directory(ROOT);
        pair.write(ino, 0, 4, 1);
        pair.disk.lies = lies;
        pair.disk.sync(ino, false).unwrap();
        pair.disk.lose_power(Cut::Clean).unwrap();
        assert_eq!(pair.read(ino), kept);
    }
}

#[test]
fn a_failed_fsync_drops_its_pages_even_from_a_later_one_that_succeeds() {
    let mut pair = Pair::new(Rules::PosixStrict);
    let ino = pair.create((ROOT, "a"));
    pair.sync_directory(ROOT);
    pair.write(ino, 0, 4, 1);
    assert!(pair.disk.fail_sync(ino), "there is something to fail for");
    assert!(!pair.disk.fail_sync(ino), "its pages are clean now");
    pair.write(ino, 32, 4, 2);
    pair.disk.sync(ino, false).unwrap();
    assert_eq!(
        pair.disk.durable_bytes("a".as_ref()).unwrap().unwrap()[..512],
        [0; 512],
        "the sync after it has not brought it back"
    );
    pair.disk.lose_power(Cut::Torn(3)).unwrap();
    let left = pair.read(ino);
    assert_eq!((&left[..4], &left[32..]), (&[0; 4][..], &[2; 4][..]));
}

#[test]
fn a_dropped_page_is_read_as_the_disk_has_it_once_it_is_not_cached_any_more() {
    let mut pair = Pair::new(Rules::PosixStrict);
    let ino = pair.create((ROOT, "a"));
    pair.sync_directory(ROOT);
    pair.write(ino, 0, 36, 1);
    pair.sync_file(ino);
    pair.write(ino, 4, 60, 2);
    assert!(pair.disk.fail_sync(ino));
    // Whatever reads as far as the disk has missed the cache.
    let expected: Vec<u8> = [vec![1; 36], vec![0; 28]].concat();
    assert_eq!(pair.read(ino), expected);
    pair.disk.lose_power(Cut::Torn(1)).unwrap();
    assert_eq!(pair.read(ino)[..36], [1; 36]);
}

#[test]
fn a_page_that_is_written_again_after_a_failed_fsync_can_become_durable() {
    let mut pair = Pair::new(Rules::PosixStrict);
    let ino = pair.create((ROOT, "a"));
    pair.sync_directory(ROOT);
    pair.write(ino, 0, 4, 1);
    assert!(pair.disk.fail_sync(ino));
    pair.write(ino, 0, 4, 3);
    pair.disk.sync(ino, true).unwrap();
    pair.disk.lose_power(Cut::Clean).unwrap();
    assert_eq!(pair.read(ino), vec![3; 4]);
}

#[test]
fn torn_cuts_leave_every_state_of_two_sectors() {
    let mut seen = BTreeSet::new();
    for seed in 0..200 {
        let mut pair = Pair::new(Rules::PosixStrict);
        let ino = pair.create((ROOT, "a"));
        pair.write(ino, 0, 8, 1);
        pair.sync_file(ino);
        pair.sync_directory(ROOT);
        pair.write(ino, 0, 8, 2);
        let (_, contents) = pair.cut(Cut::Torn(seed));
        seen.insert((contents[&ino][0], contents[&ino][4]));
    }
    assert_eq!(seen, BTreeSet::from([(1, 1), (1, 2), (2, 1), (2, 2)]));
}

#[test]
fn blocks_that_lengthen_a_file_of_ext4_are_never_torn() {
    for seed in 0..200 {
        let mut pair = Pair::new(Rules::Ext4Ordered);
        let ino = pair.create((ROOT, "a"));
        pair.sync_directory(ROOT);
        pair.write(ino, 0, 32, 2);
        let (_, contents) = pair.cut(Cut::Torn(seed));
        assert!(contents[&ino].is_empty() || contents[&ino] == vec![2; 32], "{contents:?}");
    }
}

#[test]
fn what_is_open_and_unlinked_can_still_be_read_and_goes_when_it_is_closed() {
    let mut pair = Pair::new(Rules::PosixStrict);
    let ino = pair.create((ROOT, "a"));
    pair.disk.open_inode(ino).unwrap();
    pair.write(ino, 0, 4, 1);
    pair.unlink((ROOT, "a"));
    pair.sync_directory(ROOT);
    assert_eq!(pair.read(ino), vec![1; 4]);
    pair.disk.close(ino);
    assert!(pair.disk.inode(ino).is_err());
}

#[test]
fn refuses_what_a_file_system_refuses() {
    let mut pair = Pair::new(Rules::PosixStrict);
    let below = pair.make_directory((ROOT, "d"));
    pair.create((below, "a"));
    let refused = |result: std::io::Result<()>, number: i32| assert_eq!(result.unwrap_err().raw_os_error(), Some(number));
    let name = OsStr::new;
    refused(pair.disk.remove(ROOT, name("d"), true), libc::ENOTEMPTY);
    refused(pair.disk.remove(ROOT, name("d"), false), libc::EISDIR);
    refused(pair.disk.remove(below, name("a"), true), libc::ENOTDIR);
    refused(pair.disk.remove(ROOT, name("x"), false), libc::ENOENT);
    refused(pair.disk.rename((ROOT, name("d")), (below, name("e")), true), libc::EINVAL);
    refused(pair.disk.create(ROOT, name("d"), Kind::File, 0o644).map(drop), libc::EEXIST);
    refused(pair.disk.link(below, ROOT, name("e")), libc::EPERM);
}

#[test]
fn the_durable_bytes_of_a_file_are_what_a_clean_cut_leaves() {
    for seed in 0..100u8 {
        let mut pair = Pair::new(Rules::PosixStrict);
        let ino = pair.create((ROOT, "a"));
        pair.sync_directory(ROOT);
        pair.write(ino, 0, 8 + usize::from(seed) % 40, 1);
        pair.sync_file(ino);
        pair.write(ino, usize::from(seed) / 4, 9, 2);
        if seed % 3 == 0 {
            pair.resize(ino, usize::from(seed) / 2);
        }
        let told = pair.disk.durable_bytes("a".as_ref()).unwrap().unwrap();
        pair.disk.lose_power(Cut::Clean).unwrap();
        let left = pair.read(ino);
        assert_eq!(told.chunks(128).map(|unit| unit[0]).collect::<Vec<_>>(), left);
    }
}
