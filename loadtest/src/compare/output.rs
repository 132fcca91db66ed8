//! The files of a run: `target/loadtest/<id>/` with the record, the report in three forms and the logs, and `latest`
//! beside it.

use std::{
    io::Write,
    path::{Path, PathBuf},
};

use chrono::Utc;
use measure::{hlog::Hlog, record::Record};
use tempfile::NamedTempFile;

use crate::{error::HarnessError, subject::keep_out_of_git};

/// Where runs go without `--out`.
const ROOT: &str = "target/loadtest";
/// File names, as documented.
pub(crate) const REPORT: &str = "report.html";
const RECORD: &str = "record.json";
pub(crate) const SUMMARY: &str = "summary.md";
const JUNIT: &str = "junit.xml";
/// Every histogram of the record for HdrHistogram's own tools.
const LOG: &str = "times.hlog";
/// Longer than most records with their reports.
const TRIAL_BYTES: usize = 4 * 1024 * 1024;

/// The directory of one run.
pub(crate) struct OutputDir {
    id: String,
    path: PathBuf,
    /// Whether `latest` beside it is ours to move.
    in_root: bool,
}

impl OutputDir {
    /// Makes the directory and tries it, so that a run does not fail at its end for want of one.
    pub(crate) fn create(chosen: Option<&Path>) -> Result<Self, HarnessError> {
        let id = format!("{}-{:04x}", Utc::now().format("%Y%m%dT%H%M%S"), rand::random::<u16>());
        let path = chosen.map_or_else(|| Path::new(ROOT).join(&id), Path::to_owned);
        let cannot =
            |error| HarnessError::Usage(format!("cannot make the output directory {}: {error}", path.display()));
        std::fs::create_dir_all(path.join("logs")).map_err(cannot)?;
        if chosen.is_none() {
            keep_out_of_git(Path::new(ROOT)).map_err(cannot)?;
        }
        try_place(&path)?;
        try_place(&path.join("logs"))?;
        Ok(Self {
            id,
            path,
            in_root: chosen.is_none(),
        })
    }

    /// Identifier of the run.
    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    /// Begins the name of every database of the run: valid in Postgres, and nobody else's.
    pub(crate) fn database_prefix(&self) -> String {
        format!("lt_{}", self.id.to_lowercase().replace('-', "_"))
    }

    /// The log of a launch.
    pub(crate) fn log(&self, name: &str) -> PathBuf {
        let safe = |c: char| {
            if c.is_ascii_alphanumeric() || "-_.#".contains(c) {
                c
            } else {
                '_'
            }
        };
        self.path
            .join("logs")
            .join(format!("{}.log", name.chars().map(safe).collect::<String>()))
    }

    /// Writes what was measured so far, which nobody has judged yet: what a harness that is killed leaves.
    pub(crate) fn flush(&self, unjudged: &Record) -> Result<(), HarnessError> {
        unjudged.save(&self.path.join(RECORD)).map_err(HarnessError::internal)
    }

    /// Writes everything that a run leaves.
    pub(crate) fn write(&self, record: &Record) -> Written {
        let mut written = write_all(record, &self.path, &[]);
        if self.in_root
            && let Err(error) = point_latest_to(&self.id)
        {
            written.problems.push(format!("{ROOT}/latest: {error}"));
        }
        written
    }
}

/// What became of the files of a record.
#[derive(Debug)]
pub(crate) struct Written {
    /// The report, where it could be written at all.
    pub(crate) report: Option<PathBuf>,
    /// What could not be written, or stands elsewhere than asked.
    pub(crate) problems: Vec<String>,
}

impl Written {
    /// The exit code of a command whose verdict has the code `verdict`: what CI must look at comes first, and files
    /// that are not where they should be are an error of their own.
    pub(crate) fn exit_code(&self, verdict: u8) -> u8 {
        if verdict == 0 && !self.problems.is_empty() {
            1
        } else {
            verdict
        }
    }
}

/// Writes a record, everything that is drawn from it, and `more` files, by name. What `directory` does not take goes
/// into another directory, which the problems name: a measurement may have taken hours.
pub(crate) fn write_all(record: &Record, directory: &Path, more: &[(&str, String)]) -> Written {
    let mut problems = write_into(record, directory, more);
    if problems.is_empty() {
        return Written {
            report: Some(directory.join(REPORT)),
            problems,
        };
    }
    for place in [std::env::temp_dir(), PathBuf::from(".")] {
        let elsewhere = place.join(format!("loadtest-{}", record.id));
        if std::fs::create_dir_all(&elsewhere).is_ok() && write_into(record, &elsewhere, more).is_empty() {
            problems.push(format!("everything was written to {} instead", elsewhere.display()));
            return Written {
                report: Some(elsewhere.join(REPORT)),
                problems,
            };
        }
    }
    let report = directory.join(REPORT);
    Written {
        report: report.is_file().then_some(report),
        problems,
    }
}

/// Writes each file that it can, the record first, since everything else can be drawn again from it; the problems of
/// the others.
fn write_into(record: &Record, directory: &Path, more: &[(&str, String)]) -> Vec<String> {
    let saved = record.save(&directory.join(RECORD)).map_err(|error| error.to_string());
    let mut problems: Vec<String> = saved.err().into_iter().collect();
    let given = |name: &str| more.iter().any(|(other, _)| *other == name);
    let drawn = forms(record).into_iter().filter(|(name, _)| !given(name));
    let more = more.iter().map(|(name, text)| (*name, Ok(text.clone().into_bytes())));
    for (name, content) in drawn.chain([(LOG, log(record))]).chain(more) {
        let path = directory.join(name);
        let written = content.and_then(|content| write_whole(&path, &content).map_err(|error| error.to_string()));
        problems.extend(
            written
                .err()
                .map(|why| format!("cannot write {}: {why}", path.display())),
        );
    }
    problems
}

/// The report of a record in its three forms, by file name.
fn forms(record: &Record) -> [(&'static str, Result<Vec<u8>, String>); 3] {
    let bytes =
        |drawn: Result<String, reports::ReportError>| drawn.map(String::into_bytes).map_err(|error| error.to_string());
    [
        (REPORT, bytes(reports::html(record))),
        (SUMMARY, Ok(reports::markdown(record).into_bytes())),
        (JUNIT, bytes(reports::junit(record))),
    ]
}

fn log(record: &Record) -> Result<Vec<u8>, String> {
    let mut log = Vec::new();
    let hlog = Hlog::of_record(record).map_err(|error| error.to_string())?;
    hlog.write(&mut log).map_err(|error| error.to_string())?;
    Ok(log)
}

/// Writes the report of a record in its three forms.
///
/// # Errors
/// [`HarnessError::Usage`] with the file that could not be written.
pub(crate) fn draw(record: &Record, directory: &Path) -> Result<(), HarnessError> {
    for (name, content) in forms(record) {
        let path = directory.join(name);
        let content = content.map_err(|error| HarnessError::internal(anyhow::Error::msg(error)))?;
        write_whole(&path, &content)
            .map_err(|error| HarnessError::Usage(format!("cannot write {}: {error}", path.display())))?;
    }
    Ok(())
}

/// Writes a file as long as a record and removes it: a full disk, or a directory of somebody else, is found before the
/// load and not after it.
pub(crate) fn try_place(directory: &Path) -> Result<(), HarnessError> {
    let trial = || -> std::io::Result<()> {
        let mut file = NamedTempFile::new_in(directory)?;
        file.write_all(&vec![0; TRIAL_BYTES])?;
        file.as_file().sync_all()
    };
    trial().map_err(|error| {
        HarnessError::Usage(format!(
            "results cannot be written to {}: {error}; name another directory with --out, or make room",
            directory.display()
        ))
    })
}

/// Readers see the old file or the new one, never a part.
fn write_whole(path: &Path, content: &[u8]) -> std::io::Result<()> {
    let directory = path.parent().unwrap_or(Path::new("."));
    let mut file = NamedTempFile::new_in(directory)?;
    file.write_all(content)?;
    file.as_file()
        .set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644))?;
    file.persist(path).map(drop).map_err(|error| error.error)
}

/// A link is replaced by renaming a new one over it.
fn point_latest_to(id: &str) -> std::io::Result<()> {
    let new = Path::new(ROOT).join(format!(".latest-{id}"));
    std::os::unix::fs::symlink(id, &new)?;
    std::fs::rename(&new, Path::new(ROOT).join("latest"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_that_are_not_where_they_should_be_are_an_error_of_a_run_that_passed() {
        let written = |problems: &[&str]| Written {
            report: None,
            problems: problems.iter().map(ToString::to_string).collect(),
        };
        assert_eq!([0, 6].map(|verdict| written(&[]).exit_code(verdict)), [0, 6]);
        assert_eq!([0, 6].map(|verdict| written(&["no room"]).exit_code(verdict)), [1, 6]);
    }

    #[test]
    fn a_place_that_takes_nothing_is_found_before_it_is_needed() {
        let directory = tempfile::tempdir().unwrap();
        try_place(directory.path()).unwrap();
        assert_eq!(
            std::fs::read_dir(directory.path()).unwrap().count(),
            0,
            "nothing is left of it"
        );
        for bad in [directory.path().join("gone"), PathBuf::from("/proc/self")] {
            let error = try_place(&bad).unwrap_err();
            assert_eq!(error.exit_code(), 2);
            assert!(error.to_string().contains("--out"), "{error}");
        }
    }
}
