//! Whom a client talks to: always the same node, the next one after a failure, or the leader of the day.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use squall_workloads::{BoxFuture, Client, ErrorNote, Operation, Outcome};

use crate::plan::Bind;
use crate::systems::{Member, System};

/// The keys that clients work on at this moment: what "a key in use" means to a fault.
pub(super) struct KeysInUse(Vec<Mutex<Option<Arc<str>>>>);

impl KeysInUse {
    /// For so many clients.
    pub(super) fn new(clients: u32) -> Arc<KeysInUse> {
        Arc::new(KeysInUse((0..clients).map(|_| Mutex::default()).collect()))
    }

    fn set(&self, client: u32, key: &Arc<str>) {
        if let Some(slot) = self.0.get(client as usize) {
            *slot.lock().expect("no holder of this lock panics") = Some(Arc::clone(key));
        }
    }

    /// The key at place `pick`, modulo their number, in alphabetical order.
    pub(super) fn pick(&self, pick: u32) -> Option<Arc<str>> {
        let keys: BTreeSet<Arc<str>> =
            self.0.iter().filter_map(|slot| slot.lock().expect("no holder of this lock panics").clone()).collect();
        let place = (pick as usize).checked_rem(keys.len())?;
        keys.into_iter().nth(place)
    }
}

/// A client with a node for every operation, chosen as [`Bind`] says.
pub(super) struct BoundClient {
    system: Arc<dyn System>,
    members: Arc<[Member]>,
    bind: Bind,
    number: u32,
    keys: Arc<KeysInUse>,
    /// Index of the current member.
    at: usize,
    current: Box<dyn Client>,
    /// The last operation did not succeed: with any binding but to a node, go elsewhere.
    failed: bool,
}

impl BoundClient {
    /// Client number `number`: it begins with node `number` mod n.
    pub(super) fn new(system: Arc<dyn System>, members: Arc<[Member]>, bind: Bind, number: u32, keys: Arc<KeysInUse>) -> BoundClient {
        let at = number as usize % members.len();
        let current = system.client(&members[at], &format!("c{number}"));
        BoundClient { system, members, bind, number, keys, at, current, failed: bind == Bind::Leader }
    }

    async fn move_on(&mut self) {
        let leader = if self.bind == Bind::Leader { self.leader().await } else { None };
        let next = leader.unwrap_or((self.at + 1) % self.members.len());
        if next != self.at {
            self.at = next;
            self.current = self.system.client(&self.members[next], &format!("c{}", self.number));
        }
        self.failed = false;
    }

    async fn leader(&self) -> Option<usize> {
        for (index, member) in self.members.iter().enumerate() {
            if let Ok(Some(true)) = self.system.is_leader(member).await {
                return Some(index);
            }
        }
        None
    }
}

impl Client for BoundClient {
    fn prepare<'a>(&'a mut self, operation: &'a Operation, deadline: Duration) -> BoxFuture<'a, Result<(), ErrorNote>> {
        Box::pin(async move {
            self.keys.set(self.number, &operation.key);
            if self.failed && self.bind != Bind::Node {
                self.move_on().await;
            }
            let prepared = self.current.prepare(operation, deadline).await;
            self.failed |= prepared.is_err();
            prepared
        })
    }

    fn perform<'a>(&'a mut self, operation: &'a Operation, deadline: Duration) -> BoxFuture<'a, Outcome> {
        Box::pin(async move {
            let outcome = self.current.perform(operation, deadline).await;
            self.failed |= !matches!(outcome, Outcome::Ok(_));
            outcome
        })
    }

    fn node(&self) -> &str {
        self.current.node()
    }

    fn abandon(&mut self) {
        self.failed = true;
        self.current.abandon();
    }
}
