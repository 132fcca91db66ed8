//! Figures of the connections over the rounds of a subject.

use std::collections::{BTreeMap, BTreeSet};

use super::share;
use crate::figures::us_to_ms;
use crate::histogram::SliceHistogram;
use crate::record::{Compressed, ConnectionSummary, Connections, StepTimes, Transport};
use crate::rounds::MeasuredRound;

/// Connections of all rounds together; `None` in records of builds that did not count them. A histogram that cannot be
/// read has no times: nothing is judged by it.
pub(super) fn connections(rounds: &[MeasuredRound]) -> Option<ConnectionSummary> {
    let transport: Transport = rounds.iter().find_map(|round| round.round.transport.clone())?;
    let measured = rounds.iter().filter_map(|round| round.phase.connections.as_ref());
    let opened = measured.map(|connections| connections.opened).sum();
    let requests: u64 = rounds.iter().map(|round| round.all().sent()).sum();
    let times = |step| step_times(rounds, step);
    Some(ConnectionSummary {
        transport,
        opened,
        requests_per_connection: (opened > 0).then(|| share(requests as f64, opened as f64)),
        connect: times(|of| of.connect_hdr.as_deref()),
        full_handshakes: times(|of| of.full_handshake_hdr.as_deref()),
        resumed_handshakes: times(|of| of.resumed_handshake_hdr.as_deref()),
        stream_waits: times(|of| of.stream_wait_hdr.as_deref()),
        hops: hops(rounds),
        compressed: compressed(rounds),
    })
}

fn hops(rounds: &[MeasuredRound]) -> BTreeMap<String, StepTimes> {
    let names: BTreeSet<&String> = rounds.iter().flat_map(|round| round.phase.hops.keys()).collect();
    let of = |name: &String| {
        let counted = rounds.iter().filter_map(|round| round.phase.hops.get(name));
        Some((name.clone(), summed(counted.map(|hops| hops.hdr.as_str()))?))
    };
    names.into_iter().filter_map(of).collect()
}

fn compressed(rounds: &[MeasuredRound]) -> BTreeMap<String, Compressed> {
    let mut sums: BTreeMap<String, Compressed> = BTreeMap::new();
    for (name, counts) in rounds.iter().flat_map(|round| &round.phase.endpoints) {
        if counts.compressed_bytes > 0 {
            let sum = sums.entry(name.clone()).or_default();
            sum.bytes += counts.compressed_bytes;
            sum.content_bytes += counts.content_bytes;
        }
    }
    sums
}

/// Times of one step over all phases; `None` where it was never made.
fn step_times(rounds: &[MeasuredRound], step: fn(&Connections) -> Option<&str>) -> Option<StepTimes> {
    let phases = rounds.iter().flat_map(|round| &round.round.phases);
    summed(phases.filter_map(|phase| phase.connections.as_ref().and_then(step)))
}

/// Figures of histograms as one; `None` where they counted nothing.
fn summed<'h>(histograms: impl Iterator<Item = &'h str>) -> Option<StepTimes> {
    let mut sum = SliceHistogram::new();
    for times in histograms.filter_map(|hdr| SliceHistogram::decode(hdr).ok()) {
        sum.merge(&times);
    }
    let quantile_ms = |quantile| sum.quantile_us(quantile).map(us_to_ms);
    Some(StepTimes {
        count: sum.len(),
        p50_ms: quantile_ms(0.5)?,
        p95_ms: quantile_ms(0.95)?,
        max_ms: quantile_ms(1.0)?,
    })
}
