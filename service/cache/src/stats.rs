//! A snapshot of the cache for operators, and the counters behind it. Counts of hits and misses are not here: they belong
//! to an endpoint and go to the [`Observer`](crate::Observer).

use std::sync::atomic::{AtomicU64, Ordering};

/// The cache at one moment. The fields are read one after another: they are near each other, not one instant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Entries in L1, dead ones that were not evicted yet included; up to 100 ms late.
    pub l1_entries: u64,
    /// Their weight in bytes: bodies, keys and bookkeeping; up to 100 ms late.
    pub l1_bytes: u64,
    /// Whether L1 is served: false while invalidations of other replicas may be missed.
    pub l1_open: bool,
    /// How often everything in L1 was given up at once.
    pub epoch: u64,
    /// Loads that are running and can be joined.
    pub flights: u64,
    /// Loader runs since the start.
    pub loads: u64,
    /// Reads that shared a load which another client had started.
    pub joined: u64,
    /// Loaded answers that Redis refused, because a tag was invalidated during the load.
    pub fills_rejected: u64,
    /// Redis entries that were damaged, or of another format or key.
    pub entries_damaged: u64,
    /// Redis operations that failed or timed out.
    pub redis_failures: u64,
    /// The number of the newest invalidation that was applied here; 0 before the first.
    pub last_seq: u64,
    /// Tags for which Redis is not trusted here, because an invalidation of them failed.
    pub bypassed_tags: u64,
}

/// Counters that only grow. None of them is touched by an L1 hit.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) loads: Counter,
    pub(crate) joined: Counter,
    pub(crate) fills_rejected: Counter,
    pub(crate) entries_damaged: Counter,
    pub(crate) redis_failures: Counter,
}

/// A count for display; orders nothing, hence relaxed.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add_one(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
