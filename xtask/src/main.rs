//! `cargo xtask report` and `cargo xtask test`: the two commands of the README, each the first one after a clone.
//!
//! What belongs here: setting up what is missing, and running cargo and our binaries. What does not: anything that a
//! package of the project should do itself. It builds in seconds, since it is compiled before anything else.

mod cargo;
mod needs;

use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::cargo::Workspace;

/// Exit code for "something that is needed is not here" (DESIGN: subject or stack not available).
const NOT_AVAILABLE: u8 = 3;

/// Development tasks of this repository.
#[derive(Debug, Parser)]
#[command(bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Set up what is missing, run the before/after comparison and write the report
    #[command(after_help = "\
Examples:
  cargo xtask report --quick              about a minute measured, two with warm-up
  cargo xtask report                      the full settings of the workload
  cargo xtask report -- --seed 7          options after -- go to `loadtest compare`

The report is target/loadtest/latest/report.html. Exit codes are those of `loadtest --help`.")]
    Report(ReportArgs),
    /// Set up what is missing and run all tests
    #[command(after_help = "\
Examples:
  cargo xtask test                        everything
  cargo xtask test -- -p measure          arguments after -- go to `cargo test`")]
    Test(TestArgs),
}

#[derive(Debug, Args)]
struct ReportArgs {
    /// Short settings: about a minute measured, two with warm-up
    #[arg(long)]
    quick: bool,
    /// Options for `loadtest compare`
    #[arg(last = true)]
    options: Vec<String>,
}

#[derive(Debug, Args)]
struct TestArgs {
    /// Arguments for `cargo test` instead of --workspace
    #[arg(last = true)]
    arguments: Vec<String>,
}

fn main() -> ExitCode {
    match run(Cli::parse().command) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> anyhow::Result<ExitCode> {
    if !needs::provide()? {
        return Ok(ExitCode::from(NOT_AVAILABLE));
    }
    let workspace = Workspace::find()?;
    // The end-to-end tests and the report measure the same build: the release one.
    workspace.cargo(&[
        "build",
        "--release",
        "--locked",
        "-p",
        "loadtest",
        "-p",
        "insurance-service",
    ])?;
    match command {
        Command::Report(arguments) => report(&workspace, &arguments),
        Command::Test(arguments) => test(&workspace, &arguments),
    }
}

fn report(workspace: &Workspace, arguments: &ReportArgs) -> anyhow::Result<ExitCode> {
    let mut words = vec![
        "compare",
        "--workload",
        "scenarios/workloads/phase2-mix.toml",
        "--targets",
        "scenarios/targets/phase2.toml",
    ];
    if arguments.quick {
        words.push("--quick");
    }
    words.extend(arguments.options.iter().map(String::as_str));
    words.extend(["profile:phase1", "profile:phase2"]);
    workspace.become_binary("loadtest", &words)
}

fn test(workspace: &Workspace, arguments: &TestArgs) -> anyhow::Result<ExitCode> {
    let mut words = vec!["test", "--locked", "--no-fail-fast"];
    if arguments.arguments.is_empty() {
        words.push("--workspace");
    }
    words.extend(arguments.arguments.iter().map(String::as_str));
    workspace.cargo(&words)?;
    Ok(ExitCode::SUCCESS)
}
