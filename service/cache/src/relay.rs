//! The relay: brings home invalidations out of a durable outbox, for those that a crash, an outage or a refusal kept
//! from Redis. Every replica first applies what it finds there to itself, whatever Redis says; then one of them repeats
//! it for all.
//!
//! The outbox is the caller's: a table that is written in the same transaction as the rows. This module knows when to
//! read it and what a row means; the SQL stands behind [`Outbox`].

use std::{
    collections::HashSet,
    convert::Infallible,
    future::Future,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::sync::watch;

use crate::{state::Core, tag::Tag, upkeep::timer};

/// How often the outbox is looked at. Its rows are marked by the writer itself in the normal case, so this is the delay
/// of the exceptional one: with the half second that a row may be left to its writer, no replica serves what is older
/// than a second, whatever Redis does.
const PERIOD: Duration = Duration::from_millis(500);

/// How often rows are claimed, to be repeated for all replicas.
const CLAIM_PERIOD: Duration = Duration::from_secs(1);

/// Rows that are claimed at once: one script of some milliseconds.
const BATCH: usize = 256;

/// Unconfirmed rows that a replica applies one by one. With more, everything ends: that costs less than reading them
/// all twice a second for as long as an outage lasts.
const LOOK_LIMIT: usize = 1_000;

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

    /// Up to `limit` rows that are not done, the oldest first, whoever claimed them. May leave out those of the last
    /// half second, which are their writers' business, and no others: this is what bounds how long a replica can serve
    /// something old while Redis takes no invalidations.
    fn unconfirmed(&self, limit: usize) -> impl Future<Output = Result<Vec<OutboxRow>, Self::Error>> + Send;

    /// Up to `limit` rows that are not done. Leaving the youngest second to their writers saves work.
    fn claim(&self, limit: usize) -> impl Future<Output = Result<Vec<OutboxRow>, Self::Error>> + Send;

    /// These rows are done.
    fn confirm(&self, ids: &[i64]) -> impl Future<Output = Result<(), Self::Error>> + Send;

    /// Rows of the last `window` are not done after all.
    fn reopen(&self, window: Duration) -> impl Future<Output = Result<(), Self::Error>> + Send;
}

/// Relays until the future is dropped.
pub(crate) async fn run<O: Outbox>(core: Arc<Core>, outbox: O) -> Infallible {
    let mut relay = Relay {
        renewals: core.renewals.subscribe(),
        core,
        outbox,
        applied: HashSet::new(),
        claimed: None,
    };
    let mut timer = timer(PERIOD);
    let mut failing = false;
    loop {
        timer.tick().await;
        let result = relay.round().await;
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

struct Relay<O> {
    core: Arc<Core>,
    outbox: O,
    renewals: watch::Receiver<u64>,
    /// Rows that are not done and were applied here: those of the last look.
    applied: HashSet<i64>,
    /// When rows were claimed last.
    claimed: Option<Instant>,
}

impl<O: Outbox> Relay<O> {
    async fn round(&mut self) -> Result<(), O::Error> {
        if self.renewals.has_changed().unwrap_or(false) {
            self.outbox.reopen(REPEAT_WINDOW).await?;
            // Only now: a failure to reopen is tried again.
            self.renewals.mark_unchanged();
        }
        self.apply_here().await?;
        let is_due = self.claimed.is_none_or(|claimed| claimed.elapsed() >= CLAIM_PERIOD);
        // A replica whose Redis takes nothing leaves the rows to those whose Redis does.
        if is_due && self.core.can_invalidate() {
            self.claimed = Some(Instant::now());
            self.relay_for_all().await?;
        }
        Ok(())
    }

    /// Ends what unconfirmed rows changed, on this replica. Each row once: what was loaded since is newer.
    async fn apply_here(&mut self) -> Result<(), O::Error> {
        let rows = self.outbox.unconfirmed(LOOK_LIMIT).await?;
        if rows.len() >= LOOK_LIMIT {
            // There may be more, of which nothing is known.
            self.core.distrust(&[Tag::all()]);
            self.applied.clear();
            return Ok(());
        }
        let is_new = |row: &&OutboxRow| !self.applied.contains(&row.id);
        let new: Vec<&OutboxRow> = rows.iter().filter(is_new).collect();
        if !new.is_empty() {
            self.core.distrust(&tags_of(new.iter().copied()));
            self.core.context.counters.outbox_applied.add(new.len() as u64);
        }
        self.applied = rows.iter().map(|row| row.id).collect();
        Ok(())
    }

    async fn relay_for_all(&self) -> Result<(), O::Error> {
        loop {
            let rows = self.outbox.claim(BATCH).await?;
            let is_last = rows.len() < BATCH;
            if rows.is_empty() || !self.relay(&rows).await? || is_last {
                return Ok(());
            }
        }
    }

    /// One invalidation for all rows; false if Redis did not take it.
    async fn relay(&self, rows: &[OutboxRow]) -> Result<bool, O::Error> {
        let tags = tags_of(rows);
        if self.core.invalidate(&tags).await.is_err() {
            return Ok(false);
        }
        let ids: Vec<i64> = rows.iter().map(|row| row.id).collect();
        self.outbox.confirm(&ids).await?;
        tracing::info!(
            rows = ids.len(),
            tags = tags.len(),
            "invalidations were relayed from the outbox"
        );
        Ok(true)
    }
}

fn tags_of<'a>(rows: impl IntoIterator<Item = &'a OutboxRow>) -> Vec<Tag> {
    let tags: HashSet<Tag> = rows.into_iter().flat_map(|row| row.tags.iter().cloned()).collect();
    tags.into_iter().collect()
}
