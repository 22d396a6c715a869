//! The thread that forwards: waits for frames and for the next one that is due, and obeys.
//!
//! The clock is read for each packet: one reading for a whole turn of the loop made a delay of 50 ms as short as 38 ms when the thread had been
//! preempted. Commands are looked for before each packet too, so that a flood delays no cut.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError};
use std::time::Instant;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use super::engine::{Deliver, Engine};
use super::gate::{Asker, Released};
use super::log::Logged;
use super::packet::VNET;
use super::pcap::Capture;
use super::table::{LinkCounts, Table};

/// The largest IPv4 packet, behind its vnet header.
const FRAME_BYTES: usize = VNET + (1 << 16);
/// Frames taken from one end before the next one has its turn.
const TURN: usize = 32;

/// What the thread can be told. Each answers when it is done.
pub(super) enum Command {
    /// Put a table in force; the answer is how many connections were reset.
    Turn(Arc<Table>, SyncSender<u32>),
    /// Tell what each link did.
    Count(SyncSender<Vec<LinkCounts>>),
    /// Tell of the last packets.
    Log(SyncSender<Vec<Logged>>),
    /// Write packets to files from now on, or no more; the answer is what wrote them until now.
    Capture(Option<Capture>, SyncSender<Option<Capture>>),
    /// Ask about every packet with a payload, and hold those that are to be held so many nanoseconds at most.
    Ask(Asker, u64, SyncSender<()>),
    /// Let the held packet of this number go; the answer is what became of it, if it was still held.
    Release(u64, SyncSender<Option<Released>>),
}

/// What the thread works with.
pub(super) struct Forwarder {
    pub(super) engine: Engine,
    pub(super) devices: Devices,
    pub(super) inbox: Receiver<Command>,
    /// Whether something is in the inbox.
    pub(super) called: Arc<AtomicBool>,
    /// Readable when something is.
    pub(super) bell: OwnedFd,
    /// When the switch's clock began.
    pub(super) origin: Instant,
    /// What keeps the CPUs awake, where that can be had.
    pub(super) _awake: Option<OwnedFd>,
}

/// The ends' TUN devices, by place; `None` once the kernel took one away with its namespace.
pub(super) struct Devices(pub(super) Vec<Option<OwnedFd>>);

impl Deliver for Devices {
    fn deliver(&mut self, to: usize, frame: &[u8]) -> bool {
        let device = self.0.get(to).and_then(Option::as_ref);
        device.is_some_and(|device| rustix::io::write(device, frame).is_ok())
    }
}

impl Forwarder {
    /// Forwards until nobody can give commands any more.
    pub(super) fn run(mut self) {
        // By default the kernel wakes us up to 50 us late, to save power.
        if let Err(error) = nix::sys::prctl::set_timerslack(1) {
            tracing::warn!(%error, "delays will be up to 50 us too long");
        }
        let mut frame = vec![0; FRAME_BYTES];
        loop {
            let ready = match self.wait() {
                Ok(ready) => ready,
                Err(Errno::INTR) => continue,
                Err(error) => {
                    tracing::error!(%error, "the switch stops: it cannot wait for packets");
                    return;
                }
            };
            if !self.obey() {
                return;
            }
            self.deliver_due();
            for place in ready {
                if !self.drain(place, &mut frame) {
                    return;
                }
            }
        }
    }

    /// Waits for the bell, a frame, or the next one that is due; returns the places of the ends that have sent something.
    fn wait(&self) -> Result<Vec<usize>, Errno> {
        let devices = self.devices.0.iter().enumerate();
        let (places, mut polled): (Vec<usize>, Vec<PollFd<'_>>) = devices
            .filter_map(|(place, device)| Some((place, PollFd::new(device.as_ref()?, PollFlags::IN))))
            .unzip();
        polled.push(PollFd::new(&self.bell, PollFlags::IN));
        let left = self.engine.next_due_ns().map(|due_ns| due_ns.saturating_sub(self.now_ns()));
        let left = left.map(|left| Timespec {
            tv_sec: (left / 1_000_000_000).cast_signed(),
            tv_nsec: (left % 1_000_000_000).cast_signed(),
        });
        poll(&mut polled, left.as_ref())?;
        let ready = |polled: &PollFd<'_>| !polled.revents().is_empty();
        if polled.last().is_some_and(ready) {
            // Whatever its count was; reading sets it back.
            rustix::io::read(self.bell.as_fd(), &mut [0u8; 8])?;
        }
        Ok(places
            .into_iter()
            .zip(&polled)
            .filter(|(_, polled)| ready(polled))
            .map(|(place, _)| place)
            .collect())
    }

    /// Takes a few frames of an end; false if it is time to stop.
    fn drain(&mut self, place: usize, frame: &mut [u8]) -> bool {
        for _ in 0..TURN {
            let Some(device) = &self.devices.0[place] else { return true };
            let bytes = match rustix::io::read(device, &mut *frame) {
                Ok(bytes) => bytes,
                Err(Errno::AGAIN | Errno::INTR) => return true,
                Err(error) => {
                    tracing::warn!(place, %error, "an end's device is gone");
                    self.devices.0[place] = None;
                    return true;
                }
            };
            if self.called.load(Ordering::Acquire) && !self.obey() {
                return false;
            }
            let now_ns = self.now_ns();
            self.engine.deliver_due(now_ns, &mut self.devices);
            self.engine.take(place, &mut frame[..bytes], now_ns, &mut self.devices);
        }
        true
    }

    fn deliver_due(&mut self) {
        let now_ns = self.now_ns();
        self.engine.deliver_due(now_ns, &mut self.devices);
    }

    /// Does what it is told; false if nobody is left to tell.
    fn obey(&mut self) -> bool {
        self.called.store(false, Ordering::Release);
        loop {
            match self.inbox.try_recv() {
                Ok(Command::Turn(table, reply)) => {
                    let now_ns = self.now_ns();
                    let n_reset = self.engine.turn(table, now_ns, &mut self.devices);
                    // Whoever asked and gave up does not miss the answer.
                    let _ = reply.send(n_reset);
                }
                Ok(Command::Count(reply)) => {
                    let _ = reply.send(self.engine.counts().to_vec());
                }
                Ok(Command::Log(reply)) => {
                    let _ = reply.send(self.engine.packets());
                }
                Ok(Command::Capture(capture, reply)) => {
                    // The old one is handed back: to end it waits for its disk.
                    let _ = reply.send(self.engine.capture(capture));
                }
                Ok(Command::Ask(asker, bound_ns, reply)) => {
                    self.engine.ask(asker, bound_ns);
                    let _ = reply.send(());
                }
                Ok(Command::Release(number, reply)) => {
                    let now_ns = self.now_ns();
                    let _ = reply.send(self.engine.release(number, now_ns, &mut self.devices));
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
