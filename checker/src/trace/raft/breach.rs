//! The rules by name, and the breaches of them: the first of each rule is kept with its evidence, the others are counted.

use super::neighbours::Around;

/// A node's place among the nodes, by name.
pub(super) type Node = usize;

/// A set of nodes, one bit each.
pub(super) type Nodes = u64;

/// The rules on Raft traces (evidence-fuzzing §5.2 of the design notes).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Rule {
    ElectionSafety,
    OneVote,
    Monotone,
    LogMatching,
    AppendOnly,
    StateMachine,
    LeaderCompleteness,
    OwnTermCommit,
    DurableMajority,
    ExactlyOnce,
    AckMatches,
    ReadFreshness,
    Membership,
    Amplification,
    ConfirmedReads,
}

impl Rule {
    /// The name in a finding.
    pub(super) fn id(self) -> &'static str {
        match self {
            Rule::ElectionSafety => "trace T1",
            Rule::OneVote => "trace T2",
            Rule::Monotone => "trace T3",
            Rule::LogMatching => "trace T4",
            Rule::AppendOnly => "trace T5",
            Rule::StateMachine => "trace T6",
            Rule::LeaderCompleteness => "trace T7",
            Rule::OwnTermCommit => "trace T8",
            Rule::DurableMajority => "trace T9",
            Rule::ExactlyOnce => "trace T10",
            Rule::AckMatches => "trace T11",
            Rule::ReadFreshness => "trace T12",
            Rule::Membership => "trace T13",
            Rule::Amplification => "trace T14",
            Rule::ConfirmedReads => "trace T16",
        }
    }

    /// What it asks, in one sentence with its name.
    pub(super) fn sentence(self) -> &'static str {
        match self {
            Rule::ElectionSafety => "election safety: a term has at most one leader, and a majority voted for it",
            Rule::OneVote => "one vote: a member votes once per term, durably before it says so, across restarts too",
            Rule::Monotone => "no way back: a node's term, commit index and applied index never decrease",
            Rule::LogMatching => "log matching: two logs with the same term at an index are the same up to there",
            Rule::AppendOnly => "append only: a leader removes nothing from its log, and nobody removes what is committed",
            Rule::StateMachine => "state machine safety: an index is the same entry and leads to the same state on every node",
            Rule::LeaderCompleteness => "leader completeness: a leader has every entry that was committed in lower terms",
            Rule::OwnTermCommit => "commit rule: only a leader counts acknowledgements, and only for entries of its own term",
            Rule::DurableMajority => "durable majority: what is committed or answered is durable on a majority of the voters, and stays",
            Rule::ExactlyOnce => "exactly once: a command of a session takes effect at one index",
            Rule::AckMatches => "honest answers: an answer is about the entry that it names",
            Rule::ReadFreshness => "fresh reads: a read sees everything that was answered before it began",
            Rule::Membership => "membership: one change at a time, and consecutive configurations share a node in every two majorities",
            Rule::Amplification => "bounded amplification: messages and appends are a small multiple of what the work needs",
            Rule::ConfirmedReads => "confirmed reads: a leader answers a read only while a majority's word that it leads covers it",
        }
    }
}

/// Where an event stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sight {
    pub(super) node: u8,
    pub(super) line: u32,
    pub(super) mono_ns: u64,
}

/// An event as evidence: where, and what in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fact {
    pub(super) sight: Sight,
    pub(super) text: String,
}

impl Sight {
    /// This event, in these words.
    pub(super) fn says(self, text: impl Into<String>) -> Fact {
        let text = text.into();
        Fact { sight: self, text }
    }
}

/// What a breach rests on besides the events that it names.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Rests {
    /// Nodes from whose silence it follows: it holds only if their traces are whole.
    pub(super) absent: Nodes,
    /// Nodes whose clocks were compared: it holds only if they agree.
    pub(super) timed: Nodes,
}

/// One rule broken.
#[derive(Debug, Clone)]
pub(super) struct Breach {
    pub(super) rule: Rule,
    /// One sentence, lower case, without a full stop.
    pub(super) message: String,
    pub(super) facts: Vec<Fact>,
    pub(super) rests: Rests,
    pub(super) around: Around,
    /// How often this rule was broken on the same ground, this time included.
    pub(super) n_all: u64,
}

/// Most breaches kept of one rule: they differ in what they rest on.
const KEPT_MAX: usize = 8;

/// What all rules found so far.
#[derive(Debug, Clone, Default)]
pub(super) struct Breaches {
    kept: Vec<Breach>,
    /// Places of breaches whose neighbourhood is still to be taken.
    pub(super) n_new: usize,
}

/// A sentence and its evidence.
pub(super) type Told = (String, Vec<Fact>);

impl Breaches {
    /// A breach that this moment makes certain.
    pub(super) fn add(&mut self, rule: Rule, tell: impl FnOnce() -> Told) {
        self.add_resting(rule, Rests::default(), tell);
    }

    /// A breach that holds if the traces of these nodes are whole.
    pub(super) fn add_absent(&mut self, rule: Rule, absent: Nodes, tell: impl FnOnce() -> Told) {
        self.add_resting(rule, Rests { absent, timed: 0 }, tell);
    }

    /// A breach that holds if what it rests on does.
    pub(super) fn add_resting(&mut self, rule: Rule, rests: Rests, tell: impl FnOnce() -> Told) {
        if let Some(known) = self.kept.iter_mut().find(|breach| breach.rule == rule && breach.rests == rests) {
            known.n_all += 1;
            return;
        }
        if self.kept.iter().filter(|breach| breach.rule == rule).count() >= KEPT_MAX {
            return;
        }
        let (message, facts) = tell();
        self.kept.push(Breach {
            rule,
            message,
            facts,
            rests,
            around: Around::default(),
            n_all: 1,
        });
        self.n_new += 1;
    }

    /// The breaches added since the last call.
    pub(super) fn take_new(&mut self) -> &mut [Breach] {
        let n_new = std::mem::take(&mut self.n_new);
        let begin = self.kept.len() - n_new;
        &mut self.kept[begin..]
    }

    /// All that are kept, in the order in which they were found.
    pub(super) fn all(&self) -> &[Breach] {
        &self.kept
    }

    /// All that are kept, to add to what is around them.
    pub(super) fn all_mut(&mut self) -> &mut [Breach] {
        &mut self.kept
    }
}
