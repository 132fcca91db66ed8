//! The comparison of a record with stored baselines: other runs, measured at other times.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::Comparison;

/// The comparison of a record with stored baselines.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Baseline {
    /// The runs compared with, oldest first.
    pub runs: Vec<BaselineRun>,
    /// The evidence behind the interval of a ratio.
    pub evidence: BaselineEvidence,
    /// Slower than this ratio is a regression.
    pub limit: f64,
    /// One line per endpoint and family: after / baseline. Their adjusted p are those of "slower than the limit" and
    /// "faster than one over the limit"; their MDE is the smallest slowdown that would have been called.
    pub comparisons: Vec<Comparison>,
    /// The question that this comparison can answer, for people.
    pub shows: String,
    /// Questions that it cannot answer, and the way to answer them.
    pub cannot_show: String,
    /// Cautions for the reader, e.g. that a baseline was written by another build of the harness.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// One baseline.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct BaselineRun {
    /// Id of its record.
    pub id: String,
    /// When it ran.
    pub at: DateTime<Utc>,
    /// The subject taken from it: its last one.
    pub subject: String,
    /// Git revision of that subject, when known.
    pub git: Option<String>,
    /// Blocks it measured.
    pub blocks: u32,
}

/// Evidence behind the interval of a ratio (STATISTICS section 7).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum BaselineEvidence {
    /// The blocks of both sides: the conditions of these runs, not what changed between them.
    Blocks,
    /// Runs at different times: what changes between runs is part of it.
    Runs,
}
