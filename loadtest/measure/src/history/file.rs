//! The history file: JSON lines, only ever appended.
//!
//! Two runs that append at once take turns by a lock on the file, and each line is one write. A line that a power cut
//! tore is passed over when reading, and the next append starts on a new line, so nothing after it is lost.

use std::fs::OpenOptions;
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::{Entry, LINE_VERSION};

/// Why a history cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    /// The file system refused.
    #[error("{}: cannot {action}: {source}", .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The action that failed.
        action: &'static str,
        /// The reason of the file system.
        source: io::Error,
    },
    /// A figure that JSON cannot hold (NaN or infinite).
    #[error("the entry of {id} cannot be written: {source}")]
    NotWritable {
        /// Id of the record.
        id: String,
        /// Why.
        source: serde_json::Error,
    },
}

/// Content of a history file.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct History {
    /// Readable entries, in the order of the file.
    pub entries: Vec<Entry>,
    /// Lines passed over: number from 1, and why.
    pub skipped: Vec<(usize, String)>,
}

/// Appends those `entries` that the file does not have yet, each as one line; the file is made if there is none. The
/// number appended: an entry is known by the id of its record and its subject, and stands there once however often it
/// is added.
pub fn append(path: &Path, entries: &[Entry]) -> Result<usize, HistoryError> {
    let failed = |action| move |source| io_error(path, action, source);
    let mut file = OpenOptions::new()
        .create(true)
        .read(true)
        .append(true)
        .open(path)
        .map_err(failed("open it"))?;
    // Released when the file is closed, also by a crash.
    file.lock().map_err(failed("lock it"))?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).map_err(failed("read it"))?;
    let known = history_of(&bytes).entries;
    let is_known = |entry: &Entry| {
        known
            .iter()
            .any(|other| (&other.id, &other.subject) == (&entry.id, &entry.subject))
    };
    let new: Vec<&Entry> = entries.iter().filter(|entry| !is_known(entry)).collect();
    if new.is_empty() {
        return Ok(0);
    }
    let text = lines(&new)?;
    // A line that a power cut tore has no end of its own.
    let text = if bytes.last().is_none_or(|last| *last == b'\n') {
        text
    } else {
        format!("\n{text}")
    };
    file.write_all(text.as_bytes()).map_err(failed("append to it"))?;
    file.sync_data().map_err(failed("flush it to disk"))?;
    Ok(new.len())
}

fn lines(entries: &[&Entry]) -> Result<String, HistoryError> {
    let mut text = String::new();
    for entry in entries {
        let line = serde_json::to_string(entry)
            .and_then(|line| serde_json::from_str::<Entry>(&line).map(|_| line))
            .map_err(|source| HistoryError::NotWritable {
                id: entry.id.clone(),
                source,
            })?;
        text.push_str(&line);
        text.push('\n');
    }
    Ok(text)
}

/// Reads a history; what cannot be read is passed over and said.
pub fn read(path: &Path) -> Result<History, HistoryError> {
    let bytes = std::fs::read(path).map_err(|source| io_error(path, "read it", source))?;
    Ok(history_of(&bytes))
}

fn history_of(bytes: &[u8]) -> History {
    let mut history = History::default();
    for (index, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
        if line.trim_ascii().is_empty() {
            continue;
        }
        match parse(line) {
            Ok(entry) => history.entries.push(entry),
            Err(why) => history.skipped.push((index + 1, why)),
        }
    }
    history
}

/// The one field that every version of a line has.
#[derive(Deserialize)]
struct Version {
    version: u32,
}

fn parse(line: &[u8]) -> Result<Entry, String> {
    let version: Version = serde_json::from_slice(line).map_err(why_unreadable)?;
    if version.version > LINE_VERSION {
        return Err(format!("written by a newer loadtest (version {})", version.version));
    }
    serde_json::from_slice(line).map_err(why_unreadable)
}

#[expect(clippy::needless_pass_by_value, reason = "the shape that map_err takes")]
fn why_unreadable(error: serde_json::Error) -> String {
    if error.is_eof() {
        "torn: it ends in the middle".to_owned()
    } else {
        format!("not an entry: {error}")
    }
}

fn io_error(path: &Path, action: &'static str, source: io::Error) -> HistoryError {
    HistoryError::Io {
        path: path.to_owned(),
        action,
        source,
    }
}
