//! Where live clients come in, and the role that brings them events.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Instant;

use axum::extract::ws::WebSocket;
use sqlx::PgPool;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::{TaskTracker, task_tracker::TaskTrackerToken};

use super::event::Batch;
use super::history::History;
use super::limits::Rate;
use super::queue::ClientQueue;
use super::session::Session;
use super::shard::{Order, Rules, Shard, ShardHandle};
use super::source::Source;
use super::subscription::Scope;
use crate::auth::TokenKeys;
use crate::config::{Config, LiveConfig};
use crate::events::KafkaSetupError;
use crate::metrics::{LiveMetrics, Metrics};

/// Shards, at most: one for each core, as far as handing out is worth a core.
const SHARDS_MAX: usize = 4;

/// Why a client is not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// There are as many as there may be.
    #[error("there are as many live clients as there may be")]
    Full,
    /// They come too fast.
    #[error("live clients come too fast")]
    TooFast,
    /// The topic is not read yet, or the service stops.
    #[error("events cannot be shown for now")]
    Closed,
}

impl Refusal {
    const fn name(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::TooFast => "rate",
            Self::Closed => "closed",
        }
    }
}

/// A client that is let in, until this is dropped.
pub struct Admission {
    pub(super) client: u64,
    _place: OwnedSemaphorePermit,
    _counted: Counted,
    _tracked: TaskTrackerToken,
}

struct Counted(LiveMetrics);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.clients.dec();
    }
}

/// Live clients; cheap to clone.
#[derive(Clone)]
pub struct Hub(Arc<Inner>);

struct Inner {
    config: LiveConfig,
    filtering: bool,
    tokens: Arc<TokenKeys>,
    metrics: LiveMetrics,
    places: Arc<Semaphore>,
    rate: Rate,
    last_client: AtomicU64,
    /// Empty while closed. Held for a look; never across an await.
    shards: RwLock<Vec<ShardHandle>>,
    sessions: TaskTracker,
}

impl Hub {
    /// Closed, until its role has read the topic.
    pub fn new(config: &Config, tokens: Arc<TokenKeys>, metrics: LiveMetrics) -> Self {
        let (config, filtering) = (&config.live, config.switches.live_filtering);
        Self(Arc::new(Inner {
            config: config.clone(),
            filtering,
            tokens,
            metrics,
            places: Arc::new(Semaphore::new(config.max_connections)),
            rate: Rate::new(config.connects_per_s),
            last_client: AtomicU64::new(0),
            shards: RwLock::default(),
            sessions: TaskTracker::new(),
        }))
    }

    /// Lets a client in.
    pub fn admit(&self) -> Result<Admission, Refusal> {
        let admission = self.try_admit();
        if let Err(refusal) = &admission {
            self.0.metrics.refused(refusal.name());
        }
        admission
    }

    fn try_admit(&self) -> Result<Admission, Refusal> {
        let inner = &self.0;
        if self.shards().is_empty() {
            return Err(Refusal::Closed);
        }
        let place = Arc::clone(&inner.places)
            .try_acquire_owned()
            .map_err(|_| Refusal::Full)?;
        if !inner.rate.admit(Instant::now()) {
            return Err(Refusal::TooFast);
        }
        inner.metrics.clients.inc();
        Ok(Admission {
            client: inner.last_client.fetch_add(1, Ordering::Relaxed),
            _place: place,
            _counted: Counted(inner.metrics.clone()),
            _tracked: inner.sessions.token(),
        })
    }

    fn shards(&self) -> Vec<ShardHandle> {
        self.0.shards.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Serves a client that was let in, until either side ends the connection.
    pub async fn serve(self, admission: Admission, scope: Scope, token: Box<str>, socket: WebSocket) {
        let (inner, client) = (&self.0, admission.client);
        let shards = self.shards();
        let place = usize::try_from(client).unwrap_or_default() % shards.len().max(1);
        // It has closed meanwhile: the socket just ends, and its client comes back.
        let Some(shard) = shards.get(place).cloned() else {
            return;
        };
        drop(shards);
        let queue = ClientQueue::new(inner.config.queue_bytes, inner.metrics.clone());
        shard.order(Order::Join(client, Arc::clone(&queue))).await;
        let session = Session {
            admission,
            scope,
            filtering: inner.filtering,
            token,
            tokens: Arc::clone(&inner.tokens),
            queue,
            shard,
            metrics: inner.metrics.clone(),
        };
        session.run(socket).await;
    }

    /// Waits until every client has left. The role has told them before.
    pub async fn left(&self) {
        self.0.sessions.close();
        self.0.sessions.wait().await;
    }

    fn open(&self, shards: Vec<ShardHandle>) {
        *self.0.shards.write().unwrap_or_else(PoisonError::into_inner) = shards;
    }
}

/// The role that reads the topic and tells the shards.
pub struct HubRole {
    hub: Hub,
    source: Source,
}

impl HubRole {
    /// For `hub`. It connects in the background.
    pub fn new(hub: Hub, config: &Config, pool: PgPool, metrics: &Metrics) -> Result<Self, KafkaSetupError> {
        let metrics = (metrics.live.clone(), metrics.kafka.clone());
        Ok(Self {
            source: Source::new(&config.kafka, &config.live, config.switches, pool, metrics)?,
            hub,
        })
    }

    /// Runs until `stop`; then every client is told to come back later.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut shards = Vec::new();
        stop.run_until_cancelled(self.follow(&mut shards)).await;
        // Nobody new from here on.
        self.hub.open(Vec::new());
        for shard in &shards {
            shard.order(Order::Stop).await;
        }
        drop(shards);
        self.source.close().await;
    }

    async fn follow(&mut self, shards: &mut Vec<ShardHandle>) {
        let history = self.source.open().await;
        shards.extend(self.start_shards(&history));
        self.hub.open(shards.clone());
        loop {
            if let Ok(batch) = self.source.next_batch().await {
                deliver(shards, batch).await;
                continue;
            }
            tracing::warn!("the topic was begun anew: live clients are told to load anew");
            let history = self.source.open_again().await;
            for shard in shards.iter() {
                shard.order(Order::Restart(Box::new(history.clone()))).await;
            }
        }
    }

    fn start_shards(&self, history: &History) -> Vec<ShardHandle> {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let rules = Rules {
            ping: self.hub.0.config.ping,
            slow: self.hub.0.config.slow,
            queue_bytes: self.hub.0.config.queue_bytes,
            metrics: self.hub.0.metrics.clone(),
        };
        let start = |_| {
            let (shard, handle, orders) = Shard::new(rules.clone(), history.clone());
            // It ends with the last client that could tell it anything.
            self.hub.0.sessions.spawn(shard.run(orders));
            handle
        };
        (0..cores.min(SHARDS_MAX)).map(start).collect()
    }
}

async fn deliver(shards: &[ShardHandle], batch: Batch) {
    let batch = Arc::new(batch);
    for shard in shards {
        shard.order(Order::Deliver(Arc::clone(&batch))).await;
    }
}
