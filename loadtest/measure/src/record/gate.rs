//! The gate's own part of a record: interleaved slices (STATISTICS section 1), and the course of the two-stage
//! decision.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Comparison, EndpointCounts, Family, Outcome, is_zero};

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
    /// Arrivals of the slice that found no free connection: the subject held all of them. They failed.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub dropped: u64,
    /// Milliseconds that a failed request is taken to have lasted, the longest time-out of the workload; absent in
    /// records of older builds, which stands for a minute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed_as_ms: Option<u64>,
    /// CPU time of the subject for the requests of the slice, microseconds; absent where it cannot be read. What is
    /// judged stands in [`ResidentCpu`].
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

/// CPU time of a resident, its whole process tree, from the end of its warm-up to the end of the block. What it put off
/// while it was loaded is in it, since the slices in which the other one was loaded are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ResidentCpu {
    /// All of it, microseconds.
    pub cpu_us: u64,
    /// Requests sent to it in this time, those before its slices included.
    pub requests: u64,
    /// The part of `cpu_us` that it used while the other one was loaded, microseconds.
    pub idle_us: u64,
    /// How long the other one was loaded, milliseconds.
    pub idle_ms: u64,
}

impl ResidentCpu {
    /// Microseconds per request; `None` without a request or without CPU time.
    pub fn us_per_request(&self) -> Option<f64> {
        (self.requests > 0 && self.cpu_us > 0).then(|| self.cpu_us as f64 / self.requests as f64)
    }

    /// Cores that it used while the other one was loaded; 0 where it never was.
    pub fn idle_cores(&self) -> f64 {
        self.idle_us as f64 / (self.idle_ms.max(1) as f64 * 1000.0)
    }
}

/// Course and result of a gate's decision.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct GateDecision {
    /// Blocks of stage 1 that entered.
    pub stage1_blocks: u32,
    /// Blocks of stage 2, or of the extension for PASS, that entered; 0 if stage 1 decided all.
    pub stage2_blocks: u32,
    /// Blocks that were run again because the generator was saturated in too many slices.
    pub repeated_blocks: u32,
    /// Blocks that did not enter because too many of their sends were late; they are not run again.
    #[serde(default)]
    pub late_blocks: u32,
    /// Slice pairs dropped in the blocks that entered.
    pub dropped_pairs: u32,
    /// Most that the sends of a slice of stage 1 could be late (99th percentile), milliseconds: the strictest of 1, 2,
    /// 3 and 5 ms that leaves three quarters of the planned blocks. Absent where no limit leaves so many, and lateness
    /// drops nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stage1_lateness_ms: Option<u32>,
    /// The same for stage 2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stage2_lateness_ms: Option<u32>,
    /// Slices of each subject that were dropped: late beyond the limit, or the generator was saturated.
    #[serde(default)]
    pub dropped_slices: [u64; 2],
    /// Whether a canary took the shared noise out.
    pub canary: bool,
    /// The canary itself, beside one subject and beside the other; absent where none answered in every block.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub canary_row: Option<Comparison>,
    /// What was seen of the machine and of the generator that bears on the verdict, in sentences.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
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
    /// The smallest change for the worse that this run could see in its worst endpoint, absent where unknown: as a
    /// share of the figure, or, of families of shares, as the difference of the shares (0.001 is a tenth of a point).
    pub mde: Option<f64>,
    /// The change for the worse of any one endpoint that would have failed: not less than `mde`, and as far above the
    /// tolerance as chance may take it below.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub would_fail: Option<f64>,
    /// The verdict in words, with the figures behind it.
    pub detail: String,
}
