//! Scripts: commands and the output that is expected of them, in one text file.
//!
//! A block is comment lines, command lines, a line `----`, the output, and an empty line. Commands:
//!
//! | command | does |
//! |---|---|
//! | `cluster n1 n2 … [join=n4,…] [snapshot=N] [reads=…] [sessions=N] [seed=N]` | names the nodes; election timeout 100 ms, heartbeat 10 ms |
//! | `log n1 terms=1,1,4 term=4 [vote=n2]` | what a node's disk holds before it starts |
//! | `start n1 …`, `crash n1 [kept=N]`, `wipe n1 [member=ID]` | lives; `*` is everybody; a wiped node starts with `--join` |
//! | `elapse n1 … MS` | lets time pass, there alone |
//! | `deliver [n1>n2 …] [max=N]` | delivers what is on its way, and what follows from it; only on these links, only so many |
//! | `cut n1>n2 …`, `heal`, `drop n1>n2 …` | a link that loses everything; links as at first; what is on its way now |
//! | `skew n1 MS` | a wall clock that is set off |
//! | `hold n1`, `sync n1 [N]` | a disk that makes nothing durable; N writes of it, or all and it goes on by itself |
//! | `ask n1 get\|put\|cas\|append\|delete\|session\|change\|transfer … [client= seq= session= deadline=]` | a request; the text `x*9` is nine x |
//! | `quiet`, `loud` | prints decisions only, or everything; heartbeats are never printed |
//! | `show` | role, term, leader, commit and the terms of the log, per node |

mod ask;
mod print;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt::Write;

use serde_json::{Value, json};
use squall_node::core::{Core, Effect, Event, Now, Stamp};
use squall_node::members::{Members, NodeIndex, Text};
use squall_node::raft::{RaftConfig, RaftMessage, Reads};
use squall_node::trace::TraceEvent;

use crate::cluster::{Cluster, MS};

/// Deliveries after which a script is not going to end.
const DELIVERIES_MAX: u64 = 10_000;

/// Runs a script; returns it with the output that it really gives.
pub(crate) fn run(script: &str) -> String {
    let mut world = None;
    let mut output = String::new();
    for block in script
        .split("\n\n")
        .map(|block| block.trim_matches('\n'))
        .filter(|block| !block.is_empty())
    {
        let head = block.split("----").next().unwrap();
        output.push_str(head);
        if block.contains("----") {
            output.push_str("----\n");
            for line in head.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
                output.push_str(&command(&mut world, line));
            }
        }
        if !output.ends_with('\n') {
            output.push('\n');
        }
        output.push('\n');
    }
    output
}

fn command(world: &mut Option<World>, line: &str) -> String {
    let words = Words::of(line);
    if words.name == "cluster" {
        *world = Some(World::new(&words));
        return String::new();
    }
    let world = world.as_mut().expect("a script begins with `cluster`");
    world.command(&words, line);
    std::mem::take(&mut world.output)
}

/// A command line: its name, plain words, and `name=value`.
struct Words<'a> {
    name: &'a str,
    plain: Vec<&'a str>,
    named: BTreeMap<&'a str, &'a str>,
}

impl<'a> Words<'a> {
    fn of(line: &'a str) -> Words<'a> {
        let mut all = line.split_whitespace();
        let name = all.next().unwrap();
        let (named, plain): (Vec<_>, Vec<_>) = all.partition(|word| word.contains('=') && !word.starts_with('='));
        Words {
            name,
            plain,
            named: named.into_iter().map(|word| word.split_once('=').unwrap()).collect(),
        }
    }

    fn list(&self, name: &str) -> Vec<Text> {
        self.named
            .get(name)
            .map(|names| names.split(',').map(Text::from).collect())
            .unwrap_or_default()
    }

    fn number(&self, name: &str) -> Option<u64> {
        self.named.get(name).map(|number| number.parse().unwrap())
    }
}

struct World {
    cluster: Cluster,
    clocks: BTreeMap<NodeIndex, u64>,
    wall_offset_ms: BTreeMap<NodeIndex, i64>,
    flying: VecDeque<(NodeIndex, NodeIndex, RaftMessage)>,
    cuts: BTreeSet<(NodeIndex, NodeIndex)>,
    held: BTreeSet<NodeIndex>,
    logs: BTreeMap<NodeIndex, BTreeMap<u64, u64>>,
    requests: u64,
    is_quiet: bool,
    output: String,
}

impl World {
    fn new(words: &Words<'_>) -> World {
        let join = words.list("join");
        let names = words.plain.iter().copied().chain(join.iter().map(AsRef::as_ref));
        let book = Members::new(names).unwrap();
        let voters: BTreeSet<Text> = words.plain.iter().map(|name| Text::from(*name)).collect();
        let reads = match words.named.get("reads") {
            Some(&"lease") => Reads::Lease,
            Some(&"local") => Reads::Local,
            _ => Reads::ReadIndex,
        };
        let configs = book.indices().map(|me| RaftConfig {
            nodes: book.clone(),
            me,
            member: book.name(me).clone(),
            birth: u64::from(me.0) + 1,
            voters: voters.clone(),
            join: !voters.contains(book.name(me)),
            reads,
            election_ms: 100,
            heartbeat_ms: 10,
            snapshot_every: words.number("snapshot").unwrap_or(1000),
            sessions_max: words.number("sessions").unwrap_or(100),
            op_timeout_ms: 1000,
            planted: Default::default(),
        });
        World {
            cluster: Cluster::new(configs, &book, words.number("seed").unwrap_or(1)),
            clocks: book.indices().map(|at| (at, 1000 * MS)).collect(),
            wall_offset_ms: BTreeMap::new(),
            flying: VecDeque::new(),
            cuts: BTreeSet::new(),
            held: BTreeSet::new(),
            logs: BTreeMap::new(),
            requests: 0,
            is_quiet: false,
            output: String::new(),
        }
    }

    fn command(&mut self, words: &Words<'_>, line: &str) {
        match words.name {
            "quiet" => self.is_quiet = true,
            "loud" => self.is_quiet = false,
            "log" => self.preset(words),
            "start" => self.nodes(&words.plain).into_iter().for_each(|at| self.start(at)),
            "crash" => {
                for at in self.nodes(&words.plain) {
                    let kept = words.number("kept").unwrap_or(0);
                    self.cluster.crash(at, usize::try_from(kept).unwrap());
                }
            }
            "wipe" => self.wipe(words),
            "elapse" => self.elapse(&words.plain),
            "skew" => {
                let (at, offset) = (self.index(words.plain[0]), words.plain[1].parse().unwrap());
                self.wall_offset_ms.insert(at, offset);
            }
            "deliver" => self.deliver(&self.links(&words.plain), words.number("max")),
            "cut" => self.cuts.extend(self.links(&words.plain)),
            "heal" => self.heal(),
            "drop" => {
                let links = self.links(&words.plain);
                self.flying.retain(|(from, to, _)| !links.contains(&(*from, *to)));
            }
            "hold" => self.held.extend(self.nodes(&words.plain)),
            "sync" => self.sync(words),
            "ask" => self.ask(words),
            "show" => self.show(),
            _ => panic!("unknown command: {line}"),
        }
    }

    fn index(&self, name: &str) -> NodeIndex {
        self.cluster.book.index(name).unwrap_or_else(|| panic!("no node {name}"))
    }

    fn nodes(&self, names: &[&str]) -> Vec<NodeIndex> {
        if names == ["*"] {
            return self.cluster.book.indices().collect();
        }
        names.iter().map(|name| self.index(name)).collect()
    }

    fn links(&self, words: &[&str]) -> BTreeSet<(NodeIndex, NodeIndex)> {
        let mut links = BTreeSet::new();
        for word in words {
            let (from, to) = word.split_once('>').unwrap();
            for (from, to) in self
                .nodes(&[from])
                .into_iter()
                .flat_map(|from| self.nodes(&[to]).into_iter().map(move |to| (from, to)))
            {
                links.insert((from, to));
            }
        }
        links
    }

    fn now(&self, at: NodeIndex) -> Now {
        let mono_ns = self.clocks[&at];
        let offset_ms = self.wall_offset_ms.get(&at).copied().unwrap_or(0);
        Now {
            mono_ns,
            wall_ns: ((1 << 60) + mono_ns).saturating_add_signed(offset_ms * 1_000_000),
        }
    }

    fn preset(&mut self, words: &Words<'_>) {
        let at = self.index(words.plain[0]);
        let node = self.cluster.node_mut(at);
        let voters: Vec<_> = node.config.voters.iter().cloned().collect();
        let record = |is: Value| json!({"v": 1, "is": is}).to_string().into_bytes();
        node.disk = vec![
            record(json!({"identity": {"member": node.config.member, "birth": node.config.birth, "membership": {"voters": voters}}})),
            record(json!({"confirmed": {}})),
            record(json!({"hard": {"term": words.number("term").unwrap(), "vote": words.named.get("vote")}})),
        ];
        for (term, index) in words.list("terms").iter().zip(1..) {
            let term: u64 = term.parse().unwrap();
            node.disk.push(record(json!({"entry": [index, term, {"noop": {"births": {}}}]})));
        }
    }

    fn start(&mut self, at: NodeIndex) {
        let now = self.now(at);
        let effects = self.cluster.start(at, now);
        self.carry_out(at, effects);
        for peer in self.cluster.book.indices().filter(|peer| *peer != at) {
            if self.cluster.core(peer).is_some() {
                self.step(at, Event::LinkUp { peer });
                self.step(peer, Event::LinkUp { peer: at });
            }
        }
    }

    fn wipe(&mut self, words: &Words<'_>) {
        let at = self.index(words.plain[0]);
        self.cluster.crash(at, 0);
        let node = self.cluster.node_mut(at);
        node.disk.clear();
        node.config.birth += 100;
        if let Some(member) = words.named.get("member") {
            node.config.member = Text::from(*member);
            node.config.join = true;
        }
    }

    fn elapse(&mut self, words: &[&str]) {
        let (ms, names) = words.split_last().unwrap();
        let ms: u64 = ms.parse().unwrap();
        for at in self.nodes(names) {
            *self.clocks.get_mut(&at).unwrap() += ms * MS;
            self.step(at, Event::Wake);
        }
    }

    fn heal(&mut self) {
        for (from, to) in std::mem::take(&mut self.cuts) {
            self.step(from, Event::LinkUp { peer: to });
            self.step(to, Event::LinkUp { peer: from });
        }
    }

    fn deliver(&mut self, links: &BTreeSet<(NodeIndex, NodeIndex)>, max: Option<u64>) {
        for count in 0..DELIVERIES_MAX {
            if max == Some(count) {
                return;
            }
            let may_go = |(from, to, _): &(NodeIndex, NodeIndex, RaftMessage)| links.is_empty() || links.contains(&(*from, *to));
            let Some(place) = self.flying.iter().position(may_go) else { return };
            let (from, to, message) = self.flying.remove(place).unwrap();
            self.step(to, Event::Message { from, message });
        }
        panic!("the deliveries do not end");
    }

    fn sync(&mut self, words: &Words<'_>) {
        let at = self.index(words.plain[0]);
        let count = match words.plain.get(1) {
            Some(count) => count.parse().unwrap(),
            None => {
                self.held.remove(&at);
                self.cluster.node(at).unsynced()
            }
        };
        let appended = self.cluster.sync(at, count);
        self.step(at, Event::Durable { appended });
    }

    fn step(&mut self, at: NodeIndex, event: Event<RaftMessage>) {
        let now = self.now(at);
        let effects = self.cluster.step(at, now, event);
        self.carry_out(at, effects);
    }

    fn carry_out(&mut self, at: NodeIndex, effects: Vec<Effect<RaftMessage>>) {
        for effect in effects {
            match effect {
                Effect::Trace(TraceEvent::Raft(event)) => self.print_event(at, &event),
                Effect::Send { to, message } => {
                    let stamp = Stamp {
                        incarnation: 1,
                        lamport: 1,
                    };
                    if let Some(TraceEvent::Raft(event)) = self.cluster.core(at).and_then(|core| core.sent(to, &message, stamp)) {
                        self.print_event(at, &event);
                    }
                    if !self.cuts.contains(&(at, to)) {
                        self.flying.push_back((at, to, message));
                    }
                }
                Effect::Reply { client, outcome } => {
                    let outcome = serde_json::to_string(&outcome).unwrap();
                    writeln!(self.output, "{} reply #{} {outcome}", self.cluster.book.name(at), client.request).unwrap();
                }
                Effect::Stop { reason } => writeln!(self.output, "{} stop {reason}", self.cluster.book.name(at)).unwrap(),
                other => panic!("{other:?}"),
            }
        }
        if !self.held.contains(&at) && self.cluster.node(at).unsynced() > 0 {
            let count = self.cluster.node(at).unsynced();
            let appended = self.cluster.sync(at, count);
            self.step(at, Event::Durable { appended });
        }
    }
}
