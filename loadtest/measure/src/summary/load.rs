//! Figures of the arrivals and of the followed versions over the rounds of a subject.

use std::collections::BTreeMap;

use super::{curve, mean_of_rounds, share, small};
use crate::histogram::LatencyHistogram;
use crate::metrics;
use crate::percentile;
use crate::record::{ArrivalSummary, Arrivals, Consistency, ConsistencySummary, MetricSummary};
use crate::rounds::MeasuredRound;

/// Arrivals of all rounds together; `None` in the closed model.
pub(super) fn arrivals(rounds: &[MeasuredRound]) -> Option<ArrivalSummary> {
    let counted: Vec<(&MeasuredRound, &Arrivals)> = rounds
        .iter()
        .filter_map(|round| round.phase.arrivals.as_ref().map(|arrivals| (round, arrivals)))
        .collect();
    if counted.is_empty() {
        return None;
    }
    let lateness = percentile::merged(rounds.iter().filter_map(|round| round.lateness.as_ref()));
    let sum = |field: fn(&Arrivals) -> u64| counted.iter().map(|(_, arrivals)| field(arrivals)).sum::<u64>();
    let seconds = counted.iter().map(|(round, _)| round.seconds).sum();
    let ended: u64 = counted
        .iter()
        .map(|(round, _)| round.all().count + round.all().errors)
        .sum();
    let quantile_ms = |quantile| lateness.quantile_ms(quantile).unwrap_or(0.0);
    Some(ArrivalSummary {
        intended: sum(|arrivals| arrivals.intended),
        sent: sum(|arrivals| arrivals.sent),
        late: sum(|arrivals| arrivals.late),
        dropped: sum(|arrivals| arrivals.dropped),
        intended_per_s: share(sum(|arrivals| arrivals.intended) as f64, seconds),
        achieved_per_s: share(ended as f64, seconds),
        lateness_p50_ms: quantile_ms(0.5),
        lateness_p99_ms: quantile_ms(0.99),
        lateness_max_ms: quantile_ms(1.0),
        curve: curve(&lateness),
    })
}

/// Consistency of all rounds together; `None` where no version was followed.
pub(super) fn consistency(rounds: &[MeasuredRound]) -> Option<ConsistencySummary> {
    let found = followed(rounds);
    let (first, _) = found.first()?;
    let sum = |field: fn(&Consistency) -> u64| found.iter().map(|(consistency, _)| field(consistency)).sum();
    let propagation = percentile::merged(found.iter().map(|(_, times)| *times));
    let quantile_ms = |quantile| propagation.quantile_ms(quantile).unwrap_or(0.0);
    Some(ConsistencySummary {
        bound_ms: first.bound_ms,
        reads: sum(|one| one.reads),
        writes: sum(|one| one.writes),
        stale_reads: sum(|one| one.stale_reads),
        propagation_p50_ms: quantile_ms(0.5),
        propagation_p99_ms: quantile_ms(0.99),
        propagation_max_ms: quantile_ms(1.0),
        curve: curve(&propagation),
    })
}

/// The metrics that targets name. Stale reads are a count of what happened, not an estimate of it: their interval is
/// the count itself, and one stale read in any round is one too many for a target that allows none.
pub(super) fn consistency_metrics(rounds: &[MeasuredRound]) -> BTreeMap<String, MetricSummary> {
    let found = followed(rounds);
    let stale = found.iter().map(|(one, _)| one.stale_reads).sum::<u64>() as f64;
    let p99s_ms: Vec<f64> = found.iter().filter_map(|(_, times)| times.quantile_ms(0.99)).collect();
    let mut summaries = BTreeMap::new();
    if found.iter().any(|(one, _)| one.reads > 0) {
        let counted = MetricSummary {
            value: stale,
            ci: Some((stale, stale)),
            rounds: small(found.len()),
        };
        summaries.insert(metrics::CACHE_STALE_READS.key(), counted);
    }
    let mean = mean_of_rounds(&p99s_ms);
    summaries.extend(mean.map(|mean| (metrics::CACHE_INVALIDATION_P99_MS.key(), mean)));
    summaries
}

fn followed<'r>(rounds: &'r [MeasuredRound]) -> Vec<(&'r Consistency, &'r LatencyHistogram)> {
    let both = |round: &'r MeasuredRound| round.round.consistency.as_ref().zip(round.propagation.as_ref());
    rounds.iter().filter_map(both).collect()
}
