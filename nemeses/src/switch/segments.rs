//! A large send as the packets that it stands for, each whole and with its checksums: what a network card makes of it.
//!
//! Done only on links on which each packet has a fate of its own; elsewhere 64 KiB pass in one piece, which is ten times as fast.

use super::packet::{Layout, PROTOCOL_TCP, VNET, complete_checksum, flag, large_send, renew_checksum, renew_header_checksum, word};

/// Calls `each` with every packet of a frame, in order; a frame that is no large send is one packet, with its checksum completed.
pub(super) fn each_packet(frame: &mut [u8], layout: &Layout, mut each: impl FnMut(&mut [u8], &Layout)) {
    let split = large_send(frame).zip(layout.payload).filter(|_| layout.protocol == PROTOCOL_TCP);
    let Some((size, payload)) = split.filter(|(size, payload)| frame.len() - payload > *size) else {
        complete_checksum(frame);
        frame[..VNET].fill(0);
        return each(frame, layout);
    };
    let (headers, data) = frame.split_at(payload);
    let n_packets = data.len().div_ceil(size);
    let mut packet = Vec::with_capacity(payload + size);
    for (number, piece) in data.chunks(size).enumerate() {
        packet.clear();
        packet.extend_from_slice(headers);
        packet.extend_from_slice(piece);
        adapt(&mut packet, layout, number * size, number == 0, number + 1 == n_packets, number);
        each(&mut packet, layout);
    }
}

/// Makes the copied headers those of this packet: lengths, numbers, flags, checksums.
fn adapt(packet: &mut [u8], layout: &Layout, before: usize, first: bool, last: bool, number: usize) {
    packet[..VNET].fill(0);
    let total = (packet.len() - VNET) as u16;
    packet[VNET + 2..VNET + 4].copy_from_slice(&total.to_be_bytes());
    let identification = word(packet, VNET + 4).wrapping_add(number as u16);
    packet[VNET + 4..VNET + 6].copy_from_slice(&identification.to_be_bytes());
    let tcp = layout.transport;
    let sequence = u32::from(word(packet, tcp + 4)) << 16 | u32::from(word(packet, tcp + 6));
    packet[tcp + 4..tcp + 8].copy_from_slice(&sequence.wrapping_add(before as u32).to_be_bytes());
    if !last {
        packet[tcp + 13] &= !(flag::FIN | flag::PSH);
    }
    if !first {
        packet[tcp + 13] &= !flag::CWR;
    }
    renew_header_checksum(packet, tcp);
    renew_checksum(packet, layout);
}

/// The sizes of the IP packets that a frame stands for: how many, and the bytes of all.
pub(super) fn wire_size(frame: &[u8], layout: &Layout) -> (u64, u64) {
    let bytes = (frame.len() - VNET) as u64;
    let Some((size, payload)) = large_send(frame).zip(layout.payload) else {
        return (1, bytes);
    };
    let n_packets = (frame.len() - payload).div_ceil(size).max(1) as u64;
    (n_packets, bytes + (n_packets - 1) * (payload - VNET) as u64)
}

#[cfg(test)]
mod tests {
    use super::super::packet::tests::{remainder, tcp, udp, without_checksum};
    use super::super::packet::{layout, segment};
    use super::*;

    fn packets(mut frame: Vec<u8>) -> Vec<Vec<u8>> {
        let found = layout(&frame).unwrap();
        let mut packets = Vec::new();
        each_packet(&mut frame, &found, |packet, _| packets.push(packet.to_vec()));
        packets
    }

    fn large(payload: &[u8], size: u16, flags: u8) -> Vec<u8> {
        let mut frame = without_checksum(tcp((4000, 80), 4_294_967_000, 9, flags, payload));
        frame[1] = 1;
        frame[4..6].copy_from_slice(&size.to_ne_bytes());
        frame
    }

    #[test]
    fn the_packets_carry_what_the_large_send_did() {
        let payload: Vec<u8> = (0..5000u32).map(|n| (n % 251) as u8).collect();
        let frame = large(&payload, 1460, flag::ACK | flag::PSH | flag::FIN | flag::CWR);
        assert_eq!(wire_size(&frame, &layout(&frame).unwrap()), (4, 5000 + 4 * 40));
        let packets = packets(frame);
        assert_eq!(packets.len(), 4);
        let mut next = 4_294_967_000u32;
        let mut carried = Vec::new();
        for (number, packet) in packets.iter().enumerate() {
            let found = layout(packet).unwrap();
            let segment = segment(packet, &found).unwrap();
            assert_eq!((remainder(packet), segment.sequence, segment.acknowledged), (0, next, 9));
            carried.extend_from_slice(&packet[found.payload.unwrap()..]);
            next = next.wrapping_add((packet.len() - found.payload.unwrap()) as u32);
            let (ends, begins) = (segment.flags & (flag::FIN | flag::PSH) != 0, segment.flags & flag::CWR != 0);
            assert_eq!((ends, begins), (number == 3, number == 0));
        }
        assert_eq!(carried, payload);
    }

    #[test]
    fn anything_else_is_one_packet_with_a_checksum() {
        for frame in [large(b"abc", 1460, flag::ACK), without_checksum(udp((1, 2), b"abc"))] {
            let packets = packets(frame.clone());
            assert_eq!((packets.len(), remainder(&packets[0])), (1, 0));
            assert_eq!(packets[0][..VNET], [0; VNET]);
            assert_eq!(wire_size(&frame, &layout(&frame).unwrap()).0, 1);
        }
    }
}
