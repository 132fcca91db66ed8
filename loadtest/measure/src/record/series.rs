//! Values of probes over time, on the clock of the load, and what reading them cost.

use serde::{Deserialize, Serialize};

/// One metric of one round over time.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Series {
    /// Metric name, e.g. `service.cpu_percent`; a rate is that since the reading before.
    pub metric: String,
    /// Milliseconds since the round's start, ascending: the same clock as the phases.
    pub at_ms: Vec<u64>,
    /// Values at the times of `at_ms`; as many as those.
    pub values: Vec<f64>,
}

/// Cost of one probe in one round.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ProbeCost {
    /// The server or place read: `postgres`, `redis`, `prometheus`, `process`.
    pub probe: String,
    /// Readings.
    pub readings: u64,
    /// Time spent in readings, summed, microseconds.
    pub total_us: u64,
    /// The longest reading, microseconds.
    pub longest_us: u64,
}
