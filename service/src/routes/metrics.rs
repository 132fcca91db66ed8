//! For Prometheus.

use std::time::Duration;

use axum::extract::State;
use axum::http::header::{ACCEPT, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderName};

use crate::app::AppState;
use crate::errors::ApiError;
use crate::metrics::Format;

/// How long Redis may take to tell its memory: a scrape must not hang because Redis does.
const REDIS_PATIENCE: Duration = Duration::from_millis(200);

/// Everything counted since the start; `OpenMetrics` for whoever accepts it, else the Prometheus text format.
#[utoipa::path(get, path = "/metrics", operation_id = "metrics", tag = "operations",
    responses((status = 200, description = "The metrics", content(
        (String = "text/plain"), (String = "application/openmetrics-text")))))]
pub async fn render(
    State(app): State<AppState>,
    headers: HeaderMap,
) -> Result<([(HeaderName, &'static str); 1], String), ApiError> {
    if let Some(cache) = &app.cache {
        app.metrics.cache.set_l1_bytes(cache.stats().l1_bytes);
    }
    if let Some(redis) = &app.redis
        && let Ok(Ok(memory)) = tokio::time::timeout(REDIS_PATIENCE, redis.memory()).await
    {
        app.metrics.cache.set_redis_memory(memory);
    }
    app.metrics.http.set_in_flight(app.in_flight.now());
    let format = Format::accepted(headers.get(ACCEPT).and_then(|accept| accept.to_str().ok()));
    let text = app.metrics.render().map_err(ApiError::Internal)?;
    Ok(([(CONTENT_TYPE, format.content_type())], format.write(text)))
}
