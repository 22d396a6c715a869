//! What can go wrong while a fault is injected or healed, in one type.
//!
//! A fault that has no eligible target is not an error: see [`crate::Skipped`].

use std::io;

/// Shorthand for results of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a fault, a probe or a piece of network could not be had. The text says what failed; the program adds what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A system call failed.
    #[error("cannot {what}: {source}")]
    System {
        /// What was tried, as the end of a sentence that begins with "cannot".
        what: String,
        /// The operating system's reason.
        source: io::Error,
    },
    /// The kernel answered a netlink request with an error.
    #[error("kernel refused to {what}: {source}{}", text.as_deref().map(|text| format!(" ({text})")).unwrap_or_default())]
    Refused {
        /// What was asked, as the end of a sentence.
        what: String,
        /// The error number it answered.
        source: io::Error,
        /// Its own words (extended acknowledgement), if it sent any.
        text: Option<String>,
    },
    /// A program ended with an error.
    #[error("`{program}` failed with {status}: {stderr}")]
    Program {
        /// Path of the program.
        program: String,
        /// How it ended.
        status: String,
        /// The end of what it wrote to standard error.
        stderr: String,
    },
    /// Something took longer than its limit.
    #[error("{what} took longer than {limit_ms} ms")]
    Late {
        /// What was waited for.
        what: String,
        /// The limit.
        limit_ms: u64,
    },
    /// Something is missing or not as it must be.
    #[error("{0}")]
    Unusable(String),
}

impl Error {
    /// For `map_err`: a failed system call with what was tried.
    pub(crate) fn system<E: Into<io::Error>>(what: impl Into<String>) -> impl FnOnce(E) -> Error {
        move |source| Error::System {
            what: what.into(),
            source: source.into(),
        }
    }
}
