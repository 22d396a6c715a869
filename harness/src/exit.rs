//! Exit codes, and the errors that decide them.
//!
//! Source: ARCHITECTURE.md, "Verdicts". The numbers are Jepsen's (jepsen.cli), so that CI scripts carry over.

use std::fmt;

use squall_checker::verdict::Verdict;

/// Every rule holds and something was proved.
pub const VALID: u8 = 0;
/// A rule is broken.
pub const INVALID: u8 = 1;
/// A budget ended or evidence is missing.
pub const UNKNOWN: u8 = 2;
/// Nothing was proved.
pub const VACUOUS: u8 = 3;
/// ctrl-C, and nothing was found before it.
pub const INTERRUPTED: u8 = 130;
/// Arguments, plan or history file are wrong.
pub const USAGE: u8 = 254;
/// The harness could not do its work.
pub const HARNESS_ERROR: u8 = 255;

/// The exit code of a judged run; an interruption masks everything but a violation.
pub fn of_verdict(verdict: Verdict, interrupted: bool) -> u8 {
    match verdict {
        Verdict::Invalid => INVALID,
        _ if interrupted => INTERRUPTED,
        Verdict::HarnessError => HARNESS_ERROR,
        Verdict::Unknown => UNKNOWN,
        Verdict::Vacuous => VACUOUS,
        Verdict::Valid => VALID,
    }
}

/// The exit code of an error: 254 if the user can mend it by typing something else, 255 otherwise.
pub fn of_error(error: &anyhow::Error) -> u8 {
    if error.downcast_ref::<UsageError>().is_some() {
        USAGE
    } else {
        HARNESS_ERROR
    }
}

/// What the user typed or handed over is wrong.
#[derive(Debug)]
pub struct UsageError {
    message: String,
    hint: String,
}

impl UsageError {
    /// What to do about it; empty if the message says so itself.
    pub fn hint(&self) -> &str {
        &self.hint
    }
}

impl fmt::Display for UsageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for UsageError {}

/// A [`UsageError`] with a hint, as the error type of the program.
pub fn usage(message: impl Into<String>, hint: impl Into<String>) -> anyhow::Error {
    UsageError {
        message: message.into(),
        hint: hint.into(),
    }
    .into()
}
