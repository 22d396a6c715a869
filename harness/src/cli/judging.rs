//! What the user may say about judging: by which model, and at what cost.
//!
//! Memory and configurations are limits within the search, so what they end is the same on every machine. Time is a question that the search
//! asks from time to time, answered here, because the checker has no clock.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use squall_checker::judge::Judging;
use squall_checker::linearizability::{Budget, Options};
use squall_checker::model::ModelChoice;

use super::plan::parse_time_ms;

/// How to judge.
#[derive(Debug, Clone, Default, clap::Args)]
pub(super) struct JudgeArgs {
    /// What the objects of the history promise; guessed by what its operations are called if it is left out
    #[arg(long, value_name = "MODEL", value_parser = model_parser())]
    model: Option<ModelChoice>,

    /// What judging may cost: a time, a size, or both; what is not decided by then is unknown
    #[arg(long, value_name = "TIME,SIZE", default_value = Limits::USUAL, value_parser = Limits::parse)]
    budget: Limits,
}

fn model_parser() -> impl TypedValueParser<Value = ModelChoice> {
    let value = |model: &ModelChoice| PossibleValue::new(model.name()).aliases(model.aliases()).help(model.functions());
    PossibleValuesParser::new(ModelChoice::ALL.iter().map(value).collect::<Vec<_>>())
        .map(|name| ModelChoice::named(&name).expect("clap lets only models pass"))
}

impl JudgeArgs {
    /// The wall clock of this judgement, which begins now.
    pub(super) fn deadline(&self) -> Deadline {
        Deadline {
            time_ms: self.budget.time_ms,
            began: Instant::now(),
            fired: AtomicBool::new(false),
        }
    }

    /// How to judge; `stop` asks the deadline.
    pub(super) fn judging<'a>(&self, stop: &'a (dyn Fn() -> bool + Sync)) -> Judging<'a> {
        Judging {
            model: self.model,
            options: Options {
                budget: Budget {
                    bytes: self.budget.bytes,
                    ..Budget::default()
                },
                threads: std::thread::available_parallelism().map_or(1, usize::from),
                stop: Some(stop),
            },
        }
    }
}

/// When judging has to end.
pub(super) struct Deadline {
    time_ms: u64,
    began: Instant,
    fired: AtomicBool,
}

impl Deadline {
    /// Whether it has passed. Once it has, it stays so: all keys end together.
    pub(super) fn passed(&self) -> bool {
        if self.fired.load(Ordering::Relaxed) {
            return true;
        }
        let passed = self.began.elapsed() >= Duration::from_millis(self.time_ms);
        if passed {
            self.fired.store(true, Ordering::Relaxed);
        }
        passed
    }

    /// What a reader must know if it ended anything.
    pub(super) fn note(&self) -> Option<String> {
        let fired = self.fired.load(Ordering::Relaxed);
        fired.then(|| {
            format!(
                "the time budget of {} ended before everything was decided: on another machine other keys may be (`--budget TIME`)",
                time(self.time_ms)
            )
        })
    }

    /// How long judging has taken so far.
    pub(super) fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }
}

/// `60s` for what can be said so, else `1500ms`.
fn time(time_ms: u64) -> String {
    if time_ms.is_multiple_of(1_000) {
        format!("{}s", time_ms / 1_000)
    } else {
        format!("{time_ms}ms")
    }
}

/// A budget as it is typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Limits {
    time_ms: u64,
    bytes: u64,
}

impl Default for Limits {
    fn default() -> Limits {
        // A CI job that is stuck says so within minutes, and its machine has twice this memory.
        Limits {
            time_ms: 120_000,
            bytes: 2 << 30,
        }
    }
}

impl Limits {
    /// [`Limits::default`] as it is typed.
    const USUAL: &'static str = "2m,2GiB";

    /// `60s`, `2GiB`, `60s,2GiB` or `2GiB,60s`; what is left out is as usual.
    fn parse(text: &str) -> Result<Limits, String> {
        let (mut time_ms, mut bytes) = (None, None);
        for part in text.split(',').map(str::trim) {
            let twice = || format!("`{part}` says twice what the budget is; write a time, a size, or both: 60s,2GiB");
            match parse_bytes(part) {
                Some(size) => {
                    if bytes.replace(size?).is_some() {
                        return Err(twice());
                    }
                }
                None => {
                    let time =
                        parse_time_ms(part).map_err(|error| format!("`{part}` is neither a time nor a size such as 2GiB: {error}"))?;
                    if time_ms.replace(time).is_some() {
                        return Err(twice());
                    }
                }
            }
        }
        let usual = Limits::default();
        Ok(Limits {
            time_ms: time_ms.unwrap_or(usual.time_ms),
            bytes: bytes.unwrap_or(usual.bytes),
        })
    }
}

/// Units of memory, in bytes.
const UNITS: [(&str, u64); 7] = [
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("kB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("B", 1),
];

/// A size with its unit; `None` for what is no size at all.
fn parse_bytes(text: &str) -> Option<Result<u64, String>> {
    let (number, factor) = UNITS.iter().find_map(|(unit, factor)| Some((text.strip_suffix(unit)?, *factor)))?;
    let bytes = number.parse::<u64>().ok().and_then(|number| number.checked_mul(factor));
    let wrong = || format!("`{text}` is no size between 1KiB and 1024GiB; write a whole number and a unit: 512MiB, 2GiB, 2GB");
    Some(bytes.filter(|bytes| (1 << 10..=1 << 40).contains(bytes)).ok_or_else(wrong))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_has_a_time_and_a_size_in_any_order() {
        let limits = |time_ms, bytes| Ok(Limits { time_ms, bytes });
        assert_eq!(Limits::parse("60s,2GiB"), limits(60_000, 2 << 30));
        assert_eq!(Limits::parse("512MiB, 2m"), limits(120_000, 512 << 20));
        assert_eq!(Limits::parse("500ms"), limits(500, 2 << 30));
        assert_eq!(Limits::parse("64kB"), limits(120_000, 64_000));
        for (unit, factor) in UNITS.into_iter().filter(|(unit, _)| *unit != "B") {
            assert_eq!(Limits::parse(&format!("3{unit}")), limits(120_000, 3 * factor));
        }
        assert_eq!(Limits::parse(Limits::USUAL), Ok(Limits::default()));
    }

    #[test]
    fn a_budget_that_cannot_be_says_what_is_wrong() {
        for (text, word) in [
            ("", "neither a time nor a size"),
            ("2GiB,1GiB", "twice"),
            ("1s,2s", "twice"),
            ("2TB", "no size"),
            ("GiB", "no size"),
            ("-1GiB", "no size"),
            ("0B", "no size"),
            ("99999999999999999999GiB", "no size"),
            ("1s,2GiB,", "neither"),
        ] {
            let error = Limits::parse(text).unwrap_err();
            assert!(error.contains(word), "{text}: {error}");
        }
    }
}
