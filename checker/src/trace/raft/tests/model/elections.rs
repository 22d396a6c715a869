//! Terms, votes and who leads.

use super::*;

impl World {
    pub(super) fn hard(&mut self, place: usize) {
        let node = &mut self.nodes[place];
        let (term, vote) = (node.term, node.vote);
        let durable_vote = match self.bug {
            Bug::VoteNotDurable => None,
            _ => vote,
        };
        if self.bug != Bug::TermNotDurable {
            node.kept = (term, durable_vote);
        }
        self.write(place).hard(term, vote.map(|vote| NODES[vote]));
    }

    pub(super) fn take_term(&mut self, place: usize, term: u64) {
        let node = &mut self.nodes[place];
        (node.term, node.vote) = (term, None);
        self.hard(place);
        self.step_down(place);
    }

    pub(super) fn step_down(&mut self, place: usize) {
        let node = &mut self.nodes[place];
        let asks = if self.bug == Bug::AnswerByIndex {
            BTreeMap::new()
        } else {
            std::mem::take(&mut node.asks)
        };
        node.reads.clear();
        let role = std::mem::replace(&mut node.role, Role::Follower);
        let (term, last) = (node.term, node.last());
        if role != Role::Follower {
            self.write(place).role("follower", term, last);
        }
        let outcome = if self.bug == Bug::FailedOnStepDown { "failed" } else { "unknown" };
        for (index, item) in asks {
            self.write(place).ack(index, &item, asked(&item.command), outcome, "put");
        }
    }

    pub(super) fn campaign(&mut self, place: usize) {
        let config = self.nodes[place].acting();
        let is_voter = config.voters.contains(&place) || config.old.as_ref().is_some_and(|old| old.contains(&place));
        if !self.nodes[place].is_up || self.nodes[place].role == Role::Leader || !is_voter {
            return;
        }
        let node = &mut self.nodes[place];
        node.term += 1;
        node.vote = Some(place);
        node.role = Role::Candidate;
        node.votes = BTreeSet::from([place]);
        let (term, last) = (node.term, node.last());
        self.hard(place);
        self.write(place).role("candidate", term, last);
        for peer in 0..self.nodes.len() {
            if peer != place {
                self.send(place, peer, Body::Vote { last });
            }
        }
        self.count_votes(place);
    }

    pub(super) fn on_vote(&mut self, place: usize, from: usize, term: u64, last: (u64, u64)) {
        let node = &mut self.nodes[place];
        let own = node.last();
        let is_up_to_date = (last.1, last.0) >= (own.1, own.0) || self.bug == Bug::StaleLogElected;
        let is_free = node.vote.is_none_or(|vote| vote == from) || self.bug == Bug::TwoVotes;
        let ok = term == node.term && is_free && is_up_to_date && node.role != Role::Leader;
        if ok && node.vote != Some(from) {
            node.vote = Some(from);
            self.hard(place);
        }
        self.send(place, from, Body::VoteReply { ok });
    }

    pub(super) fn on_vote_reply(&mut self, place: usize, from: usize, term: u64, ok: bool) {
        let node = &mut self.nodes[place];
        if ok && node.role == Role::Candidate && node.term == term {
            node.votes.insert(from);
            self.count_votes(place);
        }
    }

    pub(super) fn count_votes(&mut self, place: usize) {
        let config = self.nodes[place].acting();
        let votes = &self.nodes[place].votes;
        let is_minority_enough = self.bug == Bug::ElectionByMinority && votes.len() >= 2;
        if !is_minority_enough && !self.is_majority(&config, |node| votes.contains(&node)) {
            return;
        }
        let node = &mut self.nodes[place];
        node.role = Role::Leader;
        let (term, last) = (node.term, node.last());
        node.next.fill(last.0 + 1);
        node.matched.fill(0);
        if self.bug != Bug::AnswerByIndex {
            node.asks.clear();
        }
        self.write(place).role("leader", term, last);
        self.push(place, "noop".into());
        self.fsync(place);
        self.count_commits(place);
    }
}
