//! Whether too many events wait for Kafka. Nothing is dropped: when Kafka takes nothing, events pile up in the outbox,
//! and beyond a bound writers are told so instead.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// The relay's finding, for writers; cheap to clone.
#[derive(Debug, Clone)]
pub struct Backlog {
    is_full: Arc<AtomicBool>,
    max: i64,
}

impl Backlog {
    /// Full with `max` events.
    pub fn new(max: u64) -> Self {
        Self {
            is_full: Arc::default(),
            max: i64::try_from(max).unwrap_or(i64::MAX),
        }
    }

    /// Whether writes are refused. Relaxed: the flag guards nothing but itself.
    pub fn is_full(&self) -> bool {
        self.is_full.load(Ordering::Relaxed)
    }

    /// From how many events on it is full.
    pub(super) fn max(&self) -> i64 {
        self.max
    }

    /// So many events wait.
    pub(super) fn found(&self, waiting: i64) {
        let is_full = waiting >= self.max;
        if self.is_full.swap(is_full, Ordering::Relaxed) != is_full {
            tracing::warn!(
                waiting,
                is_full,
                "the outbox has filled up, or has room again: writes are refused while full"
            );
        }
    }
}
