//! One slice of a gate: an open load of a second or two on one subject and on the canary beside it, from one thread,
//! after a lead that is not recorded.

use std::{sync::Arc, time::Duration};

use measure::{
    record::{FailureGroup, Transport},
    recorder::Recorded,
};
use scenarios::{OpenModel, Schedule, Sequences, Vars, Workload};

use crate::{Attack, AttackSpec, LoadError, LoadModel, SliceRules, Stop, Target, open};

/// Load of a slice on one subject, or on the canary.
pub struct SliceLoad<'a> {
    /// The requests to send, with their journeys and checks.
    pub workload: &'a Arc<Workload>,
    /// When it is sent.
    pub model: &'a OpenModel,
    /// Where it goes.
    pub target: Target,
    /// Variables that the setup left.
    pub globals: Vars,
    /// How far its sequences have come.
    pub sequences: Arc<Sequences>,
}

/// Lengths of a slice, and the seed of its choices.
#[derive(Debug, Clone, Copy)]
pub struct SliceTiming {
    /// Before the slice, not recorded.
    pub lead: Duration,
    /// The slice itself.
    pub slice: Duration,
    /// Time that requests in flight at its end still get.
    pub drain: Duration,
    /// Of every random choice: the same for both slices of a pair.
    pub seed: u64,
}

/// Recorded times of a slice, and facts about who drove it.
pub struct SliceReport {
    /// Of the subject.
    pub recorded: Recorded,
    /// Of the canary, if there was one.
    pub canary: Option<Recorded>,
    /// CPU time of the generator's thread, share of one core.
    pub generator_cpu: f64,
    /// Failures of the subject by kind, with examples.
    pub failures: Vec<FailureGroup>,
    /// How the requests of the subject travelled.
    pub transport: Transport,
    /// Priority of the generator's thread, as the kernel counts it.
    pub sender_priority: Option<i32>,
}

/// A load under way; what is in flight is given up when nobody waits for it any more.
struct Watched<'a> {
    attack: Attack,
    model: &'a OpenModel,
}

impl Drop for Watched<'_> {
    fn drop(&mut self) {
        self.attack.abandon();
    }
}

/// Drives one slice to the end of its drain.
///
/// # Errors
/// When the generator itself cannot run; what the subject answers is counted, never an error.
pub async fn drive(
    subject: SliceLoad<'_>,
    canary: Option<SliceLoad<'_>>,
    timing: SliceTiming,
    stop: &Stop,
) -> Result<SliceReport, LoadError> {
    let subject = subject.begin(timing, stop)?;
    let canary = canary.map(|canary| canary.begin(timing, stop)).transpose()?;
    let paced = open::run(subject.paced(), canary.as_ref().map(Watched::paced)).await?;
    let report = subject.attack.finish_paced(paced);
    let cpu_s = report.pacer_cpu.unwrap_or_default().as_secs_f64();
    Ok(SliceReport {
        recorded: report.recorded,
        canary: canary.map(|canary| canary.attack.finish_paced(paced).recorded),
        generator_cpu: cpu_s / (timing.lead + timing.slice).as_secs_f64(),
        failures: report.failures,
        transport: report.transport,
        sender_priority: report.sender_priority,
    })
}

impl<'a> SliceLoad<'a> {
    fn begin(self, timing: SliceTiming, stop: &Stop) -> Result<Watched<'a>, LoadError> {
        let schedule = Schedule {
            warm_up_s: timing.lead.as_secs_f64(),
            measure_s: timing.slice.as_secs_f64(),
            drain_s: timing.drain.as_secs_f64(),
            blocks: 1,
        };
        let spec = AttackSpec {
            streams: vec![],
            topics: vec![],
            workload: self.workload,
            model: &LoadModel::Open(self.model.clone()),
            schedule: &schedule,
            target: self.target,
            globals: self.globals,
            seed: timing.seed,
            requests: None,
            slice: Some(SliceRules {
                sequences: self.sequences,
            }),
        };
        Ok(Watched {
            attack: Attack::new(spec, stop)?,
            model: self.model,
        })
    }
}

impl Watched<'_> {
    fn paced(&self) -> open::PacedLoad {
        self.attack.paced(self.model)
    }
}
