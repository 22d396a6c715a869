//! `squall run`: one run in a sandbox, judged afterwards; or many, one after another.

use std::collections::BTreeMap;
use std::io::{IsTerminal, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use anyhow::{Context, Result};
use squall_checker::history::mark::EndReason;
use squall_checker::verdict::Verdict;
use squall_nemeses::Mechanism;

use super::history_file::HistoryArgs;
use super::judging::JudgeArgs;
use super::plan::{PLAN_ARGUMENTS, PlanArgs, draw_seed, parse_time_ms, read, say_outage};
use super::refusal::Asked;
use super::{check, hold, network};
use crate::exit::{self, usage};
use crate::plan::{Plan, fault_info};
use crate::record::seal;
use crate::report::hints::Done;
use crate::report::stdout;
use crate::results::{Input, RunFolder};
use crate::sandbox::disks;
use crate::sandbox::enter::{self, Guardian, Orders};
use crate::sandbox::groups::{Keeper, Provided};
use crate::supervise::{Signals, spawn_unblocked};

/// What `squall run` takes.
#[derive(Debug, clap::Args)]
pub(super) struct RunArgs {
    #[command(flatten)]
    plan_args: PlanArgs,

    /// Runs this plan instead of drawing one; `-` reads it from standard input
    #[arg(long, value_name = "FILE", conflicts_with_all = PLAN_ARGUMENTS)]
    plan: Option<PathBuf>,

    /// Where run folders go
    #[arg(long, value_name = "DIR", default_value = "results")]
    out: PathBuf,

    /// Repeats with derived seeds, and stops at the first violation
    #[arg(long, value_name = "NUM", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    runs: u32,

    /// Judges while it runs, and at the first violation freezes the nodes
    #[arg(long)]
    stop_on_violation: bool,

    /// How long frozen nodes wait for a look inside, if a person is at the terminal; ctrl-C ends it
    #[arg(long, value_name = "TIME", default_value = "10m", value_parser = parse_time_ms, requires = "stop_on_violation")]
    hold: u64,

    /// Dies with the process that started it
    #[arg(long, hide = true)]
    supervised: bool,

    /// What `--faults` was, for a run whose plan is handed over by whoever repeats it
    #[arg(long, value_name = "KINDS", hide = true, requires = "plan")]
    asked: Option<String>,
}

impl RunArgs {
    /// Says what a plan drawn here leaves out; one that was handed over says what it says.
    fn say_left_out(&self, plan: &Plan) {
        if self.plan.is_none() {
            self.plan_args.say_left_out(plan);
        }
    }

    /// How long frozen nodes are held at a violation; none if it does not stop the run. Where nobody reads, nobody is waited for.
    fn hold_ms(&self) -> Option<u64> {
        let is_read = std::io::stderr().is_terminal();
        self.stop_on_violation.then_some(if is_read { self.hold } else { 0 })
    }

    /// Who asked for the faults of the run.
    fn asked(&self) -> Asked<'_> {
        match (&self.plan, &self.asked) {
            (Some(_), Some(faults)) => Asked::Words(faults),
            (Some(path), None) => Asked::Plan(path),
            (None, _) => Asked::Words(&self.plan_args.faults),
        }
    }
}

/// Runs and judges.
pub(super) fn run(args: &RunArgs) -> Result<u8> {
    if args.supervised {
        enter::die_with_parent()?;
    }
    let mut first = match &args.plan {
        Some(path) => read(path)?,
        None => args.plan_args.plan(args.plan_args.seed.map_or_else(draw_seed, Ok)?)?,
    };
    if args.runs > 1 {
        args.say_left_out(&first);
        return repeat(args, first.seed);
    }
    let not_here = network::settle(&mut first)?;
    let system = first.system.open().map_err(|error| usage(format!("{error:#}"), ""))?;
    // First of all: whatever happens from here on, it can be repeated.
    stdout::note(&format!("seed {}", first.seed));
    args.say_left_out(&first);
    say_outage(&first);
    drop(system);
    one(&first, &args.out, args.hold_ms(), not_here, &args.asked())
}

/// One run: records in a sandbox, judges here.
fn one(plan: &Plan, out: &Path, hold_ms: Option<u64>, not_here: BTreeMap<String, String>, asked: &Asked<'_>) -> Result<u8> {
    let folder = RunFolder::create(out, plan.system.name(), plan.seed).map_err(check::results_error)?;
    let root = std::fs::canonicalize(folder.root()).with_context(|| format!("find {}", folder.root().display()))?;
    if root.to_str().is_none() {
        return Err(usage(
            format!("the path `{}` is not UTF-8", root.display()),
            "choose another folder with `--out DIR`",
        ));
    }
    std::fs::write(folder.plan(), plan.to_json()).with_context(|| format!("write {}", folder.plan().display()))?;
    let keeper = Keeper::start(plan, &folder.name())?;
    let mut provided = keeper.as_ref().map(|keeper| keeper.provided().clone()).unwrap_or_default();
    provided.no_disks = plan.needs_disks().then(disks::refusal).flatten();
    let no_disks = without_disks(plan, provided.no_disks.as_deref());
    provided.left_out.extend(no_disks.into_iter().chain(not_here));
    if let Some(refusal) = asked.refusal(&plan.kinds(), &provided.left_out) {
        // Nothing was recorded, so nothing is to be found.
        let _ = std::fs::remove_dir_all(&root);
        return Err(refusal);
    }
    say_not_here(&provided.left_out);
    let orders = Orders {
        hold_ms,
        provided: (provided != Provided::default()).then(|| serde_json::to_string(&provided).expect("what is provided has string keys")),
    };
    let guardian = Guardian::launch(&root, &orders, hold::print)?;
    let doctor = examine_machine(&folder);
    let left = guardian.wait()?;
    if let Some(Err(error)) = keeper.map(Keeper::end) {
        stdout::note(&format!("{error:#}"));
    }
    finish_examination(doctor);
    let why = if left.last_words.is_empty() {
        format!("the inside of the sandbox ended with {}", left.ended.status)
    } else {
        left.last_words
    };
    if !folder.history().exists() {
        anyhow::bail!("the run ended before anything was recorded: {why}; see {}", folder.log().display());
    }
    // An inside that could not write its own end left a prefix, which is judged for what it is.
    let reason = if left.ended.interrupted {
        EndReason::Interrupted
    } else {
        EndReason::HarnessError
    };
    seal(&folder.history(), reason, &why).context("end the history")?;
    let typed = folder.typed();
    check::judge_and_print(
        &Input::Folder(folder),
        &typed,
        &HistoryArgs::default(),
        &JudgeArgs::default(),
        &check::Wishes::default(),
        Done::Run,
    )
}

/// Says which faults this machine leaves out: a line for each reason.
fn say_not_here(left_out: &BTreeMap<String, String>) {
    let mut by_reason: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (kind, why) in left_out {
        by_reason.entry(why).or_default().push(kind);
    }
    for (why, kinds) in by_reason {
        let plural = if kinds.len() > 1 { "s" } else { "" };
        stdout::note(&format!("left out fault{plural} {}: {why}", kinds.join(", ")));
    }
}

/// The kinds of faults that need a disk of ours, where none can be mounted.
fn without_disks(plan: &Plan, refusal: Option<&str>) -> BTreeMap<String, String> {
    let Some(why) = refusal else { return BTreeMap::new() };
    let need_disks = |kind: &&str| fault_info(kind).is_ok_and(|info| info.mechanism == Mechanism::Disks);
    plan.kinds()
        .into_iter()
        .filter(need_disks)
        .map(|kind| (kind.to_owned(), why.to_owned()))
        .collect()
}

/// Starts `squall doctor` for the run's records; it takes a tenth of a second beside the start of the cluster.
fn examine_machine(folder: &RunFolder) -> Option<Child> {
    let file = std::fs::File::create(folder.doctor()).ok()?;
    Command::new("/proc/self/exe")
        .args(["doctor", "--json", "--of-run"])
        .stdin(Stdio::null())
        .stdout(file)
        .stderr(Stdio::null())
        .spawn()
        .ok()
}

fn finish_examination(doctor: Option<Child>) {
    if let Some(mut doctor) = doctor {
        // It has limits of its own, far below the length of any run.
        let _ = doctor.kill();
        let _ = doctor.wait();
    }
}

/// Many runs, each a process of its own; ends at the first violation. The verdicts merge as rules do.
fn repeat(args: &RunArgs, first_seed: u64) -> Result<u8> {
    let mut worst = Verdict::Valid;
    let signals = Signals::take()?;
    for number in 0..args.runs {
        let plan = match &args.plan {
            Some(path) => read(path)?,
            None => args.plan_args.plan(derived_seed(first_seed, number))?,
        };
        stdout::note(&format!("run {} of {}, seed {}", number + 1, args.runs, plan.seed));
        let status = supervise_one(&plan, args, &signals)?;
        match status.code().and_then(|code| u8::try_from(code).ok()) {
            Some(exit::VALID) => {}
            Some(exit::UNKNOWN) => worst = Verdict::merge([worst, Verdict::Unknown]),
            Some(exit::VACUOUS) => worst = Verdict::merge([worst, Verdict::Vacuous]),
            Some(exit::HARNESS_ERROR) => worst = Verdict::merge([worst, Verdict::HarnessError]),
            // A violation, an interruption, a usage error: the next run would not change it.
            Some(code) => return Ok(code),
            None => worst = Verdict::merge([worst, Verdict::HarnessError]),
        }
    }
    stdout::print(&format!("{} runs, no violation: {worst}\n", args.runs));
    Ok(exit::of_verdict(worst, false))
}

/// One run as a process of its own. A signal to us is passed on, and its orderly end awaited.
fn supervise_one(plan: &Plan, args: &RunArgs, signals: &Signals) -> Result<ExitStatus> {
    let hold = args
        .stop_on_violation
        .then(|| ["--stop-on-violation".to_owned(), format!("--hold={}ms", args.hold)]);
    let mut command = Command::new("/proc/self/exe");
    command
        .args(["run", "--supervised", "--plan", "-", "--out"])
        .arg(&args.out)
        .args(hold.into_iter().flatten())
        .args(args.plan.is_none().then(|| format!("--asked={}", args.plan_args.faults)))
        .stdin(Stdio::piped())
        // A group of its own: a terminal's ctrl-C reaches us alone and is passed on once.
        .process_group(0);
    let mut child = spawn_unblocked(&mut command).context("start a run")?;
    let mut stdin = child.stdin.take().expect("stdin was asked to be a pipe");
    stdin.write_all(plan.to_json().as_bytes()).context("hand over the plan")?;
    drop(stdin);
    let ended = signals.wait_for(&mut child, |child| {
        // It may have ended this moment; then there is nothing to pass on.
        let pid = nix::unistd::Pid::from_raw(child.id().cast_signed());
        let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM);
    })?;
    Ok(ended.status)
}

/// Seed of run `number`: the first is the given one, the others follow from it by SplitMix64's increment, so that neighbouring
/// first seeds share no run. Kept to 53 bits: every JSON reader can hold it.
fn derived_seed(first: u64, number: u32) -> u64 {
    if number == 0 {
        first
    } else {
        first.wrapping_add(u64::from(number).wrapping_mul(0x9e37_79b9_7f4a_7c15)) & ((1 << 53) - 1)
    }
}
