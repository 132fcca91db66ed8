//! For whoever starts, stops and balances replicas. Open to all: it tells nothing about the data.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;

use crate::app::AppState;
use crate::usecases::ReadyReport;

/// `GET /health/live`: the process runs. Asks nothing, because restarting it would heal no dependency.
pub async fn live() -> Json<serde_json::Value> {
    Json(serde_json::json!({"status": "live"}))
}

/// `GET /health/ready`: whether to send traffic here; the body says what is missing.
pub async fn ready(State(app): State<AppState>) -> (StatusCode, Json<ReadyReport>) {
    let report = app.readiness.report().await;
    let status = if report.is_ready() {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    (status, Json(report))
}
