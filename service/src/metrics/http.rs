//! Requests by route: how many, how they ended, how long they took.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::http::StatusCode;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use super::{LATENCY_BUCKETS_S, registered};

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    route: String,
    method: &'static str,
    status: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RouteLabels {
    route: String,
    method: &'static str,
}

/// The families; [`HttpMetrics::route`] gives the handles of one route.
pub struct HttpMetrics {
    requests: Family<RequestLabels, Counter>,
    durations: Family<RouteLabels, Histogram>,
    shed: Family<RouteLabels, Counter>,
    in_flight: Gauge,
}

impl HttpMetrics {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let durations = Family::new_with_constructor((|| Histogram::new(LATENCY_BUCKETS_S)) as fn() -> Histogram);
        Self {
            requests: registered(
                registry,
                "http_requests",
                "Answered requests by route, method and status",
                Family::default(),
            ),
            durations: registered(
                registry,
                "http_request_duration_seconds",
                "From the parsed request to the response that is ready to send",
                durations,
            ),
            shed: registered(
                registry,
                "http_requests_shed",
                "Requests refused because too many were being answered",
                Family::default(),
            ),
            in_flight: registered(
                registry,
                "http_requests_in_flight",
                "Requests that are being answered",
                Gauge::default(),
            ),
        }
    }

    /// Sets the gauge of requests in flight; called when metrics are rendered.
    pub fn set_in_flight(&self, now: usize) {
        self.in_flight.set(i64::try_from(now).unwrap_or(i64::MAX));
    }

    /// The handles of one route, resolved now so that no request has to.
    pub fn route(&self, method: &'static str, route: &str) -> Arc<RouteMetrics> {
        let labels = RouteLabels {
            route: route.to_owned(),
            method,
        };
        Arc::new(RouteMetrics {
            method,
            route: route.to_owned(),
            requests: self.requests.clone(),
            by_status: std::array::from_fn(|_| OnceLock::new()),
            duration: self.durations.get_or_create_owned(&labels),
            shed: self.shed.get_or_create_owned(&labels),
        })
    }
}

const FIRST_STATUS: u16 = 100;
const STATUSES: usize = 500;

/// One route's handles.
pub struct RouteMetrics {
    method: &'static str,
    route: String,
    requests: Family<RequestLabels, Counter>,
    /// One slot for each status of RFC 9110, filled on first use: a series appears when it has something to say.
    by_status: [OnceLock<Counter>; STATUSES],
    duration: Histogram,
    /// Requests refused because too many were being answered.
    pub(crate) shed: Counter,
}

impl RouteMetrics {
    /// Counts a request and its time.
    pub(crate) fn record(&self, status: StatusCode, elapsed: Duration) {
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
            route: self.route.clone(),
            method: self.method,
            status: status.as_u16(),
        };
        self.requests.get_or_create_owned(&labels)
    }
}
