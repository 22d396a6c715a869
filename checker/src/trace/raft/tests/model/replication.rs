//! The log: commands, fsyncs, entries on their way, and what is committed.

use super::*;

impl World {
    /// The leader appends an entry of its own.
    pub(super) fn push(&mut self, place: usize, command: String) -> u64 {
        let node = &mut self.nodes[place];
        let item = Item { term: node.term, command };
        node.log.push(item.clone());
        let index = node.last().0;
        self.appended(place, index, &item);
        index
    }

    pub(super) fn appended(&mut self, place: usize, index: u64, item: &Item) {
        self.write(place).append(index, item, false);
        if let Some(config) = read_config(&item.command) {
            self.nodes[place].stuck = None;
            self.write_config(place, index, &config, "appended");
        }
    }

    pub(super) fn write_config(&mut self, place: usize, index: u64, config: &Config, stage: &str) {
        let (voters, old) = (names(&config.voters), config.old.as_deref().map(names));
        self.write(place).config(index, &voters, old.as_deref(), stage);
    }

    pub(super) fn fsync(&mut self, place: usize) {
        let node = &mut self.nodes[place];
        let (last, term) = node.last();
        if node.synced < last {
            node.synced = last;
            self.write(place).fsync(last, term, false);
        }
    }

    pub(super) fn fsync_leader(&mut self, place: usize) {
        if self.nodes[place].is_up && self.nodes[place].role == Role::Leader {
            self.fsync(place);
            self.count_commits(place);
        }
    }

    pub(super) fn request(&mut self, place: usize) {
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

    pub(super) fn replicate(&mut self, place: usize) {
        if !self.nodes[place].is_up || self.nodes[place].role != Role::Leader {
            return;
        }
        for peer in 0..self.nodes.len() {
            if peer != place {
                self.send_entries(place, peer);
            }
        }
    }

    pub(super) fn send_entries(&mut self, place: usize, peer: usize) {
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

    pub(super) fn follow(&mut self, place: usize) {
        let node = &mut self.nodes[place];
        if node.role == Role::Candidate {
            node.role = Role::Follower;
            let (term, last) = (node.term, node.last());
            self.write(place).role("follower", term, last);
        }
    }

    pub(super) fn on_append(
        &mut self,
        place: usize,
        (from, term): (usize, u64),
        prev: (u64, u64),
        items: &[Item],
        (commit, round): (u64, u64),
    ) {
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

    pub(super) fn take_entry(&mut self, place: usize, index: u64, item: &Item) {
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

    pub(super) fn truncate(&mut self, place: usize, from: u64) {
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

    pub(super) fn learn(&mut self, place: usize, commit: u64) {
        let node = &mut self.nodes[place];
        if commit > node.commit {
            node.commit = commit;
            let (term_at, term) = (node.term_at(commit).unwrap_or(0), node.term);
            self.write(place).commit(commit, term_at, "leader", term);
            self.apply(place);
        }
    }

    pub(super) fn on_append_reply(&mut self, place: usize, (from, term): (usize, u64), ok: bool, matched: u64, round: u64) {
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

    pub(super) fn count_commits(&mut self, place: usize) {
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
}
