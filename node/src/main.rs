//! The thin program of the node crate; `squall node …` is the same thing.

use std::io::{IsTerminal, Write};
use std::process::ExitCode;

use clap::Parser;
use squall_node::cli::{self, NodeCommand};

/// A node of Squall's own stores.
#[derive(Parser)]
#[command(name = "squall-node", version)]
struct Program {
    #[command(flatten)]
    command: NodeCommand,
}

fn main() -> ExitCode {
    let program = Program::parse();
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
    match cli::run(&program.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let code = error.exit_code();
            // Nobody is left to tell if stderr is closed.
            let _ = writeln!(std::io::stderr(), "error: {:#}", anyhow::Error::from(error));
            ExitCode::from(code)
        }
    }
}
