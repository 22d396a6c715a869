//! Whom a client talks to: always the same node, the next one after a failure, or the leader of the day.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use squall_workloads::{BoxFuture, Client, ErrorNote, MISMATCH, Operation, Outcome, Stamp};

use crate::plan::Bind;
use crate::systems::{Member, System};

/// What histories call whoever is behind the balancer: nobody knows which node it is.
pub(super) const BALANCER: &str = "lb";

/// What clients are at: the keys they work on, which is what "a key in use" means to a fault, and how much they have done.
pub(super) struct Activity {
    keys: Vec<Mutex<Option<Arc<str>>>>,
    completed: AtomicU64,
}

impl Activity {
    /// For so many clients.
    pub(super) fn new(clients: u32) -> Arc<Activity> {
        Arc::new(Activity {
            keys: (0..clients).map(|_| Mutex::default()).collect(),
            completed: AtomicU64::new(0),
        })
    }

    /// Operations that came to an end of any kind.
    pub(super) fn completed(&self) -> u64 {
        self.completed.load(Ordering::Relaxed)
    }

    fn begin(&self, client: u32, key: &Arc<str>) {
        if let Some(slot) = self.keys.get(client as usize) {
            *slot.lock().expect("no holder of this lock panics") = Some(Arc::clone(key));
        }
    }

    /// The key at place `pick`, modulo their number, in alphabetical order.
    pub(super) fn pick(&self, pick: u32) -> Option<Arc<str>> {
        let keys: BTreeSet<Arc<str>> = self
            .keys
            .iter()
            .filter_map(|slot| slot.lock().expect("no holder of this lock panics").clone())
            .collect();
        let place = (pick as usize).checked_rem(keys.len())?;
        keys.into_iter().nth(place)
    }
}

/// A client with a node for every operation, chosen as [`Bind`] says.
pub(super) struct BoundClient {
    system: Arc<dyn System>,
    /// Those it goes to by itself first; behind them who joined, to whom it goes when it is told to.
    nodes: Arc<[Member]>,
    n_members: usize,
    bind: Bind,
    number: u32,
    activity: Arc<Activity>,
    /// Index of the current member.
    at: usize,
    current: Box<dyn Client>,
    /// The last operation did not succeed: with any binding but to a node, go elsewhere.
    failed: bool,
    /// Where the last refusal pointed.
    pointed_to: Option<String>,
}

impl BoundClient {
    /// Client number `number`: it begins with node `number` mod n of the n members, which come first of the nodes.
    pub(super) fn new(
        system: Arc<dyn System>,
        (nodes, n_members): (Arc<[Member]>, usize),
        bind: Bind,
        number: u32,
        activity: Arc<Activity>,
    ) -> BoundClient {
        let at = number as usize % n_members;
        let current = system.client(&nodes[at], &format!("c{number}"));
        BoundClient {
            system,
            nodes,
            n_members,
            bind,
            number,
            activity,
            at,
            current,
            failed: bind == Bind::Leader,
            pointed_to: None,
        }
    }

    fn stays_through_timeouts(&self) -> bool {
        self.bind == Bind::Follow && self.number % 2 == 1
    }

    async fn move_on(&mut self) {
        let pointed_to = self.pointed_to.take();
        let pointed_to = pointed_to.and_then(|node| self.nodes.iter().position(|member| member.id == node));
        let leader = match pointed_to {
            Some(_) => pointed_to,
            None if self.bind == Bind::Leader => find_leader(&*self.system, &self.nodes).await,
            None => None,
        };
        let next = leader.unwrap_or((self.at + 1) % self.n_members);
        // Behind a balancer the next node is whoever the next connection gets.
        if next != self.at || self.nodes[next].id == BALANCER {
            self.at = next;
            self.current = self.system.client(&self.nodes[next], &format!("c{}", self.number));
        }
        self.failed = false;
    }
}

async fn find_leader(system: &dyn System, members: &[Member]) -> Option<usize> {
    for (index, member) in members.iter().enumerate() {
        if let Ok(Some(true)) = system.is_leader(member).await {
            return Some(index);
        }
    }
    None
}

impl Client for BoundClient {
    fn prepare<'a>(&'a mut self, operation: &'a Operation, stamp: Stamp, deadline: Duration) -> BoxFuture<'a, Result<(), ErrorNote>> {
        Box::pin(async move {
            self.activity.begin(self.number, &operation.key);
            if self.failed && self.bind != Bind::Node {
                self.move_on().await;
            }
            let prepared = self.current.prepare(operation, stamp, deadline).await;
            if let Err(note) = &prepared {
                self.failed = true;
                self.pointed_to.clone_from(&note.leader);
            }
            prepared
        })
    }

    fn perform<'a>(&'a mut self, operation: &'a Operation, deadline: Duration) -> BoxFuture<'a, Outcome> {
        Box::pin(async move {
            let outcome = self.current.perform(operation, deadline).await;
            self.failed |= match &outcome {
                Outcome::Ok(_) => false,
                // It answered; only what it said was not what was hoped for.
                Outcome::Failed(note) if note.kind == MISMATCH => false,
                Outcome::Failed(note) | Outcome::Unknown(note) => !(self.stays_through_timeouts() && note.kind == "timeout"),
            };
            if let Outcome::Failed(note) = &outcome {
                self.pointed_to.clone_from(&note.leader);
            }
            self.activity.completed.fetch_add(1, Ordering::Relaxed);
            outcome
        })
    }

    fn node(&self) -> &str {
        self.current.node()
    }

    fn abandon(&mut self) {
        self.failed |= !self.stays_through_timeouts();
        self.current.abandon();
    }
}
