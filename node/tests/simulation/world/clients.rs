//! The clients of the simulated world: each issues one operation at a time and writes down what it saw.

use rand::RngExt;
use squall_node::core::ClientRef;
use squall_node::message::{Outcome, RequestBody};

use super::{Happening, MS, World};
use crate::zones::{Kind, NEVER, Operation};

impl World {
    pub(super) fn request(&mut self, client: usize) {
        if self.operations_left == 0 {
            return;
        }
        self.operations_left -= 1;
        let key = format!("k{}", self.chance.random_range(0..2));
        let deletes = f64::from(self.setting.deletes_percent) / 100.0;
        let (kind, body) = if deletes > 0.0 && self.chance.random_bool(deletes) {
            (Kind::Delete, RequestBody::Delete { key: key.as_str().into() })
        } else if self.chance.random_bool(0.4) {
            self.next_value += 1;
            let value = self.next_value;
            (
                Kind::Write(value),
                RequestBody::Put {
                    key: key.as_str().into(),
                    value: value.to_string().into(),
                },
            )
        } else {
            (Kind::Read(None), RequestBody::Get { key: key.as_str().into() })
        };
        let now_ns = self.now_ns;
        let state = &mut self.clients[client];
        state.requests += 1;
        let request = ClientRef {
            connection: client as u64,
            request: state.requests,
        };
        state.open = Some((state.requests, key, kind, now_ns));
        let (at, delay) = (self.any_node(), self.delay());
        self.later(delay, Happening::Arrive { at, request, body });
        self.later(400 * MS, Happening::GiveUp { request });
    }

    /// Takes the client's open operation, if this is the one meant.
    fn close(&mut self, request: ClientRef) -> Option<(String, Kind, u64)> {
        let client = usize::try_from(request.connection).unwrap();
        let (number, ..) = self.clients[client].open.as_ref()?;
        if *number != request.request {
            return None;
        }
        let (_, key, kind, start) = self.clients[client].open.take()?;
        let delay = self.delay() / 4;
        self.later(delay, Happening::Request { client });
        Some((key, kind, start))
    }

    pub(super) fn reply(&mut self, request: ClientRef, outcome: Outcome) {
        let Some((key, kind, start)) = self.close(request) else { return };
        let (name, kind, end) = match (&outcome, kind) {
            (Outcome::Stored { .. }, write @ (Kind::Write(_) | Kind::Delete)) => ("ok", write, self.now_ns),
            (Outcome::Siblings { values }, Kind::Read(_)) => {
                let values = values.iter().filter_map(|sibling| sibling.value.as_ref()?.parse().ok());
                ("ok", Kind::ReadSet(values.collect()), self.now_ns)
            }
            (Outcome::Value { value, .. }, Kind::Read(_)) => {
                let value = value.as_ref().map(|value| value.parse().unwrap());
                ("ok", Kind::Read(value), self.now_ns)
            }
            (Outcome::Unknown { .. }, write @ (Kind::Write(_) | Kind::Delete)) => ("unknown", write, NEVER),
            (Outcome::Failed { .. }, kind) => {
                if let Kind::Write(value) = kind {
                    self.forbidden.insert(value.to_string());
                }
                *self.record.outcomes.entry("failed").or_default() += 1;
                return;
            }
            (outcome, kind) => panic!("{kind:?} was answered by {outcome:?}"),
        };
        *self.record.outcomes.entry(name).or_default() += 1;
        self.record.histories.entry(key).or_default().push(Operation { start, end, kind });
    }

    /// No answer came: an unknown write; a read that says nothing.
    pub(super) fn give_up(&mut self, request: ClientRef) {
        let Some((key, kind, start)) = self.close(request) else { return };
        *self.record.outcomes.entry("unanswered").or_default() += 1;
        if matches!(kind, Kind::Write(_) | Kind::Delete) {
            self.record
                .histories
                .entry(key)
                .or_default()
                .push(Operation { start, end: NEVER, kind });
        }
    }
}
