//! The bytes of one batch.
//!
//! ```text
//!  0  magic            8 bytes
//!  8  format version   u16    1
//! 10  header length    u16    32; a later version may lengthen it
//! 12  payload length   u32    in bytes
//! 16  sequence         u64    1, 2, 3 …
//! 24  records          u32    how many
//! 28  checksum         u32    CRC32 of the header before this field and of the payload
//! 32  payload: per record its length as u32 and its bytes
//! ```
//! All numbers most significant byte first. The magic holds bytes that no UTF-8 text holds, and records are JSON text: a client cannot
//! send a value that looks like a batch and is mistaken for one when the log is searched.

/// Bytes before the payload.
pub const HEADER_BYTES: usize = 32;

/// The longest payload a reader believes, in bytes. The driver stops taking work long before (see `driver::journal`).
pub const PAYLOAD_BYTES_MAX: usize = 128 << 20;

/// How every batch begins.
pub(super) const MAGIC: [u8; 8] = [0xff, b'S', b'Q', b'W', b'A', b'L', 0xfe, 0x00];

const FORMAT_VERSION: u16 = 1;

/// Records on their way into the log, collected into one batch.
#[derive(Clone, Debug)]
pub struct Batch {
    /// The header's place, then the payload.
    bytes: Vec<u8>,
    records: u32,
}

impl Default for Batch {
    fn default() -> Batch {
        Batch {
            bytes: vec![0; HEADER_BYTES],
            records: 0,
        }
    }
}

impl Batch {
    /// Adds a record.
    pub fn push(&mut self, record: &[u8]) {
        let length = u32::try_from(record.len()).expect("a record is bounded by a frame");
        self.bytes.extend_from_slice(&length.to_be_bytes());
        self.bytes.extend_from_slice(record);
        self.records += 1;
    }

    /// How many records it holds.
    pub fn records(&self) -> u32 {
        self.records
    }

    /// True if it holds none.
    pub fn is_empty(&self) -> bool {
        self.records == 0
    }

    /// Bytes it will take in the file.
    pub fn byte_count(&self) -> usize {
        self.bytes.len()
    }

    /// Makes it ready for new records, keeping its memory.
    pub fn clear(&mut self) {
        self.bytes.truncate(HEADER_BYTES);
        self.records = 0;
    }

    /// Fills in the header; returns the bytes for the file.
    pub fn seal(&mut self, sequence: u64) -> &[u8] {
        let payload_length = u32::try_from(self.bytes.len() - HEADER_BYTES).expect("a batch is bounded by the driver");
        self.bytes[0..8].copy_from_slice(&MAGIC);
        self.bytes[8..10].copy_from_slice(&FORMAT_VERSION.to_be_bytes());
        self.bytes[10..12].copy_from_slice(&u16::try_from(HEADER_BYTES).expect("32 fits").to_be_bytes());
        self.bytes[12..16].copy_from_slice(&payload_length.to_be_bytes());
        self.bytes[16..24].copy_from_slice(&sequence.to_be_bytes());
        self.bytes[24..28].copy_from_slice(&self.records.to_be_bytes());
        let checksum = checksum(&self.bytes[..28], &self.bytes[HEADER_BYTES..]);
        self.bytes[28..32].copy_from_slice(&checksum.to_be_bytes());
        &self.bytes
    }
}

/// A header that looks right; its checksum was not yet compared.
#[derive(Clone, Copy, Debug)]
pub(super) struct Header {
    pub(super) payload_length: usize,
    pub(super) sequence: u64,
    pub(super) records: u32,
    checksum: u32,
}

impl Header {
    /// Reads a header; `None` if these bytes are none of this format.
    pub(super) fn parse(bytes: &[u8; HEADER_BYTES]) -> Option<Header> {
        let u16_at = |place: usize| u16::from_be_bytes([bytes[place], bytes[place + 1]]);
        let u32_at = |place: usize| u32::from_be_bytes([bytes[place], bytes[place + 1], bytes[place + 2], bytes[place + 3]]);
        let is_ours = bytes[0..8] == MAGIC && u16_at(8) == FORMAT_VERSION && usize::from(u16_at(10)) == HEADER_BYTES;
        let payload_length = usize::try_from(u32_at(12)).ok()?;
        let sequence = u64::from(u32_at(16)) << 32 | u64::from(u32_at(20));
        let header = Header {
            payload_length,
            sequence,
            records: u32_at(24),
            checksum: u32_at(28),
        };
        (is_ours && payload_length <= PAYLOAD_BYTES_MAX).then_some(header)
    }

    /// Whether the payload is the one this header was written with.
    pub(super) fn matches(&self, header: &[u8; HEADER_BYTES], payload: &[u8]) -> bool {
        self.checksum == checksum(&header[..28], payload)
    }
}

/// The records of a payload; `None` if their lengths do not add up to it.
pub(super) fn records(payload: &[u8], count: u32) -> Option<Vec<&[u8]>> {
    let mut found = Vec::new();
    let mut rest = payload;
    while let Some((length, after)) = rest.split_first_chunk::<4>() {
        let (record, behind) = after.split_at_checked(usize::try_from(u32::from_be_bytes(*length)).ok()?)?;
        found.push(record);
        rest = behind;
    }
    (rest.is_empty() && u32::try_from(found.len()) == Ok(count)).then_some(found)
}

fn checksum(header: &[u8], payload: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(header);
    hasher.update(payload);
    hasher.finalize()
}
