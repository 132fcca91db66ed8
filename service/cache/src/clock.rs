//! Time, as the cache sees it. The only module that reads the machine's clocks: everything else asks a [`Clock`], so
//! that a test of expiry moves the time instead of waiting for it.
//!
//! Time-outs and pauses around Redis are not here: they guard real sockets and use the runtime's timer.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nix::time::{ClockId, clock_gettime};

/// Where the cache reads the time from.
///
/// The implementor guarantees that [`monotonic`](Clock::monotonic) never goes back. The wall clock may jump; it decides
/// only the age of L2 entries, never whether an entry was invalidated.
pub trait Clock: Send + Sync + 'static {
    /// Time since a fixed moment in the past, chosen by the clock. Ages in this process are differences of it.
    fn monotonic(&self) -> Duration;

    /// As [`monotonic`](Clock::monotonic), but it may lag by some milliseconds if that makes it cheaper: what every hit
    /// is judged by. Never ahead of it.
    fn coarse(&self) -> Duration {
        self.monotonic()
    }

    /// Milliseconds since 1970-01-01 UTC. Stored in L2 entries, because replicas share no monotonic clock.
    fn wall_ms(&self) -> u64;
}

/// The machine's clocks; the monotonic one counts from a moment that the system chose.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn monotonic(&self) -> Duration {
        system_time(ClockId::CLOCK_MONOTONIC)
    }

    /// The kernel's last tick, at most some milliseconds ago: a fifth of the price of asking the time.
    #[cfg(target_os = "linux")]
    fn coarse(&self) -> Duration {
        system_time(ClockId::CLOCK_MONOTONIC_COARSE)
    }

    fn wall_ms(&self) -> u64 {
        SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, as_millis)
    }
}

/// The clocks asked for here exist on every system that this builds for; one that failed would stand at the far end of
/// time, where nothing is served.
fn system_time(clock: ClockId) -> Duration {
    clock_gettime(clock).map_or(Duration::MAX, Duration::from)
}

/// Whole milliseconds of `duration`, saturating.
pub(crate) fn as_millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Whole nanoseconds of `duration`, saturating.
pub(crate) fn as_nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// Whole microseconds of `duration`, saturating.
pub(crate) fn as_micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_coarse_time_lags_a_little_and_is_never_ahead() {
        let clock = SystemClock;
        for _ in 0..1_000 {
            let coarse = clock.coarse();
            let exact = clock.monotonic();
            assert!(coarse <= exact && exact.saturating_sub(coarse) < Duration::from_secs(1));
        }
    }
}
