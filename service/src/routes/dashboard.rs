//! The dashboards of the back office.

use super::extract::Ask;
use super::portfolio;
use crate::auth::Admin;
use crate::errors::ApiError;
use crate::store::{ClaimsOverview, DashboardSummary, ResourceMetrics, RiskDistribution, SafetyEvents, TripActivity};
use crate::usecases::{Answer, Question};

/// The portfolio in figures.
#[utoipa::path(get, path = "/admin/dashboard/summary", operation_id = "dashboard_summary", tag = "dashboard",
    security(("token" = [])), responses((status = 200, body = DashboardSummary, description = "The figures")))]
pub async fn summary(_: Admin, ask: Ask) -> Result<Answer, ApiError> {
    portfolio(&ask, Question::DashboardSummary).await
}

/// Trips of the last 30 days, day by day.
#[utoipa::path(get, path = "/admin/dashboard/trip-activity", operation_id = "trip_activity", tag = "dashboard",
    security(("token" = [])), responses((status = 200, body = TripActivity, description = "The days")))]
pub async fn trip_activity(_: Admin, ask: Ask) -> Result<Answer, ApiError> {
    portfolio(&ask, Question::TripActivity).await
}

/// How the drivers are spread over the risk bands.
#[utoipa::path(get, path = "/admin/dashboard/risk-distribution", operation_id = "risk_distribution", tag = "dashboard",
    security(("token" = [])), responses((status = 200, body = RiskDistribution, description = "The bands")))]
pub async fn risk_distribution(_: Admin, ask: Ask) -> Result<Answer, ApiError> {
    portfolio(&ask, Question::RiskDistribution).await
}

/// Safety events on the trips of the last 30 days, by kind.
#[utoipa::path(get, path = "/admin/dashboard/safety-events", operation_id = "safety_events", tag = "dashboard",
    security(("token" = [])), responses((status = 200, body = SafetyEvents, description = "The kinds")))]
pub async fn safety_events(_: Admin, ask: Ask) -> Result<Answer, ApiError> {
    portfolio(&ask, Question::SafetyEvents).await
}

/// All claims, by where they stand.
#[utoipa::path(get, path = "/admin/dashboard/claims-overview", operation_id = "claims_overview", tag = "dashboard",
    security(("token" = [])), responses((status = 200, body = ClaimsOverview, description = "The claims")))]
pub async fn claims_overview(_: Admin, ask: Ask) -> Result<Answer, ApiError> {
    portfolio(&ask, Question::ClaimsOverview).await
}

/// How much there is of everything.
#[utoipa::path(get, path = "/admin/resources/metrics", operation_id = "resource_metrics", tag = "dashboard",
    security(("token" = [])), responses((status = 200, body = ResourceMetrics, description = "The counts")))]
pub async fn resource_metrics(_: Admin, ask: Ask) -> Result<Answer, ApiError> {
    portfolio(&ask, Question::ResourceMetrics).await
}
