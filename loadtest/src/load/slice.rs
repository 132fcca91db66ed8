//! One slice of a gate: an open load of a second or two on one subject and on the canary beside it, from one thread, after a
//! lead that is not recorded.

use std::{sync::Arc, time::Duration};

use measure::recorder::Recorded;
use scenarios::{OpenModel, Schedule, Sequences, Vars, Workload};

use super::{Attack, AttackSpec, LoadModel, SliceRules, Target};
use crate::{error::HarnessError, interrupt::Interrupt};

/// Who is asked what in a slice.
pub(crate) struct Asked<'a> {
    pub(crate) workload: &'a Arc<Workload>,
    pub(crate) model: &'a OpenModel,
    pub(crate) target: Target,
    /// What the setup left.
    pub(crate) globals: Vars,
    /// How far its sequences have come.
    pub(crate) sequences: Arc<Sequences>,
}

/// How long a slice is, and what it draws from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Length {
    /// Before the slice, not recorded.
    pub(crate) lead: Duration,
    pub(crate) slice: Duration,
    /// What is in flight at its end gets so long.
    pub(crate) drain: Duration,
    /// Of every random choice: the same for both slices of a pair.
    pub(crate) seed: u64,
}

/// What a slice came to.
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

/// Gives up what is in flight when it goes: of a slice that nobody waits for any more.
struct Abandon(Vec<Attack>);

impl Drop for Abandon {
    fn drop(&mut self) {
        self.0.iter().for_each(Attack::abandon);
    }
}

/// Drives one slice to the end of its drain.
///
/// # Errors
/// When the generator itself cannot run; what the subject answers is counted, never an error.
pub(crate) async fn drive(
    subject: &Asked<'_>,
    canary: Option<&Asked<'_>>,
    length: Length,
    interrupt: &Interrupt,
) -> Result<SliceReport, HarnessError> {
    let attacks = std::iter::once(subject)
        .chain(canary)
        .map(|asked| asked.attack(length, interrupt))
        .collect::<Result<Vec<_>, _>>()?;
    let watched = Abandon(attacks);
    let mut reports = Attack::run_together(&watched.0).await?.into_iter();
    let own = reports
        .next()
        .ok_or_else(|| HarnessError::internal(anyhow::anyhow!("a slice has a subject")))?;
    let cpu_s = own.pacer_cpu.unwrap_or_default().as_secs_f64();
    Ok(SliceReport {
        recorded: own.recorded,
        canary: reports.next().map(|report| report.recorded),
        generator_cpu: cpu_s / (length.lead + length.slice).as_secs_f64(),
        errors: own.errors,
        sender_priority: own.sender_priority,
    })
}

impl Asked<'_> {
    fn attack(&self, length: Length, interrupt: &Interrupt) -> Result<Attack, HarnessError> {
        let schedule = Schedule {
            warm_up_s: length.lead.as_secs_f64(),
            measure_s: length.slice.as_secs_f64(),
            drain_s: length.drain.as_secs_f64(),
            blocks: 1,
        };
        let model = LoadModel::Open(self.model.clone());
        let spec = AttackSpec {
            workload: self.workload,
            model: &model,
            schedule: &schedule,
            target: self.target.clone(),
            globals: self.globals.clone(),
            seed: length.seed,
            slice: Some(SliceRules {
                sequences: Arc::clone(&self.sequences),
            }),
        };
        Attack::new(spec, interrupt)
    }
}
