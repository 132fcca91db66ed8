//! One file per subcommand: its arguments, and what it reads, does and leaves behind, in that order. Beside them
//! stands what several share: `session` (commands that drive load), `files` (what is read) and `ending` (what is
//! printed last).

pub(crate) mod capacity;
pub(crate) mod compare;
pub(crate) mod doctor;
mod ending;
mod files;
pub(crate) mod history;
pub(crate) mod init;
pub(crate) mod judge;
pub(crate) mod merge;
pub(crate) mod report;
pub(crate) mod run;
mod session;
pub(crate) mod stack;

use std::{process::ExitCode, time::Duration};

use clap::Parser;

use crate::{
    canary,
    cli::{self, Cli, Command},
    error::HarnessError,
    say,
};

/// What was left to threads that wait for the system gets so long at the end.
const SHUTDOWN_LIMIT: Duration = Duration::from_secs(1);

/// Parses the command line and runs its command. What the command returns is the exit code; errors are printed.
pub fn run() -> ExitCode {
    let cli = Cli::parse();
    for notice in cli::renamed(std::env::args_os()) {
        say::err(notice);
    }
    if matches!(&cli.command, Command::Stack(arguments) if arguments.is_keeper()) {
        stack::close_inherited();
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let outcome = runtime.map_err(HarnessError::internal).and_then(|runtime| {
        let outcome = runtime.block_on(dispatch(cli.command));
        // A name that is being looked up, or a disk that hangs, holds nobody back who has interrupted.
        runtime.shutdown_timeout(SHUTDOWN_LIMIT);
        outcome
    });
    let code = outcome.unwrap_or_else(|error| {
        say::err(format_args!("error: {}", load::printable(&error.to_string())));
        error.exit_code()
    });
    ExitCode::from(code)
}

async fn dispatch(command: Command) -> Result<u8, HarnessError> {
    match command {
        Command::Compare(arguments) => Box::pin(compare::compare(&arguments)).await,
        Command::Run(arguments) => Box::pin(run::run(&arguments)).await,
        Command::Merge(arguments) => merge::merge(&arguments),
        Command::Capacity(arguments) => capacity::capacity(&arguments).await,
        Command::Judge(arguments) => judge::judge(&arguments),
        Command::History(arguments) => history::history(&arguments),
        Command::Report(arguments) => report::report(&arguments),
        Command::Stack(arguments) => stack::stack(&arguments).await,
        Command::Canary => canary::serve().await,
        Command::Init(arguments) => init::init(&arguments).await,
        Command::Doctor(arguments) => doctor::doctor(&arguments).await,
    }
}
