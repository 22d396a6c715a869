//! What the nodes of a simulated cluster write into their traces, and the digest of it.

use super::super::trace::TraceEntry;
use super::Cluster;
use crate::core::{Core, Event, Stamp};
use crate::members::NodeIndex;
use crate::trace::TraceEvent;

impl<C: Core> Cluster<C> {
    /// An event of the core's own: it counts in the digest, too.
    pub(super) fn record(&mut self, at: NodeIndex, event: TraceEvent) {
        self.digest.take(&(at, self.node(at).life));
        self.digest.take(&event);
        if self.world.keeps_traces {
            let lamport = self.process(at).lamport.tick();
            self.push_entry(at, lamport, event);
        }
    }

    /// What the trace shall say of a message that leaves. The frame's own stamp: it is this event that the receiver's stamps must exceed.
    pub(super) fn record_sent(&mut self, from: NodeIndex, to: NodeIndex, message: &C::Message, lamport: u64) {
        if self.world.keeps_traces {
            let incarnation = self.node(from).life;
            let stamp = Stamp { incarnation, lamport };
            if let Some(event) = self.process(from).core().sent(to, message, stamp) {
                self.push_entry(from, lamport, event);
            }
        }
    }

    /// What the trace shall say of a message that arrived.
    pub(super) fn record_received(&mut self, at: NodeIndex, stamp: Stamp, event: &Event<C::Message>) {
        if let Event::Message { from, message } = event
            && self.world.keeps_traces
            && let Some(event) = self.process(at).core().received(*from, message, stamp)
        {
            let lamport = self.process(at).lamport.tick();
            self.push_entry(at, lamport, event);
        }
    }

    pub(super) fn push_entry(&mut self, at: NodeIndex, lamport: u64, event: TraceEvent) {
        let (mono_ns, incarnation) = (self.now_ns, self.node(at).life);
        let process = self.process(at);
        let seq = process.next_seq;
        process.next_seq += 1;
        self.node_mut(at).trace.push(TraceEntry {
            incarnation,
            seq,
            mono_ns,
            lamport,
            event,
        });
    }
}
