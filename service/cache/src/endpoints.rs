//! What is known about each endpoint: how long its loads take, how its answers end. Nothing here is touched by an L1
//! hit.

use std::{
    collections::HashMap,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use crate::{clock::as_micros, stats::Counter};

/// More endpoints than a service has routes; beyond it, further ones share the statistics of the last.
const MAX_ENDPOINTS: usize = 1_024;

/// A lock is held for this many of the slowest loads of late: a holder that is slow is not overtaken, one that died is
/// not waited for too long.
const LOCK_LOADS: u32 = 3;
const MIN_LOCK: Duration = Duration::from_millis(100);
const MAX_LOCK: Duration = Duration::from_secs(10);
/// Before anything is known about an endpoint's loads.
const UNKNOWN_LOAD: Duration = Duration::from_millis(500);

/// A quicker load lowers the slowest of late by one part in so many: it is forgotten after some hundred loads, which
/// makes it an estimate of about the 99th percentile from above.
const FORGET: u64 = 64;

/// The endpoints that were asked for in this process.
#[derive(Debug, Default)]
pub(crate) struct Endpoints {
    by_name: RwLock<HashMap<&'static str, Arc<Endpoint>>>,
}

/// One endpoint.
#[derive(Debug, Default)]
pub(crate) struct Endpoint {
    pub(crate) name: &'static str,
    slowest_us: AtomicU64,
    loads: Counter,
    load_us: Counter,
    /// Misses of entries that were there and had expired.
    pub(crate) expired: Counter,
    /// Misses of entries that were there and had been invalidated.
    pub(crate) invalidated: Counter,
    /// Misses of what was not there: never asked for, or evicted.
    pub(crate) absent: Counter,
    /// What tuning adds to the TTL, in thousandths.
    added_ttl_permille: AtomicU64,
}

/// How the answers of one endpoint, or of all, ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Endings {
    pub(crate) loads: u64,
    pub(crate) load_us: u64,
    pub(crate) expired: u64,
    pub(crate) invalidated: u64,
    pub(crate) absent: u64,
}

impl Endings {
    pub(crate) fn since(self, before: Self) -> Self {
        self.with(before, |now, before| now - before)
    }

    pub(crate) fn plus(self, other: Self) -> Self {
        self.with(other, |one, other| one + other)
    }

    pub(crate) fn misses(self) -> u64 {
        self.expired + self.invalidated + self.absent
    }

    pub(crate) fn mean_load_us(self) -> u64 {
        self.load_us / self.loads.max(1)
    }

    fn with(self, other: Self, join: fn(u64, u64) -> u64) -> Self {
        Self {
            loads: join(self.loads, other.loads),
            load_us: join(self.load_us, other.load_us),
            expired: join(self.expired, other.expired),
            invalidated: join(self.invalidated, other.invalidated),
            absent: join(self.absent, other.absent),
        }
    }
}

impl Endpoint {
    fn named(name: &'static str) -> Self {
        Self {
            name,
            ..Self::default()
        }
    }

    /// A load took so long.
    pub(crate) fn note_load(&self, elapsed: Duration) {
        let load_us = as_micros(elapsed).max(1);
        self.loads.add_one();
        self.load_us.add(load_us);
        // Two loads that end together may lose one of the two: it is an estimate.
        let slowest = self.slowest_us.load(Ordering::Relaxed);
        self.slowest_us
            .store(load_us.max(slowest - slowest / FORGET), Ordering::Relaxed);
    }

    /// How long one replica may hold the lock of a key.
    pub(crate) fn lock_ttl(&self) -> Duration {
        let slowest = match self.slowest_us.load(Ordering::Relaxed) {
            0 => UNKNOWN_LOAD,
            slowest_us => Duration::from_micros(slowest_us),
        };
        (slowest * LOCK_LOADS).clamp(MIN_LOCK, MAX_LOCK)
    }

    /// How answers ended since the start; while nothing is tuned, only loads are counted.
    pub(crate) fn endings(&self) -> Endings {
        Endings {
            loads: self.loads.get(),
            load_us: self.load_us.get(),
            expired: self.expired.get(),
            invalidated: self.invalidated.get(),
            absent: self.absent.get(),
        }
    }

    /// What the TTL is multiplied with.
    pub(crate) fn ttl_factor(&self) -> f64 {
        self.ttl_permille() as f64 / 1_000.0
    }

    pub(crate) fn ttl_permille(&self) -> u64 {
        1_000 + self.added_ttl_permille.load(Ordering::Relaxed)
    }

    /// Tuning never shortens a TTL: less than 1,000 counts as that.
    pub(crate) fn set_ttl_permille(&self, permille: u64) {
        let added = permille.saturating_sub(1_000);
        self.added_ttl_permille.store(added, Ordering::Relaxed);
    }
}

impl Endpoints {
    /// The endpoint of this name.
    pub(crate) fn get(&self, name: &'static str) -> Arc<Endpoint> {
        let known = self
            .by_name
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(name)
            .cloned();
        known.unwrap_or_else(|| self.add(name))
    }

    fn add(&self, name: &'static str) -> Arc<Endpoint> {
        let mut by_name = self.by_name.write().unwrap_or_else(PoisonError::into_inner);
        if by_name.len() >= MAX_ENDPOINTS
            && !by_name.contains_key(name)
            && let Some(last) = by_name.values().next()
        {
            return Arc::clone(last);
        }
        Arc::clone(by_name.entry(name).or_insert_with(|| Arc::new(Endpoint::named(name))))
    }

    pub(crate) fn all(&self) -> Vec<Arc<Endpoint>> {
        let by_name = self.by_name.read().unwrap_or_else(PoisonError::into_inner);
        by_name.values().cloned().collect()
    }

    pub(crate) fn names(&self) -> Vec<&'static str> {
        self.all().iter().map(|endpoint| endpoint.name).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_outlasts_the_slowest_load_of_late() {
        let endpoint = Endpoint::named("e");
        assert_eq!(endpoint.lock_ttl(), UNKNOWN_LOAD * LOCK_LOADS);
        endpoint.note_load(Duration::from_millis(200));
        endpoint.note_load(Duration::from_millis(1));
        let after_one = endpoint.lock_ttl();
        assert!(after_one > Duration::from_millis(580) && after_one <= Duration::from_millis(600));
        for _ in 0..1_000 {
            endpoint.note_load(Duration::from_millis(1));
        }
        assert_eq!(endpoint.lock_ttl(), MIN_LOCK, "forgotten");
        endpoint.note_load(Duration::from_mins(1));
        assert_eq!(endpoint.lock_ttl(), MAX_LOCK);
    }

    #[test]
    fn endpoints_are_remembered_by_name() {
        let endpoints = Endpoints::default();
        endpoints.get("a").loads.add_one();
        assert_eq!(endpoints.get("a").loads.get(), 1);
        assert_eq!(endpoints.get("b").loads.get(), 0);
        assert_eq!(endpoints.names().len(), 2);
    }
}
