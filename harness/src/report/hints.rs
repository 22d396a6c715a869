//! What the reader may want to type next, ready to paste. A hint never names what the reader has just done.

use std::path::Path;

use anstyle::AnsiColor;
use squall_checker::verdict::Verdict;

use super::Report;
use super::text::set_off;
use super::words::shown;
use crate::results::RunFolder;

/// What the reader has just done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Done {
    /// `squall run`.
    Run,
    /// `squall check`.
    Check {
        /// With `--numbers`.
        numbers: bool,
    },
}

/// The hints, one line each, set off by an empty line, styled for [`super::stdout::print`].
///
/// `typed` is what the reader typed to name the input. A run folder is named by its path instead: what was typed may be short for one in a
/// results folder that another option named.
pub fn text(report: &Report, done: Done, typed: &Path, folder: Option<&RunFolder>) -> String {
    let mut hints = Vec::new();
    let named = pasted(&folder.map_or_else(|| typed.to_path_buf(), RunFolder::typed));
    let verdict = report.judgement.verdict;
    if verdict == Verdict::Invalid
        && let Some(folder) = folder.filter(|folder| folder.plan().exists())
    {
        let (what, plan) = match folder.replay() {
            replay if replay.exists() => ("strike the same nodes again", replay),
            _ => ("run the same plan again", folder.plan()),
        };
        hints.push(format!("{what} with `squall run --plan {}`", pasted(&folder.as_typed(&plan))));
    }
    if matches!(verdict, Verdict::HarnessError | Verdict::Vacuous) && report.header.is_some() {
        hints.push("see what this machine can do with `squall doctor`".into());
    }
    match done {
        Done::Run => hints.push(format!("judge it again with `squall check {named}`")),
        Done::Check { numbers: false } => hints.push(format!("see latencies and faults with `squall check {named} --numbers`")),
        Done::Check { numbers: true } => {}
    }
    let style = AnsiColor::Cyan.on_default();
    let lines: Vec<String> = hints.iter().map(|hint| format!("{style}hint:{style:#} {}", shown(hint))).collect();
    set_off(&lines)
}

/// A path as a shell takes it: quoted only where it must be.
fn pasted(path: &Path) -> String {
    // `.` without its dot.
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    let text = path.to_string_lossy();
    let plain = |char: char| char.is_ascii_alphanumeric() || "_./-=:+@,%".contains(char);
    if !text.is_empty() && text.chars().all(plain) {
        text.into_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_quoted_only_where_a_shell_needs_it() {
        assert_eq!(pasted(Path::new("results/latest")), "results/latest");
        assert_eq!(pasted(Path::new("")), ".");
        assert_eq!(pasted(Path::new("my runs/it's")), r"'my runs/it'\''s'");
    }
}
