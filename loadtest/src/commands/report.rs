//! `loadtest report`: draws a saved record again.

use std::path::{Path, PathBuf};

use clap::Args;

use super::{ending, files};
use crate::{compare::output, error::HarnessError};

/// Write the report of a record again
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  loadtest report target/loadtest/latest/record.json --out /tmp/again")]
pub(crate) struct ReportArgs {
    /// The record to draw
    #[arg(value_name = "RECORD")]
    record: PathBuf,
    /// Where the report goes [default: beside the record]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

/// Exit code 0 whatever the record's verdict was: this command judges nothing.
pub(super) fn report(arguments: &ReportArgs) -> Result<u8, HarnessError> {
    let record = files::record(&arguments.record)?;
    let beside = arguments.record.parent().unwrap_or(Path::new("."));
    let directory = arguments.out.as_deref().unwrap_or(beside);
    files::make_directory(directory)?;
    output::draw(&record, directory)?;
    ending::path("report", &directory.join(output::REPORT));
    Ok(0)
}
