//! Recording a trip: one transaction, then the invalidation, then the answer; the outbox row takes it from there.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use tokio::sync::Notify;
use tokio_util::task::TaskTracker;

use super::{Change, Invalidator};
use crate::domain::ids::{DriverId, TripId};
use crate::domain::trips::{NewTrip, TripError};
use crate::store::{Store, StoreError};

/// A trip that is committed and visible.
#[derive(Debug, Clone, Copy)]
pub struct RecordedTrip {
    /// The new trip.
    pub trip_id: TripId,
    /// The driver's version that it made.
    pub version: i64,
    /// The invalidation's place among all; `None` while the cache is off or Redis is away.
    pub cache_seq: Option<u64>,
}

/// Why a trip was not recorded.
#[derive(Debug, thiserror::Error)]
pub enum RecordTripError {
    /// The trip breaks a rule.
    #[error(transparent)]
    Invalid(#[from] TripError),
    /// The store failed; nothing was committed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The writing task ended without an answer; whether it committed is unknown.
    #[error("the write was abandoned")]
    Abandoned(#[from] tokio::task::JoinError),
}

/// Records trips.
#[derive(Clone)]
pub struct RecordTrip {
    store: Arc<dyn Store>,
    invalidator: Invalidator,
    outbox: Arc<Notify>,
    writes: TaskTracker,
}

impl RecordTrip {
    /// Writes to `store`, invalidates, wakes the relay by `outbox`. A stop waits for what runs under `writes`.
    pub fn new(store: Arc<dyn Store>, invalidator: Invalidator, outbox: Arc<Notify>, writes: TaskTracker) -> Self {
        Self {
            store,
            invalidator,
            outbox,
            writes,
        }
    }

    /// Records `trip`, reported at `now`, for a driver; `None` when there is no such driver.
    pub async fn run(
        &self,
        driver: DriverId,
        trip: NewTrip,
        now: DateTime<Utc>,
    ) -> Result<Option<RecordedTrip>, RecordTripError> {
        trip.validate_at(now)?;
        // A task of its own: a client that goes away must not separate the commit from the invalidation.
        let this = self.clone();
        self.writes
            .spawn(async move { this.write(driver, &trip).await })
            .await?
    }

    /// The order matters (docs/ARCHITECTURE.md, "One write"): answering before the invalidation would let the writer read its past.
    async fn write(&self, driver: DriverId, trip: &NewTrip) -> Result<Option<RecordedTrip>, RecordTripError> {
        let Some(receipt) = self.store.record_trip(driver, trip).await? else {
            return Ok(None);
        };
        let cache_seq = self.invalidator.apply([Change::TripRecorded(driver)]).await;
        self.outbox.notify_one();
        Ok(Some(RecordedTrip {
            trip_id: receipt.trip_id,
            version: receipt.version,
            cache_seq,
        }))
    }
}
