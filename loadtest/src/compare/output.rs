//! The files of a run: `target/loadtest/<id>/` with the record, the report in three forms and the logs, and `latest`
//! beside it.

use std::{
    io::Write,
    path::{Path, PathBuf},
};

use chrono::Utc;
use measure::{hlog::Hlog, record::Record};
use tempfile::NamedTempFile;

use crate::error::HarnessError;

/// Where runs go without `--out`.
const ROOT: &str = "target/loadtest";
/// File names, as documented.
pub(crate) const REPORT: &str = "report.html";
const RECORD: &str = "record.json";
pub(crate) const SUMMARY: &str = "summary.md";
const JUNIT: &str = "junit.xml";
/// Every histogram of the record for HdrHistogram's own tools.
const LOG: &str = "times.hlog";

/// The directory of one run.
pub(crate) struct OutputDir {
    id: String,
    path: PathBuf,
    /// Whether `latest` beside it is ours to move.
    in_root: bool,
}

impl OutputDir {
    /// Makes the directory, so that a run does not fail at its end for want of one.
    pub(crate) fn create(chosen: Option<&Path>) -> Result<Self, HarnessError> {
        let id = format!("{}-{:04x}", Utc::now().format("%Y%m%dT%H%M%S"), rand::random::<u16>());
        let path = chosen.map_or_else(|| Path::new(ROOT).join(&id), Path::to_owned);
        let cannot =
            |error| HarnessError::Usage(format!("cannot make the output directory {}: {error}", path.display()));
        std::fs::create_dir_all(path.join("logs")).map_err(cannot)?;
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

    /// Writes everything that a run leaves; the path of the report.
    pub(crate) fn write(&self, record: &Record) -> Result<PathBuf, HarnessError> {
        let report = write_all(record, &self.path)?;
        if self.in_root {
            point_latest_to(&self.id).map_err(HarnessError::internal)?;
        }
        Ok(report)
    }
}

/// Writes the record first, since everything else can be drawn again from it; the path of the report.
pub(crate) fn write_all(record: &Record, directory: &Path) -> Result<PathBuf, HarnessError> {
    record.save(&directory.join(RECORD)).map_err(HarnessError::internal)?;
    draw(record, directory)?;
    let mut log = Vec::new();
    Hlog::of_record(record)
        .map_err(HarnessError::internal)?
        .write(&mut log)
        .map_err(HarnessError::internal)?;
    write_whole(&directory.join(LOG), &log).map_err(HarnessError::internal)?;
    Ok(directory.join(REPORT))
}

/// Writes the report of a record in its three forms.
pub(crate) fn draw(record: &Record, directory: &Path) -> Result<(), HarnessError> {
    let html = reports::html(record).map_err(HarnessError::internal)?;
    for (name, text) in [
        (REPORT, html),
        (SUMMARY, reports::markdown(record)),
        (JUNIT, reports::junit(record).map_err(HarnessError::internal)?),
    ] {
        write_whole(&directory.join(name), text.as_bytes()).map_err(HarnessError::internal)?;
    }
    Ok(())
}

/// Writes one file of a directory whole.
pub(crate) fn write_text(directory: &Path, name: &str, text: &str) -> Result<(), HarnessError> {
    write_whole(&directory.join(name), text.as_bytes()).map_err(HarnessError::internal)
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
