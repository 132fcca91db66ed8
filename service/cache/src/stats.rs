//! A snapshot of the cache for operators, and the counters behind it. Counts of hits and misses are not here: they belong
//! to an endpoint and go to the [`Observer`](crate::Observer).

use std::sync::atomic::{AtomicU64, Ordering};

use crate::{
    arms::{Arm, ArmCounters, ArmStats},
    l2::Memory,
};

/// The cache at one moment. The fields are read one after another: they are near each other, not one instant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Entries in L1, dead ones that were not evicted yet included.
    pub l1_entries: u64,
    /// Their weight in bytes: bodies, keys and bookkeeping.
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
    /// Invalidations that were read from the log, because their messages did not arrive.
    pub replayed: u64,
    /// Answers that were loaded anew before they expired.
    pub refreshed: u64,
    /// Loads made in advance, at the start or because a key is popular.
    pub warmed: u64,
    /// Aged answers that were served because the loader failed or was slow.
    pub stale_served: u64,
    /// Loads that waited for another replica's load of the same key.
    pub lock_waits: u64,
    /// Hits that were compared with the loader's answer.
    pub sampled: u64,
    /// Sampled hits that still differed after a minute, and were removed.
    pub inconsistent: u64,
    /// Bytes that Redis uses, as it said last; 0 before it was asked.
    pub redis_used_bytes: u64,
    /// Its limit in bytes; 0 if there is none.
    pub redis_max_bytes: u64,
    /// Keys that Redis evicted to stay below the limit.
    pub redis_evicted_keys: u64,
    /// What each arm of an experiment did.
    pub arm_a: ArmStats,
    /// As `arm_a`.
    pub arm_b: ArmStats,
}

/// Counters, most of which only grow. None of them is touched by an L1 hit.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) loads: Counter,
    pub(crate) joined: Counter,
    pub(crate) fills_rejected: Counter,
    pub(crate) entries_damaged: Counter,
    pub(crate) redis_failures: Counter,
    pub(crate) replayed: Counter,
    pub(crate) refreshed: Counter,
    pub(crate) warmed: Counter,
    pub(crate) stale_served: Counter,
    pub(crate) lock_waits: Counter,
    pub(crate) sampled: Counter,
    pub(crate) inconsistent: Counter,
    arms: [ArmCounters; 2],
    redis_used_bytes: Counter,
    redis_max_bytes: Counter,
    redis_evicted_keys: Counter,
}

impl Counters {
    pub(crate) fn arm(&self, arm: Arm) -> &ArmCounters {
        match arm {
            Arm::A => &self.arms[0],
            Arm::B => &self.arms[1],
        }
    }

    pub(crate) fn note_memory(&self, memory: Memory) {
        self.redis_used_bytes.set(memory.used_bytes);
        self.redis_max_bytes.set(memory.max_bytes.unwrap_or(0));
        self.redis_evicted_keys.set(memory.evicted_keys);
    }

    /// The part of [`Stats`] that is counted here.
    pub(crate) fn stats(&self) -> Stats {
        Stats {
            loads: self.loads.get(),
            joined: self.joined.get(),
            fills_rejected: self.fills_rejected.get(),
            entries_damaged: self.entries_damaged.get(),
            redis_failures: self.redis_failures.get(),
            replayed: self.replayed.get(),
            refreshed: self.refreshed.get(),
            warmed: self.warmed.get(),
            stale_served: self.stale_served.get(),
            lock_waits: self.lock_waits.get(),
            sampled: self.sampled.get(),
            inconsistent: self.inconsistent.get(),
            redis_used_bytes: self.redis_used_bytes.get(),
            redis_max_bytes: self.redis_max_bytes.get(),
            redis_evicted_keys: self.redis_evicted_keys.get(),
            arm_a: self.arm(Arm::A).stats(),
            arm_b: self.arm(Arm::B).stats(),
            ..Stats::default()
        }
    }
}

/// A count for display; orders nothing, hence relaxed.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add_one(&self) {
        self.add(1);
    }

    pub(crate) fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
