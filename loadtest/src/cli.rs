//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

pub use crate::commands::{
    capacity::CapacityArgs, doctor::DoctorArgs, gate::GateArgs, history::HistoryArgs, stack::StackArgs,
};
use crate::subject::{SubjectSpec, Variable};

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
        "Example: a small regression between two builds (a gate, some 12 minutes; docs/MEASURING.md)\n",
        "  loadtest compare --model open --workload scenarios/workloads/gate.toml git:main git:HEAD\n\n",
        "Example: what each feature of phase2 buys\n",
        "  loadtest compare --ablate --workload scenarios/workloads/phase2-mix.toml profile:phase2\n\n",
        "The report is target/loadtest/latest/report.html; the record beside it keeps every histogram."
    ))]
    Compare(Box<CompareArgs>),
    /// Drive load at one subject, judge its targets, write the report
    #[command(after_help = concat!(
        "Examples:\n",
        "  a service that is already up, with nothing but a workload file, 200 requests a second\n",
        "    loadtest run --workload shop.toml --target url:http://127.0.0.1:8000 --rate 200\n",
        "  the reference service, started with the servers it needs\n",
        "    loadtest run --workload scenarios/workloads/phase2-mix.toml --target profile:phase2 --quick\n\n",
        "docs/MEASURING.md describes workload files and both load models."
    ))]
    Run(Box<RunArgs>),
    /// Put records (or .hlog files) of several generators together, exactly
    #[command(after_help = concat!(
        "Example: three generators drove the same workload at the same time\n",
        "  loadtest merge a/record.json b/record.json c/record.json --out merged\n",
        "  loadtest merge a.hlog b.hlog --out merged"
    ))]
    Merge(MergeArgs),
    /// Find the highest rate that a subject holds within its targets
    #[command(after_help = concat!(
        "Examples:\n",
        "  a service that is already up: how many requests a second with a p95 below 50 ms?\n",
        "    loadtest capacity --workload shop.toml --target url:http://127.0.0.1:8000 --p95-ms 50\n",
        "  the reference service against its targets, short: shows where the limit is about\n",
        "    loadtest capacity --quick --workload scenarios/workloads/phase2-mix.toml \\\n",
        "      --targets scenarios/targets/phase2.toml --target profile:phase2\n\n",
        "Without --quick: doubling, 8 rounds of 4 loads around the limit, and ten minutes at the lower bound, which is what ",
        "may be promised. About 20 minutes. --at-least N makes it a gate: exit code 5 when it holds less."
    ))]
    Capacity(Box<CapacityArgs>),
    /// Judge a stored record: against targets, against stored baselines, or both
    #[command(after_help = concat!(
        "Examples:\n",
        "  loadtest gate target/loadtest/latest/record.json --targets scenarios/targets/phase2.toml\n",
        "  loadtest gate new/record.json --baseline old/record.json --out judged\n\n",
        "In GitHub Actions it annotates the run and writes the step's summary. A baseline is a run of another time: only ",
        "large slowdowns show; small ones take `loadtest compare`, which runs both sides in alternation."
    ))]
    Gate(GateArgs),
    /// Keep figures of runs in a file, and say since when they are what they are
    #[command(after_help = concat!(
        "Examples:\n",
        "  loadtest history add target/loadtest/latest/record.json --file history.jsonl\n",
        "  loadtest history show --file history.jsonl --html trends.html"
    ))]
    History(HistoryArgs),
    /// Write the report of a record again
    #[command(after_help = "Example:\n  loadtest report target/loadtest/latest/record.json --out /tmp/again")]
    Report(ReportArgs),
    /// Keep servers up, for working with them
    #[command(after_help = concat!(
        "Examples:\n",
        "  loadtest stack up\n",
        "  eval \"$(loadtest stack env)\"        DATABASE_URL, REDIS_URL and KAFKA_BROKERS for this shell\n",
        "  loadtest stack down"
    ))]
    Stack(StackArgs),
    /// The canary of a gate, which starts it itself
    #[command(hide = true)]
    Canary,
    /// Say which servers can be had here, by which provider, and what installs what is missing
    #[command(after_help = "Example:\n  loadtest doctor")]
    Doctor(DoctorArgs),
}

/// Arguments of `loadtest compare`.
#[derive(Debug, Args)]
pub struct CompareArgs {
    /// Subject to compare against, e.g. profile:phase1 (profile:NAME, git:REV[:PROFILE], bin:PATH[:PROFILE] or url:http://HOST)
    #[arg(value_name = "BEFORE")]
    pub before: SubjectSpec,
    /// Subject to judge, e.g. profile:phase2
    #[arg(value_name = "AFTER", required_unless_present = "ablate")]
    pub after: Option<SubjectSpec>,
    /// Switch each feature of BEFORE off in turn, and say what it buys; FILE names the features and their variables
    #[arg(
        long,
        value_name = "FILE",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "scenarios/ablations/phase2.toml",
        conflicts_with_all = ["after", "targets", "after_env"]
    )]
    pub ablate: Option<PathBuf>,
    /// A variable for BEFORE (with --ablate, for every subject); may be repeated
    #[arg(long, value_name = "NAME=VALUE")]
    pub before_env: Vec<Variable>,
    /// A variable for AFTER; may be repeated
    #[arg(long, value_name = "NAME=VALUE")]
    pub after_env: Vec<Variable>,
    /// What load, for how long, judged by what.
    #[command(flatten)]
    pub load: LoadArgs,
}

/// Arguments of `loadtest run`.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// What to measure: url:http://HOST for a service that is up, profile:NAME, git:REV[:PROFILE] or bin:PATH[:PROFILE] for one to start
    #[arg(long, value_name = "SUBJECT")]
    pub target: SubjectSpec,
    /// What load, for how long, judged by what.
    #[command(flatten)]
    pub load: LoadArgs,
}

/// What load is driven, for how long, judged by what, and where the results go.
#[derive(Debug, Args)]
pub struct LoadArgs {
    /// Workload: journeys, think times, feeders, phases
    #[arg(long, value_name = "FILE")]
    pub workload: PathBuf,
    /// Targets that must hold for the (last) subject
    #[arg(long, value_name = "FILE")]
    pub targets: Option<PathBuf>,
    /// Load model; two subjects under the open one are a gate [default: open for two git: subjects, else the workload's,
    /// closed where it has both]
    #[arg(long, value_enum)]
    pub model: Option<ModelArg>,
    /// Arrivals per second instead of the workload's (open model)
    #[arg(long, value_name = "PER_S", value_parser = positive)]
    pub rate: Option<f64>,
    /// Users instead of the workload's (closed model)
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub users: Option<u32>,
    /// The workload's short settings
    #[arg(long)]
    pub quick: bool,
    /// Blocks instead of the workload's, each launching every subject once; of a gate, in a stage (5 to 48) [default: 24]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=200))]
    pub blocks: Option<u32>,
    /// Seconds measured per launch instead of the workload's; of a gate, seconds of a slice
    #[arg(long, value_name = "S", value_parser = positive)]
    pub measure_s: Option<f64>,
    /// Seed of every random choice: order of launches, arrivals, journeys, keys, think times
    #[arg(long, value_name = "N", default_value_t = 42)]
    pub seed: u64,
    /// Where a subject that is started comes from, and where the results go.
    #[command(flatten)]
    pub place: PlaceArgs,
}

/// Where a subject that is started and its servers come from, and where the results go.
#[derive(Debug, Args)]
pub struct PlaceArgs {
    /// Where the servers of a subject that is started come from
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

/// A finite number above zero.
pub(crate) fn positive(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(number) if number.is_finite() && number > 0.0 => Ok(number),
        _ => Err("it must be a number above 0".to_owned()),
    }
}

/// Load models.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ModelArg {
    /// A fixed number of users with think time, driven by goose
    Closed,
    /// Arrivals at a rate that does not depend on the answers, driven by our own pacer
    Open,
}

/// Arguments of `loadtest merge`.
#[derive(Debug, Args)]
pub struct MergeArgs {
    /// Records, or .hlog files, of generators that drove the same workload at the same time
    #[arg(value_name = "FILE", required = true, num_args = 2..)]
    pub files: Vec<PathBuf>,
    /// Targets that must hold for the (last) subject
    #[arg(long, value_name = "FILE")]
    pub targets: Option<PathBuf>,
    /// Where the merged record and its report (or merged.hlog) go
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
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
