//! The read as its client sees it: L1, or the flight that answers all who miss together. What a flight does is not here (see
//! `fetch`).

use std::{any::TypeId, future::Future, sync::Arc, time::Duration};

use tracing::Instrument as _;

use crate::{
    clock::as_micros,
    entry::{Entry, Served, Tier},
    error::LoadError,
    fetch::{self, Plan},
    flight::{Arrival, Boarding, Failure, Tower},
    key::Key,
    l1::{Kept, Missing},
    pilot::Pilot,
    policy::{Policy, Strategy},
    stamps::Stamp,
    state::Core,
    tag::Tag,
};

/// One hit in so many tells the popularity table, chosen by the low bits of the clock.
const POPULARITY_SAMPLE: u32 = 64;

/// What one client asks for.
#[derive(Clone, Copy)]
pub(crate) struct Request<'a> {
    pub(crate) core: &'a Arc<Core>,
    pub(crate) key: &'a Key,
    pub(crate) tags: &'a [Tag],
    pub(crate) policy: &'a Policy,
    /// The newest invalidation that the client knows of: it must not get anything older.
    pub(crate) after_seq: Option<u64>,
    pub(crate) started: Duration,
}

/// What became of a load in advance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Prefetched {
    Present,
    Loaded,
    Failed,
}

impl Request<'_> {
    pub(crate) async fn get_or_load<E, F, Fut>(&self, loader: F) -> Result<Served, LoadError<E>>
    where
        E: Send + Sync + 'static,
        F: FnOnce() -> Fut + Send + 'static,
        Fut: Future<Output = Result<Option<Entry>, E>> + Send + 'static,
    {
        if matches!(self.policy.strategy, Strategy::Off | Strategy::Planned) {
            return self.without_tiers(loader).await;
        }
        if let Some(kept) = self.look() {
            let answer = self.answer(&kept);
            if kept.wants_refresh(self.started) {
                self.refresh(&kept, loader);
            }
            return Ok(answer);
        }
        let arrival = match self.board::<E>(self) {
            Boarding::Landed(kept) => return Ok(self.answer(&kept)),
            Boarding::Joined(arrival) => {
                self.core.context.counters.joined.add_one();
                arrival
            }
            Boarding::Started(ticket, stamp) => {
                let mut arrival = ticket.arrival();
                let flight = fetch::fly(Arc::clone(self.core), self.plan(stamp, 0), ticket, loader);
                let mut pilot = Pilot::new(flight.in_current_span());
                tokio::select! {
                    biased;
                    () = &mut pilot => {}
                    _ = arrival.wait_for(Option::is_some) => {}
                }
                arrival
            }
        };
        self.wait(arrival).await
    }

    /// Fills the cache in advance; counts no lookup.
    pub(crate) async fn prefetch<E, F, Fut>(&self, loader: F) -> Prefetched
    where
        E: Send + Sync + 'static,
        F: FnOnce() -> Fut + Send + 'static,
        Fut: Future<Output = Result<Option<Entry>, E>> + Send + 'static,
    {
        if self.look().is_some() {
            return Prefetched::Present;
        }
        let Boarding::Started(ticket, stamp) = self.board::<E>(self) else {
            return Prefetched::Present;
        };
        let mut arrival = ticket.arrival();
        fetch::fly(Arc::clone(self.core), self.plan(stamp, 0), ticket, loader).await;
        self.core.context.counters.warmed.add_one();
        let succeeded = matches!(&*arrival.borrow_and_update(), Some(Ok(_)));
        if succeeded {
            Prefetched::Loaded
        } else {
            Prefetched::Failed
        }
    }

    /// The planned strategy, or no cache at all: the client loads for itself.
    async fn without_tiers<E, F, Fut>(&self, loader: F) -> Result<Served, LoadError<E>>
    where
        F: FnOnce() -> Fut,
        Fut: Future<Output = Result<Option<Entry>, E>>,
    {
        let result = if self.policy.strategy == Strategy::Planned {
            self.core.planned_read(self.key, self.policy, loader).await
        } else {
            let entry = self.core.run_loader(self.key, loader).await;
            entry.map(|entry| Served { entry, tier: Tier::Db })
        };
        self.count(result.as_ref().map_or(Tier::Db, |served| served.tier));
        result.map_err(|error| LoadError::Loader(Arc::new(error)))
    }

    /// The entry in L1, if this client may have it.
    fn look(&self) -> Option<Arc<Kept>> {
        if self.is_ahead() {
            return None;
        }
        let kept = self.core.l1.get(self.key, self.tags, self.started).ok()?;
        kept.is_fresh(self.started).then_some(kept)
    }

    /// The client knows of an invalidation that has not been applied here yet: neither L1 nor a running flight will do.
    fn is_ahead(&self) -> bool {
        self.after_seq.is_some_and(|seq| seq > self.core.cursor.seq())
    }

    fn board<E: 'static>(&self, tower: &impl Tower<Found = Arc<Kept>>) -> Boarding<Arc<Kept>> {
        if self.policy.strategy == Strategy::CacheAside {
            self.core.flights.board_alone(self.key, tower)
        } else {
            self.core.flights.board(self.key, TypeId::of::<E>(), tower)
        }
    }

    fn answer(&self, kept: &Kept) -> Served {
        self.count(Tier::L1);
        self.core.sample_hit(self.key, kept);
        if self.started.subsec_nanos().is_multiple_of(POPULARITY_SAMPLE) {
            self.core.popularity.note(self.key, POPULARITY_SAMPLE);
        }
        Served {
            entry: kept.entry.clone(),
            tier: Tier::L1,
        }
    }

    /// Loads an entry anew that is about to expire; its readers go on being served from L1.
    fn refresh<E, F, Fut>(&self, kept: &Kept, loader: F)
    where
        E: Send + Sync + 'static,
        F: FnOnce() -> Fut + Send + 'static,
        Fut: Future<Output = Result<Option<Entry>, E>> + Send + 'static,
    {
        let Ok(permit) = Arc::clone(&self.core.background).try_acquire_owned() else {
            // Another reader may try again.
            kept.refreshing.store(false, std::sync::atomic::Ordering::Relaxed);
            return;
        };
        if let Boarding::Started(ticket, stamp) = self.board::<E>(&Renewal(self)) {
            self.core.context.counters.refreshed.add_one();
            let flight = fetch::fly(
                Arc::clone(self.core),
                self.plan(stamp, kept.times.created_ms),
                ticket,
                loader,
            );
            tokio::spawn(async move {
                flight.await;
                drop(permit);
            });
        }
    }

    async fn wait<E: Send + Sync + 'static>(&self, mut arrival: Arrival) -> Result<Served, LoadError<E>> {
        let outcome = match arrival.wait_for(Option::is_some).await {
            Ok(outcome) => outcome.clone(),
            Err(_) => None,
        };
        let tier = match &outcome {
            Some(Ok(served)) => served.tier,
            _ => Tier::Db,
        };
        self.count(tier);
        self.note_miss(tier);
        match outcome {
            Some(Ok(served)) => Ok(served),
            // Only callers who expect this type joined the flight.
            Some(Err(Failure::Loader(error))) => Err(error.downcast().map_or(LoadError::Aborted, LoadError::Loader)),
            Some(Err(Failure::TimedOut(limit))) => Err(LoadError::TimedOut(limit)),
            None => Err(LoadError::Aborted),
        }
    }

    fn count(&self, tier: Tier) {
        let context = &self.core.context;
        context.observe(|observer| observer.lookup(self.key.endpoint(), tier, context.since(self.started)));
        if let Some(arm) = self.policy.arm {
            let elapsed = context.since(self.started);
            context.counters.arm(arm).count(tier, as_micros(elapsed));
            context.observe(|observer| observer.lookup_in_arm(self.key.endpoint(), arm, tier, elapsed));
        }
    }

    fn note_miss(&self, tier: Tier) {
        self.core.popularity.note(self.key, 1);
        if tier == Tier::Stale {
            self.core.context.counters.stale_served.add_one();
        }
    }

    fn plan(&self, stamp: Stamp, newer_than_ms: u64) -> Plan {
        Plan::new(self, stamp, newer_than_ms)
    }

    /// Why L1 has no answer; for tuning.
    fn note_why(&self) {
        let endpoint = self.core.endpoints.get(self.key.endpoint());
        match self.core.l1.get(self.key, self.tags, self.started) {
            Ok(_) => endpoint.expired.add_one(),
            Err(Missing::Invalidated) => endpoint.invalidated.add_one(),
            Err(Missing::Absent) => endpoint.absent.add_one(),
            Err(Missing::NoLease) => {}
        }
    }
}

impl Tower for Request<'_> {
    type Found = Arc<Kept>;

    fn joinable(&self, stamp: &Stamp) -> bool {
        !self.is_ahead() && self.core.l1.stamps().hold(stamp, self.tags)
    }

    fn landed(&self) -> Option<Arc<Kept>> {
        self.look()
    }

    fn stamp(&self) -> Stamp {
        self.note_why();
        self.core.l1.stamps().take(self.tags, self.key.endpoint_stripe())
    }
}

/// A request that wants something newer than what is in L1.
struct Renewal<'a>(&'a Request<'a>);

impl Tower for Renewal<'_> {
    type Found = Arc<Kept>;

    fn joinable(&self, stamp: &Stamp) -> bool {
        self.0.joinable(stamp)
    }

    fn landed(&self) -> Option<Arc<Kept>> {
        None
    }

    fn stamp(&self) -> Stamp {
        self.0.core.l1.stamps().take(self.0.tags, self.0.key.endpoint_stripe())
    }
}
