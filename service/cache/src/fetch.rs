//! A flight: looks in L2, takes the key's lock, loads, and fills both tiers. The order of its steps is what keeps old
//! data out; each step says why it stands where it stands.

use std::{pin::pin, sync::Arc, time::Duration};

use tokio::time::{Instant, sleep, timeout};

use crate::{
    clock::as_micros,
    context::Step,
    endpoints::Endpoint,
    entry::{Entry, Served, Tier},
    flight::{Failure, FlightResult, Leader, Load},
    key::Key,
    l1::{Kept, Times},
    l2::{
        Found, L2, LockRequest,
        codec::{Identity, Nonce, Stored},
    },
    loaded::Loaded,
    place::Place,
    policy::{Lifetime, Policy, Strategy},
    stamps::Stamp,
    state::Core,
    tag::Tag,
};

/// Who lost the race for a lock looks again after this; doubled each time up to the limit, and spread at random by
/// half.
const FIRST_POLL: Duration = Duration::from_millis(2);
const LAST_POLL: Duration = Duration::from_millis(20);

/// A lock is waited for through this many of its lives: its holder's, and that of whoever takes over from a dead
/// holder.
const LOCK_LIVES: u32 = 2;

/// What a flight needs after its client may be gone.
pub(crate) struct Plan {
    pub(crate) key: Key,
    pub(crate) tags: Vec<Tag>,
    /// The tags with those that every answer carries: what the entry in Redis depends on.
    pub(crate) dependencies: Vec<Tag>,
    pub(crate) policy: Policy,
    /// Taken before anything is read.
    pub(crate) stamp: Stamp,
    /// Entries that are not younger will not do.
    pub(crate) newer_than_ms: u64,
    /// The newest invalidation that the client knows of.
    pub(crate) after: Option<Place>,
    pub(crate) endpoint: Arc<Endpoint>,
}

/// What was found out before the load.
#[derive(Default)]
struct LoadContext {
    /// The generations to store under, or nothing if Redis is not to be used.
    nonces: Option<Vec<Nonce>>,
    /// The lock, if this flight holds it.
    lock: Option<LockRequest>,
    /// An entry that is valid but aged.
    aged: Option<Stored>,
    /// Redis failed, so that nobody knows how many load the same.
    redis_failed: bool,
}

/// What looking in L2 came to: an answer, or what the load has to know.
enum L2Lookup {
    Found(Served),
    Load(LoadContext),
}

/// Runs one flight, from the moment its stamp is taken to its result.
pub(crate) async fn run(core: Arc<Core>, plan: Plan, leader: Leader, load: Load) {
    core.context.reach(Step::StampTaken).await;
    let flight = Flight {
        core: &core,
        plan: &plan,
        leader: Some(&leader),
    };
    let result = flight.result(load).await;
    leader.complete(result);
}

/// Looks in L2 and nowhere else, with the stamp of `plan`, which was taken before.
pub(crate) async fn peek(core: &Core, plan: &Plan) -> Option<Served> {
    let flight = Flight {
        core,
        plan,
        leader: None,
    };
    let found = flight.usable_l2()?.read(&plan.key, &plan.dependencies).await.ok()?;
    match flight.judge(found.stored) {
        Judged::Fresh(served) => Some(served),
        Judged::Aged(_) | Judged::Nothing => None,
    }
}

struct Flight<'a> {
    core: &'a Core,
    plan: &'a Plan,
    /// Whom to tell before the end, if somebody waits.
    leader: Option<&'a Leader>,
}

impl Flight<'_> {
    async fn result(&self, load: Load) -> FlightResult {
        let known = match self.look_in_l2().await {
            L2Lookup::Found(served) => return Ok(served),
            L2Lookup::Load(known) => known,
        };
        // Starts after the generations were read: what it loads is at least as new as they are.
        self.core.context.reach(Step::LoadBegins).await;
        let result = self.load_in_time(&known, load).await;
        self.core.context.reach(Step::LoadEnded).await;
        match result {
            Ok(Fresh::ToKeep(stored)) => Ok(self.keep(&known, stored).await),
            Ok(Fresh::ToAnswer(entry)) => {
                self.release(&known).await;
                Ok(Served::new(entry, Tier::Db))
            }
            Err(failure) => {
                self.release(&known).await;
                self.aged(&known).ok_or(failure)
            }
        }
    }

    /// The answer out of Redis, or what the load has to know.
    async fn look_in_l2(&self) -> L2Lookup {
        // After the stamp: an invalidation that failed adds its tags to the bypass before it bumps.
        let Some(l2) = self.usable_l2() else {
            return L2Lookup::Load(LoadContext::default());
        };
        let Ok(found) = l2.read(&self.plan.key, &self.plan.dependencies).await else {
            return L2Lookup::Load(LoadContext::without_redis());
        };
        self.core.context.reach(Step::L2Read).await;
        match self.judge(found.stored) {
            Judged::Fresh(served) => L2Lookup::Found(served),
            Judged::Aged(aged) => self.take_lock(l2, Some(aged)).await,
            Judged::Nothing => self.take_lock(l2, None).await,
        }
    }

    fn usable_l2(&self) -> Option<&L2> {
        let l2 = self.core.l2.as_ref()?;
        (!self.core.bypass.covers(&self.plan.dependencies)).then_some(l2)
    }

    /// Has one replica load for all. Whoever does not get the lock waits for the other's entry, for a time.
    async fn take_lock(&self, l2: &L2, aged: Option<Stored>) -> L2Lookup {
        let lock_ttl = self.plan.endpoint.lock_ttl();
        let shares = self.plan.policy.fleet_lock && self.plan.policy.strategy != Strategy::CacheAside;
        let lock = shares.then(|| LockRequest::new(lock_ttl));
        let mut wait = LockWait::new(lock_ttl * LOCK_LIVES);
        loop {
            let begun = l2
                .begin_load(&self.plan.key, &self.plan.dependencies, lock.as_ref())
                .await;
            let Ok(Found { stored, nonces, locked }) = begun else {
                return L2Lookup::Load(LoadContext::without_redis());
            };
            let held = lock.as_ref().filter(|_| locked);
            if let Judged::Fresh(served) = self.judge(stored) {
                if let Some(held) = held {
                    l2.release(&self.plan.key, held).await;
                }
                return L2Lookup::Found(served);
            }
            if held.is_some() || lock.is_none() || !wait.pause(self.core).await {
                return L2Lookup::Load(LoadContext {
                    nonces,
                    lock: held.cloned(),
                    aged,
                    redis_failed: false,
                });
            }
        }
    }

    fn judge(&self, stored: Option<Stored>) -> Judged {
        let Some(stored) = stored.filter(|stored| stored.created_ms > self.plan.newer_than_ms) else {
            return Judged::Nothing;
        };
        // A clock that is behind the writer's sees age 0.
        let age_ms = self.core.context.clock.wall_ms().saturating_sub(stored.created_ms);
        if age_ms < stored.lifetime.soft_ms {
            Judged::Fresh(self.fill_l1(stored, Tier::L2, age_ms))
        } else if age_ms < stored.lifetime.hard_ms {
            Judged::Aged(stored)
        } else {
            Judged::Nothing
        }
    }

    /// Loads within the policy's time-outs. After the soft one the clients get an aged answer, if there is one, and the
    /// load goes on; after the hard one it is given up.
    async fn load_in_time(&self, known: &LoadContext, load: Load) -> Result<Fresh, Failure> {
        let mut load = pin!(async {
            let load = self.load(known, load);
            match self.plan.policy.hard_timeout {
                Some(limit) => timeout(limit, load).await.unwrap_or(Err(Failure::TimedOut(limit))),
                None => load.await,
            }
        });
        if let Some(limit) = self.plan.policy.soft_timeout
            && let Some(aged) = self.aged(known)
        {
            match timeout(limit, &mut load).await {
                Ok(result) => return result,
                Err(_) => {
                    if let Some(leader) = self.leader {
                        leader.announce(Ok(aged));
                    }
                }
            }
        }
        load.await
    }

    async fn load(&self, known: &LoadContext, load: Load) -> Result<Fresh, Failure> {
        // The semaphore is never closed; were it, loads would run unbounded rather than not at all.
        let _place = if known.redis_failed {
            self.core.bulkhead.acquire().await.ok()
        } else {
            None
        };
        let (result, elapsed) = self.core.run_loader(&self.plan.key, load).await;
        let loaded = result?;
        Ok(match self.lifetime_of(&loaded) {
            Some(lifetime) => Fresh::ToKeep(Stored {
                entry: loaded.value,
                created_ms: self.core.context.clock.wall_ms(),
                load_us: as_micros(elapsed),
                lifetime,
            }),
            None => Fresh::ToAnswer(loaded.value),
        })
    }

    /// How long what was loaded is kept; `None` if it is not.
    fn lifetime_of(&self, loaded: &Loaded) -> Option<Lifetime> {
        if !self.core.may_keep(loaded) {
            return None;
        }
        let policy = &self.plan.policy;
        match &loaded.value {
            Some(_) => Some(policy.lifetime(loaded.ttl, rand::random())),
            None => policy.negative_lifetime(loaded.ttl, rand::random()),
        }
    }

    /// Fills both tiers with what was loaded.
    async fn keep(&self, known: &LoadContext, stored: Stored) -> Served {
        if let (Some(l2), Some(nonces)) = (&self.core.l2, &known.nonces) {
            let identity = Identity {
                key: self.plan.key.as_str(),
                tags: &self.plan.dependencies,
                nonces,
            };
            // A failure is counted and logged where it happens; the client has its answer either way.
            if let Ok(false) = l2.store(identity, &self.plan.key, &stored, known.lock.as_ref()).await {
                self.note_rejected();
            }
        }
        self.core.context.reach(Step::L2Stored).await;
        let served = self.fill_l1(stored, Tier::Db, 0);
        self.core.context.reach(Step::L1Filled).await;
        served
    }

    fn note_rejected(&self) {
        self.core.context.counters.fills_rejected.add_one();
        let endpoint = self.plan.key.endpoint();
        self.core.context.observe(|observer| observer.fill_rejected(endpoint));
    }

    async fn release(&self, known: &LoadContext) {
        if let (Some(l2), Some(lock)) = (&self.core.l2, &known.lock) {
            l2.release(&self.plan.key, lock).await;
        }
    }

    /// The only way into L1. The stamp is the one from before the first read, so that a race since then kills the
    /// entry.
    fn fill_l1(&self, stored: Stored, tier: Tier, age_ms: u64) -> Served {
        let times = self.times(&stored, age_ms);
        self.core
            .l1
            .fill(&self.plan.key, stored.entry.clone(), self.plan.stamp.clone(), times);
        Served::new(stored.entry, tier)
    }

    fn times(&self, stored: &Stored, age_ms: u64) -> Times {
        let now = self.core.context.now();
        let in_ms = |limit_ms: u64| now.saturating_add(Duration::from_millis(limit_ms.saturating_sub(age_ms)));
        let fresh_until = in_ms(stored.lifetime.soft_ms);
        let load = Duration::from_micros(stored.load_us);
        let soft = Duration::from_millis(stored.lifetime.soft_ms);
        let before_end = self.plan.policy.refresh_lead(load, soft, rand::random());
        Times {
            created_ms: stored.created_ms,
            fresh_until,
            refresh_from: fresh_until.saturating_sub(before_end),
            aged_until: in_ms(stored.lifetime.hard_ms),
        }
    }

    /// An answer that is too old but was not invalidated: only if nothing it depends on was invalidated since the
    /// flight started.
    fn aged(&self, known: &LoadContext) -> Option<Served> {
        let from_l1 = self
            .kept()
            .filter(|kept| self.core.context.now() < kept.times.aged_until);
        let entry = match (from_l1, &known.aged) {
            (Some(kept), _) => kept.entry.clone(),
            (None, Some(stored)) if self.core.l1.stamps().are_at(&self.plan.stamp) => stored.entry.clone(),
            _ => return None,
        };
        Some(Served::new(entry, Tier::Stale))
    }

    fn kept(&self) -> Option<Arc<Kept>> {
        let (l1, plan) = (&self.core.l1, &self.plan);
        if plan.after.is_some_and(|place| !self.core.cursor.has_reached(place)) {
            // Something that the client knows of was not applied here yet.
            return None;
        }
        if plan.policy.serves_disconnected {
            return l1.get_without_lease(&plan.key, &plan.tags).ok();
        }
        l1.get(&plan.key, &plan.tags, self.core.context.now()).ok()
    }
}

/// What a load brought.
enum Fresh {
    ToKeep(Stored),
    /// For those who wait, and nobody after them.
    ToAnswer(Option<Entry>),
}

enum Judged {
    Fresh(Served),
    Aged(Stored),
    Nothing,
}

impl LoadContext {
    fn without_redis() -> Self {
        Self {
            redis_failed: true,
            ..Self::default()
        }
    }
}

/// How long, and in which steps, a lock is waited for.
struct LockWait {
    until: Instant,
    next: Duration,
    waited: bool,
}

impl LockWait {
    fn new(limit: Duration) -> Self {
        Self {
            until: Instant::now() + limit,
            next: FIRST_POLL,
            waited: false,
        }
    }

    /// Waits a little; false when it is at its end.
    async fn pause(&mut self, core: &Core) -> bool {
        if Instant::now() >= self.until {
            return false;
        }
        if !self.waited {
            self.waited = true;
            core.context.counters.lock_waits.add_one();
        }
        sleep(self.next.mul_f64(rand::random_range(0.5..1.5))).await;
        self.next = (self.next * 2).min(LAST_POLL);
        true
    }
}

impl Core {
    /// Runs a loader, and notes and returns how long it took.
    pub(crate) async fn run_loader<L, E>(
        &self,
        key: &Key,
        load: impl Future<Output = Result<L, E>>,
    ) -> (Result<L, E>, Duration) {
        let started = self.context.now();
        let result = load.await;
        let elapsed = self.context.since(started);
        self.context.counters.loads.add_one();
        self.endpoints.get(key.endpoint()).note_load(elapsed);
        (result, elapsed)
    }

    /// Whether what was loaded is to be kept at all: its loader may not want it, and one entry must not take the place
    /// of thousands, nor hold up everybody's connection to Redis.
    pub(crate) fn may_keep(&self, loaded: &Loaded) -> bool {
        let bytes = loaded.value.as_ref().map_or(0, |entry| entry.body.len());
        let is_too_large = bytes > self.max_entry_bytes;
        if is_too_large {
            self.context.counters.entries_too_large.add_one();
        }
        loaded.is_kept && !is_too_large
    }
}
