//! For Prometheus.

use std::time::Duration;

use axum::extract::State;
use axum::http::header::{ACCEPT, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderName};
use tokio::time::timeout;

use crate::app::AppState;
use crate::errors::ApiError;
use crate::metrics::Format;

/// How long the database may take to tell about itself: a scrape must not hang because it does.
const PATIENCE: Duration = Duration::from_millis(500);

/// Everything counted since the start; `OpenMetrics` for whoever accepts it, else the Prometheus text format.
#[utoipa::path(get, path = "/metrics", operation_id = "metrics", tag = "operations",
    responses((status = 200, description = "The metrics", content(
        (String = "text/plain"), (String = "application/openmetrics-text")))))]
pub async fn render(
    State(app): State<AppState>,
    headers: HeaderMap,
) -> Result<([(HeaderName, &'static str); 1], String), ApiError> {
    ask_database(&app).await;
    if let Some(cache) = &app.cache {
        app.metrics
            .cache
            .look_at(&cache.stats(), &app.reads.ages_of_aggregates());
    }
    app.metrics.events.set_consumer(app.consumer.partitions());
    app.metrics.http.set_in_flight(app.in_flight.now());
    let format = Format::accepted(headers.get(ACCEPT).and_then(|accept| accept.to_str().ok()));
    let text = app.metrics.render().map_err(ApiError::Internal)?;
    Ok(([(CONTENT_TYPE, format.content_type())], format.write(text)))
}

async fn ask_database(app: &AppState) {
    let waiting = timeout(PATIENCE, app.database.waiting()).await;
    if let Ok(Ok(waiting)) = &waiting {
        app.metrics.events.set_waiting(waiting);
        app.metrics.cache.set_waiting(waiting);
    }
    let is_up = matches!(waiting, Ok(Ok(_)));
    app.metrics.database.set(is_up, &app.pool);
}
