//! What is made of the log: applied commands, reads, snapshots, changes of the members.

use super::*;

impl World {
    pub(super) fn apply(&mut self, place: usize) {
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

    pub(super) fn read(&mut self, place: usize) {
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

    pub(super) fn serve_reads(&mut self, place: usize) {
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

    pub(super) fn take_snapshot(&mut self, place: usize) {
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

    pub(super) fn on_snapshot(&mut self, place: usize, (from, term): (usize, u64), snapshot: Snapshot) {
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

    pub(super) fn install(&mut self, place: usize, snapshot: Snapshot) {
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

    pub(super) fn change_members(&mut self, place: usize) {
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
}
