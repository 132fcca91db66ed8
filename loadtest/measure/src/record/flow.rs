//! What flowed through a phase as a whole: requests in flight, pauses, arrivals, and both per tenth of a second.
//!
//! All of it is sums, so that the figures of several generators merge exactly. What follows from them (Little's law, a
//! growing queue, hidden think time) is in `checks`.

use serde::{Deserialize, Serialize};

/// Requests in flight over a phase, all endpoints together. A request is in flight from its intended start to its end,
/// and only the part inside the phase counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Flow {
    /// Time in flight inside the phase, summed over requests, microseconds. Over the length of the phase it is the mean
    /// number in flight.
    pub in_flight_us: u64,
    /// In flight when the phase began.
    pub at_start: u64,
    /// In flight when the phase ended.
    pub at_end: u64,
    /// The longest that one request was in flight inside the phase, microseconds.
    pub longest_us: u64,
    /// Response times of the answers not as expected that count in the phase, summed, microseconds: they are in flight
    /// like the others, but not in the histograms.
    pub error_us: u64,
    /// Pauses of the users (closed model).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pauses: Option<Pauses>,
}

/// Think times inside a phase, clipped to it and summed over users.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Pauses {
    /// Pauses that reach into the phase.
    pub count: u64,
    /// As the workload drew them, microseconds.
    pub intended_us: u64,
    /// As they were, microseconds. Longer than intended is time that no request and no pause explains.
    pub observed_us: u64,
}

/// Arrivals of the open model within a phase, by intended time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Arrivals {
    /// Due by the schedule.
    pub intended: u64,
    /// Sent of the arrivals that were due.
    pub sent: u64,
    /// Sent later than 1 ms ([`LATE_US`]) against the schedule.
    pub late: u64,
    /// Due but not sent, because no worker was free: each counts as a request that failed.
    pub dropped: u64,
    /// Send lateness (sent - intended), `HdrHistogram` V2-deflate, base64, microseconds.
    pub lateness_hdr: String,
}

/// From here on a send is late, microseconds: the bound of STATISTICS section 1, "invalid slice".
pub const LATE_US: u64 = 1_000;

/// The phase in steps of 100 ms ([`PULSE_STEP_MS`]), all endpoints together: what the steady-state test reads.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Pulse {
    /// Answers as expected by intended start.
    pub answers: Vec<u64>,
    /// Response times of those answers, summed, microseconds.
    pub response_us: Vec<u64>,
    /// Time in flight inside the step, summed over requests, microseconds.
    pub in_flight_us: Vec<u64>,
}

/// Length of a step of [`Pulse`] (STATISTICS section 5: 100 ms means).
pub const PULSE_STEP_MS: u64 = 100;
