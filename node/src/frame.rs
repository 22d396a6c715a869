//! Frames: how one message is told from the next on a TCP connection.
//!
//! A frame is a length, four bytes, most significant first, then that many bytes of payload. A length of zero or past the bound is an
//! error that ends the connection: the reader never searches for the next frame, because bytes that looked like one could be anything.
//! The decoder does no input or output; the driver and the tests feed it.

use thiserror::Error;

/// The longest payload a client may send, and the longest a node sends to a client, in bytes.
pub const PAYLOAD_BYTES_MAX: usize = 1 << 20;

/// The longest payload between peers: a value that just fitted into a client's frame travels on with a longer header.
pub const PEER_PAYLOAD_BYTES_MAX: usize = PAYLOAD_BYTES_MAX + (64 << 10);

/// Bytes of the length in front of every payload.
pub const LENGTH_BYTES: usize = 4;

/// Why a connection's bytes are no frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum FrameError {
    /// A length past the bound.
    #[error("a frame of {length} bytes is announced, at most {bound} are allowed")]
    TooLarge {
        /// What the sender announced, in bytes.
        length: usize,
        /// What this reader accepts, in bytes.
        bound: usize,
    },
    /// A length of zero: there is no empty message.
    #[error("a frame of 0 bytes is announced, at least 1 is needed")]
    Empty,
}

/// Cuts a stream of bytes into payloads.
#[derive(Debug)]
pub struct Decoder {
    buffer: Vec<u8>,
    /// Everything before this place was handed out.
    start: usize,
    bound: usize,
}

impl Decoder {
    /// A decoder that accepts payloads of 1 to `bound` bytes.
    pub fn new(bound: usize) -> Decoder {
        Decoder {
            buffer: Vec::new(),
            start: 0,
            bound,
        }
    }

    /// Accepts payloads up to `bound` from now on (a connection that turned out to be a peer's).
    pub fn set_bound(&mut self, bound: usize) {
        self.bound = bound;
    }

    /// Where the driver puts bytes that arrived: append only. Used-up bytes are dropped here, so the buffer never holds more than one
    /// unfinished frame and one read.
    pub fn space(&mut self) -> &mut Vec<u8> {
        if self.start > 0 {
            self.buffer.drain(..self.start);
            self.start = 0;
        }
        &mut self.buffer
    }

    /// The next whole payload, `None` if more bytes are needed.
    ///
    /// # Errors
    /// [`FrameError`] as soon as a length is read that is zero or past the bound; nothing is allocated for it.
    pub fn next_payload(&mut self) -> Result<Option<&[u8]>, FrameError> {
        let rest = &self.buffer[self.start..];
        let Some((length, after)) = rest.split_first_chunk::<LENGTH_BYTES>() else {
            return Ok(None);
        };
        let length = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX);
        if length == 0 {
            return Err(FrameError::Empty);
        }
        if length > self.bound {
            return Err(FrameError::TooLarge { length, bound: self.bound });
        }
        if after.len() < length {
            return Ok(None);
        }
        let from = self.start + LENGTH_BYTES;
        self.start = from + length;
        Ok(Some(&self.buffer[from..self.start]))
    }

    /// True if bytes of an unfinished frame are held: the end of the stream here is a cut, not an end.
    pub fn is_inside_a_frame(&self) -> bool {
        self.start < self.buffer.len()
    }
}

/// Appends one frame to `buffer`: `write` produces the payload straight behind the length, without a copy.
///
/// # Errors
/// Whatever `write` failed with; the buffer is then as before.
pub fn encode<E>(buffer: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>) -> Result<(), E>) -> Result<(), E> {
    let start = buffer.len();
    buffer.extend_from_slice(&[0; LENGTH_BYTES]);
    if let Err(error) = write(buffer) {
        buffer.truncate(start);
        return Err(error);
    }
    let length = u32::try_from(buffer.len() - start - LENGTH_BYTES).expect("no payload of ours comes near 4 GiB");
    buffer[start..start + LENGTH_BYTES].copy_from_slice(&length.to_be_bytes());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn framed(payloads: &[&[u8]]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for payload in payloads {
            bytes.extend_from_slice(&u32::try_from(payload.len()).unwrap().to_be_bytes());
            bytes.extend_from_slice(payload);
        }
        bytes
    }

    fn drain(decoder: &mut Decoder, into: &mut Vec<Vec<u8>>) {
        while let Some(payload) = decoder.next_payload().unwrap() {
            into.push(payload.to_vec());
        }
    }

    #[test]
    fn finds_the_same_payloads_wherever_the_bytes_are_split() {
        let payloads: &[&[u8]] = &[b"a", b"{\"v\":1}", &[0, 0, 0, 9]];
        let bytes = framed(payloads);
        for cut in 0..=bytes.len() {
            let (mut decoder, mut found) = (Decoder::new(64), Vec::new());
            for part in [&bytes[..cut], &bytes[cut..]] {
                decoder.space().extend_from_slice(part);
                drain(&mut decoder, &mut found);
            }
            assert_eq!(found, payloads, "cut at {cut}");
            assert!(!decoder.is_inside_a_frame());
        }
    }

    #[test]
    fn finds_payloads_that_arrive_byte_by_byte() {
        let (mut decoder, mut found) = (Decoder::new(64), Vec::new());
        for byte in framed(&[b"hello", b"world"]) {
            decoder.space().push(byte);
            drain(&mut decoder, &mut found);
        }
        assert_eq!(found, [b"hello", b"world"]);
    }

    #[test]
    fn refuses_an_empty_frame() {
        let mut decoder = Decoder::new(64);
        decoder.space().extend_from_slice(&[0, 0, 0, 0, b'x']);
        assert_eq!(decoder.next_payload(), Err(FrameError::Empty));
    }

    #[test]
    fn refuses_a_length_past_the_bound_before_the_payload_arrives() {
        let mut decoder = Decoder::new(64);
        decoder.space().extend_from_slice(&65_u32.to_be_bytes());
        assert_eq!(decoder.next_payload(), Err(FrameError::TooLarge { length: 65, bound: 64 }));
        decoder.set_bound(65);
        assert_eq!(decoder.next_payload(), Ok(None));
    }

    #[test]
    fn refuses_garbage_that_reads_as_a_huge_length() {
        let mut decoder = Decoder::new(PAYLOAD_BYTES_MAX);
        decoder.space().extend_from_slice(b"GET / HTTP/1.1\r\n\r\n");
        assert!(matches!(decoder.next_payload(), Err(FrameError::TooLarge { .. })));
    }

    #[test]
    fn a_failed_payload_leaves_no_trace_in_the_buffer() {
        let mut buffer = b"before".to_vec();
        let outcome = encode(&mut buffer, |buffer| {
            buffer.extend_from_slice(b"half");
            Err("no")
        });
        assert_eq!((outcome, buffer.as_slice()), (Err("no"), b"before".as_slice()));
    }

    #[test]
    fn what_is_encoded_has_the_length_in_front() {
        let mut buffer = Vec::new();
        encode::<()>(&mut buffer, |buffer| {
            buffer.extend_from_slice(b"abc");
            Ok(())
        })
        .unwrap();
        assert_eq!(buffer, [0, 0, 0, 3, b'a', b'b', b'c']);
    }
}
