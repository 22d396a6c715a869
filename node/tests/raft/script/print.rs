//! How events and nodes are printed in a script's output.

use std::fmt::Write;

use serde_json::Value;
use squall_node::core::Core;
use squall_node::members::NodeIndex;
use squall_node::trace::RaftEvent;

use super::World;

/// Kinds of events that `quiet` prints.
const DECISIONS: [&str; 9] = [
    "raft_start",
    "role",
    "truncate",
    "commit",
    "config",
    "snap_take",
    "snap_install",
    "ack",
    "read",
];

impl World {
    pub(super) fn print_event(&mut self, at: NodeIndex, event: &RaftEvent) {
        self.follow_log(at, event);
        let Value::Object(members) = serde_json::to_value(event).unwrap() else {
            panic!("an event is an object");
        };
        let kind = members["kind"].as_str().unwrap().to_owned();
        let is_noise = kind == "health" || members.get("m").is_some_and(|m| m.as_str().unwrap().starts_with("heartbeat"));
        if is_noise || self.is_quiet && !DECISIONS.contains(&kind.as_str()) {
            return;
        }
        write!(self.output, "{} {kind}", self.cluster.book.name(at)).unwrap();
        let hidden = |name: &str| {
            let is_fixed = kind == "raft_start" && ["reads", "sessions", "snapshot_every", "mono_offset_ns", "members"].contains(&name);
            let is_fixed = is_fixed || name.ends_with("_ms");
            is_fixed || ["kind", "digest", "state_hash", "id", "begun_ns"].contains(&name)
        };
        for (name, value) in ordered(event).into_iter().filter(|(name, value)| !hidden(name) && !value.is_null()) {
            let value = value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned);
            write!(self.output, " {name}={}", value.replace('"', "")).unwrap();
        }
        self.output.push('\n');
    }

    /// What the traces say about the logs.
    pub(super) fn follow_log(&mut self, at: NodeIndex, event: &RaftEvent) {
        let log = self.logs.entry(at).or_default();
        match event {
            RaftEvent::RaftStart { .. } => log.clear(),
            RaftEvent::Append { index, term, .. } => {
                log.insert(*index, *term);
            }
            RaftEvent::Truncate { from, .. } => {
                log.split_off(from);
            }
            RaftEvent::SnapInstall { .. } => log.clear(),
            _ => {}
        }
    }

    pub(super) fn show(&mut self) {
        for at in self.cluster.book.indices() {
            let name = self.cluster.book.name(at);
            let Some(standing) = self.cluster.core(at).and_then(Core::standing) else {
                writeln!(self.output, "{name} is down").unwrap();
                continue;
            };
            let terms: Vec<String> = self.logs[&at].values().map(u64::to_string).collect();
            writeln!(
                self.output,
                "{name} {} term {}, leader {}, commit {} of {}: {}",
                standing.role,
                standing.term,
                standing.leader.as_deref().unwrap_or("-"),
                standing.commit,
                standing.last,
                terms.join(" ")
            )
            .unwrap();
        }
    }
}

/// The members of an event in the order in which the trace prints them.
fn ordered(event: &RaftEvent) -> Vec<(String, Value)> {
    let text = serde_json::to_string(event).unwrap();
    let members: serde_json::Map<String, Value> = serde_json::from_str(&text).unwrap();
    let mut places: Vec<(usize, String, Value)> = members
        .into_iter()
        .map(|(name, value)| (text.find(&format!("\"{name}\":")).unwrap(), name, value))
        .collect();
    places.sort_by_key(|(place, ..)| *place);
    places.into_iter().map(|(_, name, value)| (name, value)).collect()
}
