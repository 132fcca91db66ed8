//! The cache as its users hold it: everything that can be asked of it.

use std::{fmt, num::NonZeroUsize, sync::Arc, time::Duration};

use crate::{
    entry::{Flushed, Invalidated, Served},
    error::{InvalidateError, LoadError, RedisFailure},
    key::Key,
    loaded::Loaded,
    place::Place,
    policy::Policy,
    read::Request,
    relay::{self, Outbox},
    state::Core,
    stats::Stats,
    tag::Tag,
    upkeep::Tasks,
    verify::Verified,
    warm::Warmed,
};

/// The cache. Cloning shares it; the background tasks end with the last clone, or with [`shutdown`](Self::shutdown).
#[derive(Clone)]
pub struct TieredCache {
    pub(crate) core: Arc<Core>,
    pub(crate) tasks: Arc<Tasks>,
}

impl TieredCache {
    /// The answer to `key`: from L1, from Redis, or from `loader`, which runs once for all clients that miss together.
    ///
    /// The caller guarantees that `tags` are always the same for one key (other tags are a miss), that `key` holds
    /// every input that changes the answer, and that `loader` reads from the primary of its database. It returns an
    /// `Option<Entry>`, or a [`Loaded`] that says more (a TTL of its own, that it is not to be kept). `Ok(None)` means
    /// that there is no such thing; it is shared with waiting clients, and cached if the policy says so. The client
    /// that misses first runs the loader; when that client goes away, the load goes on in a task of its own, to its
    /// end.
    ///
    /// A failing Redis is never an error here.
    pub async fn get_or_load<E, L, F, Fut>(
        &self,
        key: &Key,
        tags: &[Tag],
        policy: &Policy,
        loader: F,
    ) -> Result<Served, LoadError<E>>
    where
        E: Send + Sync + 'static,
        L: Into<Loaded>,
        F: FnOnce() -> Fut + Send + 'static,
        Fut: Future<Output = Result<L, E>> + Send + 'static,
    {
        self.get_or_load_after(None, key, tags, policy, loader).await
    }

    /// The answer to `key` (see [`get_or_load`](Self::get_or_load)) for a client that knows of an invalidation by its
    /// place ([`Invalidated::place`]), because it made the write behind it on another replica: it gets nothing older,
    /// whether or not the message has arrived here.
    pub async fn get_or_load_after<E, L, F, Fut>(
        &self,
        after: Option<Place>,
        key: &Key,
        tags: &[Tag],
        policy: &Policy,
        loader: F,
    ) -> Result<Served, LoadError<E>>
    where
        E: Send + Sync + 'static,
        L: Into<Loaded>,
        F: FnOnce() -> Fut + Send + 'static,
        Fut: Future<Output = Result<L, E>> + Send + 'static,
    {
        let request = Request {
            core: &self.core,
            key,
            tags,
            policy,
            after,
            started: self.core.context.start_of_read(),
            renews: false,
        };
        request.get_or_load(loader).await
    }

    /// The answer to `key` if it is cached, in memory or in Redis; nothing is loaded, and no lookup is counted. What is
    /// found in Redis is kept in memory from then on.
    pub async fn get(&self, key: &Key, tags: &[Tag], policy: &Policy) -> Option<Served> {
        let request = Request {
            core: &self.core,
            key,
            tags,
            policy,
            after: None,
            started: self.core.context.start_of_read(),
            renews: false,
        };
        request.peek().await
    }

    /// Ends every answer that depends on one of `tags`. Must be called after the commit of the write behind it.
    ///
    /// When it returns, this replica serves nothing from before, also when it returns an error: then Redis did not take
    /// it, and the other replicas have not heard of it yet.
    pub async fn invalidate(&self, tags: &[Tag]) -> Result<Invalidated, InvalidateError> {
        self.core.invalidate(tags).await
    }

    /// Empties by pattern: a glob over `endpoint:part:part`. Whole endpoints end, because generations exist for
    /// endpoints and not for keys: those that the pattern could match. Then their memory in Redis is freed, some
    /// hundred keys at a time.
    ///
    /// To empty by what changed, [`invalidate`](Self::invalidate) its tag; to empty one endpoint or everything,
    /// [`Tag::endpoint`] or [`Tag::all`].
    pub async fn flush_matching(&self, pattern: &str) -> Result<Flushed, InvalidateError> {
        self.core.flush_matching(pattern).await
    }

    /// Deletes entries of [`Strategy::Planned`](crate::Strategy::Planned) by pattern over `endpoint:part:part`; returns
    /// how many.
    pub async fn delete_planned(&self, pattern: &str) -> Result<u64, RedisFailure> {
        self.core.delete_planned(pattern).await
    }

    /// Relays committed invalidations out of `outbox` in the background: those that their writers could not bring to
    /// Redis, and the newest ones once more when Redis was started anew. Every replica may relay.
    pub fn relay<O: Outbox>(&self, outbox: O) {
        self.tasks.spawn(relay::run(Arc::clone(&self.core), outbox));
    }

    /// Loads what is not there out of `keys`, so many at a time, and tells `progress` after each how far it has come.
    /// Returns when it is done.
    pub async fn warm(&self, keys: Vec<Key>, concurrency: NonZeroUsize, progress: impl Fn(Warmed)) -> Warmed {
        self.core.warm(keys, concurrency, progress).await
    }

    /// Compares up to `count` cached answers, picked at random, with the source, and removes those that differ and
    /// still do a second later.
    pub async fn verify(&self, count: usize) -> Verified {
        self.core.verify(count).await
    }

    /// How old the answer under `key` is that is in memory and may be served; `None` if there is none.
    pub fn age(&self, key: &Key, tags: &[Tag]) -> Option<Duration> {
        let context = &self.core.context;
        let kept = self.core.l1.get(key, tags, context.now()).ok()?;
        let age_ms = context.clock.wall_ms().saturating_sub(kept.times.created_ms);
        kept.is_fresh(context.now()).then(|| Duration::from_millis(age_ms))
    }

    /// The place of the newest invalidation that was applied here.
    pub fn place(&self) -> Place {
        self.core.cursor.place()
    }

    /// Numbers for operators.
    pub fn stats(&self) -> Stats {
        self.core.stats()
    }

    /// Stops the background tasks and waits until they are gone. Reads and invalidations go on working; with Redis, L1
    /// is not served any more, because invalidations of other replicas no longer arrive.
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
