//! The OpenAPI document and a page that shows it.

use std::sync::LazyLock;

use axum::body::Bytes;
use axum::http::HeaderName;
use axum::http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use axum::response::Html;

/// Written once: it depends on nothing but this build.
static DOCUMENT: LazyLock<Bytes> = LazyLock::new(|| {
    let document = crate::router::document().to_json();
    // Made of plain values, which always have a JSON form; an empty document would fail every test of it.
    document.map(Bytes::from).unwrap_or_default()
});

/// Everything on the page is on the page: no other origin is asked for anything.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'";

/// The OpenAPI document of this service.
#[utoipa::path(get, path = "/openapi.json", operation_id = "openapi", tag = "operations",
    responses((status = 200, body = Object, description = "The document, OpenAPI 3.1")))]
pub async fn json() -> ([(HeaderName, &'static str); 1], Bytes) {
    ([(CONTENT_TYPE, "application/json")], DOCUMENT.clone())
}

/// The same for people.
#[utoipa::path(get, path = "/docs", operation_id = "docs", tag = "operations",
    responses((status = 200, body = String, content_type = "text/html", description = "The page")))]
pub async fn page() -> ([(HeaderName, &'static str); 1], Html<&'static str>) {
    ([(CONTENT_SECURITY_POLICY, POLICY)], Html(include_str!("openapi.html")))
}
