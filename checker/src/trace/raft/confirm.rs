//! T16: a leader answers a read only after a majority has said that it still leads.
//!
//! By read index (Ongaro 2014, §6.4): each of a majority said something in the leader's term after the read had come. By lease: it did so
//! at most one election timeout before the read came, and the leader has not offered its place to another one in this term, after which
//! an election may come at any moment.
//!
//! **Why no time is compared between nodes.** "After the read had come" means after a message of the leader that left later than the
//! read came, both by the leader's own clock. Who sends a message after such a one came to it had not moved to a higher term before the
//! read began; so no majority had, and whatever was answered then was answered by this leader or before it. Which message came before which
//! is known by their ids. Whatever is forgotten for want of room counts as said.
//!
//! A node that is no leader asks the leader for an index; what it answers then is T12's.

use std::collections::VecDeque;

use super::breach::{Breaches, Node, Rests, Rule, Sight};
use super::event::{Basis, Config, Message, Role, Term};
use super::letters::{LetterId, Sent, push};
use super::scene::{Scene, bit};

/// Messages of a node whose moments are remembered: those of about a second.
const SENT_MAX: usize = 1 << 14;

/// Changes of what a node knew of another that are remembered for messages under way.
const CHANGES_MAX: usize = 1 << 12;

/// Terms whose words are kept of a peer.
const TERMS_MAX: usize = 4;

const NS_PER_MS: u64 = 1_000_000;

/// Who has heard what of whom, as far as reads ask.
#[derive(Debug, Clone)]
pub(super) struct Confirmations {
    nodes: Vec<Sender>,
}

#[derive(Debug, Clone, Default)]
struct Sender {
    sent: Sent<SENT_MAX>,
    /// In which term, and where, it last offered its place to another.
    offered: Option<(Term, Sight)>,
    peers: Vec<Peer>,
}

/// What a node knows of another one, the peer.
#[derive(Debug, Clone, Default)]
struct Peer {
    /// The last message that came from the peer.
    heard: Option<LetterId>,
    /// From which message to the peer on `heard` was what it was; ascending in both.
    told: VecDeque<(LetterId, LetterId)>,
    /// Its last word in each of its last terms; ascending. A higher term takes no word back: what it said in an earlier one was true.
    said: VecDeque<Said>,
    /// The highest term whose words are forgotten.
    forgotten: Option<Term>,
}

/// The peer's last word in a term.
#[derive(Debug, Clone, Copy)]
struct Said {
    term: Term,
    /// The last message that had come to the peer before.
    after: Option<LetterId>,
    at: Sight,
}

/// A message, as it left and as it came.
#[derive(Debug, Clone, Copy)]
pub(super) struct Letter {
    pub(super) id: LetterId,
    pub(super) message: Message,
    pub(super) term: Term,
}

/// A read about to be answered.
#[derive(Debug, Clone, Copy)]
pub(super) struct Read {
    pub(super) basis: Basis,
    /// When it came, by the node's own clock.
    pub(super) begun_ns: u64,
    pub(super) term: Term,
}

impl Confirmations {
    /// Among so many nodes.
    pub(super) fn of(n_nodes: usize) -> Confirmations {
        let peers = vec![Peer::default(); n_nodes];
        let sender = Sender {
            peers,
            ..Sender::default()
        };
        Confirmations {
            nodes: vec![sender; n_nodes],
        }
    }

    /// A message leaves for a node, if it is one that is known.
    pub(super) fn sent(&mut self, sight: Sight, to: Option<Node>, letter: Letter) {
        let me = &mut self.nodes[usize::from(sight.node)];
        me.sent.add(letter.id, sight.mono_ns);
        if letter.message == Message::TimeoutNow {
            me.offered = Some((letter.term, sight));
        }
        let Some(peer) = to.and_then(|to| me.peers.get_mut(to)) else {
            return;
        };
        if let Some(heard) = peer.heard
            && peer.told.back().is_none_or(|(_, known)| *known < heard)
        {
            push(&mut peer.told, (letter.id, heard), CHANGES_MAX);
        }
    }

    /// A message comes from a node.
    pub(super) fn received(&mut self, sight: Sight, from: Node, letter: Letter) {
        let Letter { id, message, term } = letter;
        let to = usize::from(sight.node);
        let told = &mut self.nodes[from].peers[to].told;
        while told.get(1).is_some_and(|(since, _)| *since <= id) {
            told.pop_front();
        }
        let after = told.front().map(|(_, heard)| *heard);
        let peer = &mut self.nodes[to].peers[from];
        peer.heard = peer.heard.max(Some(id));
        // The first two bear the term that would begin, not the one that the sender is in. Nobody is told by any of them that it leads.
        if !matches!(message, Message::PreVote | Message::PreVoteReply | Message::Vote) {
            peer.says(Said { term, after, at: sight });
        }
    }

    /// A read is about to be answered.
    pub(super) fn read(&self, scene: Scene<'_>, read: Read, breaches: &mut Breaches) {
        let Some(start) = scene.me().start.as_ref().filter(|_| scene.me().role == Role::Leader) else {
            return;
        };
        // A read that began after it ended is a clock's word that nobody can use.
        if read.begun_ns > scene.sight.mono_ns {
            return;
        }
        let (since_ns, how) = match read.basis {
            Basis::ReadIndex => (read.begun_ns, "since it had come"),
            Basis::Lease => {
                self.lease(scene, read, breaches);
                let lease_ns = start.election_ms.saturating_mul(NS_PER_MS);
                (read.begun_ns.saturating_sub(lease_ns), "within an election timeout before it came")
            }
            Basis::Local | Basis::Other => return,
        };
        let me = &self.nodes[scene.node];
        let is_there = |node: Node| {
            let peer = &me.peers[node];
            let said = peer.said.iter().find(|said| said.term == read.term);
            let after = said.and_then(|said| said.after).filter(|(life, _)| *life == start.incarnation);
            node == scene.node || peer.forgotten >= Some(read.term) || after.is_some_and(|after| me.left_ns(after) >= since_ns)
        };
        // While a change is joint nobody is elected without a majority of the voters before it, whoever knows of the change and whoever does not: their
        // words cover a read alone. The new ones may not have heard of it yet.
        let config = &scene.me().config;
        let deciding = Config {
            voters: config.voters_old.as_ref().unwrap_or(&config.voters).clone(),
            voters_old: None,
        };
        let missing = scene.majority_missing(&deciding, |member, _| scene.homes.get(&member).is_none_or(|home| is_there(*home)));
        let Some(missing) = missing else { return };
        let rests = Rests {
            absent: missing.absent,
            timed: bit(scene.node),
        };
        breaches.add_resting(Rule::ConfirmedReads, rests, || {
            let (name, term, at) = (scene.name(), read.term, scene.sight);
            let message = format!(
                "{name} answered a read as the leader of term {term}, although of {} voters only {} had said {how} that it leads",
                missing.n_voters, missing.n_there
            );
            let last = (0..self.nodes.len())
                .filter(|node| *node != scene.node && !is_there(*node))
                .filter_map(|node| {
                    let said = me.peers[node].said.iter().rfind(|said| said.term <= read.term)?;
                    let text = format!("the last word of {} before, in term {}", scene.nodes[node].name, said.term);
                    Some(said.at.says(text))
                });
            let came_us = at.mono_ns.saturating_sub(read.begun_ns) / 1_000;
            let answer = at.says(format!("answers a read in term {term} that came {came_us} us before"));
            (message, last.chain([answer]).collect())
        });
    }

    fn lease(&self, scene: Scene<'_>, read: Read, breaches: &mut Breaches) {
        let offered = self.nodes[scene.node].offered.filter(|(term, _)| *term == read.term);
        let Some((term, offered)) = offered else { return };
        breaches.add(Rule::ConfirmedReads, || {
            let name = scene.name();
            let message = format!("{name} answered a read by its lease in term {term}, after it had offered its place to another");
            let facts = vec![
                offered.says(format!("offers its place in term {term}")),
                scene.sight.says(format!("answers a read by lease in term {term}")),
            ];
            (message, facts)
        });
    }
}

impl Peer {
    fn says(&mut self, word: Said) {
        let place = self.said.partition_point(|said| said.term < word.term);
        match self.said.get_mut(place) {
            Some(said) if said.term == word.term => {
                if said.after <= word.after {
                    *said = word;
                }
            }
            _ => self.said.insert(place, word),
        }
        if self.said.len() > TERMS_MAX {
            self.forgotten = self.forgotten.max(self.said.pop_front().map(|said| said.term));
        }
    }
}

impl Sender {
    /// When this message left, or a moment after that if it is forgotten.
    fn left_ns(&self, id: LetterId) -> u64 {
        self.sent.first_from(id).map_or(u64::MAX, |(_, left_ns)| left_ns)
    }
}
