//! For whoever starts, stops and balances replicas. Open to all: it tells nothing about the data.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use crate::app::AppState;
use crate::usecases::ReadyReport;

/// Sign that the process runs.
#[derive(Serialize, ToSchema)]
pub struct Live {
    /// `live`.
    status: &'static str,
}

/// The process runs. Asks nothing, because restarting it would heal no dependency.
#[utoipa::path(get, path = "/health/live", operation_id = "live", tag = "operations",
    responses((status = 200, body = Live, description = "It runs")))]
pub async fn live() -> Json<Live> {
    Json(Live { status: "live" })
}

/// Whether to send traffic here; the body says what is missing.
#[utoipa::path(get, path = "/health/ready", operation_id = "ready", tag = "operations", responses(
    (status = 200, body = ReadyReport, description = "Send traffic; something may be degraded"),
    (status = 503, body = ReadyReport, description = "Do not send traffic")))]
pub async fn ready(State(app): State<AppState>) -> (StatusCode, Json<ReadyReport>) {
    let report = app.readiness.report().await;
    let status = if report.is_ready() {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    (status, Json(report))
}
