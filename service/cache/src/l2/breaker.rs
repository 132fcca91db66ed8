//! Leaves Redis alone for a moment after it failed, so that an outage costs one request a time-out, not every request.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use crate::clock::as_millis;

/// How long Redis is left alone after a failure; then one operation may try.
const COOL_DOWN_MS: u64 = 200;

/// Closed (operations run), or open until a moment of the monotonic clock.
#[derive(Debug, Default)]
pub(super) struct Breaker {
    /// Milliseconds on the cache's monotonic clock, plus one; 0 is closed. Orders nothing else, hence relaxed: an
    /// operation more or less is no matter.
    open_until_ms: AtomicU64,
}

impl Breaker {
    /// Whether an operation may run at `now`. When the time is up, one caller gets through and the others wait for it.
    pub(super) fn admits(&self, now: Duration) -> bool {
        let until = self.open_until_ms.load(Ordering::Relaxed);
        until == 0 || (as_millis(now) + 1 >= until && self.take_turn(until, now))
    }

    fn take_turn(&self, until: u64, now: Duration) -> bool {
        self.open_until_ms
            .compare_exchange(until, reopen_at(now), Ordering::Relaxed, Ordering::Relaxed)
            .is_ok()
    }

    /// Redis failed at `now`. True if that opened a closed breaker.
    pub(super) fn fail(&self, now: Duration) -> bool {
        self.open_until_ms.swap(reopen_at(now), Ordering::Relaxed) == 0
    }

    /// Redis answered. True if that closed an open breaker.
    pub(super) fn succeed(&self) -> bool {
        // A load before the store: operations that succeed in a row do not fight over the cache line.
        self.open_until_ms.load(Ordering::Relaxed) != 0 && self.open_until_ms.swap(0, Ordering::Relaxed) != 0
    }
}

fn reopen_at(now: Duration) -> u64 {
    as_millis(now) + 1 + COOL_DOWN_MS
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Duration = Duration::ZERO;
    const JUST_BEFORE: Duration = Duration::from_millis(COOL_DOWN_MS - 1);
    const LATER: Duration = Duration::from_millis(COOL_DOWN_MS);

    #[test]
    fn one_failure_opens_and_one_success_closes() {
        let breaker = Breaker::default();
        assert!(breaker.admits(START));
        assert!(breaker.fail(START));
        assert!(!breaker.admits(START));
        assert!(!breaker.fail(START), "it was open already");
        assert!(breaker.succeed());
        assert!(!breaker.succeed(), "it was closed already");
        assert!(breaker.admits(START));
    }

    #[test]
    fn after_the_cool_down_one_operation_tries() {
        let breaker = Breaker::default();
        breaker.fail(START);
        assert!(!breaker.admits(JUST_BEFORE));
        assert!(breaker.admits(LATER));
        assert!(!breaker.admits(LATER), "the others wait for the first");
        assert!(
            breaker.admits(LATER * 2),
            "a try that never reported back does not block for ever"
        );
    }
}
