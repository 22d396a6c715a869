//! The last packets that came to the switch, and what became of each: a bounded ring.

use std::collections::VecDeque;
use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};

use super::line::Cause;
use super::packet::Layout;

/// Packets remembered: seconds of an ordinary run, in 4 MB.
const PACKETS_MAX: usize = 1 << 16;

/// One packet, as it came to the switch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Logged {
    /// When it came, in nanoseconds of the switch's clock.
    pub time_ns: u64,
    /// Who sent it.
    pub from: Ipv4Addr,
    /// To whom.
    pub to: Ipv4Addr,
    /// The number of its protocol (IANA): 6 is TCP, 17 is UDP.
    pub protocol: u8,
    /// Its source and destination port, if it has any.
    pub ports: Option<(u16, u16)>,
    /// Bytes of the IP packet; of all that it stands for, if it is a large send.
    pub bytes: u64,
    /// When it was or will be delivered; `None`: never.
    pub due_ns: Option<u64>,
    /// Why not.
    pub lost: Option<Cause>,
}

/// The ring.
#[derive(Debug, Default)]
pub(super) struct Log {
    packets: VecDeque<Logged>,
}

impl Log {
    pub(super) fn add(&mut self, time_ns: u64, layout: &Layout, bytes: u64, fate: Result<u64, Cause>) {
        if self.packets.len() == PACKETS_MAX {
            self.packets.pop_front();
        }
        self.packets.push_back(Logged {
            time_ns,
            from: layout.source,
            to: layout.destination,
            protocol: layout.protocol,
            ports: layout.ports,
            bytes,
            due_ns: fate.ok(),
            lost: fate.err(),
        });
    }

    /// All that it remembers, the oldest first.
    pub(super) fn packets(&self) -> Vec<Logged> {
        self.packets.iter().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::packet::layout;
    use super::super::packet::tests::udp;
    use super::*;

    #[test]
    fn remembers_the_last_ones() {
        let mut log = Log::default();
        let layout = layout(&udp((1, 2), b"abc")).unwrap();
        for time_ns in 0..PACKETS_MAX as u64 + 3 {
            let fate = if time_ns == 5 { Err(Cause::Loss) } else { Ok(time_ns) };
            log.add(time_ns, &layout, 31, fate);
        }
        let packets = log.packets();
        assert_eq!((packets.len(), packets[0].time_ns), (PACKETS_MAX, 3));
        assert_eq!(
            (packets[2].lost, packets[2].due_ns, packets[3].due_ns),
            (Some(Cause::Loss), None, Some(6))
        );
        assert_eq!(packets[0].ports, Some((1, 2)));
    }
}
