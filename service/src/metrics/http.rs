//! Requests by route: how many, how they ended, how long they took.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::Response;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use super::LATENCY_BUCKETS_S;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    route: &'static str,
    method: &'static str,
    status: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RouteLabels {
    route: &'static str,
}

/// The families; [`HttpMetrics::route`] gives the handles of one route.
pub struct HttpMetrics {
    requests: Family<RequestLabels, Counter>,
    durations: Family<RouteLabels, Histogram>,
}

impl HttpMetrics {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let requests = Family::default();
        let durations = Family::new_with_constructor((|| Histogram::new(LATENCY_BUCKETS_S)) as fn() -> Histogram);
        registry.register(
            "http_requests",
            "Answered requests by route, method and status",
            requests.clone(),
        );
        registry.register(
            "http_request_duration_seconds",
            "From the parsed request to the response that is ready to send",
            durations.clone(),
        );
        Self { requests, durations }
    }

    /// The handles of one route, resolved now so that no request has to.
    pub fn route(&self, method: &'static str, route: &'static str) -> Arc<RouteMetrics> {
        Arc::new(RouteMetrics {
            method,
            route,
            requests: self.requests.clone(),
            by_status: std::array::from_fn(|_| OnceLock::new()),
            duration: self.durations.get_or_create_owned(&RouteLabels { route }),
        })
    }
}

const FIRST_STATUS: u16 = 100;
const STATUSES: usize = 500;

/// One route's handles.
pub struct RouteMetrics {
    method: &'static str,
    route: &'static str,
    requests: Family<RequestLabels, Counter>,
    /// One slot for each status of RFC 9110, filled on first use: a series appears when it has something to say.
    by_status: [OnceLock<Counter>; STATUSES],
    duration: Histogram,
}

impl RouteMetrics {
    fn record(&self, status: StatusCode, elapsed: Duration) {
        self.duration.observe(elapsed.as_secs_f64());
        let slot = usize::from(status.as_u16() - FIRST_STATUS);
        match self.by_status.get(slot) {
            Some(counter) => counter.get_or_init(|| self.counter(status)).inc(),
            // 600 to 999 are legal for the `http` crate and used by nobody: looked up if it ever happens.
            None => self.counter(status).inc(),
        };
    }

    fn counter(&self, status: StatusCode) -> Counter {
        let labels = RequestLabels {
            route: self.route,
            method: self.method,
            status: status.as_u16(),
        };
        self.requests.get_or_create_owned(&labels)
    }
}

/// The one layer around every route.
pub async fn measure(State(route): State<Arc<RouteMetrics>>, request: Request, next: Next) -> Response {
    let started = Instant::now();
    let response = next.run(request).await;
    route.record(response.status(), started.elapsed());
    response
}
