//! The clients of a storm: each does one thing at a time and tries it again until it is answered.

use std::collections::BTreeSet;

use rand::RngExt;
use squall_node::core::ClientRef;
use squall_node::members::Text;
use squall_node::message::{Outcome, RequestBody, RequestHeader};

use super::{Happening, MS, Work, World};
use crate::zones::{Kind, NEVER, Operation};

impl World {
    pub(super) fn ask(&mut self, client: usize) {
        if self.operations_left == 0 {
            return;
        }
        self.operations_left -= 1;
        let key = format!("k{}", self.chance.random_range(0..2));
        let dice = self.chance.random_range(0..10);
        self.next_value += 1;
        let (value, state) = (self.next_value, &mut self.clients[client]);
        state.sequence += 1;
        state.begun = self.now_ns;
        state.work = Some(match dice {
            _ if state.session.is_none() => Work::Open,
            0..3 => Work::Write { key, value },
            3..5 => Work::Append { token: value },
            _ => Work::Read { key },
        });
        self.try_again(client, None);
    }

    /// Sends the client's work, to the leader if it is known, else to anybody.
    pub(super) fn try_again(&mut self, client: usize, leader: Option<Text>) {
        let any = self.any_node();
        let target = leader.and_then(|leader| self.cluster.book.index(&leader)).unwrap_or(any);
        let state = &mut self.clients[client];
        state.requests += 1;
        state.target = target.0;
        let (connection, request) = (client as u64, state.requests);
        let body = match state.work.clone().unwrap() {
            Work::Open => RequestBody::Session {},
            Work::Write { key, value } => RequestBody::Put {
                key: key.as_str().into(),
                value: value.to_string().into(),
            },
            Work::Read { key } => RequestBody::Get { key: key.as_str().into() },
            Work::Append { token } => RequestBody::Append {
                key: "log".into(),
                value: format!("<{token}>").into(),
            },
        };
        let header = RequestHeader {
            id: request,
            client: Some(format!("c{client}").into()),
            seq: Some(state.sequence),
            session: state.session,
            ..RequestHeader::default()
        };
        let request = ClientRef { connection, request };
        let delay = self.delay();
        self.later(
            delay,
            Happening::Arrive {
                at: target,
                request,
                header,
                body,
            },
        );
        self.later(
            500 * MS,
            Happening::Lost {
                client,
                request: request.request,
            },
        );
    }

    pub(super) fn answered(&mut self, request: ClientRef, outcome: Outcome) {
        let Ok(client) = usize::try_from(request.connection) else { return };
        let Some(state) = self.clients.get_mut(client) else { return };
        if state.requests != request.request || state.work.is_none() {
            return;
        }
        match &outcome {
            Outcome::Failed { leader, .. } => {
                let leader = leader.clone();
                let delay = 10 * MS;
                if leader.is_some() {
                    return self.try_again(client, leader);
                }
                return self.later(
                    delay,
                    Happening::Lost {
                        client,
                        request: request.request,
                    },
                );
            }
            Outcome::Unknown { kind, .. } if kind.as_ref() != "session-expired" => return self.try_again(client, None),
            _ => {}
        }
        let work = state.work.take().unwrap();
        let (start, end) = (state.begun, self.now_ns);
        match (work, outcome) {
            (Work::Open, Outcome::Session { id }) => state.session = Some(id),
            (Work::Write { key, value }, Outcome::Stored { .. }) => self.histories.entry(key).or_default().push(Operation {
                start,
                end,
                kind: Kind::Write(value),
            }),
            (Work::Append { token }, Outcome::Stored { .. }) => {
                self.acked_tokens.insert(token);
            }
            (Work::Read { key }, Outcome::Value { value, .. }) if key == "log" => self.check_tokens(value.as_deref().unwrap_or("")),
            (Work::Read { key }, Outcome::Value { value, .. }) => self.histories.entry(key).or_default().push(Operation {
                start,
                end,
                kind: Kind::Read(value.map(|value| value.parse().unwrap())),
            }),
            (Work::Write { key, value }, Outcome::Unknown { .. }) => self.histories.entry(key).or_default().push(Operation {
                start,
                end: NEVER,
                kind: Kind::Write(value),
            }),
            (_, outcome) => panic!("an answer that fits nothing: {outcome:?}"),
        }
        self.answered += 1;
        let delay = self.delay();
        self.later(delay, Happening::Ask { client });
    }

    pub(super) fn check_tokens(&mut self, log: &str) {
        let mut seen = BTreeSet::new();
        for token in log.split(['<', '>']).filter(|token| !token.is_empty()) {
            assert!(seen.insert(token.parse::<u64>().unwrap()), "token {token} was appended twice");
        }
        assert!(self.acked_tokens.is_subset(&seen), "an acknowledged token is lost");
        *self.watch.counts.entry("tokens").or_default() += seen.len() as u64;
    }
}
