//! The one layer around every route: limits, load shedding, the time-out, faults on purpose, and counting.
//!
//! One layer instead of five, because each costs a handler that answers in microseconds a good part of its time
//! (docs/ARCHITECTURE.md). What it needs is resolved per route at start-up.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use axum::extract::{Request, State};
use axum::http::HeaderMap;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::errors::{ApiError, Cause};
use crate::faults::RouteFaults;
use crate::metrics::RouteMetrics;

/// Names and values of all headers together: twice what browsers and proxies send at their worst.
const HEADERS_MAX_BYTES: usize = 16 * 1024;
/// Path and query: the longest cursor has 60 bytes.
const URI_MAX_BYTES: usize = 4 * 1024;

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
    /// Where a request needs a place; `None` for what operators must reach when the service is full.
    pub in_flight: Option<Arc<InFlight>>,
    /// How long an answer may take.
    pub timeout: Duration,
    /// Faults on purpose; usually none.
    pub faults: RouteFaults,
}

/// Applies a route's guard to a request.
pub async fn guard(State(guard): State<Arc<RouteGuard>>, request: Request, next: Next) -> Response {
    let started = Instant::now();
    let response = guard
        .answer(request, next)
        .await
        .unwrap_or_else(ApiError::into_response);
    guard.metrics.record(response.status(), started.elapsed());
    response
}

impl RouteGuard {
    async fn answer(&self, request: Request, next: Next) -> Result<Response, ApiError> {
        let _place = match &self.in_flight {
            Some(in_flight) => Some(in_flight.enter().ok_or_else(|| self.shed())?),
            None => None,
        };
        check_size(&request)?;
        if !self.faults.is_empty() && self.faults.strike().await {
            return Err(ApiError::Internal(Cause::new(FaultOnPurpose)));
        }
        // The timer starts only when the answer is not there at once: a hit in memory never sets it.
        tokio::time::timeout(self.timeout, next.run(request))
            .await
            .map_err(|_| ApiError::TimedOut)
    }

    fn shed(&self) -> ApiError {
        self.metrics.shed.inc();
        ApiError::Busy
    }
}

#[derive(Debug, thiserror::Error)]
#[error("a fault on purpose (FAULTS)")]
struct FaultOnPurpose;

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
