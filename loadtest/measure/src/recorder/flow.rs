//! Counters of the measured phase as a whole: requests in flight, pauses, arrivals, tenths of a second.

use hdrhistogram::Histogram;

use super::{MEASURE, Windows};
use crate::histogram::{self, LatencyHistogram, add_same_layout, clamp_us};
use crate::record::{Arrivals, Flow, LATE_US, Model, PULSE_STEP_MS, Pauses, Pulse};

const STEP_US: u64 = PULSE_STEP_MS * 1000;

/// Everything here that one shard counts.
#[derive(Debug, Clone)]
pub(super) struct FlowCounter {
    windows: Windows,
    flow: Flow,
    pulse: Pulse,
    arrivals: Option<ArrivalCounter>,
}

impl FlowCounter {
    pub(super) fn new(windows: Windows, model: Model) -> Self {
        let steps = windows.measured_steps(STEP_US);
        Self {
            windows,
            flow: Flow {
                pauses: (model == Model::Closed).then(Pauses::default),
                ..Flow::default()
            },
            pulse: Pulse {
                answers: vec![0; steps],
                response_us: vec![0; steps],
                in_flight_us: vec![0; steps],
            },
            arrivals: (model == Model::Open).then(ArrivalCounter::new),
        }
    }

    /// A request that was in flight from its intended start to its end, whatever came of it.
    pub(super) fn in_flight(&mut self, intended_us: u64, ended_us: u64) {
        let (start, end) = (self.windows.warm_up_end_us, self.windows.measure_end_us);
        self.flow.at_start += u64::from(intended_us < start && ended_us > start);
        self.flow.at_end += u64::from(intended_us < end && ended_us > end);
        if let Some((from, to)) = self.windows.clip(intended_us, ended_us) {
            self.flow.in_flight_us += to - from;
            self.flow.longest_us = self.flow.longest_us.max(to - from);
            spread(&mut self.pulse.in_flight_us, from, to);
        }
    }

    /// An answer that counts in the measured phase.
    pub(super) fn answered(&mut self, intended_us: u64, response_us: u64) {
        let step = self.windows.step_of(intended_us, STEP_US);
        self.pulse.answers[step] += 1;
        self.pulse.response_us[step] += response_us;
    }

    /// An error that counts in the measured phase.
    pub(super) fn failed(&mut self, response_us: u64) {
        self.flow.error_us += response_us;
    }

    pub(super) fn pause(&mut self, began_us: u64, intended_us: u64, ended_us: u64) {
        let Some(pauses) = &mut self.flow.pauses else { return };
        let inside = |to_us| self.windows.clip(began_us, to_us).map_or(0, |(from, to)| to - from);
        let (intended, observed) = (inside(began_us.saturating_add(intended_us)), inside(ended_us));
        pauses.count += u64::from(intended.max(observed) > 0);
        pauses.intended_us += intended;
        pauses.observed_us += observed;
    }

    pub(super) fn arrival(&mut self, intended_us: u64) {
        if let Some(arrivals) = self.arrivals_at(intended_us) {
            arrivals.intended += 1;
        }
    }

    pub(super) fn dropped(&mut self, intended_us: u64) {
        if let Some(arrivals) = self.arrivals_at(intended_us) {
            arrivals.dropped += 1;
        }
    }

    pub(super) fn sent(&mut self, intended_us: u64, lateness_us: u64) {
        if let Some(arrivals) = self.arrivals_at(intended_us) {
            arrivals.late += u64::from(lateness_us > LATE_US);
            arrivals.lateness.saturating_record(clamp_us(lateness_us));
        }
    }

    fn arrivals_at(&mut self, intended_us: u64) -> Option<&mut ArrivalCounter> {
        let measured = self.windows.phase_of(intended_us) == MEASURE;
        self.arrivals.as_mut().filter(|_| measured)
    }

    pub(super) fn merge(&mut self, other: &Self) {
        self.flow.merge(&other.flow);
        self.pulse.merge(&other.pulse);
        if let (Some(sum), Some(other)) = (&mut self.arrivals, &other.arrivals) {
            sum.merge(other);
        }
    }

    pub(super) fn flow(&self) -> Flow {
        self.flow
    }

    /// The steps of the first `measured_us` of the phase.
    pub(super) fn pulse(&self, measured_us: u64) -> Pulse {
        let steps = usize::try_from(measured_us.div_ceil(STEP_US)).unwrap_or(usize::MAX);
        let cut = |values: &[u64]| values.iter().copied().take(steps).collect();
        Pulse {
            answers: cut(&self.pulse.answers),
            response_us: cut(&self.pulse.response_us),
            in_flight_us: cut(&self.pulse.in_flight_us),
        }
    }

    pub(super) fn arrivals(&self) -> Option<Arrivals> {
        self.arrivals.as_ref().map(ArrivalCounter::to_record)
    }
}

/// Adds the span `from..to` to the steps that it touches.
fn spread(steps: &mut [u64], from_us: u64, to_us: u64) {
    let mut from = from_us;
    while from < to_us {
        let step = from / STEP_US;
        let until = to_us.min((step + 1) * STEP_US);
        steps[usize::try_from(step).unwrap_or(usize::MAX)] += until - from;
        from = until;
    }
}

#[derive(Debug, Clone)]
struct ArrivalCounter {
    intended: u64,
    late: u64,
    dropped: u64,
    lateness: Histogram<u32>,
}

impl ArrivalCounter {
    fn new() -> Self {
        Self {
            intended: 0,
            late: 0,
            dropped: 0,
            lateness: histogram::full_precision(),
        }
    }

    fn merge(&mut self, other: &Self) {
        self.intended += other.intended;
        self.late += other.late;
        self.dropped += other.dropped;
        add_same_layout(&mut self.lateness, &other.lateness);
    }

    fn to_record(&self) -> Arrivals {
        Arrivals {
            intended: self.intended,
            sent: self.lateness.len(),
            late: self.late,
            dropped: self.dropped,
            lateness_hdr: LatencyHistogram::from_counts(&self.lateness).encode(),
        }
    }
}

impl Flow {
    /// Adds what another worker or generator counted in the same phase.
    pub(crate) fn merge(&mut self, other: &Self) {
        self.in_flight_us += other.in_flight_us;
        self.at_start += other.at_start;
        self.at_end += other.at_end;
        self.longest_us = self.longest_us.max(other.longest_us);
        self.error_us += other.error_us;
        if let (Some(sum), Some(other)) = (&mut self.pauses, &other.pauses) {
            sum.count += other.count;
            sum.intended_us += other.intended_us;
            sum.observed_us += other.observed_us;
        }
    }
}

impl Pulse {
    /// Adds what another worker or generator counted in the same steps.
    pub(crate) fn merge(&mut self, other: &Self) {
        add_each(&mut self.answers, &other.answers);
        add_each(&mut self.response_us, &other.response_us);
        add_each(&mut self.in_flight_us, &other.in_flight_us);
    }
}

fn add_each(sums: &mut [u64], others: &[u64]) {
    sums.iter_mut().zip(others).for_each(|(sum, other)| *sum += other);
}
