//! Counters of one endpoint in one phase, and of one second over all endpoints.

use hdrhistogram::Histogram;

use super::RequestEnd;
use crate::figures::us_to_ms;
use crate::histogram::{self, LatencyHistogram, SliceHistogram, add_same_layout, clamp_us};
use crate::record::{EndpointCounts, Failures, Slice};

/// Times of one request, microseconds: `service` where the model keeps it apart.
#[derive(Debug, Clone, Copy)]
pub(super) struct Times {
    pub(super) response_us: u64,
    pub(super) service_us: u64,
}

/// One endpoint in one phase. 32-bit counters halve the memory; a bucket would need 4 billion answers to fill one.
#[derive(Debug, Clone)]
pub(super) struct Cell {
    pub(super) failures: Failures,
    pub(super) repeated: u64,
    pub(super) compressed_bytes: u64,
    pub(super) content_bytes: u64,
    bytes: u64,
    pub(super) response: Histogram<u32>,
    service: Option<Histogram<u32>>,
}

impl Cell {
    pub(super) fn new(keeps_service: bool) -> Self {
        Self {
            failures: Failures::default(),
            repeated: 0,
            compressed_bytes: 0,
            content_bytes: 0,
            bytes: 0,
            response: histogram::full_precision(),
            service: keeps_service.then(histogram::full_precision),
        }
    }

    pub(super) fn count(&mut self, times: Times, outcome: RequestEnd) {
        match outcome {
            RequestEnd::Ok { bytes } => {
                self.bytes += bytes;
                self.response.saturating_record(clamp_us(times.response_us));
                if let Some(service) = &mut self.service {
                    service.saturating_record(clamp_us(times.service_us));
                }
            }
            RequestEnd::Failed(class) => self.failures.add(class),
        }
    }

    pub(super) fn merge(&mut self, other: &Self) {
        self.failures.merge(&other.failures);
        self.repeated += other.repeated;
        self.compressed_bytes += other.compressed_bytes;
        self.content_bytes += other.content_bytes;
        self.bytes += other.bytes;
        add_same_layout(&mut self.response, &other.response);
        merge_optional(&mut self.service, other.service.as_ref());
    }

    pub(super) fn to_counts(&self) -> EndpointCounts {
        EndpointCounts {
            count: self.response.len(),
            errors: self.failures.errors(),
            censored: self.failures.unanswered,
            failures: self.failures,
            repeated: self.repeated,
            bytes: self.bytes,
            compressed_bytes: self.compressed_bytes,
            content_bytes: self.content_bytes,
            hdr: LatencyHistogram::from_counts(&self.response).encode(),
            service_hdr: self
                .service
                .as_ref()
                .map(|service| LatencyHistogram::from_counts(service).encode()),
        }
    }
}

/// One second, all endpoints. Slices are drawn, not judged: 1 % precision costs a seventh of the memory.
#[derive(Debug, Clone)]
pub(super) struct Second {
    /// By endpoint.
    pub(super) failures: Vec<Failures>,
    response: Histogram<u32>,
    lateness: Option<Histogram<u32>>,
}

impl Second {
    pub(super) fn new(endpoints: usize, keeps_lateness: bool) -> Self {
        Self {
            failures: vec![Failures::default(); endpoints],
            response: histogram::coarse(),
            lateness: keeps_lateness.then(histogram::coarse),
        }
    }

    pub(super) fn count(&mut self, endpoint: usize, response_us: u64, outcome: RequestEnd) {
        match outcome {
            RequestEnd::Ok { .. } => self.response.saturating_record(clamp_us(response_us)),
            RequestEnd::Failed(class) => self.failures[endpoint].add(class),
        }
    }

    pub(super) fn sent(&mut self, lateness_us: u64) {
        if let Some(lateness) = &mut self.lateness {
            lateness.saturating_record(clamp_us(lateness_us));
        }
    }

    pub(super) fn merge(&mut self, other: &Self) {
        self.failures
            .iter_mut()
            .zip(&other.failures)
            .for_each(|(sum, other)| sum.merge(other));
        add_same_layout(&mut self.response, &other.response);
        merge_optional(&mut self.lateness, other.lateness.as_ref());
    }

    /// As it is recorded; `endpoints` are the names of the endpoints.
    pub(super) fn to_slice(&self, start_ms: u64, endpoints: &[String]) -> Slice {
        let failed = endpoints.iter().zip(&self.failures);
        let failed = failed.filter(|(_, failures)| !failures.is_empty());
        Slice {
            start_ms,
            count: self.response.len(),
            errors: self.failures.iter().map(Failures::errors).sum(),
            failures: failed.map(|(name, failures)| (name.clone(), *failures)).collect(),
            p50_ms: quantile_ms(&self.response, 0.5),
            p95_ms: quantile_ms(&self.response, 0.95),
            hdr: Some(SliceHistogram::from_counts(&self.response).encode()),
            lateness_p99_ms: self.lateness.as_ref().and_then(|lateness| quantile_ms(lateness, 0.99)),
        }
    }
}

fn quantile_ms(times: &Histogram<u32>, quantile: f64) -> Option<f64> {
    (!times.is_empty()).then(|| us_to_ms(times.value_at_quantile(quantile)))
}

/// Both sides have one, or neither: shards of different models never meet.
fn merge_optional(sum: &mut Option<Histogram<u32>>, other: Option<&Histogram<u32>>) {
    if let (Some(sum), Some(other)) = (sum, other) {
        add_same_layout(sum, other);
    }
}
