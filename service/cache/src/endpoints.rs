//! What is known about each endpoint: how long its loads take. Nothing here is touched by an L1 hit.

use std::{
    collections::HashMap,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use crate::clock::as_micros;

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
        endpoints.get("a").note_load(Duration::from_secs(2));
        assert_eq!(endpoints.get("a").lock_ttl(), Duration::from_secs(6));
        assert_eq!(endpoints.get("b").lock_ttl(), UNKNOWN_LOAD * LOCK_LOADS);
        assert_eq!(endpoints.names().len(), 2);
    }
}
