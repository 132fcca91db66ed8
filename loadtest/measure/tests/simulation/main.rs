//! The gate's error rates by simulation (STATISTICS section 1, T2 and T3), and the coverage of intervals (section 2).
//!
//! The normal run is a short seeded form that still fails if the rule is broken. The whole tables, or a share of them:
//! `MEASURE_LONG=1 cargo test --release -p measure --test simulation -- --nocapture --test-threads=1`

mod bank;
mod baseline;
mod closed;
mod coverage;
mod gate;
mod noise;

/// Repetitions: the short form in a normal run; with `MEASURE_LONG` set, that share of the whole one (1 is all of it).
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a few thousand")]
fn repetitions(short: usize, long: usize) -> usize {
    let share = std::env::var("MEASURE_LONG")
        .ok()
        .map(|share| share.parse().unwrap_or(1.0_f64));
    share.map_or(short, |share| (share * long as f64) as usize)
}
