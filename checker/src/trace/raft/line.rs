//! One line of a Raft node's trace, by kind. Unknown fields and unknown kinds are passed over.
//!
//! The format is a contract between this file and the node; `node/tests/golden/raft_trace.jsonl` holds both together.

use std::borrow::Cow;

use super::event::{Ack, Apply, Basis, By, Command, Config, Message, Outcome, Role, Stage, Start, Term, What};
use super::names::{NameId, Names};
use super::scan::{Fields, Refusal, Value, hash, pair};
use super::words::MessageId;

/// The kind of the first event of a life.
pub(super) const START: &str = "raft_start";

/// All fields that any kind has; those of one line are there.
#[derive(Default)]
pub(super) struct Line<'a> {
    node: Option<Cow<'a, str>>,
    incarnation: Option<u64>,
    seq: Option<u64>,
    mono_ns: Option<u64>,
    lamport: Option<u64>,
    kind: Option<Cow<'a, str>>,
    index: Option<u64>,
    term: Option<u64>,
    term_at: Option<u64>,
    digest: Option<u64>,
    state_hash: Option<u64>,
    number: Numbers,
    text: Texts<'a>,
    list: Lists<'a>,
    flag: Flags,
    /// A known field of the wrong type; no error in a kind of a later version.
    wrong: Option<Refusal>,
}

/// Numbers of some kinds.
#[derive(Default)]
struct Numbers {
    from: Option<u64>,
    upto: Option<u64>,
    to: Option<u64>,
    commit: Option<u64>,
    applied: Option<u64>,
    begun_ns: Option<u64>,
    sequence: Option<u64>,
    session: Option<u64>,
    messages: Option<u64>,
    appends: Option<u64>,
    election_ms: Option<u64>,
    heartbeat_ms: Option<u64>,
    mono_offset_ns: Option<i64>,
}

/// Texts of some kinds.
#[derive(Default)]
struct Texts<'a> {
    member: Option<Cow<'a, str>>,
    vote: Option<Cow<'a, str>>,
    role: Option<Cow<'a, str>>,
    entry: Option<Cow<'a, str>>,
    by: Option<Cow<'a, str>>,
    client: Option<Cow<'a, str>>,
    stage: Option<Cow<'a, str>>,
    outcome: Option<Cow<'a, str>>,
    f: Option<Cow<'a, str>>,
    basis: Option<Cow<'a, str>>,
    to: Option<Cow<'a, str>>,
    from: Option<Cow<'a, str>>,
    id: Option<Cow<'a, str>>,
    m: Option<Cow<'a, str>>,
}

/// Lists of some kinds, as they stand.
#[derive(Default)]
struct Lists<'a> {
    base: Option<&'a str>,
    last: Option<&'a str>,
    voters: Option<&'a str>,
    voters_old: Option<&'a str>,
}

/// Yes or no, of some kinds.
#[derive(Default)]
struct Flags {
    replayed: bool,
    sessions: bool,
    effect: Option<bool>,
    ok: Option<bool>,
}

impl<'a> Line<'a> {
    /// Reads all fields of a line.
    pub(super) fn read(line: &'a [u8]) -> Result<Line<'a>, Refusal> {
        let mut fields = Fields::of(line)?;
        let mut read = Line::default();
        while let Some((name, value)) = fields.next()? {
            if let Err(refusal) = read.take(&name, value) {
                read.wrong.get_or_insert(refusal);
            }
        }
        Ok(read)
    }

    fn take(&mut self, name: &str, value: Value<'a>) -> Result<(), Refusal> {
        match name {
            "node" => self.node = text(value)?,
            "incarnation" => self.incarnation = number(value)?,
            "seq" => self.seq = number(value)?,
            "mono_ns" => self.mono_ns = number(value)?,
            "lamport" => self.lamport = number(value)?,
            "kind" => self.kind = text(value)?,
            "index" => self.index = number(value)?,
            "term" => self.term = number(value)?,
            "term_at" => self.term_at = number(value)?,
            "digest" => self.digest = hash_of(value)?,
            "state_hash" => self.state_hash = hash_of(value)?,
            // The only two names that are a number in one kind and a text in another.
            "to" | "from" => self.take_end(name, value)?,
            "upto" => self.number.upto = number(value)?,
            "commit" => self.number.commit = number(value)?,
            "applied" => self.number.applied = number(value)?,
            "begun_ns" => self.number.begun_ns = number(value)?,
            "sequence" => self.number.sequence = number(value)?,
            "session" => self.number.session = number(value)?,
            "messages" => self.number.messages = number(value)?,
            "appends" => self.number.appends = number(value)?,
            "election_ms" => self.number.election_ms = number(value)?,
            "heartbeat_ms" => self.number.heartbeat_ms = number(value)?,
            "mono_offset_ns" => self.number.mono_offset_ns = Some(signed(value)?),
            "member" => self.text.member = text(value)?,
            "vote" => self.text.vote = text(value)?,
            "role" => self.text.role = text(value)?,
            "entry" => self.text.entry = text(value)?,
            "by" => self.text.by = text(value)?,
            "client" => self.text.client = text(value)?,
            "stage" => self.text.stage = text(value)?,
            "outcome" => self.text.outcome = text(value)?,
            "f" => self.text.f = text(value)?,
            "basis" => self.text.basis = text(value)?,
            "id" => self.text.id = text(value)?,
            "m" => self.text.m = text(value)?,
            "base" => self.list.base = list(value)?,
            "last" => self.list.last = list(value)?,
            "voters" => self.list.voters = list(value)?,
            "voters_old" => self.list.voters_old = list(value)?,
            "replayed" => self.flag.replayed = flag(value)?.unwrap_or(false),
            "sessions" => self.flag.sessions = flag(value)?.unwrap_or(false),
            "effect" => self.flag.effect = flag(value)?,
            "ok" => self.flag.ok = flag(value)?,
            _ => {}
        }
        Ok(())
    }

    fn take_end(&mut self, name: &str, value: Value<'a>) -> Result<(), Refusal> {
        let is_text = matches!(value, Value::Text(_));
        match (name, is_text) {
            ("to", true) => self.text.to = text(value)?,
            ("to", false) => self.number.to = number(value)?,
            (_, true) => self.text.from = text(value)?,
            (_, false) => self.number.from = number(value)?,
        }
        Ok(())
    }

    /// The node that wrote it.
    pub(super) fn node(&self) -> Result<&str, Refusal> {
        self.node.as_deref().ok_or("the field `node` is missing")
    }

    /// Which of the node's lives.
    pub(super) fn incarnation(&self) -> Result<u64, Refusal> {
        self.incarnation.ok_or("the field `incarnation` is missing")
    }

    /// The number of the event within the life, from 0.
    pub(super) fn seq(&self) -> Result<u64, Refusal> {
        self.seq.ok_or("the field `seq` is missing")
    }

    /// The node's monotonic clock, in ns.
    pub(super) fn mono_ns(&self) -> Result<u64, Refusal> {
        self.mono_ns.ok_or("the field `mono_ns` is missing")
    }

    /// By how much that clock is shifted, in ns.
    pub(super) fn mono_offset_ns(&self) -> i64 {
        self.number.mono_offset_ns.unwrap_or(0)
    }

    /// The Lamport stamp.
    pub(super) fn lamport(&self) -> Result<u64, Refusal> {
        self.lamport.ok_or("the field `lamport` is missing")
    }

    /// The kind.
    pub(super) fn kind(&self) -> Result<&str, Refusal> {
        self.kind.as_deref().ok_or("the field `kind` is missing")
    }

    /// What happened; `None` for a kind of a later version. `mono_offset_ns` is the shift of the present life's clock.
    pub(super) fn what(&self, names: &mut Names, mono_offset_ns: i64) -> Result<Option<What>, Refusal> {
        let what = self.known_what(names, mono_offset_ns);
        match (self.wrong, &what) {
            (None, _) | (_, Ok(None)) => what,
            // A field of the wrong type is the reason, not that it is missing then.
            (Some(refusal), _) => Err(refusal),
        }
    }

    fn known_what(&self, names: &mut Names, mono_offset_ns: i64) -> Result<Option<What>, Refusal> {
        Ok(Some(match self.kind()? {
            START => What::Start(Box::new(self.start(names)?)),
            "hard" => What::Hard {
                term: self.term()?,
                vote: self.vote(names),
            },
            "role" => match Role::of_word(self.text.role.as_deref().ok_or("the field `role` is missing")?) {
                None => return Ok(None),
                Some(role) => What::Role {
                    role,
                    term: self.term()?,
                    last: self.pair(self.list.last, "the field `last` is no pair of numbers")?,
                },
            },
            "append" => What::Append {
                index: self.index()?,
                term: self.term()?,
                digest: self.digest()?,
                is_config: self.text.entry.as_deref() == Some("config"),
                replayed: self.flag.replayed,
            },
            "truncate" => What::Truncate {
                from: self.number.from.filter(|from| *from > 0).ok_or("the field `from` is no index")?,
                term: self.term()?,
            },
            "fsync" => What::Fsync {
                upto: self.number.upto.ok_or("the field `upto` is missing")?,
                term_at: self.term_at()?,
                replayed: self.flag.replayed,
            },
            "commit" => What::Commit {
                to: self.number.to.ok_or("the field `to` is missing")?,
                term_at: self.term_at()?,
                by: By::of_word(self.text.by.as_deref().ok_or("the field `by` is missing")?),
                term: self.term()?,
            },
            "apply" => What::Apply(Apply {
                index: self.index()?,
                term_at: self.term_at()?,
                digest: self.digest()?,
                state_hash: self.state_hash()?,
                command: self.command(names),
                effect: self.flag.effect.unwrap_or(false),
            }),
            "snap_take" => What::SnapTake {
                index: self.index()?,
                term_at: self.term_at()?,
                state_hash: self.state_hash()?,
            },
            "snap_install" => What::SnapInstall {
                index: self.index()?,
                term_at: self.term_at()?,
                state_hash: self.state_hash()?,
            },
            "config" => What::Config {
                index: self.index.ok_or("the field `index` is missing")?,
                stage: Stage::of_word(self.text.stage.as_deref().ok_or("the field `stage` is missing")?),
                config: Box::new(self.config(names)?),
            },
            "ack" => match Outcome::of_word(self.text.outcome.as_deref().ok_or("the field `outcome` is missing")?) {
                None => return Ok(None),
                Some(outcome) => What::Ack(Ack {
                    index: self.index.unwrap_or(0),
                    term_at: self.term_at.unwrap_or(0),
                    digest: self.digest.unwrap_or(0),
                    command: self.command(names),
                    outcome,
                    always_takes_effect: matches!(self.text.f.as_deref(), Some("put" | "append")),
                }),
            },
            "read" => What::Read {
                index: self.index.ok_or("the field `index` is missing")?,
                applied: self.number.applied.ok_or("the field `applied` is missing")?,
                basis: Basis::of_word(self.text.basis.as_deref().ok_or("the field `basis` is missing")?),
                begun_ns: shifted(self.number.begun_ns.ok_or("the field `begun_ns` is missing")?, mono_offset_ns),
                term: self.term()?,
            },
            "send" => What::Send {
                to: names.intern(self.text.to.as_deref().ok_or("the field `to` is missing")?),
                stamp: self.id()?.stamp,
                message: self.message()?,
                term: self.term()?,
                ok: self.flag.ok,
            },
            "receive" => {
                let id = self.id()?;
                What::Receive {
                    from: names.intern(id.member),
                    incarnation: id.incarnation,
                    stamp: id.stamp,
                    message: self.message()?,
                    term: self.term()?,
                }
            }
            "health" => What::Health {
                commit: self.number.commit.unwrap_or(0),
                messages: self.number.messages.ok_or("the field `messages` is missing")?,
                appends: self.number.appends.ok_or("the field `appends` is missing")?,
            },
            _ => return Ok(None),
        }))
    }

    fn start(&self, names: &mut Names) -> Result<Start, Refusal> {
        Ok(Start {
            incarnation: self.incarnation()?,
            member: names.intern(self.text.member.as_deref().ok_or("the field `member` is missing")?),
            term: self.term()?,
            vote: self.vote(names),
            base: self.pair(self.list.base, "the field `base` is no pair of numbers")?,
            last: self.pair(self.list.last, "the field `last` is no pair of numbers")?,
            commit: self.number.commit.ok_or("the field `commit` is missing")?,
            applied: self.number.applied.ok_or("the field `applied` is missing")?,
            state_hash: self.state_hash()?,
            config: self.config(names)?,
            sessions: self.flag.sessions,
            election_ms: self.number.election_ms.ok_or("the field `election_ms` is missing")?,
            heartbeat_ms: self.number.heartbeat_ms.ok_or("the field `heartbeat_ms` is missing")?,
        })
    }

    fn config(&self, names: &mut Names) -> Result<Config, Refusal> {
        let mut members = |list: &str| -> Result<Vec<NameId>, Refusal> {
            let texts: Vec<Cow<'_, str>> = serde_json::from_str(list).map_err(|_| "a list of members holds something else")?;
            let mut ids: Vec<NameId> = texts.iter().map(|text| names.intern(text)).collect();
            ids.sort_unstable();
            ids.dedup();
            Ok(ids)
        };
        Ok(Config {
            voters: members(self.list.voters.ok_or("the field `voters` is missing")?)?,
            voters_old: self.list.voters_old.map(members).transpose()?,
        })
    }

    fn command(&self, names: &mut Names) -> Option<Command> {
        Some(Command {
            client: names.intern(self.text.client.as_deref()?),
            session: self.number.session,
            sequence: self.number.sequence?,
        })
    }

    fn vote(&self, names: &mut Names) -> Option<NameId> {
        self.text.vote.as_deref().map(|vote| names.intern(vote))
    }

    fn index(&self) -> Result<u64, Refusal> {
        self.index.filter(|index| *index > 0).ok_or("the field `index` is no index")
    }

    fn term(&self) -> Result<Term, Refusal> {
        self.term.ok_or("the field `term` is missing")
    }

    fn term_at(&self) -> Result<Term, Refusal> {
        self.term_at.ok_or("the field `term_at` is missing")
    }

    fn digest(&self) -> Result<u64, Refusal> {
        self.digest.ok_or("the field `digest` is missing")
    }

    fn state_hash(&self) -> Result<u64, Refusal> {
        self.state_hash.ok_or("the field `state_hash` is missing")
    }

    fn pair(&self, list: Option<&str>, refusal: Refusal) -> Result<(u64, u64), Refusal> {
        list.and_then(pair).ok_or(refusal)
    }

    fn message(&self) -> Result<Message, Refusal> {
        Ok(Message::of_word(self.text.m.as_deref().ok_or("the field `m` is missing")?))
    }

    fn id(&self) -> Result<MessageId<'_>, Refusal> {
        MessageId::read(self.text.id.as_deref().ok_or("the field `id` is missing")?).ok_or("the field `id` names no message")
    }
}

/// A reading of a node's clock on the host's axis.
pub(super) fn shifted(mono_ns: u64, mono_offset_ns: i64) -> u64 {
    mono_ns.saturating_add_signed(mono_offset_ns.saturating_neg())
}

fn text(value: Value<'_>) -> Result<Option<Cow<'_, str>>, Refusal> {
    match value {
        Value::Text(text) => Ok(Some(text)),
        Value::Null => Ok(None),
        _ => Err("a field that should be a text is none"),
    }
}

fn number(value: Value<'_>) -> Result<Option<u64>, Refusal> {
    match value {
        Value::Number(number) => Ok(Some(number)),
        Value::Null => Ok(None),
        _ => Err("a field that should be a whole number is none"),
    }
}

fn signed(value: Value<'_>) -> Result<i64, Refusal> {
    let text = match value {
        Value::Number(number) => return i64::try_from(number).map_err(|_| "the field `mono_offset_ns` is too large"),
        Value::OtherNumber(text) => text,
        _ => return Err("the field `mono_offset_ns` is no number"),
    };
    text.parse().map_err(|_| "the field `mono_offset_ns` is no whole number")
}

fn hash_of(value: Value<'_>) -> Result<Option<u64>, Refusal> {
    match value {
        Value::Text(text) => hash(&text).map(Some).ok_or("a hash is not 16 lower hex digits"),
        Value::Null => Ok(None),
        _ => Err("a hash is not 16 lower hex digits"),
    }
}

fn list(value: Value<'_>) -> Result<Option<&str>, Refusal> {
    match value {
        Value::Nested(text) => Ok(Some(text)),
        Value::Null => Ok(None),
        _ => Err("a field that should be a list is none"),
    }
}

fn flag(value: Value<'_>) -> Result<Option<bool>, Refusal> {
    match value {
        Value::Bool(flag) => Ok(Some(flag)),
        Value::Null => Ok(None),
        _ => Err("a field that should be true or false is neither"),
    }
}
