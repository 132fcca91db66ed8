//! Consistency under load: did a read see what was acknowledged before it began?

use serde::{Deserialize, Serialize};

/// Examples kept per round; the rest is only counted.
pub const MAX_STALE_EXAMPLES: usize = 20;

/// Results of following the versions of entities through one round.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Consistency {
    /// A read is stale when it began later than this after an acknowledged write and returned an older version.
    pub bound_ms: f64,
    /// Reads that carried a version and could be judged.
    pub reads: u64,
    /// Writes acknowledged with a version.
    pub writes: u64,
    /// Reads older than an acknowledged write, beyond the bound.
    pub stale_reads: u64,
    /// The first stale reads, at most 20 ([`MAX_STALE_EXAMPLES`]).
    pub examples: Vec<StaleRead>,
    /// Per acknowledged write: how long after the acknowledgement the last read began that still saw an older version
    /// (1 us where none did). `HdrHistogram` V2-deflate, base64, microseconds.
    pub propagation_hdr: String,
}

/// One stale read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct StaleRead {
    /// Endpoint that was read.
    pub endpoint: String,
    /// Entity, e.g. `driver:42`.
    pub entity: String,
    /// When the read began, milliseconds since the round's start.
    pub at_ms: f64,
    /// How long before that the newer version was acknowledged, milliseconds.
    pub behind_ms: f64,
    /// The newest version acknowledged before the read began.
    pub expected_version: i64,
    /// The version that it returned.
    pub seen_version: i64,
}
