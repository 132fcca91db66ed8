//! Rounds of a record, their measured phase decoded once for everything that reads times from them.
//!
//! What belongs here: getting at what was counted. What does not: any figure derived from it.

use std::collections::BTreeMap;

use crate::histogram::{HistogramError, LatencyHistogram};
use crate::record::{ALL_ENDPOINTS, EndpointCounts, PHASE_MEASURE, Phase, Round};

/// A histogram of a round that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error(
    "block {block}, subject {subject}, endpoint {endpoint}: the histogram of its measured phase is unreadable: {source}"
)]
pub struct RoundError {
    /// Block of the round.
    pub block: u32,
    /// Subject of the round.
    pub subject: String,
    /// Endpoint of the histogram.
    pub endpoint: String,
    /// What is wrong with it.
    pub source: HistogramError,
}

/// What one endpoint answered in the measured phase of one or more rounds.
#[derive(Debug, Clone, Default)]
pub struct Measured {
    /// Answers as expected.
    pub count: u64,
    /// Answers not as expected.
    pub errors: u64,
    /// Still in flight at the end.
    pub censored: u64,
    /// Response times of the answers.
    pub latency: LatencyHistogram,
    /// Their service times; the open model only.
    pub service: Option<LatencyHistogram>,
}

impl Measured {
    fn decode(counts: &EndpointCounts) -> Result<Self, HistogramError> {
        let latency = LatencyHistogram::decode(&counts.hdr)?;
        let service = counts
            .service_hdr
            .as_deref()
            .map(LatencyHistogram::decode)
            .transpose()?;
        Ok(Self {
            count: counts.count,
            errors: counts.errors,
            censored: counts.censored,
            latency,
            service,
        })
    }

    /// Adds everything that `other` counted.
    pub fn merge(&mut self, other: &Self) {
        self.count += other.count;
        self.errors += other.errors;
        self.censored += other.censored;
        self.latency.merge(&other.latency);
        if let Some(service) = &other.service {
            self.service.get_or_insert_default().merge(service);
        }
    }

    /// Everything sent.
    pub fn sent(&self) -> u64 {
        self.count + self.errors + self.censored
    }
}

/// A round with its measured phase decoded.
#[derive(Debug, Clone)]
pub struct MeasuredRound<'a> {
    /// The round itself.
    pub round: &'a Round,
    /// Its measured phase.
    pub phase: &'a Phase,
    /// Length of the measured phase.
    pub seconds: f64,
    /// By endpoint name, and [`ALL_ENDPOINTS`] for the whole mix.
    pub endpoints: BTreeMap<String, Measured>,
}

impl MeasuredRound<'_> {
    /// Value of a metric in this round: a counted ratio, else a probe. `None` if nothing counted it.
    pub fn metric(&self, name: &str) -> Option<f64> {
        match self.round.ratios.get(name) {
            Some(ratio) if ratio.denominator == 0 => None,
            Some(ratio) => Some(ratio.numerator as f64 / ratio.denominator as f64),
            None => self.round.probes.get(name).copied(),
        }
    }

    fn decode<'a>(round: &'a Round, phase: &'a Phase) -> Result<MeasuredRound<'a>, RoundError> {
        let mut endpoints = BTreeMap::new();
        let mut all = Measured::default();
        for (name, counts) in &phase.endpoints {
            let measured = Measured::decode(counts).map_err(|source| unreadable(round, name, source))?;
            all.merge(&measured);
            endpoints.insert(name.clone(), measured);
        }
        endpoints.insert(ALL_ENDPOINTS.to_owned(), all);
        Ok(MeasuredRound {
            round,
            phase,
            seconds: seconds_of(phase),
            endpoints,
        })
    }
}

pub(crate) fn unreadable(round: &Round, endpoint: &str, source: HistogramError) -> RoundError {
    RoundError {
        block: round.block,
        subject: round.subject.clone(),
        endpoint: endpoint.to_owned(),
        source,
    }
}

fn seconds_of(phase: &Phase) -> f64 {
    phase.end_ms.saturating_sub(phase.start_ms) as f64 / 1000.0
}

/// The measured phase of a round, if it came so far.
pub fn measured_phase(round: &Round) -> Option<&Phase> {
    round.phases.iter().find(|phase| phase.name == PHASE_MEASURE)
}

/// The rounds of one subject that have a measured phase, decoded.
pub fn measured<'a>(rounds: &'a [Round], subject: &str) -> Result<Vec<MeasuredRound<'a>>, RoundError> {
    rounds
        .iter()
        .filter(|round| round.subject == subject)
        .filter_map(|round| measured_phase(round).map(|phase| MeasuredRound::decode(round, phase)))
        .collect()
}

/// Rounds of two subjects, paired by block; a block without both is left out.
pub fn pairs<'r, 'a>(
    before: &'r [MeasuredRound<'a>],
    after: &'r [MeasuredRound<'a>],
) -> Vec<(&'r MeasuredRound<'a>, &'r MeasuredRound<'a>)> {
    let partner = |round: &MeasuredRound| after.iter().find(|other| other.round.block == round.round.block);
    before
        .iter()
        .filter_map(|round| partner(round).map(|other| (round, other)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::round;

    #[test]
    fn the_whole_mix_is_the_sum_of_its_endpoints() {
        let rounds = [round(0, "s", &[("a", vec![10, 20]), ("b", vec![30])]).with_errors("b", 2)];
        let decoded = measured(&rounds, "s").unwrap();
        let all = &decoded[0].endpoints[ALL_ENDPOINTS];
        assert_eq!((all.count, all.errors, all.sent(), all.latency.len()), (3, 2, 5, 3));
        assert!((decoded[0].seconds - 10.0).abs() < 1e-9);
    }

    #[test]
    fn a_ratio_that_counted_nothing_has_no_value() {
        let rounds = [round(0, "s", &[])
            .with_ratio("hits", 0, 0)
            .with_ratio("half", 1, 2)
            .with_probe("rss", 7.0)];
        let decoded = measured(&rounds, "s").unwrap();
        let values = ["hits", "half", "rss", "none"].map(|name| decoded[0].metric(name));
        assert_eq!(values, [None, Some(0.5), Some(7.0), None]);
    }

    #[test]
    fn only_blocks_with_both_subjects_pair() {
        let rounds = [
            round(0, "a", &[]),
            round(1, "a", &[]),
            round(1, "b", &[]),
            round(2, "b", &[]),
        ];
        let (a, b) = (measured(&rounds, "a").unwrap(), measured(&rounds, "b").unwrap());
        let blocks: Vec<_> = pairs(&a, &b)
            .iter()
            .map(|(one, other)| (one.round.block, other.round.block))
            .collect();
        assert_eq!(blocks, [(1, 1)]);
    }

    #[test]
    fn an_unreadable_histogram_is_named() {
        let mut broken = round(3, "s", &[("a", vec![1])]);
        broken.phases[0].endpoints.get_mut("a").unwrap().hdr = "AAAA".to_owned();
        let error = measured(&[broken], "s").unwrap_err().to_string();
        assert!(
            error.starts_with("block 3, subject s, endpoint a: the histogram of its measured phase"),
            "{error}"
        );
    }

    #[test]
    fn a_round_that_never_measured_is_passed_over() {
        let mut stopped = round(0, "s", &[]);
        stopped.phases.clear();
        assert!(measured(&[stopped], "s").unwrap().is_empty());
    }
}
