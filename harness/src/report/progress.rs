//! How far a run is: a bar on a terminal, a line every few seconds elsewhere. Always on stderr: stdout is for the answer alone.

use std::io::{IsTerminal, Write};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::words::{count, plural};

/// Between two plain lines: often enough that a CI log looks alive, seldom enough that a 15 s run stays under five lines.
const PLAIN_INTERVAL: Duration = Duration::from_secs(5);

/// A run's progress. The owner calls [`Progress::tick`] as often as it likes; drawing is limited here.
#[derive(Debug)]
pub struct Progress {
    total: Duration,
    shown: Shown,
}

#[derive(Debug)]
enum Shown {
    Bar(ProgressBar),
    Lines { next_at: Duration },
    Nothing,
}

/// Where a run stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tick<'a> {
    /// Since the run began.
    pub elapsed: Duration,
    /// Operations completed.
    pub operations: u64,
    /// Faults in force at this moment.
    pub faults: u64,
    /// The phase: `warm-up`, `storm`, `recovery`, `final`, `judging`.
    pub phase: &'a str,
}

impl Progress {
    /// Starts to show a run that is meant to take `total`.
    pub fn start(total: Duration) -> Progress {
        let shown = if std::io::stderr().is_terminal() {
            Shown::Bar(bar(total))
        } else {
            Shown::Lines { next_at: PLAIN_INTERVAL }
        };
        Progress { total, shown }
    }

    /// Shows nothing: for a supervisor that reports for its runs.
    pub fn hidden() -> Progress {
        Progress {
            total: Duration::ZERO,
            shown: Shown::Nothing,
        }
    }

    /// Takes note of where the run is.
    pub fn tick(&mut self, tick: Tick<'_>) {
        match &mut self.shown {
            Shown::Bar(bar) => {
                bar.set_position(millis(tick.elapsed));
                bar.set_message(tick.to_string());
            }
            Shown::Lines { next_at } => {
                if tick.elapsed >= *next_at {
                    *next_at = next_line_at(tick.elapsed);
                    // A closed stderr is no reason to lose a run.
                    let _ = writeln!(std::io::stderr().lock(), "{}", plain_line(self.total, tick));
                }
            }
            Shown::Nothing => {}
        }
    }
}

/// Removes the bar, so that what follows stands alone; also when the task that owned it was cancelled.
impl Drop for Progress {
    fn drop(&mut self) {
        if let Shown::Bar(bar) = &self.shown {
            bar.finish_and_clear();
        }
    }
}

impl std::fmt::Display for Tick<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.phase, plural(self.operations, "operation"))?;
        if self.faults > 0 {
            write!(f, ", {} in force", plural(self.faults, "fault"))
        } else {
            Ok(())
        }
    }
}

fn plain_line(total: Duration, tick: Tick<'_>) -> String {
    format!(
        "{:>3} of {} s  {tick}",
        tick.elapsed.as_secs(),
        count(total.as_secs_f64().round() as u64)
    )
}

/// The next whole multiple of the interval: lines keep their beat whatever the rhythm of the ticks.
fn next_line_at(elapsed: Duration) -> Duration {
    let passed = elapsed.as_secs() / PLAIN_INTERVAL.as_secs();
    PLAIN_INTERVAL * u32::try_from(passed + 1).unwrap_or(u32::MAX)
}

fn bar(total: Duration) -> ProgressBar {
    let style = ProgressStyle::with_template("{elapsed:>4} [{bar:30}] {msg}").expect("the template is a constant that a test draws");
    ProgressBar::with_draw_target(Some(millis(total).max(1)), ProgressDrawTarget::stderr_with_hz(10))
        .with_style(style.progress_chars("=> "))
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TICK: Tick<'_> = Tick {
        elapsed: Duration::from_millis(7_300),
        operations: 12_345,
        faults: 1,
        phase: "storm",
    };

    #[test]
    fn a_plain_line_says_how_far_and_what_is_in_force() {
        assert_eq!(
            plain_line(Duration::from_secs(15), TICK),
            "  7 of 15 s  storm: 12 345 operations, 1 fault in force"
        );
        let calm = Tick {
            faults: 0,
            operations: 1,
            ..TICK
        };
        assert_eq!(plain_line(Duration::from_secs(15), calm), "  7 of 15 s  storm: 1 operation");
    }

    #[test]
    fn plain_lines_keep_their_beat() {
        assert_eq!(next_line_at(Duration::from_millis(5_010)), Duration::from_secs(10));
        assert_eq!(next_line_at(Duration::from_millis(23_000)), Duration::from_secs(25));
    }

    #[test]
    fn the_bar_can_be_drawn() {
        let bar = bar(Duration::from_secs(15));
        bar.set_draw_target(ProgressDrawTarget::hidden());
        let mut progress = Progress {
            total: Duration::from_secs(15),
            shown: Shown::Bar(bar),
        };
        progress.tick(TICK);
        drop(progress);
        Progress::hidden().tick(TICK);
    }
}
