//! HTTP in and out: extract, call a use case, map its result. Nothing here decides anything.

pub mod auth;
pub mod cache_admin;
pub mod claims;
pub mod dashboard;
pub mod drivers;
pub mod extract;
pub mod health;
pub mod live;
pub mod metrics;
pub mod openapi;
pub mod pricing;
pub mod risk;
pub mod trips;

use axum::Json;
use axum::body::Body;
use axum::http::header::{CONTENT_TYPE, ETAG};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use self::extract::Ask;
use crate::domain::claims::ClaimError;
use crate::encoding;
use crate::errors::{ApiError, Cause};
use crate::store::StoreError;
use crate::usecases::{Answer, LoadFailed, Question, ReadError, WriteError, Written};

/// Header that names the tier that answered: `l1`, `l2`, `db`, `stale` or `off`.
pub const X_CACHE: HeaderName = HeaderName::from_static("x-cache");
/// Header with the version of the row behind the answer; of one row it only grows.
pub const X_VERSION: HeaderName = HeaderName::from_static("x-version");
/// Header with the place of a write's invalidation among all of them.
pub const X_CACHE_SEQ: HeaderName = HeaderName::from_static("x-cache-seq");

const JSON: HeaderValue = HeaderValue::from_static("application/json");

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        let tag = encoding::tag(self.version, &self.body);
        let mut response = Response::new(Body::from(self.body));
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, JSON);
        headers.insert(X_CACHE, HeaderValue::from_static(self.source.as_str()));
        headers.extend(tag.map(|tag| (ETAG, tag)));
        headers.extend(self.version.map(|version| (X_VERSION, HeaderValue::from(version))));
        response
    }
}

impl From<ReadError> for ApiError {
    fn from(error: ReadError) -> Self {
        match &error {
            ReadError::Loader(failed) if matches!(&**failed, LoadFailed::Store(store) if store.is_unavailable()) => {
                Self::Unavailable(Cause::new(error))
            }
            _ => Self::Internal(Cause::new(error)),
        }
    }
}

const NO_SUCH_DRIVER: &str = "there is no driver of this id";

fn found(answer: Option<Answer>) -> Result<Answer, ApiError> {
    answer.ok_or(ApiError::NotFound(NO_SUCH_DRIVER))
}

/// Asks about the portfolio, of which there is always something to tell.
async fn portfolio(ask: &Ask, question: Question) -> Result<Answer, ApiError> {
    let answer = ask.about(question).await?;
    answer.ok_or(ApiError::NotFound("there is nothing to tell"))
}

/// The answer to a write; `missing` says what there is not when nothing was written.
fn written<T: Serialize>(
    status: StatusCode,
    written: Option<Written<T>>,
    missing: &'static str,
) -> Result<Response, ApiError> {
    let written = written.ok_or(ApiError::NotFound(missing))?;
    let mut response = (status, Json(&written.value)).into_response();
    let headers = response.headers_mut();
    headers.insert(X_VERSION, HeaderValue::from(written.version));
    let place = written.cache_seq.map(|place| HeaderValue::from_str(&place.to_string()));
    // Digits and a dash: always fit for a header.
    headers.extend(place.and_then(Result::ok).map(|place| (X_CACHE_SEQ, place)));
    Ok(response)
}

impl From<WriteError> for ApiError {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::Claim(settled @ ClaimError::Final(_)) => Self::Conflict(settled.to_string()),
            WriteError::Trip(rule) => Self::Unprocessable(rule.to_string()),
            WriteError::Claim(rule) => Self::Unprocessable(rule.to_string()),
            WriteError::Driver(rule) => Self::Unprocessable(rule.to_string()),
            WriteError::Store(store) => refused(store),
            WriteError::KeyOfAnother => Self::Unprocessable(error.to_string()),
            WriteError::TooMany => Self::TooManyRequests {
                detail: "too many writes about this driver are waiting: wait for one of them",
                retry_after_s: 1,
            },
            WriteError::Backlogged => Self::Unavailable(Cause::new(error)),
            WriteError::Abandoned(_) => Self::Internal(Cause::new(error)),
        }
    }
}

/// A constraint that a client can break by what it sends is told by its name; every other failure is ours.
fn refused(error: StoreError) -> ApiError {
    match error.constraint() {
        Some("drivers_email_key") => ApiError::Conflict("another driver has this email".to_owned()),
        _ if error.is_unavailable() => ApiError::Unavailable(Cause::new(error)),
        _ => ApiError::Internal(Cause::new(error)),
    }
}
