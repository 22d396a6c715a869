//! The clients of the test: each issues one operation at a time, at any node, and writes down what it saw.

use std::collections::BTreeSet;

use squall_node::core::ClientRef;
use squall_node::members::NodeIndex;
use squall_node::message::{Outcome, RequestBody, RequestHeader};
use squall_node::quorum::QuorumCore;
use squall_node::sim::{Chance, Cluster};

use super::{MS, Record, Timer, Timers};
use crate::history::{Kind, NEVER, Operation};

const CLIENTS: usize = 6;
const OPERATIONS: u32 = 150;

#[derive(Default)]
struct Client {
    open: Option<Open>,
    requests: u64,
}

struct Open {
    request: u64,
    key: String,
    kind: Kind,
    start: u64,
}

pub(super) struct Clients {
    chance: Chance,
    nodes: usize,
    deletes_per_mille: u64,
    clients: Vec<Client>,
    operations_left: u32,
    next_value: u64,
    definitely_failed: BTreeSet<String>,
    record: Record,
}

impl Clients {
    pub(super) fn new(seed: u64, nodes: usize, deletes_per_mille: u64) -> Clients {
        Clients {
            chance: Chance::new(seed, "test.clients"),
            nodes,
            deletes_per_mille,
            clients: (0..CLIENTS).map(|_| Client::default()).collect(),
            operations_left: OPERATIONS,
            next_value: 0,
            definitely_failed: BTreeSet::new(),
            record: Record::default(),
        }
    }

    pub(super) fn begin(&mut self, cluster: &mut Cluster<QuorumCore>, timers: &mut Timers) {
        for client in 0..CLIENTS {
            self.free(cluster, timers, client);
        }
    }

    pub(super) fn are_done(&self) -> bool {
        self.operations_left == 0 && self.clients.iter().all(|client| client.open.is_none())
    }

    /// Values whose puts ended in a definite failure.
    pub(super) fn definitely_failed(&self) -> &BTreeSet<String> {
        &self.definitely_failed
    }

    pub(super) fn into_record(self) -> Record {
        self.record
    }

    fn free(&mut self, cluster: &mut Cluster<QuorumCore>, timers: &mut Timers, client: usize) {
        let delay_ns = self.chance.below(4 * MS);
        timers.call_in(cluster, delay_ns, Timer::Free { client });
    }

    pub(super) fn request(&mut self, cluster: &mut Cluster<QuorumCore>, timers: &mut Timers, client: usize) {
        if self.operations_left == 0 {
            return;
        }
        self.operations_left -= 1;
        let key = format!("k{}", self.chance.below(2));
        let (kind, body) = if self.deletes_per_mille > 0 && self.chance.below(1000) < self.deletes_per_mille {
            (Kind::Delete, RequestBody::Delete { key: key.as_str().into() })
        } else if self.chance.happens(400) {
            self.next_value += 1;
            let body = RequestBody::Put {
                key: key.as_str().into(),
                value: self.next_value.to_string().into(),
            };
            (Kind::Write(self.next_value), body)
        } else {
            (Kind::Read(None), RequestBody::Get { key: key.as_str().into() })
        };
        let at = NodeIndex(u16::try_from(self.chance.below(self.nodes as u64)).unwrap());
        let state = &mut self.clients[client];
        state.requests += 1;
        let request = state.requests;
        let open = Open {
            request,
            key,
            kind,
            start: cluster.now_ns(),
        };
        state.open = Some(open);
        let reference = ClientRef {
            connection: client as u64,
            request,
        };
        // Whether a node listens or not, its client waits: what was refused is as unknown as what was lost.
        cluster.request(at, reference, RequestHeader::default(), body);
        timers.call_in(cluster, 400 * MS, Timer::GiveUp { client, request });
    }

    /// Takes the client's open operation, if this is the one meant.
    fn close(&mut self, cluster: &mut Cluster<QuorumCore>, timers: &mut Timers, client: usize, request: u64) -> Option<Open> {
        let open = self.clients[client].open.take_if(|open| open.request == request)?;
        self.free(cluster, timers, client);
        Some(open)
    }

    pub(super) fn reply(&mut self, cluster: &mut Cluster<QuorumCore>, timers: &mut Timers, reference: ClientRef, outcome: Outcome) {
        let client = usize::try_from(reference.connection).unwrap();
        let Some(Open { key, kind, start, .. }) = self.close(cluster, timers, client, reference.request) else {
            return;
        };
        let now_ns = cluster.now_ns();
        let (name, kind, end) = match (outcome, kind) {
            (Outcome::Stored { .. }, write @ (Kind::Write(_) | Kind::Delete)) => ("ok", write, now_ns),
            (Outcome::Siblings { values }, Kind::Read(_)) => {
                let values = values.iter().filter_map(|sibling| sibling.value.as_ref()?.parse().ok());
                ("ok", Kind::ReadSet(values.collect()), now_ns)
            }
            (Outcome::Value { value, .. }, Kind::Read(_)) => {
                let value = value.map(|value| value.parse().unwrap());
                ("ok", Kind::Read(value), now_ns)
            }
            (Outcome::Unknown { .. }, write @ (Kind::Write(_) | Kind::Delete)) => ("unknown", write, NEVER),
            (Outcome::Failed { .. }, kind) => {
                if let Kind::Write(value) = kind {
                    self.definitely_failed.insert(value.to_string());
                }
                self.count("failed");
                return;
            }
            (outcome, kind) => panic!("{kind:?} was answered by {outcome:?}"),
        };
        self.count(name);
        self.write_down(key, Operation { start, end, kind });
    }

    /// No answer came: an unknown write; a read that says nothing.
    pub(super) fn give_up(&mut self, cluster: &mut Cluster<QuorumCore>, timers: &mut Timers, client: usize, request: u64) {
        let Some(Open { key, kind, start, .. }) = self.close(cluster, timers, client, request) else {
            return;
        };
        self.count("unanswered");
        if matches!(kind, Kind::Write(_) | Kind::Delete) {
            self.write_down(key, Operation { start, end: NEVER, kind });
        }
    }

    fn count(&mut self, outcome: &'static str) {
        *self.record.outcomes.entry(outcome).or_default() += 1;
    }

    fn write_down(&mut self, key: String, operation: Operation) {
        self.record.histories.entry(key).or_default().push(operation);
    }
}
