//! How long an answer may be used: a value that the caller passes with each read. What is out of date because of a write
//! is not decided here (see `stamps`).

use std::time::Duration;

use crate::clock::as_millis;

/// The share of the TTL by which entries expire earlier at random, unless the policy says otherwise.
const DEFAULT_JITTER: f64 = 0.05;

/// Longer limits count as this one: beyond it, sums of times would no longer fit everywhere.
const MAX_TTL: Duration = Duration::from_hours(365 * 24);

/// Time limits of one kind of answer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Policy {
    ttl: Duration,
    hard_ttl: Option<Duration>,
    jitter: f64,
}

impl Policy {
    /// Answers are served for `ttl` after they were loaded. Zero means: load each time, sharing only running loads.
    pub fn ttl(ttl: Duration) -> Self {
        Self {
            ttl: ttl.min(MAX_TTL),
            hard_ttl: None,
            jitter: DEFAULT_JITTER,
        }
    }

    /// How long an entry is kept in Redis; default: as long as it is served. The time between the two limits is for serving
    /// an aged answer when the loader fails. Shorter than the TTL, it counts as the TTL.
    #[must_use]
    pub fn with_hard_ttl(mut self, hard_ttl: Duration) -> Self {
        self.hard_ttl = Some(hard_ttl.min(MAX_TTL));
        self
    }

    /// Each entry expires earlier by a random share of its TTL, up to `share` (0 to 0.5; default 0.05), so that entries
    /// that were loaded together do not expire together.
    #[must_use]
    pub fn with_jitter(mut self, share: f64) -> Self {
        self.jitter = share.clamp(0.0, 0.5);
        self
    }

    /// The limits of one entry; `draw` is a random number from 0 to 1.
    pub(crate) fn lifetime(&self, draw: f64) -> Lifetime {
        let soft = self.ttl.mul_f64(1.0 - self.jitter * draw);
        let hard = self.hard_ttl.unwrap_or(soft).max(soft);
        Lifetime {
            soft_ms: as_millis(soft),
            hard_ms: as_millis(hard),
        }
    }
}

/// The limits of one entry, jitter applied, in milliseconds since it was loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lifetime {
    /// Served while younger than this.
    pub(crate) soft_ms: u64,
    /// Kept in Redis while younger than this.
    pub(crate) hard_ms: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jitter_only_shortens_and_stays_within_its_share() {
        let policy = Policy::ttl(Duration::from_secs(100)).with_jitter(0.1);
        assert_eq!(policy.lifetime(0.0).soft_ms, 100_000);
        assert_eq!(policy.lifetime(1.0).soft_ms, 90_000);
    }

    #[test]
    fn endless_limits_are_cut_to_a_year() {
        let lifetime = Policy::ttl(Duration::MAX).with_hard_ttl(Duration::MAX).lifetime(0.0);
        assert_eq!(
            (lifetime.soft_ms, lifetime.hard_ms),
            (as_millis(MAX_TTL), as_millis(MAX_TTL))
        );
    }

    #[test]
    fn the_hard_limit_is_never_below_the_soft_one() {
        let policy = Policy::ttl(Duration::from_secs(10)).with_jitter(0.0);
        assert_eq!(policy.lifetime(0.5).hard_ms, 10_000);
        assert_eq!(
            policy.with_hard_ttl(Duration::from_secs(1)).lifetime(0.5).hard_ms,
            10_000
        );
        assert_eq!(
            policy.with_hard_ttl(Duration::from_mins(1)).lifetime(0.5).hard_ms,
            60_000
        );
    }
}
