//! What waits to be written to one connection: one growing buffer, written as a whole, so that a busy connection needs one write for many
//! messages.

use std::cell::{Cell, RefCell};
use std::io;

use serde::Serialize;
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::sync::Notify;

use crate::frame;

/// Bytes that wait for a peer at most. More is dropped like a lost packet, and the core's calls are made again: a turn must never wait for
/// a peer, or two nodes could wait for each other.
const PEER_BYTES_MAX: usize = 8 << 20;

/// Requests of one client that may be open. The next is read when one is answered and its reply handed to the kernel.
const OPEN_REQUESTS_MAX: usize = 256;

/// A buffer larger than this is given back once it was written.
const KEPT_BYTES_MAX: usize = 256 << 10;

/// The outgoing side of one connection. Shared by who fills it and who writes it, both on one thread.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    buffer: RefCell<Vec<u8>>,
    /// Replies in `buffer`.
    replies: Cell<usize>,
    /// Requests that were read and whose replies were not yet handed to the kernel.
    open: Cell<usize>,
    is_closing: Cell<bool>,
    filled: Notify,
    drained: Notify,
}

impl Outbox {
    /// Adds a message to a peer, or drops it (false) if too much waits already. Call [`Outbox::wake`] when it may leave.
    pub(super) fn push(&self, message: &impl Serialize) -> bool {
        let mut buffer = self.buffer.borrow_mut();
        if buffer.len() > PEER_BYTES_MAX {
            return false;
        }
        append(&mut buffer, message);
        true
    }

    /// Adds the reply to a request that [`Outbox::opened`] counted. Call [`Outbox::wake`] when it may leave.
    pub(super) fn reply(&self, reply: &impl Serialize) {
        append(&mut self.buffer.borrow_mut(), reply);
        self.replies.set(self.replies.get() + 1);
    }

    /// Lets what was added leave.
    pub(super) fn wake(&self) {
        self.filled.notify_one();
    }

    /// Waits until another request may be read.
    pub(super) async fn room(&self) {
        while self.open.get() >= OPEN_REQUESTS_MAX {
            self.drained.notified().await;
        }
    }

    /// A request was read.
    pub(super) fn opened(&self) {
        self.open.set(self.open.get() + 1);
    }

    /// Nothing more will be read: the writer ends when all open requests are answered.
    pub(super) fn close(&self) {
        self.is_closing.set(true);
        self.filled.notify_one();
    }

    /// Writes whatever is added, until the connection fails or, after [`Outbox::close`], everything is answered.
    pub(super) async fn write_to(&self, mut socket: impl AsyncWrite + Unpin) -> io::Result<()> {
        let mut writing = Vec::new();
        loop {
            std::mem::swap(&mut writing, &mut *self.buffer.borrow_mut());
            let replies = self.replies.take();
            if writing.is_empty() {
                if self.is_closing.get() && self.open.get() == 0 {
                    return socket.shutdown().await;
                }
                self.filled.notified().await;
                continue;
            }
            socket.write_all(&writing).await?;
            self.open.set(self.open.get().saturating_sub(replies));
            self.drained.notify_one();
            if writing.capacity() > KEPT_BYTES_MAX {
                writing = Vec::new();
            }
            writing.clear();
        }
    }
}

fn append(buffer: &mut Vec<u8>, message: &impl Serialize) {
    frame::encode(buffer, |buffer| serde_json::to_writer(buffer, message)).expect("plain data and a Vec takes every write");
}
