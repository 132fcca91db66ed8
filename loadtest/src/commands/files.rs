//! Files that commands are given. A mistake in one of them is a mistake of usage.

use std::{
    fs,
    path::{Path, PathBuf},
};

use measure::{
    judge::{JudgeError, rederive},
    record::{AS_WRITTEN, Record},
    targets::TargetSpec,
};
use scenarios::Targets;

use crate::{error::HarnessError, say};

/// A stored record, with everything that follows from what it counted made anew: what it says of itself is believed in
/// nothing. One that was edited is said to be.
pub(super) fn record(file: &Path) -> Result<Record, HarnessError> {
    let mut record = Record::load(file).map_err(HarnessError::usage)?;
    let wrong = |why: JudgeError| HarnessError::usage(format!("{}: {why}", file.display()));
    rederive(&mut record).map_err(wrong)?;
    if let Some(edited) = record.checks.iter().find(|check| check.name == AS_WRITTEN && !check.ok) {
        say::err(format_args!("note: {}: {}", file.display(), edited.detail));
    }
    Ok(record)
}

pub(super) fn records(files: &[PathBuf]) -> Result<Vec<Record>, HarnessError> {
    files.iter().map(|file| record(file)).collect()
}

/// The targets of a file, if one is given, about these endpoints.
pub(super) fn targets(file: Option<&Path>, endpoints: &[&str]) -> Result<Option<Vec<TargetSpec>>, HarnessError> {
    let targets = file.map(|file| Targets::load(file, endpoints)).transpose();
    Ok(targets.map_err(HarnessError::usage)?.map(|targets| targets.items))
}

/// The targets of a file about the endpoints that a record has. A record without any was spoilt before anything was
/// measured: its checks say so, and no name in the file can be called wrong.
pub(super) fn targets_for(record: &Record, file: Option<&Path>) -> Result<Option<Vec<TargetSpec>>, HarnessError> {
    let summaries = record.summary.values();
    let endpoints = summaries.flat_map(|summary| summary.endpoints.keys().map(String::as_str));
    let endpoints: Vec<&str> = endpoints.collect();
    if endpoints.is_empty() {
        return Ok(None);
    }
    targets(file, &endpoints)
}

/// Makes a directory for results.
pub(super) fn make_directory(path: &Path) -> Result<(), HarnessError> {
    fs::create_dir_all(path).map_err(|error| HarnessError::usage(format!("cannot make {}: {error}", path.display())))
}
