//! How many clients there may be, and how fast they may come.

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// So many a second, and as many at once after a quiet second.
#[derive(Debug)]
pub(super) struct Rate {
    per_s: f64,
    /// What may come now, and since when that is true. Held for a look; never across an await.
    left: Mutex<(f64, Instant)>,
}

impl Rate {
    pub(super) fn new(per_s: u64) -> Self {
        let per_s = per_s as f64;
        Self {
            per_s,
            left: Mutex::new((per_s, Instant::now())),
        }
    }

    /// Whether one more may come at `now`.
    pub(super) fn admit(&self, now: Instant) -> bool {
        let mut state = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        let (left, since) = *state;
        let left = (left + now.saturating_duration_since(since).as_secs_f64() * self.per_s).min(self.per_s);
        let admitted = left >= 1.0;
        *state = (if admitted { left - 1.0 } else { left }, now);
        admitted
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_second_of_them_may_come_at_once_and_then_they_have_to_wait() {
        let (rate, now) = (Rate::new(10), Instant::now());
        let admitted = |at, tries: usize| (0..tries).filter(|_| rate.admit(at)).count();
        assert_eq!(admitted(now, 20), 10);
        assert_eq!(admitted(now + Duration::from_millis(501), 20), 5);
        assert_eq!(admitted(now + Duration::from_mins(10), 20), 10);
    }
}
