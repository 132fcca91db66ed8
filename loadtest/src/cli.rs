//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::subject::SubjectSpec;

const EXIT_CODES: &str = "\
Exit codes: 0 pass · 1 internal error · 2 usage or bad input file · 3 subject or stack not available · 4 run invalid · \
5 targets missed · 6 regression · 7 inconclusive · 130 interrupted";

/// Load testing with evidence: does this build meet its latency targets, and is it better or worse than that one?
#[derive(Debug, Parser)]
#[command(version = concat!(env!("CARGO_PKG_VERSION"), " (", env!("LOADTEST_GIT"), ")"), after_help = EXIT_CODES)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Drive the same load at two subjects in alternation, judge the targets and the difference, write the report
    #[command(after_help = concat!(
        "Example: the reference service before and after, short settings\n",
        "  loadtest compare --quick --workload scenarios/workloads/phase2-mix.toml \\\n",
        "    --targets scenarios/targets/phase2.toml profile:phase1 profile:phase2\n\n",
        "The report is target/loadtest/latest/report.html; the record beside it keeps every histogram."
    ))]
    Compare(Box<CompareArgs>),
    /// Write the report of a record again
    #[command(after_help = "Example:\n  loadtest report target/loadtest/latest/record.json --out /tmp/again")]
    Report(ReportArgs),
}

/// Arguments of `loadtest compare`.
#[derive(Debug, Args)]
pub struct CompareArgs {
    /// Subject to compare against, e.g. profile:phase1 (profile:NAME, bin:PATH or bin:PATH:PROFILE)
    #[arg(value_name = "BEFORE")]
    pub before: SubjectSpec,
    /// Subject to judge, e.g. profile:phase2
    #[arg(value_name = "AFTER")]
    pub after: SubjectSpec,
    /// Workload: journeys, think times, feeders, phases
    #[arg(long, value_name = "FILE")]
    pub workload: PathBuf,
    /// Targets that must hold for AFTER; without it, only the difference is judged
    #[arg(long, value_name = "FILE")]
    pub targets: Option<PathBuf>,
    /// Load model
    #[arg(long, value_enum, default_value_t = ModelArg::Closed)]
    pub model: ModelArg,
    /// The workload's short settings, its `[quick]` table
    #[arg(long)]
    pub quick: bool,
    /// Blocks instead of the workload's; each launches both subjects once
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=200))]
    pub blocks: Option<u32>,
    /// Seed of every random choice: order of launches, journeys, keys, think times
    #[arg(long, value_name = "N", default_value_t = 42)]
    pub seed: u64,
    /// Where the servers come from
    #[arg(long, value_name = "PROVIDER", default_value = "auto", env = "STACK_PROVIDER")]
    pub stack: String,
    /// Directory of Postgres' binaries, where several versions are installed
    #[arg(long, value_name = "DIR")]
    pub postgres_bin: Option<PathBuf>,
    /// The reference service's binary, instead of the one beside this command
    #[arg(long, value_name = "PATH", env = "LOADTEST_SERVICE")]
    pub service: Option<PathBuf>,
    /// Where the results go [default: target/loadtest/<id>, with target/loadtest/latest pointing to it]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
}

/// Load models offered by `compare`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ModelArg {
    /// A fixed number of users with think time, driven by goose
    Closed,
}

/// Arguments of `loadtest report`.
#[derive(Debug, Args)]
pub struct ReportArgs {
    /// The record to draw
    #[arg(value_name = "RECORD")]
    pub record: PathBuf,
    /// Where the report goes [default: beside the record]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
}
