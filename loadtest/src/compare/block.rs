//! One block of a gate: both subjects launched afresh and resident side by side, then sixteen slices of load on one or the
//! other, in the order that the seed draws, with the canary beside both.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, Instant},
};

use chrono::{DateTime, Utc};
use measure::{
    gate::{
        collect::{self, SliceFacts},
        order::{self, Side},
    },
    record::{GateSlice, Round},
    recorder::Recorded,
};
use scenarios::{OpenModel, Sequences, Vars, Workload};
use stack::Stack;

use super::{
    gate,
    plan::Slot,
    round::{Names, lost},
    run::{Run, unavailable},
};
use crate::{
    canary::{self, Canary},
    error::HarnessError,
    load::{Asked, Clock, Length, LoadModel, SliceReport, Target, drive_slice, fetch_globals},
    machine,
    probes::Gauge,
    subject::{Binary, Launched, Means, Subject},
};

/// Kinds of errors that a block shows; the counts of all are in the record.
const SHOWN_ERRORS: usize = 5;

/// What the canary is asked, in every slice.
pub(super) struct CanaryLoad {
    workload: Arc<Workload>,
    model: OpenModel,
    target: Target,
}

/// What a block came to.
pub(super) struct BlockEnd {
    /// Both rounds of a block that came to its end.
    pub(super) rounds: Option<BlockRounds>,
    pub(super) failure: Option<HarnessError>,
}

/// The rounds of both subjects.
pub(super) struct BlockRounds(pub(super) Vec<Round>);

/// A subject as the load sees it.
struct Resident<'a> {
    slot: Slot,
    subject: &'a Subject,
    target: Target,
    globals: Vars,
    sequences: Arc<Sequences>,
    gauge: Gauge,
}

/// A subject that is up: as the load sees it, and what has to be taken down again.
struct Up<'a> {
    resident: Resident<'a>,
    process: Option<Launched>,
    database: Option<String>,
}

/// The slices of one side.
#[derive(Default)]
struct Counted {
    recorded: Vec<Recorded>,
    slices: Vec<GateSlice>,
    errors: BTreeSet<String>,
    sender_priority: Option<i32>,
}

impl CanaryLoad {
    /// A tenth of the rate of `model`.
    pub(super) fn new(canary: &Canary, model: &LoadModel) -> Result<Self, HarnessError> {
        let LoadModel::Open(model) = model else {
            return Err(HarnessError::internal(anyhow::anyhow!("a gate has the open model")));
        };
        let workload = canary::workload()?;
        Ok(Self {
            model: canary::model(&workload, model.rate.first_per_s()),
            workload: Arc::new(workload),
            target: canary.target.clone(),
        })
    }

    fn asked(&self) -> Asked<'_> {
        Asked {
            workload: &self.workload,
            model: &self.model,
            target: self.target.clone(),
            globals: self.workload.new_vars(),
            sequences: Arc::new(self.workload.new_sequences()),
        }
    }
}

impl BlockRounds {
    /// "12,000 answers, 3 errors", for the terminal: nothing that could be compared.
    pub(super) fn describe(&self) -> String {
        let counts = || self.0.iter().flat_map(|round| &round.slices);
        let (answers, errors): (u64, u64) = counts().fold((0, 0), |(answers, errors), slice| {
            (answers + slice.count, errors + slice.errors)
        });
        format!("{answers} answers, {errors} errors")
    }
}

impl From<HarnessError> for BlockEnd {
    fn from(error: HarnessError) -> Self {
        Self {
            rounds: None,
            failure: Some(error),
        }
    }
}

fn index(side: Side) -> usize {
    match side {
        Side::Before => 0,
        Side::After => 1,
    }
}

impl Run<'_> {
    /// Runs one block. Whatever happens, subjects that were started are stopped and their databases dropped.
    pub(super) async fn block(&self, number: u32, canary: &CanaryLoad) -> BlockEnd {
        let started_at = Utc::now();
        let mut up = match self.bring_up(number).await {
            Ok(up) => up,
            Err(error) => return error.into(),
        };
        let measured = self.measure_block(number, &mut up, canary).await;
        let rounds = measured.and_then(|counted| self.to_rounds(number, &up, counted, started_at));
        let ended = self.take_down(up).await;
        match rounds {
            Ok(rounds) => BlockEnd {
                rounds: Some(rounds),
                failure: ended.err(),
            },
            Err(error) => error.into(),
        }
    }

    /// Both subjects up and ready, launched side by side.
    async fn bring_up(&self, number: u32) -> Result<[Up<'_>; 2], HarnessError> {
        if let Some(stack) = self.stack {
            stack.redis.flush().await.map_err(unavailable)?;
        }
        let [before, after] = [0, 1].map(|subject| Slot {
            block: number,
            order: number * 2 + u32::from(subject == 1),
            subject,
        });
        let names = [self.make_room(before).await?, self.make_room(after).await?];
        let [for_before, for_after] = names;
        let (before, after) = tokio::try_join!(self.up(before, for_before), self.up(after, for_after))?;
        Ok([before, after])
    }

    /// Database and topic of one launch; none for a subject that is up already.
    async fn make_room(&self, slot: Slot) -> Result<Option<Names>, HarnessError> {
        match self.to_launch(slot) {
            Some((binary, stack)) => {
                let names = self.names(slot);
                self.make_database_and_topic(stack, binary, &names).await?;
                Ok(Some(names))
            }
            None => Ok(None),
        }
    }

    fn to_launch(&self, slot: Slot) -> Option<(&Binary, &Stack)> {
        self.plan.subjects[slot.subject].binary().zip(self.stack)
    }

    async fn up(&self, slot: Slot, names: Option<Names>) -> Result<Up<'_>, HarnessError> {
        let subject = &self.plan.subjects[slot.subject];
        let process = match (self.to_launch(slot), &names) {
            (Some((binary, stack)), Some(names)) => Some(self.launch(stack, subject, binary, slot, names).await?),
            _ => None,
        };
        let target = match (&process, &subject.means) {
            (Some(process), _) => Target::at(process.address),
            (None, Means::Running(target)) => target.clone(),
            (None, Means::Launch(_)) => {
                return Err(HarnessError::internal(anyhow::anyhow!("no stack for {}", subject.name)));
            }
        };
        let workload = &self.plan.workload;
        Ok(Up {
            resident: Resident {
                slot,
                subject,
                globals: fetch_globals(workload, &target).await?,
                target,
                sequences: Arc::new(workload.new_sequences()),
                gauge: Gauge::of(process.as_ref().map(|process| process.pid))?,
            },
            process,
            database: names.map(|names| names.database),
        })
    }

    /// Stops and drops everything, and then tells the first failure.
    async fn take_down(&self, up: [Up<'_>; 2]) -> Result<(), HarnessError> {
        let [before, after] = up;
        let (one, other) = tokio::join!(self.take_down_one(before), self.take_down_one(after));
        one.and(other)
    }

    async fn take_down_one(&self, up: Up<'_>) -> Result<(), HarnessError> {
        let stopped = match up.process {
            Some(process) => process.stop().await,
            None => Ok(()),
        };
        let dropped = match (self.stack, up.database) {
            (Some(stack), Some(database)) => stack.postgres.drop_database(&database).await.map_err(unavailable),
            _ => Ok(()),
        };
        stopped.and(dropped)
    }

    /// Warm-up and slices, watched for the end of either subject.
    async fn measure_block(
        &self,
        number: u32,
        up: &mut [Up<'_>; 2],
        canary: &CanaryLoad,
    ) -> Result<[Counted; 2], HarnessError> {
        let [before, after] = up;
        let when = || format!("during block {}", number + 1);
        let residents = [&before.resident, &after.resident];
        tokio::select! {
            counted = self.slices(number, residents, canary) => counted,
            error = lost(before.process.as_mut(), when) => Err(error),
            error = lost(after.process.as_mut(), when) => Err(error),
        }
    }

    async fn slices(
        &self,
        number: u32,
        residents: [&Resident<'_>; 2],
        canary: &CanaryLoad,
    ) -> Result<[Counted; 2], HarnessError> {
        let warm_up = Duration::from_secs_f64(self.plan.schedule.warm_up_s);
        for resident in residents {
            self.slice(resident, None, self.length(number, warm_up, 0)).await?;
        }
        let began = Instant::now();
        let slice = Duration::from_secs_f64(self.plan.schedule.measure_s);
        let cores = machine::describe().cores;
        let mut counted = [Counted::default(), Counted::default()];
        for (position, side) in (0..).zip(order::slices(self.plan.seed, number)) {
            let place = format!("block {} slice {}", number + 1, position + 1);
            self.progress.at(gate::done_ms(self.plan, number, position), &place);
            let resident = residents[index(side)];
            // Both slices of a pair replay the same requests at the same times.
            let length = self.length(number, slice, 1 + u64::from(position / 2));
            let (at, before) = (began.elapsed() + length.lead, resident.gauge.read()?);
            let report = self.slice(resident, Some(canary), length).await?;
            let used = resident.gauge.read()?.since(&before, cores);
            let facts = SliceFacts {
                position,
                start_ms: millis(at),
                length_ms: millis(slice),
                service_cpu_us: used.subject_us,
                generator_cpu: report.generator_cpu,
                steal: Some(used.stolen),
                busy: Some(used.busy),
            };
            counted[index(side)].add(facts, report)?;
        }
        Ok(counted)
    }

    fn length(&self, block: u32, slice: Duration, plan: u64) -> Length {
        Length {
            lead: gate::lead(slice),
            slice,
            drain: Duration::from_secs_f64(self.plan.schedule.drain_s),
            seed: self.plan.block_seed(block).wrapping_add(plan),
        }
    }

    async fn slice(
        &self,
        resident: &Resident<'_>,
        canary: Option<&CanaryLoad>,
        length: Length,
    ) -> Result<SliceReport, HarnessError> {
        let LoadModel::Open(model) = &self.plan.model else {
            return Err(HarnessError::internal(anyhow::anyhow!("a gate has the open model")));
        };
        let asked = Asked {
            workload: &self.plan.workload,
            model,
            target: resident.target.clone(),
            globals: resident.globals.clone(),
            sequences: Arc::clone(&resident.sequences),
        };
        let canary = canary.map(CanaryLoad::asked);
        let report = drive_slice(&asked, canary.as_ref(), length, self.interrupt).await?;
        // A slice that was stopped half way is none.
        self.interrupt.check()?;
        Ok(report)
    }

    fn to_rounds(
        &self,
        number: u32,
        up: &[Up<'_>; 2],
        counted: [Counted; 2],
        started_at: DateTime<Utc>,
    ) -> Result<BlockRounds, HarnessError> {
        for error in counted.iter().flat_map(|side| &side.errors).take(SHOWN_ERRORS) {
            self.progress.line(&format!("  error in block {}: {error}", number + 1));
        }
        let rounds = up.iter().zip(counted).map(|(up, counted)| {
            let Resident { slot, subject, .. } = &up.resident;
            counted.into_round(*slot, subject, started_at)
        });
        Ok(BlockRounds(rounds.collect::<Result<_, _>>()?))
    }
}

impl Counted {
    fn add(&mut self, facts: SliceFacts, report: SliceReport) -> Result<(), HarnessError> {
        let slice = collect::slice(facts, &report.recorded, report.canary.as_ref());
        self.slices.push(slice.map_err(HarnessError::internal)?);
        self.recorded.push(report.recorded);
        self.errors.extend(report.errors);
        self.sender_priority = report.sender_priority;
        Ok(())
    }

    fn into_round(self, slot: Slot, subject: &Subject, started_at: DateTime<Utc>) -> Result<Round, HarnessError> {
        let mut round = Round {
            block: slot.block,
            order: slot.order,
            subject: subject.name.clone(),
            started_at,
            probes: self.probes(),
            ..Round::default()
        };
        collect::put_end_to_end(&mut round, &self.recorded).map_err(HarnessError::internal)?;
        round.gate_slices = self.slices;
        Ok(round)
    }

    /// The figures that a summary shows beside the times.
    fn probes(&self) -> BTreeMap<String, f64> {
        let priority = self
            .sender_priority
            .map(|priority| (measure::metrics::HARNESS_SENDER_PRIORITY.key(), f64::from(priority)));
        let clock = (measure::metrics::CLOCK_STEP_US.key(), Clock::step_us());
        let cpu = collect::cpu_us_per_request(&self.slices);
        let cpu = cpu.map(|cpu_us| (measure::metrics::SERVICE_CPU_US_PER_REQUEST.key(), cpu_us));
        priority.into_iter().chain(cpu).chain([clock]).collect()
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
