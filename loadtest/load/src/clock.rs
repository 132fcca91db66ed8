//! The one place that reads the monotonic clock: every time of a round counts from its start.

use std::time::{Duration, Instant};

use nix::{
    sys::time::TimeSpec,
    time::{ClockId, clock_gettime},
};

use crate::LoadError;

/// Microseconds since a round's start.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    start: Instant,
    /// The same moment as the kernel's timers count it: `Instant` reads the same clock but does not show its value.
    kernel_start: Duration,
}

impl Clock {
    /// A clock that reads 0 now.
    ///
    /// # Errors
    /// On a system without a monotonic clock.
    pub(crate) fn start() -> Result<Self, LoadError> {
        let start = Instant::now();
        let kernel = clock_gettime(ClockId::CLOCK_MONOTONIC).map_err(LoadError::internal)?;
        Ok(Self {
            start,
            kernel_start: Duration::from(kernel),
        })
    }

    /// Microseconds since the start.
    pub fn now_us(self) -> u64 {
        u64::try_from(self.start.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    /// The instant at which this clock reads `at_us`, for tokio's timers.
    pub fn instant(self, at_us: u64) -> tokio::time::Instant {
        tokio::time::Instant::from_std(self.start + Duration::from_micros(at_us))
    }

    /// The moment at which this clock reads `at_us`, for a timer of the kernel on `CLOCK_MONOTONIC`.
    pub(crate) fn kernel_time(self, at_us: u64) -> TimeSpec {
        TimeSpec::from(self.kernel_start + Duration::from_micros(at_us))
    }

    /// The smallest step between two different readings, microseconds: how finely anything can be timed here.
    pub fn step_us() -> f64 {
        let step = |_| {
            let before = Instant::now();
            loop {
                let step = before.elapsed();
                if !step.is_zero() {
                    return step;
                }
            }
        };
        let smallest = (0..CLOCK_READINGS).map(step).min().unwrap_or_default();
        smallest.as_secs_f64() * 1e6
    }
}

/// Enough readings to meet the clock's own step and not only a pause of this thread; 25 us in all.
const CLOCK_READINGS: u32 = 1_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_counts_from_the_same_start() {
        let clock = Clock::start().unwrap();
        let kernel_now = Duration::from(clock_gettime(ClockId::CLOCK_MONOTONIC).unwrap());
        let since_start = kernel_now.checked_sub(Duration::from(clock.kernel_time(0)));
        let at_most = Duration::from_micros(clock.now_us() + 1);
        assert!(since_start.is_some_and(|since| since <= at_most), "{since_start:?}");
    }

    #[test]
    fn the_clock_is_fine_enough_for_microseconds() {
        assert!(Clock::step_us() <= 1.0, "{}", Clock::step_us());
    }
}
