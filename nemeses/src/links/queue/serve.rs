//! The thread that answers for the queue: waits for packets and for the next one that is due, and obeys.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError};
use std::time::Instant;

use nix::sys::socket::{self, AddressFamily, MsgFlags, SockFlag, SockType, SockaddrIn};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use super::desk::{Answer, Desk};
use crate::link::Quality;
use crate::links::AddressPair;
use crate::netlink::queue::PacketQueue;
use crate::{Error, Result};

/// Other qualities, and where to say that they are in force.
pub(super) type Order = (BTreeMap<AddressPair, Quality>, SyncSender<()>);

/// Datagrams of packets taken before the next look at the clock's due ones and at orders.
const TURN: usize = 32;

/// What the thread works with.
pub(super) struct Clerk {
    desk: Desk,
    hatch: Hatch,
    inbox: Receiver<Order>,
    /// Readable when something is in the inbox.
    bell: OwnedFd,
    origin: Instant,
}

/// Where verdicts and copies go.
struct Hatch {
    queue: PacketQueue,
    raw: OwnedFd,
}

/// A socket that sends whole IP packets, whoever their source says sends them.
pub(super) fn raw_socket() -> Result<OwnedFd> {
    let family = AddressFamily::Inet;
    socket::socket(family, SockType::Raw, SockFlag::SOCK_CLOEXEC, socket::SockProtocol::Raw).map_err(Error::system("open a raw socket"))
}

impl Answer for Hatch {
    fn pass(&mut self, id: u32, changed: Option<&[u8]>) -> Result<()> {
        self.queue.pass(id, changed)
    }

    fn drop(&mut self, id: u32) -> Result<()> {
        self.queue.drop(id)
    }

    fn copy(&mut self, packet: &[u8]) -> Result<()> {
        let Some(&[a, b, c, d]) = packet.get(16..20) else { return Ok(()) };
        let to = SockaddrIn::from(std::net::SocketAddrV4::new(Ipv4Addr::new(a, b, c, d), 0));
        // A copy that finds no room is lost, as any packet is that meets a full device.
        let _ = socket::sendto(self.raw.as_raw_fd(), packet, &to, MsgFlags::MSG_DONTWAIT);
        Ok(())
    }
}

impl Clerk {
    pub(super) fn new(desk: Desk, queue: PacketQueue, raw: OwnedFd, inbox: Receiver<Order>, bell: OwnedFd) -> Clerk {
        Clerk {
            desk,
            hatch: Hatch { queue, raw },
            inbox,
            bell,
            origin: Instant::now(),
        }
    }

    /// Answers until nobody can give orders any more. Then the kernel drops what still waits.
    pub(super) fn run(mut self) {
        // By default the kernel wakes us up to 50 us late, to save power.
        if let Err(error) = nix::sys::prctl::set_timerslack(1) {
            tracing::warn!(%error, "delays will be up to 50 us too long");
        }
        loop {
            match self.turn() {
                Ok(true) => {}
                Ok(false) => return,
                Err(error) => {
                    tracing::error!(%error, "the queue stops: every packet of a queued link is lost from now on");
                    return;
                }
            }
        }
    }

    /// Once around; false if nobody is left to give orders.
    fn turn(&mut self) -> Result<bool> {
        self.wait()?;
        if !self.obey() {
            return Ok(false);
        }
        for _ in 0..TURN {
            let packets = self.hatch.queue.receive()?;
            for queued in &packets {
                let now_ns = self.now_ns();
                self.desk.deliver_due(now_ns, &mut self.hatch)?;
                self.desk.take(queued.id, &queued.packet, now_ns, &mut self.hatch)?;
            }
            if packets.is_empty() {
                break;
            }
        }
        let now_ns = self.now_ns();
        self.desk.deliver_due(now_ns, &mut self.hatch)?;
        Ok(true)
    }

    /// Waits for the bell, a packet, or the next one that is due.
    fn wait(&self) -> Result<()> {
        let mut polled = [&self.hatch.queue.as_fd(), &self.bell.as_fd()].map(|fd| PollFd::from_borrowed_fd(*fd, PollFlags::IN));
        let left = self.desk.next_due_ns().map(|due_ns| due_ns.saturating_sub(self.now_ns()));
        let left = left.map(|left| Timespec {
            tv_sec: (left / 1_000_000_000).cast_signed(),
            tv_nsec: (left % 1_000_000_000).cast_signed(),
        });
        match poll(&mut polled, left.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(Error::system("wait for queued packets")(error)),
        }
        if !polled[1].revents().is_empty() {
            // Whatever its count was; reading sets it back.
            let _ = rustix::io::read(self.bell.as_fd(), &mut [0u8; 8]);
        }
        Ok(())
    }

    /// Does what it is told; false if nobody is left to tell.
    fn obey(&mut self) -> bool {
        loop {
            match self.inbox.try_recv() {
                Ok((links, reply)) => {
                    let now_ns = self.now_ns();
                    self.desk.turn(links, now_ns);
                    // Whoever asked and gave up does not miss the answer.
                    let _ = reply.send(());
                }
                Err(TryRecvError::Empty) => return true,
                Err(TryRecvError::Disconnected) => return false,
            }
        }
    }

    fn now_ns(&self) -> u64 {
        u64::try_from(self.origin.elapsed().as_nanos()).expect("a run ends before 584 years")
    }
}
