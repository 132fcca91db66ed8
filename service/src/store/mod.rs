//! All SQL of the service, twice behind one trait.
//!
//! [`Phase1Store`] asks as the system did before: one query per row of a result and aggregates over the raw rows at
//! each request. [`TunedStore`] asks once, by joins, covering indexes and the totals that writers keep. On data that
//! nobody is writing both give the same answers to the byte, so that whatever differs in a measurement is the way of
//! asking. Writing is shared ([`Writer`], [`scores`]): either may run on a database that the other has written.
//!
//! Beside them stand the event [`outbox`], the [`cache_outbox`], the [`users`] and the bulk load of [`seed_copy`]. What
//! an answer means belongs to [`domain`](crate::domain); when it is cached, to the use cases.

use async_trait::async_trait;
use chrono::{NaiveDate, Utc};
use serde::Serialize;

use crate::domain::claims::ClaimError;
use crate::domain::events::EventId;
use crate::domain::ids::DriverId;

#[macro_use]
mod sql_store;

mod ask;
mod breaker;
pub mod cache_outbox;
mod claims;
mod columns;
mod connect;
mod drivers;
mod error;
pub mod inbox;
pub mod live_streams;
pub mod outbox;
pub mod page;
mod phase1;
mod record;
mod scores;
pub(crate) mod seed_copy;
mod tuned;
pub mod users;
pub mod views;
mod writer;

pub use connect::{
    DatabaseProbe, WAITING_COUNTED_MAX, Waiting, connect, connect_unbounded, migrate, open, refuse_transaction_pooling,
};
pub use error::StoreError;
pub use outbox::Noted;
pub use page::{DriverKey, Page, PageRequest, TripKey};
pub use phase1::Phase1Store;
pub(crate) use record::shard;
pub use record::{TripOutcome, TripRequest, forget_requests};
pub use tuned::TunedStore;
pub use views::{
    ClaimOfDriver, ClaimsOverview, CurrentRisk, DashboardSummary, Driver, DriverDetails, DriverListItem,
    DriverStatistics, Premium, ResourceMetrics, RiskDistribution, SafetyEvents, Trip, TripActivity,
};
pub use writer::{Committed, Writer};

/// Shards of the totals over all drivers, see `migrations/0004_aggregates.sql`; a driver's shard is `driver_id %
/// SHARDS`.
pub(crate) const SHARDS: i16 = 16;
/// Trips that a driver's details show.
const RECENT_TRIPS: i64 = 10;
/// Claims that a driver's details show: more than an honest driver has in a life, and 10 KB of JSON.
const RECENT_CLAIMS: u8 = 100;

/// An answer with the version of the driver whose rows it shows. Versions of one driver only grow.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Versioned<T> {
    /// The answer.
    pub value: T,
    /// `drivers.version` when it was read: the answer is at least as new.
    pub version: i64,
}

impl<T> Versioned<T> {
    /// The answer that `make` makes of this one, at the same version.
    pub fn map<U>(self, make: impl FnOnce(T) -> U) -> Versioned<U> {
        Versioned {
            value: make(self.value),
            version: self.version,
        }
    }
}

/// How the change of a claim ended.
#[derive(Debug, Clone, PartialEq)]
pub enum ClaimOutcome {
    /// The claim is changed.
    Changed(Committed<ClaimOfDriver>),
    /// The claim's status forbids the change; nothing was written.
    Refused(ClaimError),
    /// There is no such claim.
    NoSuchClaim,
}

/// The service's view of its database, for reading; [`Writer`] writes.
///
/// Every implementation MUST give the same answers on the same data, and rescoring MUST leave the raw rows and the
/// totals derived from them in agreement.
#[async_trait]
pub trait Store: Send + Sync {
    /// The whole portfolio in figures.
    async fn dashboard_summary(&self) -> Result<DashboardSummary, StoreError>;

    /// Trips of the recent days, day by day.
    async fn trip_activity(&self) -> Result<TripActivity, StoreError>;

    /// How the drivers are spread over the risk bands.
    async fn risk_distribution(&self) -> Result<RiskDistribution, StoreError>;

    /// Safety events of the recent days, by kind.
    async fn safety_events(&self) -> Result<SafetyEvents, StoreError>;

    /// All claims, by where they stand.
    async fn claims_overview(&self) -> Result<ClaimsOverview, StoreError>;

    /// How much there is of everything.
    async fn resource_metrics(&self) -> Result<ResourceMetrics, StoreError>;

    /// A page of the drivers, in order of their numbers.
    async fn driver_list(&self, page: &PageRequest<DriverKey>) -> Result<Page<DriverListItem, DriverKey>, StoreError>;

    /// A driver with vehicles, recent trips and claims. `None`: there is no such driver.
    async fn driver_details(&self, id: DriverId) -> Result<Option<Versioned<DriverDetails>>, StoreError>;

    /// A driver's risk score and the exposure behind it. `None`: there is no such driver.
    async fn current_risk(&self, id: DriverId) -> Result<Option<Versioned<CurrentRisk>>, StoreError>;

    /// The price of a driver's cover at the current score. `None`: there is no such driver.
    async fn premium(&self, id: DriverId) -> Result<Option<Versioned<Premium>>, StoreError>;

    /// A driver's trips and safety events in figures. `None`: there is no such driver.
    async fn driver_statistics(&self, id: DriverId) -> Result<Option<Versioned<DriverStatistics>>, StoreError>;

    /// A page of a driver's trips, newest first. `None`: there is no such driver.
    async fn driver_trips(
        &self,
        id: DriverId,
        page: &PageRequest<TripKey>,
    ) -> Result<Option<Versioned<Page<Trip, TripKey>>>, StoreError>;

    /// Takes in events about drivers: those that were not taken in before have their drivers scored anew, in the
    /// transaction that notes them. After an error any part of the events may have been taken in; they may be given
    /// again.
    async fn take_in(&self, events: &[(EventId, DriverId)]) -> Result<TakenIn, StoreError>;

    /// The drivers with most trips, most first, at most `limit`: whom to warm a cache for.
    async fn busiest_drivers(&self, limit: i64) -> Result<Vec<DriverId>, StoreError>;
}

/// Effects of events that were taken in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TakenIn {
    /// Events that had not been taken in before.
    pub fresh: usize,
    /// Drivers whose scores, or the exposures behind them, are others.
    pub changed: Vec<DriverId>,
    /// The rows of the outbox that tell of other scores.
    pub events: Vec<i64>,
}

impl TakenIn {
    fn add(&mut self, other: Self) {
        self.fresh += other.fresh;
        self.changed.extend(other.changed);
        self.events.extend(other.events);
    }
}

/// The day that the dashboard takes for today, in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Today {
    /// The day by the machine's clock.
    System,
    /// Always this day: for tests, and for looking at a portfolio as it was.
    Fixed(NaiveDate),
}

impl Today {
    fn date(self) -> NaiveDate {
        match self {
            Self::System => Utc::now().date_naive(),
            Self::Fixed(date) => date,
        }
    }
}
