//! Records on disk: written whole or not at all, read with errors that say where.
//!
//! What belongs here: the file, its completeness (invariant 9) and its version. What does not: the shape of a record
//! (`record`).

use std::fs::{File, Permissions};
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::record::{AS_WRITTEN, Check, Purpose, Record, SCHEMA_VERSION, Subject};

mod digest;

/// Why a record cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// It lacks what says what was measured, with which load, where and by which build.
    #[error("a record cannot be saved without {}", .missing.join(", "))]
    Incomplete {
        /// The missing parts.
        missing: Vec<String>,
    },
    /// It holds a figure that JSON cannot (NaN or infinite), so it could not be read again.
    #[error("the record would not be readable again: {source}")]
    NotReadableAgain {
        /// Where in the JSON text, and why.
        source: serde_json::Error,
    },
    /// The file system refused.
    #[error("{}: cannot {action}: {source}", .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The action that failed.
        action: &'static str,
        /// The reason of the file system.
        source: std::io::Error,
    },
    /// Written by a later build.
    #[error(
        "{}: a record of schema version {found}, this build reads up to {SCHEMA_VERSION}: use a newer loadtest",
        .path.display()
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u32,
    },
    /// The file ends in the middle.
    #[error(
        "{}: the file ends in the middle, at line {line} column {column} (byte {bytes}): it was cut short, get a whole \
         copy",
        .path.display()
    )]
    Truncated {
        /// The file.
        path: PathBuf,
        /// Last line, from 1.
        line: usize,
        /// Last column, from 1.
        column: usize,
        /// Length of the file.
        bytes: usize,
    },
    /// The file is not a record.
    #[error("{}:{}:{}: not a record: {source}", .path.display(), .source.line(), .source.column())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Where in the JSON text, and why.
        source: serde_json::Error,
    },
}

impl Record {
    /// Writes the record to `path`, replacing what stands there only when everything is on disk: temporary file in
    /// the same directory, fsync, rename. The digest over its data is put in. Refuses a record that lacks its workload
    /// hash, machine, build identity or id.
    pub fn save(&self, path: &Path) -> Result<(), RecordError> {
        self.check_complete()?;
        let bytes = self.to_json()?;
        write_whole(path, &bytes)
    }

    /// Reads a record; refuses one of a newer schema version. One without a purpose, as builds before November 2026
    /// wrote them, gets the one that its parts speak of.
    ///
    /// A record whose data is not what its digest was made of was edited after it was written; one without a digest may
    /// have been, or is of an older build. Both are read all the same, with a failed check that says so and stays with
    /// the record, so that whatever follows from it is never a pass.
    pub fn load(path: &Path) -> Result<Self, RecordError> {
        let bytes = std::fs::read(path).map_err(|source| io_error(path, "read it", source))?;
        let heading: Heading = parse(path, &bytes)?;
        if heading.schema_version > SCHEMA_VERSION {
            return Err(RecordError::Newer {
                path: path.to_owned(),
                found: heading.schema_version,
            });
        }
        let mut record: Self = parse(path, &bytes)?;
        record.purpose = heading.purpose.unwrap_or_else(|| purpose_of_parts(&record));
        let value: serde_json::Value = parse(path, &bytes)?;
        if let Some(edited) = edited(record.digest.as_deref(), &digest::of(&value)) {
            record.checks.retain(|check| check.name != AS_WRITTEN);
            record.checks.push(Check::new(AS_WRITTEN, false, edited));
        }
        // It is made anew when the record is saved again.
        record.digest = None;
        Ok(record)
    }

    fn check_complete(&self) -> Result<(), RecordError> {
        let missing = self.missing();
        if missing.is_empty() {
            Ok(())
        } else {
            Err(RecordError::Incomplete { missing })
        }
    }

    /// What invariant 9 asks for and the record lacks. The seed is always there: 0 is one like any other.
    fn missing(&self) -> Vec<String> {
        let machine = &self.machine;
        let required = [
            ("its id", !self.id.is_empty()),
            ("the workload's name", !self.workload.name.is_empty()),
            ("the workload's hash", !self.workload.sha256.is_empty()),
            (
                "the machine",
                !machine.cpu.is_empty() && machine.cores > 0 && machine.memory_mb > 0,
            ),
            ("the machine's kernel", !machine.kernel.is_empty()),
            ("the harness's git revision", !self.tool.git.is_empty()),
            ("a subject", !self.subjects.is_empty()),
        ];
        let absent = required
            .into_iter()
            .filter(|(_, present)| !present)
            .map(|(what, _)| what.to_owned());
        absent
            .chain(self.subjects.iter().filter_map(missing_of_subject))
            .collect()
    }

    /// JSON text that is known to read back.
    fn to_json(&self) -> Result<Vec<u8>, RecordError> {
        let unreadable = |source| RecordError::NotReadableAgain { source };
        let value = serde_json::to_value(self).map_err(unreadable)?;
        let digested = Self {
            digest: Some(digest::of(&value)),
            ..self.clone()
        };
        let mut bytes = serde_json::to_vec_pretty(&digested).map_err(unreadable)?;
        serde_json::from_slice::<Self>(&bytes).map_err(unreadable)?;
        bytes.push(b'\n');
        Ok(bytes)
    }
}

/// What is said of a record whose stored digest is not that of its data.
fn edited(stored: Option<&str>, data: &str) -> Option<String> {
    match stored {
        Some(stored) if stored == data => None,
        Some(stored) => Some(format!(
            "its data has the digest {}, it was written with {}: it was edited since",
            short(data),
            short(stored)
        )),
        None => Some("it has no digest: it was edited, or written by a build that made none; measure again".to_owned()),
    }
}

/// Enough of a digest to tell two apart.
fn short(digest: &str) -> &str {
    digest.get(..12).unwrap_or(digest)
}

/// A subject that runs elsewhere (`url`) has no binary that the harness could hash.
fn missing_of_subject(subject: &Subject) -> Option<String> {
    let identified = subject.kind == "url" || subject.binary_sha256.as_ref().is_some_and(|hash| !hash.is_empty());
    (!identified).then(|| format!("the binary hash of subject {}", subject.name))
}

/// The fields that say how to read the others.
#[derive(Deserialize)]
struct Heading {
    schema_version: u32,
    purpose: Option<Purpose>,
}

/// The purpose of a record that does not state it. A gate that was stopped has slices and no decision.
fn purpose_of_parts(record: &Record) -> Purpose {
    if record.gate.is_some() || record.rounds.iter().any(|round| !round.gate_slices.is_empty()) {
        Purpose::Gate
    } else if record.capacity.is_some() {
        Purpose::Capacity
    } else if record.ablation.is_empty() {
        Purpose::Report
    } else {
        Purpose::Ablation
    }
}

fn parse<'a, T: Deserialize<'a>>(path: &Path, bytes: &'a [u8]) -> Result<T, RecordError> {
    serde_json::from_slice(bytes).map_err(|source| {
        let path = path.to_owned();
        if source.is_eof() {
            RecordError::Truncated {
                path,
                line: source.line(),
                column: source.column(),
                bytes: bytes.len(),
            }
        } else {
            RecordError::Malformed { path, source }
        }
    })
}

fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), RecordError> {
    let directory = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    let failed = |action| move |source| io_error(path, action, source);
    // Readable like any other file of the user (the umask applies), not only to the owner as temporary files are.
    let mut file = tempfile::Builder::new()
        .prefix(".record-")
        .permissions(Permissions::from_mode(0o666))
        .tempfile_in(directory)
        .map_err(failed("create a temporary file beside it"))?;
    file.write_all(bytes).map_err(failed("write it"))?;
    file.as_file().sync_all().map_err(failed("flush it to disk"))?;
    file.persist(path)
        .map_err(|error| io_error(path, "put it in its place", error.error))?;
    // The rename itself is on disk only once the directory is.
    File::open(directory)
        .and_then(|directory| directory.sync_all())
        .map_err(failed("flush its directory to disk"))
}

fn io_error(path: &Path, action: &'static str, source: std::io::Error) -> RecordError {
    RecordError::Io {
        path: path.to_owned(),
        action,
        source,
    }
}

#[cfg(test)]
mod tests;
