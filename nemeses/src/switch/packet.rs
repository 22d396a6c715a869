//! What a TUN device hands over: the 10 bytes of `struct virtio_net_hdr` (linux/virtio_net.h), then an IPv4 packet (RFC 791).
//!
//! With checksum offload the TCP or UDP checksum of what a kernel sends is not there yet: its field holds the sum of the pseudo header alone. Passed
//! on untouched, header and all, the receiving kernel takes the packet as it is. Whoever looks at it, changes it or cuts it up must complete
//! the checksum first.

use std::net::Ipv4Addr;

/// Bytes of `struct virtio_net_hdr`.
pub(crate) const VNET: usize = 10;
/// Bytes of an IPv4 header without options.
const IPV4: usize = 20;
/// Bytes of a TCP header without options.
const TCP: usize = 20;
const NEEDS_CHECKSUM: u8 = 1;
const GSO_TCP4: u8 = 1;
/// Bytes of an ICMP header, and the kinds of messages that carry a program's own bytes: echo reply and echo (RFC 792).
const ICMP: usize = 8;
const ECHOES: [u8; 2] = [0, 8];
/// Added to the kind of a large send whose connection uses explicit congestion notification.
const GSO_ECN: u8 = 0x80;
const MORE_FRAGMENTS_AND_OFFSET: u16 = 0x3fff;
const FRAGMENT_OFFSET: u16 = 0x1fff;

pub(super) const PROTOCOL_ICMP: u8 = 1;
pub(super) const PROTOCOL_TCP: u8 = 6;
pub(super) const PROTOCOL_UDP: u8 = 17;

/// Bits of the TCP header's flags (RFC 9293, section 3.1).
pub(super) mod flag {
    pub(in crate::switch) const FIN: u8 = 1;
    pub(in crate::switch) const SYN: u8 = 2;
    pub(in crate::switch) const RST: u8 = 4;
    pub(in crate::switch) const PSH: u8 = 8;
    pub(in crate::switch) const ACK: u8 = 16;
    pub(in crate::switch) const CWR: u8 = 128;
}

/// Where things are in a whole IPv4 packet behind its vnet header. All offsets count from the start of the buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Layout {
    pub(crate) source: Ipv4Addr,
    pub(crate) destination: Ipv4Addr,
    pub(super) protocol: u8,
    /// Where the transport header begins.
    pub(super) transport: usize,
    /// The source and the destination port; `None` where there are none to see: other protocols, later fragments.
    pub(super) ports: Option<(u16, u16)>,
    /// Where the payload of TCP, UDP or an ICMP echo begins, for a packet that is no fragment.
    pub(crate) payload: Option<usize>,
}

/// Reads a packet; `None` for what is no IPv4 packet, or is cut short.
pub(crate) fn layout(frame: &[u8]) -> Option<Layout> {
    let ip = frame.get(VNET..)?;
    if ip.len() < IPV4 || ip[0] >> 4 != 4 || usize::from(word(ip, 2)) != ip.len() {
        return None;
    }
    let header = usize::from(ip[0] & 0xf) * 4;
    if header < IPV4 || header > ip.len() {
        return None;
    }
    let (fragment, protocol) = (word(ip, 6), ip[9]);
    let transport = &ip[header..];
    let has_ports = matches!(protocol, PROTOCOL_TCP | PROTOCOL_UDP) && fragment & FRAGMENT_OFFSET == 0 && transport.len() >= 8;
    let transport_bytes = match protocol {
        PROTOCOL_TCP if transport.len() >= TCP => usize::from(transport[12] >> 4) * 4,
        PROTOCOL_UDP => 8,
        PROTOCOL_ICMP if transport.first().is_some_and(|kind| ECHOES.contains(kind)) => ICMP,
        _ => 0,
    };
    let whole = fragment & MORE_FRAGMENTS_AND_OFFSET == 0 && (8..=transport.len()).contains(&transport_bytes);
    Some(Layout {
        source: address(ip, 12),
        destination: address(ip, 16),
        protocol,
        transport: VNET + header,
        ports: has_ports.then(|| (word(transport, 0), word(transport, 2))),
        payload: whole.then_some(VNET + header + transport_bytes),
    })
}

/// The parts of a TCP header that say where a connection stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Segment {
    pub(super) sequence: u32,
    pub(super) acknowledged: u32,
    pub(super) flags: u8,
    /// The sequence number behind its last byte; SYN and FIN count as one each.
    pub(super) end: u32,
}

/// Reads the TCP header; `None` for anything but a whole TCP packet.
pub(super) fn segment(frame: &[u8], layout: &Layout) -> Option<Segment> {
    let payload = layout.payload.filter(|_| layout.protocol == PROTOCOL_TCP)?;
    let tcp = &frame[layout.transport..];
    let (sequence, flags) = (double(tcp, 4), tcp[13]);
    let counted = u32::from(flags & flag::SYN != 0) + u32::from(flags & flag::FIN != 0);
    let bytes = u32::try_from(frame.len() - payload).ok()?;
    Some(Segment {
        sequence,
        acknowledged: double(tcp, 8),
        flags,
        end: sequence.wrapping_add(bytes).wrapping_add(counted),
    })
}

/// Length of each packet that the frame stands for, in payload bytes, if it is a large send of TCP over IPv4.
pub(super) fn large_send(frame: &[u8]) -> Option<usize> {
    let vnet = frame.get(..VNET)?;
    let size = usize::from(u16::from_ne_bytes([vnet[4], vnet[5]]));
    (vnet[1] & !GSO_ECN == GSO_TCP4 && size > 0).then_some(size)
}

/// Completes the transport checksum, if the sender's kernel left that to the device, and says so in the vnet header. A large send stays one.
pub(super) fn complete_checksum(frame: &mut [u8]) {
    let Some(vnet) = frame.get(..VNET) else { return };
    if vnet[0] & NEEDS_CHECKSUM == 0 {
        return;
    }
    let start = VNET + usize::from(u16::from_ne_bytes([vnet[6], vnet[7]]));
    let field = start + usize::from(u16::from_ne_bytes([vnet[8], vnet[9]]));
    if field + 2 > frame.len() {
        return;
    }
    // The field holds the sum of the pseudo header and is summed with the rest.
    let udp = frame.get(VNET + 9) == Some(&PROTOCOL_UDP);
    let sum = fold(sum(&frame[start..], 0));
    put_checksum(&mut frame[field..field + 2], !sum, udp);
    frame[0] &= !NEEDS_CHECKSUM;
}

/// Computes the transport checksum of a whole packet anew, whatever it was.
pub(crate) fn renew_checksum(frame: &mut [u8], layout: &Layout) {
    let at = match layout.protocol {
        PROTOCOL_TCP => 16,
        PROTOCOL_UDP => 6,
        PROTOCOL_ICMP => 2,
        _ => return,
    };
    let field = layout.transport + at;
    if field + 2 > frame.len() {
        return;
    }
    frame[field..field + 2].fill(0);
    let bytes = frame.len() - layout.transport;
    // ICMP is summed without the addresses.
    let pseudo = match layout.protocol {
        PROTOCOL_ICMP => 0,
        protocol => sum(&frame[VNET + 12..VNET + 20], u64::from(protocol) + bytes as u64),
    };
    let sum = fold(sum(&frame[layout.transport..], pseudo));
    put_checksum(&mut frame[field..field + 2], !sum, layout.protocol == PROTOCOL_UDP);
    frame[0] &= !NEEDS_CHECKSUM;
}

/// Computes the checksum of the IPv4 header anew.
pub(super) fn renew_header_checksum(frame: &mut [u8], transport: usize) {
    frame[VNET + 10..VNET + 12].fill(0);
    let sum = fold(sum(&frame[VNET..transport], 0));
    put_checksum(&mut frame[VNET + 10..VNET + 12], !sum, false);
}

/// In UDP a checksum of 0 means that there is none; the other zero of one's complement is written instead (RFC 768).
fn put_checksum(field: &mut [u8], checksum: u16, udp: bool) {
    let written = if udp && checksum == 0 { u16::MAX } else { checksum };
    field.copy_from_slice(&written.to_be_bytes());
}

/// Sum of 16-bit words (RFC 1071), by eight bytes at a time: a large send has 65 000 of them.
fn sum(bytes: &[u8], start: u64) -> u64 {
    let mut words = bytes.chunks_exact(8);
    let mut sum = u128::from(start);
    for word in &mut words {
        sum += u128::from(u64::from_be_bytes(word.try_into().expect("chunks have eight bytes")));
    }
    let mut last = [0; 8];
    let rest = words.remainder();
    last[..rest.len()].copy_from_slice(rest);
    sum += u128::from(u64::from_be_bytes(last));
    // 2^16 is 1 modulo 65535, so halves of any width may be added to each other.
    let sum = (sum & u128::from(u64::MAX)) + (sum >> 64);
    let sum = (sum as u64 & 0xffff_ffff) + (sum as u64 >> 32) + (sum >> 64) as u64;
    (sum & 0xffff_ffff) + (sum >> 32)
}

fn fold(mut sum: u64) -> u16 {
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}

pub(super) fn word(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}

fn double(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn address(bytes: &[u8], at: usize) -> Ipv4Addr {
    Ipv4Addr::from(double(bytes, at))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    const FROM: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 2);
    const TO: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 3);

    /// A whole packet with right checksums.
    pub(in crate::switch) fn packet(protocol: u8, transport: &[u8]) -> Vec<u8> {
        let mut frame = vec![0; VNET + IPV4];
        frame[VNET] = 0x45;
        frame[VNET + 2..VNET + 4].copy_from_slice(&((IPV4 + transport.len()) as u16).to_be_bytes());
        frame[VNET + 8] = 64;
        frame[VNET + 9] = protocol;
        frame[VNET + 12..VNET + 16].copy_from_slice(&FROM.octets());
        frame[VNET + 16..VNET + 20].copy_from_slice(&TO.octets());
        frame.extend_from_slice(transport);
        renew_header_checksum(&mut frame, VNET + IPV4);
        let layout = layout(&frame).unwrap();
        renew_checksum(&mut frame, &layout);
        frame
    }

    pub(in crate::switch) fn tcp(ports: (u16, u16), sequence: u32, acknowledged: u32, flags: u8, payload: &[u8]) -> Vec<u8> {
        let mut transport = Vec::new();
        transport.extend_from_slice(&ports.0.to_be_bytes());
        transport.extend_from_slice(&ports.1.to_be_bytes());
        transport.extend_from_slice(&sequence.to_be_bytes());
        transport.extend_from_slice(&acknowledged.to_be_bytes());
        transport.extend_from_slice(&[0x50, flags, 4, 0, 0, 0, 0, 0]);
        transport.extend_from_slice(payload);
        packet(PROTOCOL_TCP, &transport)
    }

    pub(in crate::switch) fn udp(ports: (u16, u16), payload: &[u8]) -> Vec<u8> {
        let mut transport = Vec::new();
        transport.extend_from_slice(&ports.0.to_be_bytes());
        transport.extend_from_slice(&ports.1.to_be_bytes());
        transport.extend_from_slice(&((8 + payload.len()) as u16).to_be_bytes());
        transport.extend_from_slice(&[0, 0]);
        transport.extend_from_slice(payload);
        packet(PROTOCOL_UDP, &transport)
    }

    /// A message of ICMP with a right checksum (RFC 792).
    pub(in crate::switch) fn icmp(kind: u8, payload: &[u8]) -> Vec<u8> {
        packet(PROTOCOL_ICMP, &[&[kind, 0, 0, 0, 1, 2, 3, 4], payload].concat())
    }

    /// By the book, two bytes at a time (RFC 1071, section 1); 0 if the packet's checksum is right.
    pub(in crate::switch) fn remainder(frame: &[u8]) -> u16 {
        let layout = layout(frame).unwrap();
        let transport = &frame[layout.transport..];
        let mut bytes = Vec::new();
        if layout.protocol != PROTOCOL_ICMP {
            bytes.extend_from_slice(&frame[VNET + 12..VNET + 20]);
            bytes.extend_from_slice(&[0, layout.protocol]);
            bytes.extend_from_slice(&(transport.len() as u16).to_be_bytes());
        }
        bytes.extend_from_slice(transport);
        bytes.resize(bytes.len().next_multiple_of(2), 0);
        let mut sum = 0u32;
        for pair in bytes.chunks(2) {
            sum += u32::from(pair[0]) << 8 | u32::from(pair[1]);
            sum = (sum & 0xffff) + (sum >> 16);
        }
        !(sum as u16)
    }

    /// As a kernel with checksum offload hands it over.
    pub(in crate::switch) fn without_checksum(mut frame: Vec<u8>) -> Vec<u8> {
        let layout = layout(&frame).unwrap();
        let offset: u16 = if layout.protocol == PROTOCOL_TCP { 16 } else { 6 };
        let bytes = (frame.len() - layout.transport) as u64;
        let pseudo = fold(sum(&frame[VNET + 12..VNET + 20], u64::from(layout.protocol) + bytes));
        let field = layout.transport + usize::from(offset);
        frame[field..field + 2].copy_from_slice(&pseudo.to_be_bytes());
        frame[0] = NEEDS_CHECKSUM;
        frame[6..8].copy_from_slice(&((layout.transport - VNET) as u16).to_ne_bytes());
        frame[8..10].copy_from_slice(&offset.to_ne_bytes());
        frame
    }

    #[test]
    fn a_completed_checksum_is_the_one_of_the_book() {
        for n_bytes in [0, 1, 2, 7, 8, 9, 1400, 65_000] {
            let payload: Vec<u8> = (0..n_bytes).map(|n: u32| (n * 31 + 200) as u8).collect();
            for whole in [tcp((1, 2), 3, 4, flag::ACK, &payload), udp((1, 2), &payload)] {
                assert_eq!(remainder(&whole), 0, "{n_bytes}");
                let mut completed = without_checksum(whole.clone());
                assert_ne!(completed, whole);
                complete_checksum(&mut completed);
                assert_eq!(completed[VNET..], whole[VNET..], "{n_bytes}");
                let again = completed.clone();
                complete_checksum(&mut completed);
                assert_eq!(completed, again, "once is enough");
            }
        }
    }

    #[test]
    fn finds_ports_flags_and_payload() {
        let frame = tcp((4000, 80), 100, 7, flag::SYN | flag::ACK, b"abc");
        let found = layout(&frame).unwrap();
        assert_eq!((found.source, found.destination, found.ports), (FROM, TO, Some((4000, 80))));
        assert_eq!(found.payload.map(|at| &frame[at..]), Some(&b"abc"[..]));
        let segment = segment(&frame, &found).unwrap();
        assert_eq!((segment.sequence, segment.acknowledged, segment.end), (100, 7, 104));
    }

    #[test]
    fn echoes_have_a_payload_and_no_ports_and_errors_quote_what_is_none() {
        for (kind, payload) in [(8, Some(&b"abc"[..])), (0, Some(b"abc")), (3, None)] {
            let frame = icmp(kind, b"abc");
            let found = layout(&frame).unwrap();
            assert_eq!((found.ports, found.payload.map(|at| &frame[at..])), (None, payload), "kind {kind}");
            assert_eq!(remainder(&frame), 0, "kind {kind}");
        }
    }

    #[test]
    fn rubbish_has_no_layout() {
        let good = tcp((1, 2), 3, 4, flag::ACK, b"abc");
        for length in 0..good.len() {
            assert_eq!(layout(&good[..length]), None, "{length} bytes");
        }
        let mut six = good.clone();
        six[VNET] = 0x65;
        let mut long_header = good.clone();
        long_header[VNET] = 0x4f;
        let mut short_header = good.clone();
        short_header[VNET] = 0x41;
        assert_eq!((layout(&six), layout(&short_header)), (None, None));
        assert!(layout(&long_header).is_none_or(|found| found.payload.is_none()));
        let mut wrong_offset = good.clone();
        wrong_offset[VNET + IPV4 + 12] = 0xf0;
        let found = layout(&wrong_offset).unwrap();
        assert_eq!((found.payload, segment(&wrong_offset, &found)), (None, None));
    }

    #[test]
    fn a_later_fragment_has_no_ports() {
        let mut frame = udp((1, 2), b"abc");
        frame[VNET + 7] = 1;
        assert_eq!(layout(&frame).unwrap().ports, None);
        frame[VNET + 6..VNET + 8].copy_from_slice(&[0x20, 0]);
        let first = layout(&frame).unwrap();
        assert_eq!((first.ports, first.payload), (Some((1, 2)), None));
    }
}
