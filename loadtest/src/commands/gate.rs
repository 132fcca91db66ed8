//! `loadtest gate`: a stored record against targets, against stored baselines, or both; for people, machines and pull
//! requests. Nothing is measured, and the record itself stays as it is.

use std::{
    fs::{self, OpenOptions},
    io::Write,
    path::{Path, PathBuf},
};

use clap::Args;
use measure::{
    baseline::BaselineRules,
    judge::{Baselines, Question, judge},
    record::{Purpose, Record},
    targets::TargetSpec,
};

use super::measure::load_targets;
use crate::{compare::output, error::HarnessError};

/// Where the judgement goes without `--out`: beside the record.
const DIRECTORY: &str = "gate";
const VERDICT: &str = "verdict.json";

/// Arguments of `loadtest gate`.
#[derive(Debug, Args)]
pub struct GateArgs {
    /// The record to judge
    #[arg(value_name = "RECORD")]
    pub record: PathBuf,

    /// Targets that must hold for its (last) subject [default: those it was measured with]
    #[arg(long, value_name = "FILE")]
    pub targets: Option<PathBuf>,

    /// Record of an earlier run to compare with; give it several times for runs at several times
    #[arg(long, value_name = "RECORD")]
    pub baseline: Vec<PathBuf>,

    /// Slower than this many times the baseline is a regression [default: 1.5, with baselines of five different times
    /// 1.1]
    #[arg(long, value_name = "RATIO", value_parser = ratio, requires = "baseline")]
    pub max_ratio: Option<f64>,

    /// Print the verdict as JSON instead of a table
    #[arg(long)]
    pub json: bool,

    /// Address of the report for the Markdown's link [default: the run's page on GitHub, else the file beside it]
    #[arg(long, value_name = "URL")]
    pub report_url: Option<String>,

    /// Where the judgement goes [default: `gate` beside the record]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
}

fn ratio(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(number) if number.is_finite() && number > 1.0 => Ok(number),
        _ => Err("it must be a number above 1: 1.2 allows 20 % slower".to_owned()),
    }
}

/// The exit code of the verdict.
pub(super) fn gate(arguments: &GateArgs) -> Result<u8, HarnessError> {
    let mut record = load(&arguments.record)?;
    let targets = targets_for(&record, arguments.targets.as_deref())?;
    let baselines = arguments.baseline.iter().map(|file| load(file));
    let baselines = baselines.collect::<Result<Vec<_>, _>>()?;
    require_something(&record, arguments)?;
    let question = Question {
        targets: targets.as_deref(),
        baselines: (!baselines.is_empty()).then(|| Baselines {
            records: &baselines,
            rules: rules(arguments.max_ratio),
        }),
        ..Question::default()
    };
    judge(&mut record, &question).map_err(|error| usage(&error))?;

    let directory = output_directory(arguments)?;
    let report = write(&record, &directory, arguments)?;
    if arguments.json {
        print!("{}", reports::verdict_json(&record));
    } else {
        println!("{}", reports::table(&record, terminal_width()));
        println!("\nreport: {}", report.display());
    }
    tell_github(&record, arguments)?;
    Ok(record.exit_code)
}

fn usage(error: &dyn std::fmt::Display) -> HarnessError {
    HarnessError::Usage(error.to_string())
}

fn load(file: &Path) -> Result<Record, HarnessError> {
    Record::load(file).map_err(|error| usage(&error))
}

/// The targets of a file, checked against the endpoints that the record has. One that has none was spoilt before
/// anything was measured: its checks say so, and no name in the file can be called wrong.
pub(super) fn targets_for(record: &Record, file: Option<&Path>) -> Result<Option<Vec<TargetSpec>>, HarnessError> {
    let summaries = record.summary.values();
    let endpoints: Vec<&str> = summaries
        .flat_map(|summary| summary.endpoints.keys())
        .map(String::as_str)
        .collect();
    if endpoints.is_empty() {
        return Ok(None);
    }
    Ok(load_targets(file, &endpoints)?.map(|targets| targets.items))
}

fn rules(max_ratio: Option<f64>) -> BaselineRules {
    let standard = BaselineRules::default();
    BaselineRules {
        limit_of_blocks: max_ratio.unwrap_or(standard.limit_of_blocks),
        limit_of_runs: max_ratio.unwrap_or(standard.limit_of_runs),
        ..standard
    }
}

/// A gate that asks nothing would pass everything, and so would targets on a subject that lacks a feature on purpose.
fn require_something(record: &Record, arguments: &GateArgs) -> Result<(), HarnessError> {
    if record.purpose == Purpose::Ablation && arguments.targets.is_some() {
        return Err(HarnessError::Usage(format!(
            "record {} is an ablation, and targets would be judged on a subject that lacks a feature: give the record \
             of a run or comparison",
            record.id
        )));
    }
    let judged_itself = !record.targets.is_empty() || !record.comparisons.is_empty();
    if arguments.targets.is_some() || !arguments.baseline.is_empty() || judged_itself {
        return Ok(());
    }
    Err(HarnessError::Usage(format!(
        "record {} was measured alone and without targets, so there is nothing to judge: give --targets FILE, \
         --baseline RECORD, or both",
        record.id
    )))
}

fn output_directory(arguments: &GateArgs) -> Result<PathBuf, HarnessError> {
    let beside = || arguments.record.parent().unwrap_or(Path::new("")).join(DIRECTORY);
    let directory = arguments.out.clone().unwrap_or_else(beside);
    fs::create_dir_all(&directory)
        .map_err(|error| HarnessError::Usage(format!("cannot make {}: {error}", directory.display())))?;
    let own = arguments.record.parent().unwrap_or(Path::new("")).canonicalize();
    if own.is_ok_and(|own| directory.canonicalize().is_ok_and(|out| out == own)) {
        return Err(HarnessError::Usage(format!(
            "{} is where the record itself stands, and it would be overwritten: name another directory with --out",
            directory.display()
        )));
    }
    Ok(directory)
}

/// The judged record, its report, and the verdict for machines; the path of the report.
fn write(record: &Record, directory: &Path, arguments: &GateArgs) -> Result<PathBuf, HarnessError> {
    let report = output::write_all(record, directory)?;
    let summary = reports::pull_request(record, &link(arguments, output::REPORT));
    output::write_text(directory, output::SUMMARY, &summary)?;
    output::write_text(directory, VERDICT, &reports::verdict_json(record))?;
    Ok(report)
}

/// Where the report will be found: as given, on the page of the workflow's run, or at `file`.
fn link(arguments: &GateArgs, file: &str) -> String {
    let run_page = || {
        let [server, repository, run] = ["GITHUB_SERVER_URL", "GITHUB_REPOSITORY", "GITHUB_RUN_ID"].map(variable);
        Some(format!("{}/{}/actions/runs/{}", server?, repository?, run?))
    };
    arguments
        .report_url
        .clone()
        .or_else(run_page)
        .unwrap_or_else(|| file.to_owned())
}

/// Annotations where GitHub Actions reads them, and the step's summary.
fn tell_github(record: &Record, arguments: &GateArgs) -> Result<(), HarnessError> {
    if variable("GITHUB_ACTIONS").is_some_and(|value| value == "true") {
        let annotations = reports::annotations(record);
        if arguments.json {
            eprint!("{annotations}");
        } else {
            print!("{annotations}");
        }
    }
    let Some(file) = variable("GITHUB_STEP_SUMMARY") else {
        return Ok(());
    };
    let summary = reports::pull_request(record, &link(arguments, output::REPORT));
    let appended = OpenOptions::new()
        .create(true)
        .append(true)
        .open(&file)
        .and_then(|mut summaries| summaries.write_all(summary.as_bytes()));
    appended.map_err(|error| HarnessError::Usage(format!("GITHUB_STEP_SUMMARY={file}: {error}")))
}

/// A variable that says something.
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// Columns of the terminal; a pipe has none and gets lines as long as they are.
fn terminal_width() -> Option<u16> {
    let stdout = std::io::stdout();
    let size = rustix::termios::tcgetwinsize(&stdout).ok()?;
    (size.ws_col > 0).then_some(size.ws_col)
}
