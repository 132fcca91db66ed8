//! Figures of one subject over all its rounds, for the record and its report.
//!
//! What belongs here: merging and describing. What does not: judging (`targets`, `compare`).

mod connections;
mod load;

use std::collections::{BTreeMap, BTreeSet};

use crate::figures::us_to_ms;
use crate::histogram::LatencyHistogram;
use crate::percentile;
use crate::record::{
    EndpointSummary, FailureGroup, MetricSummary, Ratio, ServiceTimes, StreamSummary, Summary, TopicSummary,
};
use crate::rounds::{Measured, MeasuredRound};
use crate::stats::cluster::ClusterRatio;
use crate::stats::student;

/// Points of a percentile curve.
const CURVE_POINTS: u32 = 60;
/// The curve goes to the percentile that one answer in so many (10^5) exceeds, or as far as the answers go.
const CURVE_DECADES: f64 = 5.0;

/// Summarises the measured rounds of one subject; without any there are no figures.
pub fn summarise(rounds: &[MeasuredRound]) -> Summary {
    let mut metrics = metrics(rounds);
    metrics.extend(load::consistency_metrics(rounds));
    Summary {
        endpoints: endpoints(rounds),
        metrics,
        arrivals: load::arrivals(rounds),
        connections: connections::connections(rounds),
        consistency: load::consistency(rounds),
        streams: streams(rounds),
        topics: topics(rounds),
        failures: failures(rounds),
    }
}

fn streams(rounds: &[MeasuredRound]) -> BTreeMap<String, StreamSummary> {
    let mut sums: BTreeMap<String, StreamSummary> = BTreeMap::new();
    for (name, stream) in rounds.iter().flat_map(|measured| &measured.round.streams) {
        let sum = sums.entry(name.clone()).or_default();
        sum.clients = sum.clients.max(stream.clients);
        sum.owed += stream.owed;
        sum.missed += stream.missed;
        sum.doubled += stream.doubled;
        sum.reordered += stream.reordered;
        sum.came_back += stream.came_back;
        for (why, times) in &stream.reasons {
            *sum.reasons.entry(why.clone()).or_default() += times;
        }
    }
    sums
}

fn topics(rounds: &[MeasuredRound]) -> BTreeMap<String, TopicSummary> {
    let mut sums: BTreeMap<String, TopicSummary> = BTreeMap::new();
    for (name, topic) in rounds.iter().flat_map(|measured| &measured.round.topics) {
        let sum = sums.entry(name.clone()).or_default();
        sum.owed += topic.owed;
        sum.missed += topic.missed;
        sum.doubled += topic.doubled;
        sum.reordered += topic.reordered;
        if let Some(effects) = &topic.effects {
            *sum.missed_effects.get_or_insert_default() += effects.missed;
        }
        sum.offset_lag_max = sum.offset_lag_max.max(topic.offset_lag_max);
        if let Some(produced) = &topic.produced {
            *sum.not_sent.get_or_insert_default() += produced.not_sent;
        }
        if let Some(backlog) = &topic.backlog {
            sum.backlog.get_or_insert_default().follow_with(backlog);
        }
        for (why, times) in &topic.reasons {
            *sum.reasons.entry(why.clone()).or_default() += times;
        }
    }
    sums
}

fn failures(rounds: &[MeasuredRound]) -> Vec<FailureGroup> {
    let mut sum = Vec::new();
    for measured in rounds {
        FailureGroup::merge(&mut sum, &measured.round.failures);
    }
    sum
}

fn endpoints(rounds: &[MeasuredRound]) -> BTreeMap<String, EndpointSummary> {
    let seconds = rounds.iter().map(|round| round.seconds).sum();
    let names: BTreeSet<&String> = rounds.iter().flat_map(|round| round.endpoints.keys()).collect();
    names
        .into_iter()
        .map(|name| {
            let counted: Vec<_> = rounds.iter().filter_map(|round| round.endpoints.get(name)).collect();
            (name.clone(), endpoint(&counted, seconds))
        })
        .collect()
}

fn endpoint(rounds: &[&Measured], seconds: f64) -> EndpointSummary {
    let mut all = Measured::default();
    for round in rounds {
        all.merge(round);
    }
    let judged: Vec<_> = rounds.iter().map(|round| round.judged()).collect();
    let judged: Vec<_> = judged.iter().map(|times| &**times).collect();
    let response = times(&all.judged());
    let answers = times(&all.latency);
    EndpointSummary {
        count: all.count,
        rps: share(all.count as f64, seconds),
        error_rate: share(all.failed() as f64, all.due() as f64),
        censored: all.censored,
        dropped: all.dropped,
        failures: all.failures,
        repeated: all.repeated,
        mean_ms: answers.mean_ms,
        p50_ms: response.p50_ms,
        p90_ms: response.p90_ms,
        p95_ms: response.p95_ms,
        p99_ms: response.p99_ms,
        p999_ms: response.p999_ms,
        max_ms: answers.max_ms,
        p95_ci_ms: percentile::interval_us(&judged, 0.95).map(|(low, high)| (us_to_ms(low), us_to_ms(high))),
        curve: answers.curve.clone(),
        answers: (all.failed() > 0).then_some(answers),
        service: all.service.as_ref().map(times),
    }
}

/// The figures of a histogram; 0 where it is empty.
fn times(times: &LatencyHistogram) -> ServiceTimes {
    let quantile_ms = |quantile| times.quantile_ms(quantile).unwrap_or(0.0);
    ServiceTimes {
        mean_ms: times.mean_us().map_or(0.0, |mean_us| mean_us / 1000.0),
        p50_ms: quantile_ms(0.5),
        p90_ms: quantile_ms(0.9),
        p95_ms: quantile_ms(0.95),
        p99_ms: quantile_ms(0.99),
        p999_ms: quantile_ms(0.999),
        max_ms: quantile_ms(1.0),
        curve: curve(times),
    }
}

/// `part / whole`, 0 of nothing.
fn share(part: f64, whole: f64) -> f64 {
    if whole > 0.0 { part / whole } else { 0.0 }
}

/// (quantile, milliseconds), evenly spaced on a scale of -log10(1 - quantile).
fn curve(latency: &LatencyHistogram) -> Vec<(f64, f64)> {
    let decades = (latency.len() as f64).log10().clamp(1.0, CURVE_DECADES);
    let quantile_of = |point: u32| 1.0 - 10_f64.powf(-decades * f64::from(point) / f64::from(CURVE_POINTS - 1));
    (0..CURVE_POINTS)
        .map(quantile_of)
        .filter_map(|quantile| latency.quantile_ms(quantile).map(|ms| (quantile, ms)))
        .collect()
}

fn metrics(rounds: &[MeasuredRound]) -> BTreeMap<String, MetricSummary> {
    let names: BTreeSet<&String> = rounds
        .iter()
        .flat_map(|round| round.round.probes.keys().chain(round.round.ratios.keys()))
        .collect();
    names
        .into_iter()
        .filter_map(|name| metric(rounds, name).map(|summary| (name.clone(), summary)))
        .collect()
}

/// A metric counted as a ratio in any round is summed as one; a probe is averaged over its rounds.
fn metric(rounds: &[MeasuredRound], name: &str) -> Option<MetricSummary> {
    let ratios: Vec<_> = rounds.iter().filter_map(|round| round.round.ratios.get(name)).collect();
    if ratios.is_empty() {
        mean_of_rounds(
            &rounds
                .iter()
                .filter_map(|round| round.metric(name))
                .collect::<Vec<f64>>(),
        )
    } else {
        ratio_of_sums(&ratios)
    }
}

fn mean_of_rounds(values: &[f64]) -> Option<MetricSummary> {
    student::mean(values).map(|mean| MetricSummary {
        value: mean.value,
        ci: mean.interval,
        rounds: small(values.len()),
    })
}

fn ratio_of_sums(ratios: &[&Ratio]) -> Option<MetricSummary> {
    let clusters: Vec<_> = ratios
        .iter()
        .map(|ratio| (ratio.numerator, ratio.denominator))
        .collect();
    ClusterRatio::of(&clusters).map(|ratio| MetricSummary {
        value: ratio.value,
        ci: ratio.interval(),
        rounds: small(ratio.clusters),
    })
}

/// A number of rounds as the record keeps it.
fn small(rounds: usize) -> u32 {
    u32::try_from(rounds).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{ALL_ENDPOINTS, Round};
    use crate::rounds::measured;
    use crate::testing::{assert_close, histogram_of, round};

    fn summary(rounds: &[Round]) -> Summary {
        summarise(&measured(rounds, "s").unwrap())
    }

    fn rounds() -> Vec<Round> {
        vec![
            round(0, "s", &[("a", (1..=1000).collect()), ("b", vec![10_000])])
                .with_errors("b", 1)
                .with_probe("rss", 10.0)
                .with_ratio("hits", 90, 100)
                .with_ratio("nothing", 0, 0),
            round(0, "other", &[("a", vec![59_000_000])]),
            round(1, "s", &[("a", (1001..=2000).collect()), ("b", vec![])])
                .with_probe("rss", 14.0)
                .with_ratio("hits", 150, 200)
                .with_ratio("nothing", 0, 0),
        ]
    }

    #[test]
    fn percentiles_come_from_merged_histograms() {
        let summary = summary(&rounds());
        let a = &summary.endpoints["a"];
        assert_eq!((a.count, a.censored), (2000, 0));
        assert_close(a.rps, 100.0, 1e-9);
        assert_close(a.p50_ms, 1.0, 1e-9);
        assert_close(a.p95_ms, 1.9, 1e-9);
        assert_close(a.max_ms, 2.0, 1e-9);
        assert_close(a.mean_ms, 1.0005, 1e-4);
        assert!(a.p95_ci_ms.is_some());
        assert_eq!(summary.endpoints[ALL_ENDPOINTS].count, 2001);
    }

    #[test]
    fn errors_count_against_everything_sent() {
        let summary = summary(&rounds());
        assert_close(summary.endpoints["b"].error_rate, 0.5, 1e-12);
        assert_close(summary.endpoints[ALL_ENDPOINTS].error_rate, 1.0 / 2002.0, 1e-12);
    }

    #[test]
    fn metrics_are_means_and_ratios_are_sums() {
        let metrics = summary(&rounds()).metrics;
        let rss = &metrics["rss"];
        let (low, high) = rss.ci.unwrap();
        // sd 2.828, t_1 = 12.7062: half width 12.7062 x 2.
        assert_close(rss.value, 12.0, 1e-9);
        assert_close(low, 12.0 - 25.4124, 1e-3);
        assert_close(high, 12.0 + 25.4124, 1e-3);
        assert_close(metrics["hits"].value, 0.8, 1e-12);
        assert_eq!(metrics["hits"].rounds, 2);
        assert!(!metrics.contains_key("nothing"), "a ratio of nothing has no value");
    }

    #[test]
    fn an_endpoint_that_only_failed_is_slower_than_any_limit_and_has_no_curve() {
        let summary = summary(&[round(0, "s", &[("a", vec![])]).with_errors("a", 5)]);
        let a = &summary.endpoints["a"];
        assert_eq!((a.count, a.p95_ci_ms, a.curve.len()), (0, None, 0));
        assert_close(a.error_rate, 1.0, 1e-12);
        assert_close(a.p95_ms, 60_000.0, 1e-9);
        assert_close(a.answers.as_ref().unwrap().p95_ms, 0.0, 1e-12);
    }

    #[test]
    fn what_was_never_answered_is_slow_and_an_error() {
        let mut hanging = round(0, "s", &[("a", vec![1_000; 90])]).with_errors("a", 2);
        hanging.phases[0].endpoints.get_mut("a").unwrap().censored = 8;
        let summary = summary(&[hanging]);
        let a = &summary.endpoints["a"];
        assert_close(a.error_rate, 0.1, 1e-12);
        assert_eq!(
            (a.p50_ms, a.p95_ms, a.answers.as_ref().unwrap().p95_ms),
            (1.0, 60_000.0, 1.0)
        );
    }

    #[test]
    fn a_subject_that_never_ran_has_no_figures() {
        assert_eq!(summarise(&measured(&rounds(), "third").unwrap()), Summary::default());
    }

    #[test]
    fn the_curve_ascends_and_is_dense_in_the_tail() {
        let curve = curve(&histogram_of(1..=1_000_000));
        assert_eq!(curve.len(), 60);
        assert!(
            curve
                .windows(2)
                .all(|pair| pair[0].0 < pair[1].0 && pair[0].1 <= pair[1].1)
        );
        assert_close(curve[0].0, 0.0, 1e-12);
        assert_close(curve[59].0, 0.99999, 1e-9);
        assert_eq!(curve.iter().filter(|(quantile, _)| *quantile > 0.99).count(), 36);
    }

    #[test]
    fn service_times_stand_beside_response_times_in_the_open_model() {
        let mut open = rounds();
        open.truncate(1);
        open[0].phases[0].endpoints.get_mut("a").unwrap().service_hdr = Some(histogram_of(vec![100; 1000]).encode());
        let summary = summary(&open);
        assert_close(summary.endpoints["a"].service.as_ref().unwrap().p95_ms, 0.1, 1e-9);
        assert_eq!(summary.endpoints["b"].service, None);
    }

    #[test]
    fn arrivals_add_up_over_rounds() {
        let mut open = rounds();
        for (round, lateness_us) in open.iter_mut().zip([50, 70, 2_000]) {
            round.phases[0].arrivals = Some(crate::record::Arrivals {
                intended: 1_010,
                sent: 1_000,
                late: 3,
                dropped: 10,
                lateness_hdr: histogram_of(vec![lateness_us; 1000]).encode(),
            });
        }
        let arrivals = summary(&open).arrivals.unwrap();
        assert_eq!(
            (arrivals.intended, arrivals.sent, arrivals.late, arrivals.dropped),
            (2_020, 2_000, 6, 20)
        );
        assert_close(arrivals.intended_per_s, 101.0, 1e-9);
        // 2001 answers and an error in 20 s.
        assert_close(arrivals.achieved_per_s, 100.1, 1e-9);
        assert_close(arrivals.lateness_p50_ms, 0.05, 1e-9);
        assert_close(arrivals.lateness_max_ms, 2.0, 1e-9);
    }

    #[test]
    fn stale_reads_are_counted_and_propagation_is_a_percentile() {
        let mut followed = rounds();
        for (round, stale_reads) in followed.iter_mut().zip([0, 9, 2]) {
            round.consistency = Some(crate::record::Consistency {
                bound_ms: 100.0,
                reads: 500,
                writes: 100,
                stale_reads,
                examples: vec![],
                propagation_hdr: histogram_of(1..=100).encode(),
            });
        }
        let summary = summary(&followed);
        let consistency = summary.consistency.unwrap();
        assert_eq!(
            (consistency.reads, consistency.writes, consistency.stale_reads),
            (1000, 200, 2)
        );
        assert_close(consistency.propagation_p99_ms, 0.099, 1e-9);
        let stale = &summary.metrics[crate::metrics::CACHE_STALE_READS.name()];
        assert_eq!((stale.value, stale.ci), (2.0, Some((2.0, 2.0))));
        assert_close(
            summary.metrics[crate::metrics::CACHE_INVALIDATION_P99_MS.name()].value,
            0.099,
            1e-9,
        );
    }
}
