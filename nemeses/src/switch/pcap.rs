//! Packets as files that tcpdump and Wireshark read: one per end, with all that it sent and all that was delivered to it.
//!
//! The classic format with nanoseconds (draft-ietf-opsawg-pcap): a header of 24 bytes, and 16 before each packet; too little for a
//! dependency. A thread of its own writes, so that a slow disk delays no packet; what it cannot take in time is left out and counted.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::packet::{VNET, complete_checksum};
use crate::{Error, Result};

/// Fractions of seconds are nanoseconds.
const MAGIC: u32 = 0xa1b2_3c4d;
/// Larger than any IPv4 packet.
const SNAP_BYTES: u32 = 1 << 18;
/// Raw IP, without a link layer (LINKTYPE_RAW).
const LINK_RAW: u32 = 101;
/// Packets on their way to the writer.
const QUEUE: usize = 4096;
/// A file on disk is never further behind than this while nothing comes.
const FLUSH: Duration = Duration::from_millis(200);

struct Packet {
    end: usize,
    time_ns: u64,
    frame: Vec<u8>,
}

/// The files being written.
#[derive(Debug)]
pub(super) struct Capture {
    queue: Option<SyncSender<Packet>>,
    writer: Option<JoinHandle<io::Result<()>>>,
    n_missed: u64,
    ahead_ns: i64,
}

impl Capture {
    /// Creates `NAME.pcap` in a folder for each name. Times in the files are ahead of the switch's own by `ahead_ns`.
    ///
    /// # Errors
    /// If a file cannot be created.
    pub(super) fn create(folder: &Path, names: &[String], ahead_ns: i64) -> Result<Capture> {
        let create = |name: &String| -> Result<BufWriter<File>> {
            let path = file(folder, name);
            let fail = || format!("create {}", path.display());
            let mut file = BufWriter::new(File::create(&path).map_err(Error::system(fail()))?);
            write_header(&mut file).map_err(Error::system(fail()))?;
            Ok(file)
        };
        let files = names.iter().map(create).collect::<Result<Vec<_>>>()?;
        let (queue, packets) = sync_channel(QUEUE);
        let writer = thread::Builder::new()
            .name("pcap".into())
            .spawn(move || write_all(files, &packets))
            .map_err(Error::system("start the thread that writes packets"))?;
        Ok(Capture {
            queue: Some(queue),
            writer: Some(writer),
            n_missed: 0,
            ahead_ns,
        })
    }

    /// Takes a copy of a packet that an end sent or got.
    pub(super) fn add(&mut self, end: usize, time_ns: u64, frame: &[u8]) {
        let (frame, time_ns) = (frame.to_vec(), time_ns.saturating_add_signed(self.ahead_ns));
        let sent = self.queue.as_ref().map(|queue| queue.try_send(Packet { end, time_ns, frame }));
        if !matches!(sent, Some(Ok(()))) {
            self.n_missed += 1;
        }
    }

    /// Packets left out because the disk was too slow or full.
    pub(super) fn n_missed(&self) -> u64 {
        self.n_missed
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        self.queue = None;
        match self.writer.take().map(JoinHandle::join) {
            Some(Ok(Err(error))) => tracing::warn!(%error, "packets could not be written"),
            Some(Err(_)) => tracing::warn!("the thread that wrote packets panicked"),
            Some(Ok(Ok(()))) | None => {}
        }
        if self.n_missed > 0 {
            tracing::warn!(missed = self.n_missed, "packets are missing in the pcap files");
        }
    }
}

/// The file of one end.
pub(super) fn file(folder: &Path, name: &str) -> PathBuf {
    folder.join(format!("{name}.pcap"))
}

fn write_all(mut files: Vec<BufWriter<File>>, packets: &Receiver<Packet>) -> io::Result<()> {
    loop {
        match packets.recv_timeout(FLUSH) {
            Ok(Packet { end, time_ns, mut frame }) => {
                complete_checksum(&mut frame);
                if let Some(file) = files.get_mut(end) {
                    write_packet(file, time_ns, &frame[VNET..])?;
                }
            }
            Err(RecvTimeoutError::Timeout) => files.iter_mut().try_for_each(BufWriter::flush)?,
            Err(RecvTimeoutError::Disconnected) => return files.iter_mut().try_for_each(BufWriter::flush),
        }
    }
}

fn write_header(file: &mut impl Write) -> io::Result<()> {
    file.write_all(&MAGIC.to_le_bytes())?;
    // Version 2.4, and two fields that are always 0.
    file.write_all(&[2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0])?;
    file.write_all(&SNAP_BYTES.to_le_bytes())?;
    file.write_all(&LINK_RAW.to_le_bytes())
}

fn write_packet(file: &mut impl Write, time_ns: u64, packet: &[u8]) -> io::Result<()> {
    let (seconds, rest) = ((time_ns / 1_000_000_000) as u32, (time_ns % 1_000_000_000) as u32);
    let length = packet.len() as u32;
    for field in [seconds, rest, length, length] {
        file.write_all(&field.to_le_bytes())?;
    }
    file.write_all(packet)
}

#[cfg(test)]
mod tests {
    use super::super::packet::tests::{remainder, tcp, without_checksum};
    use super::*;

    #[test]
    fn writes_what_the_format_says_with_whole_checksums() {
        let folder = tempfile::tempdir().unwrap();
        let frame = without_checksum(tcp((4000, 80), 1, 2, 16, b"abc"));
        let mut capture = Capture::create(folder.path(), &["n1".into(), "n2".into()], 2_000_000_003).unwrap();
        capture.add(1, 1_000_000_004, &frame);
        assert_eq!(capture.n_missed(), 0);
        drop(capture);
        let bytes = std::fs::read(file(folder.path(), "n2")).unwrap();
        assert_eq!(bytes[..8], [0x4d, 0x3c, 0xb2, 0xa1, 2, 0, 4, 0]);
        assert_eq!((bytes[20], bytes.len()), (101, 24 + 16 + 43));
        assert_eq!(bytes[24..40], [3, 0, 0, 0, 7, 0, 0, 0, 43, 0, 0, 0, 43, 0, 0, 0]);
        assert_eq!(remainder(&[&[0; VNET], &bytes[40..]].concat()), 0);
        assert_eq!(std::fs::read(file(folder.path(), "n1")).unwrap().len(), 24);
    }

    #[test]
    fn says_which_file_it_cannot_create() {
        let error = Capture::create(Path::new("/nowhere"), &["n1".into()], 0).unwrap_err();
        assert!(error.to_string().starts_with("cannot create /nowhere/n1.pcap: "));
    }
}
