//! Automatic tuning: TTLs and the size of L1 follow what is observed, in small steps between bounds. Every step has a reason
//! that is logged and kept for operators; what is pinned stays. Deciding ([`decide_ttl`], [`decide_size`]) is pure.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    convert::Infallible,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::time::{MissedTickBehavior, interval};

use crate::{endpoints::Endpoint, state::Core};

/// Loads in a period below which an endpoint says nothing.
const MIN_LOADS: u64 = 20;

/// The steps that are kept for operators.
const KEPT_STEPS: usize = 64;

/// One step up or down.
const UP_PERCENT: u64 = 125;
const DOWN_PERCENT: u64 = 80;

/// What may be tuned, and how far.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Tuning {
    /// How often it decides. Default: 30 s.
    pub period: Duration,
    /// The TTL of a policy is multiplied with a factor up to this. Default: 4. It never goes below 1: a shorter TTL makes
    /// nothing fresher, because writes end answers by themselves.
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

/// How an endpoint's answers ended during one period.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Endings {
    loads: u64,
    load_us: u64,
    expired: u64,
    invalidated: u64,
    absent: u64,
}

impl Endings {
    fn of(endpoint: &Endpoint) -> Self {
        Self {
            loads: endpoint.loads.get(),
            load_us: endpoint.load_us.get(),
            expired: endpoint.expired.get(),
            invalidated: endpoint.invalidated.get(),
            absent: endpoint.absent.get(),
        }
    }

    fn since(self, before: Self) -> Self {
        Self {
            loads: self.loads - before.loads,
            load_us: self.load_us - before.load_us,
            expired: self.expired - before.expired,
            invalidated: self.invalidated - before.invalidated,
            absent: self.absent - before.absent,
        }
    }

    fn mean_load_us(self) -> u64 {
        self.load_us / self.loads.max(1)
    }
}

/// The next factor of an endpoint's TTL in thousandths, and why; `None` to leave it.
fn decide_ttl(endings: Endings, permille: u64, max_permille: u64) -> Option<(u64, String)> {
    if endings.loads < MIN_LOADS {
        return None;
    }
    let Endings {
        expired,
        invalidated,
        absent,
        ..
    } = endings;
    let misses = expired + invalidated + absent;
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
fn decide_size(endings: Endings, used: u64, size: u64, bounds: (u64, u64)) -> Option<(u64, String)> {
    let (min, max) = bounds;
    let misses = endings.expired + endings.invalidated + endings.absent;
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

/// Tunes until the future is dropped.
pub(crate) async fn run(core: Arc<Core>, tuning: Tuning, log: Arc<TuningLog>) -> Infallible {
    let mut tuner = Tuner::new(core, tuning, log);
    let mut timer = interval(tuner.tuning.period);
    timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // The first tick comes at once, before there is anything to decide on.
    timer.tick().await;
    loop {
        timer.tick().await;
        tuner.round();
    }
}

/// The newest steps, for operators.
#[derive(Debug, Default)]
pub(crate) struct TuningLog(Mutex<VecDeque<TuningStep>>);

impl TuningLog {
    fn add(&self, step: TuningStep) {
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

struct Tuner {
    core: Arc<Core>,
    tuning: Tuning,
    log: Arc<TuningLog>,
    before: HashMap<&'static str, Endings>,
}

impl Tuner {
    fn new(core: Arc<Core>, tuning: Tuning, log: Arc<TuningLog>) -> Self {
        Self {
            core,
            tuning,
            log,
            before: HashMap::new(),
        }
    }

    fn round(&mut self) {
        let mut total = Endings::default();
        for endpoint in self.core.endpoints.all() {
            let now = Endings::of(&endpoint);
            let before = self.before.insert(endpoint.name, now).unwrap_or_default();
            let endings = now.since(before);
            total = total.plus(endings);
            if !self.tuning.pinned_endpoints.contains(endpoint.name) {
                self.tune_ttl(&endpoint, endings);
            }
        }
        if !self.tuning.pinned_l1 {
            self.tune_size(total);
        }
    }

    fn tune_ttl(&self, endpoint: &Endpoint, endings: Endings) {
        let from = endpoint.ttl_permille();
        if let Some((to, reason)) = decide_ttl(endings, from, permille(self.tuning.max_ttl_factor)) {
            endpoint.set_ttl_permille(to);
            let what = format!("ttl:{}", endpoint.name);
            self.log.add(TuningStep { what, from, to, reason });
        }
    }

    fn tune_size(&self, endings: Endings) {
        let l1 = &self.core.l1;
        let (capacity, from) = (l1.capacity_bytes(), l1.size_bytes());
        let min = capacity * permille(self.tuning.min_l1_share.clamp(0.0, 1.0)) / 1_000;
        if let Some((to, reason)) = decide_size(endings, l1.weight_bytes(), from, (min, capacity)) {
            l1.resize(to);
            self.log.add(TuningStep {
                what: "l1".to_owned(),
                from,
                to,
                reason,
            });
        }
    }
}

impl Endings {
    fn plus(self, other: Self) -> Self {
        Self {
            loads: self.loads + other.loads,
            load_us: self.load_us + other.load_us,
            expired: self.expired + other.expired,
            invalidated: self.invalidated + other.invalidated,
            absent: self.absent + other.absent,
        }
    }
}

fn permille(factor: f64) -> u64 {
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
