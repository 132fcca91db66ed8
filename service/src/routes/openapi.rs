//! The OpenAPI document and a page that shows it.

use axum::body::Bytes;
use axum::extract::State;
use axum::http::HeaderName;
use axum::http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use axum::response::Html;

use crate::app::AppState;

/// Everything on the page is on the page: no other origin is asked for anything.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'";

/// The OpenAPI document of this service.
#[utoipa::path(get, path = "/openapi.json", operation_id = "openapi", tag = "operations",
    responses((status = 200, body = Object, description = "The document, OpenAPI 3.1")))]
pub async fn json(State(app): State<AppState>) -> ([(HeaderName, &'static str); 1], Bytes) {
    ([(CONTENT_TYPE, "application/json")], app.document.clone())
}

/// A page that shows the OpenAPI document to people.
#[utoipa::path(get, path = "/docs", operation_id = "docs", tag = "operations",
    responses((status = 200, body = String, content_type = "text/html", description = "The page")))]
pub async fn page() -> ([(HeaderName, &'static str); 1], Html<&'static str>) {
    ([(CONTENT_SECURITY_POLICY, POLICY)], Html(include_str!("openapi.html")))
}
