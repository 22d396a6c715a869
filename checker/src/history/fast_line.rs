//! A line of a client's operation as our recorder spells it, read by hand.

use super::cursor::{Cursor, Span};
use super::event::EventType;
use super::line::{Actor, Json, Line, Text};
use super::values::ValueId;

/// What [`Line`] holds, as places in the bytes it was read from.
#[derive(Debug, Clone, Copy)]
pub(super) struct FastLine {
    time_ns: u64,
    pub(super) process: u64,
    value: Option<FastValue>,
    kind: EventType,
    f: Span,
    key: Option<Span>,
    node: Option<Span>,
    error: Option<Span>,
}

#[derive(Debug, Clone, Copy)]
enum FastValue {
    /// An integer or null.
    Known(ValueId),
    Json(Span),
}

impl FastLine {
    /// The line that begins at `begin` of `piece` and where the one after it begins; `None` unless it is spelled as usual, is of a client,
    /// and ends there.
    #[inline]
    pub(super) fn parse(piece: &[u8], begin: usize) -> Option<(FastLine, usize)> {
        let mut cursor = Cursor::new(piece, begin);
        cursor.literal(b"{\"")?;
        if cursor.literal(b"index\":").is_some() {
            cursor.number()?;
            cursor.literal(b",\"")?;
        }
        cursor.literal(b"time\":")?;
        let time_ns = cursor.number()?;
        cursor.literal(b",\"type\":\"")?;
        let kind = match cursor.peek()? {
            b'o' => cursor.literal(b"ok\"").map(|()| EventType::Ok)?,
            b'f' => cursor.literal(b"fail\"").map(|()| EventType::Fail)?,
            _ if cursor.literal(b"invoke\"").is_some() => EventType::Invoke,
            _ => cursor.literal(b"info\"").map(|()| EventType::Info)?,
        };
        cursor.literal(b",\"process\":")?;
        let process = cursor.number()?;
        cursor.literal(b",\"f\":\"")?;
        let f = cursor.text()?;
        let mut line = FastLine {
            time_ns,
            process,
            value: None,
            kind,
            f,
            key: None,
            node: None,
            error: None,
        };
        if cursor.literal(b",\"key\":\"").is_some() {
            line.key = Some(cursor.text()?);
        }
        if cursor.literal(b",\"value\":").is_some() {
            line.value = Some(value(&mut cursor)?);
        }
        if cursor.literal(b",\"node\":\"").is_some() {
            line.node = Some(cursor.text()?);
        }
        if cursor.literal(b",\"error\":").is_some() {
            line.error = Some(cursor.any_value()?);
        }
        cursor.literal(b"}\n")?;
        Some((line, cursor.place()))
    }

    /// The line, as serde reads it. `piece` are the bytes it was read from.
    pub(super) fn line(self, piece: &[u8]) -> Line<'_> {
        let text = |span: Span| Text(span.text(piece).into());
        Line {
            time: self.time_ns,
            kind: self.kind,
            process: Actor::Client(self.process),
            f: text(self.f),
            key: self.key.map(text),
            value: self.value.map(|value| match value {
                FastValue::Known(value) => Json::Known(value),
                FastValue::Json(span) => Json::Text(span.text(piece)),
            }),
            node: self.node.map(text),
            // An explicit null is no error.
            error: self.error.map(|span| span.text(piece)).filter(|error| *error != "null"),
        }
    }
}

#[inline]
fn value(cursor: &mut Cursor<'_>) -> Option<FastValue> {
    if cursor.literal(b"null").is_some() {
        return Some(FastValue::Known(ValueId::NULL));
    }
    let place = cursor.place();
    if let Some(value) = cursor.integer() {
        // `1` may be the begin of `1.5`.
        if matches!(cursor.peek()?, b',' | b'}') {
            return Some(FastValue::Known(value));
        }
    }
    cursor.go_back_to(place);
    cursor.any_value().map(FastValue::Json)
}
