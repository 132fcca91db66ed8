//! How often one name may be tried with a wrong password.
//!
//! Counted by name, not by address: behind a proxy all addresses are one, and an attacker has many. Right passwords are
//! not counted, so that a client that logs in often is not kept out by itself.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The time over which attempts are counted.
const WINDOW: Duration = Duration::from_mins(1);
/// Names that are counted at a time, at 32 bytes each: more than can be tried within a window, since each attempt costs
/// a core some 25 ms. Should it be full all the same, the oldest counts are forgotten.
const MAX_NAMES: usize = 16_384;

/// Counts failed attempts.
pub struct Throttle {
    attempts_per_window: u32,
    /// Names by hash with keys of this process: long names take no more room, and collisions cannot be planned.
    hasher: RandomState,
    /// Held for a look-up; never across an await.
    counts: Mutex<HashMap<u64, Count>>,
}

#[derive(Clone, Copy)]
struct Count {
    since: Instant,
    failures: u32,
}

impl Throttle {
    /// Allows so many failures a minute.
    pub fn new(attempts_per_window: u32) -> Self {
        Self {
            attempts_per_window,
            hasher: RandomState::new(),
            counts: Mutex::default(),
        }
    }

    /// How long `name` has to wait before it may be tried again; `None` when it may be tried now.
    pub fn wait(&self, name: &str, now: Instant) -> Option<Duration> {
        let counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.get(&self.hasher.hash_one(name))?;
        let left = WINDOW.checked_sub(now.saturating_duration_since(count.since))?;
        (count.failures >= self.attempts_per_window && !left.is_zero()).then_some(left)
    }

    /// Counts a failure.
    pub fn failed(&self, name: &str, now: Instant) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let name = self.hasher.hash_one(name);
        if counts.len() >= MAX_NAMES && !counts.contains_key(&name) {
            make_room(&mut counts, now);
        }
        let fresh = Count {
            since: now,
            failures: 0,
        };
        let count = counts.entry(name).or_insert(fresh);
        if now.saturating_duration_since(count.since) >= WINDOW {
            *count = fresh;
        }
        count.failures += 1;
    }
}

/// Forgets what is over, and the older half if that is not enough.
fn make_room(counts: &mut HashMap<u64, Count>, now: Instant) {
    counts.retain(|_, count| now.saturating_duration_since(count.since) < WINDOW);
    if counts.len() < MAX_NAMES {
        return;
    }
    let mut ages: Vec<Instant> = counts.values().map(|count| count.since).collect();
    let (_, median, _) = ages.select_nth_unstable(MAX_NAMES / 2);
    let median = *median;
    counts.retain(|_, count| count.since > median);
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_name_that_failed_too_often_waits_until_the_minute_is_over() {
        let (throttle, start) = (Throttle::new(2), Instant::now());
        throttle.failed("ada", start);
        assert_eq!(throttle.wait("ada", start + SECOND), None);
        throttle.failed("ada", start + SECOND);
        assert_eq!(throttle.wait("ada", start + SECOND), Some(Duration::from_secs(59)));
        assert_eq!(throttle.wait("ben", start + SECOND), None);
        assert_eq!(throttle.wait("ada", start + WINDOW), None);
        throttle.failed("ada", start + WINDOW);
        assert_eq!(throttle.wait("ada", start + WINDOW), None);
    }

    #[test]
    fn the_number_of_names_is_bounded() {
        let (throttle, start) = (Throttle::new(1), Instant::now());
        for name in 0..MAX_NAMES * 2 {
            throttle.failed(&name.to_string(), start + Duration::from_micros(name as u64));
        }
        assert!(throttle.counts.lock().unwrap().len() <= MAX_NAMES);
        let newest = (MAX_NAMES * 2 - 1).to_string();
        assert!(throttle.wait(&newest, start + SECOND).is_some());
    }
}
