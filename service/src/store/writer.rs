//! The writes of the service: the same rows, totals and notes whichever store reads them.
//!
//! Each is one transaction that leaves the raw rows and the totals derived from them in agreement, adds one to the driver's
//! version, and notes what happened in the outboxes.

use sqlx::PgPool;

use super::cache_outbox::TagsOf;
use super::views::{ClaimOfDriver, Driver};
use super::{ClaimOutcome, StoreError, claims, drivers, outbox, record};
use crate::domain::claims::{ClaimChange, NewClaim};
use crate::domain::drivers::DriverChange;
use crate::domain::events::EventName;
use crate::domain::ids::{ClaimId, DriverId, TripId};
use crate::domain::trips::NewTrip;

/// What a committed write has made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Committed<T> {
    /// What is there now.
    pub value: T,
    /// The driver's version that the write made.
    pub version: i64,
    /// The row of `cache_outbox` that holds the invalidation; `None` when none is noted.
    pub invalidation: Option<i64>,
}

/// Writes to the database.
#[derive(Debug, Clone)]
pub struct Writer {
    pool: PgPool,
    tags_of: Option<TagsOf>,
}

impl Writer {
    /// Over `pool`. Notes the invalidations that `tags_of` names; none without it, when there is no cache to invalidate.
    pub fn new(pool: PgPool, tags_of: Option<TagsOf>) -> Self {
        Self { pool, tags_of }
    }

    /// Records a trip and its events. `None`: there is no such driver, and nothing was written. The caller guarantees that
    /// the trip [validates](NewTrip::validate).
    pub async fn record_trip(&self, id: DriverId, trip: &NewTrip) -> Result<Option<Committed<TripId>>, StoreError> {
        record::record_trip(&self.pool, self.notes(EventName::TripRecorded), id, trip).await
    }

    /// Changes a driver's own data. `None`: there is no such driver. The caller guarantees that the change
    /// [validates](DriverChange::validate); an address that another driver has is refused by the constraint
    /// `drivers_email_key`.
    pub async fn update_driver(
        &self,
        id: DriverId,
        change: &DriverChange,
    ) -> Result<Option<Committed<Driver>>, StoreError> {
        drivers::update(&self.pool, self.notes(EventName::DriverUpdated), id, change).await
    }

    /// Puts a claim on record, open. `None`: there is no such driver. The caller guarantees that the claim
    /// [validates](NewClaim::validate_on).
    pub async fn file_claim(
        &self,
        id: DriverId,
        new: &NewClaim,
    ) -> Result<Option<Committed<ClaimOfDriver>>, StoreError> {
        claims::file(&self.pool, self.notes(EventName::ClaimChanged), id, new).await
    }

    /// Changes a claim. The caller guarantees that the change [validates](ClaimChange::validate).
    pub async fn change_claim(&self, id: ClaimId, change: ClaimChange) -> Result<ClaimOutcome, StoreError> {
        claims::change(&self.pool, self.notes(EventName::ClaimChanged), id, change).await
    }

    fn notes(&self, kind: EventName) -> outbox::Notes {
        outbox::Notes {
            kind,
            tags_of: self.tags_of,
        }
    }
}
