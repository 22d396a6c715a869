//! The gates behind the nodes' traces: every line is seen when it is written, and its node waits for our answer.
//!
//! A node of ours hands its trace over before its log goes to the disk and before any byte leaves it, so whoever keeps it at its gate keeps it
//! at that very event: elected and nobody told, appended and nothing synced. Only the schedule's triggers want this; without one no node has a gate.
//!
//! The protocol is that of `node/src/driver/gate.rs`: a length of four bytes and the lines, answered by one byte.

use std::collections::BTreeSet;
use std::fs::File;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context, Result};
use serde::Deserialize;
use squall_nemeses::receipt::HeldPacket;
use squall_nemeses::switch::Released;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::schedule::packet::Packet;
use crate::schedule::when::{Seen, When};

/// The socket's name in a node's folder, which is where a node runs: a path of any length fits in no address of a socket.
pub(crate) const GATE: &str = "gate";

/// How long a node is kept at most: a fault that takes longer than this to be injected has the node back.
pub(super) const HOLD_BOUND: Duration = Duration::from_secs(5);
/// Lines of one turn that are taken in: a turn has 64 messages at most, with some entries each.
const BATCH_BYTES_MAX: u32 = 64 << 20;

/// What stands in the lines that are read, and hardly in others.
const KINDS: [&str; 3] = [r#""kind":"role""#, r#""kind":"append""#, r#""kind":"assign""#];

/// Whoever waits for an event, and what is known of the nodes.
#[derive(Debug, Default)]
pub(super) struct Watch {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    waiting: Vec<Waiting>,
    leaders: BTreeSet<String>,
}

impl State {
    fn note(&mut self, node: &str, seen: Seen) {
        match seen {
            Seen::Leads => drop(self.leaders.insert(node.to_owned())),
            Seen::Follows => drop(self.leaders.remove(node)),
            Seen::Appends | Seen::Syncs => {}
        }
    }

    /// Counts an event for all who wait for it, and takes out who waited for this one.
    fn next_due(&mut self, fits: impl Fn(&When, &BTreeSet<String>) -> bool) -> Option<Waiting> {
        // Who was to be told and is gone waits no more.
        self.waiting.retain(|waiting| !waiting.tell.is_closed());
        let leaders = &self.leaders;
        let due = self.waiting.iter_mut().position(|waiting| {
            let fits = fits(&waiting.when, leaders);
            waiting.n_seen += u64::from(fits);
            fits && waiting.n_seen == waiting.when.nth()
        })?;
        Some(self.waiting.swap_remove(due))
    }
}

#[derive(Debug)]
struct Waiting {
    when: When,
    n_seen: u64,
    tell: oneshot::Sender<Kept>,
}

impl Waiting {
    /// Tells that it came; what was told keeps it until the returned value is told or dropped.
    fn keep(self, node: &str, is_leader: bool, packet: Option<KeptPacket>) -> Option<oneshot::Receiver<()>> {
        let (release, released) = oneshot::channel();
        let kept = Kept {
            node: node.to_owned(),
            is_leader,
            since: Instant::now(),
            packet,
            release,
        };
        self.tell.send(kept).ok().map(|()| released)
    }
}

/// A node that waits at its gate, or a packet before its link, for as long as this value lives, or for [`HOLD_BOUND`].
#[derive(Debug)]
pub(super) struct Kept {
    /// Which node, or whose packet.
    pub(super) node: String,
    /// Whether it leads.
    pub(super) is_leader: bool,
    /// When it came there.
    pub(super) since: Instant,
    /// The packet, if it is one.
    pub(super) packet: Option<KeptPacket>,
    /// Its end lets the node or the packet go on.
    release: oneshot::Sender<()>,
}

/// A packet before its link.
#[derive(Debug)]
pub(super) struct KeptPacket {
    /// What the receipt says of it.
    pub(super) said: HeldPacket,
    /// What becomes of it when it goes on.
    fate: oneshot::Receiver<Released>,
}

/// What lets a packet go on: when the first is told or dropped; the second is to be told what became of it.
pub(super) type Hold = (oneshot::Receiver<()>, oneshot::Sender<Released>);

impl Kept {
    /// Whether the node or the packet still waits.
    pub(super) fn is_held(&self) -> bool {
        !self.release.is_closed()
    }

    /// Lets it go on; says what became of the packet, if it was one.
    pub(super) async fn let_go(self) -> Option<Released> {
        drop(self.release);
        let fate = self.packet?.fate;
        tokio::time::timeout(HOLD_BOUND, fate).await.ok()?.ok()
    }
}

impl Watch {
    /// Waits for an event from now on.
    pub(super) fn wait_for(&self, when: &When) -> oneshot::Receiver<Kept> {
        let (tell, told) = oneshot::channel();
        self.lock().waiting.push(Waiting {
            when: when.clone(),
            n_seen: 0,
            tell,
        });
        told
    }

    /// Takes it from who asked the nodes that these lead: for systems whose traces do not tell.
    pub(super) fn set_leaders(&self, leaders: BTreeSet<String>) {
        self.lock().leaders = leaders;
    }

    /// Whether anybody waits for an event.
    pub(super) fn is_awaited(&self) -> bool {
        let mut state = self.lock();
        state.waiting.retain(|waiting| !waiting.tell.is_closed());
        !state.waiting.is_empty()
    }

    /// A node tells of what happened while nobody waited.
    fn note(&self, node: &str, seen: Seen) {
        self.lock().note(node, seen);
    }

    /// A node tells of what happened; whoever waited for it gets the node to keep until the returned value is told or dropped.
    pub(super) fn saw(&self, node: &str, seen: Seen) -> Option<oneshot::Receiver<()>> {
        let mut state = self.lock();
        state.note(node, seen);
        let is_leader = state.leaders.contains(node);
        let waiting = state.next_due(|when, _| when.fits(node, is_leader, seen))?;
        waiting.keep(node, is_leader, None)
    }

    /// The switch tells of a packet; whoever waited for it gets it to keep, as [`Watch::saw`] says.
    pub(super) fn saw_packet(&self, packet: &Packet<'_>) -> Option<Hold> {
        let mut state = self.lock();
        let node = packet.node();
        let is_leader = state.leaders.contains(node);
        let waiting = state.next_due(|when, leaders| when.fits_packet(packet, leaders))?;
        let (tell, fate) = oneshot::channel();
        let said = HeldPacket {
            from: packet.from.to_owned(),
            to: packet.to.to_owned(),
            bytes: packet.bytes,
        };
        let released = waiting.keep(node, is_leader, Some(KeptPacket { said, fate }))?;
        Some((released, tell))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().expect("no holder of this lock panics")
    }
}

/// Opens the gate of a node in its folder. The tasks end with the runtime.
///
/// # Errors
/// If the socket cannot be made.
pub(super) fn open(node: &str, folder: &Path, watch: &Arc<Watch>) -> Result<()> {
    let opened = File::open(folder).with_context(|| format!("open {}", folder.display()))?;
    let path = format!("/proc/self/fd/{}/{GATE}", opened.as_raw_fd());
    let listener = UnixListener::bind(&path).with_context(|| format!("make the gate of {node}"))?;
    let (node, watch) = (node.to_owned(), Arc::clone(watch));
    tokio::spawn(async move {
        // One life of the node after another.
        while let Ok((stream, _)) = listener.accept().await {
            watch.lock().leaders.remove(&node);
            tokio::spawn(keep_gate(node.clone(), stream, Arc::clone(&watch)));
        }
    });
    Ok(())
}

/// Answers batch by batch, until the node ends.
async fn keep_gate(node: String, mut stream: UnixStream, watch: Arc<Watch>) {
    let mut lines = Vec::new();
    while let Ok(length) = stream.read_u32().await {
        if length > BATCH_BYTES_MAX {
            return; // not of our nodes: a gate that is gone keeps nobody
        }
        lines.resize(length as usize, 0);
        if stream.read_exact(&mut lines).await.is_err() {
            return;
        }
        // While nobody waits, the node need not wait for our reading.
        let is_awaited = watch.is_awaited();
        if !is_awaited && stream.write_all(&[1]).await.is_err() {
            return;
        }
        for seen in read_lines(&lines) {
            if !is_awaited {
                watch.note(&node, seen);
            } else if let Some(released) = watch.saw(&node, seen) {
                // However it ends, the node goes on.
                let _ = tokio::time::timeout(HOLD_BOUND, released).await;
            }
        }
        if is_awaited && stream.write_all(&[1]).await.is_err() {
            return;
        }
    }
}

/// What the lines of a batch say that anybody waits for. Most lines tell of messages: those are not read.
fn read_lines(lines: &[u8]) -> impl Iterator<Item = Seen> {
    let text = std::str::from_utf8(lines).unwrap_or_default();
    let may_tell = |line: &&str| KINDS.iter().any(|kind| line.contains(kind));
    text.lines().filter(may_tell).filter_map(|line| read_line(line.as_bytes()))
}

/// What a line says that anybody waits for.
fn read_line(line: &[u8]) -> Option<Seen> {
    #[derive(Deserialize)]
    struct Line<'a> {
        kind: &'a str,
        role: Option<&'a str>,
        #[serde(default)]
        replayed: bool,
    }
    let line: Line<'_> = serde_json::from_slice(line).ok()?;
    match (line.kind, line.role) {
        ("role", Some("leader")) => Some(Seen::Leads),
        ("role", _) => Some(Seen::Follows),
        ("append" | "assign", _) if !line.replayed => Some(Seen::Appends),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn when(text: &str) -> When {
        serde_json::from_str(text).expect("an event to wait for")
    }

    #[test]
    fn the_nth_event_that_fits_keeps_its_node_until_it_is_let_go() {
        let watch = Watch::default();
        let mut told = watch.wait_for(&when(r#"{"append":{"nth":2,"on":"leader"}}"#));
        let seen = [
            ("n1", Seen::Appends),
            ("n2", Seen::Leads),
            ("n2", Seen::Appends),
            ("n1", Seen::Appends),
        ];
        assert!(seen.iter().all(|(node, seen)| watch.saw(node, *seen).is_none()));
        let mut released = watch.saw("n2", Seen::Appends).expect("the second append of the leader");
        let kept = told.try_recv().expect("told");
        assert_eq!((kept.node.as_str(), kept.is_leader, kept.is_held()), ("n2", true, true));
        assert!(released.try_recv().is_err_and(|error| error == oneshot::error::TryRecvError::Empty));
        drop(kept);
        assert!(
            released
                .try_recv()
                .is_err_and(|error| error == oneshot::error::TryRecvError::Closed)
        );
        assert!(watch.saw("n2", Seen::Appends).is_none(), "nobody waits any more");
    }

    #[test]
    fn who_leads_no_more_is_not_the_leader_and_a_waiter_that_left_keeps_nobody() {
        let watch = Watch::default();
        let told = watch.wait_for(&when(r#"{"append":{"on":"leader"}}"#));
        watch.saw("n1", Seen::Leads);
        watch.saw("n1", Seen::Follows);
        assert!(watch.saw("n1", Seen::Appends).is_none());
        drop(told);
        watch.saw("n1", Seen::Leads);
        assert!(watch.saw("n1", Seen::Appends).is_none());
    }

    #[test]
    fn who_came_to_lead_while_nobody_waited_is_the_leader() {
        let watch = Watch::default();
        watch.note("n1", Seen::Leads);
        assert!(!watch.is_awaited());
        let told = watch.wait_for(&when(r#"{"append":{"on":"leader"}}"#));
        assert!(watch.is_awaited());
        assert!(watch.saw("n1", Seen::Appends).is_some());
        assert!(!watch.is_awaited(), "it came");
        drop((told, watch.wait_for(&when(r#"{"append":{}}"#))));
        assert!(!watch.is_awaited(), "nobody waits any more");
    }

    #[test]
    fn the_nth_packet_that_fits_is_kept_and_a_leader_that_changes_changes_whose_count() {
        let watch = Watch::default();
        let mut told = watch.wait_for(&when(r#"{"before-packet":{"nth":3,"from":"leader","to":"follower"}}"#));
        let send = |from, to| watch.saw_packet(&Packet { from, to, bytes: 9 });
        assert!(send("n1", "n2").is_none(), "nobody leads");
        watch.set_leaders(["n1".to_owned()].into());
        assert!(send("n1", "n2").is_none() && send("n2", "n1").is_none() && send("n1", "n3").is_none());
        watch.set_leaders(["n2".to_owned()].into());
        assert!(send("n1", "n3").is_none(), "it led");
        let (mut released, tell) = send("n2", "n1").expect("the third of whoever led then");
        let kept = told.try_recv().expect("told");
        let said = &kept.packet.as_ref().expect("a packet").said;
        assert_eq!((said.from.as_str(), said.to.as_str(), said.bytes), ("n2", "n1", 9));
        assert_eq!((kept.node.as_str(), kept.is_leader, kept.is_held()), ("n2", true, true));
        assert!(released.try_recv().is_err_and(|error| error == oneshot::error::TryRecvError::Empty));
        let fate = Released {
            held_us: 7,
            n_behind: 0,
            lost: None,
        };
        tell.send(fate.clone()).expect("it is asked for");
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .expect("a runtime");
        assert_eq!(runtime.block_on(kept.let_go()), Some(fate));
        assert!(
            released
                .try_recv()
                .is_err_and(|error| error == oneshot::error::TryRecvError::Closed)
        );
    }

    #[test]
    fn a_batch_is_read_line_by_line_and_messages_are_passed_over() {
        let batch = br#"{"kind":"send","m":"append"}
{"node":"n1","kind":"append","index":3}
{"kind":"role","role":"leader"}
"#;
        assert_eq!(read_lines(batch).collect::<Vec<_>>(), [Seen::Appends, Seen::Leads]);
        assert_eq!(read_lines(b"\xff\n").count(), 0);
    }

    #[test]
    fn reads_the_lines_that_matter_and_passes_over_the_rest() {
        let leads = br#"{"node":"n1","seq":1,"kind":"role","role":"leader","term":2,"last":[0,0]}"#;
        assert_eq!(read_line(leads), Some(Seen::Leads));
        assert_eq!(read_line(br#"{"kind":"role","role":"candidate"}"#), Some(Seen::Follows));
        assert_eq!(read_line(br#"{"kind":"append","index":3}"#), Some(Seen::Appends));
        for other in [
            &br#"{"kind":"append","replayed":true}"#[..],
            br#"{"kind":"health","role":"leader"}"#,
            b"",
            b"{",
        ] {
            assert_eq!(read_line(other), None);
        }
    }
}
