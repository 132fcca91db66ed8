//! The state that all parts of one cache share, and nothing that acts on it.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::sync::{Semaphore, watch};

use crate::{
    bypass::Bypass,
    clock::Clock,
    endpoints::Endpoints,
    flight::Flights,
    l1::L1,
    l2::{L2, message::Place},
    observer::Observer,
    popularity::Popularity,
    stats::{Counters, Stats},
    verify::Sampler,
};

/// One cache. Clients and background tasks hold it together.
pub(crate) struct Core {
    pub(crate) l1: L1,
    pub(crate) flights: Arc<Flights>,
    /// `None`: L1 only.
    pub(crate) l2: Option<L2>,
    pub(crate) bypass: Bypass,
    pub(crate) cursor: Cursor,
    pub(crate) endpoints: Endpoints,
    /// Loads that run side by side while Redis is away, so that its outage does not become the database's.
    pub(crate) bulkhead: Semaphore,
    /// Loads that no client waits for.
    pub(crate) background: Arc<Semaphore>,
    /// How often Redis was found to have been started anew.
    pub(crate) renewals: watch::Sender<u64>,
    pub(crate) popularity: Popularity,
    pub(crate) sampler: Option<Sampler>,
    pub(crate) context: Arc<Context>,
}

/// The newest invalidation that was applied here. Written by the subscriber alone, after the stamps: who sees a number sees
/// its effect.
#[derive(Debug, Default)]
pub(crate) struct Cursor {
    place: Mutex<Place>,
    /// The same number, for readers on the path of requests.
    seq: AtomicU64,
}

impl Cursor {
    pub(crate) fn place(&self) -> Place {
        *self.place.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn seq(&self) -> u64 {
        self.seq.load(Ordering::Acquire)
    }

    pub(crate) fn move_to(&self, place: Place) {
        *self.place.lock().unwrap_or_else(PoisonError::into_inner) = place;
        self.seq.store(place.seq, Ordering::Release);
    }
}

/// What every part needs to know the time and to say what it did.
pub(crate) struct Context {
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) observer: Option<Arc<dyn Observer>>,
    pub(crate) counters: Counters,
    #[cfg(test)]
    pub(crate) pauses: Option<Arc<crate::interleaving::Pauses>>,
}

/// A moment between two steps of the protocol, where a test may hold a task back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    StampTaken,
    L2Read,
    LoadBegins,
    LoadEnded,
    L2Stored,
    L1Filled,
    InvalidationBegins,
    RedisInvalidated,
    MessageArrived,
}

impl Context {
    pub(crate) fn now(&self) -> Duration {
        self.clock.monotonic()
    }

    /// The time that a read starts: coarse, unless somebody wants to know how long it takes.
    pub(crate) fn start_of_read(&self, is_timed: bool) -> Duration {
        if is_timed || self.observer.is_some() {
            self.now()
        } else {
            self.clock.coarse()
        }
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

    /// Where a test may hold a task back; nothing at all otherwise.
    #[cfg(not(test))]
    #[expect(clippy::unused_self, reason = "in tests it says where to hold")]
    #[inline]
    pub(crate) fn reach(&self, _step: Step) -> std::future::Ready<()> {
        std::future::ready(())
    }

    #[cfg(test)]
    pub(crate) async fn reach(&self, step: Step) {
        if let Some(pauses) = &self.pauses {
            pauses.reach(step).await;
        }
    }
}

impl Core {
    pub(crate) fn stats(&self) -> Stats {
        Stats {
            l1_entries: self.l1.entry_count(),
            l1_bytes: self.l1.weight_bytes(),
            l1_open: self.l1.is_open(self.context.now()),
            epoch: self.l1.stamps().epoch(),
            flights: self.flights.count(),
            last_seq: self.cursor.seq(),
            bypassed_tags: self.bypass.len(),
            ..self.context.counters.stats()
        }
    }
}
