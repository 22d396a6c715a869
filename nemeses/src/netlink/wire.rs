//! Netlink messages as bytes (RFC 3549; `man 7 netlink`): a 16-byte header, a fixed part, then attributes of type, length and value,
//! everything padded to four bytes and in the machine's byte order unless said otherwise.

use std::net::Ipv4Addr;

/// Bytes of a message header: length, kind, flags, sequence, port.
pub(crate) const HEADER: usize = 16;
const ATTRIBUTE_HEADER: usize = 4;
/// Set on attributes that hold attributes.
const NESTED: u16 = 0x8000;
/// The two top bits of an attribute's type are flags.
const TYPE_MASK: u16 = 0x3fff;

/// One message under construction.
#[derive(Clone, Debug)]
pub struct Message {
    bytes: Vec<u8>,
}

impl Message {
    /// A message of `kind` (`RTM_…`, or subsystem and kind of nfnetlink) with `NLM_F_…` flags and no body.
    #[must_use]
    pub fn new(kind: u16, flags: u16) -> Message {
        let mut bytes = vec![0; HEADER];
        bytes[4..6].copy_from_slice(&kind.to_ne_bytes());
        bytes[6..8].copy_from_slice(&flags.to_ne_bytes());
        Message { bytes }
    }

    /// Appends a fixed part (a C structure), padded.
    #[must_use]
    pub fn fixed(mut self, part: &[u8]) -> Message {
        self.bytes.extend_from_slice(part);
        self.pad();
        self
    }

    /// Appends an attribute.
    #[must_use]
    pub fn attribute(self, kind: u16, value: &[u8]) -> Message {
        self.nest_as(kind, |inner| inner.fixed_unpadded(value))
    }

    /// Appends a 32-bit number in the machine's byte order, as rtnetlink wants it.
    #[must_use]
    pub fn u32(self, kind: u16, value: u32) -> Message {
        self.attribute(kind, &value.to_ne_bytes())
    }

    /// Appends a 32-bit number in network byte order, as nfnetlink wants it.
    #[must_use]
    pub fn be32(self, kind: u16, value: u32) -> Message {
        self.attribute(kind, &value.to_be_bytes())
    }

    /// Appends a text that ends in NUL.
    #[must_use]
    pub fn text(self, kind: u16, value: &str) -> Message {
        self.nest_as(kind, |inner| inner.fixed_unpadded(value.as_bytes()).fixed_unpadded(&[0]))
    }

    /// Appends an address.
    #[must_use]
    pub fn address(self, kind: u16, value: Ipv4Addr) -> Message {
        self.attribute(kind, &value.octets())
    }

    /// Appends an attribute that holds what `build` appends.
    #[must_use]
    pub fn nest(self, kind: u16, build: impl FnOnce(Message) -> Message) -> Message {
        self.nest_as(kind | NESTED, build)
    }

    fn nest_as(mut self, kind: u16, build: impl FnOnce(Message) -> Message) -> Message {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&[0; ATTRIBUTE_HEADER]);
        let mut built = build(self);
        let length = u16::try_from(built.bytes.len() - start).expect("attributes are names, addresses and rules, far below 64 KiB");
        built.bytes[start..start + 2].copy_from_slice(&length.to_ne_bytes());
        built.bytes[start + 2..start + 4].copy_from_slice(&kind.to_ne_bytes());
        built.pad();
        built
    }

    fn fixed_unpadded(mut self, part: &[u8]) -> Message {
        self.bytes.extend_from_slice(part);
        self
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }

    /// The `NLM_F_…` flags given so far.
    pub(crate) fn flags(&self) -> u16 {
        u16::from_ne_bytes([self.bytes[6], self.bytes[7]])
    }

    /// The finished bytes, with more flags and a sequence number.
    pub(crate) fn finish(mut self, more_flags: u16, sequence: u32) -> Vec<u8> {
        let flags = self.flags() | more_flags;
        let length = u32::try_from(self.bytes.len()).expect("a message is far below 4 GiB");
        self.bytes[0..4].copy_from_slice(&length.to_ne_bytes());
        self.bytes[6..8].copy_from_slice(&flags.to_ne_bytes());
        self.bytes[8..12].copy_from_slice(&sequence.to_ne_bytes());
        self.bytes
    }
}

/// A message that was received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// `RTM_…`, `NLMSG_…`, or subsystem and kind.
    pub kind: u16,
    /// `NLM_F_…`.
    pub flags: u16,
    /// The number of the request it answers.
    pub sequence: u32,
    /// Everything after the header.
    pub body: Vec<u8>,
}

impl Reply {
    /// The attributes after a fixed part of `fixed` bytes; none if the body is shorter.
    #[must_use]
    pub fn attributes(&self, fixed: usize) -> Attributes<'_> {
        attributes(self.body.get(fixed.next_multiple_of(4)..).unwrap_or_default())
    }
}

/// Splits a datagram into messages. A cut or nonsensical length ends it: the kernel does not send such.
#[must_use]
pub fn messages(mut datagram: &[u8]) -> Vec<Reply> {
    let mut found = Vec::new();
    while let Some(header) = datagram.first_chunk::<HEADER>() {
        let length = u32::from_ne_bytes([header[0], header[1], header[2], header[3]]) as usize;
        let Some(body) = datagram.get(HEADER..length) else { break };
        found.push(Reply {
            kind: u16::from_ne_bytes([header[4], header[5]]),
            flags: u16::from_ne_bytes([header[6], header[7]]),
            sequence: u32::from_ne_bytes([header[8], header[9], header[10], header[11]]),
            body: body.to_vec(),
        });
        datagram = datagram.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    found
}

/// The attributes in `bytes`.
#[must_use]
pub fn attributes(bytes: &[u8]) -> Attributes<'_> {
    Attributes { rest: bytes }
}

/// Iterates over attributes as (type without flags, value); ends at the first impossible length.
#[derive(Clone, Debug)]
pub struct Attributes<'a> {
    rest: &'a [u8],
}

impl<'a> Attributes<'a> {
    /// The first attribute of `kind`.
    #[must_use]
    pub fn find(mut self, kind: u16) -> Option<&'a [u8]> {
        Iterator::find(&mut self, |(found, _)| *found == kind).map(|(_, value)| value)
    }
}

impl<'a> Iterator for Attributes<'a> {
    type Item = (u16, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let header = self.rest.first_chunk::<ATTRIBUTE_HEADER>()?;
        let length = usize::from(u16::from_ne_bytes([header[0], header[1]]));
        let kind = u16::from_ne_bytes([header[2], header[3]]) & TYPE_MASK;
        let value = self.rest.get(ATTRIBUTE_HEADER..length)?;
        self.rest = self.rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_back_what_it_wrote() {
        let message = Message::new(16, 1)
            .fixed(&[1, 2, 3])
            .text(3, "eth0")
            .nest(18, |inner| inner.u32(1, 7).address(2, Ipv4Addr::new(10, 0, 0, 1)))
            .finish(4, 99);
        assert_eq!(message.len() % 4, 0);
        let read = messages(&message);
        assert_eq!(read.len(), 1);
        assert_eq!((read[0].kind, read[0].flags, read[0].sequence), (16, 5, 99));
        let found: Vec<_> = read[0].attributes(3).collect();
        assert_eq!(found[0], (3, &b"eth0\0"[..]));
        assert_eq!(found[1].0, 18);
        assert_eq!(attributes(found[1].1).find(2), Some(&[10, 0, 0, 1][..]));
        assert_eq!(attributes(found[1].1).find(9), None);
    }

    #[test]
    fn ends_at_impossible_lengths_without_a_panic() {
        let whole = Message::new(16, 1).fixed(&[0; 8]).text(3, "eth0").finish(0, 1);
        for cut in 0..whole.len() {
            for reply in messages(&whole[..cut]) {
                let _ = reply.attributes(8).count();
            }
        }
        for length in 0..=40u8 {
            let mut broken = whole.clone();
            broken[0] = length;
            broken[24] = length;
            for reply in messages(&broken) {
                let _ = reply.attributes(8).count();
            }
        }
    }
}
