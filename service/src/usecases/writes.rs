//! Writing: one transaction, then the invalidation, then the answer; the outbox row takes it from there.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use tiered_cache::Place;
use tokio_util::task::TaskTracker;

use super::turns::{Turn, Turns};
use super::{Change, Confirmations, Invalidator};
use crate::domain::claims::{ClaimChange, ClaimError, NewClaim};
use crate::domain::drivers::{DriverChange, DriverError};
use crate::domain::ids::{ClaimId, DriverId, TripId};
use crate::domain::trips::{NewTrip, TripError};
use crate::events::{Backlog, ReadyEvents};
use crate::metrics::EventMetrics;
use crate::store::{ClaimOfDriver, ClaimOutcome, Committed, Driver, StoreError, TripOutcome, TripRequest, Writer};

/// Something that is committed and visible.
#[derive(Debug, Clone, Copy)]
pub struct Written<T> {
    /// Result of the write.
    pub value: T,
    /// The driver's version that it made.
    pub version: i64,
    /// The invalidation's place among all; `None` while the cache is off or Redis is away.
    pub cache_seq: Option<Place>,
}

/// Why nothing was written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The trip breaks a rule.
    #[error(transparent)]
    Trip(#[from] TripError),
    /// The claim, or its change, breaks a rule.
    #[error(transparent)]
    Claim(#[from] ClaimError),
    /// The change of a driver breaks a rule.
    #[error(transparent)]
    Driver(#[from] DriverError),
    /// The store failed; nothing was committed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The request's key was given to another trip before.
    #[error("this Idempotency-Key was sent with another trip before: give each trip a key of its own")]
    KeyOfAnother,
    /// Too many events wait for Kafka; nothing was written.
    #[error("too many events wait for Kafka: writes are refused until it takes some")]
    Backlogged,
    /// Too many writes about one driver at once; nothing was written.
    #[error("too many writes about this driver are waiting: wait for one of them")]
    TooMany,
    /// The writing task ended without an answer; whether it committed is unknown.
    #[error("the write was abandoned")]
    Abandoned(#[from] tokio::task::JoinError),
}

type WriteResult<T> = Result<Option<Written<T>>, WriteError>;

/// Writes.
#[derive(Clone)]
pub struct Writes {
    writer: Writer,
    invalidator: Invalidator,
    confirmations: Confirmations,
    outbox: EventsOut,
    running: TaskTracker,
    turns: Arc<Turns>,
}

/// The way of events out of the outbox, as far as writes see it.
#[derive(Clone)]
pub struct EventsOut {
    /// Who publishes what is committed.
    pub ready: ReadyEvents,
    /// Whether too many wait.
    pub backlog: Backlog,
    /// Counts refusals.
    pub metrics: EventMetrics,
}

impl Writes {
    /// Writes by `writer`, invalidates, tells `confirmations` so, hands events over by `outbox`. A stop waits for what
    /// runs under `running`.
    pub fn new(
        writer: Writer,
        invalidator: Invalidator,
        confirmations: Confirmations,
        outbox: EventsOut,
        running: TaskTracker,
    ) -> Self {
        Self {
            writer,
            invalidator,
            confirmations,
            outbox,
            running,
            turns: Arc::default(),
        }
    }

    /// Records a trip, reported at `now`; `None` when there is no such driver. With a `request`, a retry of it is
    /// answered with the trip that is on record already.
    pub async fn record_trip(
        &self,
        driver: DriverId,
        trip: NewTrip,
        request: Option<TripRequest>,
        now: DateTime<Utc>,
    ) -> WriteResult<TripId> {
        trip.validate_at(now)?;
        self.spawn(|this| async move {
            let _turn = this.turn(driver).await?;
            let recorded = match request {
                None => this.writer.record_trip(driver, &trip).await?,
                Some(request) => match this.writer.record_trip_once(driver, &trip, &request).await? {
                    TripOutcome::Recorded(recorded) => Some(recorded),
                    TripOutcome::KeyOfAnother => return Err(WriteError::KeyOfAnother),
                    TripOutcome::NoSuchDriver => None,
                },
            };
            // After a retry, too: whether the first one came as far, only its client knows.
            Ok(this.publish(recorded, Change::TripRecorded(driver)).await)
        })
        .await
    }

    async fn turn(&self, driver: DriverId) -> Result<Turn, WriteError> {
        self.turns.wait(driver).await.ok_or(WriteError::TooMany)
    }

    /// Changes a driver's own data; `None` when there is no such driver.
    pub async fn update_driver(&self, driver: DriverId, change: DriverChange) -> WriteResult<Driver> {
        change.validate()?;
        self.spawn(|this| async move {
            let _turn = this.turn(driver).await?;
            let updated = this.writer.update_driver(driver, &change).await?;
            Ok(this.publish(updated, Change::DriverUpdated(driver)).await)
        })
        .await
    }

    /// Puts a claim on record, reported at `now`; `None` when there is no such driver.
    pub async fn file_claim(
        &self,
        driver: DriverId,
        claim: NewClaim,
        now: DateTime<Utc>,
    ) -> WriteResult<ClaimOfDriver> {
        claim.validate_on(now.date_naive())?;
        self.spawn(|this| async move {
            let _turn = this.turn(driver).await?;
            let filed = this.writer.file_claim(driver, &claim).await?;
            Ok(this.publish(filed, Change::ClaimChanged(driver)).await)
        })
        .await
    }

    /// Changes a claim; `None` when there is no such claim.
    pub async fn change_claim(&self, id: ClaimId, change: ClaimChange) -> WriteResult<ClaimOfDriver> {
        change.validate()?;
        self.spawn(|this| async move {
            let changed = match this.writer.change_claim(id, change).await? {
                ClaimOutcome::Changed(changed) => changed,
                ClaimOutcome::Refused(refused) => return Err(refused.into()),
                ClaimOutcome::NoSuchClaim => return Ok(None),
            };
            let touched = Change::ClaimChanged(changed.value.driver_id);
            Ok(this.publish(Some(changed), touched).await)
        })
        .await
    }

    /// A task of its own: a client that goes away must not separate the commit from the invalidation.
    async fn spawn<T, F>(&self, write: impl FnOnce(Self) -> F) -> WriteResult<T>
    where
        T: Send + 'static,
        F: Future<Output = WriteResult<T>> + Send + 'static,
    {
        if self.outbox.backlog.is_full() {
            self.outbox.metrics.refused_writes.inc();
            return Err(WriteError::Backlogged);
        }
        self.running.spawn(write(self.clone())).await?
    }

    /// The order matters (docs/ARCHITECTURE.md, "One write"): answering before the invalidation would let the writer
    /// read its past.
    async fn publish<T>(&self, committed: Option<Committed<T>>, change: Change) -> Option<Written<T>> {
        let Committed { value, version, noted } = committed?;
        let applied = self.invalidator.apply([change]).await;
        if let Some(row) = noted.invalidation.filter(|_| applied.is_done) {
            self.confirmations.hand_in(row);
        }
        self.outbox.ready.push(noted.events);
        Some(Written {
            value,
            version,
            cache_seq: applied.place,
        })
    }
}
