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
    /// Asks for the value of a key. Changes nothing.
    Read,
    /// Sets the value of a key.
    Write,
}

impl Function {
    /// The word that stands in the history.
    pub fn name(self) -> &'static str {
        match self {
            Function::Read => "read",
            Function::Write => "write",
        }
    }

    /// Whether the store is the same afterwards, whatever the outcome was.
    pub fn changes_nothing(self) -> bool {
        match self {
            Function::Read => true,
            Function::Write => false,
        }
    }
}

/// One operation on one key. Cloning it copies no text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operation {
    /// What it does.
    pub f: Function,
    /// The object acted on.
    pub key: Arc<str>,
    /// The value to write; `None` for a read.
    pub value: Option<i64>,
}

impl Operation {
    /// A read of `key`.
    pub fn read(key: impl Into<Arc<str>>) -> Operation {
        Operation {
            f: Function::Read,
            key: key.into(),
            value: None,
        }
    }

    /// A write of `value` to `key`.
    pub fn write(key: impl Into<Arc<str>>, value: i64) -> Operation {
        Operation {
            f: Function::Write,
            key: key.into(),
            value: Some(value),
        }
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.value {
            Some(value) => write!(f, "{} {} {value}", self.f.name(), self.key),
            None => write!(f, "{} {}", self.f.name(), self.key),
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
    /// A value that a client may have written.
    Number(i64),
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
            _ => Seen::Foreign(cut(text, FOREIGN_BYTES_MAX).to_owned()),
        }
    }
}

/// Why an operation did not succeed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErrorNote {
    /// A short word that can be counted: `timeout`, `no-quorum`, `unreachable`.
    pub kind: Cow<'static, str>,
    /// For a person. Hostile: it may come from a node.
    pub message: String,
}

impl ErrorNote {
    /// A note of `kind`; both texts are cut to 256 bytes.
    pub fn new(kind: impl Into<Cow<'static, str>>, message: impl Into<String>) -> ErrorNote {
        let mut kind = kind.into();
        if kind.len() > NOTE_BYTES_MAX {
            kind = Cow::Owned(cut(&kind, NOTE_BYTES_MAX).to_owned());
        }
        let mut message = message.into();
        message.truncate(cut(&message, NOTE_BYTES_MAX).len());
        ErrorNote { kind, message }
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

/// A boxed future, so that clients can be trait objects.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A connection that issues operations one at a time.
///
/// An operation is asked for in two steps, because only the second may be in the recorded interval: connecting and encoding would widen
/// it, and a wider interval hides violations. A client never sends one operation twice: a write sent again writes its value twice.
///
/// Dropping a returned future abandons the operation; the runner then calls [`Client::abandon`].
pub trait Client: Send {
    /// Connects if need be and encodes the request, within `deadline`.
    ///
    /// # Errors
    /// Definite: nothing was sent.
    fn prepare<'a>(&'a mut self, operation: &'a Operation, deadline: Duration) -> BoxFuture<'a, Result<(), ErrorNote>>;

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
