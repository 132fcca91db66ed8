//! What the load path writes into: counters and histograms of one round, sharded so that workers never wait for each
//! other, merged once at the end.
//!
//! What belongs here: which phase and second a request belongs to, and counting it without allocating. What does not:
//! clocks (times come in as microseconds since the round's start) and judging what an answer was worth (the driver).
//!
//! Memory of a [`Shard`], fixed when it is made: 70 KB per endpoint and phase (three of them) and 10 KB per measured
//! second. Four endpoints and 60 s make 1.5 MB. The caller bounds the number of shards (one per user or worker).

use hdrhistogram::Histogram;

use crate::figures::us_to_ms;
use crate::histogram::{self, LatencyHistogram, add_same_layout, clamp_us};
use crate::record::{EndpointCounts, PHASE_DRAIN, PHASE_MEASURE, PHASE_WARM_UP, Phase, Slice};

const PHASES: usize = 3;
const WARM_UP: usize = 0;
const MEASURE: usize = 1;
const DRAIN: usize = 2;
const SECOND_US: u64 = 1_000_000;
/// Slices are drawn, not judged: 1 % precision costs a seventh of the memory.
const SLICE_DIGITS: u8 = 2;

/// When the phases of a round end, microseconds since its start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Windows {
    /// End of the warm-up, start of the measured phase.
    pub warm_up_end_us: u64,
    /// End of the measured phase, start of the drain. Not before `warm_up_end_us`.
    pub measure_end_us: u64,
}

impl Windows {
    /// Windows of the given lengths.
    pub fn from_lengths(warm_up: std::time::Duration, measure: std::time::Duration) -> Self {
        let micros = |length: std::time::Duration| u64::try_from(length.as_micros()).unwrap_or(u64::MAX);
        Self {
            warm_up_end_us: micros(warm_up),
            measure_end_us: micros(warm_up + measure),
        }
    }

    fn phase_of(&self, started_us: u64) -> usize {
        if started_us < self.warm_up_end_us {
            WARM_UP
        } else if started_us < self.measure_end_us {
            MEASURE
        } else {
            DRAIN
        }
    }

    fn measured_seconds(&self) -> usize {
        let length_us = self.measure_end_us.saturating_sub(self.warm_up_end_us);
        usize::try_from(length_us.div_ceil(SECOND_US)).unwrap_or(usize::MAX)
    }

    fn second_of(&self, started_us: u64) -> usize {
        usize::try_from((started_us - self.warm_up_end_us) / SECOND_US).unwrap_or(usize::MAX)
    }

    /// Start and end of each phase of a round that ended at `ended_us`, maybe early.
    fn spans_us(&self, ended_us: u64) -> [(u64, u64); PHASES] {
        let warm_up_end = self.warm_up_end_us.min(ended_us);
        let measure_end = self.measure_end_us.min(ended_us);
        [(0, warm_up_end), (warm_up_end, measure_end), (measure_end, ended_us)]
    }
}

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// An answer as expected, read to its last byte.
    Ok {
        /// Bytes of its body.
        bytes: u64,
    },
    /// An answer not as expected, a refused or broken connection, a time-out.
    Error,
}

/// Sums over the measured phase so far, for a progress display.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    /// Answers as expected.
    pub answers: u64,
    /// Errors.
    pub errors: u64,
}

/// Makes shards of one round and turns them into its phases and slices.
#[derive(Debug, Clone)]
pub struct RoundRecorder {
    endpoints: Vec<String>,
    windows: Windows,
}

/// What a round counted, in the form of the record.
#[derive(Debug, Clone, PartialEq)]
pub struct Recorded {
    /// `warm_up`, `measure` and `drain`, each with every endpoint.
    pub phases: Vec<Phase>,
    /// Seconds of the measured phase.
    pub slices: Vec<Slice>,
}

impl RoundRecorder {
    /// For a round over `endpoints`, whose positions are the endpoint indices of [`Shard::record`].
    pub fn new(endpoints: Vec<String>, windows: Windows) -> Self {
        Self { endpoints, windows }
    }

    /// An empty shard, all memory allocated.
    pub fn shard(&self) -> Shard {
        Shard::new(self.endpoints.len(), self.windows)
    }

    /// Merges the shards of a round that ended (drain included) `ended_us` after its start; phases and slices that a
    /// round stopped early did not reach are cut short.
    ///
    /// # Panics
    /// If a shard was made for another number of endpoints or other windows.
    pub fn finish<'a>(&self, shards: impl IntoIterator<Item = &'a Shard>, ended_us: u64) -> Recorded {
        let mut total = self.shard();
        shards.into_iter().for_each(|shard| total.merge(shard));
        let spans = self.windows.spans_us(ended_us);
        let names = [PHASE_WARM_UP, PHASE_MEASURE, PHASE_DRAIN];
        let phases = (0..PHASES)
            .map(|phase| self.phase(&total, phase, names[phase], spans[phase]))
            .collect();
        let (start_us, end_us) = spans[MEASURE];
        Recorded {
            phases,
            slices: total.slices(end_us.saturating_sub(start_us)),
        }
    }

    fn phase(&self, total: &Shard, phase: usize, name: &str, (start_us, end_us): (u64, u64)) -> Phase {
        let endpoints = self
            .endpoints
            .iter()
            .enumerate()
            .map(|(index, name)| (name.clone(), total.cells[cell_index(index, phase)].to_counts()))
            .collect();
        Phase {
            name: name.to_owned(),
            start_ms: start_us / 1000,
            end_ms: end_us / 1000,
            endpoints,
        }
    }
}

/// Counters of one worker for one round.
#[derive(Debug, Clone)]
pub struct Shard {
    windows: Windows,
    /// By endpoint, then phase.
    cells: Vec<Cell>,
    /// Seconds of the measured phase.
    seconds: Vec<Second>,
}

/// One endpoint in one phase. 32-bit counters halve the memory; a bucket would need 4 billion answers to fill one.
#[derive(Debug, Clone)]
struct Cell {
    errors: u64,
    censored: u64,
    bytes: u64,
    latency: Histogram<u32>,
}

/// One second, all endpoints.
#[derive(Debug, Clone)]
struct Second {
    errors: u64,
    latency: Histogram<u32>,
}

fn cell_index(endpoint: usize, phase: usize) -> usize {
    endpoint * PHASES + phase
}

impl Shard {
    /// An empty shard for so many endpoints, all memory allocated.
    pub fn new(endpoint_count: usize, windows: Windows) -> Self {
        let cells = (0..endpoint_count * PHASES).map(|_| Cell::new()).collect();
        let seconds = (0..windows.measured_seconds()).map(|_| Second::new()).collect();
        Self {
            windows,
            cells,
            seconds,
        }
    }

    /// Counts a request that ended. Does not allocate.
    ///
    /// It belongs to the phase in which it started. One that started in the measured phase and ended after it is
    /// censored, whatever its outcome: its time did not fit into what was measured.
    ///
    /// # Panics
    /// If there is no such endpoint.
    pub fn record(&mut self, endpoint: usize, started_us: u64, ended_us: u64, outcome: Outcome) {
        let phase = self.windows.phase_of(started_us);
        let cell = &mut self.cells[cell_index(endpoint, phase)];
        if phase == MEASURE && ended_us > self.windows.measure_end_us {
            cell.censored += 1;
            return;
        }
        let latency_us = clamp_us(ended_us.saturating_sub(started_us));
        cell.count(latency_us, outcome);
        if phase == MEASURE {
            self.seconds[self.windows.second_of(started_us)].count(latency_us, outcome);
        }
    }

    /// Counts a request that had not ended when the drain was over. Does not allocate.
    ///
    /// With it, answers + errors + censored are everything that started in a phase.
    ///
    /// # Panics
    /// If there is no such endpoint.
    pub fn censored(&mut self, endpoint: usize, started_us: u64) {
        self.cells[cell_index(endpoint, self.windows.phase_of(started_us))].censored += 1;
    }

    /// Adds everything that `other` counted.
    ///
    /// # Panics
    /// If `other` was made for another number of endpoints or other windows.
    pub fn merge(&mut self, other: &Self) {
        assert_eq!(
            (self.windows, self.cells.len()),
            (other.windows, other.cells.len()),
            "only shards of one round can be merged"
        );
        self.cells
            .iter_mut()
            .zip(&other.cells)
            .for_each(|(sum, cell)| sum.merge(cell));
        self.seconds
            .iter_mut()
            .zip(&other.seconds)
            .for_each(|(sum, second)| sum.merge(second));
    }

    /// What the measured phase has counted so far.
    pub fn progress(&self) -> Progress {
        self.measured().fold(Progress::default(), |sum, cell| Progress {
            answers: sum.answers + cell.latency.len(),
            errors: sum.errors + cell.errors,
        })
    }

    /// Adds the times of the measured phase so far, all endpoints, e.g. for the p95 of a progress display.
    pub fn add_measured_to(&self, sum: &mut LatencyHistogram) {
        self.measured().for_each(|cell| sum.merge_counts(&cell.latency));
    }

    fn measured(&self) -> impl Iterator<Item = &Cell> {
        self.cells.iter().skip(MEASURE).step_by(PHASES)
    }

    fn slices(&self, measured_us: u64) -> Vec<Slice> {
        (0..)
            .step_by(1000)
            .zip(&self.seconds)
            .take_while(|(start_ms, _)| start_ms * 1000 < measured_us)
            .map(|(start_ms, second)| second.to_slice(start_ms))
            .collect()
    }
}

impl Cell {
    fn new() -> Self {
        Self {
            errors: 0,
            censored: 0,
            bytes: 0,
            latency: histogram::full_precision(),
        }
    }

    fn count(&mut self, latency_us: u64, outcome: Outcome) {
        match outcome {
            Outcome::Ok { bytes } => {
                self.bytes += bytes;
                self.latency.saturating_record(latency_us);
            }
            Outcome::Error => self.errors += 1,
        }
    }

    fn merge(&mut self, other: &Self) {
        self.errors += other.errors;
        self.censored += other.censored;
        self.bytes += other.bytes;
        add_same_layout(&mut self.latency, &other.latency);
    }

    fn to_counts(&self) -> EndpointCounts {
        let mut latency = LatencyHistogram::new();
        latency.merge_counts(&self.latency);
        EndpointCounts {
            count: latency.len(),
            errors: self.errors,
            censored: self.censored,
            bytes: self.bytes,
            hdr: latency.encode(),
        }
    }
}

impl Second {
    fn new() -> Self {
        Self {
            errors: 0,
            latency: histogram::with_digits(SLICE_DIGITS),
        }
    }

    fn count(&mut self, latency_us: u64, outcome: Outcome) {
        match outcome {
            Outcome::Ok { .. } => self.latency.saturating_record(latency_us),
            Outcome::Error => self.errors += 1,
        }
    }

    fn merge(&mut self, other: &Self) {
        self.errors += other.errors;
        add_same_layout(&mut self.latency, &other.latency);
    }

    fn to_slice(&self, start_ms: u64) -> Slice {
        let quantile_ms =
            |quantile| (!self.latency.is_empty()).then(|| us_to_ms(self.latency.value_at_quantile(quantile)));
        Slice {
            start_ms,
            count: self.latency.len(),
            errors: self.errors,
            p50_ms: quantile_ms(0.5),
            p95_ms: quantile_ms(0.95),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    /// Warm-up 1 s, measured 2.5 s.
    const WINDOWS: Windows = Windows {
        warm_up_end_us: 1_000_000,
        measure_end_us: 3_500_000,
    };
    const ENDED_US: u64 = 4_000_000;
    const OK: Outcome = Outcome::Ok { bytes: 10 };

    fn recorder() -> RoundRecorder {
        RoundRecorder::new(vec!["a".to_owned(), "b".to_owned()], WINDOWS)
    }

    fn record(requests: &[(usize, u64, u64, Outcome)]) -> Recorded {
        let mut shard = recorder().shard();
        for (endpoint, started_us, ended_us, outcome) in requests {
            shard.record(*endpoint, *started_us, *ended_us, *outcome);
        }
        recorder().finish(&[shard], ENDED_US)
    }

    fn counts(recorded: &Recorded, phase: usize, endpoint: &str) -> (u64, u64, u64) {
        let counted = &recorded.phases[phase].endpoints[endpoint];
        (counted.count, counted.errors, counted.censored)
    }

    #[test]
    fn windows_from_lengths() {
        assert_eq!(
            Windows::from_lengths(Duration::from_secs(1), Duration::from_millis(2500)),
            WINDOWS
        );
    }

    #[test]
    fn a_request_belongs_to_the_phase_in_which_it_started() {
        let recorded = record(&[
            (0, 999_999, 1_200_000, OK),
            (0, 1_000_000, 1_000_500, OK),
            (0, 3_499_999, 3_500_000, OK),
            (0, 3_500_000, 3_600_000, OK),
            (1, 2_000_000, 2_000_100, Outcome::Error),
        ]);
        let spans: Vec<_> = recorded
            .phases
            .iter()
            .map(|p| (p.name.as_str(), p.start_ms, p.end_ms))
            .collect();
        assert_eq!(
            spans,
            [("warm_up", 0, 1000), ("measure", 1000, 3500), ("drain", 3500, 4000)]
        );
        assert_eq!(
            [0, 1, 2].map(|phase| counts(&recorded, phase, "a")),
            [(1, 0, 0), (2, 0, 0), (1, 0, 0)]
        );
        assert_eq!(counts(&recorded, 1, "b"), (0, 1, 0));
        let measured = &recorded.phases[1].endpoints["a"];
        assert_eq!(measured.bytes, 20);
        assert_eq!(LatencyHistogram::decode(&measured.hdr).unwrap().max_us(), Some(500));
    }

    #[test]
    fn what_outlives_the_measured_phase_is_censored_not_dropped() {
        let mut shard = recorder().shard();
        shard.record(0, 3_400_000, 3_500_001, OK);
        shard.record(0, 3_400_000, 3_900_000, Outcome::Error);
        shard.record(0, 3_400_000, 3_500_000, OK);
        shard.censored(0, 3_000_000);
        shard.censored(0, 3_600_000);
        shard.censored(0, 10);
        let recorded = recorder().finish(&[shard], ENDED_US);
        assert_eq!(
            [0, 1, 2].map(|phase| counts(&recorded, phase, "a")),
            [(0, 0, 1), (1, 0, 3), (0, 0, 1)]
        );
    }

    #[test]
    fn slices_are_seconds_of_the_measured_phase_by_start() {
        let recorded = record(&[
            (0, 500_000, 900_000, OK),
            (0, 1_000_000, 1_004_000, OK),
            (1, 1_999_999, 3_000_000, OK),
            (1, 3_200_000, 3_200_010, Outcome::Error),
        ]);
        let shown: Vec<_> = recorded
            .slices
            .iter()
            .map(|s| (s.start_ms, s.count, s.errors))
            .collect();
        assert_eq!(shown, [(0, 2, 0), (1000, 0, 0), (2000, 0, 1)]);
        assert_eq!(recorded.slices[1].p95_ms, None);
        let p50_ms = recorded.slices[0].p50_ms.unwrap();
        assert!((p50_ms - 4.0).abs() <= 0.04, "{p50_ms} is not 4 ms within 1 %");
    }

    #[test]
    fn a_round_stopped_early_has_shorter_phases() {
        let stopped = recorder().finish(&[], 1_700_000);
        let spans: Vec<_> = stopped.phases.iter().map(|p| (p.start_ms, p.end_ms)).collect();
        assert_eq!(spans, [(0, 1000), (1000, 1700), (1700, 1700)]);
        assert_eq!(stopped.slices.len(), 1);
        assert!(recorder().finish(&[], 500_000).slices.is_empty());
    }

    #[test]
    fn progress_sees_the_measured_phase_only() {
        let mut shard = recorder().shard();
        shard.record(0, 0, 5_000, OK);
        shard.record(0, 1_500_000, 1_500_700, OK);
        shard.record(1, 1_500_000, 1_500_900, OK);
        shard.record(1, 1_500_000, 1_500_900, Outcome::Error);
        let mut times = LatencyHistogram::new();
        shard.add_measured_to(&mut times);
        assert_eq!(shard.progress(), Progress { answers: 2, errors: 1 });
        assert_eq!((times.len(), times.max_us()), (2, Some(900)));
    }

    #[test]
    #[should_panic(expected = "only shards of one round")]
    fn shards_of_different_rounds_do_not_merge() {
        recorder().shard().merge(&Shard::new(3, WINDOWS));
    }

    fn request() -> impl Strategy<Value = (usize, u64, u64, Outcome)> {
        let outcome = prop_oneof![
            (0..1000_u64).prop_map(|bytes| Outcome::Ok { bytes }),
            Just(Outcome::Error)
        ];
        (0..2_usize, 0..4_000_000_u64, 0..1_000_000_u64, outcome)
            .prop_map(|(endpoint, started, took, outcome)| (endpoint, started, started + took, outcome))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn merging_shards_equals_recording_into_one(
            requests in prop::collection::vec((request(), 0..3_usize), 0..200),
        ) {
            let mut one = recorder().shard();
            let mut shards = [recorder().shard(), recorder().shard(), recorder().shard()];
            for ((endpoint, started_us, ended_us, outcome), shard) in &requests {
                one.record(*endpoint, *started_us, *ended_us, *outcome);
                shards[*shard].record(*endpoint, *started_us, *ended_us, *outcome);
            }
            prop_assert_eq!(recorder().finish(&shards, ENDED_US), recorder().finish(&[one], ENDED_US));
        }

        #[test]
        fn nothing_that_started_is_lost(requests in prop::collection::vec(request(), 0..200)) {
            let recorded = record(&requests);
            let measured = &recorded.phases[MEASURE].endpoints;
            let started = requests.iter().filter(|r| (1_000_000..3_500_000).contains(&r.1)).count() as u64;
            prop_assert_eq!(measured.values().map(|c| c.count + c.errors + c.censored).sum::<u64>(), started);
            prop_assert_eq!(recorded.slices.iter().map(|s| s.count).sum::<u64>(),
                            measured.values().map(|c| c.count).sum::<u64>());
        }
    }
}
