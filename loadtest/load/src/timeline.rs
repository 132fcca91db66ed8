//! When the phases of a round begin and end, on the round's clock.

use std::time::Duration;

use measure::{
    record::{PHASE_DRAIN, PHASE_MEASURE, PHASE_WARM_UP},
    recorder::Windows,
};
use scenarios::{Schedule, Workload};

use crate::LoadModel;

/// Share of the warm-up that runs at its faster pace; the rest lets queues that the pace built up drain before anything
/// is measured.
const ACCELERATED_SHARE: f64 = 0.5;

/// The beginning of the warm-up, while users or arrivals increase; part of the warm-up in the record.
const PHASE_RAMP: &str = "ramp";

/// When the phases of a round end, microseconds since its start.
#[derive(Debug, Clone, Copy)]
pub struct Timeline {
    /// The measured phase, from the end of the warm-up on.
    pub windows: Windows,
    /// Until then users or arrivals increase.
    ramp_end_us: u64,
    /// Until then pauses of the closed model are scaled by `warm_up_think_scale`.
    pub(crate) accelerated_until_us: u64,
    pub(crate) warm_up_think_scale: f64,
    /// Requests in flight are given up here.
    pub(crate) drain_end_us: u64,
}

impl Timeline {
    /// The phases of `schedule` for `workload`.
    pub(crate) fn new(workload: &Workload, model: &LoadModel, schedule: &Schedule) -> Self {
        let warm_up = Duration::from_secs_f64(schedule.warm_up_s);
        let windows = Windows::from_lengths(warm_up, Duration::from_secs_f64(schedule.measure_s));
        Self {
            windows,
            ramp_end_us: micros(Duration::from_secs_f64(model.ramp_s())).min(windows.warm_up_end_us),
            accelerated_until_us: micros(warm_up.mul_f64(ACCELERATED_SHARE)),
            warm_up_think_scale: workload.warm_up_think_scale,
            drain_end_us: windows.measure_end_us + micros(Duration::from_secs_f64(schedule.drain_s)),
        }
    }

    /// Name of the phase that `now_us` falls into.
    pub fn phase_at(&self, now_us: u64) -> &'static str {
        match now_us {
            now_us if now_us < self.ramp_end_us => PHASE_RAMP,
            now_us if now_us < self.windows.warm_up_end_us => PHASE_WARM_UP,
            now_us if now_us < self.windows.measure_end_us => PHASE_MEASURE,
            _ => PHASE_DRAIN,
        }
    }
}

/// Whole microseconds, the unit of a round's clock.
pub(crate) fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
