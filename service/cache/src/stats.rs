//! A snapshot of the cache for operators, and the counters behind it. Counts of hits and misses are not here: they
//! belong to an endpoint and go to the [`Observer`](crate::Observer).

use std::sync::atomic::{AtomicU64, Ordering};

/// Defines [`Stats`] and the counters behind those of its fields that are counted.
macro_rules! stats {
    (looked_up { $($(#[$doc:meta])* $field:ident: $type:ty,)+ } counted { $($(#[$about:meta])* $count:ident,)+ }) => {
        /// The cache at one moment. The fields are read one after another: they are near each other, not one instant.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        #[non_exhaustive]
        pub struct Stats {
            $($(#[$doc])* pub $field: $type,)+
            $($(#[$about])* pub $count: u64,)+
        }

        /// Counters, most of which only grow. None of them is touched by an L1 hit.
        #[derive(Debug, Default)]
        pub(crate) struct Counters {
            $(pub(crate) $count: Counter,)+
        }

        impl Counters {
            /// The part of [`Stats`] that is counted here.
            pub(crate) fn stats(&self) -> Stats {
                Stats {
                    $($count: self.$count.get(),)+
                    ..Stats::default()
                }
            }
        }
    };
}

stats! {
    looked_up {
        /// Entries in L1, dead ones that were not evicted yet included.
        l1_entries: u64,
        /// Their weight in bytes: bodies, keys and bookkeeping.
        l1_bytes: u64,
        /// Whether L1 is served: false while invalidations of other replicas may be missed.
        l1_open: bool,
        /// Whether Redis is used: false while it is away, or answers and refuses what invalidations need.
        l2_open: bool,
        /// How often everything in L1 was given up at once.
        epoch: u64,
        /// Loads that are running and can be joined.
        flights: u64,
        /// The number of the newest invalidation that was applied here, in its life of the row; 0 before the first.
        last_seq: u64,
        /// Tags for which Redis is not trusted here, because an invalidation of them failed.
        bypassed_tags: u64,
    }
    counted {
        /// Loader runs since the start.
        loads,
        /// Reads that shared a load which another client had started.
        joined,
        /// Loaded answers that Redis refused, because a tag was invalidated during the load.
        fills_rejected,
        /// Loads whose answer was too large to be kept.
        entries_too_large,
        /// Redis entries that were damaged, or of another format or key.
        entries_damaged,
        /// Redis operations, and attempts to connect, that failed or timed out.
        redis_failures,
        /// How many of these Redis answered with a refusal of its service (read-only, full, not allowed).
        redis_refusals,
        /// Committed invalidations that were found unconfirmed in the outbox, and applied here.
        outbox_applied,
        /// Invalidations that were read from the log, because their messages did not arrive.
        replayed,
        /// Answers that were loaded anew before they expired.
        refreshed,
        /// Loads that no client asked for: at the start, and on order.
        warmed,
        /// Aged answers that were served because the loader failed or was slow.
        stale_served,
        /// Loads that waited for another replica's load of the same key.
        lock_waits,
        /// Cached answers that were compared with the source's, on a timer or on order.
        verified,
        /// Hits that were compared with the source's answer.
        sampled,
        /// Answers that differed from the source's at every look, and were removed.
        inconsistent,
        /// How long the newest heartbeat took that Redis answered, in microseconds; 0 before the first.
        redis_heartbeat_us,
        /// Bytes that Redis uses, as it said last; 0 before it was asked.
        redis_used_bytes,
        /// Its limit in bytes; 0 if there is none.
        redis_max_bytes,
        /// Keys that Redis evicted to stay below the limit.
        redis_evicted_keys,
    }
}

/// What Redis says of its memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Memory {
    pub(crate) used_bytes: u64,
    /// The limit; `None` if there is none.
    pub(crate) max_bytes: Option<u64>,
    /// Keys that were evicted to stay below the limit, since the server's start.
    pub(crate) evicted_keys: u64,
}

impl Memory {
    /// The share of the limit that is in use; `None` without a limit.
    pub(crate) fn share(&self) -> Option<f64> {
        self.max_bytes.map(|max| self.used_bytes as f64 / max as f64)
    }
}

impl Counters {
    pub(crate) fn note_heartbeat(&self, elapsed_us: u64) {
        self.redis_heartbeat_us.set(elapsed_us);
    }

    pub(crate) fn note_memory(&self, memory: Memory) {
        self.redis_used_bytes.set(memory.used_bytes);
        self.redis_max_bytes.set(memory.max_bytes.unwrap_or(0));
        self.redis_evicted_keys.set(memory.evicted_keys);
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
