//! Logs: their form. The filter is `RUST_LOG` (default `info`), which the subscriber reads itself.

use super::reader::{Reader, one_of};

/// How a log line looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line, for collectors.
    Json,
}

const FORMATS: &[(&str, LogFormat)] = &[("text", LogFormat::Text), ("json", LogFormat::Json)];

/// The log side.
#[derive(Debug, Clone, Copy)]
pub struct LogConfig {
    /// `LOG_FORMAT`, `text` or `json`, default `text`.
    pub format: LogFormat,
}

impl LogConfig {
    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        Self {
            format: reader.or("LOG_FORMAT", LogFormat::Text, one_of(FORMATS)),
        }
    }
}
