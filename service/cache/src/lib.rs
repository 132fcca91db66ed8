//! A two-tier cache for answers that must not be out of date: L1 in this process (moka), L2 in Redis, invalidation by tags
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
//! # Simple where it is safe
//! These parts of the protocol have a simple form now, which costs misses and never freshness:
//!
//! - A gap in the messages, or any other doubt, gives up all of L1; the log is written but not replayed yet.
//! - Instead of a lease that every hit checks, the subscriber feels its connection's pulse and closes L1 when there is
//!   none: at most one second after the connection died, if this process gets to run.
//! - An invalidation that Redis did not take is repeated from memory while the process lives; a durable record (outbox) is
//!   the caller's. Until then other replicas do not know of it.
//!
//! Still to come: the lock that lets one of several replicas load, early refresh, entries for "there is no such thing",
//! serving aged answers when the loader fails ([`Tier::Stale`]), and a bound on the loads that run side by side while Redis
//! is away.

mod builder;
mod bypass;
mod clock;
mod entry;
mod error;
mod flight;
mod invalidate;
mod key;
mod l1;
mod l2;
mod observer;
mod policy;
mod read;
mod stamps;
mod state;
mod stats;
mod subscribe;
mod tag;
mod upkeep;

use std::{fmt, sync::Arc};

pub use crate::{
    builder::{CacheBuilder, RedisSettings},
    clock::{Clock, ManualClock, SystemClock},
    entry::{Entry, Invalidated, Served, Tier},
    error::{BuildError, InvalidateError, LoadError, RedisFailure},
    key::Key,
    observer::Observer,
    policy::Policy,
    stats::Stats,
    tag::Tag,
};

/// The cache. Cloning shares it; the background tasks end with the last clone, or with [`shutdown`](Self::shutdown).
#[derive(Clone)]
pub struct TieredCache {
    core: Arc<state::Core>,
    tasks: Arc<upkeep::Tasks>,
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
    /// means that there is no such thing; it is shared with waiting clients and not cached. The loader runs in its own task
    /// and to its end, whether or not anyone still waits.
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
        self.core.get_or_load(key, tags, policy, loader).await
    }

    /// Ends every answer that depends on one of `tags`. Must be called after the commit of the write behind it.
    ///
    /// When it returns, this replica serves nothing from before, also when it returns an error: then Redis did not take it,
    /// and the other replicas have not heard of it yet.
    pub async fn invalidate(&self, tags: &[Tag]) -> Result<Invalidated, InvalidateError> {
        self.core.invalidate(tags).await
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
