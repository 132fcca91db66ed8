//! The shared-memory primitives that the model checker replaces: `tests/loom` compiles `stamps` and `flight` once more
//! with loom's in this place. Everything else uses std directly.

pub(crate) use std::sync::{Mutex, MutexGuard, atomic::AtomicU64};

/// Counters of tags: one for each value of `u16`, 512 KiB, whatever the number of tags. With 10,000 tags in use, an
/// invalidation takes an unrelated entry along in about one of 65,536 cases for each dependency.
pub(crate) const STRIPES: usize = 1 << 16;

/// Parts of the flight map: enough that flights of different keys seldom wait for each other's few hundred nanoseconds
/// under the lock.
pub(crate) const SHARDS: usize = 64;
