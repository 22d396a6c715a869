//! What the rules share: all traces, who can vouch for what, and how an event is told to a person.

use super::NodeTraces;
use super::event::{Done, Event, Function, Outcome, Settings, What};
use super::holdings::Holdings;
use super::read::NodeTrace;

/// Everything a rule may ask.
pub(super) struct Scene<'a> {
    traces: &'a NodeTraces,
    pub(super) holdings: Holdings<'a>,
    /// What the monotonic clock showed at time 0 of the history.
    origin_ns: u64,
}

/// An event with the trace it stands in.
#[derive(Clone, Copy)]
pub(super) struct Sight<'a> {
    pub(super) trace: &'a NodeTrace,
    pub(super) event: &'a Event,
}

impl<'a> Sight<'a> {
    /// What its node was started with.
    pub(super) fn settings(self) -> &'a Settings {
        &self.trace.life(self.event).settings
    }
}

impl<'a> Scene<'a> {
    pub(super) fn new(traces: &'a NodeTraces, origin_ns: u64, settled: bool) -> Scene<'a> {
        Scene {
            traces,
            holdings: Holdings::of(traces, settled),
            origin_ns,
        }
    }

    /// The traces, by node.
    pub(super) fn traces(&self) -> impl Iterator<Item = &'a NodeTrace> + use<'a> {
        self.traces.nodes.values()
    }

    /// All events, node by node.
    pub(super) fn sights(&self) -> impl Iterator<Item = Sight<'a>> + use<'a> {
        self.traces()
            .flat_map(|trace| trace.events.iter().map(move |event| Sight { trace, event }))
    }

    /// An event as a line of evidence: `n2, line 812, at 12.402 s: put of …`.
    pub(super) fn tell(&self, sight: Sight<'_>) -> String {
        let at = super::seconds(sight.event.mono_ns, self.origin_ns);
        let (node, line) = (&sight.trace.node, sight.event.line);
        format!("{node}, line {line}, at {at}: {}", tell_what(sight))
    }
}

fn tell_what(sight: Sight<'_>) -> String {
    match &sight.event.what {
        What::Start => format!("start of incarnation {}", sight.trace.life(sight.event).incarnation),
        What::Assign { key, version, value, .. } => format!("`{value}` gets version {version} of key `{key}`"),
        What::Put {
            key,
            version,
            value,
            replayed,
            ..
        } => {
            let found = if *replayed { "found in the log" } else { "durable" };
            format!("key `{key}` version {version}, value `{value}`, {found}")
        }
        What::Reap { key, version, .. } => format!("the tombstone of key `{key}`, version {version}, goes"),
        What::Get { key, replies, .. } => {
            let replies: Vec<String> = replies
                .iter()
                .map(|reply| match &reply.version {
                    Some(version) => format!("{} has {version}", reply.node),
                    None => format!("{} has nothing", reply.node),
                })
                .collect();
            format!("get of key `{key}`: {}", replies.join(", "))
        }
        What::WriteBack { needed: true, .. } => "a write-back is needed".into(),
        What::WriteBack { needed: false, .. } => "no write-back is needed".into(),
        What::Done(done) => tell_done(done),
    }
}

fn tell_done(done: &Done) -> String {
    let f = match done.f {
        Function::Put => "put",
        Function::Get => "get",
    };
    let outcome = match done.outcome {
        Outcome::Ok => "ok",
        Outcome::Failed => "failed",
        Outcome::Unknown => "unknown",
    };
    let version = done
        .version
        .as_ref()
        .map_or_else(|| "no version".into(), |version| format!("version {version}"));
    let acks: Vec<&str> = done.acks.iter().map(AsRef::as_ref).collect();
    let acks = if acks.is_empty() { "nobody".into() } else { acks.join(", ") };
    format!("{f} of key `{}` is {outcome}, {version}, acknowledged by {acks}", done.key)
}
