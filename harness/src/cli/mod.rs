//! The command line: what can be typed, and which exit code it ends with.
//!
//! Exit codes are those of ARCHITECTURE.md, "Verdicts"; a wrong command line is 254, never clap's own 2, which means `unknown` here.

mod check;
mod export;
mod history_file;
mod hold;
mod judging;
mod kv;
mod list;
mod network;
pub(crate) mod plan;
mod proof;
mod refusal;
mod run;
mod zoo;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

use crate::doctor;
use crate::exit;
use crate::report::stdout;
use crate::sandbox::enter::Orders;
use crate::sandbox::groups;

/// Puts a distributed store through a storm and says, with proof, whether it kept its promises.
#[derive(Debug, Parser)]
#[command(
    name = "squall",
    version,
    propagate_version = true,
    max_term_width = 100,
    help_expected = true,
    disable_help_subcommand = true
)]
#[command(after_help = "Exit codes: 0 valid, 1 invalid, 2 unknown, 3 vacuous, 130 interrupted, 254 usage error, 255 harness error.")]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Starts a cluster, drives clients through a storm of faults, and judges what they saw
    Run(run::RunArgs),
    /// Judges a saved run or any history file again, without running anything
    Check(check::CheckArgs),
    /// Prints a saved history in another format, for other checkers
    Export(export::ExportArgs),
    /// Prints the plan that `run` would execute with the same options
    Plan(plan::PrintArgs),
    /// Probes what this machine can do, and says how to mend what it cannot
    Doctor(DoctorArgs),
    /// Lists what there is: systems, workloads, faults or planted bugs
    List(list::ListArgs),
    /// Runs stores with planted bugs, and says which of them are found
    Zoo(zoo::ZooArgs),
    /// Runs one node of Squall's own stores
    Node(squall_node::cli::NodeCommand),
    /// Talks to one node of Squall's own stores
    Kv(kv::KvArgs),
    /// Prints shell completions
    Completions {
        /// The shell to complete for
        shell: clap_complete::Shell,
    },

    #[command(name = "__enter", hide = true)]
    Enter {
        /// Make a user namespace too
        #[arg(long)]
        user_namespace: bool,
        #[command(flatten)]
        orders: Orders,
        /// The run folder
        folder: PathBuf,
    },
    #[command(name = "__inside", hide = true)]
    Inside {
        #[command(flatten)]
        orders: Orders,
        /// The run folder
        folder: PathBuf,
    },
    #[command(name = "__launch", hide = true)]
    Launch {
        /// A node and its place, as JSON
        spec: String,
    },
    #[command(name = "__init", hide = true)]
    Init {
        /// A node and its place, as JSON
        spec: String,
    },
    #[command(name = "__clocks", hide = true)]
    Clocks,
    #[command(name = "__groups", hide = true)]
    Groups {
        /// The run's name
        run: String,
    },
    #[command(name = "__burn", hide = true)]
    Burn {
        /// Files by which to join control groups
        doors: Vec<PathBuf>,
    },
    #[command(name = "__hog", hide = true)]
    Hog {
        /// How much to take
        bytes: u64,
        /// Files by which to join control groups
        doors: Vec<PathBuf>,
    },
    #[command(name = "__probe", hide = true)]
    Probe {
        /// The mechanism
        name: String,
    },
}

#[derive(Debug, clap::Args)]
struct DoctorArgs {
    /// Prints the report as JSON
    #[arg(long)]
    json: bool,
    /// Dies with the run it describes
    #[arg(long, hide = true)]
    of_run: bool,
}

/// Parses the command line, does what it says and returns the exit code.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let code = if error.use_stderr() { exit::USAGE } else { exit::VALID };
            // Nothing sensible is left to do if even the error cannot be printed.
            let _ = error.print();
            return ExitCode::from(code);
        }
    };
    let done = std::panic::catch_unwind(|| dispatch(cli.verb));
    ExitCode::from(match done {
        Ok(Ok(code)) => code,
        Ok(Err(error)) => {
            stdout::error(&error);
            exit::of_error(&error)
        }
        Err(_) => exit::HARNESS_ERROR, // the panic hook has said where
    })
}

fn dispatch(verb: Verb) -> anyhow::Result<u8> {
    match verb {
        Verb::Run(args) => run::run(&args),
        Verb::Check(args) => check::check(&args),
        Verb::Export(args) => export::export(&args),
        Verb::Plan(args) => plan::print(&args),
        Verb::Doctor(args) => doctor(&args),
        Verb::List(args) => list::list(&args),
        Verb::Zoo(args) => zoo::visit(&args),
        Verb::Node(command) => node(&command),
        Verb::Kv(args) => kv::talk(&args),
        Verb::Completions { shell } => completions(shell),
        Verb::Enter {
            user_namespace,
            orders,
            folder,
        } => hidden(crate::sandbox::enter::enter(&folder, &orders, user_namespace)),
        Verb::Inside { orders, folder } => hidden(crate::run::inside(&folder, &orders)),
        Verb::Groups { run } => hidden(groups::keep(&run)),
        Verb::Burn { doors } => burn(&doors),
        Verb::Hog { bytes, doors } => {
            squall_nemeses::limits::load::hog(&doors, bytes)?;
            Ok(exit::VALID)
        }
        Verb::Launch { spec } => hidden(crate::sandbox::place::launch(&spec)),
        Verb::Init { spec } => hidden(crate::sandbox::place::init(&spec)),
        Verb::Clocks => {
            stdout::print(&crate::run::nemesis::clocks::readings());
            Ok(exit::VALID)
        }
        Verb::Probe { name } => probe(&name),
    }
}

/// Exit code of a link in the sandbox's chain: it mirrors what stands below it.
fn hidden(code: anyhow::Result<i32>) -> anyhow::Result<u8> {
    Ok(u8::try_from(code?).unwrap_or(exit::HARNESS_ERROR))
}

fn completions(shell: clap_complete::Shell) -> anyhow::Result<u8> {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "squall", &mut text);
    stdout::print(&String::from_utf8_lossy(&text));
    Ok(exit::VALID)
}

fn doctor(args: &DoctorArgs) -> anyhow::Result<u8> {
    if args.of_run {
        crate::sandbox::enter::die_with_parent()?;
    }
    // The one thing that a run may leave on the host, when whoever was to remove it was killed as well.
    let leftovers = squall_nemeses::limits::Groups::remove_leftovers()?;
    let report = doctor::examine(&doctor::Options::default());
    if args.json {
        let text = serde_json::to_string_pretty(&report).expect("a report has string keys");
        stdout::print(&format!("{text}\n"));
    } else {
        stdout::print(&doctor::render(&report));
        for group in &leftovers {
            stdout::print(&format!("removed what a killed run left: {}\n", group.display()));
        }
    }
    Ok(report.exit_code())
}

/// The work of a burner: its one line says how much time it got.
fn burn(doors: &[PathBuf]) -> anyhow::Result<u8> {
    let got_us = groups::burn(doors)?;
    stdout::print(&format!("{got_us}\n"));
    Ok(exit::VALID)
}

/// The child's side of a probe: one line of JSON, before any thread starts.
fn probe(name: &str) -> anyhow::Result<u8> {
    let outcome = doctor::run_probe(name);
    stdout::print(&format!(
        "{}\n",
        serde_json::to_string(&outcome).expect("an outcome has string keys")
    ));
    Ok(exit::VALID)
}

fn node(command: &squall_node::cli::NodeCommand) -> anyhow::Result<u8> {
    crate::log::to_stderr();
    match squall_node::cli::run(command) {
        Ok(()) => Ok(exit::VALID),
        Err(squall_node::error::NodeError::Usage(message)) => Err(exit::usage(message, "see `squall node quorum --help`")),
        Err(error) => Err(error.into()),
    }
}
