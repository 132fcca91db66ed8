//! Counters of one worker for one round: what the load path calls.

use super::cells::{Cell, Second, Times};
use super::connections::{ConnectionCounter, Opened};
use super::flow::FlowCounter;
use super::hops::HopCounter;
use super::{MEASURE, PHASES, SECOND_US, Windows};
use crate::histogram::LatencyHistogram;
use crate::record::{Connections, EndpointCounts, FailureClass, Model, Phase, Slice};

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequestEnd {
    /// An answer as expected, read to its last byte.
    Ok {
        /// Bytes of its body.
        bytes: u64,
    },
    /// No answer as expected, and why; never [`FailureClass::Unanswered`], which follows from the times.
    Failed(FailureClass),
}

/// A request that ended; times in microseconds since the round's start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Request {
    /// Index into the recorder's endpoints.
    pub endpoint: usize,
    /// When the schedule wanted it sent: the response time counts from here (invariant 7). In the closed model equal
    /// to `sent_us`.
    pub intended_us: u64,
    /// When it was sent: the service time counts from here.
    pub sent_us: u64,
    /// When its last byte was read, or it failed.
    pub ended_us: u64,
    /// How long after the send it waited on our side, for a stream of a shared connection: no part of the service time.
    pub waited_us: u64,
    /// How it ended.
    pub outcome: RequestEnd,
}

/// A request that was sent and had not ended when it was given up (end of the drain, abort).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unfinished {
    /// Index into the recorder's endpoints.
    pub endpoint: usize,
    /// When the schedule wanted it sent.
    pub intended_us: u64,
    /// When it was sent.
    pub sent_us: u64,
    /// When it was given up.
    pub given_up_us: u64,
}

/// Sums over the measured phase so far, for a progress display.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    /// Answers as expected.
    pub answers: u64,
    /// Errors.
    pub errors: u64,
}

/// Counters of one worker for one round.
#[derive(Debug, Clone)]
pub struct Shard {
    windows: Windows,
    model: Model,
    /// Whether an answer after the measured phase counts with its time.
    pub(super) late_answers: bool,
    /// By endpoint, then phase.
    cells: Vec<Cell>,
    /// Seconds of the measured phase.
    seconds: Vec<Second>,
    flow: FlowCounter,
    connections: ConnectionCounter,
    pub(super) hops: HopCounter,
}

fn cell_index(endpoint: usize, phase: usize) -> usize {
    endpoint * PHASES + phase
}

impl Shard {
    /// An empty shard for so many endpoints, all memory allocated.
    pub fn new(endpoint_count: usize, windows: Windows, model: Model) -> Self {
        let open = model == Model::Open;
        let cells = (0..endpoint_count)
            .flat_map(|_| (0..PHASES).map(|phase| Cell::new(open && phase == MEASURE)))
            .collect();
        let seconds = (0..windows.measured_steps(SECOND_US))
            .map(|_| Second::new(endpoint_count, open))
            .collect();
        Self {
            windows,
            model,
            late_answers: false,
            cells,
            seconds,
            flow: FlowCounter::new(windows, model),
            connections: ConnectionCounter::new(),
            hops: HopCounter::new(&[]),
        }
    }

    /// Counts a request that ended. Does not allocate.
    ///
    /// It belongs to the phase of its intended start. One of the measured phase that ended after it is censored,
    /// whatever its outcome: its time did not fit into what was measured. (Slices of a gate count it all the same.)
    ///
    /// # Panics
    /// If there is no such endpoint.
    pub fn ended(&mut self, request: Request) {
        self.sent(request.intended_us, request.sent_us);
        self.flow.in_flight(request.intended_us, request.ended_us);
        let phase = self.windows.phase_of(request.intended_us);
        let cell = &mut self.cells[cell_index(request.endpoint, phase)];
        let late = phase == MEASURE && request.ended_us > self.windows.measure_end_us;
        if late && !self.late_answers {
            self.unanswered(request.endpoint, request.intended_us);
            return;
        }
        let times = Times {
            response_us: request.ended_us.saturating_sub(request.intended_us),
            service_us: request.ended_us.saturating_sub(request.sent_us + request.waited_us),
        };
        cell.count(times, request.outcome);
        if phase == MEASURE {
            self.measured_request(request, times.response_us);
        }
    }

    fn measured_request(&mut self, request: Request, response_us: u64) {
        let second = self.windows.step_of(request.intended_us, SECOND_US);
        self.seconds[second].count(request.endpoint, response_us, request.outcome);
        match request.outcome {
            RequestEnd::Ok { .. } => self.flow.answered(request.intended_us, response_us),
            RequestEnd::Failed(_) => self.flow.failed(response_us),
        }
    }

    /// Counts a request that had no answer within its phase.
    fn unanswered(&mut self, endpoint: usize, intended_us: u64) {
        let phase = self.windows.phase_of(intended_us);
        self.cells[cell_index(endpoint, phase)]
            .failures
            .add(FailureClass::Unanswered);
        if phase == MEASURE {
            let second = self.windows.step_of(intended_us, SECOND_US);
            self.seconds[second].failures[endpoint].add(FailureClass::Unanswered);
        }
    }

    /// Counts that a request was sent a second time, on another connection; how it ended is told apart from this. Does
    /// not allocate.
    ///
    /// # Panics
    /// If there is no such endpoint.
    pub fn repeated(&mut self, endpoint: usize, intended_us: u64) {
        let phase = self.windows.phase_of(intended_us);
        self.cells[cell_index(endpoint, phase)].repeated += 1;
    }

    /// Counts a connection that was made. Does not allocate.
    pub fn opened(&mut self, opened: Opened) {
        self.connections.opened(self.windows.phase_of(opened.at_us), opened);
    }

    /// Counts that a request, due at `intended_us`, waited on our side for a stream of a shared connection. Does not
    /// allocate.
    pub fn waited_for_stream(&mut self, intended_us: u64, waited_us: u64) {
        self.connections.waited(self.windows.phase_of(intended_us), waited_us);
    }

    /// Counts one of the requests that a request which follows redirects consists of. Does not allocate.
    pub fn hop(&mut self, endpoint: usize, intended_us: u64, took_us: u64) {
        self.hops.count(endpoint, self.windows.phase_of(intended_us), took_us);
    }

    /// Counts that an answer as expected came compressed: its body as it came, and its content. Does not allocate.
    ///
    /// # Panics
    /// If there is no such endpoint.
    pub fn unpacked(&mut self, endpoint: usize, intended_us: u64, bytes: u64, content_bytes: u64) {
        let phase = self.windows.phase_of(intended_us);
        let cell = &mut self.cells[cell_index(endpoint, phase)];
        cell.compressed_bytes += bytes;
        cell.content_bytes += content_bytes;
    }

    /// Counts a request that had not ended when it was given up. Does not allocate.
    ///
    /// With it, answers + errors + censored are everything that was sent in a phase.
    ///
    /// # Panics
    /// If there is no such endpoint.
    pub fn unfinished(&mut self, request: Unfinished) {
        self.sent(request.intended_us, request.sent_us);
        self.flow.in_flight(request.intended_us, request.given_up_us);
        self.unanswered(request.endpoint, request.intended_us);
    }

    /// Counts a user's pause (closed model): it began, was to last `intended_us`, and ended. A pause that the end of
    /// the round cut short counts as intended. Does not allocate.
    pub fn pause(&mut self, began_us: u64, intended_us: u64, ended_us: u64) {
        self.flow.pause(began_us, intended_us, ended_us);
    }

    /// Counts a request that the schedule wanted sent at `intended_us` (open model), before it is known whether a
    /// worker is free. Does not allocate.
    pub fn arrival(&mut self, intended_us: u64) {
        self.flow.arrival(intended_us);
    }

    /// Counts an arrival that was not sent because no worker was free (open model). Does not allocate.
    pub fn dropped(&mut self, intended_us: u64) {
        self.flow.dropped(intended_us);
    }

    fn sent(&mut self, intended_us: u64, sent_us: u64) {
        if self.model == Model::Open && self.windows.phase_of(intended_us) == MEASURE {
            let lateness_us = sent_us.saturating_sub(intended_us);
            self.flow.sent(intended_us, lateness_us);
            self.seconds[self.windows.step_of(intended_us, SECOND_US)].sent(lateness_us);
        }
    }

    /// Adds everything that `other` counted.
    ///
    /// # Panics
    /// If `other` was made for another number of endpoints, other windows or another model.
    pub fn merge(&mut self, other: &Self) {
        assert_eq!(
            (self.windows, self.cells.len(), self.model),
            (other.windows, other.cells.len(), other.model),
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
        self.flow.merge(&other.flow);
        self.connections.merge(&other.connections);
        self.hops.merge(&other.hops);
    }

    /// Counts of the measured phase so far.
    pub fn progress(&self) -> Progress {
        self.measured().fold(Progress::default(), |sum, cell| Progress {
            answers: sum.answers + cell.response.len(),
            errors: sum.errors + cell.failures.errors(),
        })
    }

    /// Adds the response times of an endpoint in the measured phase so far, e.g. for the p95 of a progress display. One
    /// endpoint at a time: whoever holds the shard holds up its worker.
    ///
    /// # Panics
    /// If there is no such endpoint.
    pub fn add_measured_to(&self, endpoint: usize, sum: &mut LatencyHistogram) {
        sum.merge_counts(&self.cells[cell_index(endpoint, MEASURE)].response);
    }

    fn measured(&self) -> impl Iterator<Item = &Cell> {
        self.cells.iter().skip(MEASURE).step_by(PHASES)
    }

    pub(super) fn counts(&self, endpoint: usize, phase: usize) -> EndpointCounts {
        self.cells[cell_index(endpoint, phase)].to_counts()
    }

    pub(super) fn connections(&self, phase: usize) -> Connections {
        self.connections.of_phase(phase)
    }

    /// Writes what flowed through the measured phase, which came to `measured_us`, into its record.
    pub(super) fn describe_measured(&self, phase: &mut Phase, measured_us: u64) {
        phase.flow = Some(self.flow.flow());
        phase.arrivals = self.flow.arrivals();
        phase.pulse = Some(self.flow.pulse(measured_us));
    }

    /// The seconds of the first `measured_us`; `endpoints` are the names of the endpoints.
    pub(super) fn slices(&self, measured_us: u64, endpoints: &[String]) -> Vec<Slice> {
        (0..)
            .step_by(1000)
            .zip(&self.seconds)
            .take_while(|(start_ms, _)| start_ms * 1000 < measured_us)
            .map(|(start_ms, second)| second.to_slice(start_ms, endpoints))
            .collect()
    }
}
