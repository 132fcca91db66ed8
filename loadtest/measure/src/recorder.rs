//! What the load path writes into: counters and histograms of one round, sharded so that workers never wait for each
//! other, merged once at the end.
//!
//! What belongs here: which phase and second a request belongs to, and counting it without allocating. What does not:
//! clocks (times come in as microseconds since the round's start), judging what an answer was worth (the driver), and
//! judging the sums (`checks`).
//!
//! Memory of a [`Shard`], fixed when it is made: 70 KB per endpoint and phase (three of them), 10 KB per measured
//! second and 64 B per endpoint in it, 120 KB for connections, 30 KB per endpoint that follows redirects; the open
//! model adds 70 KB per endpoint, 70 KB in all and 10 KB per second. Four
//! endpoints and 60 s make 1.5 MB closed, 2.5 MB open. The caller bounds the number of shards (one per worker thread).

mod cells;
mod connections;
mod flow;
mod hops;
mod shard;

use crate::record::{Model, PHASE_DRAIN, PHASE_MEASURE, PHASE_WARM_UP, Phase, Slice};

pub use connections::{Handshaken, Opened};
use hops::HopCounter;
pub use shard::{Progress, Request, RequestEnd, Shard, Unfinished};

const PHASES: usize = 3;
const WARM_UP: usize = 0;
const MEASURE: usize = 1;
const DRAIN: usize = 2;
const SECOND_US: u64 = 1_000_000;

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

    fn measured_us(&self) -> u64 {
        self.measure_end_us.saturating_sub(self.warm_up_end_us)
    }

    /// How many steps of `step_us` cover the measured phase.
    fn measured_steps(&self, step_us: u64) -> usize {
        usize::try_from(self.measured_us().div_ceil(step_us)).unwrap_or(usize::MAX)
    }

    /// In which step of `step_us` a moment of the measured phase lies.
    fn step_of(&self, at_us: u64, step_us: u64) -> usize {
        usize::try_from((at_us - self.warm_up_end_us) / step_us).unwrap_or(usize::MAX)
    }

    /// The part of a span inside the measured phase, relative to its start; empty spans and those outside give `None`.
    fn clip(&self, from_us: u64, to_us: u64) -> Option<(u64, u64)> {
        let (from, to) = (from_us.max(self.warm_up_end_us), to_us.min(self.measure_end_us));
        (from < to).then(|| (from - self.warm_up_end_us, to - self.warm_up_end_us))
    }

    /// Start and end of each phase of a round that ended at `ended_us`, maybe early.
    fn spans_us(&self, ended_us: u64) -> [(u64, u64); PHASES] {
        let warm_up_end = self.warm_up_end_us.min(ended_us);
        let measure_end = self.measure_end_us.min(ended_us);
        [(0, warm_up_end), (warm_up_end, measure_end), (measure_end, ended_us)]
    }
}

/// Makes shards of one round and turns them into its phases and slices.
#[derive(Debug, Clone)]
pub struct RoundRecorder {
    endpoints: Vec<String>,
    windows: Windows,
    model: Model,
    late_answers: bool,
    /// By endpoint, whether redirects are followed; empty where none are.
    follows: Vec<bool>,
}

/// Counts of a round, in the form of the record.
#[derive(Debug, Clone, PartialEq)]
pub struct Recorded {
    /// `warm_up`, `measure` and `drain`, each with every endpoint.
    pub phases: Vec<Phase>,
    /// Seconds of the measured phase.
    pub slices: Vec<Slice>,
}

impl RoundRecorder {
    /// For a closed round over `endpoints`, whose positions are the endpoint indices of [`Request::endpoint`].
    pub fn new(endpoints: Vec<String>, windows: Windows) -> Self {
        Self {
            endpoints,
            windows,
            model: Model::Closed,
            late_answers: false,
            follows: Vec::new(),
        }
    }

    /// Sets the load model: the open one also keeps service times, send lateness and arrivals.
    #[must_use]
    pub fn with_model(self, model: Model) -> Self {
        Self { model, ..self }
    }

    /// Says of each endpoint whether its requests follow redirects: those also keep the times of the requests that they
    /// consist of.
    #[must_use]
    pub fn with_hops(self, follows: impl IntoIterator<Item = bool>) -> Self {
        Self {
            follows: follows.into_iter().collect(),
            ..self
        }
    }

    /// Records a slice of a gate: an answer that comes after the measured phase, while the slice drains, counts
    /// with its time. Slices are short, and calling their last answers censored would leave out the slow ones.
    #[must_use]
    pub fn with_late_answers(self) -> Self {
        Self {
            late_answers: true,
            ..self
        }
    }

    /// An empty shard, all memory allocated.
    pub fn shard(&self) -> Shard {
        let mut shard = Shard::new(self.endpoints.len(), self.windows, self.model);
        shard.late_answers = self.late_answers;
        shard.hops = HopCounter::new(&self.follows);
        shard
    }

    /// Merges the shards of a round that ended (drain included) `ended_us` after its start; phases and slices that a
    /// round stopped early did not reach are cut short.
    ///
    /// # Panics
    /// If a shard was made for another number of endpoints, other windows or another model.
    pub fn finish<'a>(&self, shards: impl IntoIterator<Item = &'a Shard>, ended_us: u64) -> Recorded {
        let mut total = self.shard();
        shards.into_iter().for_each(|shard| total.merge(shard));
        let spans = self.windows.spans_us(ended_us);
        let measured_us = spans[MEASURE].1.saturating_sub(spans[MEASURE].0);
        let names = [PHASE_WARM_UP, PHASE_MEASURE, PHASE_DRAIN];
        let mut phases: Vec<Phase> = (0..PHASES)
            .map(|phase| self.phase(&total, phase, names[phase], spans[phase]))
            .collect();
        total.describe_measured(&mut phases[MEASURE], measured_us);
        Recorded {
            phases,
            slices: total.slices(measured_us, &self.endpoints),
        }
    }

    fn phase(&self, total: &Shard, phase: usize, name: &str, (start_us, end_us): (u64, u64)) -> Phase {
        let named = self.endpoints.iter().enumerate();
        let endpoints = named
            .clone()
            .map(|(index, name)| (name.clone(), total.counts(index, phase)))
            .collect();
        Phase {
            name: name.to_owned(),
            start_ms: start_us / 1000,
            end_ms: end_us / 1000,
            endpoints,
            connections: Some(total.connections(phase)),
            hops: named
                .filter_map(|(index, name)| Some((name.clone(), total.hops.of(index, phase)?)))
                .collect(),
            ..Phase::default()
        }
    }
}

#[cfg(test)]
mod tests;
