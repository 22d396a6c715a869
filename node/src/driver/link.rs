//! A link between two nodes, the same on both sides after the greeting: messages for the core, and a heartbeat.
//!
//! The heartbeat is there because TCP does not notice: after a partition the kernel waits longer and longer before it sends again, so a
//! link on which nothing was heard for a while is dropped and dialled anew. Silence is counted in ticks of this task, not in time: a node
//! that was paused must first read what arrived meanwhile before it blames the link.

use std::rc::Rc;
use std::time::Duration;

use serde::de::IgnoredAny;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::time::{MissedTickBehavior, interval};

use super::outbox::Outbox;
use super::shared::{Inbound, LinkGuard, Shared, Side};
use crate::core::Stamp;
use crate::frame::Decoder;
use crate::members::NodeIndex;
use crate::message::{FORMAT_VERSION, Greeting, PeerBody, PeerFrame, PeerMessage};

/// Time between two pings.
const PING_EVERY: Duration = Duration::from_millis(150);

/// Ticks without a sound after which a link counts as dead: four, so that one lost segment (TCP sends again after 200 ms) does no harm.
const SILENT_TICKS_MAX: u32 = 4;

/// Bytes asked of the kernel at once.
pub(super) const READ_BYTES: usize = 64 << 10;

/// One side of one link, until it ends.
pub(super) struct Link<M> {
    pub(super) shared: Rc<Shared<M>>,
    pub(super) peer: NodeIndex,
    pub(super) side: Side,
    pub(super) outbox: Rc<Outbox>,
    /// Which life of the peer is at the other end; 0 before it greeted.
    pub(super) incarnation: u64,
    /// Present once the greeting was answered.
    pub(super) known: Option<LinkGuard<M>>,
}

impl<M: PeerMessage> Link<M> {
    /// Reads until the link ends; returns why, in words.
    pub(super) async fn read(&mut self, mut socket: impl AsyncRead + Unpin, mut decoder: Decoder) -> String {
        let mut ticks = interval(PING_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut silent_ticks = 0;
        loop {
            if let Err(reason) = self.take_all(&mut decoder).await {
                return reason;
            }
            let space = decoder.space();
            space.reserve(READ_BYTES);
            tokio::select! {
                outcome = socket.read_buf(space) => match outcome {
                    Ok(0) => return "the peer closed it".to_owned(),
                    Ok(_) => silent_ticks = 0,
                    Err(error) => return error.to_string(),
                },
                _ = ticks.tick() => {
                    silent_ticks += 1;
                    if silent_ticks > SILENT_TICKS_MAX {
                        return "nothing was heard on it".to_owned();
                    }
                    if self.side == Side::Dialled {
                        self.say(PeerBody::Ping {});
                    }
                }
            }
        }
    }

    /// Handles every whole frame that was read.
    async fn take_all(&mut self, decoder: &mut Decoder) -> Result<(), String> {
        loop {
            let frame = match decoder.next_payload() {
                Ok(None) => return Ok(()),
                Ok(Some(payload)) => parse::<M>(payload)?,
                Err(error) => return Err(error.to_string()),
            };
            let lamport = frame.header.lamport;
            match frame.body {
                PeerBody::Message(message) if self.known.is_some() => {
                    // Waits while the core is busy; then TCP holds the peer back.
                    let inbound = Inbound::Message {
                        from: self.peer,
                        stamp: Stamp {
                            incarnation: self.incarnation,
                            lamport,
                        },
                        message,
                    };
                    self.shared.inbox.send(inbound).await.map_err(|_| "the node ends".to_owned())?;
                    continue;
                }
                PeerBody::Ping {} => self.say(PeerBody::Pong {}),
                PeerBody::Welcome(greeting) if self.side == Side::Dialled => self.welcomed(&greeting).await?,
                PeerBody::Refused(reason) => return Err(format!("the peer refused: {}", shown(&reason))),
                PeerBody::Message(_) | PeerBody::Welcome(_) | PeerBody::Pong {} | PeerBody::Other {} => {}
            }
            self.shared.lamport.borrow_mut().observe(lamport);
        }
    }

    async fn welcomed(&mut self, greeting: &Greeting) -> Result<(), String> {
        check_greeting(&self.shared, greeting, Some(self.peer))?;
        self.incarnation = greeting.incarnation;
        self.establish().await
    }

    /// From now on messages may take this link.
    pub(super) async fn establish(&mut self) -> Result<(), String> {
        self.known = Some(self.shared.add_link(self.peer, self.side, &self.outbox));
        self.shared
            .inbox
            .send(Inbound::LinkUp { peer: self.peer })
            .await
            .map_err(|_| "the node ends".to_owned())
    }

    /// Says something that depends on no event of the core.
    pub(super) fn say(&self, body: PeerBody<M>) {
        self.outbox.push(&self.shared.stamped_frame(body));
        self.outbox.wake();
    }
}

/// Whether to talk to a node that greets so; returns which it is.
pub(super) fn check_greeting<M>(shared: &Shared<M>, greeting: &Greeting, expected: Option<NodeIndex>) -> Result<NodeIndex, String> {
    let stranger = || format!("`{}` is no other member of this cluster", shown(&greeting.node));
    let peer = shared
        .members
        .index(&greeting.node)
        .filter(|_| greeting.node != shared.greeting.node)
        .ok_or_else(stranger)?;
    if expected.is_some_and(|expected| expected != peer) {
        return Err(format!("`{}` answers at the address of another member", greeting.node));
    }
    if greeting.layout != shared.greeting.layout {
        return Err(format!(
            "`{}` was started with other members, another --n or other --vnodes than this node",
            greeting.node
        ));
    }
    Ok(peer)
}

/// Reads a frame. One of a newer format that does not parse is skipped, one of our own is an error.
fn parse<M: PeerMessage>(payload: &[u8]) -> Result<PeerFrame<M>, String> {
    serde_json::from_slice(payload).or_else(|error| match serde_json::from_slice::<PeerFrame<IgnoredAny>>(payload) {
        Ok(newer) if newer.v > FORMAT_VERSION => Ok(PeerFrame {
            v: newer.v,
            header: newer.header,
            body: PeerBody::Other {},
        }),
        _ => Err(format!("a frame cannot be read: {}", shown(&error.to_string()))),
    })
}

/// Text of a peer for the log: escaped and bounded.
pub(super) fn shown(text: &str) -> String {
    text.escape_debug().take(200).collect()
}
