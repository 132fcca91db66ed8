//! One slice of a gate: an open load of a second or two on one subject and on the canary beside it, from one thread,
//! after a lead that is not recorded.

use std::{sync::Arc, time::Duration};

use measure::recorder::Recorded;
use scenarios::{OpenModel, Schedule, Sequences, Vars, Workload};

use super::{Attack, AttackSpec, LoadModel, SliceRules, Target, open};
use crate::{error::HarnessError, interrupt::Interrupt};

/// Load of a slice on one subject, or on the canary.
pub(crate) struct SliceLoad<'a> {
    pub(crate) workload: &'a Arc<Workload>,
    pub(crate) model: &'a OpenModel,
    pub(crate) target: Target,
    /// Variables that the setup left.
    pub(crate) globals: Vars,
    /// How far its sequences have come.
    pub(crate) sequences: Arc<Sequences>,
}

/// Lengths of a slice, and the seed of its choices.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SliceTiming {
    /// Before the slice, not recorded.
    pub(crate) lead: Duration,
    pub(crate) slice: Duration,
    /// What is in flight at its end gets so long.
    pub(crate) drain: Duration,
    /// Of every random choice: the same for both slices of a pair.
    pub(crate) seed: u64,
}

/// Recorded times of a slice, and facts about who drove it.
pub(crate) struct SliceReport {
    /// Of the subject.
    pub(crate) recorded: Recorded,
    pub(crate) canary: Option<Recorded>,
    /// CPU time of the generator's thread, share of one core.
    pub(crate) generator_cpu: f64,
    /// What went wrong with the subject, with counts.
    pub(crate) errors: Vec<String>,
    /// Priority of the generator's thread, as the kernel counts it.
    pub(crate) sender_priority: Option<i32>,
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
pub(crate) async fn drive(
    subject: SliceLoad<'_>,
    canary: Option<SliceLoad<'_>>,
    timing: SliceTiming,
    interrupt: &Interrupt,
) -> Result<SliceReport, HarnessError> {
    let subject = subject.begin(timing, interrupt)?;
    let canary = canary.map(|canary| canary.begin(timing, interrupt)).transpose()?;
    let paced = open::run(subject.paced(), canary.as_ref().map(Watched::paced)).await?;
    let report = subject.attack.finish_paced(paced);
    let cpu_s = report.pacer_cpu.unwrap_or_default().as_secs_f64();
    Ok(SliceReport {
        recorded: report.recorded,
        canary: canary.map(|canary| canary.attack.finish_paced(paced).recorded),
        generator_cpu: cpu_s / (timing.lead + timing.slice).as_secs_f64(),
        errors: report.errors,
        sender_priority: report.sender_priority,
    })
}

impl<'a> SliceLoad<'a> {
    fn begin(self, timing: SliceTiming, interrupt: &Interrupt) -> Result<Watched<'a>, HarnessError> {
        let schedule = Schedule {
            warm_up_s: timing.lead.as_secs_f64(),
            measure_s: timing.slice.as_secs_f64(),
            drain_s: timing.drain.as_secs_f64(),
            blocks: 1,
        };
        let spec = AttackSpec {
            workload: self.workload,
            model: &LoadModel::Open(self.model.clone()),
            schedule: &schedule,
            target: self.target,
            globals: self.globals,
            seed: timing.seed,
            slice: Some(SliceRules {
                sequences: self.sequences,
            }),
        };
        Ok(Watched {
            attack: Attack::new(spec, interrupt)?,
            model: self.model,
        })
    }
}

impl Watched<'_> {
    fn paced(&self) -> open::PacedLoad {
        self.attack.paced(self.model)
    }
}
