//! Handing the leadership over (Ongaro 2014, §3.10): no new commands, the target catches up, and is told to stand at once.

use super::core::{RaftCore, Step};
use super::message::RaftBody;
use crate::bugs::Bug;
use crate::core::ClientRef;
use crate::members::Text;
use crate::message::Outcome;

/// A transfer at the leader that begins it.
#[derive(Debug)]
pub(super) struct Transfer {
    client: ClientRef,
    to: Text,
    pub(super) deadline_ns: u64,
}

/// A transfer at the former leader: it waits to hear who leads.
#[derive(Debug)]
pub(super) struct Handover {
    client: ClientRef,
    pub(super) deadline_ns: u64,
}

impl From<Transfer> for Handover {
    fn from(Transfer { client, deadline_ns, .. }: Transfer) -> Handover {
        Handover { client, deadline_ns }
    }
}

impl RaftCore {
    pub(super) fn begin_transfer(&mut self, step: &mut Step<'_>, client: ClientRef, to: &Text) {
        if let Some(refusal) = self.refusal() {
            return step.reply(client, refusal);
        }
        if to == self.member() {
            let leader = to.clone();
            return step.reply(client, Outcome::Transferred { leader });
        }
        if !self.configs.latest().1.voters.contains(to) {
            let message = format!("`{to}` does not vote here");
            return step.reply(client, Outcome::failed("change-refused", message));
        }
        // The target needs an election timeout at most, or will not make it.
        let deadline_ns = step.now.mono_ns.saturating_add(self.election_ns());
        let is_revoked = !self.has(Bug::R18);
        if let Some(leader) = self.leader_mut() {
            // From now on followers may vote although they hear of this leader, and a message on its way cannot be called back: no lease
            // holds any more in this term.
            leader.rounds.is_lease_revoked = is_revoked;
            leader.transfer = Some(Transfer {
                client,
                to: to.clone(),
                deadline_ns,
            });
        }
        self.drive_transfer(step);
    }

    /// Tells the target to stand once it has everything.
    pub(super) fn drive_transfer(&mut self, step: &mut Step<'_>) {
        let Some(leader) = self.leading() else { return };
        let Some(transfer) = &leader.transfer else { return };
        if leader.matched(&transfer.to) == self.log.last_index() {
            let to = transfer.to.clone();
            self.send(step, &to, RaftBody::TimeoutNow {});
        }
    }

    /// The leader asks this node to stand.
    pub(super) fn on_timeout_now(&mut self, step: &mut Step<'_>) {
        if self.is_voter() {
            self.campaign(step, true);
        }
    }

    /// The target did not make it: this leader goes on.
    pub(super) fn end_late_transfer(&mut self, step: &mut Step<'_>) {
        let now_ns = step.now.mono_ns;
        let late = |transfer: &mut Transfer| now_ns >= transfer.deadline_ns;
        if let Some(transfer) = self.leader_mut().and_then(|leader| leader.transfer.take_if(late)) {
            let message = format!("`{}` did not take over in time, and may still try", transfer.to);
            step.reply(transfer.client, Outcome::unknown("timeout", message));
        }
    }

    /// Another one leads: whoever asked for the transfer is told.
    pub(super) fn end_handover(&mut self, step: &mut Step<'_>) {
        if let Some(leader) = self.leader_node()
            && let Some(handover) = self.handover.take()
        {
            step.reply(handover.client, Outcome::Transferred { leader });
        }
    }

    pub(super) fn end_late_handover(&mut self, step: &mut Step<'_>) {
        let now_ns = step.now.mono_ns;
        if let Some(handover) = self.handover.take_if(|handover| now_ns >= handover.deadline_ns) {
            step.reply(
                handover.client,
                Outcome::unknown("timeout", "this node leads no more and knows of no leader yet"),
            );
        }
    }
}
