//! What a client of the quorum store does and sees: more than a register with unique values knows.

use crate::zones;
pub(crate) use crate::zones::NEVER;

/// One operation on one key. Times are those of the client.
#[derive(Clone, Debug)]
pub(crate) struct Operation {
    pub(crate) start: u64,
    /// [`NEVER`] for an unknown outcome.
    pub(crate) end: u64,
    pub(crate) kind: Kind,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Write(u64),
    /// `None` is the initial value.
    Read(Option<u64>),
    /// Writes the initial value again.
    Delete,
    /// All values that were there at a time.
    ReadSet(Vec<u64>),
}

/// The history as zones take it, if it has only what they know: values that are written once.
pub(crate) fn for_zones(history: &[Operation]) -> Option<Vec<zones::Operation>> {
    let known = |Operation { start, end, kind }: &Operation| {
        let kind = match kind {
            Kind::Write(value) => zones::Kind::Write(*value),
            Kind::Read(value) => zones::Kind::Read(*value),
            Kind::Delete | Kind::ReadSet(_) => return None,
        };
        Some(zones::Operation {
            start: *start,
            end: *end,
            kind,
        })
    };
    history.iter().map(known).collect()
}
