//! How much load a subject can take: every step of the search, and its result.

use serde::{Deserialize, Serialize};

/// A search for the highest rate that holds the targets.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Capacity {
    /// Targets that had to hold at every rate: their ids.
    pub goals: Vec<String>,
    /// Every load driven, in order.
    pub steps: Vec<CapacityStep>,
    /// Result of the search.
    pub outcome: CapacityOutcome,
    /// Requests per second at which the first goal is just missed, the geometric mean of the rounds.
    pub crossing_per_s: Option<f64>,
    /// 95 % t interval of `crossing_per_s` over the rounds.
    pub interval_per_s: Option<(f64, f64)>,
    /// Requests per second that a soak held: what may be promised.
    pub advertised_per_s: Option<f64>,
    /// Requests per second that were asked for; absent where the question was only how many.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wanted_per_s: Option<f64>,
    /// Length of a soak, seconds.
    pub soak_s: f64,
    /// Soaks that failed.
    pub failed_soaks: u32,
    /// The scalability law through the steps within the targets; absent where they do not determine one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scaling: Option<Scaling>,
}

/// One load driven at a constant rate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct CapacityStep {
    /// Why it was driven.
    pub kind: StepKind,
    /// Requests due per second.
    pub rate_per_s: f64,
    /// The goal that was nearest to its limit, or furthest beyond.
    pub goal: String,
    /// Requests that missed the goal: too slow, failed, unanswered or dropped.
    pub above: u64,
    /// Requests that the goal is about.
    pub of: u64,
    /// Share of the requests that may miss the goal.
    pub allowed: f64,
    /// Requests that missed the goal by service time, which does not hold the subject responsible for what the
    /// generator sent late.
    pub above_by_service: u64,
    /// Median response time of the whole mix, milliseconds; absent without answers.
    pub p50_ms: Option<f64>,
    /// 95th percentile of the response time of the whole mix, milliseconds; absent without answers.
    pub p95_ms: Option<f64>,
    /// Answers per second, errors included.
    pub achieved_per_s: f64,
    /// Mean number of requests in flight.
    pub in_flight: f64,
    /// Arrivals that found no connection.
    pub dropped: u64,
    /// 99th percentile of the send lateness, milliseconds.
    pub lateness_p99_ms: Option<f64>,
    /// Response times of the whole mix: `HdrHistogram` V2-deflate, base64, microseconds.
    pub hdr: String,
}

/// Why a load was driven.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum StepKind {
    /// To find the neighbourhood.
    Doubling,
    /// One of the four loads of a round.
    Round,
    /// A part of the long run at the rate that is to be promised.
    Soak,
}

/// Result of a search.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum CapacityOutcome {
    /// A soak held a rate.
    Found,
    /// No rate tried missed a goal.
    BeyondReach,
    /// No soak held.
    NotHeld,
    /// The search ended early.
    Unfinished,
}

/// Gunther's law `X(N) = lambda N / (1 + sigma (N-1) + kappa N (N-1))`, fitted.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Scaling {
    /// Throughput of one request at a time, per second.
    pub lambda: f64,
    /// Contention: waiting in line.
    pub sigma: f64,
    /// Coherency: keeping consistent.
    pub kappa: f64,
    /// Largest number in flight that was measured.
    pub largest_n: f64,
    /// Requests in flight with the largest throughput; absent where the law has no peak within twice what was measured.
    pub peak_n: Option<f64>,
    /// Largest throughput, per second, with its 95 % interval: (estimate, low, high).
    pub peak_per_s: Option<(f64, f64, f64)>,
}
