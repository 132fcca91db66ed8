//! `.hlog` files: histograms over time in the interval log of `HdrHistogram`, which its own tools read
//! (`HistogramLogProcessor`, the Python and JavaScript packages).
//!
//! Lines are `Tag=x,start,length,max,base64` (V2-deflate): start and length in seconds, the largest value in
//! milliseconds, the histogram in microseconds. What does not belong here: which histograms a record merges (`merge`).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io;
use std::time::{Duration, SystemTime};

use chrono::{DateTime, Utc};
use hdrhistogram::serialization::V2DeflateSerializer;
use hdrhistogram::serialization::interval_log::{
    IntervalLogHistogram, IntervalLogIterator, IntervalLogWriterBuilder, IntervalLogWriterError, LogEntry, Tag,
};

use crate::histogram::{HistogramError, LatencyHistogram};
use crate::record::{EndpointCounts, GateSlice, PHASE_MEASURE, Record, Round};
use crate::rounds::{RoundError, measured_phase, unreadable};

/// The column of largest values is in milliseconds, the histograms in microseconds.
const MAX_DIVISOR: f64 = 1000.0;

/// The content of one file.
#[derive(Debug, Clone, PartialEq)]
pub struct Hlog {
    /// Start of the log, whole milliseconds; the intervals count from here.
    pub started_at: DateTime<Utc>,
    /// In the order of the file.
    pub intervals: Vec<Interval>,
}

/// One line: the times of one tag over an interval.
#[derive(Debug, Clone, PartialEq)]
pub struct Interval {
    /// `SUBJECT/ENDPOINT` for response times, with `/service` behind it for service times, and with `/bBLOCK/pPOSITION`
    /// for a slice of a gate. What would end a part or the tag within a name is percent-encoded, so that no two names
    /// give one tag. Empty for an untagged line of another tool.
    pub tag: String,
    /// Since the start of the log, whole milliseconds.
    pub start: Duration,
    /// Whole milliseconds.
    pub length: Duration,
    /// The times.
    pub times: LatencyHistogram,
}

/// Why a log cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum HlogError {
    /// Not a line of an interval log.
    #[error("line {line}: not a line of a histogram log (expected `[Tag=x,]start,length,max,base64`)")]
    Line {
        /// From 1.
        line: usize,
    },
    /// A line whose histogram is not one of ours.
    #[error("line {line}: {source}")]
    Histogram {
        /// From 1.
        line: usize,
        /// The fault of the histogram.
        source: HistogramError,
    },
    /// No line holds a histogram.
    #[error("no histogram in it")]
    Empty,
}

/// Why logs do not merge.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum UnlikeHlogs {
    /// Nothing to merge.
    #[error("no log was given")]
    None,
    /// A tag stands in one log only, or more often in one.
    #[error("log {log} has {found} intervals of `{tag}`, log 1 has {expected}: they are not of one load")]
    Intervals {
        /// Which log, from 1.
        log: usize,
        /// The tag.
        tag: String,
        /// Its lines in that log.
        found: usize,
        /// Its lines in the first.
        expected: usize,
    },
}

impl Hlog {
    /// The measured phases of a record, and the slices of a gate.
    pub fn of_record(record: &Record) -> Result<Self, RoundError> {
        let first = record.rounds.iter().map(|round| round.started_at).min();
        let started_at = whole_ms(first.unwrap_or(record.created_at));
        let mut intervals = Vec::new();
        for round in &record.rounds {
            let offset = (round.started_at - started_at).to_std().unwrap_or_default();
            intervals.extend(of_round(round, whole_ms_of(offset))?);
        }
        Ok(Self { started_at, intervals })
    }

    /// Writes the log.
    pub fn write(&self, mut out: impl io::Write) -> io::Result<()> {
        let mut serializer = V2DeflateSerializer::new();
        let mut log = IntervalLogWriterBuilder::new()
            .add_comment("[Histogram log format version 1.3]")
            .add_comment("[Response times in microseconds; Interval_Max in milliseconds]")
            .with_start_time(SystemTime::from(self.started_at))
            .with_max_value_divisor(MAX_DIVISOR)
            .begin_log_with(&mut out, &mut serializer)?;
        for interval in &self.intervals {
            let tag = printable(&interval.tag);
            let tag = Some(tag.as_str()).filter(|tag| !tag.is_empty()).and_then(Tag::new);
            log.write_histogram(interval.times.counts(), interval.start, interval.length, tag)
                .map_err(into_io)?;
        }
        Ok(())
    }

    /// Reads a log in V2 or V2-deflate form, ours or that of another tool with our histogram layout.
    pub fn parse(text: &[u8]) -> Result<Self, HlogError> {
        let (mut started_at, mut intervals) = (DateTime::UNIX_EPOCH, Vec::new());
        for (line, bytes) in lines(text) {
            match IntervalLogIterator::new(&bytes).next() {
                None => (),
                Some(Ok(LogEntry::StartTime(since_epoch) | LogEntry::BaseTime(since_epoch))) => {
                    started_at = DateTime::UNIX_EPOCH + since_epoch;
                }
                Some(Ok(LogEntry::Interval(interval))) => intervals.push(read(&interval, line)?),
                Some(Err(_)) => return Err(HlogError::Line { line }),
            }
        }
        if intervals.is_empty() {
            return Err(HlogError::Empty);
        }
        let started_at = whole_ms(started_at);
        Ok(Self { started_at, intervals })
    }

    /// Several generators' logs of one load as one, exactly: the k-th intervals of a tag are added, and span them all.
    /// Logs whose tags differ, in name or number, are refused.
    pub fn merge(logs: &[Self]) -> Result<Self, UnlikeHlogs> {
        let (Some(first), Some(started_at)) = (logs.first(), logs.iter().map(|log| log.started_at).min()) else {
            return Err(UnlikeHlogs::None);
        };
        let expected = first.counted();
        let mut merged: BTreeMap<(&str, usize), Interval> = BTreeMap::new();
        for (index, log) in logs.iter().enumerate() {
            like(index + 1, &log.counted(), &expected)?;
            let shift = (log.started_at - started_at).to_std().unwrap_or_default();
            let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
            for interval in &log.intervals {
                let number = seen.entry(&interval.tag).or_default();
                let moved = Interval {
                    start: interval.start + shift,
                    ..interval.clone()
                };
                merged
                    .entry((&interval.tag, *number))
                    .and_modify(|sum| sum.add(&moved))
                    .or_insert(moved);
                *number += 1;
            }
        }
        let mut intervals: Vec<Interval> = merged.into_values().collect();
        intervals.sort_by(|a, b| (a.start, &a.tag).cmp(&(b.start, &b.tag)));
        Ok(Self { started_at, intervals })
    }

    /// Lines per tag.
    fn counted(&self) -> BTreeMap<&str, usize> {
        let mut counted = BTreeMap::new();
        for interval in &self.intervals {
            *counted.entry(interval.tag.as_str()).or_default() += 1;
        }
        counted
    }
}

impl Interval {
    fn add(&mut self, other: &Self) {
        let end = (self.start + self.length).max(other.start + other.length);
        self.start = self.start.min(other.start);
        self.length = end.saturating_sub(self.start);
        self.times.merge(&other.times);
    }
}

fn like(log: usize, found: &BTreeMap<&str, usize>, expected: &BTreeMap<&str, usize>) -> Result<(), UnlikeHlogs> {
    let tags: BTreeSet<&&str> = found.keys().chain(expected.keys()).collect();
    let count = |side: &BTreeMap<&str, usize>, tag: &str| side.get(tag).copied().unwrap_or(0);
    for tag in tags {
        let (found, expected) = (count(found, tag), count(expected, tag));
        if found != expected {
            return Err(UnlikeHlogs::Intervals {
                log,
                tag: (*tag).to_owned(),
                found,
                expected,
            });
        }
    }
    Ok(())
}

fn of_round(round: &Round, offset: Duration) -> Result<Vec<Interval>, RoundError> {
    let mut intervals = Vec::new();
    for slice in &round.gate_slices {
        let at = Span {
            start: offset + Duration::from_millis(slice.start_ms),
            length: Duration::from_millis(slice.length_ms),
        };
        for (endpoint, counts) in &slice.endpoints {
            intervals.push(at.of(round, &slice_tag(round, slice, endpoint), &counts.hdr, endpoint)?);
        }
    }
    let Some(phase) = measured_phase(round) else {
        return Ok(intervals);
    };
    debug_assert_eq!(phase.name, PHASE_MEASURE);
    let at = Span {
        start: offset + Duration::from_millis(phase.start_ms),
        length: Duration::from_millis(phase.end_ms.saturating_sub(phase.start_ms)),
    };
    for (endpoint, counts) in &phase.endpoints {
        intervals.extend(at.of_endpoint(round, endpoint, counts)?);
    }
    Ok(intervals)
}

fn slice_tag(round: &Round, slice: &GateSlice, endpoint: &str) -> String {
    let tag = endpoint_tag(round, endpoint);
    format!("{tag}/b{}/p{}", round.block, slice.position)
}

/// When the histograms of one phase or slice were counted.
#[derive(Clone, Copy)]
struct Span {
    start: Duration,
    length: Duration,
}

impl Span {
    fn of(self, round: &Round, tag: &str, hdr: &str, endpoint: &str) -> Result<Interval, RoundError> {
        let times = LatencyHistogram::decode(hdr).map_err(|source| unreadable(round, endpoint, source))?;
        Ok(Interval {
            tag: tag.to_owned(),
            start: self.start,
            length: self.length,
            times,
        })
    }

    fn of_endpoint(self, round: &Round, endpoint: &str, counts: &EndpointCounts) -> Result<Vec<Interval>, RoundError> {
        let tag = endpoint_tag(round, endpoint);
        let mut intervals = vec![self.of(round, &tag, &counts.hdr, endpoint)?];
        if let Some(service) = &counts.service_hdr {
            intervals.push(self.of(round, &format!("{tag}/service"), service, endpoint)?);
        }
        Ok(intervals)
    }
}

fn endpoint_tag(round: &Round, endpoint: &str) -> String {
    format!("{}/{}", tag_part(&round.subject), tag_part(endpoint))
}

/// A name as a part of a tag: what would end the part or the tag, and the sign of an escape itself, percent-encoded.
fn tag_part(name: &str) -> String {
    let mut part = String::with_capacity(name.len());
    for c in name.chars() {
        if c.is_whitespace() || c.is_control() || matches!(c, '/' | ',' | '%') {
            let mut bytes = [0; 4];
            for byte in c.encode_utf8(&mut bytes).bytes() {
                // Writing to a String cannot fail.
                let _ = write!(part, "%{byte:02X}");
            }
        } else {
            part.push(c);
        }
    }
    part
}

/// Characters that no tag can hold, which come only from elsewhere, become underscores.
fn printable(tag: &str) -> String {
    tag.replace([',', ' ', '\r', '\n'], "_")
}

/// Lines with their number from 1; the legend that Java writes, and empty lines, are passed over.
fn lines(text: &[u8]) -> impl Iterator<Item = (usize, Vec<u8>)> + '_ {
    text.split(|byte| *byte == b'\n')
        .enumerate()
        .map(|(index, line)| (index + 1, line.trim_ascii_end()))
        .filter(|(_, line)| !line.is_empty() && !line.starts_with(b"\"StartTimestamp\""))
        .map(|(number, line)| (number, [line, b"\n"].concat()))
}

fn read(interval: &IntervalLogHistogram, line: usize) -> Result<Interval, HlogError> {
    let times = LatencyHistogram::decode(interval.encoded_histogram())
        .map_err(|source| HlogError::Histogram { line, source })?;
    Ok(Interval {
        tag: interval.tag().map_or_else(String::new, |tag| tag.as_str().to_owned()),
        start: whole_ms_of(interval.start_timestamp()),
        length: whole_ms_of(interval.duration()),
        times,
    })
}

/// The file keeps three decimals of a second.
fn whole_ms(at: DateTime<Utc>) -> DateTime<Utc> {
    DateTime::from_timestamp_millis(at.timestamp_millis()).unwrap_or(at)
}

fn whole_ms_of(length: Duration) -> Duration {
    let rounded = length + Duration::from_micros(500);
    Duration::from_millis(u64::try_from(rounded.as_millis()).unwrap_or(u64::MAX))
}

fn into_io<E: std::fmt::Debug>(error: IntervalLogWriterError<E>) -> io::Error {
    match error {
        IntervalLogWriterError::IoError(error) => error,
        IntervalLogWriterError::SerializeError(error) => io::Error::other(format!("{error:?}")),
    }
}

#[cfg(test)]
mod tests;
