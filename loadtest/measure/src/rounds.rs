//! Rounds of a record, their histograms decoded once for everything that reads times from them.
//!
//! What belongs here: getting at what was counted. What does not: any figure derived from it. Estimators, checks and
//! targets take these types and never the text of a histogram, so that no judgement decodes one twice.

use std::borrow::Cow;
use std::collections::BTreeMap;

use crate::histogram::{HistogramError, LatencyHistogram, MAX_US};
use crate::record::{ALL_ENDPOINTS, EndpointCounts, Failures, PHASE_MEASURE, Phase, Round, Topic};

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
    /// The fault of the histogram.
    pub source: HistogramError,
}

/// Counts and times of one endpoint in the measured phase of one or more rounds.
#[derive(Debug, Clone, Default)]
pub struct Measured {
    /// Answers as expected.
    pub count: u64,
    /// Answers not as expected.
    pub errors: u64,
    /// Still in flight at the end of the drain.
    pub censored: u64,
    /// Arrivals that found no free connection: the subject held all of them. Before it is sent nobody knows what an
    /// arrival would have asked for, so that each endpoint has its part of them, rounded up.
    pub dropped: u64,
    /// Both by class.
    pub failures: Failures,
    /// Sent a second time.
    pub repeated: u64,
    /// Response times of the answers.
    pub latency: LatencyHistogram,
    /// Their service times; the open model only.
    pub service: Option<LatencyHistogram>,
}

impl Measured {
    /// The counts of an endpoint with their times decoded.
    ///
    /// # Errors
    /// When a histogram cannot be read.
    pub fn decode(counts: &EndpointCounts) -> Result<Self, HistogramError> {
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
            dropped: 0,
            failures: counts.failures,
            repeated: counts.repeated,
            latency,
            service,
        })
    }

    /// Adds everything that `other` counted.
    pub fn merge(&mut self, other: &Self) {
        self.count += other.count;
        self.errors += other.errors;
        self.censored += other.censored;
        self.dropped += other.dropped;
        self.failures.merge(&other.failures);
        self.repeated += other.repeated;
        self.latency.merge(&other.latency);
        if let Some(service) = &other.service {
            self.service.get_or_insert_default().merge(service);
        }
    }

    /// Everything sent.
    pub fn sent(&self) -> u64 {
        self.count + self.errors + self.censored
    }

    /// Requests without an answer as expected, whatever the reason.
    pub fn failed(&self) -> u64 {
        self.errors + self.censored + self.dropped
    }

    /// Everything that was due.
    pub fn due(&self) -> u64 {
        self.count + self.failed()
    }

    /// The share that failed; `None` where nothing was due.
    pub fn failed_share(&self) -> Option<f64> {
        (self.due() > 0).then(|| self.failed() as f64 / self.due() as f64)
    }

    /// Times by which the subject is judged: those of the answers, and for each request that failed one that is longer
    /// than any limit (STATISTICS section 2).
    pub fn judged(&self) -> Cow<'_, LatencyHistogram> {
        if self.failed() == 0 {
            return Cow::Borrowed(&self.latency);
        }
        let mut judged = self.latency.clone();
        judged.record_n_us(MAX_US, self.failed());
        Cow::Owned(judged)
    }

    /// Requests that took longer than `limit_us`, or failed.
    pub fn slower_than(&self, limit_us: u64) -> u64 {
        self.latency.count_above_us(limit_us) + self.failed()
    }

    /// Whether there is a time for every answer; else how many there are.
    fn has_all_times(&self) -> Result<(), String> {
        let times = [Some(&self.latency), self.service.as_ref()];
        match times.into_iter().flatten().find(|times| times.len() != self.count) {
            Some(times) => Err(format!("{} times for {} answers", times.len(), self.count)),
            None => Ok(()),
        }
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
    /// How late requests were sent; the open model only.
    pub lateness: Option<LatencyHistogram>,
    /// How long acknowledged writes took to be seen; only where versions were followed.
    pub propagation: Option<LatencyHistogram>,
}

impl MeasuredRound<'_> {
    /// The whole mix.
    pub fn all(&self) -> &Measured {
        &self.endpoints[ALL_ENDPOINTS]
    }

    /// Mean number in flight over the measured phase; `None` where nothing was, or nothing counted it.
    pub fn mean_in_flight(&self) -> Option<f64> {
        let mean = self.phase.flow?.in_flight_us as f64 / (self.seconds * 1e6);
        (mean > 0.0 && mean.is_finite()).then_some(mean)
    }

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
        let dropped = phase.arrivals.as_ref().map_or(0, |arrivals| arrivals.dropped);
        for measured in endpoints.values_mut() {
            measured.dropped = share_of_dropped(dropped, measured.sent(), all.sent());
        }
        // Messages to clients are no requests: they stand beside the whole mix.
        for (name, stream) in &round.streams {
            let measured = Measured::decode(&stream.messages).map_err(|source| unreadable(round, name, source))?;
            endpoints.insert(name.clone(), measured);
        }
        for (name, counts) in round
            .topics
            .iter()
            .flat_map(|(name, topic)| counts_of_topic(name, topic))
        {
            let measured = Measured::decode(counts).map_err(|source| unreadable(round, &name, source))?;
            endpoints.insert(name, measured);
        }
        all.dropped = dropped;
        endpoints.insert(ALL_ENDPOINTS.to_owned(), all);
        let whole = |what: &str, hdr: Option<&String>| {
            let decoded = hdr.map(|hdr| LatencyHistogram::decode(hdr)).transpose();
            decoded.map_err(|source| unreadable(round, what, source))
        };
        let (arrivals, versions) = (phase.arrivals.as_ref(), round.consistency.as_ref());
        Ok(MeasuredRound {
            round,
            phase,
            seconds: phase.end_ms.saturating_sub(phase.start_ms) as f64 / 1000.0,
            endpoints,
            lateness: whole("send lateness", arrivals.map(|arrivals| &arrivals.lateness_hdr))?,
            propagation: whole("propagation", versions.map(|versions| &versions.propagation_hdr))?,
        })
    }
}

/// Whatever of a topic is counted as requests are, by the names of targets and tables.
fn counts_of_topic<'t>(name: &str, topic: &'t Topic) -> Vec<(String, &'t EndpointCounts)> {
    let records = topic.records.as_ref().map(|records| (name.to_owned(), records));
    let effects = topic.effects.as_ref();
    let effects = effects.map(|effects| (format!("{name}.effect"), &effects.commits));
    let produced = topic.produced.as_ref();
    let produced = produced.map(|produced| (format!("{name}.produced"), &produced.acknowledgements));
    records.into_iter().chain(effects).chain(produced).collect()
}

/// The part of `dropped` arrivals that would have been `sent` of `all_sent` requests.
fn share_of_dropped(dropped: u64, sent: u64, all_sent: u64) -> u64 {
    if all_sent == 0 {
        return dropped;
    }
    (dropped * sent).div_ceil(all_sent)
}

pub(crate) fn unreadable(round: &Round, endpoint: &str, source: HistogramError) -> RoundError {
    RoundError {
        block: round.block,
        subject: round.subject.clone(),
        endpoint: endpoint.to_owned(),
        source,
    }
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

/// All rounds of a record, decoded.
#[derive(Debug)]
pub struct Rounds<'a> {
    /// The rounds as the record holds them.
    pub all: &'a [Round],
    by_subject: BTreeMap<&'a str, Vec<MeasuredRound<'a>>>,
    /// Histograms and answers of all phases, or the first place where an answer has no time.
    pub(crate) times: Result<(u64, u64), String>,
}

impl<'a> Rounds<'a> {
    /// Decodes every histogram of `rounds` once. Those of the measured phases are kept; of the others only the number
    /// of times is of interest, and one that cannot be read is a fault of [`times`](Self::times).
    ///
    /// # Errors
    /// A histogram of a measured phase that cannot be read.
    pub fn decode(rounds: &'a [Round]) -> Result<Self, RoundError> {
        let mut decoded = Self {
            all: rounds,
            by_subject: BTreeMap::new(),
            times: Ok((0, 0)),
        };
        for (round, phase) in rounds
            .iter()
            .flat_map(|round| round.phases.iter().map(move |phase| (round, phase)))
        {
            if phase.name == PHASE_MEASURE {
                let measured = MeasuredRound::decode(round, phase)?;
                for (endpoint, counted) in measured
                    .endpoints
                    .iter()
                    .filter(|(name, _)| phase.endpoints.contains_key(*name))
                {
                    decoded.count(round, phase, endpoint, counted.has_all_times().map(|()| counted.count));
                }
                decoded.by_subject.entry(&round.subject).or_default().push(measured);
            } else {
                for (endpoint, counts) in &phase.endpoints {
                    let counted = Measured::decode(counts).map_err(|error| error.to_string());
                    let found = counted.and_then(|counted| counted.has_all_times().map(|()| counted.count));
                    decoded.count(round, phase, endpoint, found);
                }
            }
        }
        Ok(decoded)
    }

    /// Takes note of the answers of one endpoint in one phase, or of what is wrong with their times.
    fn count(&mut self, round: &Round, phase: &Phase, endpoint: &str, found: Result<u64, String>) {
        if let Ok((histograms, answers)) = &mut self.times {
            match found {
                Ok(count) => (*histograms, *answers) = (*histograms + 1, *answers + count),
                Err(fault) => {
                    let place = format!(
                        "block {}, subject {}, {} of {endpoint}",
                        round.block, round.subject, phase.name
                    );
                    self.times = Err(format!("{place}: {fault}"));
                }
            }
        }
    }

    /// The measured rounds of `subject`, in their order.
    pub fn of(&self, subject: &str) -> &[MeasuredRound<'a>] {
        self.by_subject.get(subject).map_or(&[], Vec::as_slice)
    }

    /// Every subject with its measured rounds, by name.
    pub fn subjects(&self) -> impl Iterator<Item = (&'a str, &[MeasuredRound<'a>])> {
        self.by_subject
            .iter()
            .map(|(subject, rounds)| (*subject, rounds.as_slice()))
    }

    /// Without the blocks that `leaves_out` names.
    pub(crate) fn leave_out(&mut self, leaves_out: impl Fn(u32) -> bool) {
        for rounds in self.by_subject.values_mut() {
            rounds.retain(|round| !leaves_out(round.round.block));
        }
    }

    /// The measured rounds of every subject, in the order in which they ran.
    pub fn in_order(&self) -> Vec<&MeasuredRound<'a>> {
        let mut rounds: Vec<_> = self.by_subject.values().flatten().collect();
        rounds.sort_by_key(|round| round.round.order);
        rounds
    }
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
