//! One operation, its three outcomes, and the interface through which a client asks a store.
//!
//! Who consumes an interface owns it: implementations stand beside the way their database is started, in `harness/src/systems/`.

use std::borrow::Cow;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

/// Longest kind and message of an [`ErrorNote`], in bytes. A node may send a megabyte with every refusal; a person reads a line.
const NOTE_BYTES_MAX: usize = 256;

/// Longest [`Seen::Foreign`] value that is kept, in bytes.
const FOREIGN_BYTES_MAX: usize = 1024;

/// What an operation does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Function {
    /// Asks for the value of a register. Changes nothing.
    Read,
    /// Sets the value of a register.
    Write,
    /// Sets the value of a register if it holds an expected one.
    Cas,
    /// Adds one to a counter.
    Increment,
    /// Asks for the value of a counter. Changes nothing.
    ReadCounter,
    /// Puts an element into a set.
    AddElement,
    /// Asks for all elements of a set. Changes nothing.
    ReadSet,
}

impl Function {
    /// All of them.
    pub const ALL: [Function; 7] = [
        Function::Read,
        Function::Write,
        Function::Cas,
        Function::Increment,
        Function::ReadCounter,
        Function::AddElement,
        Function::ReadSet,
    ];

    /// The word that stands in the history; the model gives it its meaning.
    pub fn name(self) -> &'static str {
        match self {
            Function::Read | Function::ReadCounter | Function::ReadSet => "read",
            Function::Write => "write",
            Function::Cas => "cas",
            Function::Increment | Function::AddElement => "add",
        }
    }

    /// Whether the store is the same afterwards, whatever the outcome was.
    pub fn changes_nothing(self) -> bool {
        match self {
            Function::Read | Function::ReadCounter | Function::ReadSet => true,
            Function::Write | Function::Cas | Function::Increment | Function::AddElement => false,
        }
    }
}

/// What an operation brings along.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Argument {
    /// A read brings nothing. A write of nothing is a delete.
    None,
    /// The value to write, the amount or the element to add.
    Value(i64),
    /// Of a compare-and-set: what must be there (`None`: nothing was ever written) and what comes in its place.
    Pair(Option<i64>, i64),
}

/// One operation on one key. Cloning it copies no text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operation {
    /// What it does.
    pub f: Function,
    /// The object acted on.
    pub key: Arc<str>,
    /// What it brings along.
    pub argument: Argument,
}

impl Operation {
    /// A read of the register `key`.
    pub fn read(key: impl Into<Arc<str>>) -> Operation {
        Operation::new(Function::Read, key, Argument::None)
    }

    /// A write of `value` to the register `key`.
    pub fn write(key: impl Into<Arc<str>>, value: i64) -> Operation {
        Operation::new(Function::Write, key, Argument::Value(value))
    }

    /// Any operation.
    pub fn new(f: Function, key: impl Into<Arc<str>>, argument: Argument) -> Operation {
        Operation {
            f,
            key: key.into(),
            argument,
        }
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.f.name(), self.key)?;
        match self.argument {
            Argument::None => Ok(()),
            Argument::Value(value) => write!(f, " {value}"),
            Argument::Pair(Some(expected), new) => write!(f, " {expected} {new}"),
            Argument::Pair(None, new) => write!(f, " nothing {new}"),
        }
    }
}

/// How an operation ended. None of the three is an error of the harness.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It happened.
    Ok(Seen),
    /// It certainly did not happen and never will.
    Failed(ErrorNote),
    /// It may have happened, then or later.
    Unknown(ErrorNote),
}

/// What a successful operation saw.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen {
    /// A write sees nothing; a read sees nothing where no value was ever written.
    Nothing,
    /// A value that a client may have written, or the value of a counter.
    Number(i64),
    /// The elements of a set, in the order in which the store gave them.
    List(Vec<i64>),
    /// Something no client ever writes. It is kept as what was read, because a corrupted value is a violation and no error.
    Foreign(String),
}

impl Seen {
    /// What a store that holds values as decimal text gave back; `None` where it holds nothing.
    pub fn from_text(text: Option<&str>) -> Seen {
        let Some(text) = text else { return Seen::Nothing };
        match text.parse::<i64>() {
            // `+7` and `007` parse, but nobody wrote them.
            Ok(number) if number.to_string() == text => Seen::Number(number),
            _ => Seen::foreign(text),
        }
    }

    /// Something that no client ever writes, cut to 1024 bytes.
    pub fn foreign(text: &str) -> Seen {
        Seen::Foreign(cut(text, FOREIGN_BYTES_MAX).to_owned())
    }
}

/// Why an operation did not succeed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErrorNote {
    /// A short word that can be counted: `timeout`, `no-quorum`, `unreachable`.
    pub kind: Cow<'static, str>,
    /// For a person. Hostile: it may come from a node.
    pub message: String,
    /// What a compare-and-set saw instead of what it expected: it is then a read, and the judge is told so.
    pub seen: Option<Seen>,
    /// Which node would have answered, as far as the asked one knows. Hostile, too.
    pub leader: Option<String>,
}

/// The kind of failure of a compare-and-set that found something else; the judge knows it by this name.
pub const MISMATCH: &str = "mismatch";

impl ErrorNote {
    /// A note of `kind`; both texts are cut to 256 bytes.
    pub fn new(kind: impl Into<Cow<'static, str>>, message: impl Into<String>) -> ErrorNote {
        let mut kind = kind.into();
        if kind.len() > NOTE_BYTES_MAX {
            kind = Cow::Owned(cut(&kind, NOTE_BYTES_MAX).to_owned());
        }
        let mut message = message.into();
        message.truncate(cut(&message, NOTE_BYTES_MAX).len());
        ErrorNote {
            kind,
            message,
            seen: None,
            leader: None,
        }
    }

    /// The failure of a compare-and-set that saw `seen`.
    pub fn mismatch(seen: Seen) -> ErrorNote {
        ErrorNote {
            seen: Some(seen),
            ..ErrorNote::new(MISMATCH, "")
        }
    }
}

impl fmt::Display for ErrorNote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind, self.message)
    }
}

/// The longest prefix of `text` of at most `bytes` bytes that ends between two characters.
fn cut(text: &str, bytes: usize) -> &str {
    let mut end = bytes.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// An idempotency key: which of a client's operations this is. Two requests with the same number are the same operation, and a store with
/// sessions does it once (Ongaro, "Consensus: Bridging Theory and Practice", 2014, section 6.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Stamp(
    /// The operation's number among those of its client, from 1 on; never used for another one.
    pub u64,
);

/// A boxed future, so that clients can be trait objects.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A connection that issues operations one at a time.
///
/// An operation is asked for in two steps, because only the second may be in the recorded interval: connecting and encoding would widen
/// it, and a wider interval hides violations. A client never sends one request twice of itself: a write sent again writes its value twice.
/// Whoever wants an operation tried again asks again, with the same [`Stamp`] if the store is to know it again.
///
/// Dropping a returned future abandons the operation; the runner then calls [`Client::abandon`].
pub trait Client: Send {
    /// Connects if need be and encodes the request, within `deadline`.
    ///
    /// # Errors
    /// Definite: nothing was sent.
    fn prepare<'a>(&'a mut self, operation: &'a Operation, stamp: Stamp, deadline: Duration) -> BoxFuture<'a, Result<(), ErrorNote>>;

    /// Hands the prepared request to the socket and awaits its reply. The runner reads the clock right before and right after.
    ///
    /// `Failed` is only for what certainly did not happen. A write of which one byte may have left is `Unknown` until its reply says
    /// otherwise. A read may be left `Unknown`, too: the runner knows that it changed nothing.
    fn perform<'a>(&'a mut self, operation: &'a Operation, deadline: Duration) -> BoxFuture<'a, Outcome>;

    /// The node it talks to now; asked between `prepare` and `perform`.
    fn node(&self) -> &str;

    /// Drops the connection: after every unknown outcome, after every timeout, and when a dropped future left it half-way. A late reply
    /// must never be taken for the next operation's.
    fn abandon(&mut self);
}

#[cfg(test)]
mod tests {
    use super::{ErrorNote, Seen};

    #[test]
    fn takes_only_canonical_numbers_for_values_that_somebody_wrote() {
        assert_eq!(Seen::from_text(None), Seen::Nothing);
        assert_eq!(Seen::from_text(Some("17")), Seen::Number(17));
        assert_eq!(Seen::from_text(Some("-3")), Seen::Number(-3));
        for foreign in ["", "+17", "017", "17 ", "1e3", "9223372036854775808", "\u{1b}[31m17"] {
            assert_eq!(Seen::from_text(Some(foreign)), Seen::Foreign(foreign.to_owned()));
        }
    }

    #[test]
    fn cuts_what_a_node_says_between_characters() {
        let note = ErrorNote::new("k".repeat(1000), "é".repeat(1000));
        assert_eq!((note.kind.len(), note.message.len()), (256, 256));
        let odd = ErrorNote::new("kind", format!("x{}", "é".repeat(1000)));
        assert_eq!(odd.message.len(), 255);
        assert!(matches!(Seen::from_text(Some(&"z".repeat(1 << 20))), Seen::Foreign(kept) if kept.len() == 1024));
    }
}
