//! The state that all parts of one cache share, and nothing that acts on it.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicU64, Ordering},
};

use tokio::sync::{Semaphore, watch};

use crate::{
    bypass::Bypass,
    context::Context,
    endpoints::Endpoints,
    flight::Flights,
    l1::L1,
    l2::{L2, message::Place},
    source::{Sampler, Source},
    stats::Stats,
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
    pub(crate) source: Arc<dyn Source>,
    /// `None`: hits are not compared with the source.
    pub(crate) sampler: Option<Sampler>,
    pub(crate) context: Arc<Context>,
}

/// The newest invalidation that was applied here. Written by the subscriber alone, after the stamps: who sees a number
/// sees its effect.
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
