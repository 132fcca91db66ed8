//! For Prometheus.

use axum::extract::State;
use axum::http::header::{ACCEPT, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderName};

use crate::app::AppState;
use crate::errors::ApiError;
use crate::metrics::Format;

/// Everything counted since the start; `OpenMetrics` for whoever accepts it, else the Prometheus text format.
#[utoipa::path(get, path = "/metrics", operation_id = "metrics", tag = "operations",
    responses((status = 200, description = "The metrics", content(
        (String = "text/plain"), (String = "application/openmetrics-text")))))]
pub async fn render(
    State(app): State<AppState>,
    headers: HeaderMap,
) -> Result<([(HeaderName, &'static str); 1], String), ApiError> {
    if let Some(cache) = &app.cache {
        app.metrics
            .cache
            .look_at(&cache.stats(), &app.reads.ages_of_aggregates());
    }
    app.metrics.http.set_in_flight(app.in_flight.now());
    let format = Format::accepted(headers.get(ACCEPT).and_then(|accept| accept.to_str().ok()));
    let text = app.metrics.render().map_err(ApiError::Internal)?;
    Ok(([(CONTENT_TYPE, format.content_type())], format.write(text)))
}
