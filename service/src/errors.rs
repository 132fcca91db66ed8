//! The error table: what the client is told and what the log is told.
//!
//! A client gets a problem document (RFC 9457) with a request id. When the fault is ours, the document's text is fixed,
//! and the cause goes to the log under the same id.

use std::error::Error;
use std::fmt;
use std::sync::Arc;

use axum::http::header::{CONTENT_TYPE, RETRY_AFTER, UPGRADE, WWW_AUTHENTICATE};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

/// The header that repeats the document's `request_id`, for clients that log headers only.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Why something of ours failed; shared, because all waiters of one load fail together.
#[derive(Clone)]
pub struct Cause(Arc<dyn Error + Send + Sync>);

impl Cause {
    /// Wraps an error.
    pub fn new(error: impl Error + Send + Sync + 'static) -> Self {
        Self(Arc::new(error))
    }
}

impl fmt::Display for Cause {
    /// The error and what it stems from, on one line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut source = self.0.source();
        while let Some(error) = source {
            write!(f, ": {error}")?;
            source = error.source();
        }
        Ok(())
    }
}

impl fmt::Debug for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Every way in which a request can fail.
#[derive(Debug)]
pub enum ApiError {
    /// The request cannot be understood; says where.
    BadRequest(String),
    /// No token, or not a valid one.
    Unauthorized(&'static str),
    /// A valid token that does not reach this far.
    Forbidden,
    /// No such route or row.
    NotFound(&'static str),
    /// The route exists, but not with this method.
    MethodNotAllowed,
    /// The route speaks WebSocket only.
    UpgradeRequired,
    /// The body is over the limit.
    TooLarge,
    /// The body did not come in time.
    BodyTimedOut,
    /// The body is not said to be JSON.
    UnsupportedMediaType,
    /// Understood, but against a rule; says which.
    Unprocessable(String),
    /// Against what is there already; says what.
    Conflict(String),
    /// The path and query are over the limit.
    UriTooLong,
    /// The headers are over the limit.
    HeadersTooLarge,
    /// Somebody has to wait before trying again; says why.
    TooManyRequests {
        /// Limit that was reached.
        detail: &'static str,
        /// How long, in seconds.
        retry_after_s: u64,
    },
    /// The answer did not come in time.
    TimedOut,
    /// More of these than the service can take at once.
    Busy,
    /// Something that the service needs does not answer.
    Unavailable(Cause),
    /// A fault of ours.
    Internal(Cause),
}

/// One line of the table: status, the last part of the type's name, title.
type Row = (StatusCode, &'static str, &'static str);

impl ApiError {
    fn row(&self) -> Row {
        use StatusCode as S;
        match self {
            Self::BadRequest(_) => (S::BAD_REQUEST, "bad-request", "The request cannot be understood"),
            Self::Unauthorized(_) => (S::UNAUTHORIZED, "unauthorized", "A valid access token is needed"),
            Self::Forbidden => (S::FORBIDDEN, "forbidden", "The access token does not reach this far"),
            Self::NotFound(_) => (S::NOT_FOUND, "not-found", "There is no such thing"),
            Self::MethodNotAllowed => (
                S::METHOD_NOT_ALLOWED,
                "method-not-allowed",
                "This route does not take that method",
            ),
            Self::UpgradeRequired => (
                S::UPGRADE_REQUIRED,
                "upgrade-required",
                "This route speaks WebSocket only",
            ),
            Self::TooLarge => (S::PAYLOAD_TOO_LARGE, "too-large", "The body is too large"),
            Self::BodyTimedOut => (S::REQUEST_TIMEOUT, "body-timed-out", "The body did not come in time"),
            Self::UnsupportedMediaType => (
                S::UNSUPPORTED_MEDIA_TYPE,
                "unsupported-media-type",
                "The body must be application/json",
            ),
            Self::Unprocessable(_) => (S::UNPROCESSABLE_ENTITY, "unprocessable", "The content breaks a rule"),
            Self::Conflict(_) => (S::CONFLICT, "conflict", "The content contradicts what is there"),
            Self::UriTooLong => (S::URI_TOO_LONG, "uri-too-long", "The URI is too long"),
            Self::HeadersTooLarge => (
                S::REQUEST_HEADER_FIELDS_TOO_LARGE,
                "headers-too-large",
                "The headers are too large",
            ),
            Self::TooManyRequests { .. } => (S::TOO_MANY_REQUESTS, "too-many-requests", "Too many requests"),
            Self::TimedOut => (S::SERVICE_UNAVAILABLE, "timed-out", "The answer did not come in time"),
            Self::Busy => (S::SERVICE_UNAVAILABLE, "busy", "Too many of these requests at once"),
            Self::Unavailable(_) => (S::SERVICE_UNAVAILABLE, "unavailable", "The service cannot answer now"),
            Self::Internal(_) => (S::INTERNAL_SERVER_ERROR, "internal", "The service failed"),
        }
    }

    /// Text for the client beyond the title; a fixed one wherever the cause is ours.
    fn detail(&self) -> &str {
        match self {
            Self::BadRequest(detail) | Self::Unprocessable(detail) | Self::Conflict(detail) => detail,
            Self::Unauthorized(detail) | Self::NotFound(detail) | Self::TooManyRequests { detail, .. } => detail,
            Self::Forbidden => "a driver's token reaches that driver's own rows only",
            Self::MethodNotAllowed => "see the Allow header",
            Self::UpgradeRequired => "send a WebSocket handshake (RFC 6455, version 13)",
            Self::TooLarge => "send at most 16 KiB",
            Self::BodyTimedOut => "send the whole body at once",
            Self::UriTooLong => "path and query may have 4 KiB",
            Self::HeadersTooLarge => "all headers together may have 16 KiB",
            Self::UnsupportedMediaType => "send Content-Type: application/json",
            Self::Busy | Self::Unavailable(_) | Self::TimedOut => {
                "try again after the seconds in the Retry-After header"
            }
            Self::Internal(_) => "give the request_id when you report this",
        }
    }

    /// The header that tells a client how to go on: after 401 which scheme, after 426 which protocol, after 429 and 503
    /// when.
    fn hint(&self, status: StatusCode) -> Option<(HeaderName, HeaderValue)> {
        match (self, status) {
            (Self::TooManyRequests { retry_after_s, .. }, _) => Some((RETRY_AFTER, HeaderValue::from(*retry_after_s))),
            (_, StatusCode::UNAUTHORIZED) => Some((WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))),
            (_, StatusCode::UPGRADE_REQUIRED) => Some((UPGRADE, HeaderValue::from_static("websocket"))),
            (_, StatusCode::SERVICE_UNAVAILABLE) => Some((RETRY_AFTER, HeaderValue::from_static("1"))),
            _ => None,
        }
    }

    fn log(&self, request_id: Uuid) {
        match self {
            Self::Internal(cause) => tracing::error!(%request_id, %cause, "a request failed"),
            Self::Unavailable(cause) => tracing::warn!(%request_id, %cause, "a request could not be answered"),
            _ => tracing::debug!(%request_id, error = ?self, "a request was refused"),
        }
    }
}

/// A problem document (RFC 9457).
#[derive(Serialize, ToSchema)]
pub struct Problem<'a> {
    /// Names the kind of problem: `urn:insurance-service:problem:` and a word.
    #[serde(rename = "type")]
    kind: String,
    /// What the kind of problem means in words.
    title: &'static str,
    /// The status of the response.
    status: u16,
    /// The fault of this request, and how to correct it.
    detail: &'a str,
    /// Under which the log tells more.
    request_id: Uuid,
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let request_id = Uuid::now_v7();
        self.log(request_id);
        let (status, name, title) = self.row();
        let hint = self.hint(status);
        let kind = format!("urn:insurance-service:problem:{name}");
        let problem = Problem {
            kind,
            title,
            status: status.as_u16(),
            detail: self.detail(),
            request_id,
        };
        let mut response = (status, axum::Json(problem)).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        let id = HeaderValue::try_from(request_id.to_string());
        headers.extend(id.ok().map(|id| (REQUEST_ID, id)));
        headers.extend(hint);
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn document(error: ApiError) -> (StatusCode, serde_json::Value) {
        let response = error.into_response();
        let status = response.status();
        let id = response
            .headers()
            .get(REQUEST_ID)
            .expect("an id")
            .to_str()
            .expect("text")
            .to_owned();
        assert_eq!(response.headers()[CONTENT_TYPE], "application/problem+json");
        let body = axum::body::to_bytes(response.into_body(), usize::MAX)
            .await
            .expect("a body");
        let document: serde_json::Value = serde_json::from_slice(&body).expect("JSON");
        assert_eq!(document["request_id"], id.as_str());
        assert_eq!(document["status"], status.as_u16());
        (status, document)
    }

    #[tokio::test]
    async fn our_own_faults_tell_the_client_nothing_of_the_cause() {
        let cause = || Cause::new(std::io::Error::other("password=hunter2"));
        for error in [ApiError::Internal(cause()), ApiError::Unavailable(cause())] {
            let (status, document) = document(error).await;
            assert!(status.is_server_error());
            assert!(!document.to_string().contains("hunter2"), "{document}");
        }
    }

    #[tokio::test]
    async fn a_refusal_says_what_to_correct() {
        let (status, document) = document(ApiError::Unprocessable("duration_s must be above 0".to_owned())).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
        assert_eq!(document["detail"], "duration_s must be above 0");
        assert_eq!(document["type"], "urn:insurance-service:problem:unprocessable");
    }

    #[tokio::test]
    async fn a_client_is_told_how_to_go_on() {
        let response = ApiError::Unauthorized("no token").into_response();
        assert_eq!(response.headers()[WWW_AUTHENTICATE], "Bearer");
        assert_eq!(ApiError::Busy.into_response().headers()[RETRY_AFTER], "1");
    }

    #[test]
    fn the_log_gets_the_whole_chain() {
        #[derive(Debug, thiserror::Error)]
        #[error("outer")]
        struct Outer(#[source] std::io::Error);
        let cause = Cause::new(Outer(std::io::Error::other("inner")));
        assert_eq!(cause.to_string(), "outer: inner");
    }
}
