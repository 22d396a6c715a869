//! What must hold in every cluster at every moment, whatever the chance: the properties of Figure 3 of the Raft paper, durability before
//! acknowledgement, and that a retry takes effect once.

use std::collections::BTreeMap;

use squall_node::members::NodeIndex;
use squall_node::trace::RaftEvent;

/// (index, term) and digest of an entry.
type Content = (u64, u64);

#[derive(Default)]
pub(crate) struct Watch {
    leaders: BTreeMap<u64, NodeIndex>,
    votes: BTreeMap<(NodeIndex, u64), String>,
    terms: BTreeMap<NodeIndex, u64>,
    /// Index: (term, digest), state hash.
    applied: BTreeMap<u64, (Content, u64)>,
    /// Entries that are committed, by those who counted.
    committed: BTreeMap<u64, Content>,
    /// The smallest quorum that any configuration of the run has.
    least_quorum: usize,
    logs: BTreeMap<NodeIndex, BTreeMap<u64, Content>>,
    durable: BTreeMap<NodeIndex, u64>,
    commits: BTreeMap<NodeIndex, u64>,
    /// (session, sequence): where it took effect.
    effects: BTreeMap<(u64, u64), u64>,
    pub(crate) counts: BTreeMap<&'static str, u64>,
}

impl Watch {
    pub(crate) fn new(least_quorum: usize) -> Watch {
        Watch {
            least_quorum,
            ..Watch::default()
        }
    }

    pub(crate) fn see(&mut self, at: NodeIndex, event: &RaftEvent) {
        match event {
            RaftEvent::RaftStart {
                base, applied, state_hash, ..
            } => {
                self.logs.insert(at, BTreeMap::new());
                self.commits.insert(at, *applied);
                self.durable.insert(at, base.0);
                if *applied > 0 {
                    self.same_state(at, *applied, state_hash.0);
                }
            }
            RaftEvent::Hard { term, vote } => self.see_hard(at, *term, vote.as_deref()),
            RaftEvent::Role { role: "leader", term, .. } => {
                let leader = *self.leaders.entry(*term).or_insert(at);
                assert_eq!(leader, at, "two leaders in term {term}");
                // A new leader has everything that was committed in lower terms, as far as its log still goes back.
                let log = &self.logs[&at];
                for (index, content) in self.committed.iter().filter(|(_, (committed, _))| committed < term) {
                    let first_held = log.keys().next().copied().unwrap_or(u64::MAX);
                    let is_compacted = *index < first_held && *index <= self.commits.get(&at).copied().unwrap_or(0);
                    assert!(
                        is_compacted || log.get(index) == Some(content),
                        "the leader of term {term} lacks entry {index}"
                    );
                }
                self.count("elections");
            }
            RaftEvent::Append { index, term, digest, .. } => {
                self.logs.entry(at).or_default().insert(*index, (*term, digest.0));
            }
            RaftEvent::Truncate { from, .. } => {
                assert!(
                    *from > self.commits.get(&at).copied().unwrap_or(0),
                    "{at:?} cuts off what is committed"
                );
                self.logs.entry(at).or_default().split_off(from);
                let durable = self.durable.entry(at).or_default();
                *durable = (*durable).min(*from - 1);
                self.count("truncations");
            }
            RaftEvent::Fsync { upto, .. } => {
                self.durable.insert(at, *upto);
            }
            RaftEvent::Commit { to, by, term, term_at } => {
                if *by == "count" {
                    let content = self.logs[&at][to];
                    self.committed.entry(*to).or_insert(content);
                    let holds = |node: &&NodeIndex| {
                        self.durable.get(*node).is_some_and(|durable| durable >= to) && self.logs[*node].get(to) == Some(&content)
                    };
                    let holders = self.logs.keys().filter(holds).count();
                    assert!(holders >= self.least_quorum, "{at:?} commits {to}, which only {holders} disks hold");
                }
                let before = self.commits.insert(at, *to).unwrap_or(0);
                assert!(before < *to, "{at:?} commits {to} after {before}");
                assert!(
                    *by != "count" || term == term_at,
                    "{at:?} counts an entry of term {term_at} in term {term}"
                );
            }
            RaftEvent::Apply {
                index,
                term_at,
                digest,
                state_hash,
                origin,
                effect,
            } => {
                self.same_entry(at, *index, (*term_at, digest.0), state_hash.0);
                if let (Some(true), Some(session), Some(sequence)) = (effect, origin.session, origin.sequence) {
                    let first = *self.effects.entry((session, sequence)).or_insert(*index);
                    assert_eq!(first, *index, "command {sequence} of session {session} takes effect twice");
                }
                if *effect == Some(false) {
                    self.count("retries without effect");
                }
            }
            RaftEvent::SnapInstall { index, state_hash, .. } => {
                self.same_state(at, *index, state_hash.0);
                let log = self.logs.entry(at).or_default();
                let suffix = log.split_off(&(*index + 1));
                let is_the_same = self.committed.get(index).is_none_or(|content| log.get(index) == Some(content));
                *log = if is_the_same && log.contains_key(index) {
                    suffix
                } else {
                    BTreeMap::new()
                };
                self.count("installs");
            }
            RaftEvent::SnapTake { .. } => self.count("snapshots"),
            RaftEvent::Config { stage: "committed", .. } => self.count("configs"),
            _ => {}
        }
    }

    fn see_hard(&mut self, at: NodeIndex, term: u64, vote: Option<&str>) {
        let before = self.terms.insert(at, term).unwrap_or(0);
        assert!(before <= term, "{at:?} goes back from term {before} to {term}");
        if let Some(vote) = vote {
            let first = self.votes.entry((at, term)).or_insert_with(|| vote.to_owned());
            assert_eq!(first, vote, "{at:?} votes twice in term {term}");
        }
    }

    fn same_entry(&mut self, at: NodeIndex, index: u64, content: Content, state: u64) {
        let first = *self.applied.entry(index).or_insert((content, state));
        assert_eq!(
            first,
            (content, state),
            "{at:?} applies another entry, or to another state, at {index}"
        );
    }

    fn same_state(&self, at: NodeIndex, index: u64, state: u64) {
        if let Some((_, first)) = self.applied.get(&index) {
            assert_eq!(*first, state, "{at:?} has another state at {index}");
        }
    }

    fn count(&mut self, what: &'static str) {
        *self.counts.entry(what).or_default() += 1;
    }
}
