//! The one layer around every route: limits, load shedding, the time-out, faults on purpose, and counting.
//!
//! One layer instead of five, because each costs a handler that answers in microseconds a good part of its time
//! (docs/ARCHITECTURE.md). What it needs is resolved per route at start-up.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use axum::body::{Body, HttpBody as _, to_bytes};
use axum::extract::{Request, State};
use axum::http::header::{ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_LENGTH, IF_NONE_MATCH};
use axum::http::{HeaderMap, HeaderValue};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::TryFutureExt as _;

use crate::encoding;
use crate::errors::{ApiError, Cause};
use crate::faults::RouteFaults;
use crate::metrics::RouteMetrics;

/// Names and values of all headers together: twice what browsers and proxies send at their worst.
const HEADERS_MAX_BYTES: usize = 16 * 1024;
/// Path and query: the longest cursor has 60 bytes.
const URI_MAX_BYTES: usize = 4 * 1024;

/// A trip's body has some 300 bytes; this leaves room for every field with any spelling of its numbers.
pub const BODY_MAX_BYTES: usize = 16 * 1024;
/// Answers are about people, or are theirs to use (tokens): nobody on the way keeps them. A client that holds one
/// itself asks with its `ETag`.
const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");

/// Requests that are being answered, all routes together.
#[derive(Debug)]
pub struct InFlight {
    now: AtomicUsize,
    max: usize,
}

/// A place among the requests in flight.
struct Place<'g>(&'g InFlight);

impl InFlight {
    /// At most `max` at a time: beyond it a request would wait for a database connection longer than its client does.
    pub fn new(max: usize) -> Self {
        Self {
            now: AtomicUsize::new(0),
            max,
        }
    }

    /// How many there are.
    pub fn now(&self) -> usize {
        self.now.load(Ordering::Relaxed)
    }

    /// A place, if one is free. Relaxed: the count guards nothing but itself.
    fn enter(&self) -> Option<Place<'_>> {
        let before = self.now.fetch_add(1, Ordering::Relaxed);
        let place = Place(self);
        (before < self.max).then_some(place)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.now.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Guard of one route: its limits, its handles and its faults.
pub struct RouteGuard {
    /// Where requests are counted.
    pub metrics: Arc<RouteMetrics>,
    /// Where a request needs a place. What operators must reach when the service is full has places of its own.
    pub in_flight: Arc<InFlight>,
    /// How long the body of a request may take.
    pub body_timeout: Duration,
    /// How long an answer may take.
    pub timeout: Duration,
    /// Faults on purpose; usually none.
    pub faults: RouteFaults,
}

/// Applies a route's guard to a request.
pub async fn guard(State(guard): State<Arc<RouteGuard>>, request: Request, next: Next) -> Response {
    let started = Instant::now();
    let known = request.headers().get(IF_NONE_MATCH).cloned();
    let accepted = request.headers().get(ACCEPT_ENCODING).cloned();
    let mut response = guard
        .answer(request, next)
        .await
        .unwrap_or_else(ApiError::into_response);
    response.headers_mut().entry(CACHE_CONTROL).or_insert(NO_STORE);
    if let Some(known) = known {
        response = encoding::unless_known(&known, response);
    }
    if encoding::is_worth_it(&response) {
        response = encoding::encoded(accepted.as_ref(), response).await;
    }
    guard.metrics.record(response.status(), started.elapsed());
    response
}

impl RouteGuard {
    async fn answer(&self, request: Request, next: Next) -> Result<Response, ApiError> {
        check_size(&request)?;
        // Before it takes a place: a body that does not come would keep it from others.
        let request = if request.body().is_end_stream() {
            request
        } else {
            self.with_whole_body(request).await?
        };
        let _place = self.in_flight.enter().ok_or_else(|| self.shed())?;
        if !self.faults.is_empty() && self.faults.strike().await {
            return Err(ApiError::Internal(Cause::new(FaultOnPurpose)));
        }
        // The timer starts only when the answer is not there at once: a hit in memory never sets it.
        tokio::time::timeout(self.timeout, next.run(request))
            .await
            .map_err(|_| ApiError::TimedOut)
    }

    async fn with_whole_body(&self, request: Request) -> Result<Request, ApiError> {
        if announced_bytes(request.headers()).is_some_and(|bytes| bytes > BODY_MAX_BYTES as u64) {
            return Err(ApiError::TooLarge);
        }
        let (head, body) = request.into_parts();
        let whole = to_bytes(body, BODY_MAX_BYTES).map_err(|error| body_refusal(&error));
        let whole = tokio::time::timeout(self.body_timeout, whole).await;
        let whole = whole.map_err(|_| ApiError::BodyTimedOut)??;
        Ok(Request::from_parts(head, Body::from(whole)))
    }

    fn shed(&self) -> ApiError {
        self.metrics.shed.inc();
        ApiError::Busy
    }
}

#[derive(Debug, thiserror::Error)]
#[error("a fault on purpose (FAULTS)")]
struct FaultOnPurpose;

fn announced_bytes(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// A body is longer than it may be, or ends before its end.
fn body_refusal(error: &axum::Error) -> ApiError {
    let source = std::error::Error::source(error);
    if source.is_some_and(<dyn std::error::Error>::is::<http_body_util::LengthLimitError>) {
        ApiError::TooLarge
    } else {
        ApiError::BadRequest("the body did not come as a whole".to_owned())
    }
}

fn check_size(request: &Request) -> Result<(), ApiError> {
    let uri = request.uri().path_and_query().map_or(0, |text| text.as_str().len());
    if uri > URI_MAX_BYTES {
        return Err(ApiError::UriTooLong);
    }
    if size(request.headers()) > HEADERS_MAX_BYTES {
        return Err(ApiError::HeadersTooLarge);
    }
    Ok(())
}

fn size(headers: &HeaderMap) -> usize {
    headers
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len())
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_given_back_and_beyond_the_bound_there_is_none() {
        let in_flight = InFlight::new(2);
        let (first, second) = (in_flight.enter(), in_flight.enter());
        assert!(first.is_some() && second.is_some());
        assert!(in_flight.enter().is_none());
        assert_eq!(in_flight.now(), 2);
        drop(first);
        assert!(in_flight.enter().is_some());
        drop(second);
        assert_eq!(in_flight.now(), 0);
    }
}
