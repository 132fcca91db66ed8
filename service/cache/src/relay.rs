//! The relay: repeats invalidations out of a durable outbox, for those that a crash or an outage kept from Redis.
//!
//! The outbox is the caller's: a table that is written in the same transaction as the rows. This module knows when to
//! read it and what a row means; the SQL stands behind [`Outbox`].

use std::{convert::Infallible, future::Future, sync::Arc, time::Duration};

use tokio::sync::watch;

use crate::{state::Core, tag::Tag, upkeep::timer};

/// How often the outbox is looked at. Its rows are marked by the writer itself in the normal case, so this is the delay
/// of the exceptional one.
const PERIOD: Duration = Duration::from_secs(1);

/// Rows that are claimed at once: one script of some milliseconds.
const BATCH: usize = 256;

/// When Redis was started anew, it may have lost the newest invalidations: those of this long are sent again.
const REPEAT_WINDOW: Duration = Duration::from_mins(5);

/// One committed invalidation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutboxRow {
    /// The row's id.
    pub id: i64,
    /// What the transaction changed.
    pub tags: Vec<Tag>,
}

/// Committed invalidations, and which of them are done.
///
/// The implementor MUST hand out only committed rows, and each of them again and again until it is done. Rows may be
/// claimed by several replicas, repeated and done in any order: invalidating is idempotent. Claim them with
/// `FOR UPDATE SKIP LOCKED` and a claim that times out, not by the highest id seen: ids become visible out of order.
pub trait Outbox: Send + Sync + 'static {
    /// What its operations fail with.
    type Error: std::error::Error + Send + Sync + 'static;

    /// Up to `limit` rows that are not done. Leaving the youngest second to their writers saves work.
    fn claim(&self, limit: usize) -> impl Future<Output = Result<Vec<OutboxRow>, Self::Error>> + Send;

    /// These rows are done.
    fn confirm(&self, ids: &[i64]) -> impl Future<Output = Result<(), Self::Error>> + Send;

    /// Rows of the last `window` are not done after all.
    fn reopen(&self, window: Duration) -> impl Future<Output = Result<(), Self::Error>> + Send;
}

/// Relays until the future is dropped.
pub(crate) async fn run<O: Outbox>(core: Arc<Core>, outbox: O) -> Infallible {
    let mut renewals = core.renewals.subscribe();
    let mut timer = timer(PERIOD);
    let mut failing = false;
    loop {
        timer.tick().await;
        let result = round(&core, &outbox, &mut renewals).await;
        if let Err(error) = &result
            && !failing
        {
            tracing::warn!(
                error = error as &dyn std::error::Error,
                "the cache's outbox cannot be read"
            );
        }
        failing = result.is_err();
    }
}

async fn round<O: Outbox>(core: &Arc<Core>, outbox: &O, renewals: &mut watch::Receiver<u64>) -> Result<(), O::Error> {
    if renewals.has_changed().unwrap_or(false) {
        outbox.reopen(REPEAT_WINDOW).await?;
        // Only now: a failure to reopen is tried again.
        renewals.mark_unchanged();
    }
    loop {
        let rows = outbox.claim(BATCH).await?;
        let is_last = rows.len() < BATCH;
        if rows.is_empty() || !relay(core, outbox, &rows).await? || is_last {
            return Ok(());
        }
    }
}

/// One invalidation for all rows; false if Redis did not take it.
async fn relay<O: Outbox>(core: &Arc<Core>, outbox: &O, rows: &[OutboxRow]) -> Result<bool, O::Error> {
    let tags: std::collections::HashSet<Tag> = rows.iter().flat_map(|row| row.tags.iter().cloned()).collect();
    let tags: Vec<Tag> = tags.into_iter().collect();
    if core.invalidate(&tags).await.is_err() {
        return Ok(false);
    }
    let ids: Vec<i64> = rows.iter().map(|row| row.id).collect();
    outbox.confirm(&ids).await?;
    tracing::info!(
        rows = ids.len(),
        tags = tags.len(),
        "invalidations were relayed from the outbox"
    );
    Ok(true)
}
