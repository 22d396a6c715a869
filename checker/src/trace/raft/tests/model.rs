//! A small Raft: whole clusters in one thread with crashes, partitions, lost and late messages, snapshots, retried commands and joint
//! changes of the members, whose nodes write traces. Correct, or with one planted bug.
//!
//! It shares no line with the node of this repository, so that a mistake in one is no mistake in the other.

mod elections;
mod replication;
mod state;

use std::collections::{BTreeMap, BTreeSet};

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::notation::NODES;
use super::writer::{Begin, Item, Writer, next_state};

/// What is wrong with the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Bug {
    None,
    VoteNotDurable,
    TwoVotes,
    TermNotDurable,
    ElectionByMinority,
    CommitByMinority,
    ReplyBeforeFsync,
    FsyncedIsLost,
    OldTermCommitted,
    StaleLogElected,
    PrevNotCompared,
    AlwaysTruncates,
    CommitWithoutMin,
    ReadUnconfirmed,
    ReadBeforeNoop,
    RetryTakesEffect,
    SnapshotTooFar,
    SnapshotKeepsSuffix,
    SnapshotKeepsState,
    FailedOnStepDown,
    AnswerByIndex,
    RefusalCountsAsMatch,
    AnswerOnAppend,
    JointIgnored,
    TwoChanges,
    OldConfigAfterTruncation,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Follower,
    Candidate,
    Leader,
}

/// New voters, and the old ones while the change is joint.
#[derive(Debug, Clone, PartialEq)]
struct Config {
    voters: Vec<usize>,
    old: Option<Vec<usize>>,
}

#[derive(Debug, Clone)]
struct Snapshot {
    at: (u64, u64),
    state: u64,
    done: BTreeSet<(String, u64)>,
    config: (u64, Config),
}

#[derive(Debug, Clone)]
enum Body {
    Vote {
        last: (u64, u64),
    },
    VoteReply {
        ok: bool,
    },
    Append {
        prev: (u64, u64),
        items: Vec<Item>,
        commit: u64,
        round: u64,
    },
    AppendReply {
        ok: bool,
        matched: u64,
        round: u64,
    },
    Snapshot(Box<Snapshot>),
}

#[derive(Debug, Clone)]
struct Message {
    from: usize,
    to: usize,
    id: String,
    stamp: u64,
    term: u64,
    body: Body,
}

struct PendingRead {
    index: u64,
    begun_ns: u64,
    round: u64,
    heard: BTreeSet<usize>,
}

struct Node {
    writer: Writer,
    is_up: bool,
    term: u64,
    vote: Option<usize>,
    /// What a disk that lies kept of the two.
    kept: (u64, Option<usize>),
    base: (u64, u64),
    log: Vec<Item>,
    synced: u64,
    snapshot: Snapshot,
    commit: u64,
    applied: u64,
    state: u64,
    done: BTreeSet<(String, u64)>,
    /// The configuration that a buggy node goes on with.
    stuck: Option<Config>,
    role: Role,
    votes: BTreeSet<usize>,
    matched: Vec<u64>,
    next: Vec<u64>,
    asks: BTreeMap<u64, Item>,
    reads: Vec<PendingRead>,
    round: u64,
}

pub(super) struct World {
    chance: ChaCha8Rng,
    bug: Bug,
    now_ns: u64,
    nodes: Vec<Node>,
    messages: Vec<Message>,
    /// Which side of a partition each node is on.
    sides: Vec<u8>,
    sequence: u64,
    commands: Vec<String>,
    pub(super) n_commits: u64,
}

fn asked(command: &str) -> Option<(&str, u64)> {
    let (client, rest) = command
        .split_once(':')
        .filter(|(client, _)| client.starts_with('c') && *client != "config")?;
    Some((client, rest.parse().ok()?))
}

fn spelled(config: &Config) -> String {
    let set = |set: &[usize]| set.iter().map(|node| NODES[*node]).collect::<Vec<_>>().join(",");
    let old = config.old.as_deref().map(|old| format!("+{}", set(old))).unwrap_or_default();
    format!("config:{}{old}", set(&config.voters))
}

fn read_config(command: &str) -> Option<Config> {
    let text = command.strip_prefix("config:")?;
    let set = |set: &str| {
        set.split(',')
            .filter_map(|name| NODES.iter().position(|node| *node == name))
            .collect()
    };
    let (new, old) = text.split_once('+').map_or((text, None), |(new, old)| (new, Some(old)));
    let old = old.map(set);
    Some(Config { voters: set(new), old })
}

fn names(set: &[usize]) -> Vec<String> {
    set.iter().map(|node| NODES[*node].to_owned()).collect()
}

impl Node {
    fn last(&self) -> (u64, u64) {
        (
            self.base.0 + self.log.len() as u64,
            self.log.last().map_or(self.base.1, |item| item.term),
        )
    }

    fn item(&self, index: u64) -> Option<&Item> {
        self.log.get(usize::try_from(index.checked_sub(self.base.0 + 1)?).ok()?)
    }

    fn term_at(&self, index: u64) -> Option<u64> {
        if index == self.base.0 {
            Some(self.base.1)
        } else {
            self.item(index).map(|item| item.term)
        }
    }

    /// The last configuration of the log, with its index.
    fn config(&self) -> (u64, Config) {
        let entries = (self.base.0 + 1..).zip(&self.log);
        let last = entries
            .filter_map(|(index, item)| Some((index, read_config(&item.command)?)))
            .last();
        last.unwrap_or_else(|| self.snapshot.config.clone())
    }

    fn acting(&self) -> Config {
        self.stuck.clone().unwrap_or_else(|| self.config().1)
    }
}

impl World {
    pub(super) fn new(seed: u64, bug: Bug) -> World {
        let mut chance = ChaCha8Rng::seed_from_u64(seed);
        let voters: Vec<usize> = (0..if chance.random_bool(0.5) { 3 } else { 5 }).collect();
        let n_nodes = 5;
        let node = |place: usize| Node {
            writer: Writer::new(NODES[place]),
            is_up: true,
            term: 0,
            vote: None,
            kept: (0, None),
            base: (0, 0),
            log: Vec::new(),
            synced: 0,
            snapshot: Snapshot {
                at: (0, 0),
                state: 0,
                done: BTreeSet::new(),
                config: (
                    0,
                    Config {
                        voters: voters.clone(),
                        old: None,
                    },
                ),
            },
            commit: 0,
            applied: 0,
            state: 0,
            done: BTreeSet::new(),
            stuck: None,
            role: Role::Follower,
            votes: BTreeSet::new(),
            matched: vec![0; n_nodes],
            next: vec![1; n_nodes],
            asks: BTreeMap::new(),
            reads: Vec::new(),
            round: 0,
        };
        let nodes = (0..n_nodes).map(node).collect();
        let mut world = World {
            chance,
            bug,
            now_ns: 1_000_000,
            nodes,
            messages: Vec::new(),
            sides: vec![0; n_nodes],
            sequence: 0,
            commands: Vec::new(),
            n_commits: 0,
        };
        for place in 0..n_nodes {
            world.begin(place);
        }
        world
    }

    /// Runs so many steps, and returns each node's trace.
    pub(super) fn run(mut self, n_steps: usize) -> (BTreeMap<&'static str, String>, u64) {
        for _ in 0..n_steps {
            self.now_ns += self.chance.random_range(1_000..200_000);
            self.step();
        }
        let texts = NODES.into_iter().zip(self.nodes.into_iter().map(|node| node.writer.text));
        (texts.collect(), self.n_commits)
    }

    fn step(&mut self) {
        let anyone = self.chance.random_range(0..self.nodes.len());
        // Nodes that believe they lead are few, and most happens on them.
        let leaders: Vec<usize> = (0..self.nodes.len())
            .filter(|place| self.nodes[*place].role == Role::Leader)
            .collect();
        let leader = if leaders.is_empty() {
            anyone
        } else {
            leaders[self.chance.random_range(0..leaders.len())]
        };
        if self.bug == Bug::SnapshotKeepsSuffix {
            // Its harm needs a snapshot that is shorter than a stale tail.
            self.take_snapshot(leader);
        }
        match self.chance.random_range(0..1_000) {
            0..680 => (0..3).for_each(|_| self.deliver()),
            680..760 => self.replicate(leader),
            760..860 => self.request(leader),
            860..900 => self.read(leader),
            900..920 => self.fsync_leader(leader),
            920..935 => self.campaign(anyone),
            935..950 => self.take_snapshot(anyone),
            950..956 => self.change_members(leader),
            956..964 => self.crash(anyone),
            964..984 => self.restart(anyone),
            984..990 => self.sides = (0..self.nodes.len()).map(|_| self.chance.random_range(0..2)).collect(),
            // Most of the budget belongs to the isolated leader (evidence-fuzzing §2.1).
            990..995 => {
                self.sides.fill(0);
                self.sides[leader] = 1;
            }
            _ => self.sides.fill(0),
        }
    }

    /// The writer of a node at this moment; each line has a stamp of its own.
    fn write(&mut self, place: usize) -> &mut Writer {
        let writer = &mut self.nodes[place].writer;
        writer.stamp += 1;
        writer.mono_ns = self.now_ns;
        writer
    }

    fn begin(&mut self, place: usize) {
        let node = &self.nodes[place];
        let (_, config) = node.config();
        let (log, vote) = (node.log.clone(), node.vote.map(|vote| NODES[vote]));
        let (term, base, commit, applied, state) = (node.term, node.base, node.commit, node.applied, node.state);
        let (voters, voters_old) = (names(&config.voters), config.old.as_deref().map(names));
        self.write(place).begin(&Begin {
            term,
            vote,
            base,
            log: &log,
            commit,
            applied,
            state,
            voters: &voters,
            voters_old: voters_old.as_deref(),
            reads: "read-index",
        });
    }

    fn is_majority(&self, config: &Config, there: impl Fn(usize) -> bool) -> bool {
        let of = |set: &[usize], by: usize| set.iter().filter(|node| there(**node)).count() >= by;
        let enough = |set: &[usize]| of(set, set.len() / 2 + 1);
        let old = if self.bug == Bug::JointIgnored {
            None
        } else {
            config.old.as_deref()
        };
        enough(&config.voters) && old.is_none_or(enough)
    }

    fn send(&mut self, from: usize, to: usize, body: Body) {
        let term = self.nodes[from].term;
        let (kind, ok) = match &body {
            Body::Vote { .. } => ("vote", None),
            Body::VoteReply { ok } => ("vote_reply", Some(*ok)),
            Body::Append { .. } => ("append", None),
            Body::AppendReply { ok, .. } => ("append_reply", Some(*ok)),
            Body::Snapshot(_) => ("snapshot", None),
        };
        let writer = self.write(from);
        let id = writer.send(NODES[to], kind, term, ok);
        let stamp = writer.stamp;
        self.messages.push(Message {
            from,
            to,
            id,
            stamp,
            term,
            body,
        });
    }

    fn deliver(&mut self) {
        if self.messages.is_empty() {
            return;
        }
        // Mostly the oldest, sometimes any: links are ordered, but nodes are paused.
        let late = self.chance.random_bool(0.2);
        let place = if late {
            self.chance.random_range(0..self.messages.len())
        } else {
            0
        };
        let message = self.messages.remove(place);
        let (from, to) = (message.from, message.to);
        if self.sides[from] != self.sides[to] || !self.nodes[to].is_up || self.chance.random_bool(0.03) {
            return;
        }
        let writer = &mut self.nodes[to].writer;
        writer.stamp = writer.stamp.max(message.stamp);
        let kind = match message.body {
            Body::Vote { .. } => "vote",
            Body::VoteReply { .. } => "vote_reply",
            Body::Append { .. } => "append",
            Body::AppendReply { .. } => "append_reply",
            Body::Snapshot(_) => "snapshot",
        };
        self.write(to).receive(NODES[from], &message.id, kind, message.term);
        if message.term > self.nodes[to].term {
            self.take_term(to, message.term);
        }
        match message.body {
            Body::Vote { last } => self.on_vote(to, from, message.term, last),
            Body::VoteReply { ok } => self.on_vote_reply(to, from, message.term, ok),
            Body::Append {
                prev,
                items,
                commit,
                round,
            } => self.on_append(to, (from, message.term), prev, &items, (commit, round)),
            Body::AppendReply { ok, matched, round } => self.on_append_reply(to, (from, message.term), ok, matched, round),
            Body::Snapshot(snapshot) => self.on_snapshot(to, (from, message.term), *snapshot),
        }
    }

    fn crash(&mut self, place: usize) {
        self.nodes[place].is_up = false;
    }

    fn restart(&mut self, place: usize) {
        let node = &mut self.nodes[place];
        if node.is_up {
            return;
        }
        node.is_up = true;
        if matches!(self.bug, Bug::VoteNotDurable | Bug::TermNotDurable) {
            (node.term, node.vote) = node.kept;
        }
        let lost = u64::from(self.bug == Bug::FsyncedIsLost);
        // Of what was not synced the disk may have kept some all the same.
        let kept = self
            .chance
            .random_range(node.synced.saturating_sub(lost).max(node.base.0)..=node.last().0.max(node.base.0));
        node.log.truncate(usize::try_from(kept - node.base.0).expect("small numbers"));
        node.synced = kept;
        (node.commit, node.applied) = (node.base.0, node.base.0);
        (node.state, node.done) = (node.snapshot.state, node.snapshot.done.clone());
        (node.role, node.stuck) = (Role::Follower, None);
        node.asks.clear();
        node.reads.clear();
        self.begin(place);
        let (term, last) = (self.nodes[place].term, self.nodes[place].last());
        self.write(place).role("follower", term, last);
    }
}
