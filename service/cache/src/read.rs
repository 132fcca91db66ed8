//! The read: L1, then one flight for all who miss, which looks in L2, loads, and fills both. The order of its steps is what
//! keeps old data out; each step says why it stands where it stands.

use std::{any::TypeId, future::Future, sync::Arc, time::Duration};

use tracing::Instrument as _;

use crate::{
    clock::as_micros,
    entry::{Entry, Served, Tier},
    error::LoadError,
    flight::{Arrival, Boarding, LoaderFailure, Outcome, Ticket, Tower},
    key::Key,
    l2::{
        L2, Nonce,
        codec::{Identity, Stored},
    },
    policy::Policy,
    stamps::Stamp,
    state::Core,
    tag::Tag,
};

/// What one client asks for.
struct Request<'a> {
    core: &'a Core,
    key: &'a Key,
    tags: &'a [Tag],
    started: Duration,
}

/// What a flight needs after its client may be gone.
struct Plan {
    key: Key,
    tags: Vec<Tag>,
    policy: Policy,
    /// Taken before anything is read.
    stamp: Stamp,
}

/// The generations to store under, or nothing if Redis is not to be used.
type StoreUnder = Option<Vec<Nonce>>;

impl Core {
    pub(crate) async fn get_or_load<E, F, Fut>(
        self: &Arc<Self>,
        key: &Key,
        tags: &[Tag],
        policy: &Policy,
        loader: F,
    ) -> Result<Served, LoadError<E>>
    where
        E: Send + Sync + 'static,
        F: FnOnce() -> Fut + Send + 'static,
        Fut: Future<Output = Result<Option<Entry>, E>> + Send + 'static,
    {
        let started = self.context.now();
        let request = Request {
            core: self,
            key,
            tags,
            started,
        };
        if let Some(entry) = request.landed() {
            return Ok(request.answer(entry));
        }
        let arrival = match self.flights.board(key, TypeId::of::<E>(), &request) {
            Boarding::Landed(entry) => return Ok(request.answer(entry)),
            Boarding::Joined(arrival) => {
                self.context.counters.joined.add_one();
                arrival
            }
            Boarding::Started(ticket, stamp) => {
                let arrival = ticket.arrival();
                let plan = request.plan(*policy, stamp);
                // Its own task: a client that goes away must not take the load of the others along.
                tokio::spawn(fly(Arc::clone(self), plan, ticket, loader).in_current_span());
                arrival
            }
        };
        request.wait(arrival).await
    }
}

impl Request<'_> {
    fn answer(&self, entry: Entry) -> Served {
        self.count(Tier::L1);
        Served {
            entry: Some(entry),
            tier: Tier::L1,
        }
    }

    async fn wait<E: Send + Sync + 'static>(&self, mut arrival: Arrival) -> Result<Served, LoadError<E>> {
        let outcome = match arrival.wait_for(Option::is_some).await {
            Ok(outcome) => outcome.clone(),
            Err(_) => None,
        };
        self.count(
            outcome
                .as_ref()
                .and_then(|outcome| outcome.as_ref().ok())
                .map_or(Tier::Db, |served| served.tier),
        );
        match outcome {
            Some(Ok(served)) => Ok(served),
            // Only callers who expect this type joined the flight.
            Some(Err(LoaderFailure(error))) => Err(error.downcast().map_or(LoadError::Aborted, LoadError::Loader)),
            None => Err(LoadError::Aborted),
        }
    }

    fn count(&self, tier: Tier) {
        let context = &self.core.context;
        context.observe(|observer| observer.lookup(self.key.endpoint(), tier, context.since(self.started)));
    }

    fn plan(&self, policy: Policy, stamp: Stamp) -> Plan {
        Plan {
            key: self.key.clone(),
            tags: self.tags.to_vec(),
            policy,
            stamp,
        }
    }
}

impl Tower for Request<'_> {
    type Found = Entry;

    fn joinable(&self, stamp: &Stamp) -> bool {
        self.core.l1.stamps().hold(stamp, self.tags)
    }

    fn landed(&self) -> Option<Entry> {
        self.core.l1.get(self.key, self.tags, self.started)
    }

    fn stamp(&self) -> Stamp {
        self.core.l1.stamps().take(self.tags)
    }
}

/// One flight, from take-off (the stamp is taken) to landing.
async fn fly<E, F, Fut>(core: Arc<Core>, plan: Plan, ticket: Ticket, loader: F)
where
    E: Send + Sync + 'static,
    F: FnOnce() -> Fut,
    Fut: Future<Output = Result<Option<Entry>, E>>,
{
    let outcome = core.fetch(&plan, loader).await;
    ticket.land(outcome);
}

impl Core {
    async fn fetch<E, F, Fut>(&self, plan: &Plan, loader: F) -> Outcome
    where
        E: Send + Sync + 'static,
        F: FnOnce() -> Fut,
        Fut: Future<Output = Result<Option<Entry>, E>>,
    {
        let dependencies = with_all(&plan.tags);
        let nonces = match self.look_in_l2(plan, &dependencies).await {
            Ok(served) => return Ok(served),
            Err(nonces) => nonces,
        };
        // Starts after the generations were read: what it loads is at least as new as they are.
        let Some(stored) = self.load(plan, loader).await? else {
            return Ok(Served {
                entry: None,
                tier: Tier::Db,
            });
        };
        if let (Some(l2), Some(nonces)) = (&self.l2, nonces) {
            self.store_in_l2(l2, plan, &dependencies, &nonces, &stored).await;
        }
        Ok(self.fill_l1(plan, stored, Tier::Db, 0))
    }

    /// The answer out of Redis, or the generations under which a load may be stored there.
    async fn look_in_l2(&self, plan: &Plan, dependencies: &[Tag]) -> Result<Served, StoreUnder> {
        // After the stamp: an invalidation that failed adds its tags to the set before it bumps.
        let Some(l2) = self.l2.as_ref().filter(|_| !self.bypass.covers(dependencies)) else {
            return Err(None);
        };
        let Ok(found) = l2.read(&plan.key, dependencies).await else {
            return Err(None);
        };
        if let Some((stored, age_ms)) = found.stored.and_then(|stored| self.young_enough(stored)) {
            return Ok(self.fill_l1(plan, stored, Tier::L2, age_ms));
        }
        match found.nonces {
            Some(nonces) => Err(Some(nonces)),
            None => Err(l2.create_nonces(dependencies).await.ok()),
        }
    }

    /// The entry and its age, if it may still be served. A clock that is behind the writer's sees age 0.
    fn young_enough(&self, stored: Stored) -> Option<(Stored, u64)> {
        let age_ms = self.context.clock.wall_ms().saturating_sub(stored.created_ms);
        (age_ms < stored.lifetime.soft_ms).then_some((stored, age_ms))
    }

    async fn load<E, F, Fut>(&self, plan: &Plan, loader: F) -> Result<Option<Stored>, LoaderFailure>
    where
        E: Send + Sync + 'static,
        F: FnOnce() -> Fut,
        Fut: Future<Output = Result<Option<Entry>, E>>,
    {
        let started = self.context.now();
        let result = loader().await;
        let elapsed = self.context.since(started);
        self.context.counters.loads.add_one();
        self.context
            .observe(|observer| observer.loaded(plan.key.endpoint(), elapsed, result.is_ok()));
        let entry = result.map_err(|error| LoaderFailure(Arc::new(error)))?;
        Ok(entry.map(|entry| Stored {
            entry,
            created_ms: self.context.clock.wall_ms(),
            load_us: as_micros(elapsed),
            lifetime: plan.policy.lifetime(rand::random()),
        }))
    }

    async fn store_in_l2(&self, l2: &L2, plan: &Plan, tags: &[Tag], nonces: &[Nonce], stored: &Stored) {
        let identity = Identity {
            key: plan.key.as_str(),
            tags,
            nonces,
        };
        // A failure is counted and logged where it happens; the client has its answer either way.
        if let Ok(false) = l2.store(identity, &plan.key, stored).await {
            self.context.counters.fills_rejected.add_one();
            self.context
                .observe(|observer| observer.fill_rejected(plan.key.endpoint()));
        }
    }

    /// The only way into L1. The stamp is the one from before the first read, so that a race since then kills the entry.
    fn fill_l1(&self, plan: &Plan, stored: Stored, tier: Tier, age_ms: u64) -> Served {
        let remaining = Duration::from_millis(stored.lifetime.soft_ms.saturating_sub(age_ms));
        let fresh_until = self.context.now().saturating_add(remaining);
        self.l1
            .fill(&plan.key, stored.entry.clone(), plan.stamp.clone(), fresh_until);
        Served {
            entry: Some(stored.entry),
            tier,
        }
    }
}

/// In Redis every entry also depends on the tag `all`; in L1 the epoch does that.
fn with_all(tags: &[Tag]) -> Vec<Tag> {
    tags.iter().cloned().chain([Tag::all()]).collect()
}
