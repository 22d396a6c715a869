//! The table of figures: every history of the table is made, read from its file and judged, each in a process of its own.
//!
//! `cargo bench -p squall-checker --bench table` makes the whole table and takes some minutes and 1 GB below the temporary folder;
//! `-- C D` only some rows; `SQUALL_TABLE_OPERATIONS=1e6` cuts longer histories to that length. A wrong verdict fails, a missed goal does
//! not: it depends on the machine.

use std::env;
use std::error::Error;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::Instant;

mod cases;
#[path = "../../tests/common/certain.rs"]
mod certain;
mod judge;
#[path = "../../tests/common/simulate.rs"]
mod simulate;

use self::cases::{Case, cases};
use self::judge::{Figures, judge};

/// The processes' tasks: a case's name and a file follow `make`, a file follows `judge`.
const MAKE: &str = "make-history";
const JUDGE: &str = "judge-history";

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> Result<ExitCode> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        [MAKE, name, path] => make(name, Path::new(path)).map(|()| ExitCode::SUCCESS),
        [JUDGE, path] => judge(Path::new(path)).map(|()| ExitCode::SUCCESS),
        _ => table(&words),
    }
}

/// Makes a case's file; says whether its fault is certain.
fn make(name: &str, path: &Path) -> Result<()> {
    let case = cases().into_iter().find(|case| case.name == name).ok_or("no such case")?;
    let mut flags = case.flags;
    flags.operations = flags.operations.min(operations_max()?);
    let simulated = simulate::simulate(&flags);
    let mut out = BufWriter::with_capacity(1 << 20, File::create(path)?);
    simulate::write(&simulated.operations, &mut out)?;
    out.flush()?;
    writeln!(io::stdout(), "{} {}", simulated.operations.len(), simulated.is_certain)?;
    Ok(())
}

fn operations_max() -> Result<usize> {
    match env::var("SQUALL_TABLE_OPERATIONS") {
        Ok(text) => Ok(text
            .parse::<f64>()
            .map_err(|error| format!("SQUALL_TABLE_OPERATIONS: {error}: `{text}`"))? as usize),
        Err(_) => Ok(usize::MAX),
    }
}

fn table(words: &[&str]) -> Result<ExitCode> {
    let wanted: Vec<&&str> = words.iter().filter(|word| !word.starts_with('-')).collect();
    let folder = env::temp_dir().join(format!("squall-table-{}", std::process::id()));
    fs::create_dir_all(&folder)?;
    let mut out = io::stdout();
    writeln!(
        out,
        "| history | operations | verdict | decided by | wall | of it reading | CPU | peak RSS | goal |\n|---|---|---|---|---|---|---|---|---|"
    )?;
    let mut wrong = Vec::new();
    for case in cases() {
        if !wanted.is_empty() && !wanted.iter().any(|name| **name == case.name) {
            continue;
        }
        let row = row(&case, &folder.join("history.jsonl"));
        // The row's file is large: the next one must find room.
        fs::remove_file(folder.join("history.jsonl"))?;
        let row = row?;
        writeln!(out, "{}", row.text)?;
        out.flush()?;
        if !row.right {
            wrong.push(case.name);
        }
    }
    fs::remove_dir(&folder)?;
    if wrong.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    writeln!(io::stderr(), "wrong verdicts: {}", wrong.join(", "))?;
    Ok(ExitCode::FAILURE)
}

struct Row {
    text: String,
    /// Whether the verdict is the one expected.
    right: bool,
}

fn row(case: &Case, path: &Path) -> Result<Row> {
    let made = run([OsStr::new(MAKE), case.name.as_ref(), path.as_ref()])?;
    let (operations, is_certain) = made.trim().split_once(' ').ok_or("the maker said nothing")?;
    let begun = Instant::now();
    let judged = run([OsStr::new(JUDGE), path.as_ref()])?;
    let wall_ms = begun.elapsed().as_secs_f64() * 1e3;
    let figures: Figures = serde_json::from_str(&judged)?;
    let expected = match (case.is_good(), is_certain) {
        (true, _) => Some("valid"),
        (false, "true") => Some("invalid"),
        (false, _) => None,
    };
    let missed = wall_ms > case.goal_ms || case.goal_mb.is_some_and(|goal_mb| figures.peak_kb > goal_mb * 1_024);
    let uncertain = if expected.is_none() { " (fault may not show)" } else { "" };
    Ok(Row {
        text: format!(
            "| {} | {operations} | {}{uncertain} | {} | {wall_ms:.0} ms | {:.0} ms | {} ms | {:.0} MB | {}{} |",
            case.name,
            figures.verdict,
            figures.algorithms,
            figures.read_ms,
            figures.cpu_ms,
            figures.peak_kb as f64 / 1_024.0,
            case.goal(),
            if missed { ": missed" } else { "" },
        ),
        right: expected.is_none_or(|expected| expected == figures.verdict),
    })
}

/// Runs this program again with a task, and returns what it printed.
fn run<const N: usize>(task: [&OsStr; N]) -> Result<String> {
    let output = Command::new(env::current_exe()?).args(task).output()?;
    if !output.status.success() {
        return Err(format!("{task:?}: {}: {}", output.status, String::from_utf8_lossy(&output.stderr)).into());
    }
    Ok(String::from_utf8(output.stdout)?)
}
