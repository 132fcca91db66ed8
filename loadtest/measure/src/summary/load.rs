//! What the load and its versions came to over the rounds of a subject.

use std::collections::BTreeMap;

use super::{curve, share, small};
use crate::figures::us_to_ms;
use crate::histogram::{HistogramError, LatencyHistogram};
use crate::metrics;
use crate::record::{ArrivalSummary, Arrivals, Consistency, ConsistencySummary, MetricSummary};
use crate::rounds::{MeasuredRound, RoundError, unreadable};
use crate::stats::student;

/// Arrivals of all rounds together; `None` in the closed model.
pub(super) fn arrivals(rounds: &[MeasuredRound]) -> Result<Option<ArrivalSummary>, RoundError> {
    let counted: Vec<(&MeasuredRound, &Arrivals)> = rounds
        .iter()
        .filter_map(|round| round.phase.arrivals.as_ref().map(|arrivals| (round, arrivals)))
        .collect();
    if counted.is_empty() {
        return Ok(None);
    }
    let mut lateness = LatencyHistogram::new();
    for (round, arrivals) in &counted {
        lateness.merge(&decode(round, "send lateness", &arrivals.lateness_hdr)?);
    }
    Ok(Some(summary_of(&counted, &lateness)))
}

fn summary_of(counted: &[(&MeasuredRound, &Arrivals)], lateness: &LatencyHistogram) -> ArrivalSummary {
    let sum = |field: fn(&Arrivals) -> u64| counted.iter().map(|(_, arrivals)| field(arrivals)).sum::<u64>();
    let seconds = counted.iter().map(|(round, _)| round.seconds).sum();
    let ended: u64 = counted.iter().map(|(round, _)| ended(round)).sum();
    let quantile_ms = |quantile| lateness.quantile_us(quantile).map_or(0.0, us_to_ms);
    ArrivalSummary {
        intended: sum(|arrivals| arrivals.intended),
        sent: sum(|arrivals| arrivals.sent),
        late: sum(|arrivals| arrivals.late),
        dropped: sum(|arrivals| arrivals.dropped),
        intended_per_s: share(sum(|arrivals| arrivals.intended) as f64, seconds),
        achieved_per_s: share(ended as f64, seconds),
        lateness_p50_ms: quantile_ms(0.5),
        lateness_p99_ms: quantile_ms(0.99),
        lateness_max_ms: quantile_ms(1.0),
        curve: curve(lateness),
    }
}

/// Requests of the measured phase that ended within it.
fn ended(round: &MeasuredRound) -> u64 {
    round
        .phase
        .endpoints
        .values()
        .map(|counts| counts.count + counts.errors)
        .sum()
}

/// Consistency of all rounds together; `None` where no version was followed.
pub(super) fn consistency(rounds: &[MeasuredRound]) -> Result<Option<ConsistencySummary>, RoundError> {
    let found = followed(rounds)?;
    let Some((first, _)) = found.first() else {
        return Ok(None);
    };
    let sum = |field: fn(&Consistency) -> u64| found.iter().map(|(consistency, _)| field(consistency)).sum();
    let mut propagation = LatencyHistogram::new();
    for (_, times) in &found {
        propagation.merge(times);
    }
    let quantile_ms = |quantile| propagation.quantile_us(quantile).map_or(0.0, us_to_ms);
    Ok(Some(ConsistencySummary {
        bound_ms: first.bound_ms,
        reads: sum(|one| one.reads),
        writes: sum(|one| one.writes),
        stale_reads: sum(|one| one.stale_reads),
        propagation_p50_ms: quantile_ms(0.5),
        propagation_p99_ms: quantile_ms(0.99),
        propagation_max_ms: quantile_ms(1.0),
        curve: curve(&propagation),
    }))
}

/// The metrics that targets name. Stale reads are a count: the interval of a count of zero in every round is zero, and
/// one stale read in any round is one too many for a target that allows none.
pub(super) fn consistency_metrics(rounds: &[MeasuredRound]) -> Result<BTreeMap<String, MetricSummary>, RoundError> {
    let found = followed(rounds)?;
    let stale: u64 = found.iter().map(|(one, _)| one.stale_reads).sum();
    let p99s_ms: Vec<f64> = found
        .iter()
        .filter_map(|(_, times)| times.quantile_us(0.99).map(us_to_ms))
        .collect();
    let mut summaries = BTreeMap::new();
    if found.iter().any(|(one, _)| one.reads > 0) {
        summaries.insert(metrics::CACHE_STALE_READS.key(), counted(stale, found.len()));
    }
    if let Some(mean) = student::mean(&p99s_ms) {
        let metric = MetricSummary {
            value: mean.value,
            ci: mean.interval,
            rounds: small(p99s_ms.len()),
        };
        summaries.insert(metrics::CACHE_INVALIDATION_P99_MS.key(), metric);
    }
    Ok(summaries)
}

/// A count of what happened, not an estimate of it: its interval is itself.
fn counted(count: u64, rounds: usize) -> MetricSummary {
    MetricSummary {
        value: count as f64,
        ci: Some((count as f64, count as f64)),
        rounds: small(rounds),
    }
}

fn followed<'r>(rounds: &'r [MeasuredRound]) -> Result<Vec<(&'r Consistency, LatencyHistogram)>, RoundError> {
    rounds
        .iter()
        .filter_map(|round| round.round.consistency.as_ref().map(|one| (round, one)))
        .map(|(round, one)| Ok((one, decode(round, "propagation", &one.propagation_hdr)?)))
        .collect()
}

fn decode(round: &MeasuredRound, what: &str, hdr: &str) -> Result<LatencyHistogram, RoundError> {
    LatencyHistogram::decode(hdr).map_err(|source: HistogramError| unreadable(round.round, what, source))
}
