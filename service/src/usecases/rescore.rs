//! Reaction to an event about a driver: the new score, then the invalidation of the answers that show it.

use std::sync::Arc;

use async_trait::async_trait;
use futures_util::{StreamExt, TryStreamExt, stream};

use super::{Change, Invalidator};
use crate::domain::ids::DriverId;
use crate::errors::Cause;
use crate::events::DriverEventHandler;
use crate::metrics::EventMetrics;
use crate::store::Store;

/// Drivers scored at the same time: a fifth of the default pool, so that requests keep the rest.
const CONCURRENCY: usize = 4;

/// Scores drivers anew; the consumer calls it for every batch.
pub struct Rescore {
    store: Arc<dyn Store>,
    invalidator: Invalidator,
    metrics: EventMetrics,
}

impl Rescore {
    /// Scores in `store` and invalidates.
    pub fn new(store: Arc<dyn Store>, invalidator: Invalidator, metrics: EventMetrics) -> Self {
        Self {
            store,
            invalidator,
            metrics,
        }
    }

    async fn score(&self, driver: DriverId) -> Result<Option<Change>, Cause> {
        let scored = self.store.rescore(driver).await.map_err(Cause::new)?;
        self.metrics.rescored.inc();
        Ok(scored.map(|_| Change::DriverRescored(driver)))
    }
}

#[async_trait]
impl DriverEventHandler for Rescore {
    /// Repeatable: a score is computed from the rows, not from the events, so that events may come twice or out of
    /// order.
    async fn drivers_changed(&self, drivers: &[DriverId]) -> Result<(), Cause> {
        let scored = stream::iter(drivers.iter().copied())
            .map(|driver| self.score(driver))
            .buffer_unordered(CONCURRENCY);
        let changes: Vec<Option<Change>> = scored.try_collect().await?;
        self.invalidator.apply(changes.into_iter().flatten()).await;
        Ok(())
    }
}
