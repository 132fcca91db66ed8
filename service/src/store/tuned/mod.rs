//! The queries as they should be: one statement per read, whatever the size of the answer, over covering indexes and
//! the totals that writers keep.

mod details;
mod driver;
mod lists;
mod portfolio;
mod risk;
mod scoring;
mod summary;

use super::error::Doing as _;
use super::outbox::Notes;
use super::sql_store::Breakers;
use super::{
    ClaimsOverview, CurrentRisk, DashboardSummary, DriverDetails, DriverKey, DriverListItem, DriverStatistics, Page,
    PageRequest, Premium, ResourceMetrics, RiskDistribution, SafetyEvents, Store, StoreError, TakenIn, Today, Trip,
    TripActivity, TripKey, Versioned,
};
use crate::codec::Format;
use crate::domain::events::EventId;
use crate::domain::ids::DriverId;

sql_store! {
    /// The store as it should be.
    TunedStore
}
