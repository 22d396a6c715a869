//! Elections: pre-vote (Ongaro 2014, §9.6), votes (§3.4, §3.6.1), and loyalty to a leader that was just heard of (§4.2.3), which together
//! with check-quorum in `leader.rs` keeps a half-cut node from doing harm in either role.

use std::collections::BTreeSet;

use super::core::{RaftCore, Role, Step};
use super::message::RaftBody;
use crate::bugs::Bug;
use crate::core::Now;
use crate::members::Text;
use crate::trace::Place;

/// Who said yes so far.
#[derive(Debug, Default)]
pub(super) struct Ballot {
    granted: BTreeSet<Text>,
}

impl RaftCore {
    /// Whether this node helps nobody else to power now: it leads, or it heard of a leader less than the shortest election timeout ago.
    pub(super) fn is_loyal(&self, now: Now) -> bool {
        matches!(self.role, Role::Leader(_)) || now.mono_ns < self.loyal_until_ns
    }

    /// Whether a log ends at or behind the end of this one: the later last term wins, then the longer log.
    fn is_up_to_date(&self, (index, term): Place) -> bool {
        let (own_index, own_term) = self.log.last();
        (term, index) >= (own_term, own_index) || self.has(Bug::R05)
    }

    /// Whether this node's vote in the present term is free for a candidate, or already the candidate's.
    fn may_vote_for(&self, candidate: &Text) -> bool {
        match &self.hard.vote {
            Some(vote) => vote == candidate || self.has(Bug::R07),
            None => self.leader.is_none(),
        }
    }

    /// Whether this node may ask for votes. A voter may, and also who is no voter any more by a configuration that it does not know to be
    /// committed: the others may need its log to commit that (Ongaro 2014, §4.2.2).
    fn may_stand(&self) -> bool {
        let (index, _) = self.configs.latest();
        let is_perhaps_a_voter = index > self.commit && self.configs.at(self.commit).is_voter(self.member());
        self.acquaintance.is_confirmed && (self.is_voter() || is_perhaps_a_voter)
    }

    /// Time is up: asks whether an election could be won, before disturbing anybody with a new term.
    pub(super) fn campaign_first(&mut self, step: &mut Step<'_>) {
        self.reset_election_timer(step.now);
        if !self.may_stand() {
            return;
        }
        self.leader = None;
        let granted = BTreeSet::from([self.member().clone()]);
        self.set_role(step, Role::PreCandidate(Ballot { granted }));
        let last = self.log.last();
        for voter in self.other_voters() {
            self.send_with_term(step, &voter, self.hard.term + 1, RaftBody::PreVote { last });
        }
        self.count_pre_votes(step);
    }

    /// Stands for election in the next term. The own vote is durable before it counts, and before anybody is asked.
    pub(super) fn campaign(&mut self, step: &mut Step<'_>, transfer: bool) {
        self.leader = None;
        self.reset_election_timer(step.now);
        let member = self.member().clone();
        self.set_hard(step, self.hard.term + 1, Some(member));
        self.set_role(step, Role::Candidate(Ballot::default()));
        self.defer_own_vote();
        let last = self.log.last();
        for voter in self.other_voters() {
            self.send_after_all(step, &voter, RaftBody::Vote { last, transfer });
        }
    }

    fn other_voters(&self) -> Vec<Text> {
        let (_, membership) = self.configs.latest();
        let everybody = membership.everybody().into_iter();
        everybody
            .filter(|member| membership.is_voter(member) && member != self.member())
            .collect()
    }

    pub(super) fn on_pre_vote(&mut self, step: &mut Step<'_>, from: &Text, term: u64, last: Place) {
        let granted = term > self.hard.term && self.is_up_to_date(last) && !self.is_loyal(step.now);
        let term = if granted { term } else { self.hard.term };
        self.send_with_term(step, from, term, RaftBody::PreVoteReply { granted });
    }

    pub(super) fn on_pre_vote_reply(&mut self, step: &mut Step<'_>, from: Text, term: u64, granted: bool) {
        if let Role::PreCandidate(ballot) = &mut self.role
            && granted
            && term == self.hard.term + 1
        {
            ballot.granted.insert(from);
            self.count_pre_votes(step);
        }
    }

    fn count_pre_votes(&mut self, step: &mut Step<'_>) {
        if let Role::PreCandidate(ballot) = &self.role
            && self.is_elected(ballot)
        {
            self.campaign(step, false);
        }
    }

    pub(super) fn on_vote(&mut self, step: &mut Step<'_>, from: &Text, last: Place, transfer: bool) {
        let is_free = transfer || !self.is_loyal(step.now);
        let granted = is_free && self.may_vote_for(from) && self.is_up_to_date(last);
        if granted {
            if self.hard.vote.as_ref() != Some(from) {
                self.set_hard(step, self.hard.term, Some(from.clone()));
            }
            self.reset_election_timer(step.now);
        }
        self.send_after_hard(step, from, RaftBody::VoteReply { granted });
    }

    pub(super) fn on_vote_reply(&mut self, step: &mut Step<'_>, from: Text, granted: bool) {
        let Role::Candidate(ballot) = &mut self.role else { return };
        if granted {
            ballot.granted.insert(from);
        }
        if let Role::Candidate(ballot) = &self.role
            && self.is_elected(ballot)
        {
            self.lead(step);
        }
    }

    fn is_elected(&self, ballot: &Ballot) -> bool {
        let granted = |voter: &Text| ballot.granted.contains(voter);
        let membership = self.quorums();
        membership.is_quorum(granted) || (self.has(Bug::R08) && membership.is_half(granted))
    }
}
