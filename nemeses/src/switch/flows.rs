//! TCP connections between two ends, known from their packets, and the RSTs that end them.
//!
//! A kernel believes an RST only if its sequence number is exactly the next one it expects; one that is merely in the window is answered by an ACK
//! that says which that is (RFC 5961, section 3.2). A connection that is to die is therefore *doomed*: each further segment of it is dropped and
//! answered by RSTs that fit it, that ACK included, until a SYN opens a new one. So a guess that was wrong by what was on its way mends itself.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddrV4};

use super::packet::{Layout, PROTOCOL_TCP, Segment, VNET, flag, renew_checksum, renew_header_checksum, segment};

/// Connections remembered. Beyond it new ones are not, and only their next segment resets them.
const FLOWS_MAX: usize = 1 << 16;
const IPV4: usize = 20;
const TCP: usize = 20;

/// The two ends of a connection, the smaller first.
type Key = (SocketAddrV4, SocketAddrV4);

#[derive(Debug, Default)]
struct Flow {
    /// Of the smaller and the greater end.
    sides: [Side; 2],
    doomed: bool,
}

/// What an end has sent.
#[derive(Clone, Copy, Debug, Default)]
struct Side {
    /// Behind its last byte.
    next: Option<u32>,
    /// What it expects of the other.
    acknowledged: Option<u32>,
}

/// An RST to be delivered.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Reset {
    pub(super) to: Ipv4Addr,
    pub(super) frame: Vec<u8>,
}

/// All connections that were seen and not yet reset.
#[derive(Debug, Default)]
pub(super) struct Flows {
    flows: BTreeMap<Key, Flow>,
}

impl Flows {
    /// Takes note of a packet and returns the RSTs that go out in its place; `None`: it passes. With `refuse` every segment is answered so.
    pub(super) fn meet(&mut self, frame: &[u8], layout: &Layout, refuse: bool) -> Option<Vec<Reset>> {
        let segment = segment(frame, layout)?;
        let (from, to) = ends(layout)?;
        let (key, side) = key(from, to);
        if segment.flags & flag::RST != 0 {
            self.flows.remove(&key);
            return None;
        }
        let opens = segment.flags & (flag::SYN | flag::ACK) == flag::SYN;
        if opens {
            // A new connection between two ports that were used before.
            self.flows.remove(&key);
        }
        if self.flows.len() < FLOWS_MAX || self.flows.contains_key(&key) {
            let flow = self.flows.entry(key).or_default();
            flow.sides[side].sent(segment);
        }
        let doomed = self.flows.get(&key).is_some_and(|flow| flow.doomed);
        (doomed || refuse).then(|| answers(from, to, segment))
    }

    /// Dooms every connection between two addresses, and returns its first RSTs.
    pub(super) fn doom(&mut self, one: Ipv4Addr, other: Ipv4Addr) -> (u32, Vec<Reset>) {
        let (mut n_doomed, mut resets) = (0, Vec::new());
        let between = |key: &Key| [(one, other), (other, one)].contains(&(*key.0.ip(), *key.1.ip()));
        for (key, flow) in self.flows.iter_mut().filter(|(key, _)| between(key)) {
            flow.doomed = true;
            n_doomed += 1;
            for (side, (at, from)) in [(key.0, key.1), (key.1, key.0)].into_iter().enumerate() {
                // Both are right if nothing is on its way; else one of them most likely is.
                let (expected, sent) = (flow.sides[side].acknowledged, flow.sides[1 - side].next);
                let guesses = expected.into_iter().chain(sent.filter(|sent| Some(*sent) != expected));
                resets.extend(guesses.map(|sequence| reset(from, at, sequence, None)));
            }
        }
        (n_doomed, resets)
    }
}

impl Side {
    fn sent(&mut self, segment: Segment) {
        // What is sent again does not move the end.
        let newer = self.next.is_none_or(|next| segment.end.wrapping_sub(next) < 1 << 31);
        if newer {
            self.next = Some(segment.end);
        }
        if segment.flags & flag::ACK != 0 {
            self.acknowledged = Some(segment.acknowledged);
        }
    }
}

/// Both ends are told: the sender as if its segment had met a closed port (RFC 9293, section 3.10.7.1), the receiver in the sender's name.
fn answers(from: SocketAddrV4, to: SocketAddrV4, segment: Segment) -> Vec<Reset> {
    let acknowledges = segment.flags & flag::ACK != 0;
    let back = if acknowledges {
        reset(to, from, segment.acknowledged, None)
    } else {
        reset(to, from, 0, Some(segment.end))
    };
    // A SYN alone opened nothing at the receiver.
    let forth = acknowledges.then(|| reset(from, to, segment.sequence, None));
    [Some(back), forth].into_iter().flatten().collect()
}

fn reset(from: SocketAddrV4, to: SocketAddrV4, sequence: u32, acknowledged: Option<u32>) -> Reset {
    let mut frame = vec![0; VNET + IPV4 + TCP];
    let transport = VNET + IPV4;
    frame[VNET] = 0x45;
    frame[VNET + 2..VNET + 4].copy_from_slice(&((IPV4 + TCP) as u16).to_be_bytes());
    frame[VNET + 6] = 0x40; // do not fragment
    frame[VNET + 8] = 64; // hops to live, as Linux sends
    frame[VNET + 9] = PROTOCOL_TCP;
    frame[VNET + 12..VNET + 16].copy_from_slice(&from.ip().octets());
    frame[VNET + 16..VNET + 20].copy_from_slice(&to.ip().octets());
    frame[transport..transport + 2].copy_from_slice(&from.port().to_be_bytes());
    frame[transport + 2..transport + 4].copy_from_slice(&to.port().to_be_bytes());
    frame[transport + 4..transport + 8].copy_from_slice(&sequence.to_be_bytes());
    frame[transport + 8..transport + 12].copy_from_slice(&acknowledged.unwrap_or(0).to_be_bytes());
    frame[transport + 12] = (TCP as u8 / 4) << 4;
    frame[transport + 13] = flag::RST | if acknowledged.is_some() { flag::ACK } else { 0 };
    renew_header_checksum(&mut frame, transport);
    let layout = super::packet::layout(&frame).expect("the packet above is whole");
    renew_checksum(&mut frame, &layout);
    Reset { to: *to.ip(), frame }
}

fn ends(layout: &Layout) -> Option<(SocketAddrV4, SocketAddrV4)> {
    let (from, to) = layout.ports?;
    Some((SocketAddrV4::new(layout.source, from), SocketAddrV4::new(layout.destination, to)))
}

/// The key, and the place of the sender in it.
fn key(from: SocketAddrV4, to: SocketAddrV4) -> (Key, usize) {
    if from <= to { ((from, to), 0) } else { ((to, from), 1) }
}

#[cfg(test)]
mod tests {
    use super::super::packet::layout;
    use super::super::packet::tests::{remainder, tcp, udp};
    use super::*;

    const ONE: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 2);
    const OTHER: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 3);

    fn meet(flows: &mut Flows, frame: &[u8], refuse: bool) -> Option<Vec<(Ipv4Addr, Segment)>> {
        let resets = flows.meet(frame, &layout(frame).unwrap(), refuse)?;
        Some(resets.iter().map(read).collect())
    }

    fn read(reset: &Reset) -> (Ipv4Addr, Segment) {
        let layout = layout(&reset.frame).unwrap();
        assert_eq!((remainder(&reset.frame), layout.destination), (0, reset.to));
        (reset.to, segment(&reset.frame, &layout).unwrap())
    }

    #[test]
    fn a_live_connection_is_reset_at_both_ends() {
        let mut flows = Flows::default();
        assert_eq!(meet(&mut flows, &tcp((4000, 80), 100, 500, flag::ACK, b"abc"), false), None);
        assert_eq!(meet(&mut flows, &udp((4000, 80), b"abc"), false), None);
        let (n_doomed, resets) = flows.doom(OTHER, ONE);
        let seen: Vec<_> = resets
            .iter()
            .map(read)
            .map(|(to, segment)| (to, segment.sequence, segment.flags))
            .collect();
        assert_eq!((n_doomed, seen), (1, vec![(ONE, 500, flag::RST), (OTHER, 103, flag::RST)]));
    }

    #[test]
    fn a_doomed_connection_gets_what_fits_until_it_is_opened_anew() {
        let mut flows = Flows::default();
        meet(&mut flows, &tcp((4000, 80), 100, 500, flag::ACK, b"abc"), false);
        flows.doom(ONE, OTHER);
        let answered = meet(&mut flows, &tcp((4000, 80), 103, 777, flag::ACK, b""), false).unwrap();
        let seen: Vec<_> = answered.iter().map(|(to, segment)| (*to, segment.sequence)).collect();
        assert_eq!(seen, [(ONE, 777), (OTHER, 103)]);
        assert_eq!(meet(&mut flows, &tcp((4000, 80), 9, 0, flag::SYN, b""), false), None);
        assert_eq!(meet(&mut flows, &tcp((4000, 80), 10, 1, flag::ACK, b""), false), None);
    }

    #[test]
    fn other_connections_are_let_alone() {
        let mut flows = Flows::default();
        meet(&mut flows, &tcp((4000, 80), 100, 500, flag::ACK, b"abc"), false);
        assert_eq!(flows.doom(ONE, Ipv4Addr::new(10, 77, 0, 4)), (0, vec![]));
        assert_eq!(meet(&mut flows, &tcp((4000, 80), 103, 500, flag::ACK, b"d"), false), None);
        assert_eq!(meet(&mut flows, &tcp((4000, 80), 103, 500, flag::RST, b""), false), None);
        assert_eq!(flows.doom(ONE, OTHER).0, 0, "a reset of their own ended it");
    }

    #[test]
    fn a_refusing_link_answers_a_syn_as_a_closed_port_does() {
        let mut flows = Flows::default();
        let answered = meet(&mut flows, &tcp((4000, 80), 100, 0, flag::SYN, b""), true).unwrap();
        let [(to, segment)] = answered.as_slice() else {
            panic!("{answered:?}")
        };
        assert_eq!((*to, segment.sequence, segment.acknowledged), (ONE, 0, 101));
        assert_eq!(segment.flags, flag::RST | flag::ACK);
    }
}
