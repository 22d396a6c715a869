//! Raft traces in a notation that fits on a line, written as the nodes write them and read by the reader.
//!
//! Each row is `<node> <event>`, in an order in which it could have happened: the row's number is its Lamport stamp and its time in
//! milliseconds. Every node starts, empty, before the first row; the voters are n1 n2 n3. An entry is `index.term`, with a word for its
//! command. Roles take the end of the log from what the node wrote before, and states follow from what it applied.
//!
//! ```text
//! n1 vote 1 n2                 n1 commit 2.1 count 1         n1 ack 2.1 a ok [c1:7] [put]
//! n1 leader 1 [last=2.1]       n1 commit 2.1 leader 1        n1 read 2 2 read-index 9     (index, applied, basis, row in which it began)
//! n1 append 2.1 a              n1 apply 2.1 a [c1:7[-]] [=wrong]     n1 send n2 vote_reply 1 yes
//! n1 fsync 2.1                 n1 snap 2.1                   n2 receive n1 9 vote_reply 1   (from row 9)
//! n1 truncate 2 3              n1 install 2.1 [from n2]      n1 config 3 n1,n2+n1,n2,n3 appended
//! n1 restart [term=1] [vote=-] [upto=2] [member=n1.2] [base=2.1] [voters=n1,n2]   n1 health 2 100 5
//! ```

use std::collections::BTreeMap;

use super::writer::{Begin, Item, Writer, next_state};

/// The nodes of every story.
pub(super) const NODES: [&str; 5] = ["n1", "n2", "n3", "n4", "n5"];

/// How far apart two rows are.
pub(super) const ROW_NS: u64 = 1_000_000;

/// A node of a story.
struct Actor {
    writer: Writer,
    hard: (u64, Option<String>),
    base: (u64, u64),
    log: Vec<Item>,
    /// The state by index; of the base at its place.
    states: BTreeMap<u64, u64>,
    applied: u64,
    voters: Vec<String>,
}

/// The text of each node's trace.
pub(super) fn texts(story: &str) -> BTreeMap<&'static str, String> {
    texts_of(&NODES[..3], story)
}

/// The same for a cluster of these voters.
pub(super) fn texts_of(nodes: &[&'static str], story: &str) -> BTreeMap<&'static str, String> {
    let voters: Vec<String> = nodes.iter().map(|node| (*node).to_owned()).collect();
    let mut actors: BTreeMap<&str, Actor> = nodes.iter().map(|node| (*node, Actor::new(node, &voters))).collect();
    for actor in actors.values_mut() {
        actor.begin(None, None);
    }
    let rows = story.lines().map(str::trim).filter(|row| !row.is_empty());
    for (row, stamp) in rows.zip(1..) {
        let (node, event) = row.split_once(' ').expect("a row names a node");
        let actor = actors.get_mut(node).expect("a node of the story");
        (actor.writer.stamp, actor.writer.mono_ns) = (stamp, stamp * ROW_NS);
        let words: Vec<&str> = event.split_whitespace().collect();
        actor.event(&words);
    }
    let named = |node: &str| NODES.into_iter().find(|known| *known == node).expect("a node of the story");
    actors.into_iter().map(|(node, actor)| (named(node), actor.writer.text)).collect()
}

impl Actor {
    fn new(node: &str, voters: &[String]) -> Actor {
        Actor {
            writer: Writer::new(node),
            hard: (0, None),
            base: (0, 0),
            log: Vec::new(),
            states: BTreeMap::from([(0, 0)]),
            applied: 0,
            voters: voters.to_vec(),
        }
    }

    fn last(&self) -> (u64, u64) {
        let term = self.log.last().map_or(self.base.1, |item| item.term);
        (self.base.0 + self.log.len() as u64, term)
    }

    fn keep_upto(&mut self, index: u64) {
        self.log
            .truncate(usize::try_from(index.saturating_sub(self.base.0)).expect("small numbers"));
    }

    fn begin(&mut self, commit: Option<u64>, voters: Option<Vec<String>>) {
        let state = self.states.get(&self.base.0).copied().unwrap_or(0);
        self.applied = self.base.0;
        let voters = voters.unwrap_or_else(|| self.voters.clone());
        self.writer.begin(&Begin {
            term: self.hard.0,
            vote: self.hard.1.as_deref(),
            base: self.base,
            log: &self.log,
            commit: commit.unwrap_or(self.base.0),
            applied: self.base.0,
            state,
            voters: &voters,
            voters_old: None,
            reads: "read-index",
        });
    }

    fn event(&mut self, words: &[&str]) {
        match words {
            ["restart", rest @ ..] => self.restart(rest),
            ["vote", term, vote] => {
                let vote = (*vote != "-").then(|| (*vote).to_owned());
                self.writer.hard(number(term), vote.as_deref());
                self.hard = (number(term), vote);
            }
            [
                role @ ("leader" | "candidate" | "pre-candidate" | "follower" | "learner"),
                term,
                rest @ ..,
            ] => {
                let last = option(rest, "last").map_or_else(|| self.last(), place);
                self.writer.role(role, number(term), last);
            }
            ["append", at, command] => {
                let (index, term) = place(at);
                let item = item(term, command);
                self.writer.append(index, &item, false);
                self.keep_upto(index - 1);
                self.log.push(item);
            }
            ["truncate", from, term] => {
                self.writer.truncate(number(from), number(term));
                self.keep_upto(number(from) - 1);
            }
            ["fsync", at] => {
                let (upto, term_at) = place(at);
                self.writer.fsync(upto, term_at, false);
            }
            ["commit", at, by, term] => {
                let (to, term_at) = place(at);
                self.writer.commit(to, term_at, by, number(term));
            }
            ["apply", at, command, rest @ ..] => self.apply(place(at), command, rest),
            ["snap", at, rest @ ..] => {
                let (index, term_at) = place(at);
                let state = state_of(&self.states, index, rest);
                self.writer.snapshot("snap_take", index, term_at, state);
            }
            ["install", at, rest @ ..] => self.install(place(at), rest),
            ["config", index, set, stage] => {
                let (new, old) = set.split_once('+').map_or((*set, None), |(new, old)| (new, Some(old)));
                let members = |set: &str| set.split(',').map(str::to_owned).collect::<Vec<_>>();
                let old = old.map(members);
                self.writer.config(number(index), &members(new), old.as_deref(), stage);
            }
            ["ack", at, command, outcome, rest @ ..] => {
                let (index, term) = place(at);
                let asked = rest.iter().find_map(|word| asked(word));
                let f = rest.iter().find(|word| !word.contains(':')).unwrap_or(&"put");
                self.writer.ack(
                    index,
                    &item(term, command),
                    asked.map(|(client, sequence, _)| (client, sequence)),
                    outcome,
                    f,
                );
            }
            ["read", index, applied, basis, begun] => {
                self.writer
                    .read(number(index), number(applied), basis, number(begun) * ROW_NS, self.hard.0);
            }
            ["send", to, message, term, rest @ ..] => {
                let ok = rest.first().map(|word| *word == "yes");
                self.writer.send(to, message, number(term), ok);
            }
            ["receive", from, row, message, term] => {
                let id = format!("{from}/1/{row}");
                self.writer.receive(from, &id, message, number(term));
            }
            ["health", commit, messages, appends] => self.writer.health(number(commit), number(messages), number(appends)),
            _ => panic!("no event {words:?}"),
        }
    }

    fn restart(&mut self, rest: &[&str]) {
        if let Some(term) = option(rest, "term") {
            self.hard.0 = number(term);
        }
        if let Some(vote) = option(rest, "vote") {
            self.hard.1 = (vote != "-").then(|| vote.to_owned());
        }
        if let Some(base) = option(rest, "base") {
            let base = place(base);
            let gone = usize::try_from(base.0 - self.base.0).expect("small numbers").min(self.log.len());
            self.log.drain(..gone);
            self.base = base;
        }
        if let Some(upto) = option(rest, "upto") {
            self.keep_upto(number(upto));
        }
        if let Some(member) = option(rest, "member") {
            self.writer.member = member.to_owned();
        }
        let voters = option(rest, "voters").map(|set| set.split(',').map(str::to_owned).collect());
        self.begin(None, voters);
    }

    fn apply(&mut self, (index, term): (u64, u64), command: &str, rest: &[&str]) {
        let asked = rest.iter().find_map(|word| asked(word));
        let effect = asked.is_none_or(|(.., effect)| effect);
        let before = self.states.get(&(index - 1)).copied().unwrap_or(0);
        let state = if rest.contains(&"=wrong") {
            99
        } else {
            next_state(before, index, command, effect)
        };
        self.states.insert(index, state);
        self.applied = index;
        self.writer.apply(
            index,
            &item(term, command),
            state,
            asked.map(|(client, sequence, _)| (client, sequence)),
            effect,
        );
    }

    /// `from` is a state number in hex, so that a story can name another's state.
    fn install(&mut self, (index, term_at): (u64, u64), rest: &[&str]) {
        let state = state_of(&self.states, index, rest);
        self.writer.snapshot("snap_install", index, term_at, state);
        let own = index
            .checked_sub(self.base.0 + 1)
            .and_then(|place| self.log.get(usize::try_from(place).ok()?));
        if own.is_some_and(|item| item.term == term_at) {
            let gone = usize::try_from(index - self.base.0).expect("small numbers");
            self.log.drain(..gone);
        } else if !rest.contains(&"keeping") {
            self.log.clear();
        }
        self.base = (index, term_at);
        self.states.insert(index, state);
        self.applied = index;
    }
}

/// A snapshot's state: the node's own, or that of the commands `of=a,b,c` from the first index on.
fn state_of(states: &BTreeMap<u64, u64>, index: u64, rest: &[&str]) -> u64 {
    match option(rest, "of") {
        Some(commands) => (1..)
            .zip(commands.split(','))
            .fold(0, |state, (index, command)| next_state(state, index, command, true)),
        None => states.get(&index).copied().unwrap_or(0),
    }
}

fn item(term: u64, command: &str) -> Item {
    let command = command.to_owned();
    Item { term, command }
}

fn number(word: &str) -> u64 {
    word.parse().unwrap_or_else(|_| panic!("`{word}` is no number"))
}

fn place(word: &str) -> (u64, u64) {
    let (index, term) = word.split_once('.').unwrap_or_else(|| panic!("`{word}` is no index.term"));
    (number(index), number(term))
}

fn option<'a>(words: &[&'a str], name: &str) -> Option<&'a str> {
    words.iter().find_map(|word| word.strip_prefix(name)?.strip_prefix('='))
}

fn asked(word: &str) -> Option<(&str, u64, bool)> {
    let (client, sequence) = word.split_once(':')?;
    let (sequence, effect) = sequence.strip_suffix('-').map_or((sequence, true), |sequence| (sequence, false));
    Some((client, number(sequence), effect))
}
