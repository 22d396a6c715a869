//! A network in user space: every end's `eth0` is a TUN device whose other side we hold, and a thread passes packets from one to another.
//!
//! ```text
//!  n1: eth0 ══ tun ═╗                          ╔═ tun ══ eth0 :n2
//!                   ╠═ forward: engine, clock ═╣
//!  n3: eth0 ══ tun ═╝                          ╚═ tun ══ eth0 :clients
//! ```
//!
//! **The main decision: our code is the network.** Every quality of every directed link is a field of a table that is swapped between two packets, chance
//! comes from the run's seed, what happened to each packet is known, and all of it works on every host that lets us open [`DEVICE`]. It costs
//! one more wake-up per packet than the kernel's own veth pairs; large sends pass in one piece, so streams are nearly as fast.
//!
//! **The one not taken:** packets of the kernel's star queued to us by netfilter (NFQUEUE). It needs a program and modules, and was no faster; it is what
//! is left where TUN devices are refused (`links/queue`).
//!
//! **What differs from the kernel's star:** no hop is counted, and nobody answers with ICMP.
//!
//! - `engine`: what is done to a packet, without devices and clock; `line`: one directed link; `jitter`, `flows`, `segments`, `held` serve them
//! - `gate`: packets that wait for a fault, before their links
//! - `forward`: the thread; [`tun`]: the devices; `packet`: what is in a frame
//! - `table`: what is wanted, and what was counted; `log`, `pcap`: what passed

mod engine;
mod flows;
mod forward;
mod gate;
#[cfg(test)]
mod gate_tests;
mod held;
mod jitter;
pub(crate) mod line;
mod log;
pub(crate) mod packet;
mod pcap;
mod segments;
mod table;
mod tun;

use std::collections::BTreeMap;
use std::fmt;
use std::net::Ipv4Addr;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::event::{EventfdFlags, eventfd};

use self::engine::Engine;
use self::forward::{Command, Devices, Forwarder};
use self::gate::Comer;
pub use self::gate::Released;
pub use self::line::Cause;
pub use self::log::Logged;
use self::pcap::Capture;
pub use self::table::LinkCounts;
use self::table::Table;
pub use self::tun::{DEVICE, can_open, may_open};
use crate::awake::keep_awake;
use crate::link::{Pair, Quality};
use crate::{Error, Result};

/// The thread answers between two packets; so long without an answer means that it is stuck or dead.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);

/// One end of the network: a node, or the clients.
#[derive(Debug)]
pub struct End {
    /// Its name.
    pub id: String,
    /// Its address.
    pub address: Ipv4Addr,
    /// Its network namespace, still without an `eth0`.
    pub namespace: OwnedFd,
}

/// The network. When it is dropped, every `eth0` of it goes.
pub struct Switch {
    ids: Vec<String>,
    seed: u64,
    commands: Option<SyncSender<Command>>,
    called: Arc<AtomicBool>,
    bell: Arc<OwnedFd>,
    thread: Option<JoinHandle<()>>,
    origin: Instant,
}

/// What a change did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Turned {
    /// Connections that were reset.
    pub n_reset: u32,
    /// From the command to its return.
    pub took: Duration,
}

/// A packet of TCP with a payload that is about to enter its link. A large send is one packet, as its sender's kernel handed it over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Passing<'a> {
    /// Who sent it.
    pub from: &'a str,
    /// To whom.
    pub to: &'a str,
    /// Bytes of its payload.
    pub bytes: u64,
    /// What [`Switch::release`] takes, if it is held.
    pub number: u64,
}

impl Switch {
    /// Makes an `eth0` in each end's namespace, with its address and a route to everything else by way of `gateway`, which is nobody, and
    /// starts to forward. The chance of every link comes from `seed`.
    ///
    /// # Errors
    /// If TUN devices cannot be had here ([`can_open`] says so beforehand), or a namespace has an `eth0` already.
    pub fn open(ends: &[End], gateway: Ipv4Addr, seed: u64) -> Result<Switch> {
        let open = |end: &End| tun::open(&end.namespace, end.address, gateway).map(Some);
        let devices = ends.iter().map(open).collect::<Result<Vec<_>>>()?;
        let bell = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).map_err(Error::system("make an eventfd"))?;
        let heard = bell.try_clone().map_err(Error::system("duplicate an eventfd"))?;
        let (commands, inbox) = sync_channel(4);
        let (called, origin) = (Arc::new(AtomicBool::new(false)), Instant::now());
        let forwarder = Forwarder {
            engine: Engine::new(seed, ends.iter().map(|end| end.address).collect()),
            devices: Devices(devices),
            inbox,
            called: Arc::clone(&called),
            bell: heard,
            origin,
            _awake: keep_awake(),
        };
        let thread = thread::Builder::new()
            .name("switch".into())
            .spawn(move || forwarder.run())
            .map_err(Error::system("start the switch's thread"))?;
        Ok(Switch {
            ids: ends.iter().map(|end| end.id.clone()).collect(),
            seed,
            commands: Some(commands),
            called,
            bell: Arc::new(bell),
            thread: Some(thread),
            origin,
        })
    }

    /// Makes these the qualities of all links: at once, between two packets. Links that are not named are healthy.
    ///
    /// # Errors
    /// If a link has no such end, or the thread is dead; then nothing changed.
    pub fn apply(&self, links: &BTreeMap<Pair, Quality>) -> Result<Turned> {
        let start = Instant::now();
        let mut table = Table::new(self.ids.len());
        for (pair, quality) in links {
            table.set(self.place(&pair.from)?, self.place(&pair.to)?, quality);
        }
        let n_reset = self.ask("changing the links", |reply| Command::Turn(Arc::new(table), reply))?;
        Ok(Turned {
            n_reset,
            took: start.elapsed(),
        })
    }

    /// What each link did since the beginning; links without a packet are left out.
    ///
    /// # Errors
    /// If the thread is dead.
    pub fn counts(&self) -> Result<BTreeMap<Pair, LinkCounts>> {
        let counts = self.ask("counting the packets", Command::Count)?;
        let pairs = self.ids.iter().flat_map(|from| self.ids.iter().map(move |to| Pair::new(from, to)));
        Ok(pairs.zip(counts).filter(|(_, counts)| *counts != LinkCounts::default()).collect())
    }

    /// The last packets that came, the oldest first; their times count from when the switch was opened.
    ///
    /// # Errors
    /// If the thread is dead.
    pub fn packets(&self) -> Result<Vec<Logged>> {
        self.ask("listing the packets", Command::Log)
    }

    /// Writes all packets from now on to `folder`: one file for each end, named after it. Now is `now_ns` in the times of the files.
    ///
    /// # Errors
    /// If a file cannot be created, or the thread is dead.
    pub fn capture(&self, folder: &Path, now_ns: u64) -> Result<Vec<PathBuf>> {
        let own_ns = u64::try_from(self.origin.elapsed().as_nanos()).unwrap_or(u64::MAX);
        let capture = Capture::create(folder, &self.ids, now_ns.cast_signed() - own_ns.cast_signed())?;
        self.ask("starting to write packets", |reply| Command::Capture(Some(capture), reply))?;
        Ok(self.ids.iter().map(|id| pcap::file(folder, id)).collect())
    }

    /// Stops writing packets; the files are complete when this returns. Says how many packets the disk was too slow for.
    ///
    /// # Errors
    /// If the thread is dead.
    pub fn stop_capture(&self) -> Result<u64> {
        let capture = self.ask("ending to write packets", |reply| Command::Capture(None, reply))?;
        Ok(capture.map_or(0, |capture| capture.n_missed()))
    }

    /// Has every [`Passing`] packet from now on asked about: one that is to be held is, and what follows on its connection waits behind it, in order,
    /// until [`Switch::release`] or for `bound`. Nothing else waits. The question comes on the switch's own thread, so its answer must not wait for
    /// anything, least of all for this switch.
    ///
    /// # Errors
    /// If the thread is dead.
    pub fn ask_before_packet(&self, bound: Duration, asker: impl Fn(&Passing<'_>) -> bool + Send + Sync + 'static) -> Result<()> {
        let ids = self.ids.clone();
        let by_name = move |comer: &Comer| {
            asker(&Passing {
                from: &ids[comer.stream.from],
                to: &ids[comer.stream.to],
                bytes: comer.bytes,
                number: comer.number,
            })
        };
        let bound_ns = u64::try_from(bound.as_nanos()).unwrap_or(u64::MAX);
        self.ask("being asked to ask", |reply| Command::Ask(Arc::new(by_name), bound_ns, reply))
    }

    /// Lets a held packet go, and those behind it: they meet their link as it is now. `None` if the packet is not held any more.
    ///
    /// # Errors
    /// If the thread is dead.
    pub fn release(&self, number: u64) -> Result<Option<Released>> {
        self.ask("letting a packet go", |reply| Command::Release(number, reply))
    }

    /// The seed of its chance.
    #[must_use]
    pub fn seed(&self) -> u64 {
        self.seed
    }

    fn place(&self, id: &str) -> Result<usize> {
        let found = self.ids.iter().position(|known| known == id);
        found.ok_or_else(|| Error::Unusable(format!("the switch has no end called `{id}`; it has {}", self.ids.join(", "))))
    }

    fn ask<T>(&self, what: &str, command: impl FnOnce(SyncSender<T>) -> Command) -> Result<T> {
        let (reply, answer) = sync_channel(1);
        let commands = self.commands.as_ref().expect("the channel is closed by drop alone");
        let dead = || Error::Unusable(format!("the switch's thread died while {what}"));
        commands.send(command(reply)).map_err(|_| dead())?;
        self.ring();
        await_answer(&answer, what)
    }

    fn ring(&self) {
        self.called.store(true, Ordering::Release);
        // A counter that is full rings as well.
        let _ = rustix::io::write(self.bell.as_fd(), &1u64.to_ne_bytes());
    }
}

impl fmt::Debug for Switch {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Switch")
            .field("ids", &self.ids)
            .field("seed", &self.seed)
            .finish_non_exhaustive()
    }
}

impl Drop for Switch {
    fn drop(&mut self) {
        self.commands = None;
        self.ring();
        if let Some(thread) = self.thread.take() {
            // A panic of it was reported when it happened; the network is gone either way.
            let _ = thread.join();
        }
    }
}

fn await_answer<T>(answer: &Receiver<T>, what: &str) -> Result<T> {
    match answer.recv_timeout(ANSWER_LIMIT) {
        Ok(answer) => Ok(answer),
        Err(RecvTimeoutError::Timeout) => Err(Error::Late {
            what: what.into(),
            limit_ms: ANSWER_LIMIT.as_millis() as u64,
        }),
        Err(RecvTimeoutError::Disconnected) => Err(Error::Unusable(format!("the switch's thread died while {what}"))),
    }
}
