//! For Prometheus.

use axum::extract::State;
use axum::http::HeaderName;
use axum::http::header::CONTENT_TYPE;

use crate::app::AppState;
use crate::errors::ApiError;
use crate::metrics::Metrics;

/// `GET /metrics`: everything counted since the start.
pub async fn render(State(app): State<AppState>) -> Result<([(HeaderName, &'static str); 1], String), ApiError> {
    if let Some(cache) = &app.cache {
        app.metrics.cache.set_l1_bytes(cache.stats().l1_bytes);
    }
    let text = app.metrics.render().map_err(ApiError::Internal)?;
    Ok(([(CONTENT_TYPE, Metrics::CONTENT_TYPE)], text))
}
