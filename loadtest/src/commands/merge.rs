//! `loadtest merge`: what several generators measured at the same time, put together exactly and judged as one.

use std::{fs::File, io::BufWriter, path::Path};

use measure::{
    hlog::Hlog,
    judge::{Question, judge},
    record::Record,
};

use super::gate::targets_for;
use crate::{
    cli::MergeArgs,
    compare::{command_line, output},
    error::HarnessError,
};

/// Name of the merged log.
const MERGED_LOG: &str = "merged.hlog";

/// Records give the exit code of the merged verdict, logs 0: there is nothing in them to judge.
pub(super) fn merge(arguments: &MergeArgs) -> Result<u8, HarnessError> {
    let is_log = |file: &&std::path::PathBuf| file.extension().is_some_and(|extension| extension == "hlog");
    std::fs::create_dir_all(&arguments.out)
        .map_err(|error| HarnessError::Usage(format!("cannot make {}: {error}", arguments.out.display())))?;
    match arguments.files.iter().filter(is_log).count() {
        0 => merge_records(arguments),
        logs if logs == arguments.files.len() => merge_logs(arguments),
        _ => Err(HarnessError::Usage(
            "records and .hlog files cannot be merged with each other: give one kind".to_owned(),
        )),
    }
}

fn merge_records(arguments: &MergeArgs) -> Result<u8, HarnessError> {
    let usage = |error: &dyn std::fmt::Display| HarnessError::Usage(error.to_string());
    let records = arguments.files.iter().map(|file| Record::load(file));
    let records = records.collect::<Result<Vec<_>, _>>().map_err(|error| usage(&error))?;
    let mut merged = measure::merge::records(&records).map_err(|error| usage(&error))?;
    let targets = targets_for(&records[0], arguments.targets.as_deref())?;
    merged.command = command_line();
    let question = Question {
        targets: targets.as_deref(),
        ..Question::default()
    };
    judge(&mut merged, &question).map_err(|error| usage(&error))?;
    let report = output::write_all(&merged, &arguments.out)?;
    println!("{}", reports::text(&merged));
    println!("report: {}", report.display());
    Ok(merged.exit_code)
}

fn merge_logs(arguments: &MergeArgs) -> Result<u8, HarnessError> {
    let logs = arguments
        .files
        .iter()
        .map(|file| read_log(file))
        .collect::<Result<Vec<_>, _>>()?;
    let merged = Hlog::merge(&logs).map_err(|error| HarnessError::Usage(error.to_string()))?;
    let path = arguments.out.join(MERGED_LOG);
    let written = File::create(&path).and_then(|file| merged.write(BufWriter::new(file)));
    written.map_err(HarnessError::internal)?;
    println!("{}", path.display());
    Ok(0)
}

fn read_log(file: &Path) -> Result<Hlog, HarnessError> {
    let wrong = |why: &dyn std::fmt::Display| HarnessError::Usage(format!("{}: {why}", file.display()));
    let text = std::fs::read(file).map_err(|error| wrong(&format!("cannot be read: {error}")))?;
    Hlog::parse(&text).map_err(|error| wrong(&error))
}
