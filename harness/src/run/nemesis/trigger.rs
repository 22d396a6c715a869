//! Faults that wait for an event: its node is kept at it where it has a gate; what nobody tells us is looked for.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::time::Duration;

use squall_nemeses::Asks;
use squall_nemeses::receipt::Triggered;
use squall_nemeses::switch::Released;
use tokio::time::{Instant, sleep, timeout_at};

use super::Nemesis;
use crate::run::gate::Kept;
use crate::schedule::when::{Seen, When};

/// Between two looks at a count of ours: short against an operation.
const COUNT_LOOK: Duration = Duration::from_millis(1);
/// Between two questions who leads: short against an election, long against an answer.
const LEADER_LOOK: Duration = Duration::from_millis(20);

/// The event came.
pub(super) struct Event {
    what: String,
    /// When it was seen; of what is looked for, when the last look began that did not show it.
    since: Instant,
    /// Where it happened, if on a node.
    pub(super) node: Option<String>,
    /// Whether that node leads.
    pub(super) is_leader: bool,
    /// The node at its gate, or the packet. It goes on when this value does.
    kept: Option<Kept>,
}

impl Event {
    /// How it goes into the receipt, now that the fault is applied.
    pub(super) fn receipt(&self) -> Triggered {
        Triggered {
            event: self.what.clone(),
            node: self.node.clone(),
            packet: self.kept.as_ref().and_then(|kept| Some(kept.packet.as_ref()?.said.clone())),
            held: self.kept.as_ref().is_some_and(Kept::is_held),
            latency_us: u64::try_from(self.since.elapsed().as_micros()).unwrap_or(u64::MAX),
        }
    }

    /// Lets whoever was kept at it go on; says what became of the packet, if it was one.
    pub(super) async fn let_go(self) -> Option<Released> {
        self.kept?.let_go().await
    }
}

impl Nemesis {
    /// Waits for an event until `deadline`.
    ///
    /// # Errors
    /// What became of the event instead of its coming.
    pub(super) async fn wait_for(&self, when: &When, deadline: Instant) -> Result<Event, &'static str> {
        let traces = self.cluster.system().traces();
        let event = match when {
            When::Operations { completed } => self.count_operations(*completed, deadline).await,
            When::BeforeFsync(_) if self.nodes.iter().any(|node| self.cluster.disk(node).is_none()) => {
                let instead = when.without_disks().filter(|_| traces);
                let instead = instead.ok_or("no disk of ours can hold here; `squall doctor` says why")?;
                let event = self.be_told(&instead, deadline).await;
                let what = format!("{instead}, for want of a disk that holds fsyncs");
                return event.map(|event| Event { what, ..event }).ok_or("did not come");
            }
            When::BeforeFsync(_) | When::BeforePacket(_) if when.is_traced() && !traces => tokio::select! {
                event = self.be_told(when, deadline) => event,
                never = self.tell_who_leads() => match never {},
            },
            When::BeforeFsync(_) | When::BeforePacket(_) => self.be_told(when, deadline).await,
            _ if traces => self.be_told(when, deadline).await,
            _ => self.look_for_leader(when, deadline).await,
        };
        let what = when.to_string();
        event.map(|event| Event { what, ..event }).ok_or("did not come")
    }

    /// Keeps known who leads, of programs that do not tell by themselves.
    async fn tell_who_leads(&self) -> Infallible {
        loop {
            let leader = self.ask_roles(Asks::LEADER, &BTreeSet::new()).await.leader;
            self.watch.set_leaders(leader.into_iter().collect());
            sleep(LEADER_LOOK).await;
        }
    }

    async fn be_told(&self, when: &When, deadline: Instant) -> Option<Event> {
        let kept = timeout_at(deadline, self.watch.wait_for(when)).await.ok()?.ok()?;
        Some(Event {
            what: String::new(),
            since: kept.since,
            node: Some(kept.node.clone()),
            is_leader: kept.is_leader,
            kept: Some(kept),
        })
    }

    async fn count_operations(&self, completed: u64, deadline: Instant) -> Option<Event> {
        let mut since = Instant::now();
        while self.activity.completed() < completed {
            if Instant::now() >= deadline {
                return None;
            }
            since = Instant::now();
            sleep(COUNT_LOOK).await;
        }
        Some(Event {
            what: String::new(),
            since,
            node: None,
            is_leader: false,
            kept: None,
        })
    }

    /// Another node than before says that it leads. Whoever leads when the waiting begins was elected before.
    async fn look_for_leader(&self, when: &When, deadline: Instant) -> Option<Event> {
        let mut known: Option<String> = None;
        let mut n_elected = 0;
        let mut since = Instant::now();
        while Instant::now() < deadline {
            let began = Instant::now();
            let leader = self.ask_roles(Asks::LEADER, &BTreeSet::new()).await.leader;
            if let Some(leader) = leader {
                let is_new = known.as_ref().is_some_and(|known| *known != leader);
                n_elected += u64::from(is_new && when.fits(&leader, true, Seen::Leads));
                if is_new && n_elected == when.nth() {
                    return Some(Event {
                        what: String::new(),
                        since,
                        node: Some(leader),
                        is_leader: true,
                        kept: None,
                    });
                }
                known = Some(leader);
            }
            since = began;
            sleep(LEADER_LOOK).await;
        }
        None
    }
}
