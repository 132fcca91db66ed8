//! Single flight: of all clients that miss the same key, one load runs, and all get its result.
//!
//! A flight may be joined only while the stamps it started with are current: a client that arrives after an
//! invalidation must not get what was loaded before it, so it starts another flight that takes the place of the old one
//! in the map. The old one runs to its end for those who wait for it. What a flight does is not here (see `fetch`).

use std::{
    any::{Any, TypeId},
    collections::HashMap,
    hash::{BuildHasher, RandomState},
    sync::{Arc, PoisonError, atomic::Ordering},
    time::Duration,
};

use futures_util::future::BoxFuture;
use tokio::sync::watch;

use crate::{
    entry::Served,
    key::Key,
    loaded::Loaded,
    stamps::Stamp,
    sync::{AtomicU64, Mutex, MutexGuard, SHARDS},
};

/// Flights that can be joined, for each shard (65,536 together). Every flight has a client waiting or had one, so a
/// server reaches this only when the loader hangs; beyond it, loads run unshared instead of growing the map.
const MAX_FLIGHTS_PER_SHARD: usize = 1_024;

/// The result of a flight, as every waiter gets it.
pub(crate) type FlightResult = Result<Served, Failure>;

/// Why a flight brought nothing.
#[derive(Clone)]
pub(crate) enum Failure {
    /// A loader's error without its type; the map remembers the type, so that only callers who expect it join.
    Loader(Arc<dyn Any + Send + Sync>),
    /// The loader exceeded this limit.
    TimedOut(Duration),
}

/// A load that has not begun, without the types of its client: what a flight does is compiled once, whoever asks.
pub(crate) type Load = BoxFuture<'static, Result<Loaded, Failure>>;

/// Where a client waits for the result. It ends without one if the flight is torn down (a panic, or the end of the
/// runtime).
pub(crate) type Waiter = watch::Receiver<Option<FlightResult>>;

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
struct Shard(Mutex<HashMap<Box<str>, Running>>);

struct Running {
    id: u64,
    stamp: Stamp,
    began: Duration,
    error_type: TypeId,
    waiter: Waiter,
}

/// What becomes of a client that missed L1.
pub(crate) enum Admitted<T> {
    /// Another flight ended in between, and this is its answer.
    Found(T),
    /// Wait for this flight, which someone else started.
    Joined(Waiter),
    /// Lead a new flight with this stamp.
    Leads(Leader, Stamp),
}

/// What the map has to know about the cache to admit a client.
pub(crate) trait Admission {
    /// What [`Admission::look_again`] finds.
    type Found;
    /// Whether this client may join a flight that started with `stamp`, when [`Admission::now`] was `began`.
    fn may_join(&self, stamp: &Stamp, began: Duration) -> bool;
    /// The time, by the cache's monotonic clock.
    fn now(&self) -> Duration;
    /// The answer, if it is there by now.
    fn look_again(&self) -> Option<Self::Found>;
    /// The stamp of a flight that starts now.
    fn stamp(&self) -> Stamp;
}

impl Flights {
    /// Joins the running flight of `key`, or prepares another. `error_type` is the type of the loader's error.
    ///
    /// Under the shard's lock a flight that is gone from the map has filled L1 before, so one last look there keeps a
    /// client that was between L1 and the map from loading a second time.
    pub(crate) fn admit<A: Admission>(
        self: &Arc<Self>,
        key: &Key,
        error_type: TypeId,
        rules: &A,
    ) -> Admitted<A::Found> {
        let shard_index = self.shard_index(key.as_str());
        let mut shard = self.shards[shard_index].lock();
        if let Some(running) = shard.get(key.as_str())
            && running.error_type == error_type
            && rules.may_join(&running.stamp, running.began)
        {
            return Admitted::Joined(running.waiter.clone());
        }
        if let Some(found) = rules.look_again() {
            return Admitted::Found(found);
        }
        let leader = self.leader(key, shard_index);
        let stamp = rules.stamp();
        let running = Running {
            id: leader.id,
            stamp: stamp.clone(),
            began: rules.now(),
            error_type,
            waiter: leader.waiter(),
        };
        if shard.len() < MAX_FLIGHTS_PER_SHARD {
            shard.insert(key.as_str().into(), running);
        }
        Admitted::Leads(leader, stamp)
    }

    /// Prepares a flight that nobody can join.
    pub(crate) fn admit_alone<A: Admission>(self: &Arc<Self>, key: &Key, rules: &A) -> Admitted<A::Found> {
        Admitted::Leads(self.leader(key, self.shard_index(key.as_str())), rules.stamp())
    }

    /// Flights that can be joined now.
    pub(crate) fn count(&self) -> u64 {
        self.shards.iter().map(|shard| shard.lock().len() as u64).sum()
    }

    fn leader(self: &Arc<Self>, key: &Key, shard_index: usize) -> Leader {
        Leader {
            flights: Arc::clone(self),
            shard_index,
            key: key.as_str().into(),
            id: self.next_id.fetch_add(1, Ordering::Relaxed),
            result: watch::Sender::new(None),
        }
    }

    fn shard_index(&self, key: &str) -> usize {
        let [low, ..] = self.hasher.hash_one(key).to_le_bytes();
        usize::from(low) % SHARDS
    }
}

impl Shard {
    fn lock(&self) -> MutexGuard<'_, HashMap<Box<str>, Running>> {
        // Nothing panics between two changes of the map, so a poisoned one is whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The right to end one flight. Dropped, it leaves the map, also when the flight panics.
pub(crate) struct Leader {
    flights: Arc<Flights>,
    shard_index: usize,
    key: Box<str>,
    id: u64,
    result: watch::Sender<Option<FlightResult>>,
}

impl Leader {
    /// Where the client that leads the flight waits, like all others.
    pub(crate) fn waiter(&self) -> Waiter {
        self.result.subscribe()
    }

    /// Hands a result to those who wait and to those who come, while the flight goes on.
    pub(crate) fn announce(&self, result: FlightResult) {
        self.result.send_replace(Some(result));
    }

    /// Ends the flight with a result for all waiters. L1 has been filled before this.
    ///
    /// Leaves the map first: a client that has its answer and asks again must not join the flight that just ended.
    pub(crate) fn complete(self, result: FlightResult) {
        self.leave();
        self.result.send_replace(Some(result));
    }

    fn leave(&self) {
        let mut shard = self.flights.shards[self.shard_index].lock();
        // A newer flight may have taken the place.
        if shard.get(&self.key).is_some_and(|running| running.id == self.id) {
            shard.remove(&self.key);
        }
    }
}

impl Drop for Leader {
    fn drop(&mut self) {
        self.leave();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{entry::Tier, stamps::Stamps, tag::Tag};

    struct TestRules<'a> {
        stamps: &'a Stamps,
        tags: &'a [Tag],
        found: Option<()>,
    }

    impl Admission for TestRules<'_> {
        type Found = ();
        fn now(&self) -> Duration {
            Duration::ZERO
        }

        fn may_join(&self, stamp: &Stamp, _began: Duration) -> bool {
            self.stamps.hold(stamp, self.tags)
        }
        fn look_again(&self) -> Option<()> {
            self.found
        }
        fn stamp(&self) -> Stamp {
            self.stamps.take(self.tags, 0)
        }
    }

    fn start(admitted: Admitted<()>) -> Leader {
        match admitted {
            Admitted::Leads(leader, _) => leader,
            Admitted::Joined(_) | Admitted::Found(()) => panic!("expected to start a flight"),
        }
    }

    #[test]
    fn the_second_joins_and_an_invalidation_forces_another_flight() {
        let (flights, stamps, tags) = (Arc::new(Flights::default()), Stamps::new(), [Tag::new("t")]);
        let rules = TestRules {
            stamps: &stamps,
            tags: &tags,
            found: None,
        };
        let admit = |error_type| flights.admit(&Key::new("k"), error_type, &rules);
        let first = start(admit(TypeId::of::<String>()));
        assert!(matches!(admit(TypeId::of::<String>()), Admitted::Joined(_)));

        stamps.bump(&tags);
        let second = start(admit(TypeId::of::<String>()));
        assert_eq!(flights.count(), 1, "one place for each key");

        drop(first);
        assert!(
            matches!(admit(TypeId::of::<String>()), Admitted::Joined(_)),
            "the end of the old flight leaves the new one in place"
        );
        drop(second);
        assert_eq!(flights.count(), 0);
    }

    #[test]
    fn a_caller_who_expects_another_error_type_does_not_join() {
        let (flights, stamps) = (Arc::new(Flights::default()), Stamps::new());
        let rules = TestRules {
            stamps: &stamps,
            tags: &[],
            found: None,
        };
        let first = start(flights.admit(&Key::new("k"), TypeId::of::<String>(), &rules));
        let second = start(flights.admit(&Key::new("k"), TypeId::of::<u8>(), &rules));
        drop((first, second));
    }

    #[test]
    fn a_full_map_does_not_grow_and_still_lets_everyone_load() {
        let (flights, stamps) = (Arc::new(Flights::default()), Stamps::new());
        let rules = TestRules {
            stamps: &stamps,
            tags: &[],
            found: None,
        };
        let limit = SHARDS * MAX_FLIGHTS_PER_SHARD;
        let leaders: Vec<Leader> = (0..limit + 2_000)
            .map(|id| start(flights.admit(&Key::new("k").part(id), TypeId::of::<()>(), &rules)))
            .collect();
        assert!(flights.count() <= limit as u64);
        drop(leaders);
        assert_eq!(flights.count(), 0);
    }

    /// 1. A client misses L1. 2. The running flight fills L1 and leaves the map. 3. The client looks at the map.
    #[test]
    fn a_client_that_comes_to_an_empty_map_looks_at_l1_once_more() {
        let (flights, stamps) = (Arc::new(Flights::default()), Stamps::new());
        let rules = TestRules {
            stamps: &stamps,
            tags: &[],
            found: Some(()),
        };
        let admitted = flights.admit(&Key::new("k"), TypeId::of::<()>(), &rules);
        assert!(matches!(admitted, Admitted::Found(())));
        assert_eq!(flights.count(), 0);
    }

    #[test]
    fn every_waiter_gets_the_result() {
        let (flights, stamps) = (Arc::new(Flights::default()), Stamps::new());
        let rules = TestRules {
            stamps: &stamps,
            tags: &[],
            found: None,
        };
        let leader = start(flights.admit(&Key::new("k"), TypeId::of::<()>(), &rules));
        let waiter = leader.waiter();
        leader.complete(Ok(Served {
            entry: None,
            tier: Tier::Db,
        }));
        let result = waiter.borrow().clone();
        assert!(matches!(result, Some(Ok(Served { tier: Tier::Db, .. }))));
    }
}
