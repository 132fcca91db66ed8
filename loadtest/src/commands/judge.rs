//! `loadtest judge`: a stored record against targets, against stored baselines, or both; for people, machines and pull
//! requests. Nothing is measured, and the record itself stays as it is.

use std::{
    fs::OpenOptions,
    io::Write,
    path::{Path, PathBuf},
};

use clap::Args;
use measure::{
    baseline::BaselineRules,
    judge::{Baselines, Question},
    record::{Purpose, Record},
};

use super::{ending, files};
use crate::{compare::output, error::HarnessError, say};

/// Where the judgement goes without `--out`: beside the record.
const DIRECTORY: &str = "judgement";
const VERDICT: &str = "verdict.json";

/// Judge a stored record: against targets, against stored baselines, or both
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  loadtest judge target/loadtest/latest/record.json --targets scenarios/targets/phase2.toml
  loadtest judge new/record.json --baseline old/record.json --out judged

In GitHub Actions it annotates the run and writes the step's summary. A baseline is a run of another time: only large \
slowdowns show; small ones take `loadtest compare`, which runs both sides in alternation.")]
pub(crate) struct JudgeArgs {
    /// The record to judge
    #[arg(value_name = "RECORD")]
    record: PathBuf,
    /// Targets that must hold for its (last) subject [default: those it was measured with]
    #[arg(long, value_name = "FILE")]
    targets: Option<PathBuf>,
    /// Record of an earlier run to compare with; give it several times for runs at several times
    #[arg(long, value_name = "RECORD")]
    baseline: Vec<PathBuf>,
    /// Slower than this many times the baseline is a regression [default: 1.5, with baselines of five different times
    /// 1.1]
    #[arg(long, value_name = "RATIO", value_parser = ratio, requires = "baseline")]
    max_ratio: Option<f64>,
    /// Print the verdict as JSON instead of a table
    #[arg(long)]
    json: bool,
    /// Address of the report for the Markdown's link [default: the run's page on GitHub, else the file beside it]
    #[arg(long, value_name = "URL")]
    report_url: Option<String>,
    /// Where the judgement goes [default: `judgement` beside the record]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

fn ratio(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(number) if number.is_finite() && number > 1.0 => Ok(number),
        _ => Err("it must be a number above 1: 1.2 allows 20 % slower".to_owned()),
    }
}

/// The exit code of the verdict.
pub(super) fn judge(arguments: &JudgeArgs) -> Result<u8, HarnessError> {
    let mut record = files::record(&arguments.record)?;
    let targets = files::targets_for(&record, arguments.targets.as_deref())?;
    let baselines = files::records(&arguments.baseline)?;
    require_something(&record, arguments)?;
    let question = Question {
        targets: targets.as_deref(),
        baselines: (!baselines.is_empty()).then(|| Baselines {
            records: &baselines,
            rules: rules(arguments.max_ratio),
        }),
        ..Question::default()
    };
    measure::judge::judge(&mut record, &question).map_err(HarnessError::usage)?;

    let directory = output_directory(arguments)?;
    let (summary, verdict) = (
        reports::pull_request(&record, &link(arguments)),
        reports::verdict_json(&record),
    );
    if arguments.json {
        say::out(verdict.trim_end());
    } else {
        ending::verdict(&reports::table(&record, terminal_width()));
    }
    let own = [(output::SUMMARY, summary.clone()), (VERDICT, verdict)];
    let mut written = output::write_all(&record, &directory, &own);
    if arguments.json {
        // Standard output is the verdict alone.
        written.report = None;
    }
    let told = tell_github(&record, &summary, arguments.json);
    written.problems.extend(told.err().map(|error| error.to_string()));
    Ok(ending::files(&written, record.exit_code))
}

fn rules(max_ratio: Option<f64>) -> BaselineRules {
    let standard = BaselineRules::default();
    BaselineRules {
        limit_of_blocks: max_ratio.unwrap_or(standard.limit_of_blocks),
        limit_of_runs: max_ratio.unwrap_or(standard.limit_of_runs),
        ..standard
    }
}

/// Without a question every record would pass, and so would targets on a subject that lacks a feature on purpose.
fn require_something(record: &Record, arguments: &JudgeArgs) -> Result<(), HarnessError> {
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

fn output_directory(arguments: &JudgeArgs) -> Result<PathBuf, HarnessError> {
    let own = arguments.record.parent().unwrap_or(Path::new(""));
    let directory = arguments.out.clone().unwrap_or_else(|| own.join(DIRECTORY));
    files::make_directory(&directory)?;
    let own = Path::new(".").join(own);
    if own
        .canonicalize()
        .is_ok_and(|own| directory.canonicalize().is_ok_and(|out| out == own))
    {
        return Err(HarnessError::Usage(format!(
            "{} is where the record itself stands, and it would be overwritten: name another directory with --out",
            directory.display()
        )));
    }
    Ok(directory)
}

/// Where the report will be found: as given, on the page of the workflow's run, or beside the summary.
fn link(arguments: &JudgeArgs) -> String {
    let run_page = || {
        let [server, repository, run] = ["GITHUB_SERVER_URL", "GITHUB_REPOSITORY", "GITHUB_RUN_ID"].map(variable);
        Some(format!("{}/{}/actions/runs/{}", server?, repository?, run?))
    };
    let given = arguments.report_url.clone();
    given.or_else(run_page).unwrap_or_else(|| output::REPORT.to_owned())
}

/// Annotations where GitHub Actions reads them (beside JSON, on standard error), and the step's summary.
fn tell_github(record: &Record, summary: &str, json: bool) -> Result<(), HarnessError> {
    if variable("GITHUB_ACTIONS").is_some_and(|value| value == "true") {
        let annotations = reports::annotations(record);
        let annotations = annotations.trim_end();
        if annotations.is_empty() {
            // Nothing to be said.
        } else if json {
            say::err(annotations);
        } else {
            say::out(annotations);
        }
    }
    let Some(file) = variable("GITHUB_STEP_SUMMARY") else {
        return Ok(());
    };
    let mut options = OpenOptions::new();
    let opened = options.create(true).append(true).open(&file);
    let appended = opened.and_then(|mut summaries| summaries.write_all(summary.as_bytes()));
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
