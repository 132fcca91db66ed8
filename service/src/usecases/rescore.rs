//! Reaction to events about drivers: the new scores, then the invalidation of the answers that show them, then the
//! events that tell of them.

use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;

use super::{Change, Invalidator};
use crate::domain::events::{Event, EventId};
use crate::domain::ids::DriverId;
use crate::errors::Cause;
use crate::events::{EventHandler, HandleError, ReadyEvents};
use crate::metrics::EventMetrics;
use crate::store::{Store, StoreError};

/// Scores drivers anew; the consumer calls it for every batch.
pub struct Rescore {
    store: Arc<dyn Store>,
    invalidator: Invalidator,
    ready: ReadyEvents,
    metrics: EventMetrics,
}

impl Rescore {
    /// Scores in `store`, invalidates, and hands the events about scores over to the relay.
    pub fn new(store: Arc<dyn Store>, invalidator: Invalidator, ready: ReadyEvents, metrics: EventMetrics) -> Self {
        Self {
            store,
            invalidator,
            ready,
            metrics,
        }
    }
}

#[async_trait]
impl EventHandler for Rescore {
    /// Repeatable: what was taken in is noted with its effects, and a score is computed from the rows, not from the
    /// events. The answers about every driver that is named end, even if its events had been taken in before: whoever
    /// took them in may have died before it could end them.
    async fn apply(&self, events: &[&Event]) -> Result<(), HandleError> {
        let events = events.iter().filter(|event| event.body.name().changes_exposure());
        let events: Vec<(EventId, DriverId)> = events.map(|event| (event.id, event.body.driver())).collect();
        if events.is_empty() {
            return Ok(());
        }
        let taken_in = self.store.take_in(&events).await.map_err(failed)?;
        let drivers: BTreeSet<DriverId> = events.iter().map(|(_, driver)| *driver).collect();
        self.metrics.rescored.inc_by(drivers.len() as u64);
        self.metrics.repeated.inc_by((events.len() - taken_in.fresh) as u64);
        self.invalidator
            .apply(drivers.into_iter().map(Change::DriverRescored))
            .await;
        self.ready.push(taken_in.events);
        Ok(())
    }
}

fn failed(error: StoreError) -> HandleError {
    HandleError {
        class: "StoreError",
        passes: error.is_unavailable(),
        cause: Cause::new(error),
    }
}
