//! How often something may be done in a minute: one name tried with a wrong password, tries of one address, writes of
//! one driver.
//!
//! An attempt counts from its beginning, so that many at once are as many as one after another. One with the right
//! password is taken back, so that a client that logs in often is not kept out by itself.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, Hash, RandomState};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The time over which attempts are counted.
const WINDOW: Duration = Duration::from_mins(1);
/// Names, addresses or drivers that are counted at a time, at 32 bytes each: more names than can be tried within a
/// window, since each attempt costs a core some 25 ms. Should it be full all the same, the oldest counts are forgotten.
const MAX_COUNTS: usize = 16_384;

/// Counts attempts.
pub struct Throttle {
    attempts_per_window: u32,
    /// By hash with keys of this process: long names take no more room, and collisions cannot be planned.
    hasher: RandomState,
    /// Held for a look-up; never across an await.
    counts: Mutex<HashMap<u64, Count>>,
}

#[derive(Clone, Copy)]
struct Count {
    since: Instant,
    attempts: u32,
}

impl Count {
    /// What is left of the window.
    fn left(&self, now: Instant) -> Option<Duration> {
        let left = WINDOW.checked_sub(now.saturating_duration_since(self.since))?;
        Some(left).filter(|left| !left.is_zero())
    }
}

/// An attempt that is counted.
#[derive(Debug)]
#[must_use = "an attempt with the right password is to be taken back"]
pub struct Attempt {
    counted: u64,
    since: Instant,
}

impl Throttle {
    /// Allows so many attempts a minute.
    pub fn new(attempts_per_window: u32) -> Self {
        Self {
            attempts_per_window,
            hasher: RandomState::new(),
            counts: Mutex::default(),
        }
    }

    /// Counts an attempt of, or by, `who`. `Err`: it has to wait so long.
    pub fn begin(&self, who: impl Hash, now: Instant) -> Result<Attempt, Duration> {
        let counted = self.hasher.hash_one(who);
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if counts.len() >= MAX_COUNTS && !counts.contains_key(&counted) {
            make_room(&mut counts, now);
        }
        let fresh = Count {
            since: now,
            attempts: 0,
        };
        let count = counts.entry(counted).or_insert(fresh);
        match count.left(now) {
            None => *count = fresh,
            Some(left) if count.attempts >= self.attempts_per_window => return Err(left),
            Some(_) => {}
        }
        count.attempts += 1;
        let since = count.since;
        Ok(Attempt { counted, since })
    }

    /// Takes an attempt back: its password was right, or was not checked at all.
    pub fn take_back(&self, attempt: &Attempt) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&attempt.counted)
            && count.since == attempt.since
        {
            count.attempts = count.attempts.saturating_sub(1);
        }
    }
}

/// Forgets what is over, and the older half if that is not enough.
fn make_room(counts: &mut HashMap<u64, Count>, now: Instant) {
    counts.retain(|_, count| count.left(now).is_some());
    if counts.len() < MAX_COUNTS {
        return;
    }
    let mut ages: Vec<Instant> = counts.values().map(|count| count.since).collect();
    let (_, median, _) = ages.select_nth_unstable(MAX_COUNTS / 2);
    let median = *median;
    counts.retain(|_, count| count.since > median);
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_name_that_was_tried_too_often_waits_until_the_minute_is_over() {
        let (throttle, start) = (Throttle::new(2), Instant::now());
        let _wrong = throttle.begin("ada", start).expect("the first");
        let _wrong = throttle.begin("ada", start + SECOND).expect("the second");
        let wait = throttle.begin("ada", start + SECOND).expect_err("the third");
        assert_eq!(wait, Duration::from_secs(59));
        let _other = throttle.begin("ben", start + SECOND).expect("another name");
        let _later = throttle.begin("ada", start + WINDOW).expect("another minute");
    }

    #[test]
    fn attempts_count_before_they_end_and_right_ones_not_at_all() {
        let (throttle, start) = (Throttle::new(2), Instant::now());
        let right = throttle.begin("ada", start).expect("the first");
        let _wrong = throttle.begin("ada", start).expect("the second");
        assert!(throttle.begin("ada", start).is_err());
        throttle.take_back(&right);
        let _wrong = throttle.begin("ada", start).expect("the place of the right one");
        assert!(throttle.begin("ada", start).is_err());
        // One of the minute before does not make room in this one.
        let _new = throttle.begin("ada", start + WINDOW).expect("another minute");
        throttle.take_back(&right);
        let _new = throttle.begin("ada", start + WINDOW).expect("the second");
        assert!(throttle.begin("ada", start + WINDOW).is_err());
    }

    #[test]
    fn the_number_of_names_is_bounded() {
        let (throttle, start) = (Throttle::new(1), Instant::now());
        for name in 0..MAX_COUNTS * 2 {
            let now = start + Duration::from_micros(name as u64);
            let _counted = throttle.begin(name, now).expect("a new name");
        }
        assert!(throttle.counts.lock().unwrap().len() <= MAX_COUNTS);
        assert!(throttle.begin(MAX_COUNTS * 2 - 1, start + SECOND).is_err());
    }
}
