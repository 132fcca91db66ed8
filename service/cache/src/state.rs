//! The state that all parts of one cache share, and nothing that acts on it.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::{Semaphore, watch};

use crate::{
    bypass::Bypass,
    context::Context,
    endpoints::Endpoints,
    flight::Flights,
    l1::L1,
    l2::L2,
    place::{Place, Token},
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
    /// A body that is longer is kept in neither tier.
    pub(crate) max_entry_bytes: usize,
    /// How often Redis was found to have been started anew.
    pub(crate) renewals: watch::Sender<u64>,
    pub(crate) source: Arc<dyn Source>,
    /// `None`: hits are not compared with the source.
    pub(crate) sampler: Option<Sampler>,
    pub(crate) context: Arc<Context>,
}

/// Lives of the row of invalidations that are remembered after their end, so that clients who wrote in them are served
/// from L1: Redis is not emptied or restarted more often while they remember their writes.
const LIVES_REMEMBERED: usize = 8;

/// The newest invalidation that was applied here. Written by the subscriber alone, after the stamps: who sees a place
/// sees its effect.
#[derive(Debug, Default)]
pub(crate) struct Cursor {
    /// Locked by the subscriber, and by readers who bring a place; never across an await.
    row: Mutex<Row>,
}

#[derive(Debug, Default)]
struct Row {
    place: Place,
    /// Lives that ended here, the newest last: with each of them, everything in L1 did.
    ended: VecDeque<Token>,
}

impl Cursor {
    pub(crate) fn place(&self) -> Place {
        self.lock().place
    }

    /// Whether the invalidation at `place` has been applied here. Of a life that this replica never saw, that is not
    /// known: it may have begun a moment ago.
    pub(crate) fn has_reached(&self, place: Place) -> bool {
        let row = self.lock();
        place.is_at_or_before(row.place) || row.ended.contains(&place.life)
    }

    pub(crate) fn move_to(&self, place: Place) {
        let mut row = self.lock();
        if row.place.life != place.life {
            let ended = row.place.life;
            row.ended.push_back(ended);
            if row.ended.len() > LIVES_REMEMBERED {
                row.ended.pop_front();
            }
        }
        row.place = place;
    }

    fn lock(&self) -> MutexGuard<'_, Row> {
        // Nothing panics between two changes of the row, so a poisoned one is whole.
        self.row.lock().unwrap_or_else(PoisonError::into_inner)
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
            l2_open: self.l2.as_ref().is_some_and(L2::is_usable),
            last_seq: self.cursor.place().seq,
            bypassed_tags: self.bypass.len(),
            ..self.context.counters.stats()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(text: &str) -> Place {
        text.parse().expect("a place")
    }

    /// 1. This replica is at number 57. 2. Redis is emptied; a write elsewhere is number 1 of the new life. 3. Its
    ///    client comes here before the message does.
    #[test]
    fn a_low_number_of_a_new_life_has_not_been_reached() {
        let cursor = Cursor::default();
        cursor.move_to(place("000000000000000a-57"));
        assert!(cursor.has_reached(place("000000000000000a-57")));
        assert!(!cursor.has_reached(place("000000000000000a-58")));
        assert!(!cursor.has_reached(place("000000000000000b-1")));
        cursor.move_to(place("000000000000000b-1"));
        assert!(cursor.has_reached(place("000000000000000b-1")));
        assert!(
            cursor.has_reached(place("000000000000000a-58")),
            "it ended with its life"
        );
    }

    #[test]
    fn lives_are_remembered_up_to_a_bound() {
        let cursor = Cursor::default();
        for life in 0..=LIVES_REMEMBERED + 1 {
            cursor.move_to(place(&format!("{life:016x}-1")));
        }
        assert!(!cursor.has_reached(place("0000000000000000-1")));
        assert!(cursor.has_reached(place("0000000000000001-1")));
    }
}
