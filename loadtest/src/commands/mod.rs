//! One file per subcommand: what it reads, does and leaves behind, in that order.

pub(crate) mod capacity;
pub(crate) mod doctor;
pub(crate) mod gate;
pub(crate) mod history;
mod measure;
mod merge;
mod report;
pub(crate) mod stack;

use std::process::ExitCode;

use crate::{
    canary,
    cli::{Cli, Command},
    error::HarnessError,
};

/// Runs a command; its outcome is the exit code, errors are printed.
pub fn run(cli: Cli) -> ExitCode {
    let outcome = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(HarnessError::internal)
        .and_then(|runtime| runtime.block_on(dispatch(cli.command)));
    match outcome {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(error.exit_code())
        }
    }
}

async fn dispatch(command: Command) -> Result<u8, HarnessError> {
    match command {
        Command::Compare(arguments) => measure::compare(&arguments).await,
        Command::Run(arguments) => measure::run(&arguments).await,
        Command::Merge(arguments) => merge::merge(&arguments),
        Command::Capacity(arguments) => capacity::capacity(&arguments).await,
        Command::Gate(arguments) => gate::gate(&arguments),
        Command::History(arguments) => history::history(&arguments),
        Command::Report(arguments) => report::report(&arguments),
        Command::Stack(arguments) => stack::stack(&arguments).await,
        Command::Canary => canary::serve().await,
        Command::Doctor(arguments) => doctor::doctor(&arguments).await,
    }
}
