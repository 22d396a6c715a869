//! Requests of a script.

use squall_node::core::{ClientRef, Event};
use squall_node::members::Text;
use squall_node::message::{RequestBody, RequestHeader};

use super::{Words, World};

impl World {
    pub(super) fn ask(&mut self, words: &Words<'_>) {
        let at = self.index(words.plain[0]);
        let text = |place: usize| repeated(words.plain[place]);
        let body = match words.plain[1] {
            "get" => RequestBody::Get { key: text(2) },
            "put" => RequestBody::Put {
                key: text(2),
                value: text(3),
            },
            "cas" => RequestBody::Cas {
                key: text(2),
                expect: Some(text(3)).filter(|expect| expect.as_ref() != "-"),
                value: text(4),
            },
            "append" => RequestBody::Append {
                key: text(2),
                value: text(3),
            },
            "delete" => RequestBody::Delete { key: text(2) },
            "session" => RequestBody::Session {},
            "change" => RequestBody::Change {
                add: words.list("add"),
                remove: words.list("remove"),
            },
            "transfer" => RequestBody::Transfer { to: text(2) },
            other => panic!("unknown request {other}"),
        };
        self.requests += 1;
        let header = RequestHeader {
            id: self.requests,
            client: words.named.get("client").map(|client| Text::from(*client)),
            seq: words.number("seq"),
            session: words.number("session"),
            deadline_ms: words.number("deadline"),
            ..RequestHeader::default()
        };
        let client = ClientRef {
            connection: 1,
            request: self.requests,
        };
        self.step(at, Event::Request { client, header, body });
    }
}

/// `x*9` stands for nine x.
fn repeated(word: &str) -> Text {
    match word.split_once('*') {
        Some((part, times)) => part.repeat(times.parse().unwrap()).into(),
        None => word.into(),
    }
}
