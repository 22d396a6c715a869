//! The JSON of one line, by kind. Source: node/src/trace.rs. Unknown fields are passed over.

use std::borrow::Cow;

use rustc_hash::FxHashSet;
use serde::Deserialize;

use super::error::TraceErrorKind;
use super::event::{Done, Function, Name, Outcome, Reply, Settings, Vector, Version, What};
use crate::escape::visible;

/// Longest text of a node that an error quotes, in characters.
const ERROR_CHARS_MAX: usize = 200;

/// What every line has, whatever its kind.
#[derive(Debug, Deserialize)]
pub(super) struct Envelope<'a> {
    #[serde(borrow)]
    pub(super) node: Cow<'a, str>,
    pub(super) incarnation: u64,
    pub(super) seq: u64,
    pub(super) mono_ns: u64,
    pub(super) lamport: u64,
    #[serde(borrow)]
    pub(super) kind: Cow<'a, str>,
}

#[derive(Deserialize)]
struct StartLine {
    n: u64,
    r: u64,
    w: u64,
    write_back: bool,
    members: Vec<String>,
    #[serde(default)]
    anti_entropy_ms: Option<u64>,
    #[serde(default)]
    mono_offset_ns: i64,
}

#[derive(Deserialize)]
struct AssignLine<'a> {
    #[serde(borrow)]
    op: Cow<'a, str>,
    #[serde(borrow)]
    key: Cow<'a, str>,
    version: VersionText,
    #[serde(borrow)]
    value_id: Cow<'a, str>,
}

#[derive(Deserialize)]
struct PutLine<'a> {
    #[serde(borrow)]
    key: Cow<'a, str>,
    version: VersionText,
    #[serde(borrow)]
    value_id: Cow<'a, str>,
    durable: bool,
    #[serde(default)]
    replayed: bool,
    #[serde(default)]
    vector: Vec<(String, u64, u64)>,
}

#[derive(Deserialize)]
struct ReapLine<'a> {
    #[serde(borrow)]
    key: Cow<'a, str>,
    version: VersionText,
    #[serde(default)]
    replayed: bool,
}

#[derive(Deserialize)]
struct GetLine<'a> {
    #[serde(borrow)]
    op: Cow<'a, str>,
    #[serde(borrow)]
    key: Cow<'a, str>,
    replies: Vec<ReplyText>,
}

#[derive(Deserialize)]
struct ReplyText {
    node: String,
    version: Option<VersionText>,
}

#[derive(Deserialize)]
struct WriteBackLine<'a> {
    #[serde(borrow)]
    op: Cow<'a, str>,
    needed: bool,
}

#[derive(Deserialize)]
struct DoneLine<'a> {
    #[serde(borrow)]
    op: Cow<'a, str>,
    #[serde(borrow)]
    f: Cow<'a, str>,
    #[serde(borrow)]
    key: Cow<'a, str>,
    #[serde(borrow)]
    outcome: Cow<'a, str>,
    version: Option<VersionText>,
    acks: Vec<String>,
}

/// `[counter, node, incarnation, sequence]`.
#[derive(Deserialize)]
struct VersionText(u64, String, u64, u64);

/// Texts of all traces, each stored once. Never iterated: its order is nobody's.
#[derive(Debug, Default)]
pub(super) struct Names(FxHashSet<Name>);

impl Names {
    pub(super) fn intern(&mut self, text: &str) -> Name {
        if let Some(name) = self.0.get(text) {
            return name.clone();
        }
        let name: Name = text.into();
        self.0.insert(name.clone());
        name
    }

    fn version(&mut self, text: &VersionText) -> Version {
        Version {
            counter: text.0,
            node: self.intern(&text.1),
            incarnation: text.2,
            sequence: text.3,
        }
    }

    fn vector(&mut self, counts: &[(String, u64, u64)]) -> Vector {
        let counts = counts.iter();
        counts
            .map(|(node, incarnation, count)| ((self.intern(node), *incarnation), *count))
            .collect()
    }

    fn all(&mut self, texts: &[String]) -> Vec<Name> {
        texts.iter().map(|text| self.intern(text)).collect()
    }
}

/// Reads what stands on every line.
pub(super) fn envelope(line: &[u8]) -> Result<Envelope<'_>, TraceErrorKind> {
    if !line.starts_with(b"{") {
        // serde would also take a list for the fields in order.
        return Err(TraceErrorKind::Json("expected a JSON object".into()));
    }
    parse(line)
}

/// Reads a `start`: the settings, and by how much the node's monotonic clock is shifted, in ns.
pub(super) fn start(line: &[u8], names: &mut Names) -> Result<(Settings, i64), TraceErrorKind> {
    let start: StartLine = parse(line)?;
    let settings = Settings {
        n: start.n,
        r: start.r,
        w: start.w,
        write_back: start.write_back,
        anti_entropy_ms: start.anti_entropy_ms.filter(|interval_ms| *interval_ms > 0),
        members: names.all(&start.members).into_iter().collect(),
    };
    Ok((settings, start.mono_offset_ns))
}

/// Reads what happened; `None` for a kind, a function or an outcome of a later version, and for what is not durable.
pub(super) fn what(line: &[u8], envelope: &Envelope<'_>, names: &mut Names) -> Result<Option<What>, TraceErrorKind> {
    let what = match envelope.kind.as_ref() {
        "assign" => {
            let assign: AssignLine<'_> = parse(line)?;
            What::Assign {
                op: operation(&assign.op, envelope)?,
                key: names.intern(&assign.key),
                version: names.version(&assign.version),
                value: names.intern(&assign.value_id),
            }
        }
        "put" => {
            let put: PutLine<'_> = parse(line)?;
            if !put.durable {
                return Ok(None);
            }
            What::Put {
                key: names.intern(&put.key),
                version: names.version(&put.version),
                value: names.intern(&put.value_id),
                replayed: put.replayed,
                vector: names.vector(&put.vector),
            }
        }
        "reap" => {
            let reap: ReapLine<'_> = parse(line)?;
            What::Reap {
                key: names.intern(&reap.key),
                version: names.version(&reap.version),
                replayed: reap.replayed,
            }
        }
        "get" => {
            let get: GetLine<'_> = parse(line)?;
            let reply = |reply: ReplyText| Reply {
                node: names.intern(&reply.node),
                version: reply.version.map(|version| names.version(&version)),
            };
            What::Get {
                replies: get.replies.into_iter().map(reply).collect(),
                op: operation(&get.op, envelope)?,
                key: names.intern(&get.key),
            }
        }
        "write_back" => {
            let write_back: WriteBackLine<'_> = parse(line)?;
            What::WriteBack {
                op: operation(&write_back.op, envelope)?,
                needed: write_back.needed,
            }
        }
        "done" => {
            let done: DoneLine<'_> = parse(line)?;
            let (Some(f), Some(outcome)) = (function(&done.f), outcome(&done.outcome)) else {
                return Ok(None);
            };
            What::Done(Done {
                op: operation(&done.op, envelope)?,
                f,
                key: names.intern(&done.key),
                outcome,
                version: done.version.map(|version| names.version(&version)),
                acks: names.all(&done.acks),
            })
        }
        _ => return Ok(None),
    };
    Ok(Some(what))
}

fn function(text: &str) -> Option<Function> {
    match text {
        // A delete is a put of nothing: every rule on puts is one on deletes.
        "put" | "delete" => Some(Function::Put),
        "get" => Some(Function::Get),
        _ => None,
    }
}

fn outcome(text: &str) -> Option<Outcome> {
    match text {
        "ok" => Some(Outcome::Ok),
        "failed" => Some(Outcome::Failed),
        "unknown" => Some(Outcome::Unknown),
        _ => None,
    }
}

/// The number of an operation that this life of this node coordinates.
fn operation(op: &str, envelope: &Envelope<'_>) -> Result<u64, TraceErrorKind> {
    let number = || {
        let rest = op.strip_prefix(envelope.node.as_ref())?.strip_prefix('/')?;
        let (incarnation, number) = rest.split_once('/')?;
        let number = number.parse().ok()?;
        (incarnation.parse() == Ok(envelope.incarnation)).then_some(number)
    };
    number().ok_or_else(|| TraceErrorKind::OtherOperation {
        op: visible(op, ERROR_CHARS_MAX),
    })
}

fn parse<'a, T: Deserialize<'a>>(line: &'a [u8]) -> Result<T, TraceErrorKind> {
    serde_json::from_slice(line).map_err(|error| {
        // The slice is always line 1 of its own; the file's line is told by the error around this one.
        let message = error.to_string();
        let reason = message.rsplit_once(" at line ").map_or(message.as_str(), |(reason, _)| reason);
        TraceErrorKind::Json(visible(reason, ERROR_CHARS_MAX))
    })
}
