//! A history as bytes that need no parsing: `history.sqh`, beside the JSON lines of a run.
//!
//! It holds everything that the judge looks at, so that it is judged to the byte as its JSON lines are. The lines stay the record: a run is
//! always judged by them, and this file only where it is named itself. To prove that it belongs to the lines beside it one would have to read
//! and hash all of them, which costs about as much as reading them on two cores; without the proof a stale one would be judged in the place
//! of lines that somebody has mended.
//!
//! ```text
//! magic      8 bytes    89 S Q H 0d 0a 1a 0a (as PNG's: a transfer as text breaks it)
//! version    u32        2
//! tables     section    header, cut line, marks, names, values
//! operations section*   up to 16,384 operations of 60 bytes each
//! end        section    of length 0
//!
//! section    length u64, checksum u64 of its bytes, the bytes
//! text       length u32, UTF-8
//! ```
//!
//! All numbers are little-endian. Nothing of the file is trusted: memory grows with the bytes that came, never with a length that was told,
//! and every number is looked at before it names something. One thing is believed: that a process does one thing at a time, which the
//! reader of the lines had seen to.

mod checksum;
mod read;
mod write;

#[cfg(test)]
pub(super) use self::checksum::checksum;
pub(super) use self::read::read;
pub use self::write::write_binary;

/// What every file begins with.
pub(super) const MAGIC: [u8; 8] = *b"\x89SQH\r\n\x1a\n";

/// The version we write and read.
const VERSION: u32 = 2;

/// Bytes of an operation.
const ROW_BYTES: usize = 60;

/// Operations of a section: a mebibyte stays in a core's cache between reading and taking apart.
const SECTION_ROWS: usize = 16_384;

/// Tags of the values that are not numbers themselves.
const TEXT: u8 = 0;
const PAIR: u8 = 1;

/// Functions by number; other names follow in their order.
const READ: u32 = 0;
const WRITE: u32 = 1;
const CAS: u32 = 2;
const OTHERS: u32 = 3;
