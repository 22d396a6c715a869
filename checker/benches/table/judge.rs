//! One history, from its file to the verdict, and what that cost.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::hint::black_box;
use std::io::{self, BufReader, Write};
use std::path::Path;
use std::time::Instant;

use serde::{Deserialize, Serialize};
use squall_checker::history::formats::{ReadOptions, read};
use squall_checker::linearizability::{Witness, check, first_violation};
use squall_checker::verdict::Verdict;

use super::Result;

/// What judging one history cost.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Figures {
    /// The verdict on all keys together.
    pub(super) verdict: String,
    /// The algorithms that decided the keys.
    pub(super) algorithms: String,
    /// From the opening of the file until the history is in memory, in milliseconds.
    pub(super) read_ms: f64,
    /// Of the process, all threads and the kernel's work for it, in milliseconds; counted in steps of ten.
    pub(super) cpu_ms: u64,
    /// The most memory that was resident at once.
    pub(super) peak_kb: u64,
}

/// Judges the history in a file and prints the [`Figures`].
pub(super) fn judge(path: &Path) -> Result<()> {
    let begun = Instant::now();
    let file = BufReader::with_capacity(1 << 20, File::open(path)?);
    let history = read(file, &ReadOptions::default())?.history;
    let read_ms = begun.elapsed().as_secs_f64() * 1e3;
    let results = check(&history);
    black_box(first_violation(&results).and_then(|result| Witness::of(&history, result)));
    let algorithms: BTreeSet<&str> = results.iter().map(|result| result.algorithm).collect();
    let verdict = match Verdict::merge(results.iter().map(|result| result.verdict)) {
        Verdict::Valid => "valid",
        Verdict::Invalid => "invalid",
        _ => "unknown",
    };
    let figures = Figures {
        verdict: verdict.to_owned(),
        algorithms: Vec::from_iter(algorithms).join(", "),
        read_ms,
        cpu_ms: cpu_ms()?,
        peak_kb: peak_kb()?,
    };
    writeln!(io::stdout(), "{}", serde_json::to_string(&figures)?)?;
    Ok(())
}

/// Clock ticks per second in `/proc`: 100 on every Linux that runs programs (`USER_HZ`).
const TICKS_PER_SECOND: u64 = 100;

/// User and system time of this process: fields 14 and 15 of proc_pid_stat(5), counted behind the name in parentheses.
fn cpu_ms() -> Result<u64> {
    let stat = fs::read_to_string("/proc/self/stat")?;
    let (_, fields) = stat.rsplit_once(')').ok_or("no name in /proc/self/stat")?;
    let ticks = fields.split_whitespace().skip(11).take(2).map(str::parse::<u64>);
    Ok(ticks.sum::<std::result::Result<u64, _>>()? * 1_000 / TICKS_PER_SECOND)
}

/// The peak resident set of this process: `VmHWM` of proc_pid_status(5).
fn peak_kb() -> Result<u64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let peak = peak.ok_or("no VmHWM in /proc/self/status")?.trim();
    Ok(peak.trim_end_matches(" kB").parse()?)
}
