//! Single flight: of all clients that miss the same key, one load runs, and all get its result.
//!
//! A flight may be joined only while the stamps it started with are current: a client that arrives after an invalidation
//! must not get what was loaded before it, so it starts another flight that takes the place of the old one in the map. The
//! old one runs to its end for those who wait for it. What a flight does is not here (see `read`).

use std::{
    any::{Any, TypeId},
    collections::HashMap,
    hash::{BuildHasher, RandomState},
    sync::{Arc, PoisonError, atomic::Ordering},
    time::Duration,
};

use tokio::sync::watch;

use crate::{
    entry::Served,
    key::Key,
    stamps::Stamp,
    sync::{AtomicU64, Mutex, MutexGuard, SHARDS},
};

/// Flights that can be joined, for each shard (65,536 together). Every flight has a client waiting or had one, so a server
/// reaches this only when the loader hangs; beyond it, loads run unshared instead of growing the map.
const MAX_FLIGHTS_PER_SHARD: usize = 1_024;

/// The result of a flight, as every waiter gets it.
pub(crate) type Outcome = Result<Served, Failure>;

/// Why a flight brought nothing.
#[derive(Clone)]
pub(crate) enum Failure {
    /// A loader's error without its type; the slot remembers the type, so that only callers who expect it join.
    Loader(Arc<dyn Any + Send + Sync>),
    /// The loader exceeded this limit.
    TimedOut(Duration),
}

/// Where a waiter reads the result. It ends without one if the flight is torn down (a panic, or the end of the runtime).
pub(crate) type Arrival = watch::Receiver<Option<Outcome>>;

pub(crate) struct Flights {
    shards: [Shard; SHARDS],
    hasher: RandomState,
    next_id: AtomicU64,
}

impl Default for Flights {
    fn default() -> Self {
        Self {
            shards: std::array::from_fn(|_| Shard(Mutex::new(HashMap::new()))),
            hasher: RandomState::new(),
            next_id: AtomicU64::new(0),
        }
    }
}

impl std::fmt::Debug for Flights {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Flights").field("count", &self.count()).finish()
    }
}

/// A std mutex: held for a map operation, never across an await.
struct Shard(Mutex<HashMap<Box<str>, Slot>>);

struct Slot {
    id: u64,
    stamp: Stamp,
    error_type: TypeId,
    arrival: Arrival,
}

/// What becomes of a client that missed L1.
pub(crate) enum Boarding<T> {
    /// Another flight landed in between.
    Landed(T),
    /// Wait for this flight, which someone else started.
    Joined(Arrival),
    /// Start a flight with this ticket and stamp.
    Started(Ticket, Stamp),
}

/// What a flight needs to know about the cache when a client boards.
pub(crate) trait Tower {
    /// What [`Tower::landed`] finds.
    type Found;
    /// Whether a flight that started with `stamp` may be joined by this client.
    fn joinable(&self, stamp: &Stamp) -> bool;
    /// The answer, if it is there by now.
    fn landed(&self) -> Option<Self::Found>;
    /// The stamp of a flight that starts now.
    fn stamp(&self) -> Stamp;
}

impl Flights {
    /// Joins the running flight of `key`, or prepares another. `error_type` is the type of the loader's error.
    ///
    /// Under the shard's lock a flight that is gone from the map has filled L1 before, so one last look there keeps a
    /// client that was between L1 and the map from loading a second time.
    pub(crate) fn board<T: Tower>(self: &Arc<Self>, key: &Key, error_type: TypeId, tower: &T) -> Boarding<T::Found> {
        let shard_index = self.shard_index(key.as_str());
        let mut shard = self.shards[shard_index].lock();
        if let Some(slot) = shard.get(key.as_str())
            && slot.error_type == error_type
            && tower.joinable(&slot.stamp)
        {
            return Boarding::Joined(slot.arrival.clone());
        }
        if let Some(found) = tower.landed() {
            return Boarding::Landed(found);
        }
        let (ticket, arrival) = self.ticket(key, shard_index);
        let stamp = tower.stamp();
        let slot = Slot {
            id: ticket.id,
            stamp: stamp.clone(),
            error_type,
            arrival,
        };
        if shard.len() < MAX_FLIGHTS_PER_SHARD {
            shard.insert(key.as_str().into(), slot);
        }
        Boarding::Started(ticket, stamp)
    }

    /// Prepares a flight that nobody can join.
    pub(crate) fn board_alone<T: Tower>(self: &Arc<Self>, key: &Key, tower: &T) -> Boarding<T::Found> {
        let (ticket, _) = self.ticket(key, self.shard_index(key.as_str()));
        Boarding::Started(ticket, tower.stamp())
    }

    /// Flights that can be joined now.
    pub(crate) fn count(&self) -> u64 {
        self.shards.iter().map(|shard| shard.lock().len() as u64).sum()
    }

    fn ticket(self: &Arc<Self>, key: &Key, shard_index: usize) -> (Ticket, Arrival) {
        let (result, arrival) = watch::channel(None);
        let ticket = Ticket {
            flights: Arc::clone(self),
            shard_index,
            key: key.as_str().into(),
            id: self.next_id.fetch_add(1, Ordering::Relaxed),
            result,
        };
        (ticket, arrival)
    }

    fn shard_index(&self, key: &str) -> usize {
        let [low, ..] = self.hasher.hash_one(key).to_le_bytes();
        usize::from(low) % SHARDS
    }
}

impl Shard {
    fn lock(&self) -> MutexGuard<'_, HashMap<Box<str>, Slot>> {
        // Nothing panics between two changes of the map, so a poisoned one is whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The right to land one flight. Dropped, it leaves the map, also when the flight panics.
pub(crate) struct Ticket {
    flights: Arc<Flights>,
    shard_index: usize,
    key: Box<str>,
    id: u64,
    result: watch::Sender<Option<Outcome>>,
}

impl Ticket {
    /// Where the client that started the flight waits, like all others.
    pub(crate) fn arrival(&self) -> Arrival {
        self.result.subscribe()
    }

    /// Hands a result to those who wait and to those who come, while the flight goes on.
    pub(crate) fn announce(&self, outcome: Outcome) {
        self.result.send_replace(Some(outcome));
    }

    /// Hands the result to all waiters. L1 has been filled before this.
    ///
    /// Leaves the map first: a client that has its answer and asks again must not board the flight that just landed.
    pub(crate) fn land(self, outcome: Outcome) {
        self.leave();
        self.result.send_replace(Some(outcome));
    }

    fn leave(&self) {
        let mut shard = self.flights.shards[self.shard_index].lock();
        // A newer flight may have taken the place.
        if shard.get(&self.key).is_some_and(|slot| slot.id == self.id) {
            shard.remove(&self.key);
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.leave();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{entry::Tier, stamps::Stamps, tag::Tag};

    struct TestTower<'a> {
        stamps: &'a Stamps,
        tags: &'a [Tag],
        landed: Option<()>,
    }

    impl Tower for TestTower<'_> {
        type Found = ();
        fn joinable(&self, stamp: &Stamp) -> bool {
            self.stamps.hold(stamp, self.tags)
        }
        fn landed(&self) -> Option<()> {
            self.landed
        }
        fn stamp(&self) -> Stamp {
            self.stamps.take(self.tags, 0)
        }
    }

    fn start(boarding: Boarding<()>) -> Ticket {
        match boarding {
            Boarding::Started(ticket, _) => ticket,
            Boarding::Joined(_) | Boarding::Landed(()) => panic!("expected to start a flight"),
        }
    }

    #[test]
    fn the_second_joins_and_an_invalidation_forces_another_flight() {
        let (flights, stamps, tags) = (Arc::new(Flights::default()), Stamps::new(), [Tag::new("t")]);
        let tower = TestTower {
            stamps: &stamps,
            tags: &tags,
            landed: None,
        };
        let board = |error_type| flights.board(&Key::new("k"), error_type, &tower);
        let first = start(board(TypeId::of::<String>()));
        assert!(matches!(board(TypeId::of::<String>()), Boarding::Joined(_)));

        stamps.bump(&tags);
        let second = start(board(TypeId::of::<String>()));
        assert_eq!(flights.count(), 1, "one place for each key");

        drop(first);
        assert!(
            matches!(board(TypeId::of::<String>()), Boarding::Joined(_)),
            "the end of the old flight leaves the new one in place"
        );
        drop(second);
        assert_eq!(flights.count(), 0);
    }

    #[test]
    fn a_caller_who_expects_another_error_type_does_not_join() {
        let (flights, stamps) = (Arc::new(Flights::default()), Stamps::new());
        let tower = TestTower {
            stamps: &stamps,
            tags: &[],
            landed: None,
        };
        let first = start(flights.board(&Key::new("k"), TypeId::of::<String>(), &tower));
        let second = start(flights.board(&Key::new("k"), TypeId::of::<u8>(), &tower));
        drop((first, second));
    }

    #[test]
    fn a_full_map_does_not_grow_and_still_lets_everyone_fly() {
        let (flights, stamps) = (Arc::new(Flights::default()), Stamps::new());
        let tower = TestTower {
            stamps: &stamps,
            tags: &[],
            landed: None,
        };
        let limit = SHARDS * MAX_FLIGHTS_PER_SHARD;
        let tickets: Vec<Ticket> = (0..limit + 2_000)
            .map(|id| start(flights.board(&Key::new("k").part(id), TypeId::of::<()>(), &tower)))
            .collect();
        assert!(flights.count() <= limit as u64);
        drop(tickets);
        assert_eq!(flights.count(), 0);
    }

    /// 1. A client misses L1. 2. The running flight fills L1 and leaves the map. 3. The client looks at the map.
    #[test]
    fn a_client_that_comes_to_an_empty_map_looks_at_l1_once_more() {
        let (flights, stamps) = (Arc::new(Flights::default()), Stamps::new());
        let tower = TestTower {
            stamps: &stamps,
            tags: &[],
            landed: Some(()),
        };
        let boarding = flights.board(&Key::new("k"), TypeId::of::<()>(), &tower);
        assert!(matches!(boarding, Boarding::Landed(())));
        assert_eq!(flights.count(), 0);
    }

    #[test]
    fn every_waiter_gets_the_result() {
        let (flights, stamps) = (Arc::new(Flights::default()), Stamps::new());
        let tower = TestTower {
            stamps: &stamps,
            tags: &[],
            landed: None,
        };
        let ticket = start(flights.board(&Key::new("k"), TypeId::of::<()>(), &tower));
        let waiter = ticket.arrival();
        ticket.land(Ok(Served {
            entry: None,
            tier: Tier::Db,
        }));
        let outcome = waiter.borrow().clone();
        assert!(matches!(outcome, Some(Ok(Served { tier: Tier::Db, .. }))));
    }
}
