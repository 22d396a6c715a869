//! Wall clocks: set by a store into a page, and seen to show what they should.
//!
//! The node's own answer is the proof, where it tells the time and finely enough; else a program of ours that runs under the same page, and
//! the proof says that it is by proxy. A proxy proves nothing of a node that was seen to read its clock past the redirect.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::time::{ClockId, clock_gettime};
use squall_nemeses::clock::{self, By, Look, Reading, Seen, Set, Skew, true_ns};
use squall_nemeses::{Change, Proof};
use tokio::time::Instant;

use super::{Nemesis, blocking};
use crate::clocks::Clocks;
use crate::sandbox::place::squall_program;

/// How long a node's own answers may take to show the skew: some round trips; a drift of 1 % has gained 5 ms by then.
const OWN_BOUND: Duration = Duration::from_millis(500);
/// One answer. A node that is stopped gives none.
const ANSWER_BOUND: Duration = Duration::from_millis(250);
/// How long the proxy may take: several starts of a program on a loaded machine.
const PROXY_BOUND: Duration = Duration::from_secs(2);
/// Between two looks.
const PAUSE: Duration = Duration::from_millis(5);
/// The coarsest answer that tells whether a clock is right again.
const FINE_NS: i64 = 1_000_000;
/// What two readings of one clock by different processes are allowed to differ by.
const MARGIN_NS: i64 = 50_000;

/// What a proof must show.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Must {
    /// The clock is as it should be, and certainly wrong.
    Bite,
    /// The clock is as it should be: right, unless another fault holds it.
    Fit,
}

impl Nemesis {
    /// Sets the clocks that are to change.
    pub(super) fn set_clocks(&self, change: &Change) -> Result<BTreeMap<String, Set>> {
        let set = |(node, skew): (&String, &Skew)| Ok((node.clone(), self.clocks()?.set(node, skew)?));
        change.clocks.iter().map(set).collect()
    }

    /// Looks at the clocks of these nodes until each is seen to be as it must, or is not within the bounds.
    pub(super) async fn prove_clocks(&self, nodes: impl Iterator<Item = &String>, must: Must) -> Result<Vec<Proof>> {
        let mut proofs = Vec::new();
        for node in nodes {
            proofs.push(Proof::from(self.prove_clock(node, must).await?));
        }
        Ok(proofs)
    }

    async fn prove_clock(&self, node: &str, must: Must) -> Result<Seen> {
        let mut watch = Watch::new(self.clocks()?, node, must);
        let why = self.ask_node(&mut watch).await;
        let Some(why) = why else { return Ok(watch.seen(None)) };
        if watch.last == Some(Look::Unlike) {
            return Ok(watch.seen(Some(
                "the node's own clock is not as it was set: it reads the time past the vDSO".into(),
            )));
        }
        watch.by = By::Proxy;
        let page = self.clocks()?.path(node);
        let deadline = Instant::now() + PROXY_BOUND;
        while !watch.ok && Instant::now() < deadline {
            let page = page.clone();
            watch.look(|| blocking(move || read_by_proxy(&page))).await?;
            watch.rest().await;
        }
        // Of a heal it does: such a node cannot be wrong by us.
        if must == Must::Bite && self.clocks()?.is_passed_by(node) {
            watch.ok = false;
            return Ok(watch.seen(Some(format!(
                "{why}, and it reads the time where no fault reaches, so that a proxy proves nothing"
            ))));
        }
        Ok(watch.seen(Some(why)))
    }

    /// Asks the node itself; why its answers are no proof, if they are not.
    async fn ask_node(&self, watch: &mut Watch<'_>) -> Option<String> {
        let member = self.cluster.nodes().iter().find(|member| member.id == watch.node)?;
        let deadline = Instant::now() + OWN_BOUND;
        while !watch.ok && !watch.is_hopeless && Instant::now() < deadline {
            let ask = || async {
                let not_before_ns = true_ns();
                let told = tokio::time::timeout(ANSWER_BOUND, self.cluster.system().wall_clock(member)).await;
                let Some(told) = told.context("it does not answer in time")?? else {
                    bail!("it does not tell the time")
                };
                Ok(Reading {
                    shown_ns: told.shown_ns,
                    not_before_ns,
                    not_after_ns: true_ns(),
                    grain_ns: told.grain_ns,
                })
            };
            if let Err(error) = watch.look(ask).await {
                return Some(format!("no answer of its own: {error:#}"));
            }
            watch.rest().await;
        }
        (!watch.ok).then(|| "its own answers are too coarse".into())
    }

    fn clocks(&self) -> Result<&Clocks> {
        self.cluster
            .clocks()
            .context("a plan with clock faults has clocks that can be moved")
    }
}

/// Looks at one node's clock.
struct Watch<'a> {
    clocks: &'a Clocks,
    node: &'a str,
    must: Must,
    by: By,
    ok: bool,
    last: Option<Look>,
    /// Whether another reading of the kind would prove no more.
    is_hopeless: bool,
    off_us: Option<i64>,
    looks: u32,
    began: Instant,
}

impl<'a> Watch<'a> {
    fn new(clocks: &'a Clocks, node: &'a str, must: Must) -> Watch<'a> {
        Watch {
            clocks,
            node,
            must,
            by: By::Node,
            ok: false,
            last: None,
            is_hopeless: false,
            off_us: None,
            looks: 0,
            began: Instant::now(),
        }
    }

    /// Takes one reading, unless another fault set the clock meanwhile.
    async fn look<F: Future<Output = Result<Reading>>>(&mut self, read: impl FnOnce() -> F) -> Result<()> {
        let slot = self.clocks.slot(self.node);
        let reading = read().await?;
        if self.clocks.slot(self.node) == slot {
            let look = slot.look(&reading);
            let fits = look == Look::PerhapsRight && self.must == Must::Fit && reading.grain_ns <= FINE_NS;
            self.ok = look == Look::Wrong || fits;
            self.last = Some(look);
            self.is_hopeless = look == Look::PerhapsRight && !fits && slot.is_steady();
            self.off_us = Some(reading.off_us());
            self.looks += 1;
        }
        Ok(())
    }

    /// Between two looks, if there is to be another.
    async fn rest(&self) {
        if !self.ok && !self.is_hopeless {
            tokio::time::sleep(PAUSE).await;
        }
    }

    fn seen(self, reason: Option<String>) -> Seen {
        Seen {
            ok: self.ok,
            node: self.node.to_owned(),
            by: self.by,
            off_us: self.off_us,
            looks: self.looks,
            duration_us: u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX),
            reason,
        }
    }
}

/// Starts a program of ours under the page and hears what its clocks show. Its monotonic clock is ours, and tells when it read the other one.
fn read_by_proxy(page: &Path) -> Result<Reading> {
    let mut command = Command::new(squall_program());
    command.arg("__clocks").env_clear().stdin(Stdio::null()).stdout(Stdio::piped());
    let (child, _) = clock::spawn(&mut command, page, Command::spawn)?;
    let output = child.wait_with_output().context("hear from the clock's reader")?;
    let said = String::from_utf8_lossy(&output.stdout);
    let readings: Vec<i64> = said.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    let [before_ns, shown_ns, after_ns] = readings[..] else {
        bail!("the clock's reader said `{}`", said.trim())
    };
    let true_minus_monotonic_ns = true_ns() - monotonic_ns();
    Ok(Reading {
        shown_ns,
        not_before_ns: before_ns + true_minus_monotonic_ns - MARGIN_NS,
        not_after_ns: after_ns + true_minus_monotonic_ns + MARGIN_NS,
        grain_ns: 0,
    })
}

/// What the reader says (`squall __clocks`): its wall clock, between two readings of its monotonic one, in ns.
pub(crate) fn readings() -> String {
    let (before, shown, after) = (monotonic_ns(), true_ns(), monotonic_ns());
    format!("{before} {shown} {after}\n")
}

fn monotonic_ns() -> i64 {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec * 1_000_000_000 + now.tv_nsec
}
