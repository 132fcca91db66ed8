//! `loadtest report`: draws a saved record again.

use std::path::Path;

use measure::record::Record;

use crate::{cli::ReportArgs, compare::output, error::HarnessError};

/// Exit code 0 whatever the record's verdict was: this command judges nothing.
pub(super) fn report(arguments: &ReportArgs) -> Result<u8, HarnessError> {
    let record = Record::load(&arguments.record).map_err(|error| HarnessError::Usage(error.to_string()))?;
    let beside = arguments.record.parent().unwrap_or(Path::new("."));
    let directory = arguments.out.as_deref().unwrap_or(beside);
    std::fs::create_dir_all(directory)
        .map_err(|error| HarnessError::Usage(format!("cannot make {}: {error}", directory.display())))?;
    output::draw(&record, directory)?;
    println!("{}", directory.join(output::REPORT).display());
    Ok(0)
}
