//! Delay, jitter, order, duplicates and damage in user space: netfilter queues a link's packets to a thread of ours (NFQUEUE), which gives its verdict
//! late, or never. For kernels without netem, where TUN devices are refused too.
//!
//! What becomes of a packet is decided by the same code as on the switch ([`crate::switch::line`]), by chance from the run's seed; here a packet is held
//! by the kernel, and only its number waits. A copy is sent by a raw socket of the router.
//!
//! - `desk`: decides and holds, without sockets and clock; `serve`: the thread

mod desk;
mod serve;

use std::collections::BTreeMap;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rustix::event::{EventfdFlags, eventfd};

use super::AddressPair;
use crate::link::Quality;
use crate::netlink::queue::PacketQueue;
use crate::{Error, Result};
use desk::Desk;
use serve::{Clerk, Order};

/// Which queue of the router's namespace is ours; nobody else is there.
pub(super) const NUMBER: u16 = 0;

/// A turn of the thread takes microseconds.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);

/// The thread, and how to tell it something.
pub(super) struct Queue {
    orders: Option<SyncSender<Order>>,
    bell: OwnedFd,
    thread: Option<JoinHandle<()>>,
}

impl Queue {
    /// Binds the queue of the calling thread's network namespace and starts to answer for it.
    pub(super) fn open(seed: u64) -> Result<Queue> {
        let bell = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).map_err(Error::system("make an eventfd"))?;
        let heard = bell.try_clone().map_err(Error::system("duplicate an eventfd"))?;
        let (orders, inbox) = sync_channel(4);
        let clerk = Clerk::new(Desk::new(seed), PacketQueue::open(NUMBER)?, serve::raw_socket()?, inbox, heard);
        let thread = thread::Builder::new()
            .name("queue".into())
            .spawn(move || clerk.run())
            .map_err(Error::system("start the queue's thread"))?;
        Ok(Queue {
            orders: Some(orders),
            bell,
            thread: Some(thread),
        })
    }

    /// Makes these the qualities of the links whose packets are queued; any other's pass at once.
    pub(super) fn apply(&self, links: &BTreeMap<AddressPair, Quality>) -> Result<()> {
        let (reply, answer) = sync_channel(1);
        let orders = self.orders.as_ref().expect("the channel is closed by drop alone");
        let dead = || Error::Unusable("the queue's thread is dead".into());
        orders.send((links.clone(), reply)).map_err(|_| dead())?;
        self.ring();
        match answer.recv_timeout(ANSWER_LIMIT) {
            Ok(()) => Ok(()),
            Err(RecvTimeoutError::Disconnected) => Err(dead()),
            Err(RecvTimeoutError::Timeout) => Err(Error::Late {
                what: "turning the queued links".into(),
                limit_ms: ANSWER_LIMIT.as_millis() as u64,
            }),
        }
    }

    fn ring(&self) {
        // A counter that is full rings as well.
        let _ = rustix::io::write(self.bell.as_fd(), &1u64.to_ne_bytes());
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        self.orders = None;
        self.ring();
        if let Some(thread) = self.thread.take() {
            // A panic of it was reported when it happened.
            let _ = thread.join();
        }
    }
}
