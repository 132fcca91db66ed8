//! `loadtest merge`: what several generators measured at the same time, put together exactly and judged as one.

use std::{fs, path::PathBuf};

use clap::Args;
use measure::{
    hlog::Hlog,
    judge::{Question, judge},
};

use super::{ending, files};
use crate::{
    compare::{command_line, output},
    error::HarnessError,
};

/// Name of the merged log.
const MERGED_LOG: &str = "merged.hlog";

/// Put records (or .hlog files) of several generators together, exactly
#[derive(Debug, Args)]
#[command(after_help = "\
Example: three generators drove the same workload at the same time
  loadtest merge a/record.json b/record.json c/record.json --out merged
  loadtest merge a.hlog b.hlog --out merged")]
pub(crate) struct MergeArgs {
    /// Records, or .hlog files, of generators that drove the same workload at the same time
    #[arg(value_name = "FILE", required = true, num_args = 2..)]
    files: Vec<PathBuf>,
    /// Targets that must hold for the (last) subject
    #[arg(long, value_name = "FILE")]
    targets: Option<PathBuf>,
    /// Where the merged record and its report (or merged.hlog) go
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

/// Records give the exit code of the merged verdict, logs 0: there is nothing in them to judge.
pub(super) fn merge(arguments: &MergeArgs) -> Result<u8, HarnessError> {
    let is_log = |file: &&PathBuf| file.extension().is_some_and(|extension| extension == "hlog");
    files::make_directory(&arguments.out)?;
    match arguments.files.iter().filter(is_log).count() {
        0 => merge_records(arguments),
        logs if logs == arguments.files.len() => merge_logs(arguments),
        _ => Err(HarnessError::usage(
            "records and .hlog files cannot be merged with each other: give one kind",
        )),
    }
}

fn merge_records(arguments: &MergeArgs) -> Result<u8, HarnessError> {
    let records = files::records(&arguments.files)?;
    let mut merged = measure::merge::records(&records).map_err(HarnessError::usage)?;
    let targets = files::targets_for(&records[0], arguments.targets.as_deref())?;
    merged.command = command_line();
    let question = Question {
        targets: targets.as_deref(),
        ..Question::default()
    };
    judge(&mut merged, &question).map_err(HarnessError::usage)?;
    ending::verdict(&reports::text(&merged));
    let written = output::write_all(&merged, &arguments.out, &[]);
    Ok(ending::files(&written, merged.exit_code))
}

fn merge_logs(arguments: &MergeArgs) -> Result<u8, HarnessError> {
    let (mut logs, mut texts): (Vec<Hlog>, Vec<Vec<u8>>) = (Vec::new(), Vec::new());
    for file in &arguments.files {
        let wrong = |why: &dyn std::fmt::Display| HarnessError::usage(format!("{}: {why}", file.display()));
        let text = fs::read(file).map_err(|error| wrong(&format!("cannot be read: {error}")))?;
        if let Some(same) = texts.iter().position(|other| *other == text) {
            let other = arguments.files[same].display();
            return Err(wrong(&format!("it is the same as {other}, and would be counted twice")));
        }
        logs.push(Hlog::parse(&text).map_err(|error| wrong(&error))?);
        texts.push(text);
    }
    let merged = Hlog::merge(&logs).map_err(HarnessError::usage)?;
    let path = arguments.out.join(MERGED_LOG);
    let written = fs::File::create(&path).and_then(|file| merged.write(std::io::BufWriter::new(file)));
    written.map_err(HarnessError::internal)?;
    ending::path("log", &path);
    Ok(0)
}
