//! The read as its client sees it: L1, or the flight that answers all who miss together. What a flight does is not here
//! (see `fetch`).

use std::{any::TypeId, sync::Arc, time::Duration};

use tracing::Instrument as _;

use crate::{
    detach::Detachable,
    entry::{Served, Tier},
    error::LoadError,
    fetch::{self, Plan},
    flight::{Admission, Admitted, Failure, Load, Waiter},
    key::Key,
    l1::Kept,
    loaded::Loaded,
    place::Place,
    policy::{Policy, Strategy},
    source::SourceError,
    stamps::Stamp,
    state::Core,
    subscribe::LEASE,
    tag::Tag,
};

/// What one client asks for.
#[derive(Clone, Copy)]
pub(crate) struct Request<'a> {
    pub(crate) core: &'a Arc<Core>,
    pub(crate) key: &'a Key,
    pub(crate) tags: &'a [Tag],
    pub(crate) policy: &'a Policy,
    /// The newest invalidation that the client knows of: it must not get anything older.
    pub(crate) after: Option<Place>,
    pub(crate) started: Duration,
    /// What is in L1 will not do: it is about to expire, and this loads it anew.
    pub(crate) renews: bool,
}

/// What became of a load in advance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Prefetched {
    Present,
    Loaded,
    Failed,
}

/// The load of `loader`, which is not called before the load begins.
pub(crate) fn untyped<E, L, F, Fut>(loader: F) -> Load
where
    E: Send + Sync + 'static,
    L: Into<Loaded>,
    F: FnOnce() -> Fut + Send + 'static,
    Fut: Future<Output = Result<L, E>> + Send + 'static,
{
    Box::pin(async move {
        let result = loader().await;
        result.map(Into::into).map_err(|error| Failure::Loader(Arc::new(error)))
    })
}

impl Request<'_> {
    pub(crate) async fn get_or_load<E, L, F, Fut>(&self, loader: F) -> Result<Served, LoadError<E>>
    where
        E: Send + Sync + 'static,
        L: Into<Loaded>,
        F: FnOnce() -> Fut + Send + 'static,
        Fut: Future<Output = Result<L, E>> + Send + 'static,
    {
        if matches!(self.policy.strategy, Strategy::Off | Strategy::Planned) {
            return self.without_tiers(loader).await;
        }
        if let Some(kept) = self.look() {
            let answer = self.answer(&kept);
            if kept.wants_refresh(self.started) {
                self.refresh(&kept, TypeId::of::<E>(), untyped(loader));
            }
            return Ok(answer);
        }
        let waiter = match self.admit(TypeId::of::<E>()) {
            Admitted::Found(kept) => return Ok(self.answer(&kept)),
            Admitted::Joined(waiter) => {
                self.core.context.counters.joined.add_one();
                waiter
            }
            Admitted::Leads(first, stamp) => {
                let mut result = first.waiter();
                let flight = fetch::run(Arc::clone(self.core), self.plan(stamp, 0), first, untyped(loader));
                let mut flight = Detachable::new(flight.in_current_span());
                tokio::select! {
                    biased;
                    () = &mut flight => {}
                    _ = result.wait_for(Option::is_some) => {}
                }
                result
            }
        };
        self.wait(waiter).await
    }

    /// What is cached, if anything is.
    pub(crate) async fn peek(&self) -> Option<Served> {
        match self.policy.strategy {
            Strategy::Off => return None,
            Strategy::Planned => {
                let entry = self.core.planned_entry(&self.key.readable()).await?;
                return Some(Served::new(Some(entry), Tier::L2));
            }
            _ => {}
        }
        if let Some(kept) = self.look() {
            return Some(Served::new(kept.entry.clone(), Tier::L1));
        }
        // The stamp first, as in a flight.
        let stamp = self.core.l1.stamps().take(self.tags, self.key.endpoint_stripe());
        fetch::peek(self.core, &self.plan(stamp, 0)).await
    }

    /// Fills the cache in advance; counts no lookup. What another client is loading is waited for.
    pub(crate) async fn prefetch(&self, load: Load) -> Prefetched {
        match self.policy.strategy {
            Strategy::Off => return Prefetched::Present,
            Strategy::Planned => {
                return match self.planned(|| load).await {
                    Ok(served) if served.tier == Tier::Db => Prefetched::Loaded,
                    Ok(_) => Prefetched::Present,
                    Err(_) => Prefetched::Failed,
                };
            }
            _ if self.look().is_some() => return Prefetched::Present,
            _ => {}
        }
        match self.admit(TypeId::of::<SourceError>()) {
            Admitted::Found(_) => Prefetched::Present,
            Admitted::Joined(mut waiter) => {
                // However it ends, it is not this load's doing.
                let _ = waiter.wait_for(Option::is_some).await;
                Prefetched::Present
            }
            Admitted::Leads(leader, stamp) => {
                let mut waiter = leader.waiter();
                fetch::run(Arc::clone(self.core), self.plan(stamp, 0), leader, load).await;
                self.core.context.counters.warmed.add_one();
                if matches!(&*waiter.borrow_and_update(), Some(Ok(_))) {
                    Prefetched::Loaded
                } else {
                    Prefetched::Failed
                }
            }
        }
    }

    /// The planned strategy, or no cache at all: the client loads for itself.
    async fn without_tiers<E, L, F, Fut>(&self, loader: F) -> Result<Served, LoadError<E>>
    where
        L: Into<Loaded>,
        F: FnOnce() -> Fut,
        Fut: Future<Output = Result<L, E>>,
    {
        let result = if self.policy.strategy == Strategy::Planned {
            self.planned(loader).await
        } else {
            let (result, _) = self.core.run_loader(self.key, loader()).await;
            result.map(|answer| Served::new(answer.into().value, Tier::Db))
        };
        self.count(result.as_ref().map_or(Tier::Db, |served| served.tier));
        result.map_err(|error| LoadError::Loader(Arc::new(error)))
    }

    /// One read as the plan's decorator does it: `GET`; on a miss load, then `SETEX`.
    async fn planned<E, L, F, Fut>(&self, loader: F) -> Result<Served, E>
    where
        L: Into<Loaded>,
        F: FnOnce() -> Fut,
        Fut: Future<Output = Result<L, E>>,
    {
        let name = self.key.readable();
        if let Some(entry) = self.core.planned_entry(&name).await {
            return Ok(Served::new(Some(entry), Tier::L2));
        }
        let (result, _) = self.core.run_loader(self.key, loader()).await;
        let answer: Loaded = result?.into();
        if let Some(entry) = answer.value.as_ref().filter(|_| self.core.may_keep(&answer)) {
            let ttl = answer.ttl.unwrap_or_else(|| self.policy.base_ttl());
            self.core.keep_planned(&name, entry, ttl).await;
        }
        Ok(Served::new(answer.value, Tier::Db))
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
        self.after.is_some_and(|place| !self.core.cursor.has_reached(place))
    }

    fn admit(&self, error_type: TypeId) -> Admitted<Arc<Kept>> {
        if self.policy.strategy == Strategy::CacheAside {
            self.core.flights.admit_alone(self.key, self)
        } else {
            self.core.flights.admit(self.key, error_type, self)
        }
    }

    fn answer(&self, kept: &Kept) -> Served {
        self.count(Tier::L1);
        self.core.sample_hit(self.key, kept);
        Served::new(kept.entry.clone(), Tier::L1)
    }

    /// Loads an entry anew that is about to expire; its readers go on being served from L1.
    fn refresh(&self, kept: &Kept, error_type: TypeId, load: Load) {
        let Ok(permit) = Arc::clone(&self.core.background).try_acquire_owned() else {
            // Another reader may try again.
            kept.refreshing.store(false, std::sync::atomic::Ordering::Relaxed);
            return;
        };
        let renewal = Self { renews: true, ..*self };
        if let Admitted::Leads(leader, stamp) = renewal.admit(error_type) {
            self.core.context.counters.refreshed.add_one();
            let plan = self.plan(stamp, kept.times.created_ms);
            let flight = fetch::run(Arc::clone(self.core), plan, leader, load);
            tokio::spawn(async move {
                flight.await;
                drop(permit);
            });
        }
    }

    async fn wait<E: Send + Sync + 'static>(&self, mut waiter: Waiter) -> Result<Served, LoadError<E>> {
        let result = match waiter.wait_for(Option::is_some).await {
            Ok(result) => result.clone(),
            Err(_) => None,
        };
        let tier = match &result {
            Some(Ok(served)) => served.tier,
            _ => Tier::Db,
        };
        self.count(tier);
        self.note_miss(tier);
        match result {
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
    }

    fn note_miss(&self, tier: Tier) {
        if tier == Tier::Stale {
            self.core.context.counters.stale_served.add_one();
        }
    }

    fn plan(&self, stamp: Stamp, newer_than_ms: u64) -> Plan {
        let always = [self.key.endpoint_tag(), Tag::all()];
        Plan {
            key: self.key.clone(),
            tags: self.tags.to_vec(),
            // In L1 the endpoint's stripe and the epoch stand for these two.
            dependencies: self.tags.iter().cloned().chain(always).collect(),
            policy: *self.policy,
            stamp,
            newer_than_ms,
            after: self.after,
            endpoint: self.core.endpoints.get(self.key.endpoint()),
        }
    }
}

impl Admission for Request<'_> {
    type Found = Arc<Kept>;

    /// Without a lease, the stamp may be current only because nobody told this replica: then a flight that began long
    /// ago is as old as what L1 holds.
    fn may_join(&self, stamp: &Stamp, began: Duration) -> bool {
        let l1 = &self.core.l1;
        let is_young = || self.started.saturating_sub(began) < LEASE;
        !self.is_ahead() && l1.stamps().hold(stamp, self.tags) && (l1.is_open(self.started) || is_young())
    }

    fn now(&self) -> Duration {
        self.started
    }

    fn look_again(&self) -> Option<Arc<Kept>> {
        if self.renews { None } else { self.look() }
    }

    fn stamp(&self) -> Stamp {
        self.core.l1.stamps().take(self.tags, self.key.endpoint_stripe())
    }
}
