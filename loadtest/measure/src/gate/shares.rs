//! Shares of requests that went badly, over all slices of a block and untrimmed: above the p95 of both sides together
//! (slow), above four times that (very slow: rare pauses), and without an answer as expected (failed).
//!
//! The threshold is that of both sides of the block merged. One taken from A alone would not be exchangeable, and the
//! sign-flip test no longer exact.

use super::differences::ResponseTimes;

/// The quantile above which a request is slow.
const SLOW: f64 = 0.95;
/// A request that takes so many times the slow ones' limit is in the tail.
const TAIL_FACTOR: u64 = 4;

/// Requests of one block that went badly, of all, on both sides.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Shares {
    /// Of the subject compared against: those requests, of all.
    pub before: (u64, u64),
    /// Of the subject judged.
    pub after: (u64, u64),
}

impl Shares {
    /// Share of the judged side minus that of the other; `None` where a side sent nothing.
    pub fn difference(self) -> Option<f64> {
        Some(part(self.after)? - part(self.before)?)
    }

    /// Counts of both together.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        let sum = |a: (u64, u64), b: (u64, u64)| (a.0 + b.0, a.1 + b.1);
        Self {
            before: sum(self.before, other.before),
            after: sum(self.after, other.after),
        }
    }

    /// After / before, each with half a request in a million added so that none is divided by zero.
    pub fn ratio(self) -> Option<f64> {
        const TINY: f64 = 0.5e-6;
        Some((part(self.after)? + TINY) / (part(self.before)? + TINY))
    }

    /// Standard error that the difference would have if requests were independent, which they are not: the true one is
    /// larger. The judged side has a share of `more` beyond what both have now, and one bad request at least is taken
    /// to be possible.
    pub fn binomial_error(self, more: f64) -> f64 {
        let (bad, all) = (self.before.0 + self.after.0, self.before.1 + self.after.1);
        if self.before.1 == 0 || self.after.1 == 0 {
            return 0.0;
        }
        let share = bad.max(1) as f64 / all as f64;
        let variance = |share: f64, of: u64| share * (1.0 - share) / of as f64;
        (variance(share, self.before.1) + variance((share + more).min(1.0), self.after.1)).sqrt()
    }
}

fn part((count, of): (u64, u64)) -> Option<f64> {
    (of > 0).then(|| count as f64 / of as f64)
}

/// The three shares of an endpoint in a block.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BadShares {
    /// Slow requests.
    pub slow: Shares,
    /// Very slow ones.
    pub tail: Shares,
    /// Failed ones.
    pub failed: Shares,
}

impl BadShares {
    /// Counts those of a block whose slices of each side are merged.
    pub fn of(before: &ResponseTimes, after: &ResponseTimes) -> Self {
        let mut both = before.clone();
        both.merge(after);
        let Some(limit_us) = both.quantile_us(SLOW) else {
            return Self::default();
        };
        let above = |limit_us| Shares {
            before: (before.above_us(limit_us), before.len()),
            after: (after.above_us(limit_us), after.len()),
        };
        Self {
            slow: above(limit_us),
            tail: above(limit_us.saturating_mul(TAIL_FACTOR)),
            failed: Shares {
                before: (before.failed, before.len()),
                after: (after.failed, after.len()),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{assert_close, histogram_of};

    fn times(answered: impl IntoIterator<Item = u64>, failed: u64) -> ResponseTimes {
        ResponseTimes {
            answered: histogram_of(answered),
            failed,
            failed_as_us: 2_000_000,
        }
    }

    #[test]
    fn the_limit_is_that_of_both_sides() {
        let even = |us| std::iter::repeat_n(us, 1_000);
        // One in ten of B's requests takes ten times as long: all of them lie above the p95 of both, 1 ms.
        let slow = times(even(1_000).take(900).chain(even(10_000).take(100)), 0);
        let same = times(even(1_000), 0);
        let shares = BadShares::of(&same, &slow);
        assert_eq!(shares.slow.after, (100, 1_000));
        assert_close(shares.tail.difference().unwrap(), 0.1, 1e-12);
        let turned = BadShares::of(&slow, &same);
        assert_close(turned.slow.difference().unwrap(), -0.1, 1e-12);
        assert_eq!(
            (turned.slow.before, turned.slow.after),
            (shares.slow.after, shares.slow.before)
        );
    }

    #[test]
    fn a_failed_request_is_slower_than_any_limit() {
        let fine = times(vec![1_000; 1_000], 0);
        let failing = times(vec![1_000; 900], 100);
        let shares = BadShares::of(&fine, &failing);
        for share in [shares.slow, shares.tail, shares.failed] {
            assert_close(share.difference().unwrap(), 0.1, 1e-12);
        }
        // Nearly all of both fail: the limit is that of the failed, and still they lie above it.
        let broken = times([], 1_000);
        let shares = BadShares::of(&times(vec![1_000; 500], 500), &broken);
        assert_close(shares.tail.difference().unwrap(), 0.5, 1e-12);
    }

    #[test]
    fn a_side_without_requests_has_no_share() {
        let none = BadShares::of(&times([], 0), &times([], 0));
        assert_eq!((none.slow.difference(), none.slow.ratio()), (None, None));
        assert_close(none.slow.binomial_error(0.0), 0.0, 1e-12);
        let shares = Shares {
            before: (10, 1_000),
            after: (30, 1_000),
        };
        assert_close(
            shares.binomial_error(0.0),
            (2.0 * 0.02 * 0.98 / 1_000.0_f64).sqrt(),
            1e-12,
        );
        let risen = (0.02 * 0.98 / 1_000.0 + 0.05 * 0.95 / 1_000.0_f64).sqrt();
        assert_close(shares.binomial_error(0.03), risen, 1e-12);
    }
}
