//! The only list of routes.
//!
//! Around each of them stands one layer, which counts and times it through handles that are resolved here, at start-up.

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::from_fn_with_state;
use axum::routing::{MethodRouter, any, get, post};

use crate::app::AppState;
use crate::errors::ApiError;
use crate::metrics::measure;
use crate::routes::{auth, dashboard, drivers, health, metrics, risk, trips};

/// A trip's body has some 300 bytes; this leaves room for every field with any spelling of its numbers.
const BODY_LIMIT_BYTES: usize = 16 * 1024;

/// The `route` label of what is on no list.
const UNMATCHED: &str = "unmatched";

/// Method, path, handler. A second method of a path goes into the same line's handler.
fn routes() -> [(&'static str, &'static str, MethodRouter<AppState>); 8] {
    [
        ("POST", "/auth/token", post(auth::token)),
        ("GET", "/admin/dashboard/summary", get(dashboard::summary)),
        ("GET", "/admin/drivers/{id}", get(drivers::details)),
        ("GET", "/risk/{id}/current", get(risk::current)),
        ("POST", "/drivers/{id}/trips", post(trips::record)),
        ("GET", "/health/live", get(health::live)),
        ("GET", "/health/ready", get(health::ready)),
        ("GET", "/metrics", get(metrics::render)),
    ]
}

/// The service as axum serves it.
pub fn router(app: AppState) -> Router {
    let counted = |method, path, handler: MethodRouter<AppState>| {
        handler.layer(from_fn_with_state(app.metrics.http.route(method, path), measure))
    };
    let listed = routes()
        .into_iter()
        .fold(Router::new(), |router, (method, path, handler)| {
            router.route(path, counted(method, path, handler.fallback(method_not_allowed)))
        });
    let unmatched = counted("any", UNMATCHED, any(not_found)).with_state(app.clone());
    listed
        .fallback_service(unmatched)
        .layer(DefaultBodyLimit::max(BODY_LIMIT_BYTES))
        .with_state(app)
}

async fn not_found() -> ApiError {
    ApiError::NotFound("there is no such route")
}

async fn method_not_allowed() -> ApiError {
    ApiError::MethodNotAllowed
}
