//! A record judged: everything that follows from its rounds, in one place.
//!
//! What belongs here: in which order summaries, comparisons, targets, checks and the verdict follow from each other,
//! and what the rounds cannot tell and is therefore kept as it was found. What does not: the parts themselves
//! (`summary`, `compare`, `gate`, `targets`, `checks`, `baseline`, `verdict`), and making records (the command,
//! `merge`).
//!
//! The result depends on the record and the question alone, so a stored record judged again gives the same verdict.
//! Every histogram is decoded once: [`Rounds`] holds those of the phases, `gate::evaluate` reads those of the slices.

use std::collections::{BTreeMap, BTreeSet};

use crate::baseline::{self, BaselineError, BaselineRules};
use crate::capacity::step;
use crate::checks::{self, CAME_TO_ITS_END};
use crate::compare::{Sides, compare};
use crate::disturbance::{self, Disturbance};
use crate::gate::{Evaluation, GateRules, evaluate};
use crate::limits::MIN_BLOCKS;
use crate::record::{Check, Comparison, Purpose, Record, Summary, Verdict};
use crate::rounds::{RoundError, Rounds};
use crate::summary::summarise;
use crate::targets::{self, Evidence, TargetSpec};
use crate::verdict;

/// The question that a verdict answers. The default judges a record on what it carries.
#[derive(Debug, Clone, Default)]
pub struct Question<'a> {
    /// Targets that must hold; without any, those that the record carries.
    pub targets: Option<&'a [TargetSpec]>,
    /// Runs of other times to compare with.
    pub baselines: Option<Baselines<'a>>,
    /// How the run ended.
    pub ending: Ending,
}

/// Stored runs, and when a difference from them counts.
#[derive(Debug, Clone, Copy)]
pub struct Baselines<'a> {
    /// At least one.
    pub records: &'a [Record],
    /// The limits.
    pub rules: BaselineRules,
}

/// How the run of a record ended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Ending {
    /// As the checks of the record say, which was judged before or merged from such records.
    #[default]
    AsFound,
    /// Everything that was planned was measured.
    Complete,
    /// Something stopped it. The figures are kept, and the verdict is about nothing else.
    Stopped {
        /// The verdict that stands for the reason.
        verdict: Verdict,
        /// The exit code that stands for it.
        exit_code: u8,
        /// The reason, in one line.
        why: String,
    },
}

/// Why a record cannot be judged.
#[derive(Debug, thiserror::Error)]
pub enum JudgeError {
    /// A histogram cannot be read.
    #[error(transparent)]
    Round(#[from] RoundError),
    /// It cannot be compared with the baselines.
    #[error(transparent)]
    Baseline(#[from] BaselineError),
}

/// Judges `record`: replaces everything in it that follows from its rounds, and its verdict, reason and exit code.
///
/// Checks that neither the rounds nor the facts of the record allow are kept as they were found, so that the mark of a
/// run that was stopped stays however often its record is judged or merged.
///
/// # Errors
/// A histogram that cannot be read, or baselines that cannot be compared with. The record is then as it was.
pub fn judge(record: &mut Record, question: &Question<'_>) -> Result<(), JudgeError> {
    let mut rounds = Rounds::decode(&record.rounds)?;
    let repeated = leave_out_disturbed(record, &mut rounds);
    let (before, after) = record.sides();
    let evaluation = evaluation(record, question.ending.is_early(record))?;
    let against = |stored: &Baselines| baseline::compare(record, rounds.of(after), stored.records, &stored.rules);
    let baseline = question.baselines.as_ref().map(against).transpose()?;

    let names = record.subjects.iter().map(|subject| &subject.name);
    let summary: BTreeMap<String, Summary> = names.map(|name| (name.clone(), summarise(rounds.of(name)))).collect();
    let no_figures = Summary::default();
    let carried: Vec<TargetSpec> = record.targets.iter().map(TargetSpec::of_result).collect();
    let specs = question.targets.unwrap_or(&carried);
    let evidence = Evidence {
        summary: summary.get(after).unwrap_or(&no_figures),
        before: before.map(|before| rounds.of(before)),
        after: rounds.of(after),
        disturbance: Disturbance::of(rounds.of(after), f64::from(record.machine.cores)),
    };
    let results = targets::results(specs, evidence);
    let mut checks = checks_of(record, &rounds, specs, &question.ending, evaluation.as_ref());
    checks.extend(repeated);
    let (comparisons, gate) = match evaluation {
        Some(evaluation) => (evaluation.comparisons, Some(evaluation.gate)),
        None => (comparisons(record, &rounds), None),
    };

    (record.summary, record.comparisons, record.gate) = (summary, comparisons, gate);
    (record.targets, record.checks, record.baseline) = (results, checks, baseline);
    (record.verdict, record.verdict_reason) = verdict::of(record);
    record.exit_code = record.verdict.exit_code();
    if let Ending::Stopped {
        verdict,
        exit_code,
        why,
    } = &question.ending
    {
        (record.verdict, record.exit_code, record.verdict_reason) = (*verdict, *exit_code, why.clone());
    }
    Ok(())
}

/// Judges a stored record on what it carries, so that nothing that it says of itself is believed but what was counted:
/// no summary, no verdict. That it was stopped stays its verdict; a comparison with baselines stays as it was found,
/// since only the records that it was made with could make it again.
///
/// # Errors
/// As [`judge`].
pub fn rederive(record: &mut Record) -> Result<(), JudgeError> {
    let stopped = matches!(record.verdict, Verdict::Interrupted | Verdict::Unavailable);
    let (verdict, reason, baseline) = (record.verdict, record.verdict_reason.clone(), record.baseline.take());
    let judged = judge(record, &Question::default());
    record.baseline = baseline;
    judged?;
    if stopped && Ending::AsFound.is_early(record) {
        (record.verdict, record.verdict_reason) = (verdict, reason);
    } else {
        (record.verdict, record.verdict_reason) = verdict::of(record);
    }
    record.exit_code = record.verdict.exit_code();
    Ok(())
}

/// Takes the blocks in which the machine was disturbed out of `rounds`, where as many as were planned, or as a
/// comparison needs, were measured without. The check says which, or that too few were left alone.
fn leave_out_disturbed(record: &Record, rounds: &mut Rounds) -> Option<Check> {
    if !matches!(record.purpose, Purpose::Report | Purpose::Ablation) {
        return None;
    }
    let disturbed = disturbance::blocks(rounds.in_order());
    let all: BTreeSet<u32> = record.rounds.iter().map(|round| round.block).collect();
    let alone = all.len() - disturbed.len();
    let planned = record.workload.blocks;
    let enough = usize::try_from(planned).unwrap_or(usize::MAX).clamp(1, MIN_BLOCKS);
    if alone < enough {
        return checks::repeated(&[], &disturbed, planned);
    }
    rounds.leave_out(|block| disturbed.iter().any(|(number, _)| *number == block));
    checks::repeated(&disturbed, &[], planned)
}

impl Ending {
    /// Whether the run was stopped, now or when it ran.
    fn is_early(&self, record: &Record) -> bool {
        match self {
            Self::AsFound => record
                .checks
                .iter()
                .any(|check| check.name == CAME_TO_ITS_END && !check.ok),
            Self::Complete => false,
            Self::Stopped { .. } => true,
        }
    }
}

/// The evaluated blocks of a gate; `None` for other runs, and for a gate that was stopped: a look before the end of a
/// stage would raise false alarms.
fn evaluation(record: &Record, stopped: bool) -> Result<Option<Evaluation>, RoundError> {
    let (Purpose::Gate, (Some(before), after), false) = (record.purpose, record.sides(), stopped) else {
        return Ok(None);
    };
    let rules = GateRules::of_run(record.workload.seed, record.workload.blocks);
    evaluate(&record.rounds, Sides { before, after }, &record.machine, &rules).map(Some)
}

/// The last subject against the first; in an ablation each one against the first.
fn comparisons(record: &Record, rounds: &Rounds) -> Vec<Comparison> {
    let (Some(before), last) = record.sides() else {
        return Vec::new();
    };
    let others: Vec<&str> = match record.purpose {
        Purpose::Gate => Vec::new(),
        Purpose::Ablation => record.ablation.iter().map(|ablated| ablated.subject.as_str()).collect(),
        Purpose::Report | Purpose::Capacity => vec![last],
    };
    let against_first = |after| compare(rounds, Sides { before, after }, record.workload.seed);
    others.into_iter().flat_map(against_first).collect()
}

/// The checks that cannot be made again, as they were found, and those that can. A run that was stopped before anything
/// was measured has nothing else to check.
fn checks_of(
    record: &Record,
    rounds: &Rounds,
    specs: &[TargetSpec],
    ending: &Ending,
    evaluation: Option<&Evaluation>,
) -> Vec<Check> {
    let mut made = match ending {
        Ending::AsFound => Vec::new(),
        Ending::Complete => vec![checks::came_to_its_end(None)],
        Ending::Stopped { why, .. } => vec![checks::came_to_its_end(Some(why))],
    };
    made.extend(checks::of_run(record));
    if !(rounds.all.is_empty() && ending.is_early(record)) {
        made.extend(checks::of_rounds(rounds, record.sides().1, specs));
        if record.purpose == Purpose::Gate {
            made.extend(checks::of_slices(rounds, &record.workload));
        } else {
            made.extend(checks::of_load(rounds, &record.workload, &record.machine));
            made.extend(checks::of_machine(rounds));
        }
        made.push(checks::of_samples(rounds.of(record.sides().1), specs));
    }
    made.extend(evaluation.map(checks::enough_slices));
    made.extend(record.capacity.as_ref().map(|found| step::whose_limit(&found.steps)));
    let names: BTreeSet<&str> = made.iter().map(|check| check.name.as_str()).collect();
    let is_kept = |check: &&Check| !names.contains(check.name.as_str());
    let kept: Vec<Check> = record.checks.iter().filter(is_kept).cloned().collect();
    [kept, made].concat()
}

#[cfg(test)]
mod tests;
