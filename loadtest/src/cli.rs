//! The command line: its commands and their former names. The arguments of a command stand in that command's file,
//! those that several share in `arguments`.

use std::ffi::OsString;

use clap::{Parser, Subcommand};

use crate::commands::{
    capacity::CapacityArgs, compare::CompareArgs, doctor::DoctorArgs, history::HistoryArgs, init::InitArgs,
    judge::JudgeArgs, merge::MergeArgs, report::ReportArgs, run::RunArgs, stack::StackArgs,
};

const EXIT_CODES: &str = "\
Exit codes: 0 pass, or nothing was asked · 1 internal error · 2 usage or bad input file · 3 subject or stack not \
available · 4 run invalid · 5 targets missed, or the subject did not cope · 6 regression · 7 inconclusive · \
130 interrupted";

/// Load testing with evidence: does this build meet its latency targets, and is it better or worse than that one?
#[derive(Debug, Parser)]
#[command(version = concat!(env!("CARGO_PKG_VERSION"), " (", env!("LOADTEST_GIT"), ")"), after_help = EXIT_CODES)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The subcommands; each is described where its arguments are.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Compare(Box<CompareArgs>),
    Run(Box<RunArgs>),
    Merge(MergeArgs),
    Capacity(Box<CapacityArgs>),
    #[command(alias = "gate")]
    Judge(JudgeArgs),
    History(HistoryArgs),
    Init(InitArgs),
    Report(ReportArgs),
    Stack(StackArgs),
    /// The canary of a gate, which starts it itself
    #[command(hide = true)]
    Canary,
    Doctor(DoctorArgs),
}

/// What to say about former names among the words of a command line. They still work.
pub(crate) fn renamed(words: impl Iterator<Item = OsString>) -> impl Iterator<Item = String> {
    words.enumerate().filter_map(|(index, word)| {
        let (old, new) = match (index, word.to_str()?.split('=').next()?) {
            (1, "gate") => ("loadtest gate", "loadtest judge"),
            (_, "--target") => ("--target", "--subject"),
            _ => return None,
        };
        Some(format!("note: `{old}` is now called `{new}`"))
    })
}
