//! Packets that netfilter hands to us and takes back with a verdict (linux/netfilter/nfnetlink_queue.h).
//!
//! The kernel cuts large sends into packets and completes checksums before it hands them over: we do not say that we can do either.

use std::os::fd::{AsFd, BorrowedFd};

use super::socket::Netlink;
use super::wire::Message;
use crate::Result;

const SUBSYSTEM: u16 = 3;
const PACKET: u16 = 0;
const VERDICT: u16 = 1;
const CONFIGURE: u16 = 2;
const HEADER: usize = 4;

const CONFIGURE_COMMAND: u16 = 1;
const CONFIGURE_COPY: u16 = 2;
const CONFIGURE_LENGTH: u16 = 3;
const BIND: u8 = 1;
const COPY_PACKET: u8 = 2;
const PACKET_HEADER: u16 = 1;
const VERDICT_HEADER: u16 = 2;
const PAYLOAD: u16 = 10;
const DROP: u32 = 0;
const ACCEPT: u32 = 1;

/// Packets that may wait for a verdict: 400 ms of 100,000 a second, and more. Beyond, the kernel drops.
const PACKETS_MAX: u32 = 65_536;
/// The largest IPv4 packet.
const BYTES_MAX: u32 = 65_535;

/// One queue of the network namespace in which it was opened.
#[derive(Debug)]
pub struct PacketQueue {
    netlink: Netlink,
    number: u16,
}

/// A packet that waits for its verdict.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Queued {
    /// The kernel's name for it.
    pub id: u32,
    /// The IP packet.
    pub packet: Vec<u8>,
}

impl PacketQueue {
    /// Binds queue `number` of the calling thread's network namespace.
    ///
    /// # Errors
    /// If the kernel has no packet queue, or another program has this one.
    pub fn open(number: u16) -> Result<PacketQueue> {
        let mut netlink = Netlink::open_netfilter()?;
        let copy = [&BYTES_MAX.to_be_bytes()[..], &[COPY_PACKET]].concat();
        // The command's protocol family has been without meaning since Linux 3.8.
        let bind = message(CONFIGURE, number).attribute(CONFIGURE_COMMAND, &[BIND, 0, 0, 0]);
        netlink.request(&format!("bind packet queue {number}"), bind)?;
        let parameters = message(CONFIGURE, number)
            .attribute(CONFIGURE_COPY, &copy)
            .be32(CONFIGURE_LENGTH, PACKETS_MAX);
        netlink.request(&format!("set up packet queue {number}"), parameters)?;
        netlink.stream()?;
        Ok(PacketQueue { netlink, number })
    }

    /// The packets that came; none if nothing did. Does not wait.
    ///
    /// # Errors
    /// If the socket fails.
    pub fn receive(&mut self) -> Result<Vec<Queued>> {
        let replies = self.netlink.receive("receive queued packets")?;
        let packets = replies.iter().filter(|reply| reply.kind == SUBSYSTEM << 8 | PACKET);
        Ok(packets
            .filter_map(|reply| {
                let attributes = reply.attributes(HEADER);
                let id = attributes.clone().find(PACKET_HEADER)?.first_chunk::<4>()?;
                Some(Queued {
                    id: u32::from_be_bytes(*id),
                    packet: attributes.find(PAYLOAD)?.to_vec(),
                })
            })
            .collect())
    }

    /// Lets a packet go on its way, changed or as it was.
    ///
    /// # Errors
    /// If the socket fails.
    pub fn pass(&mut self, id: u32, changed: Option<&[u8]>) -> Result<()> {
        let verdict = verdict(self.number, id, ACCEPT);
        let verdict = match changed {
            Some(packet) => verdict.attribute(PAYLOAD, packet),
            None => verdict,
        };
        self.netlink.tell("let a queued packet go", verdict)
    }

    /// Drops a packet.
    ///
    /// # Errors
    /// If the socket fails.
    pub fn drop(&mut self, id: u32) -> Result<()> {
        self.netlink.tell("drop a queued packet", verdict(self.number, id, DROP))
    }
}

impl AsFd for PacketQueue {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.netlink.as_fd()
    }
}

/// `struct nfgenmsg`: family, version, number of the queue in network byte order.
fn message(kind: u16, number: u16) -> Message {
    let [high, low] = number.to_be_bytes();
    Message::new(SUBSYSTEM << 8 | kind, 0).fixed(&[libc::AF_UNSPEC as u8, 0, high, low])
}

fn verdict(number: u16, id: u32, verdict: u32) -> Message {
    let header = [verdict.to_be_bytes(), id.to_be_bytes()].concat();
    message(VERDICT, number).attribute(VERDICT_HEADER, &header)
}
