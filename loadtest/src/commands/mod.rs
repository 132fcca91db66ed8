//! One file per subcommand: its arguments, and what it reads, does and leaves behind, in that order. Beside them
//! stands what several share: `session` (commands that drive load), `files` (what is read) and `ending` (what is
//! printed last).

pub(crate) mod capacity;
pub(crate) mod compare;
pub(crate) mod doctor;
mod ending;
mod files;
pub(crate) mod history;
pub(crate) mod judge;
pub(crate) mod merge;
pub(crate) mod report;
pub(crate) mod run;
mod session;
pub(crate) mod stack;

use std::process::ExitCode;

use clap::Parser;

use crate::{
    canary,
    cli::{self, Cli, Command},
};

/// Parses the command line and runs its command. What the command returns is the exit code; errors are printed.
#[tokio::main]
pub async fn run() -> ExitCode {
    let cli = Cli::parse();
    for notice in cli::renamed(std::env::args_os()) {
        eprintln!("{notice}");
    }
    let outcome = match cli.command {
        Command::Compare(arguments) => compare::compare(&arguments).await,
        Command::Run(arguments) => run::run(&arguments).await,
        Command::Merge(arguments) => merge::merge(&arguments),
        Command::Capacity(arguments) => capacity::capacity(&arguments).await,
        Command::Judge(arguments) => judge::judge(&arguments),
        Command::History(arguments) => history::history(&arguments),
        Command::Report(arguments) => report::report(&arguments),
        Command::Stack(arguments) => stack::stack(&arguments).await,
        Command::Canary => canary::serve().await,
        Command::Doctor(arguments) => doctor::doctor(&arguments).await,
    };
    let code = outcome.unwrap_or_else(|error| {
        eprintln!("error: {error}");
        error.exit_code()
    });
    ExitCode::from(code)
}
