//! `cargo xtask report` and `cargo xtask test`: the two commands of the README, each the first one after a clone.
//!
//! What belongs here: setting up what is missing, and running cargo and our binaries. What does not: anything that a
//! package of the project should do itself. It builds in seconds, since it is compiled before anything else.

mod cargo;
mod child;
mod engine;
mod images;
mod needs;

use std::{path::PathBuf, process::ExitCode, thread};

use clap::{Args, Parser, Subcommand};

use crate::{cargo::Workspace, engine::Engine, needs::Purpose};

/// Exit code for "something that is needed is not here" (docs/ARCHITECTURE.md, "Exit codes": subject or stack not
/// available).
const NOT_AVAILABLE: u8 = 3;
/// The package that starts servers, in containers among others.
const STACK: &str = "stack";
/// The package whose tests run the release binaries.
const END_TO_END: &str = "loadtest";
/// See the root's Cargo.toml.
const TEST_PROFILE: &str = "checked";
/// Chooses the provider of all servers, where a test does not choose for itself.
const PROVIDER: &str = "STACK_PROVIDER";
/// Where the end-to-end tests find what they run.
const BINARIES: &str = "LOADTEST_BIN_DIR";
/// Tells its tests that containers were left out on purpose.
const LEAVE_OUT: &str = "STACK_TEST_NO_CONTAINERS";

/// Each makes the tests of some package run in their long form.
const LONG_FORMS: [&str; 4] = [
    "MEASURE_LONG",
    "CACHE_TESTS_LONG",
    "CONTRACT_TESTS_LONG",
    "EVENT_TESTS_LONG",
];

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
  cargo xtask report --quick              about three minutes measured, five with warm-up
  cargo xtask report                      the full settings of the workload
  cargo xtask report -- --seed 7          options after -- go to `loadtest compare`

The report is target/loadtest/latest/report.html. Exit codes are those of `loadtest --help`.")]
    Report(ReportArgs),
    /// Set up what is missing and run all tests
    #[command(after_help = "\
Examples:
  cargo xtask test                        everything; where no container engine answers, one is started (root)
  cargo xtask test --no-containers        everything but the tests of containers
  cargo xtask test --long -- -p measure   the long forms of its tests, too
  cargo xtask test -- -p measure          arguments after -- go to `cargo test`")]
    Test(TestArgs),
    /// Build the containers' images from Debian packages, for machines that reach no image registry (root)
    #[command(after_help = "\
Examples:
  cargo xtask images                      into the engine that answers (DOCKER_HOST, else Docker's socket)
  cargo xtask images --save images.tar    and into an archive, for `docker load` on another machine")]
    Images(ImagesArgs),
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
    /// Leave the tests of containers out, where no container engine can be had
    #[arg(long)]
    no_containers: bool,
    /// The long forms of the tests that have one: models, simulations, fault runs, generated requests (hours)
    #[arg(long)]
    long: bool,
    /// Arguments for `cargo test` instead of --workspace
    #[arg(last = true)]
    arguments: Vec<String>,
}

impl TestArgs {
    /// Only the package `stack` tests them.
    fn containers(&self) -> bool {
        !self.no_containers && self.covers(STACK)
    }

    /// `cargo test --workspace` builds the binaries that the end-to-end tests run; for their package alone it does not.
    fn leaves_out_binaries(&self) -> bool {
        !self.arguments.is_empty() && self.covers(END_TO_END)
    }

    /// Whether a package's tests are among those asked for.
    fn covers(&self, package: &str) -> bool {
        self.arguments.is_empty() || self.arguments.iter().any(|argument| argument == package)
    }
}

#[derive(Debug, Args)]
struct ImagesArgs {
    /// Write them into an archive, too
    #[arg(long, value_name = "FILE")]
    save: Option<PathBuf>,
}

fn main() -> ExitCode {
    let command = Cli::parse().command;
    match child::end_on_signal().and_then(|()| run(command)) {
        Ok(code) => code,
        Err(_) if child::stopped() => {
            eprintln!("interrupted");
            ExitCode::from(child::INTERRUPTED)
        }
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> anyhow::Result<ExitCode> {
    let purpose = match &command {
        Command::Report(_) => Purpose::Report,
        Command::Test(arguments) => Purpose::Tests {
            containers: arguments.containers(),
        },
        Command::Images(_) => Purpose::Images,
    };
    if !needs::provide(purpose)? {
        return Ok(ExitCode::from(NOT_AVAILABLE));
    }
    let workspace = Workspace::find()?;
    match command {
        Command::Report(arguments) => {
            build(&workspace, "release")?;
            report(&workspace, &arguments)
        }
        Command::Test(arguments) => {
            if arguments.leaves_out_binaries() {
                build(&workspace, TEST_PROFILE)?;
            }
            test(&workspace, &arguments)
        }
        Command::Images(arguments) => images(&workspace, &arguments),
    }
}

/// Builds the binaries that a measurement runs.
fn build(workspace: &Workspace, profile: &str) -> anyhow::Result<()> {
    let packages = ["-p", "loadtest", "-p", "insurance-service"];
    workspace.cargo(
        &[&["build", "--locked", "--profile", profile], &packages[..]].concat(),
        &[],
    )
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
    let engine = match arguments.containers().then(Engine::provide).transpose() {
        Ok(engine) => engine,
        Err(problem) => {
            eprintln!(
                "CONTAINERS CANNOT BE TESTED: {problem:#}\nto test everything else: cargo xtask test --no-containers"
            );
            return Ok(ExitCode::from(NOT_AVAILABLE));
        }
    };
    let mut words = vec!["--profile", TEST_PROFILE, "--locked", "--no-fail-fast"];
    match &arguments.arguments[..] {
        [] => words.push("--workspace"),
        given => words.extend(given.iter().map(String::as_str)),
    }
    prepare(workspace, engine.as_ref(), &words)?;
    let long = if arguments.long { &LONG_FORMS[..] } else { &[] };
    let long = long.iter().map(|name| (*name, "1".to_owned()));
    let mut variables = engine
        .as_ref()
        .map_or_else(|| vec![(LEAVE_OUT, "1".to_owned())], Engine::variables);
    variables.extend(long);
    if std::env::var_os(PROVIDER).is_none() {
        // An engine for the tests of containers changes nothing for the others.
        variables.push((PROVIDER, "native".to_owned()));
    }
    let binaries = workspace.binaries(TEST_PROFILE).to_string_lossy().into_owned();
    variables.push((BINARIES, binaries));
    workspace.cargo(&[&["test"], &words[..]].concat(), &variables)?;
    Ok(ExitCode::SUCCESS)
}

/// Builds the images beside the tests: one waits for packages while the other computes.
fn prepare(workspace: &Workspace, engine: Option<&Engine>, words: &[&str]) -> anyhow::Result<()> {
    thread::scope(|scope| {
        let images = engine.map(|engine| scope.spawn(|| images::build(workspace, engine)));
        let tests = workspace.cargo(&[&["test", "--no-run"], words].concat(), &[]);
        let images = images.map_or(Ok(()), |building| {
            building.join().expect("no panic while building images")
        });
        images.and(tests)
    })
}

fn images(workspace: &Workspace, arguments: &ImagesArgs) -> anyhow::Result<ExitCode> {
    let Some(engine) = Engine::running() else {
        eprintln!("no container engine answers: start one, or point DOCKER_HOST to its socket");
        return Ok(ExitCode::from(NOT_AVAILABLE));
    };
    images::build(workspace, &engine)?;
    if let Some(archive) = &arguments.save {
        images::save(&engine, archive)?;
    }
    Ok(ExitCode::SUCCESS)
}
