//! The gate's own part of a record: interleaved slices (STATISTICS section 1), and the course of the two-stage
//! decision.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{EndpointCounts, Family, Outcome};

/// Endpoint name under which the canary stands in [`GateSlice::endpoints`].
pub const CANARY: &str = "canary";

/// One slice of a block: one subject under load for a second or two.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct GateSlice {
    /// Position within the block, 0 to 15. Positions 2j and 2j+1 are a pair: one slice of each subject.
    pub position: u32,
    /// Milliseconds since the round's start.
    pub start_ms: u64,
    /// Length, milliseconds.
    pub length_ms: u64,
    /// By endpoint name, and `canary` ([`CANARY`]) where one was driven. A request belongs to the slice of its intended
    /// start.
    pub endpoints: BTreeMap<String, EndpointCounts>,
    /// CPU time of the subject for the requests of the slice, microseconds; absent where it cannot be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_cpu_us: Option<u64>,
    /// CPU time of the generator's thread, share of the one core that it can use, 0 to 1.
    pub generator_cpu: f64,
    /// Time stolen by the hypervisor within the slice, share of all cores, 0 to 1; absent where it cannot be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub steal: Option<f64>,
    /// Time in which anybody used the cores, share of all, 0 to 1; absent where it cannot be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub busy: Option<f64>,
    /// 99th percentile of the send lateness, microseconds.
    pub lateness_p99_us: u64,
}

/// Course and result of a gate's decision.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct GateDecision {
    /// Blocks of stage 1 that entered.
    pub stage1_blocks: u32,
    /// Blocks of stage 2, or of the extension for PASS, that entered; 0 if stage 1 decided all.
    pub stage2_blocks: u32,
    /// Blocks that were run again because too many slices were invalid.
    pub repeated_blocks: u32,
    /// Slice pairs dropped as invalid in the blocks that entered.
    pub dropped_pairs: u32,
    /// Whether a canary took the shared noise out.
    pub canary: bool,
    /// The verdict of each family that was tested.
    pub families: Vec<FamilyVerdict>,
    /// Set where the host was oversubscribed: why p95 measures the host more than the subject.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oversubscribed: Option<String>,
}

/// Verdict of one family of the gate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct FamilyVerdict {
    /// The family that was tested.
    pub family: Family,
    /// Regress if any endpoint regressed, else inconclusive if any is, else pass.
    pub outcome: Outcome,
    /// The smallest slowdown that this run could see in its worst endpoint, as a share; absent where unknown.
    pub mde: Option<f64>,
    /// The verdict in words, with the figures behind it.
    pub detail: String,
}
