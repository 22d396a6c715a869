//! A small Raft: whole clusters in one thread with crashes, partitions, lost and late messages, snapshots, retried commands and joint
//! changes of the members, whose nodes write traces. Correct, or with one planted bug.
//!
//! It shares no line with the node of this repository, so that a mistake in one is no mistake in the other.

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

    fn hard(&mut self, place: usize) {
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

    fn take_term(&mut self, place: usize, term: u64) {
        let node = &mut self.nodes[place];
        (node.term, node.vote) = (term, None);
        self.hard(place);
        self.step_down(place);
    }

    fn step_down(&mut self, place: usize) {
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

    fn campaign(&mut self, place: usize) {
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

    fn on_vote(&mut self, place: usize, from: usize, term: u64, last: (u64, u64)) {
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

    fn on_vote_reply(&mut self, place: usize, from: usize, term: u64, ok: bool) {
        let node = &mut self.nodes[place];
        if ok && node.role == Role::Candidate && node.term == term {
            node.votes.insert(from);
            self.count_votes(place);
        }
    }

    fn count_votes(&mut self, place: usize) {
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

    /// The leader appends an entry of its own.
    fn push(&mut self, place: usize, command: String) -> u64 {
        let node = &mut self.nodes[place];
        let item = Item { term: node.term, command };
        node.log.push(item.clone());
        let index = node.last().0;
        self.appended(place, index, &item);
        index
    }

    fn appended(&mut self, place: usize, index: u64, item: &Item) {
        self.write(place).append(index, item, false);
        if let Some(config) = read_config(&item.command) {
            self.nodes[place].stuck = None;
            self.write_config(place, index, &config, "appended");
        }
    }

    fn write_config(&mut self, place: usize, index: u64, config: &Config, stage: &str) {
        let (voters, old) = (names(&config.voters), config.old.as_deref().map(names));
        self.write(place).config(index, &voters, old.as_deref(), stage);
    }

    fn fsync(&mut self, place: usize) {
        let node = &mut self.nodes[place];
        let (last, term) = node.last();
        if node.synced < last {
            node.synced = last;
            self.write(place).fsync(last, term, false);
        }
    }

    fn fsync_leader(&mut self, place: usize) {
        if self.nodes[place].is_up && self.nodes[place].role == Role::Leader {
            self.fsync(place);
            self.count_commits(place);
        }
    }

    fn request(&mut self, place: usize) {
        if !self.nodes[place].is_up || self.nodes[place].role != Role::Leader {
            return;
        }
        let is_retry = !self.commands.is_empty() && self.chance.random_bool(0.25);
        let command = if is_retry {
            let recent = self.commands.len().saturating_sub(8)..self.commands.len();
            self.commands[self.chance.random_range(recent)].clone()
        } else {
            self.sequence += 1;
            let command = format!("c{}:{}", self.sequence % 3, self.sequence);
            self.commands.push(command.clone());
            command
        };
        let index = self.push(place, command);
        let item = self.nodes[place].item(index).expect("it was pushed").clone();
        if self.bug == Bug::AnswerOnAppend {
            self.write(place).ack(index, &item, asked(&item.command), "ok", "put");
        } else {
            self.nodes[place].asks.insert(index, item);
        }
    }

    fn replicate(&mut self, place: usize) {
        if !self.nodes[place].is_up || self.nodes[place].role != Role::Leader {
            return;
        }
        for peer in 0..self.nodes.len() {
            if peer != place {
                self.send_entries(place, peer);
            }
        }
    }

    fn send_entries(&mut self, place: usize, peer: usize) {
        let node = &self.nodes[place];
        let next = node.next[peer].min(node.last().0 + 1);
        if next <= node.base.0 {
            let snapshot = node.snapshot.clone();
            return self.send(place, peer, Body::Snapshot(Box::new(snapshot)));
        }
        let prev = (next - 1, node.term_at(next - 1).expect("it is not below the base"));
        let items = node.log[usize::try_from(next - 1 - node.base.0).expect("small numbers")..]
            .iter()
            .take(4)
            .cloned()
            .collect();
        let (commit, round) = (node.commit, node.round);
        self.send(
            place,
            peer,
            Body::Append {
                prev,
                items,
                commit,
                round,
            },
        );
    }

    fn follow(&mut self, place: usize) {
        let node = &mut self.nodes[place];
        if node.role == Role::Candidate {
            node.role = Role::Follower;
            let (term, last) = (node.term, node.last());
            self.write(place).role("follower", term, last);
        }
    }

    fn on_append(&mut self, place: usize, (from, term): (usize, u64), prev: (u64, u64), items: &[Item], (commit, round): (u64, u64)) {
        if term < self.nodes[place].term {
            return self.send(
                place,
                from,
                Body::AppendReply {
                    ok: false,
                    matched: 0,
                    round: 0,
                },
            );
        }
        self.follow(place);
        let node = &self.nodes[place];
        let matches = prev.0 < node.base.0 || node.term_at(prev.0) == Some(prev.1);
        let is_there = prev.0 <= node.last().0;
        let is_let_pass = self.bug == Bug::PrevNotCompared && is_there;
        if !matches && !is_let_pass {
            let matched = match self.bug {
                Bug::RefusalCountsAsMatch => prev.0 + items.len() as u64,
                _ => node.last().0.min(prev.0.saturating_sub(1)),
            };
            if self.bug == Bug::CommitWithoutMin {
                self.learn(place, commit.min(self.nodes[place].last().0));
            }
            return self.send(place, from, Body::AppendReply { ok: false, matched, round });
        }
        if self.bug == Bug::AlwaysTruncates && prev.0 >= node.base.0 && prev.0 < node.last().0 {
            self.truncate(place, prev.0 + 1);
        }
        for (index, item) in (prev.0 + 1..).zip(items) {
            self.take_entry(place, index, item);
        }
        if self.chance.random_bool(0.02) {
            return self.crash(place);
        }
        let matched = prev.0 + items.len() as u64;
        if self.bug == Bug::ReplyBeforeFsync && self.chance.random_bool(0.5) {
            return self.send(place, from, Body::AppendReply { ok: true, matched, round });
        }
        self.fsync(place);
        let known = if self.bug == Bug::CommitWithoutMin {
            self.nodes[place].last().0
        } else {
            matched
        };
        self.learn(place, commit.min(known));
        self.send(place, from, Body::AppendReply { ok: true, matched, round });
    }

    fn take_entry(&mut self, place: usize, index: u64, item: &Item) {
        let node = &self.nodes[place];
        if index <= node.base.0 {
            return;
        }
        match node.item(index) {
            Some(own) if own.term == item.term => return,
            Some(_) => self.truncate(place, index),
            None => {}
        }
        self.nodes[place].log.push(item.clone());
        self.appended(place, index, item);
    }

    fn truncate(&mut self, place: usize, from: u64) {
        let node = &mut self.nodes[place];
        let before = node.config();
        node.log.truncate(usize::try_from(from - 1 - node.base.0).expect("small numbers"));
        node.synced = node.synced.min(from - 1);
        let (term, after) = (node.term, node.config());
        self.write(place).truncate(from, term);
        if before != after {
            if self.bug == Bug::OldConfigAfterTruncation {
                self.nodes[place].stuck = Some(before.1);
            } else {
                self.write_config(place, after.0, &after.1, "truncated");
            }
        }
    }

    fn learn(&mut self, place: usize, commit: u64) {
        let node = &mut self.nodes[place];
        if commit > node.commit {
            node.commit = commit;
            let (term_at, term) = (node.term_at(commit).unwrap_or(0), node.term);
            self.write(place).commit(commit, term_at, "leader", term);
            self.apply(place);
        }
    }

    fn on_append_reply(&mut self, place: usize, (from, term): (usize, u64), ok: bool, matched: u64, round: u64) {
        let node = &mut self.nodes[place];
        if node.role != Role::Leader || node.term != term {
            return;
        }
        for read in &mut node.reads {
            if round >= read.round {
                read.heard.insert(from);
            }
        }
        if ok || self.bug == Bug::RefusalCountsAsMatch {
            node.matched[from] = node.matched[from].max(matched);
            node.next[from] = node.next[from].max(matched + 1);
        } else {
            node.next[from] = matched + 1;
        }
        self.count_commits(place);
        self.serve_reads(place);
    }

    fn count_commits(&mut self, place: usize) {
        let node = &self.nodes[place];
        if node.role != Role::Leader {
            return;
        }
        let config = node.acting();
        let has = |index: u64| {
            let there = |peer: usize| {
                if peer == place {
                    node.synced >= index
                } else {
                    node.matched[peer] >= index
                }
            };
            let by_minority = self.bug == Bug::CommitByMinority && (0..self.nodes.len()).filter(|peer| there(*peer)).count() >= 2;
            by_minority || self.is_majority(&config, there)
        };
        let is_own = |index: u64| node.term_at(index) == Some(node.term) || self.bug == Bug::OldTermCommitted;
        let counted = (node.commit + 1..=node.last().0).rev().find(|index| has(*index) && is_own(*index));
        let Some(to) = counted else { return };
        let (term_at, term) = (node.term_at(to).unwrap_or(0), node.term);
        self.nodes[place].commit = to;
        self.n_commits += 1;
        self.write(place).commit(to, term_at, "count", term);
        self.apply(place);
        let (index, config) = self.nodes[place].config();
        if config.old.is_some() && index <= to && self.nodes[place].is_up {
            self.push(place, spelled(&Config { old: None, ..config }));
        }
    }

    fn apply(&mut self, place: usize) {
        while self.nodes[place].applied < self.nodes[place].commit {
            let node = &mut self.nodes[place];
            let index = node.applied + 1;
            let Some(item) = node.item(index).cloned() else { return };
            let asked = asked(&item.command);
            let is_first = asked.is_none_or(|(client, sequence)| node.done.insert((client.to_owned(), sequence)));
            let effect = is_first || self.bug == Bug::RetryTakesEffect;
            node.state = next_state(node.state, index, &item.command, effect);
            node.applied = index;
            let (state, ask) = (node.state, node.asks.remove(&index));
            self.write(place).apply(index, &item, state, asked, effect);
            if let Some(ask) = ask.filter(|ask| ask.term == item.term || self.bug == Bug::AnswerByIndex) {
                let outcome = self::asked(&ask.command);
                self.write(place).ack(index, &ask, outcome, "ok", "put");
            }
        }
    }

    fn read(&mut self, place: usize) {
        let now_ns = self.now_ns;
        let node = &mut self.nodes[place];
        let has_noop = node.term_at(node.commit) == Some(node.term) || self.bug == Bug::ReadBeforeNoop;
        if !node.is_up || node.role != Role::Leader || !has_noop {
            return;
        }
        let (commit, applied, term) = (node.commit, node.applied, node.term);
        if self.bug == Bug::ReadUnconfirmed {
            return self.write(place).read(commit, applied, "read-index", now_ns, term);
        }
        node.round += 1;
        let (round, heard) = (node.round, BTreeSet::from([place]));
        node.reads.push(PendingRead {
            index: commit,
            begun_ns: now_ns,
            round,
            heard,
        });
        self.replicate(place);
        self.serve_reads(place);
    }

    fn serve_reads(&mut self, place: usize) {
        let config = self.nodes[place].acting();
        let mut reads = std::mem::take(&mut self.nodes[place].reads);
        let (applied, term) = (self.nodes[place].applied, self.nodes[place].term);
        reads.retain(|read| {
            let is_due = applied >= read.index && self.is_majority(&config, |node| read.heard.contains(&node));
            if is_due {
                self.write(place).read(read.index, applied, "read-index", read.begun_ns, term);
            }
            !is_due
        });
        self.nodes[place].reads = reads;
    }

    fn take_snapshot(&mut self, place: usize) {
        let node = &mut self.nodes[place];
        let index = node.applied + u64::from(self.bug == Bug::SnapshotTooFar && node.applied < node.last().0);
        let Some(term_at) = node.term_at(index).filter(|_| node.is_up && index > node.base.0) else {
            return;
        };
        let at = (index, term_at);
        let until = usize::try_from(index - node.base.0).expect("small numbers");
        let configs = (node.base.0 + 1..).zip(&node.log[..until]);
        let config = configs
            .filter_map(|(index, item)| Some((index, read_config(&item.command)?)))
            .last();
        let config = config.unwrap_or_else(|| node.snapshot.config.clone());
        let (state, done) = (node.state, node.done.clone());
        node.snapshot = Snapshot { at, state, done, config };
        node.log.drain(..until);
        node.base = at;
        node.synced = node.synced.max(index);
        node.applied = node.applied.max(index);
        self.write(place).snapshot("snap_take", at.0, at.1, state);
    }

    fn on_snapshot(&mut self, place: usize, (from, term): (usize, u64), snapshot: Snapshot) {
        if term < self.nodes[place].term {
            return self.send(
                place,
                from,
                Body::AppendReply {
                    ok: false,
                    matched: 0,
                    round: 0,
                },
            );
        }
        self.follow(place);
        let at = snapshot.at;
        if at.0 > self.nodes[place].commit {
            self.install(place, snapshot);
        }
        self.send(
            place,
            from,
            Body::AppendReply {
                ok: true,
                matched: at.0,
                round: 0,
            },
        );
    }

    fn install(&mut self, place: usize, snapshot: Snapshot) {
        let node = &mut self.nodes[place];
        let (at, before) = (snapshot.at, node.config());
        let keeps = node.term_at(at.0) == Some(at.1) || self.bug == Bug::SnapshotKeepsSuffix;
        let gone = usize::try_from(at.0 - node.base.0).expect("small numbers").min(node.log.len());
        node.log.drain(..if keeps { gone } else { node.log.len() });
        node.base = at;
        node.synced = if keeps { node.synced.max(at.0) } else { at.0 };
        (node.commit, node.applied) = (at.0, at.0);
        if self.bug != Bug::SnapshotKeepsState {
            (node.state, node.done) = (snapshot.state, snapshot.done.clone());
        }
        let state = snapshot.state;
        node.snapshot = snapshot;
        let after = node.config();
        self.write(place).snapshot("snap_install", at.0, at.1, state);
        if before.1 != after.1 {
            self.write_config(place, after.0, &after.1, "committed");
        }
    }

    fn change_members(&mut self, place: usize) {
        let node = &self.nodes[place];
        let (index, config) = node.config();
        let is_settled = config.old.is_none() && index <= node.commit || self.bug == Bug::TwoChanges;
        if !node.is_up || node.role != Role::Leader || !is_settled || node.term_at(node.commit) != Some(node.term) {
            return;
        }
        let mut all: Vec<usize> = (0..self.nodes.len()).collect();
        while all.len() > 3 || (all.len() > 2 && self.chance.random_bool(0.2)) {
            all.remove(self.chance.random_range(0..all.len()));
        }
        let joint = Config {
            voters: all,
            old: Some(config.voters),
        };
        self.push(place, spelled(&joint));
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
