//! The queries as they were before: what an object-relational mapper does when nobody looks. Rows that belong together
//! are fetched one parent at a time (N+1), and every aggregate is computed from the raw rows at each request.
//!
//! Nothing here is slowed down on purpose: each statement is the plain one for its question, and uses the same indexes
//! as the tuned store. Do not improve it; it is what improvements are measured against.

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
    /// The store as the system was before.
    Phase1Store
}
