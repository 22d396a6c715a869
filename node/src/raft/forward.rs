//! Reads at nodes that do not lead (Ongaro 2014, §6.4, last paragraph): the leader names an index that it has confirmed, and the node
//! answers from its own state once it has applied that much. So every member serves, and its state is seen by clients.

use std::collections::BTreeMap;

use super::core::{RaftCore, Step};
use super::message::RaftBody;
use super::reads::Asker;
use crate::core::Now;
use crate::members::Text;

/// A question is asked again after so many heartbeats without an answer: it or the answer is lost.
const PATIENCE_HEARTBEATS: u64 = 3;

/// Reads that wait for the leader's word.
#[derive(Debug, Default)]
pub(super) struct Forwarded {
    /// They arrived after the question that is on its way.
    waiting: Vec<u64>,
    asked: Option<Question>,
    /// Questions of this life.
    asked_count: u64,
    /// They know their index, and wait until it is applied.
    named: BTreeMap<u64, Vec<u64>>,
}

/// A question to the leader.
#[derive(Debug)]
struct Question {
    /// Unique over all lives of this node: the answer to an older question names an index that may be too old.
    id: u64,
    asked_ns: u64,
    /// The reads that had arrived before.
    reads: Vec<u64>,
}

impl Forwarded {
    /// When the question is to be asked again, if there is one.
    pub(super) fn wake_at_ns(&self, heartbeat_ns: u64) -> Option<u64> {
        let question = self.asked.as_ref()?;
        Some(question.asked_ns.saturating_add(heartbeat_ns.saturating_mul(PATIENCE_HEARTBEATS)))
    }

    pub(super) fn wait(&mut self, read: u64) {
        self.waiting.push(read);
    }

    /// Every read that waits here, in whatever stage.
    pub(super) fn take_all(&mut self) -> Vec<u64> {
        let mut reads = std::mem::take(&mut self.waiting);
        reads.extend(self.asked.take().into_iter().flat_map(|question| question.reads));
        reads.extend(std::mem::take(&mut self.named).into_values().flatten());
        reads.sort_unstable();
        reads
    }
}

impl RaftCore {
    /// Asks the leader, unless a question is on its way. One question serves all reads that had arrived before it.
    pub(super) fn ask_leader(&mut self, step: &mut Step<'_>) {
        let Some(leader) = self.leader.clone() else { return };
        let forwarded = &mut self.reads.forwarded;
        if forwarded.asked.is_some() || forwarded.waiting.is_empty() {
            return;
        }
        forwarded.asked_count += 1;
        let id = self.incarnation << 32 | forwarded.asked_count;
        forwarded.asked = Some(Question {
            id,
            asked_ns: step.now.mono_ns,
            reads: std::mem::take(&mut forwarded.waiting),
        });
        self.send(step, &leader, RaftBody::AskIndex { id });
    }

    /// A member asks for an index: a read like any other, but for who is answered.
    pub(super) fn on_ask_index(&mut self, step: &mut Step<'_>, from: Text, id: u64) {
        if self.leading().is_some() {
            self.begin_confirmed_read(step, Asker::Member { member: from, id });
        }
    }

    /// The leader names an index: what was committed after these reads had begun.
    pub(super) fn on_index(&mut self, step: &mut Step<'_>, id: u64, index: u64) {
        let forwarded = &mut self.reads.forwarded;
        let Some(question) = forwarded.asked.take_if(|question| question.id == id) else {
            return;
        };
        forwarded.named.entry(index).or_default().extend(question.reads);
        self.serve_what_is_applied(step);
        self.ask_leader(step);
    }

    /// Answers the reads whose index this node has applied.
    pub(super) fn serve_what_is_applied(&mut self, step: &mut Step<'_>) {
        while let Some(entry) = self
            .reads
            .forwarded
            .named
            .first_entry()
            .filter(|entry| *entry.key() <= self.applied)
        {
            let (index, reads) = entry.remove_entry();
            self.serve_all(step, reads, index);
        }
    }

    /// What to do about reads that wait for a leader when time passes or roles change.
    pub(super) fn tend_forwarded(&mut self, step: &mut Step<'_>) {
        if self.leading().is_some() {
            // It is the one to ask now.
            let reads = self.reads.forwarded.take_all();
            self.reads.wait(reads);
            return self.ask_for_reads(step);
        }
        if self.is_overdue(step.now) {
            let forwarded = &mut self.reads.forwarded;
            let late = forwarded.asked.take().map(|question| question.reads).unwrap_or_default();
            forwarded.waiting.extend(late);
        }
        self.ask_leader(step);
    }

    fn is_overdue(&self, now: Now) -> bool {
        let due_ns = self.reads.forwarded.wake_at_ns(self.heartbeat_ns());
        due_ns.is_some_and(|due_ns| now.mono_ns >= due_ns)
    }
}
