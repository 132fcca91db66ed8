//! Files that commands are given. A mistake in one of them is a mistake of usage.

use std::{
    fs,
    path::{Path, PathBuf},
};

use measure::{record::Record, targets::TargetSpec};
use scenarios::Targets;

use crate::error::HarnessError;

pub(super) fn record(file: &Path) -> Result<Record, HarnessError> {
    Record::load(file).map_err(HarnessError::usage)
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
