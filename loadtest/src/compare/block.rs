//! One block of a gate: both subjects launched afresh and resident side by side, then sixteen slices of load on one or
//! the other, in the order that the seed draws, with the canary beside both.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, Instant},
};

use chrono::{DateTime, Utc};
use load::{Clock, SliceLoad, SliceReport, SliceTiming, Target, drive_slice, fetch_globals};
use measure::{
    gate::{
        collect,
        order::{self, Side},
    },
    metrics,
    record::{FailureClass, FailureGroup, GateSlice, ResidentCpu, Round, Transport},
    recorder::Recorded,
};
use scenarios::{OpenModel, Sequences, Vars};

use super::{gate, plan::Plan};
use crate::{
    canary::CanaryLoad,
    error::HarnessError,
    launchpad::{Launchpad, Resident, Surroundings},
    machine,
    probes::{Gauge, GaugeReading},
};

/// Kinds of failures that are shown, each when it comes for the first time; all of them are in the record.
const SHOWN_FAILURES: usize = 5;

/// Endpoint and class of the failures that were shown.
pub(super) type ShownFailures = BTreeSet<(String, FailureClass)>;

/// One block, to be run.
pub(super) struct Block<'a> {
    pub(super) plan: &'a Plan,
    pub(super) model: &'a OpenModel,
    pub(super) canary: &'a CanaryLoad,
    pub(super) around: Surroundings<'a>,
    /// From 0.
    pub(super) number: u32,
}

/// A subject as the load sees it.
struct Loaded {
    target: Target,
    globals: Vars,
    sequences: Arc<Sequences>,
}

/// The slices of one side.
#[derive(Default)]
struct Counted {
    recorded: Vec<Recorded>,
    slices: Vec<GateSlice>,
    failures: Vec<FailureGroup>,
    /// How the requests of the last slice travelled: as those of all.
    transport: Option<Transport>,
    sender_priority: Option<i32>,
    /// Absent where the CPU time of the resident cannot be read.
    cpu: Option<ResidentCpu>,
}

fn index(side: Side) -> usize {
    match side {
        Side::Before => 0,
        Side::After => 1,
    }
}

/// Swaps the two where the judged side comes first; the same again puts them back.
fn in_order<T>(mut pair: [T; 2], first: Side) -> [T; 2] {
    if first == Side::After {
        pair.swap(0, 1);
    }
    pair
}

impl<'a> Block<'a> {
    /// Runs the block and adds its two rounds to `rounds`, unless it ends early. Subjects that were started are taken
    /// down whatever happens.
    ///
    /// # Errors
    /// When a subject, a server or the generator fails, and after an interrupt.
    pub(super) async fn run(
        &self,
        launchpad: &Launchpad<'a>,
        rounds: &mut Vec<Round>,
        shown: &mut ShownFailures,
    ) -> Result<(), HarnessError> {
        let started_at = Utc::now();
        let first = self.first();
        let subjects = &self.plan.subjects;
        let both = in_order([&subjects[0], &subjects[1]], first);
        let residents = launchpad.bring_up_both(both, self.number * 2).await?;
        let mut residents = in_order(residents, first);
        let counted = self.watched(&mut residents).await;
        let [before, after] = residents;
        let (one, other) = tokio::join!(before.take_down(), after.take_down());
        let counted = counted?;
        self.show_failures(&counted, shown);
        rounds.extend(self.to_rounds(counted, started_at)?);
        one.and(other)
    }

    /// The side that is cloned, launched and warmed up first.
    fn first(&self) -> Side {
        order::first(self.plan.seed, self.number)
    }

    /// Warm-up and slices, watched for the end of either subject.
    async fn watched(&self, residents: &mut [Resident<'_>; 2]) -> Result<[Counted; 2], HarnessError> {
        let gauge = Gauge::of([residents[0].pid(), residents[1].pid()]);
        let [before, after] = residents;
        let loaded = [self.loaded(before).await?, self.loaded(after).await?];
        let when = || format!("during block {}", self.number + 1);
        tokio::select! {
            counted = self.measured(&loaded, &gauge) => counted,
            error = before.lost(when) => Err(error),
            error = after.lost(when) => Err(error),
        }
    }

    async fn loaded(&self, resident: &Resident<'_>) -> Result<Loaded, HarnessError> {
        let workload = &self.plan.workload;
        let setup = fetch_globals(workload, &resident.target);
        Ok(Loaded {
            target: resident.target.clone(),
            globals: self.around.interrupt.unless_stopped(setup).await??,
            sequences: Arc::new(workload.new_sequences()),
        })
    }

    async fn measured(&self, loaded: &[Loaded; 2], gauge: &Gauge) -> Result<[Counted; 2], HarnessError> {
        let [first, second] = in_order([&loaded[0], &loaded[1]], self.first());
        let warm = [self.warmed(first, gauge).await?, self.warmed(second, gauge).await?];
        self.slices(loaded, gauge, in_order(warm, self.first())).await
    }

    /// Warms a subject up; the reading at the end of it.
    async fn warmed(&self, subject: &Loaded, gauge: &Gauge) -> Result<GaugeReading, HarnessError> {
        let warm_up = Duration::from_secs_f64(self.plan.schedule.warm_up_s);
        self.slice(subject, None, self.timing(warm_up, 0)).await?;
        gauge.read()
    }

    /// The slices, after the readings at the end of either warm-up.
    async fn slices(
        &self,
        loaded: &[Loaded; 2],
        gauge: &Gauge,
        warm: [GaugeReading; 2],
    ) -> Result<[Counted; 2], HarnessError> {
        let began = Instant::now();
        let slice = Duration::from_secs_f64(self.plan.schedule.measure_s);
        let cores = machine::describe().cores;
        let mut counted = [Counted::default(), Counted::default()];
        let mut idle = [ResidentCpu::default(), ResidentCpu::default()];
        let mut last = gauge.read()?;
        for (position, side) in (0..).zip(order::slices(self.plan.seed, self.number)) {
            let place = format!("block {} slice {}", self.number + 1, position + 1);
            let done_ms = gate::done_ms(self.plan, self.number, position);
            self.around.progress.at(done_ms, &place);
            let subject = &loaded[index(side)];
            // Both slices of a pair replay the same requests at the same times.
            let timing = self.timing(slice, 1 + u64::from(position / 2));
            let at = began.elapsed() + timing.lead;
            let report = self.slice(subject, Some(self.canary.slice()), timing).await?;
            let now = gauge.read()?;
            let used = now.since(&last, cores);
            let other = 1 - index(side);
            idle[other].idle_us += used.resident_us[other].unwrap_or(0);
            idle[other].idle_ms += millis(used.time);
            let facts = GateSlice {
                position,
                start_ms: millis(at),
                length_ms: millis(slice),
                service_cpu_us: used.resident_us[index(side)],
                generator_cpu: report.generator_cpu,
                steal: Some(used.stolen),
                busy: Some(used.busy),
                failed_as_ms: self.plan.workload.endpoints.iter().map(|of| of.timeout_ms).max(),
                ..GateSlice::default()
            };
            counted[index(side)].add(facts, report)?;
            last = now;
        }
        for (index, side) in counted.iter_mut().enumerate() {
            let used = last.since(&warm[index], cores).resident_us[index];
            side.cpu = used.map(|cpu_us| ResidentCpu {
                cpu_us,
                requests: collect::requests(&side.recorded),
                ..idle[index]
            });
        }
        Ok(counted)
    }

    fn timing(&self, slice: Duration, draw: u64) -> SliceTiming {
        SliceTiming {
            lead: gate::lead(slice),
            slice,
            drain: Duration::from_secs_f64(self.plan.schedule.drain_s),
            seed: self.plan.block_seed(self.number).wrapping_add(draw),
        }
    }

    async fn slice(
        &self,
        subject: &Loaded,
        canary: Option<SliceLoad<'_>>,
        timing: SliceTiming,
    ) -> Result<SliceReport, HarnessError> {
        let load = SliceLoad {
            workload: &self.plan.workload,
            model: self.model,
            target: subject.target.clone(),
            globals: subject.globals.clone(),
            sequences: Arc::clone(&subject.sequences),
        };
        let report = drive_slice(load, canary, timing, &self.around.interrupt.of_load()).await?;
        // A slice that was stopped half way is none.
        self.around.interrupt.check()?;
        Ok(report)
    }

    /// Shows the kinds of failures that were not shown before.
    fn show_failures(&self, counted: &[Counted; 2], shown: &mut ShownFailures) {
        for group in counted.iter().flat_map(|side| &side.failures) {
            let kind = (group.endpoint.clone(), group.class);
            if shown.len() < SHOWN_FAILURES && shown.insert(kind) {
                let line = format!("  error in block {}: {}", self.number + 1, group.describe());
                self.around.progress.line(&line);
            }
        }
    }

    fn to_rounds(&self, counted: [Counted; 2], started_at: DateTime<Utc>) -> Result<Vec<Round>, HarnessError> {
        let launches = in_order([self.number * 2, self.number * 2 + 1], self.first());
        let sides = launches.into_iter().zip(&self.plan.subjects).zip(counted);
        let rounds = sides.map(|((order, subject), counted)| {
            counted.into_round(Round {
                block: self.number,
                order,
                subject: subject.name.clone(),
                started_at,
                ..Round::default()
            })
        });
        rounds.collect()
    }
}

impl Counted {
    fn add(&mut self, facts: GateSlice, report: SliceReport) -> Result<(), HarnessError> {
        let slice = collect::slice(facts, &report.recorded, report.canary.as_ref());
        self.slices.push(slice.map_err(HarnessError::internal)?);
        self.recorded.push(report.recorded);
        FailureGroup::merge(&mut self.failures, &report.failures);
        self.sender_priority = report.sender_priority;
        self.transport = Some(report.transport);
        Ok(())
    }

    fn into_round(self, mut round: Round) -> Result<Round, HarnessError> {
        round.probes = self.probes();
        round.resident_cpu = self.cpu;
        collect::put_end_to_end(&mut round, &self.recorded).map_err(HarnessError::internal)?;
        round.gate_slices = self.slices;
        round.failures = self.failures;
        round.transport = self.transport;
        Ok(round)
    }

    /// The figures that a summary shows beside the times.
    fn probes(&self) -> BTreeMap<String, f64> {
        let cpu_us = self.cpu.and_then(|cpu| cpu.us_per_request());
        let figures = [
            (&metrics::HARNESS_SENDER_PRIORITY, self.sender_priority.map(f64::from)),
            (&metrics::SERVICE_CPU_US_PER_REQUEST, cpu_us),
            (&metrics::CLOCK_STEP_US, Some(Clock::step_us())),
        ];
        let known = figures.into_iter();
        known
            .filter_map(|(metric, value)| Some((metric.key(), value?)))
            .collect()
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
