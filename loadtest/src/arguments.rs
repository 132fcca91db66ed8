//! Arguments that several commands share. Those of a single command stand in that command's file.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use load::Wanted;
use measure::record::{Model, Shard};
use scenarios::{MAX_PER_S, MAX_SECONDS, Service};
use stack::StackOptions;

use crate::{
    address::WayArgs,
    error::HarnessError,
    request::{Addressed, LimitArgs, RequestArgs},
    subject::SubjectSpec,
};

/// The subject file of the workloads beside it.
pub(crate) const SUBJECT_FILE: &str = "service.toml";

/// The one subject of a command.
#[derive(Debug, Args)]
pub(crate) struct SubjectArgs {
    /// A request to a service that is up, instead of --subject and --workload
    #[arg(value_name = "URL", conflicts_with_all = ["subject", "workload"])]
    url: Option<Addressed>,
    /// What to measure: url:http://HOST for a service that is up; profile:NAME, git:REV[:PROFILE] or bin:PATH[:PROFILE]
    /// for one to start
    #[arg(long, value_name = "SUBJECT", alias = "target", required_unless_present = "url")]
    subject: Option<SubjectSpec>,
}

impl SubjectArgs {
    /// The subject, in a list of its own; one of the two arguments is there.
    pub(crate) fn subject(&self) -> &[SubjectSpec] {
        let addressed = self.url.as_ref().map(|url| &url.spec);
        addressed.or(self.subject.as_ref()).map_or(&[], std::slice::from_ref)
    }

    /// The path of the request, where an address was given.
    pub(crate) fn path(&self) -> Option<&str> {
        self.url.as_ref()?.path.as_deref()
    }
}

/// What load is driven, for how long, judged by what, and where the results go.
#[derive(Debug, Args)]
pub(crate) struct LoadArgs {
    /// Workload: journeys, think times, feeders, phases [default: one request, see below]
    #[arg(long, value_name = "FILE")]
    pub(crate) workload: Option<PathBuf>,
    /// Targets that must hold for the (last) subject
    #[arg(long, value_name = "FILE")]
    pub(crate) targets: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) limits: LimitArgs,
    /// Load model; two subjects under the open one are a gate [default: open for two git: subjects, else the
    /// workload's, closed where it has both]
    #[arg(long, value_enum)]
    pub(crate) model: Option<ModelArg>,
    /// Arrivals per second instead of the workload's (open model)
    #[arg(long, value_name = "PER_S", value_parser = rate)]
    pub(crate) rate: Option<f64>,
    /// Users instead of the workload's (closed model)
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) users: Option<u32>,
    /// The workload's short settings
    #[arg(long)]
    pub(crate) quick: bool,
    /// Blocks instead of the workload's, each launching every subject once; of a gate, in a stage (5 to 48) [default:
    /// 24]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=200))]
    pub(crate) blocks: Option<u32>,
    /// Seconds measured per launch instead of the workload's; of a gate, seconds of a slice
    #[arg(long, value_name = "S", value_parser = seconds)]
    pub(crate) measure_s: Option<f64>,
    /// The same with a unit: 500ms, 30s, 5m, 1h
    #[arg(long = "for", value_name = "TIME", value_parser = duration, conflicts_with = "measure_s")]
    pub(crate) for_s: Option<f64>,
    /// How long each launch is warmed up instead of the workload's time: 500ms, 30s
    #[arg(long = "warm-up", value_name = "TIME", value_parser = duration)]
    pub(crate) warm_up_s: Option<f64>,
    /// Ends the measured phase of a launch after so many requests, where its time does not end before
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) requests: Option<u64>,
    /// Seed of every random choice: order of launches, arrivals, journeys, keys, think times
    #[arg(long, value_name = "N", default_value_t = 42)]
    pub(crate) seed: u64,
    /// Which of several generators of one load this is, e.g. 2/3: each draws its own keys, pauses and arrivals from the
    /// seed that all of them are given; `loadtest merge` puts their records together
    #[arg(long, value_name = "I/N", value_parser = shard)]
    pub(crate) shard: Option<Shard>,
    #[command(flatten)]
    pub(crate) place: PlaceArgs,
    #[command(flatten)]
    pub(crate) request: RequestArgs,
}

/// `2/3`: the second of three.
fn shard(text: &str) -> Result<Shard, String> {
    let parts = text.split_once('/');
    let numbers = parts.and_then(|(index, of)| Some((index.parse::<u32>().ok()?, of.parse::<u32>().ok()?)));
    match numbers {
        Some((index, of)) if of >= 2 && (1..=of).contains(&index) => Ok(Shard { index, of }),
        _ => Err("it must be I/N, the I-th of N generators, like 1/3, with N at least 2".to_owned()),
    }
}

impl LoadArgs {
    /// Seconds measured, where the command line says how many.
    pub(crate) fn measure_s(&self) -> Option<f64> {
        self.measure_s.or(self.for_s)
    }

    /// What the command line says about the load model.
    pub(crate) fn wanted(&self) -> Wanted {
        let model = self.model.map(|model| match model {
            ModelArg::Closed => Model::Closed,
            ModelArg::Open => Model::Open,
        });
        Wanted {
            model,
            rate_per_s: self.rate,
            users: self.users,
        }
    }
}

/// Where a subject that is started and its servers come from, and where the results go.
#[derive(Debug, Args)]
pub(crate) struct PlaceArgs {
    #[command(flatten)]
    pub(crate) way: WayArgs,
    #[command(flatten)]
    pub(crate) servers: ServerArgs,
    /// Subject file: how the service is built, started and stopped, and what it needs [default: service.toml beside the
    /// workload, else that of the reference service]
    #[arg(long, value_name = "FILE", env = "LOADTEST_SERVICE")]
    pub(crate) service: Option<PathBuf>,
    /// Where the results go [default: target/loadtest/<id>, with target/loadtest/latest pointing to it]
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
}

/// Whether a subject file was there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Named {
    ByFile,
    /// The service is the one that is built in.
    Nowhere,
}

impl PlaceArgs {
    /// The service that is launched where anything is: of the file that was named, of the one beside the workload (or
    /// in the working directory, where there is none), or the one that is built in.
    pub(crate) fn service(&self, workload: Option<&Path>) -> Result<(Service, Named), HarnessError> {
        let beside = workload.unwrap_or(Path::new("")).with_file_name(SUBJECT_FILE);
        let beside = beside.is_file().then_some(beside);
        match self.service.as_ref().or(beside.as_ref()) {
            Some(file) => Ok((Service::load(file).map_err(HarnessError::usage)?, Named::ByFile)),
            None => Ok((Service::shipped(), Named::Nowhere)),
        }
    }
}

/// Where servers come from.
#[derive(Debug, Args)]
pub(crate) struct ServerArgs {
    /// Where the servers come from: auto, external, containers, native or embedded
    #[arg(long, value_name = "PROVIDER", default_value = "auto", env = "STACK_PROVIDER")]
    pub(crate) stack: String,
    /// Directory of Postgres' binaries, where several versions are installed
    #[arg(long, value_name = "DIR")]
    pub(crate) postgres_bin: Option<PathBuf>,
}

impl ServerArgs {
    /// The options of the stack: what the environment says, and these arguments instead where they speak.
    pub(crate) fn options(&self) -> Result<StackOptions, HarnessError> {
        Ok(StackOptions {
            choice: self.stack.parse().map_err(HarnessError::usage)?,
            postgres_bin: self.postgres_bin.clone(),
            ..StackOptions::from_env().map_err(HarnessError::usage)?
        })
    }
}

/// Load models.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ModelArg {
    /// A fixed number of users with think time, driven by goose
    Closed,
    /// Arrivals at a rate that does not depend on the answers, driven by our own pacer
    Open,
}

/// A finite number above zero.
pub(crate) fn positive(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(number) if number.is_finite() && number > 0.0 => Ok(number),
        _ => Err("it must be a number above 0".to_owned()),
    }
}

/// Seconds of a phase.
pub(crate) fn seconds(text: &str) -> Result<f64, String> {
    at_most(positive(text)?, MAX_SECONDS)
}

/// Seconds of a time with a unit; without one they are seconds.
pub(crate) fn duration(text: &str) -> Result<f64, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit_s = match &text[digits.len()..] {
        "ms" => 0.001,
        "" | "s" => 1.0,
        "m" | "min" => 60.0,
        "h" => 3600.0,
        unit => return Err(format!("`{unit}` is no unit; write 500ms, 30s, 5m or 1h")),
    };
    at_most(positive(digits)? * unit_s, MAX_SECONDS)
}

/// Arrivals or requests per second.
pub(crate) fn rate(text: &str) -> Result<f64, String> {
    at_most(positive(text)?, MAX_PER_S)
}

fn at_most(number: f64, most: f64) -> Result<f64, String> {
    if number <= most {
        Ok(number)
    } else {
        Err(format!("it must be at most {most}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_beyond_what_can_be_driven_are_refused_with_the_bound() {
        assert_eq!(seconds("1e300"), Err("it must be at most 86400".to_owned()));
        assert_eq!(rate("1e12"), Err("it must be at most 1000000".to_owned()));
        for nothing in ["0", "-1", "nan", "inf", "x"] {
            assert!(seconds(nothing).is_err() && rate(nothing).is_err(), "{nothing}");
        }
        assert_eq!((seconds("0.5"), rate("1e6")), (Ok(0.5), Ok(1e6)));
    }

    #[test]
    fn a_time_may_have_a_unit() {
        let times = ["500ms", "30s", "45", "2m", "1.5h"].map(duration);
        assert_eq!(times, [Ok(0.5), Ok(30.0), Ok(45.0), Ok(120.0), Ok(5400.0)]);
        assert!(duration("30d").unwrap_err().contains("`d` is no unit"));
        assert!(duration("s").is_err() && duration("25h").is_err() && duration("-1s").is_err());
    }
}
