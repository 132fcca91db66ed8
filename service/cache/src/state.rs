//! The state that all parts of one cache share, and nothing that acts on it.

use std::{
    sync::{Arc, atomic::AtomicU64},
    time::Duration,
};

use crate::{
    bypass::Bypass,
    clock::Clock,
    flight::Flights,
    l1::L1,
    l2::L2,
    observer::Observer,
    stats::{Counters, Stats},
};

/// One cache. Clients and background tasks hold it together.
pub(crate) struct Core {
    pub(crate) l1: L1,
    pub(crate) flights: Arc<Flights>,
    /// `None`: L1 only.
    pub(crate) l2: Option<L2>,
    pub(crate) bypass: Bypass,
    /// The number of the newest message that was applied. Written by the subscriber alone, after the stamps.
    pub(crate) last_seq: AtomicU64,
    pub(crate) context: Arc<Context>,
}

/// What every part needs to know the time and to say what it did.
pub(crate) struct Context {
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) observer: Option<Arc<dyn Observer>>,
    pub(crate) counters: Counters,
}

impl Context {
    pub(crate) fn now(&self) -> Duration {
        self.clock.monotonic()
    }

    /// Time since `started`, which came from [`Context::now`].
    pub(crate) fn since(&self, started: Duration) -> Duration {
        self.now().saturating_sub(started)
    }

    /// Tells the observer, if there is one; without one, not even the clock is read.
    pub(crate) fn observe(&self, tell: impl FnOnce(&dyn Observer)) {
        if let Some(observer) = &self.observer {
            tell(observer.as_ref());
        }
    }
}

impl Core {
    pub(crate) fn stats(&self) -> Stats {
        let counters = &self.context.counters;
        Stats {
            l1_entries: self.l1.entry_count(),
            l1_bytes: self.l1.weight_bytes(),
            l1_open: self.l1.is_open(),
            epoch: self.l1.stamps().epoch(),
            flights: self.flights.count(),
            loads: counters.loads.get(),
            joined: counters.joined.get(),
            fills_rejected: counters.fills_rejected.get(),
            entries_damaged: counters.entries_damaged.get(),
            redis_failures: counters.redis_failures.get(),
            last_seq: self.last_seq.load(std::sync::atomic::Ordering::Acquire),
            bypassed_tags: self.bypass.len(),
        }
    }
}
