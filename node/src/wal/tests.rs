//! The log against torn ends, damage in the middle and disks that fail.

use std::sync::{Arc, Mutex};

use super::*;

/// A file in memory whose content survives the `Wal`, and whose next sync or append can be made to fail.
#[derive(Clone, Debug, Default)]
struct TestDisk {
    state: Arc<Mutex<DiskState>>,
}

#[derive(Debug, Default)]
struct DiskState {
    bytes: Vec<u8>,
    syncs: usize,
    /// How much of `bytes` was settled.
    settled: usize,
    fail_sync: bool,
    fail_append: bool,
}

impl TestDisk {
    fn holding(bytes: &[u8]) -> TestDisk {
        let disk = TestDisk::default();
        disk.state.lock().unwrap().bytes = bytes.to_vec();
        disk
    }

    fn bytes(&self) -> Vec<u8> {
        self.state.lock().unwrap().bytes.clone()
    }
}

impl Storage for TestDisk {
    fn length(&self) -> io::Result<u64> {
        Ok(self.bytes().len() as u64)
    }

    fn settle(&mut self) -> io::Result<()> {
        let mut state = self.state.lock().unwrap();
        state.settled = state.bytes.len();
        if state.fail_sync {
            Err(io::Error::other("input/output error"))
        } else {
            Ok(())
        }
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<usize> {
        let bytes = self.bytes();
        let rest = bytes.get(usize::try_from(offset).unwrap()..).unwrap_or_default();
        let count = rest.len().min(into.len());
        into[..count].copy_from_slice(&rest[..count]);
        Ok(count)
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.state.lock().unwrap();
        if state.fail_append {
            state.bytes.extend_from_slice(&bytes[..bytes.len() / 2]);
            return Err(io::Error::other("no space"));
        }
        state.bytes.extend_from_slice(bytes);
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        let mut state = self.state.lock().unwrap();
        state.syncs += 1;
        if state.fail_sync {
            Err(io::Error::other("input/output error"))
        } else {
            Ok(())
        }
    }

    fn cut(&mut self, length: u64) -> io::Result<()> {
        let mut state = self.state.lock().unwrap();
        state.bytes.truncate(usize::try_from(length).unwrap());
        state.syncs += 1;
        Ok(())
    }

    fn replace(&mut self, content: &[u8]) -> io::Result<()> {
        let mut state = self.state.lock().unwrap();
        if state.fail_append {
            return Err(io::Error::other("no space"));
        }
        state.bytes = content.to_vec();
        Ok(())
    }
}

type Found = Vec<Vec<u8>>;

fn recover(disk: &TestDisk) -> Result<(Wal<TestDisk>, Recovered, Found), WalError> {
    let mut found = Found::new();
    let (wal, recovered) = Wal::recover(disk.clone(), Path::new("data/wal"), &mut |record| {
        found.push(record.to_vec());
        Ok(())
    })?;
    Ok((wal, recovered, found))
}

fn batch(records: &[&[u8]]) -> Batch {
    let mut batch = Batch::default();
    records.iter().for_each(|record| batch.push(record));
    batch
}

/// A log of three batches: its bytes and where each batch begins.
fn three_batches() -> (Vec<u8>, Vec<usize>) {
    let disk = TestDisk::default();
    let (mut wal, ..) = recover(&disk).unwrap();
    let mut starts = Vec::new();
    for records in [&[&b"a"[..], b"bb"][..], &[b"ccc"], &[b"dddd", b"e"]] {
        starts.push(disk.bytes().len());
        wal.commit(&mut batch(records)).unwrap();
    }
    (disk.bytes(), starts)
}

#[test]
fn gives_back_what_was_committed_and_goes_on_after_it() {
    let (bytes, _) = three_batches();
    let disk = TestDisk::holding(&bytes);
    let (mut wal, recovered, found) = recover(&disk).unwrap();
    assert_eq!(
        recovered,
        Recovered {
            batches: 3,
            records: 5,
            bytes_cut: 0
        }
    );
    assert_eq!(found, [&b"a"[..], b"bb", b"ccc", b"dddd", b"e"]);
    wal.commit(&mut batch(&[b"f"])).unwrap();
    assert_eq!(recover(&disk).unwrap().1.batches, 4);
}

#[test]
fn an_empty_batch_touches_no_disk() {
    let disk = TestDisk::default();
    recover(&disk).unwrap().0.commit(&mut Batch::default()).unwrap();
    assert_eq!((disk.bytes().len(), disk.state.lock().unwrap().syncs), (0, 0));
}

#[test]
fn cuts_a_last_batch_torn_at_any_byte_and_appends_in_its_place() {
    let (bytes, starts) = three_batches();
    for end in starts[2] + 1..bytes.len() {
        let disk = TestDisk::holding(&bytes[..end]);
        let (mut wal, recovered, found) = recover(&disk).unwrap();
        assert_eq!((recovered.batches, found.len()), (2, 3), "torn at byte {end}");
        assert_eq!(recovered.bytes_cut as usize, end - starts[2]);
        assert_eq!(
            disk.bytes(),
            bytes[..starts[2]],
            "the torn bytes are gone before anything is appended"
        );
        wal.commit(&mut batch(&[b"new"])).unwrap();
        assert_eq!(recover(&disk).unwrap().2.last().unwrap(), b"new");
    }
}

#[test]
fn cuts_a_last_batch_of_which_only_later_pages_reached_the_disk() {
    let (bytes, starts) = three_batches();
    for wrong in starts[2]..bytes.len() {
        let mut torn = bytes.clone();
        torn[wrong] ^= 0x40;
        let (_, recovered, _) = recover(&TestDisk::holding(&torn)).unwrap();
        assert_eq!(recovered.batches, 2, "wrong byte {wrong}");
    }
}

#[test]
fn refuses_damage_before_the_last_batch_and_names_the_offset() {
    let (bytes, starts) = three_batches();
    for wrong in 0..starts[2] {
        let mut damaged = bytes.clone();
        damaged[wrong] ^= 0x01;
        let disk = TestDisk::holding(&damaged);
        let error = recover(&disk).unwrap_err();
        let WalError::Damaged { offset, .. } = &error else {
            panic!("wrong byte {wrong}: {error}")
        };
        let begins = *starts.iter().rfind(|start| **start <= wrong).unwrap();
        assert_eq!(*offset as usize, begins, "wrong byte {wrong}");
        assert!(
            error.to_string().contains("data/wal") && error.to_string().contains(&format!("byte {begins}:")),
            "{error}"
        );
        assert_eq!(disk.bytes(), damaged, "a damaged log is left as evidence");
    }
}

#[test]
fn refuses_a_log_with_a_batch_missing() {
    let (bytes, starts) = three_batches();
    let without_second = [&bytes[..starts[1]], &bytes[starts[2]..]].concat();
    let error = recover(&TestDisk::holding(&without_second)).unwrap_err();
    assert!(error.to_string().contains("batch 3 stands where batch 2 belongs"), "{error}");
}

#[test]
fn what_a_killed_process_only_wrote_is_durable_before_it_is_loaded() {
    let (bytes, _) = three_batches();
    let disk = TestDisk::holding(&bytes);
    let mut settled_at_load = Vec::new();
    let load = &mut |_: &[u8]| {
        settled_at_load.push(disk.state.lock().unwrap().settled);
        Ok(())
    };
    Wal::recover(disk.clone(), Path::new("w"), load).unwrap();
    assert_eq!(settled_at_load, [bytes.len(); 5]);
    disk.state.lock().unwrap().fail_sync = true;
    assert!(matches!(recover(&disk), Err(WalError::Io { .. })));
}

#[test]
fn a_batch_is_fixed_for_ever() {
    // Made by a Python program from the table in `batch.rs`.
    let expected = "ff535157414cfe0000010020000000090000000000000007000000028795c03d000000016100000000";
    let mut batch = batch(&[b"a", b""]);
    let hex: String = batch.seal(7).iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hex, expected);
}

#[test]
fn finds_a_later_batch_across_the_search_window() {
    // The second batch begins at every place around the border of the first search window of 1 MiB.
    for padding in 0..24 {
        let long = vec![b'x'; (1 << 20) - HEADER_BYTES - 4 - 12 + padding];
        let mut bytes = batch(&[&long]).seal(1).to_vec();
        bytes[HEADER_BYTES + 100] ^= 1;
        bytes.extend_from_slice(batch(&[b"later"]).seal(2));
        let error = recover(&TestDisk::holding(&bytes)).unwrap_err();
        assert!(error.to_string().contains("damaged at byte 0"), "{error}");
    }
}

#[test]
fn a_length_from_nowhere_allocates_nothing() {
    let (mut bytes, starts) = three_batches();
    bytes[starts[2] + 12..starts[2] + 16].copy_from_slice(&u32::MAX.to_be_bytes());
    assert_eq!(recover(&TestDisk::holding(&bytes)).unwrap().1.batches, 2);
}

#[test]
fn a_failed_fsync_is_final() {
    let disk = TestDisk::default();
    let (mut wal, ..) = recover(&disk).unwrap();
    disk.state.lock().unwrap().fail_sync = true;
    assert!(wal.commit(&mut batch(&[b"a"])).is_err());
    disk.state.lock().unwrap().fail_sync = false;
    assert!(
        wal.commit(&mut batch(&[b"b"]))
            .unwrap_err()
            .to_string()
            .contains("takes nothing more")
    );
    assert_eq!(disk.state.lock().unwrap().syncs, 1, "the fsync was tried again");
}

#[test]
fn a_failed_write_is_final_and_its_half_is_cut_at_the_next_start() {
    let (bytes, _) = three_batches();
    let disk = TestDisk::holding(&bytes);
    let (mut wal, ..) = recover(&disk).unwrap();
    disk.state.lock().unwrap().fail_append = true;
    assert!(wal.commit(&mut batch(&[b"a"])).is_err());
    disk.state.lock().unwrap().fail_append = false;
    assert!(wal.commit(&mut batch(&[b"b"])).is_err());
    assert_eq!(recover(&disk).unwrap().1.batches, 3);
    assert_eq!(disk.bytes(), bytes);
}

#[test]
fn a_record_that_the_core_refuses_stops_the_start() {
    let (bytes, starts) = three_batches();
    let refused = Wal::recover(TestDisk::holding(&bytes), Path::new("w"), &mut |record| {
        if record == b"ccc" {
            Err("no such record".to_owned())
        } else {
            Ok(())
        }
    });
    let error = refused.unwrap_err().to_string();
    assert!(error.contains(&format!("byte {}: no such record", starts[1])), "{error}");
}

#[test]
fn works_on_a_real_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(FILE);
    for expected in 0..3 {
        let (mut wal, recovered) = Wal::recover(FileStorage::open(&path).unwrap(), &path, &mut |_| Ok(())).unwrap();
        assert_eq!(recovered.records, expected);
        wal.commit(&mut batch(&[b"one more"])).unwrap();
    }
    let length = std::fs::metadata(&path).unwrap().len();
    FileStorage::open(&path).unwrap().cut(length - 1).unwrap();
    let (_, recovered) = Wal::recover(FileStorage::open(&path).unwrap(), &path, &mut |_| Ok(())).unwrap();
    assert_eq!(recovered.batches, 2);
}

#[test]
fn a_replaced_log_holds_the_new_records_and_goes_on_behind_them() {
    let (bytes, _) = three_batches();
    let disk = TestDisk::holding(&bytes);
    let (mut wal, ..) = recover(&disk).unwrap();
    wal.replace(&[b"new".to_vec(), b"records".to_vec()]).unwrap();
    wal.commit(&mut batch(&[b"next"])).unwrap();
    let (_, recovered, found) = recover(&disk).unwrap();
    assert_eq!(found, [&b"new"[..], b"records", b"next"]);
    assert_eq!((recovered.batches, recovered.bytes_cut), (2, 0));
}

#[test]
fn a_large_replacement_is_cut_into_batches_that_a_reader_believes() {
    let disk = TestDisk::default();
    let (mut wal, ..) = recover(&disk).unwrap();
    let records: Vec<Vec<u8>> = (0..10_u8).map(|byte| vec![byte; 2 << 20]).collect();
    wal.replace(&records).unwrap();
    let (_, recovered, found) = recover(&disk).unwrap();
    assert!(found == records && (2..=4).contains(&recovered.batches), "{recovered:?}");
}

#[test]
fn a_log_whose_replacement_failed_takes_nothing_more() {
    let disk = TestDisk::default();
    let (mut wal, ..) = recover(&disk).unwrap();
    disk.state.lock().unwrap().fail_append = true;
    assert!(wal.replace(&[b"a".to_vec()]).is_err());
    disk.state.lock().unwrap().fail_append = false;
    assert!(wal.commit(&mut batch(&[b"b"])).is_err());
    assert!(wal.replace(&[b"a".to_vec()]).is_err());
}

#[test]
fn a_real_file_is_replaced_under_its_name_whatever_a_crash_left_beside_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(super::FILE);
    std::fs::write(folder.path().join("wal.new"), b"half a replacement").unwrap();
    let open = || super::FileStorage::open(&path).unwrap();
    let (mut wal, _) = Wal::recover(open(), &path, &mut |_| Ok(())).unwrap();
    wal.commit(&mut batch(&[b"old"])).unwrap();
    wal.replace(&[b"new".to_vec()]).unwrap();
    wal.commit(&mut batch(&[b"next"])).unwrap();
    let mut found = Found::new();
    Wal::recover(open(), &path, &mut |record| {
        found.push(record.to_vec());
        Ok(())
    })
    .unwrap();
    assert_eq!(found, [&b"new"[..], b"next"]);
    assert!(!folder.path().join("wal.new").exists());
}
