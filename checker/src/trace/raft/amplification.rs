//! T14: a cluster sends and appends a small multiple of what its work needs.
//!
//! Source: evidence-fuzzing §4.3, reading 7: a bug that truncated too much raised messages from 20,000 to 700,000 per run. Two measures, both
//! far above what any healthy node does, under any storm:
//!
//! - **Appends.** Each entry that exists anywhere is appended once per node and life; truncations, by which a deposed leader's tail is
//!   replaced, add a few. A node whose appends in one life exceed [`APPENDS_FACTOR`] times all entries that were ever seen, plus
//!   [`APPENDS_FREE`], appends the same entries over and over. A long absence or a slow disk changes nothing in this.
//! - **Messages.** Per peer a healthy node sends, for each entry, read and answer in the cluster, at most an append, its acknowledgement,
//!   a commit notice, a read's heartbeat and its reply: five; and per heartbeat interval as many again. A node above
//!   [`MESSAGES_FACTOR`] times one per peer and unit of work, in [`WINDOWS`] windows in a row, floods. A burst (the catch-up after a
//!   heal, a snapshot in pieces) is shorter.

use super::breach::{Breaches, Node, Rule, Sight};
use super::scene::Scene;

/// Ten times what a node may need to append, and twice that for tails that were replaced.
const APPENDS_FACTOR: u64 = 20;

/// Entries that cost nothing: a cluster that has just begun.
const APPENDS_FREE: u64 = 10_000;

/// Five messages per unit of work and peer are healthy; ten times that is not.
const MESSAGES_FACTOR: u64 = 50;

/// Messages per window and peer that cost nothing: a snapshot in pieces, elections.
const MESSAGES_FREE: u64 = 2_000;

/// Windows in a row, of about a second each.
const WINDOWS: u32 = 5;

/// Counts of all work in the cluster, and each node's last window.
#[derive(Debug, Clone, Default)]
pub(super) struct Amplification {
    /// Entries seen for the first time.
    pub(super) n_entries: u64,
    /// Reads and answers.
    pub(super) n_answers: u64,
    windows: Vec<Window>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Window {
    /// What the node said last; `None` at the begin of a life.
    last: Option<Last>,
    n_above: u32,
}

#[derive(Debug, Clone, Copy)]
struct Last {
    messages: u64,
    work: u64,
    mono_ns: u64,
    sight: Sight,
}

impl Amplification {
    /// Of so many nodes.
    pub(super) fn of(n_nodes: usize) -> Amplification {
        Amplification {
            windows: vec![Window::default(); n_nodes],
            ..Amplification::default()
        }
    }

    /// A new life counts from zero.
    pub(super) fn start(&mut self, node: Node) {
        self.windows[node] = Window::default();
    }

    /// A node says what it sent and appended in this life.
    pub(super) fn health(&mut self, scene: Scene<'_>, messages: u64, appends: u64, breaches: &mut Breaches) {
        let n_entries = self.n_entries;
        if appends > n_entries.saturating_mul(APPENDS_FACTOR).saturating_add(APPENDS_FREE) {
            breaches.add(Rule::Amplification, || {
                let message = format!(
                    "{} appended {appends} entries in one life, but the cluster had only {n_entries}",
                    scene.name()
                );
                (message, vec![scene.sight.says(format!("health: {appends} entries appended"))])
            });
        }
        self.window(scene, messages, breaches);
    }

    fn window(&mut self, scene: Scene<'_>, messages: u64, breaches: &mut Breaches) {
        let now = Last {
            messages,
            work: self.n_entries + self.n_answers,
            mono_ns: scene.sight.mono_ns,
            sight: scene.sight,
        };
        let window = &mut self.windows[scene.node];
        let Some(last) = window.last.replace(now) else { return };
        let sent = messages.saturating_sub(last.messages);
        let allowed = allowed(scene, last, now);
        window.n_above = if sent > allowed { window.n_above + 1 } else { 0 };
        if window.n_above == WINDOWS {
            breaches.add(Rule::Amplification, || {
                let work = now.work - last.work;
                let message = format!(
                    "{} sent {sent} messages in a second with {work} entries, reads and answers in the cluster, and as many in the {} seconds before",
                    scene.name(),
                    WINDOWS - 1
                );
                let facts = [(last, "before"), (now, "now")].map(|(at, when)| at.sight.says(format!("health {when}: {} messages sent", at.messages)));
                (message, facts.into())
            });
        }
    }
}

fn allowed(scene: Scene<'_>, last: Last, now: Last) -> u64 {
    let heartbeat_ms = scene.me().start.as_ref().map_or(0, |start| start.heartbeat_ms).max(1);
    let elapsed_ms = now.mono_ns.saturating_sub(last.mono_ns) / 1_000_000;
    let units = (now.work - last.work).saturating_add(elapsed_ms / heartbeat_ms).saturating_add(1);
    let n_peers = scene.nodes.len().saturating_sub(1).max(1) as u64;
    let per_peer = units.saturating_mul(MESSAGES_FACTOR).saturating_add(MESSAGES_FREE);
    per_peer.saturating_mul(n_peers)
}
