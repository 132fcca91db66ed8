//! Limits that several judgements share, each with its source. A limit that one judgement alone uses stands beside it.

/// Ratio below which a change in either direction is of no interest, however sure (STATISTICS section 1: "at least 3 %
/// slower").
pub const EFFECT: f64 = 1.03;
/// Ratio from which a slowdown beyond chance is a regression; below it, it is shown and tolerated (STATISTICS section
/// 1: "by less than 5 %").
pub const TOLERANCE: f64 = 1.05;
/// The slowdown that a comparison is meant to see, as a share (STATISTICS section 1: "upper bound at most 10 %").
pub const RESOLUTION: f64 = 0.10;
/// Ratio that a bound of the slowdown must stay below for a pass, and the limit of baselines at several times
/// (STATISTICS sections 1 and 7).
pub const MARGIN: f64 = 1.0 + RESOLUTION;
/// Largest adjusted p that counts as beyond chance (STATISTICS sections 1 and 7).
pub const ALPHA: f64 = 0.05;
/// Blocks below which nothing is judged: with n blocks no p of the sign-flip test is below 2^-n, so four never reach 5
/// %.
pub const MIN_BLOCKS: usize = 5;
/// Blocks with which the strictest level of a gate can be reached: of eight, one sign pattern in 256 is below half a
/// hundredth (STATISTICS section 1).
pub const ENOUGH_BLOCKS: usize = 8;
/// Answers that an endpoint needs per block: a 95th percentile of fewer is its largest time.
pub const MIN_ANSWERS: u64 = 20;
/// Share of its cores above which a generator measures its own queue (STATISTICS section 1, "a slice is invalid").
pub const MAX_GENERATOR_CPU: f64 = 0.8;
/// Share of a response time that a delay of the generator itself may have (STATISTICS section 1, "a slice is invalid").
pub const LATENESS_SHARE: f64 = 0.2;

/// How late the sends of a load may be at the 99th percentile, where its median response time is `p50_us`: the larger
/// of 1 ms and 20 % of the median, microseconds (STATISTICS section 1, "a slice is invalid").
pub fn allowed_lateness_us(p50_us: u64) -> f64 {
    (crate::record::LATE_US as f64).max(LATENESS_SHARE * p50_us as f64)
}
