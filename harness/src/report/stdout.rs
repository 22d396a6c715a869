//! The only places that write for a person: the answer to stdout, everything else to stderr.
//!
//! A reader that closes the pipe early (`squall list faults | head -1`) is content, not an error: failed writes are passed over.

use std::io::{IsTerminal, Write};

use anstyle::{AnsiColor, Style};

use super::words::shown;
use crate::exit::UsageError;

/// `error:` in clap's own style, so that all errors of the program look alike.
const ERROR: Style = AnsiColor::Red.on_default().bold();
const HINT: Style = AnsiColor::Cyan.on_default();

/// Writes `text` to stdout as it is; styles in it are dropped where nobody can see them (NO_COLOR, a pipe, a dumb terminal).
pub fn print(text: &str) {
    let mut out = anstream::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// Writes a value that came from a node, and a line end: as it is into a pipe, where a program wants it whole; with control characters
/// shown on a terminal.
pub fn print_foreign(text: &str) {
    let mut out = std::io::stdout().lock();
    let line = if out.is_terminal() {
        format!("{}\n", shown(text))
    } else {
        format!("{text}\n")
    };
    let _ = out.write_all(line.as_bytes()).and_then(|()| out.flush());
}

/// Writes one line to stderr that the user should know and need not act on.
pub fn note(text: &str) {
    let _ = writeln!(anstream::stderr().lock(), "{}", shown(text));
}

/// Writes an error to stderr with its causes on one line, and the hint of a [`UsageError`] below.
pub fn error(error: &anyhow::Error) {
    let _ = anstream::stderr().lock().write_all(error_text(error).as_bytes());
}

fn error_text(error: &anyhow::Error) -> String {
    let mut text = format!("{ERROR}error:{ERROR:#} {}\n", shown(&format!("{error:#}")));
    if let Some(usage) = error.downcast_ref::<UsageError>()
        && !usage.hint().is_empty()
    {
        text.push_str(&format!("{HINT}hint:{HINT:#} {}\n", shown(usage.hint())));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Context;

    #[test]
    fn an_error_is_one_line_with_its_causes_and_a_hint() {
        let plain = |error: &anyhow::Error| anstream::adapter::strip_str(&error_text(error)).to_string();
        let usage = crate::exit::usage("there is no fault `par\u{1b}tition`", "see `squall list faults`");
        assert_eq!(
            plain(&usage),
            "error: there is no fault `par\\u{1b}tition`\nhint: see `squall list faults`\n"
        );
        let other = Err::<(), _>(std::io::Error::other("disk on fire"))
            .context("cannot write the history")
            .unwrap_err();
        assert_eq!(plain(&other), "error: cannot write the history: disk on fire\n");
    }
}
