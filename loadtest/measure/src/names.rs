//! Names of the metrics that self-checks and comparisons read from [`crate::record::Round::probes`].
//!
//! What belongs here: names that this package gives a meaning. Other metrics need no entry: a target or a report names
//! them as the probe did.

/// CPU of the generator over the measured phase, percent of all cores.
pub const HARNESS_CPU_PERCENT: &str = "harness.cpu_percent";
/// How late the generator's own timers fired, 99th percentile, milliseconds.
pub const HARNESS_LAG_P99_MS: &str = "harness.scheduling_lag_p99_ms";
/// CPU of the subject over the measured phase, percent of all cores.
pub const SERVICE_CPU_PERCENT: &str = "service.cpu_percent";
/// CPU time of the subject per request, microseconds.
pub const SERVICE_CPU_US_PER_REQUEST: &str = "service.cpu_us_per_request";
/// Time stolen by the hypervisor, percent of all cores.
pub const STEAL_PERCENT: &str = "machine.steal_percent";
/// CPU of everything that is neither generator, subject nor stack, percent of all cores.
pub const OTHER_CPU_PERCENT: &str = "machine.other_cpu_percent";
/// The smallest step that the generator's clock was seen to take, microseconds.
pub const CLOCK_STEP_US: &str = "clock.step_us";
