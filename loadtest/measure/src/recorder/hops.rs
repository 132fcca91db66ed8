//! Counters of the requests that a request which follows redirects consists of, by endpoint and phase.

use hdrhistogram::Histogram;

use super::PHASES;
use crate::histogram::{self, SliceHistogram, add_same_layout, clamp_us};
use crate::record::Hops;

/// Times by endpoint and phase; nothing for endpoints that follow no redirects. They are shown, not judged: 1 %
/// precision costs a seventh of the memory.
#[derive(Debug, Clone)]
pub(super) struct HopCounter {
    by_endpoint: Vec<Option<[Histogram<u32>; PHASES]>>,
}

impl HopCounter {
    pub(super) fn new(follows: &[bool]) -> Self {
        let counters = |follows: &bool| follows.then(|| [(); PHASES].map(|()| histogram::coarse()));
        Self {
            by_endpoint: follows.iter().map(counters).collect(),
        }
    }

    pub(super) fn count(&mut self, endpoint: usize, phase: usize, took_us: u64) {
        if let Some(Some(phases)) = self.by_endpoint.get_mut(endpoint) {
            phases[phase].saturating_record(clamp_us(took_us));
        }
    }

    pub(super) fn merge(&mut self, other: &Self) {
        for (sum, other) in self.by_endpoint.iter_mut().zip(&other.by_endpoint) {
            let both = sum.iter_mut().flatten().zip(other.iter().flatten());
            both.for_each(|(sum, other)| add_same_layout(sum, other));
        }
    }

    /// Of one endpoint; `None` where it follows no redirects.
    pub(super) fn of(&self, endpoint: usize, phase: usize) -> Option<Hops> {
        let times = &self.by_endpoint.get(endpoint)?.as_ref()?[phase];
        Some(Hops {
            count: times.len(),
            hdr: SliceHistogram::from_counts(times).encode(),
        })
    }
}
