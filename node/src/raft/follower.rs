//! A follower: takes the leader's entries, says durably what it has, and where the logs part (Ongaro and Ousterhout 2014, §5.3).

use super::core::{RaftCore, Role, Step};
use super::entry::Entry;
use super::message::RaftBody;
use crate::bugs::Bug;
use crate::members::Text;
use crate::trace::Place;

impl RaftCore {
    /// A message of this term's leader: false if it cannot be, because this node leads the term.
    pub(super) fn follow(&mut self, step: &mut Step<'_>, leader: &Text) -> bool {
        match self.role {
            Role::Leader(_) => return false,
            Role::Follower => self.set_leader(step, leader.clone()),
            Role::PreCandidate(_) | Role::Candidate(_) => self.become_follower(step, self.hard.term, Some(leader.clone())),
        }
        self.loyal_until_ns = step.now.mono_ns.saturating_add(self.election_ns());
        self.reset_election_timer(step.now);
        true
    }

    pub(super) fn on_append(&mut self, step: &mut Step<'_>, from: &Text, prev: Place, entries: Vec<Entry>, commit: u64) {
        let base = self.log.base();
        // What is compacted was committed: it is the leader's too.
        let is_behind_base = prev.0 < base.0;
        let is_there = self.log.holds(prev) || (self.has(Bug::R10) && self.log.term_at(prev.0).is_some());
        if !is_behind_base && !is_there {
            return self.reject(step, from, prev.0);
        }
        let last_sent = entries.last().map_or(prev, Entry::place);
        for entry in entries.into_iter().filter(|entry| entry.index() > base.0) {
            self.take_entry(step, entry);
        }
        let last = if last_sent.0 < base.0 { base } else { last_sent };
        let matched = if self.has(Bug::R13) { commit } else { commit.min(last.0) };
        self.commit_with_the_leader(step, matched);
        self.send_after_all(step, from, RaftBody::Appended { last });
    }

    /// Takes an entry whose predecessor is the leader's: what conflicts with it goes, and nothing else.
    fn take_entry(&mut self, step: &mut Step<'_>, entry: Entry) {
        match self.log.term_at(entry.index()) {
            Some(term) if term == entry.term() && !self.has(Bug::R11) => return,
            Some(_) => self.truncate_log(step, entry.index()),
            None => {}
        }
        // A gap comes of no leader of ours.
        if entry.index() == self.log.last_index() + 1 {
            self.push_entry(step, entry);
        }
    }

    /// Says where to go on: the whole conflicting term is skipped at once (§5.3, end).
    fn reject(&mut self, step: &mut Step<'_>, from: &Text, prev: u64) {
        let conflict_term = self.log.term_at(prev);
        let conflict_index = match conflict_term {
            Some(_) => self.log.first_of_term_at(prev),
            None => self.log.last_index() + 1,
        };
        self.send_after_hard(
            step,
            from,
            RaftBody::Rejected {
                prev,
                conflict_term,
                conflict_index,
            },
        );
    }

    pub(super) fn on_heartbeat(&mut self, step: &mut Step<'_>, from: &Text, commit: u64, round: u64) {
        self.commit_with_the_leader(step, commit);
        self.send_after_hard(step, from, RaftBody::HeartbeatReply { round });
    }

    /// The leader committed up to here, and up to here the logs are the same.
    fn commit_with_the_leader(&mut self, step: &mut Step<'_>, to: u64) {
        let to = if self.has(Bug::R13) { to.min(self.log.last_index()) } else { to };
        // The second half repeats what the leader promises: it names no index that is not known to be here.
        if to > self.commit && (to <= self.log.last_index() || self.has(Bug::C1)) {
            self.advance_commit(step, to, "leader");
        }
    }
}
