//! Automatic tuning: how TTLs and the size of L1 follow what is observed, in small steps between bounds. Everything
//! here is pure but the log of the steps; the rounds are in `tuner`.

use std::{
    collections::{HashSet, VecDeque},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use crate::endpoints::Endings;

/// Loads in a period below which an endpoint says nothing.
const MIN_LOADS: u64 = 20;

/// The steps that are kept for operators.
const KEPT_STEPS: usize = 64;

/// One step up or down.
const UP_PERCENT: u64 = 125;
const DOWN_PERCENT: u64 = 80;

/// What may be tuned, how often, and how far.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Tuning {
    /// How often it decides. Default: 30 s.
    pub period: Duration,
    /// The TTL of a policy is multiplied with a factor up to this. Default: 4. It never goes below 1: a shorter TTL
    /// makes nothing fresher, because writes end answers by themselves.
    pub max_ttl_factor: f64,
    /// L1 never gets smaller than this share of its capacity. Default: 0.25.
    pub min_l1_share: f64,
    /// Endpoints whose TTL stays as their policy says.
    pub pinned_endpoints: HashSet<&'static str>,
    /// Whether the size of L1 stays as it is.
    pub pinned_l1: bool,
}

impl Default for Tuning {
    fn default() -> Self {
        Self {
            period: Duration::from_secs(30),
            max_ttl_factor: 4.0,
            min_l1_share: 0.25,
            pinned_endpoints: HashSet::new(),
            pinned_l1: false,
        }
    }
}

/// One change that tuning made.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TuningStep {
    /// `ttl:ENDPOINT` or `l1`.
    pub what: String,
    /// Before, in thousandths of the policy's TTL or in bytes.
    pub from: u64,
    /// After, in the same unit.
    pub to: u64,
    /// What was observed.
    pub reason: String,
}

/// The next factor of an endpoint's TTL in thousandths, and why; `None` to leave it.
pub(crate) fn decide_ttl(endings: Endings, permille: u64, max_permille: u64) -> Option<(u64, String)> {
    if endings.loads < MIN_LOADS {
        return None;
    }
    let (expired, invalidated, misses) = (endings.expired, endings.invalidated, endings.misses());
    if expired * 2 > misses && invalidated * 10 < expired && permille < max_permille {
        let to = (permille * UP_PERCENT / 100).min(max_permille);
        let cost_us = endings.mean_load_us();
        return Some((
            to,
            format!("{expired} of {misses} misses are expiries of {cost_us} us each, {invalidated} are changes"),
        ));
    }
    if invalidated > expired * 3 && permille > 1_000 {
        let to = (permille * DOWN_PERCENT / 100).max(1_000);
        return Some((
            to,
            format!("{invalidated} answers changed before they expired, {expired} expired"),
        ));
    }
    None
}

/// The next size of L1 in bytes, and why; `None` to leave it.
pub(crate) fn decide_size(endings: Endings, used: u64, size: u64, bounds: (u64, u64)) -> Option<(u64, String)> {
    let (min, max) = bounds;
    let misses = endings.misses();
    let percent = used * 100 / size.max(1);
    if percent >= 95 && endings.loads >= MIN_LOADS && endings.absent * 5 > misses && size < max {
        let to = (size * UP_PERCENT / 100).min(max);
        let (absent, cost_us) = (endings.absent, endings.mean_load_us());
        return Some((
            to,
            format!("{percent} % full, {absent} of {misses} misses were not kept, a load takes {cost_us} us"),
        ));
    }
    if percent < 50 && size > min {
        let to = (size * DOWN_PERCENT / 100).max(min);
        return Some((to, format!("{percent} % full")));
    }
    None
}

/// The newest steps, for operators.
#[derive(Debug, Default)]
pub(crate) struct TuningLog(Mutex<VecDeque<TuningStep>>);

impl TuningLog {
    pub(crate) fn add(&self, step: TuningStep) {
        tracing::info!(
            what = step.what,
            from = step.from,
            to = step.to,
            reason = step.reason,
            "the cache was tuned"
        );
        let mut steps = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if steps.len() == KEPT_STEPS {
            steps.pop_front();
        }
        steps.push_back(step);
    }

    pub(crate) fn steps(&self) -> Vec<TuningStep> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .iter()
            .cloned()
            .collect()
    }
}

/// A factor in thousandths.
pub(crate) fn permille(factor: f64) -> u64 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "between 0 and a million after the clamp"
    )]
    let permille = (factor.clamp(0.0, 1_000.0) * 1_000.0).round() as u64;
    permille
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXPIRING: Endings = Endings {
        loads: 100,
        load_us: 500_000,
        expired: 90,
        invalidated: 2,
        absent: 8,
    };

    #[test]
    fn a_ttl_grows_while_expiries_cost_and_little_changes_up_to_its_bound() {
        let (to, reason) = decide_ttl(EXPIRING, 1_000, 4_000).expect("a step");
        assert_eq!(to, 1_250);
        assert_eq!(reason, "90 of 100 misses are expiries of 5000 us each, 2 are changes");
        assert_eq!(decide_ttl(EXPIRING, 3_900, 4_000).map(|step| step.0), Some(4_000));
        assert_eq!(decide_ttl(EXPIRING, 4_000, 4_000), None);
    }

    #[test]
    fn a_ttl_goes_back_when_answers_change_before_they_expire() {
        let changing = Endings {
            expired: 10,
            invalidated: 90,
            ..EXPIRING
        };
        assert_eq!(decide_ttl(changing, 2_000, 4_000).map(|step| step.0), Some(1_600));
        assert_eq!(decide_ttl(changing, 1_000, 4_000), None, "never below the policy's");
        let few = Endings { loads: 5, ..EXPIRING };
        assert_eq!(decide_ttl(few, 1_000, 4_000), None, "too little is known");
    }

    #[test]
    fn l1_grows_when_it_is_full_and_shrinks_when_it_is_not() {
        let absent = Endings {
            absent: 80,
            expired: 20,
            ..EXPIRING
        };
        assert_eq!(decide_size(absent, 98, 100, (25, 1_000)).map(|step| step.0), Some(125));
        assert_eq!(decide_size(absent, 98, 100, (25, 100)), None, "it is at its capacity");
        assert_eq!(
            decide_size(EXPIRING, 98, 100, (25, 1_000)),
            None,
            "what misses is not what was evicted"
        );
        assert_eq!(decide_size(absent, 30, 100, (25, 1_000)).map(|step| step.0), Some(80));
        assert_eq!(decide_size(absent, 5, 25, (25, 1_000)), None);
    }

    #[test]
    fn the_log_keeps_the_newest_steps() {
        let log = TuningLog::default();
        for to in 0..100 {
            log.add(TuningStep {
                what: "l1".to_owned(),
                from: 0,
                to,
                reason: String::new(),
            });
        }
        let steps = log.steps();
        assert_eq!((steps.len(), steps.last().map(|step| step.to)), (KEPT_STEPS, Some(99)));
    }
}
