//! A two-tier cache for answers that must not be out of date: L1 in this process, L2 in Redis, invalidation by tags
//! across replicas.
//!
//! # Promise
//! A read that starts on a replica after that replica has processed an invalidation never returns data from before the
//! write behind it. [`TieredCache::invalidate`] returns after its own replica has processed it; the others follow by a
//! message. No lock and no comparison of two machines' clocks is part of the argument:
//!
//! - Every tag has a *generation* in Redis, a random nonce that an invalidation replaces. An L2 entry is valid only while
//!   all of its tags have the nonces that were current *before* it was loaded.
//! - Every tag has a *stamp* in each process, a counter that an invalidation raises. An L1 entry is served only while the
//!   counters are where they were before its load began. A load that races with an invalidation is dead on arrival.
//! - A client joins a running load only if that load began with the current stamps.
//! - While invalidations of other replicas may be missed, L1 is not served, and what it held is given up.
//!
//! Redis is never needed for an answer: if it fails, reads go to the loader, one at a time for each key.
//!
//! # Example
//! ```
//! use std::{convert::Infallible, time::Duration};
//! use tiered_cache::{Entry, Key, Policy, Tag, TieredCache, Tier};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // With Redis: `.redis(RedisSettings::new("redis://127.0.0.1:6379"))`.
//! let cache = TieredCache::builder("shop").l1_capacity_bytes(16 << 20).build().await?;
//! let policy = Policy::ttl(Duration::from_mins(5));
//!
//! // The key holds every input that changes the answer; the tags name what it depends on.
//! let key = Key::new("product_page").part(42).part("en");
//! let tags = [Tag::new("product:42"), Tag::new("prices")];
//! let load = || async { Ok::<_, Infallible>(Some(Entry::new("{\"id\":42}", 1))) };
//!
//! assert_eq!(cache.get_or_load(&key, &tags, &policy, load).await?.tier, Tier::Db);
//! assert_eq!(cache.get_or_load(&key, &tags, &policy, load).await?.tier, Tier::L1);
//!
//! // After the transaction that changed the prices:
//! cache.invalidate(&[Tag::new("prices")]).await?;
//! assert_eq!(cache.get_or_load(&key, &tags, &policy, load).await?.tier, Tier::Db);
//! # cache.shutdown().await;
//! # Ok(())
//! # }
//! ```
//!
//! # What else it does
//! One of several replicas loads for all ([`Policy::with_fleet_lock`]); answers are loaded anew before they expire
//! ([`Policy::with_early_refresh`]); an aged answer is better than an error ([`Policy::with_hard_ttl`]); that there is no such
//! thing can be cached too ([`Policy::with_negative_ttl`]); a client that wrote elsewhere reads its own write
//! ([`TieredCache::get_or_load_after`]); a durable outbox is relayed ([`TieredCache::relay`]); samples of hits are checked
//! against the database ([`CacheBuilder::sampler`]). The protocol, its proof and what it costs are in `docs/CACHE.md`.

mod arms;
mod builder;
mod bypass;
mod clock;
mod endpoints;
mod entry;
mod error;
mod fetch;
mod flight;
#[cfg(test)]
mod interleaving;
mod invalidate;
mod key;
mod l1;
mod l2;
mod observer;
mod pattern;
mod pilot;
mod planned;
mod policy;
mod popularity;
mod read;
mod relay;
mod route;
mod stamps;
mod state;
mod stats;
mod subscribe;
mod sync;
mod tag;
mod tuning;
mod upkeep;
mod verify;
mod warm;

use std::{fmt, num::NonZeroUsize, sync::Arc};

pub use crate::{
    arms::{Arm, ArmStats, Experiment},
    builder::{CacheBuilder, RedisSettings},
    clock::{Clock, ManualClock, SystemClock},
    entry::{Entry, Flushed, Invalidated, Served, Tier},
    error::{BuildError, InvalidateError, LoadError, RedisFailure, WriteThroughError},
    key::Key,
    l2::Memory,
    observer::Observer,
    policy::{Policy, Strategy, UnknownStrategy},
    relay::{Outbox, OutboxRow},
    route::{KeyParts, Route},
    stats::Stats,
    tag::Tag,
    tuning::{Tuning, TuningStep},
    verify::{Source, SourceError, Verified},
    warm::{Prediction, Warmed},
};

/// The cache. Cloning shares it; the background tasks end with the last clone, or with [`shutdown`](Self::shutdown).
#[derive(Clone)]
pub struct TieredCache {
    core: Arc<state::Core>,
    tasks: Arc<upkeep::Tasks>,
    tuning_log: Arc<tuning::TuningLog>,
}

impl TieredCache {
    /// Begins a cache whose Redis keys and channel all start with `namespace` (1 to 64 characters out of `A-Z a-z 0-9 _ - .`).
    /// Replicas of one service share a namespace; everything else must have its own.
    pub fn builder(namespace: impl Into<String>) -> CacheBuilder {
        CacheBuilder::new(namespace.into())
    }

    /// The answer to `key`: from L1, from Redis, or from `loader`, which runs once for all clients that miss together.
    ///
    /// The caller guarantees that `tags` are always the same for one key (other tags are a miss), that `key` holds every
    /// input that changes the answer, and that `loader` reads from the primary of its database. `Ok(None)` from the loader
    /// means that there is no such thing; it is shared with waiting clients, and cached if the policy says so. The loader
    /// runs in its own task and to its end, whether or not anyone still waits.
    ///
    /// A failing Redis is never an error here.
    pub async fn get_or_load<E, F, Fut>(
        &self,
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
        self.get_or_load_after(None, key, tags, policy, loader).await
    }

    /// As [`get_or_load`](Self::get_or_load), for a client that knows of an invalidation by its number
    /// ([`Invalidated::seq`]), because it made the write behind it on another replica: it gets nothing older, whether or not
    /// the message has arrived here.
    pub async fn get_or_load_after<E, F, Fut>(
        &self,
        after_seq: Option<u64>,
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
        let request = read::Request {
            core: &self.core,
            key,
            tags,
            policy,
            after_seq,
            started: self.core.context.start_of_read(policy.arm.is_some()),
        };
        request.get_or_load(loader).await
    }

    /// Ends every answer that depends on one of `tags`. Must be called after the commit of the write behind it.
    ///
    /// When it returns, this replica serves nothing from before, also when it returns an error: then Redis did not take it,
    /// and the other replicas have not heard of it yet.
    pub async fn invalidate(&self, tags: &[Tag]) -> Result<Invalidated, InvalidateError> {
        self.core.invalidate(tags).await
    }

    /// Write-through: invalidates `tags`, then loads `key` anew, so that the next reader finds it. The loader runs after the
    /// invalidation; what the writer holds in its hands is never stored, because a slower writer would store something older.
    pub async fn write_through<E, F, Fut>(
        &self,
        key: &Key,
        tags: &[Tag],
        policy: &Policy,
        loader: F,
    ) -> Result<(Invalidated, Served), WriteThroughError<E>>
    where
        E: Send + Sync + 'static,
        F: FnOnce() -> Fut + Send + 'static,
        Fut: Future<Output = Result<Option<Entry>, E>> + Send + 'static,
    {
        let invalidated = self.invalidate(tags).await?;
        let served = self
            .get_or_load_after(invalidated.seq, key, tags, policy, loader)
            .await?;
        Ok((invalidated, served))
    }

    /// Empties by pattern: a glob over `endpoint:part:part`. Whole endpoints end, because generations exist for endpoints and
    /// not for keys: those that the pattern could match. Then their memory in Redis is freed, some hundred keys at a time.
    ///
    /// To empty by what changed, [`invalidate`](Self::invalidate) its tag; to empty one endpoint or everything,
    /// [`Tag::endpoint`] or [`Tag::all`].
    pub async fn flush_matching(&self, pattern: &str) -> Result<Flushed, InvalidateError> {
        self.core.flush_matching(pattern).await
    }

    /// Deletes entries of [`Strategy::Planned`] by pattern over `endpoint:part:part`; returns how many.
    pub async fn delete_planned(&self, pattern: &str) -> Result<u64, RedisFailure> {
        self.core.delete_planned(pattern).await
    }

    /// Relays committed invalidations out of `outbox` in the background: those that their writers could not bring to Redis,
    /// and the newest ones once more when Redis was started anew. Every replica may relay.
    pub fn relay<O: Outbox>(&self, outbox: O) {
        self.tasks
            .add(builder::spawn(relay::run(Arc::clone(&self.core), outbox)));
    }

    /// Loads what is not there out of `keys`, so many at a time. For the start; returns when it is done.
    pub async fn warm(&self, source: &Arc<dyn Source>, keys: Vec<Key>, concurrency: NonZeroUsize) -> Warmed {
        self.core.warm(source, keys, concurrency).await
    }

    /// Loads popular keys whose answers ended: one round of what [`CacheBuilder::predictive_warming`] does each second.
    pub async fn warm_popular(&self, source: &Arc<dyn Source>, prediction: Prediction) -> Warmed {
        self.core.warm_popular(source, prediction).await
    }

    /// Compares up to `count` cached answers with fresh loads, and removes those that differ and still do a second later.
    pub async fn verify(&self, source: &Arc<dyn Source>, count: usize) -> Verified {
        self.core.verify(source, count).await
    }

    /// What tuning did of late, oldest first.
    pub fn tuning_steps(&self) -> Vec<TuningStep> {
        self.tuning_log.steps()
    }

    /// The number of the newest invalidation that was applied here.
    pub fn last_seq(&self) -> u64 {
        self.core.cursor.seq()
    }

    /// Numbers for operators.
    pub fn stats(&self) -> Stats {
        self.core.stats()
    }

    /// Stops the background tasks and waits until they are gone. Reads and invalidations go on working; with Redis, L1 is
    /// not served any more, because invalidations of other replicas no longer arrive.
    pub async fn shutdown(&self) {
        self.tasks.stop().await;
    }
}

impl fmt::Debug for TieredCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TieredCache")
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}
