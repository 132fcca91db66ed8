//! `loadtest`: parse the command line, run the command, turn its outcome into an exit code.

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    loadtest::run(loadtest::cli::Cli::parse())
}
