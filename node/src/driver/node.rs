//! The node's turns: events in, effects out, in an order that holds what the trace and the log promise.

use std::rc::Rc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use super::clock;
use super::journal::Journal;
use super::outbox::Outbox;
use super::shared::{Inbound, Shared};
use super::trace_file::Sink;
use crate::core::{Core, Effect, Event, Stamp};
use crate::error::NodeError;
use crate::members::NodeIndex;
use crate::message::{Outcome, PeerBody, RequestBody};
use crate::status::Status;
use crate::trace::Tracer;

/// Messages in one turn at most. See `journal::COLLECTED_BYTES_MAX` before raising it.
const TURN_MESSAGES_MAX: usize = 64;

/// How long the node sleeps when the core wants nothing: it is woken by messages anyway.
const IDLE_NS: u64 = 60_000_000_000;

/// A core with everything around it.
pub(super) struct Node<C: Core> {
    core: C,
    shared: Rc<Shared<C::Message>>,
    tracer: Tracer<Sink>,
    journal: Journal,
    /// Reused from step to step.
    effects: Vec<Effect<C::Message>>,
    /// Connections that got something in this turn.
    touched: Vec<Rc<Outbox>>,
    started_ns: u64,
    queue_depth_max: u64,
    /// The core wants to end, and why.
    stopped: Option<String>,
}

impl<C: Core> Node<C> {
    pub(super) fn new(core: C, shared: Rc<Shared<C::Message>>, tracer: Tracer<Sink>, journal: Journal) -> Node<C> {
        let (effects, touched) = (Vec::new(), Vec::new());
        Node {
            core,
            shared,
            tracer,
            journal,
            effects,
            touched,
            started_ns: clock::mono_ns(),
            queue_depth_max: 0,
            stopped: None,
        }
    }

    /// The core's first step.
    ///
    /// # Errors
    /// [`NodeError::TraceFailed`].
    pub(super) fn start(&mut self) -> Result<(), NodeError> {
        self.step(Event::Start {
            mono_offset_ns: clock::mono_offset_ns(),
        });
        self.release()
    }

    /// Takes turns until the disk fails or the core ends.
    ///
    /// # Errors
    /// [`NodeError::LogFailed`], [`NodeError::TraceFailed`] or [`NodeError::Stopped`].
    pub(super) async fn run(&mut self, mut inbox: mpsc::Receiver<Inbound<C::Message>>) -> Result<(), NodeError> {
        let mut arrived = Vec::with_capacity(TURN_MESSAGES_MAX);
        let timer = sleep_until(Instant::now());
        tokio::pin!(timer);
        loop {
            timer.as_mut().reset(self.wake_at());
            tokio::select! {
                biased;
                committed = self.journal.committed() => self.step(Event::Durable { appended: committed? }),
                _ = inbox.recv_many(&mut arrived, TURN_MESSAGES_MAX), if !self.journal.is_full() => {
                    arrived.drain(..).for_each(|inbound| self.take(inbound));
                }
                () = &mut timer => self.step(Event::Wake),
            }
            self.release()?;
        }
    }

    fn wake_at(&self) -> Instant {
        let wait_ns = self
            .core
            .wake_at_ns()
            .map_or(IDLE_NS, |at_ns| at_ns.saturating_sub(clock::mono_ns()));
        Instant::now() + Duration::from_nanos(wait_ns)
    }

    fn take(&mut self, inbound: Inbound<C::Message>) {
        match inbound {
            Inbound::Message { from, stamp, message } => {
                self.shared.lamport.borrow_mut().observe(stamp.lamport);
                if let Some(event) = self.core.received(from, &message, stamp) {
                    self.tracer
                        .record(clock::mono_ns(), self.shared.lamport.borrow_mut().tick(), &event);
                }
                self.step(Event::Message { from, message });
            }
            Inbound::LinkUp { peer } => self.step(Event::LinkUp { peer }),
            Inbound::Request { client, header, body } => {
                self.shared.lamport.borrow_mut().observe(header.lamport.unwrap_or(0));
                match body {
                    RequestBody::Status {} => self.reply(client.connection, client.request, Outcome::Status(Box::new(self.status()))),
                    body => self.step(Event::Request { client, header, body }),
                }
            }
        }
    }

    /// Steps the core and carries its effects out, up to the point where bytes would leave.
    fn step(&mut self, event: Event<C::Message>) {
        let now = clock::now();
        let mut effects = std::mem::take(&mut self.effects);
        self.core.step(now, event, &mut effects);
        for effect in effects.drain(..) {
            match effect {
                Effect::Append { record } => self.journal.append(&record),
                Effect::Compact { records } => self.journal.replace(records),
                Effect::Stop { reason } => self.stopped = Some(reason),
                Effect::Trace(event) => self.tracer.record(now.mono_ns, self.shared.lamport.borrow_mut().tick(), &event),
                Effect::Reply { client, outcome } => self.reply(client.connection, client.request, outcome),
                Effect::Send { to, message } => {
                    if let Some(outbox) = self.shared.link(to) {
                        self.send(now.mono_ns, to, message, outbox);
                    }
                }
            }
        }
        self.effects = effects;
        self.queue_depth_max = self.queue_depth_max.max(self.core.health().open_operations);
    }

    fn send(&mut self, mono_ns: u64, to: NodeIndex, message: C::Message, outbox: Rc<Outbox>) {
        let frame = self.shared.stamped_frame(PeerBody::Message(message));
        let stamp = Stamp {
            incarnation: self.shared.greeting.incarnation,
            lamport: frame.header.lamport,
        };
        if !outbox.push(&frame) {
            tracing::debug!(peer = %self.shared.members.name(to), "too much waits for this peer, a message is dropped");
        } else if let PeerBody::Message(message) = &frame.body
            && let Some(event) = self.core.sent(to, message, stamp)
        {
            // The frame's own stamp: it is this event that the receiver's stamps must exceed.
            self.tracer.record(mono_ns, stamp.lamport, &event);
        }
        self.touch(outbox);
    }

    fn reply(&mut self, connection: u64, request: u64, outcome: Outcome) {
        if let Some(outbox) = self.shared.client(connection) {
            outbox.reply(&self.shared.stamped_reply(request, outcome));
            self.touch(outbox);
        }
    }

    fn touch(&mut self, outbox: Rc<Outbox>) {
        if !self.touched.iter().any(|touched| Rc::ptr_eq(touched, &outbox)) {
            self.touched.push(outbox);
        }
    }

    /// Ends a turn. The trace is handed over first; the writers run only after this function returned, for they share its thread.
    fn release(&mut self) -> Result<(), NodeError> {
        self.tracer.flush().map_err(NodeError::TraceFailed)?;
        if let Some(reason) = self.stopped.take() {
            return Err(NodeError::Stopped(reason));
        }
        self.journal.submit()?;
        self.touched.drain(..).for_each(|outbox| outbox.wake());
        Ok(())
    }

    fn status(&self) -> Status {
        let (health, fsyncs) = (self.core.health(), self.journal.times());
        Status {
            ready: true,
            node: self.shared.greeting.node.clone(),
            incarnation: self.shared.greeting.incarnation,
            queue_depth: health.open_operations,
            queue_depth_max: self.queue_depth_max,
            last_fsync_us: fsyncs.last_us,
            slowest_fsync_us: fsyncs.slowest_us,
            fsyncs: fsyncs.count,
            keys: health.keys,
            peers_connected: self.shared.peers_connected(),
            uptime_ms: clock::mono_ns().saturating_sub(self.started_ns) / 1_000_000,
            wall_ns: Some(clock::now().wall_ns),
            lamport: self.shared.lamport.borrow().now(),
            domain: self.core.domain(),
            standing: self.core.standing(),
        }
    }
}
