//! The durable side of invalidating: what was committed with the rows is invalidated even if its writer crashed before
//! it could.
//!
//! The store keeps the rows, the cache's relay works them off; here both meet, and the rows of invalidations that went
//! well are marked in bundles, off the path of requests.

use std::time::Duration;

use sqlx::PgPool;
use tiered_cache::{Outbox, OutboxRow, Tag};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::store::cache_outbox::{self, OpenInvalidation};
use crate::store::{StoreError, forget_requests};

/// Rows that may wait to be marked: a second of full write load. Beyond it, a row is left to the relay, which
/// invalidates it once more and marks it.
const WAITING_MAX: usize = 4_096;
/// Pause between two bundles, so that they are bundles: far below the second after which a relay takes a row up.
const BUNDLING: Duration = Duration::from_millis(100);
/// How often old rows are removed, while there are new ones.
const TIDY_PERIOD: Duration = Duration::from_mins(1);
/// How long done rows are kept: twice the time that is invalidated again when Redis was started anew.
const KEPT: Duration = Duration::from_mins(10);

/// How long a client may retry a trip: longer than a device is without a network in a garage.
const REQUESTS_KEPT: Duration = Duration::from_hours(24);

/// The table, as the cache's relay works it off.
pub struct CacheOutbox {
    pool: PgPool,
}

impl CacheOutbox {
    /// The table in `pool`'s database.
    pub fn new(pool: PgPool) -> Self {
        Self { pool }
    }
}

impl Outbox for CacheOutbox {
    type Error = StoreError;

    async fn unconfirmed(&self, limit: usize) -> Result<Vec<OutboxRow>, StoreError> {
        Ok(rows_of(cache_outbox::unconfirmed(&self.pool, whole(limit)).await?))
    }

    async fn claim(&self, limit: usize) -> Result<Vec<OutboxRow>, StoreError> {
        Ok(rows_of(cache_outbox::claim(&self.pool, whole(limit)).await?))
    }

    async fn confirm(&self, ids: &[i64]) -> Result<(), StoreError> {
        cache_outbox::confirm(&self.pool, ids).await
    }

    async fn reopen(&self, window: Duration) -> Result<(), StoreError> {
        cache_outbox::reopen(&self.pool, window).await
    }
}

fn rows_of(open: Vec<OpenInvalidation>) -> Vec<OutboxRow> {
    let rows = open.into_iter().map(|OpenInvalidation { id, tags }| OutboxRow {
        id,
        tags: tags.into_iter().map(Tag::new).collect(),
    });
    rows.collect()
}

fn whole(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

/// Where writers hand in the rows whose invalidation is made.
#[derive(Debug, Clone)]
pub struct Confirmations(mpsc::Sender<i64>);

impl Confirmations {
    /// Hands in one row. Never waits: a row that finds no room is done again by the relay.
    pub fn hand_in(&self, row: i64) {
        if self.0.try_send(row).is_err() {
            tracing::debug!(row, "an invalidation is left to the relay");
        }
    }
}

/// The role that marks them.
pub struct Confirming {
    pool: PgPool,
    rows: mpsc::Receiver<i64>,
}

impl Confirming {
    /// In `pool`'s database; with the end for the writers.
    pub fn new(pool: PgPool) -> (Self, Confirmations) {
        let (sender, rows) = mpsc::channel(WAITING_MAX);
        (Self { pool, rows }, Confirmations(sender))
    }

    /// Runs until `stop`. Rows that are handed in later are left to the relay of another replica, or of the next start.
    pub async fn run(mut self, stop: CancellationToken) {
        stop.run_until_cancelled(self.confirm_for_ever()).await;
        self.rows.close();
        self.confirm_bundle().await;
    }

    async fn confirm_for_ever(&mut self) {
        let mut tidied = Instant::now();
        loop {
            self.confirm_bundle().await;
            sleep(BUNDLING).await;
            if tidied.elapsed() >= TIDY_PERIOD {
                self.tidy().await;
                tidied = Instant::now();
            }
        }
    }

    /// Everything that waits now; waits for the first.
    async fn confirm_bundle(&mut self) {
        let mut ids = Vec::new();
        if self.rows.recv_many(&mut ids, WAITING_MAX).await == 0 {
            return;
        }
        if let Err(error) = cache_outbox::confirm(&self.pool, &ids).await {
            let rows = ids.len();
            tracing::warn!(%error, rows, "invalidations are not marked as done: they will be made once more");
        }
    }

    async fn tidy(&self) {
        if let Err(error) = cache_outbox::remove_old(&self.pool, KEPT).await {
            tracing::warn!(%error, "old invalidations are not removed for now");
        }
        if let Err(error) = forget_requests(&self.pool, REQUESTS_KEPT).await {
            tracing::warn!(%error, "old requests are not forgotten for now");
        }
    }
}
