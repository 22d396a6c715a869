//! `squall doctor`: what this machine lets us do, found out by doing it, and what to type where it does not.
//!
//! Main decision: a probe performs the mechanism (a namespace, a mount, a rule, a signal) in a child process of its own, under a time
//! limit, and undoes it by ending. Reading a configuration is never a probe: Ubuntu's AppArmor lets `unshare` succeed and takes the
//! capabilities afterwards, container profiles refuse what the kernel offers. Settings are read only afterwards, to explain a refusal.
//! The decision not taken was to probe inside the program itself: entering a namespace cannot be undone, and a hanging mount would
//! hang the run.
//!
//! The map:
//!
//! | file | holds |
//! |---|---|
//! | `mechanism.rs` | the catalogue: every mechanism, what it is for, whether the main job needs it |
//! | `probe/` | one small function per mechanism; runs in the child |
//! | `supervise.rs` | the parent's side: a few children at a time, each with a time limit |
//! | `host.rs` | the settings of this machine that explain refusals |
//! | `mend.rs`, `packages.rs` | failure and settings in, reason and ready command out; pure |
//! | `report.rs` | the answer, as stored in every run (`doctor.json`) |
//! | `render.rs` | the answer as text |

mod host;
mod mechanism;
mod mend;
mod packages;
mod probe;
mod render;
mod report;
mod supervise;

pub use host::{Distribution, Host};
pub use mechanism::{Mechanism, Need};
pub use probe::{Failure, ProbeOutcome, Stage, run_probe};
pub use render::render;
pub use report::{Finding, Mend, Report};
pub use supervise::Options;

use std::time::Instant;

use squall_nemeses::links::Abilities;

/// Probes every mechanism of the catalogue and explains what failed. Blocks for well under a second on an idle machine; the bound is
/// the number of mechanisms / `options.n_parallel` times the limit.
///
/// Starts no thread, so it may be called before the sandbox is entered. Call it outside the sandbox: inside, it would describe the
/// sandbox. Nothing stays behind: each probe's namespaces end with its process, and its cgroup is removed even if it had to be killed.
pub fn examine(options: &Options) -> Report {
    let started = Instant::now();
    let host = Host::read();
    let answers = supervise::run_all(options);
    let findings = Mechanism::ALL
        .iter()
        .zip(answers)
        .map(|(mechanism, answer)| report::finding(*mechanism, answer, &host))
        .collect();
    report::conclude(host, findings, started.elapsed())
}

/// What the kernel's network can do to links on this machine, tried as a run would.
///
/// # Errors
/// Says what refuses, if links cannot even be cut.
pub fn link_abilities(options: &Options) -> Result<Abilities, String> {
    match supervise::run_one(probe::LINKS, options) {
        ProbeOutcome::Works { detail } => serde_json::from_str(&detail).map_err(|error| format!("the probe of links: {error}")),
        ProbeOutcome::Fails(failure) => Err(failure.to_string()),
    }
}
