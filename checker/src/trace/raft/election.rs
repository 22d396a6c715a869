//! T1, T2: who voted for whom, and who led.

use std::collections::BTreeMap;

use super::breach::{Breaches, Rule, Sight};
use super::event::{Message, Start, Term};
use super::names::NameId;
use super::scene::Scene;

/// Most votes kept: those of the lowest terms go first. A cluster of five would need 13,000 elections to fill it.
const VOTES_MAX: usize = 1 << 16;

/// Votes and leaders by term.
#[derive(Debug, Clone, Default)]
pub(super) struct Election {
    votes: BTreeMap<(Term, NameId), (NameId, Sight)>,
    leaders: BTreeMap<Term, (NameId, Sight)>,
}

impl Election {
    /// A term and vote are durable on this node.
    pub(super) fn hard(&mut self, scene: Scene<'_>, term: Term, vote: Option<NameId>, breaches: &mut Breaches) {
        let me = scene.me();
        let Some(member) = me.member() else { return };
        let (term_before, vote_before) = me.hard;
        if term == term_before
            && vote.is_none()
            && let Some(before) = vote_before
        {
            self.forgotten(scene, term, before, breaches);
        }
        self.voted(scene, term, member, vote, breaches);
    }

    /// What a node found on its disk must not be behind what it called durable.
    pub(super) fn start(&mut self, scene: Scene<'_>, start: &Start, breaches: &mut Breaches) {
        let me = scene.me();
        if me.member() == Some(start.member)
            && me.hard.0 == start.term
            && start.vote.is_none()
            && let Some(before) = me.hard.1
        {
            self.forgotten(scene, start.term, before, breaches);
        }
        self.voted(scene, start.term, start.member, start.vote, breaches);
    }

    fn forgotten(&self, scene: Scene<'_>, term: Term, before: NameId, breaches: &mut Breaches) {
        breaches.add(Rule::OneVote, || {
            let message = format!("{} forgot its vote for {} in term {term}", scene.name(), scene.text(before));
            let voted = scene
                .me()
                .hard_at
                .map(|sight| sight.says(format!("vote for {} in term {term} is durable", scene.text(before))));
            let now = scene.sight.says(format!("term {term} without a vote"));
            (message, voted.into_iter().chain([now]).collect())
        });
    }

    fn voted(&mut self, scene: Scene<'_>, term: Term, member: NameId, vote: Option<NameId>, breaches: &mut Breaches) {
        let Some(vote) = vote else { return };
        let (before, at) = *self.votes.entry((term, member)).or_insert((vote, scene.sight));
        if before != vote {
            breaches.add(Rule::OneVote, || {
                let (first, second) = (scene.text(before), scene.text(vote));
                let message = format!("{} voted twice in term {term}: for {first} and for {second}", scene.text(member));
                let vote = |name: &str| format!("vote for {name} in term {term} is durable");
                (message, vec![at.says(vote(first)), scene.sight.says(vote(second))])
            });
        }
        if self.votes.len() > VOTES_MAX {
            self.votes.pop_first();
        }
    }

    /// A vote that is granted must be durable before it is.
    pub(super) fn send(&self, scene: Scene<'_>, to: NameId, message: Message, term: Term, ok: Option<bool>, breaches: &mut Breaches) {
        let Some(member) = scene.me().member() else { return };
        if (message, ok) != (Message::VoteReply, Some(true)) {
            return;
        }
        let vote = self.votes.get(&(term, member));
        if vote.is_some_and(|(vote, _)| scene.is_same(*vote, to)) {
            return;
        }
        breaches.add(Rule::OneVote, || {
            let candidate = scene.text(to);
            let message = format!("{} grants {candidate} its vote in term {term}, which is not durable", scene.name());
            let other = vote.map(|(vote, at)| at.says(format!("vote for {} in term {term} is durable", scene.text(*vote))));
            let grant = scene.sight.says(format!("vote reply (yes) to {candidate}, term {term}"));
            (message, other.into_iter().chain([grant]).collect())
        });
    }

    /// A node leads a term.
    pub(super) fn leader(&mut self, scene: Scene<'_>, term: Term, breaches: &mut Breaches) {
        let Some(member) = scene.me().member() else { return };
        let (first, at) = *self.leaders.entry(term).or_insert((member, scene.sight));
        let says = |sight: Sight, leader: NameId| sight.says(format!("{} is leader in term {term}", scene.text(leader)));
        if first != member {
            breaches.add(Rule::ElectionSafety, || {
                let message = format!("term {term} has two leaders, {} and {}", scene.text(first), scene.text(member));
                (message, vec![says(at, first), says(scene.sight, member)])
            });
        }
        self.elected(scene, term, member, breaches);
        if self.leaders.len() > VOTES_MAX {
            self.leaders.pop_first();
        }
    }

    fn elected(&self, scene: Scene<'_>, term: Term, member: NameId, breaches: &mut Breaches) {
        let vote_of = |voter: NameId| self.votes.get(&(term, voter));
        let config = &scene.me().config;
        let has_voted = |voter: NameId| vote_of(voter).is_some_and(|(vote, _)| *vote == member);
        let Some(missing) = scene.majority_missing(config, |voter, _| has_voted(voter)) else {
            return;
        };
        breaches.add_absent(Rule::ElectionSafety, missing.absent, || {
            let (n_there, n_voters) = (missing.n_there, missing.n_voters);
            let leader = scene.text(member);
            let message = format!("{leader} became leader in term {term} with {n_there} durable votes of {n_voters} voters");
            let votes = config.sets().flatten().filter_map(|voter| {
                let (vote, at) = vote_of(*voter)?;
                Some(at.says(format!("{} votes for {} in term {term}", scene.text(*voter), scene.text(*vote))))
            });
            let mut facts: Vec<_> = votes.collect();
            facts.dedup();
            facts.push(scene.sight.says(format!("{leader} is leader in term {term}")));
            (message, facts)
        });
    }
}
