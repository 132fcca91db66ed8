//! HTTP in and out: extract, call a use case, map its result. Nothing here decides anything.

pub mod auth;
pub mod dashboard;
pub mod drivers;
pub mod extract;
pub mod health;
pub mod metrics;
pub mod risk;
pub mod trips;

use axum::body::Body;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderName, HeaderValue};
use axum::response::{IntoResponse, Response};

use crate::errors::{ApiError, Cause};
use crate::usecases::{Answer, LoadFailed, ReadError};

/// Which tier answered: `l1`, `l2`, `db`, `stale` or `off`.
pub const X_CACHE: HeaderName = HeaderName::from_static("x-cache");
/// The version of the row behind the answer; of one row it only grows.
pub const X_VERSION: HeaderName = HeaderName::from_static("x-version");
/// The place of a write's invalidation among all of them.
pub const X_CACHE_SEQ: HeaderName = HeaderName::from_static("x-cache-seq");

const JSON: HeaderValue = HeaderValue::from_static("application/json");

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        let mut response = Response::new(Body::from(self.body));
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, JSON);
        headers.insert(X_CACHE, HeaderValue::from_static(self.source.as_str()));
        headers.extend(self.version.map(|version| (X_VERSION, HeaderValue::from(version))));
        response
    }
}

impl From<ReadError> for ApiError {
    fn from(error: ReadError) -> Self {
        let away = matches!(&error, ReadError::Loader(failed) if matches!(&**failed, LoadFailed::Store(store) if store.is_unavailable()));
        if away {
            Self::Unavailable(Cause::new(error))
        } else {
            Self::Internal(Cause::new(error))
        }
    }
}

const NO_SUCH_DRIVER: &str = "there is no driver of this id";

fn found(answer: Option<Answer>) -> Result<Answer, ApiError> {
    answer.ok_or(ApiError::NotFound(NO_SUCH_DRIVER))
}
