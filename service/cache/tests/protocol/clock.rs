//! A clock that is moved by hand.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use tiered_cache::Clock;

/// Stands still until it is told to move.
#[derive(Debug, Default)]
pub(crate) struct ManualClock {
    elapsed_ms: AtomicU64,
}

/// The wall time before the clock was moved: 2026-01-01 UTC.
const START_WALL_MS: u64 = 1_767_225_600_000;

impl ManualClock {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Moves both times forward by `step`, rounded down to milliseconds.
    pub(crate) fn advance(&self, step: Duration) {
        let step_ms = u64::try_from(step.as_millis()).expect("not for ever");
        self.elapsed_ms.fetch_add(step_ms, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn monotonic(&self) -> Duration {
        Duration::from_millis(self.elapsed_ms.load(Ordering::SeqCst))
    }

    fn wall_ms(&self) -> u64 {
        START_WALL_MS + self.elapsed_ms.load(Ordering::SeqCst)
    }
}

#[test]
fn both_times_move_together() {
    let clock = ManualClock::new();
    let wall = clock.wall_ms();
    clock.advance(Duration::from_secs(3));
    assert_eq!(clock.monotonic(), Duration::from_secs(3));
    assert_eq!(clock.wall_ms() - wall, 3_000);
}
