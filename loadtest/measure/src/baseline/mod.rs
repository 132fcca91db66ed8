//! A record against stored baselines: runs of another time (STATISTICS section 7).
//!
//! What belongs here: which records are alike ([`like`]), and the judgement with what it can and cannot show. What does
//! not: comparisons within one record (`compare`, `gate`), where both sides share their conditions, and what follows
//! for the exit code (`verdict`).
//!
//! What a machine does differently from one hour to the next is part of every ratio here, and no interval made within a
//! run covers it. So the limit is wide where the blocks of single runs are all there is, and narrow only where runs at
//! several times show what times alone do.

mod figures;
mod like;

use chrono::TimeDelta;

use crate::compare;
use crate::figures::percent;
use crate::limits::{ALPHA, MARGIN, MIN_ANSWERS};
use crate::record::{About, Baseline, BaselineEvidence, BaselineRun, Comparison, Family, Outcome, Record, Verdict};
use crate::rounds::{MeasuredRound, RoundError, measured};
use crate::stats::student::{self, ONE_SIDED_95};
use crate::stats::unpaired::{Difference, holm};
use figures::{Figures, Series};

/// When a difference from a baseline counts. Ratios are after / baseline.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BaselineRules {
    /// The limit where the evidence is the blocks of single runs. Runs of the same code at different times stay within
    /// it by far; tests/simulation says how far.
    pub limit_of_blocks: f64,
    /// The limit where the evidence is runs at different times, whose interval holds what times do.
    pub limit_of_runs: f64,
    /// Runs at different times that such an interval needs.
    pub min_runs: usize,
    /// Runs that began closer to each other are of one time.
    pub apart: TimeDelta,
    /// Probability that any endpoint of a family is called when none has changed.
    pub alpha: f64,
    /// Answers that an endpoint needs per block: a 95th percentile of fewer is its largest time.
    pub min_requests: u64,
}

impl Default for BaselineRules {
    fn default() -> Self {
        Self {
            limit_of_blocks: 1.5,
            limit_of_runs: MARGIN,
            min_runs: 5,
            apart: TimeDelta::minutes(10),
            alpha: ALPHA,
            min_requests: MIN_ANSWERS,
        }
    }
}

/// Why a record is not compared with a baseline.
#[derive(Debug, thiserror::Error)]
pub enum BaselineError {
    /// There is nothing to compare with.
    #[error("no baseline was given")]
    None,
    /// It would be compared with itself.
    #[error(
        "baseline {id} is the same run as the record: it could only ever pass; give the record of an earlier run, or \
         run again"
    )]
    Same {
        /// Id of both.
        id: String,
    },
    /// A baseline was given twice.
    #[error("baseline {id} was given twice, and would count twice")]
    Twice {
        /// Its id.
        id: String,
    },
    /// A ratio of unlike things says nothing about the code.
    #[error("baseline {id} is not like record {record}, so a ratio would say nothing about the code: {what}")]
    Unlike {
        /// The record.
        record: String,
        /// The baseline.
        id: String,
        /// Everything in which they differ.
        what: String,
    },
    /// A run that could not be trusted itself.
    #[error("baseline {id} was called {verdict} when it ran ({reason}): measure it again")]
    NotValid {
        /// The baseline.
        id: String,
        /// Its verdict.
        verdict: &'static str,
        /// Why.
        reason: String,
    },
    /// A histogram cannot be read.
    #[error("record {id}: {source}")]
    Round {
        /// The record.
        id: String,
        /// The fault of the histogram.
        source: RoundError,
    },
}

/// Compares the last subject of `record`, whose measured rounds are `rounds`, with that of each of `baselines`.
///
/// # Errors
/// Anything for which a ratio would say nothing about the code.
pub fn compare(
    record: &Record,
    rounds: &[MeasuredRound],
    baselines: &[Record],
    rules: &BaselineRules,
) -> Result<Baseline, BaselineError> {
    refuse(record, baselines)?;
    let mut baselines: Vec<&Record> = baselines.iter().collect();
    baselines.sort_by_key(|baseline| baseline.created_at);
    let decoded = baselines
        .iter()
        .map(|baseline| decode(baseline))
        .collect::<Result<Vec<_>, _>>()?;
    let before: Vec<Figures> = decoded.iter().map(|rounds| Figures::of(rounds)).collect();
    let after = Figures::of(rounds);
    let times = different_times(&baselines, rules);
    let (evidence, limit) = if times >= rules.min_runs {
        (BaselineEvidence::Runs, rules.limit_of_runs)
    } else {
        (BaselineEvidence::Blocks, rules.limit_of_blocks)
    };
    let sides = Sides {
        before: match baselines.as_slice() {
            [only] => only.id.clone(),
            several => format!("{} baselines", several.len()),
        },
        after: record.sides().1.to_owned(),
        evidence,
        limit,
    };
    let mut comparisons = sides.compare(Family::LatencyP95, &figures::latency(&before, &after, rules), rules);
    comparisons.extend(sides.compare(Family::CpuPerRequest, &figures::cpu(&before, &after), rules));
    Ok(Baseline {
        runs: baselines
            .iter()
            .zip(&before)
            .map(|(record, figures)| run(record, figures))
            .collect(),
        evidence,
        limit,
        comparisons,
        shows: shows(&sides, &baselines),
        cannot_show: cannot_show(evidence, times, rules),
        notes: notes(record, &baselines, &before, &after),
    })
}

fn refuse(record: &Record, baselines: &[Record]) -> Result<(), BaselineError> {
    if baselines.is_empty() {
        return Err(BaselineError::None);
    }
    for (index, baseline) in baselines.iter().enumerate() {
        let id = baseline.id.clone();
        if id == record.id {
            return Err(BaselineError::Same { id });
        }
        if baselines[..index].iter().any(|other| other.id == id) {
            return Err(BaselineError::Twice { id });
        }
        let differences = like::differences(record, baseline);
        if !differences.is_empty() {
            return Err(BaselineError::Unlike {
                record: record.id.clone(),
                id,
                what: differences.join("; "),
            });
        }
        if let Some((verdict, reason)) = untrusted(baseline) {
            return Err(BaselineError::NotValid { id, verdict, reason });
        }
    }
    Ok(())
}

/// The word for a run that is no measure for another one, and why.
fn untrusted(baseline: &Record) -> Option<(&'static str, String)> {
    let word = match baseline.verdict {
        Verdict::Invalid => "invalid",
        Verdict::Unavailable => "not available",
        Verdict::Interrupted => "interrupted",
        Verdict::Pass | Verdict::Measured | Verdict::TargetsMissed | Verdict::Regression | Verdict::Inconclusive => {
            let mut failed = baseline.checks.iter().filter(|check| !check.ok);
            let fallen = failed.find(|check| check.about == About::Subject)?;
            return Some(("unable to cope", format!("{} ({})", fallen.name, fallen.detail)));
        }
    };
    Some((word, baseline.verdict_reason.clone()))
}

/// The measured rounds of the subject that a record is about.
fn decode(record: &Record) -> Result<Vec<MeasuredRound<'_>>, BaselineError> {
    measured(&record.rounds, record.sides().1).map_err(|source| BaselineError::Round {
        id: record.id.clone(),
        source,
    })
}

/// Times that are apart; `baselines` are sorted by time.
fn different_times(baselines: &[&Record], rules: &BaselineRules) -> usize {
    let mut times = 0;
    let mut last = None;
    for baseline in baselines {
        if last.is_none_or(|last| baseline.created_at - last >= rules.apart) {
            times += 1;
            last = Some(baseline.created_at);
        }
    }
    times
}

fn run(record: &Record, figures: &Figures) -> BaselineRun {
    BaselineRun {
        id: record.id.clone(),
        at: record.created_at,
        subject: record.sides().1.to_owned(),
        git: record.subjects.last().and_then(|subject| subject.git.clone()),
        blocks: u32::try_from(figures.rounds.len()).unwrap_or(u32::MAX),
    }
}

/// Who is compared with whom, on what evidence, against what.
struct Sides {
    before: String,
    after: String,
    evidence: BaselineEvidence,
    limit: f64,
}

impl Sides {
    /// One line per series; those without enough data stay out of the correction.
    fn compare(&self, family: Family, series: &[Series], rules: &BaselineRules) -> Vec<Comparison> {
        let found: Vec<Option<Difference>> = series.iter().map(|one| self.difference(one)).collect();
        let of_tested = |p: fn(&Difference, f64) -> f64, limit: f64| -> Vec<f64> {
            holm(&found.iter().flatten().map(|one| p(one, limit)).collect::<Vec<_>>())
        };
        let limit = self.limit.ln();
        let slower = of_tested(Difference::p_above, limit);
        let faster = of_tested(Difference::p_below, -limit);
        let tested = slower.len();
        let mut adjusted = slower.into_iter().zip(faster);
        let mut lines = Vec::new();
        for (one, difference) in series.iter().zip(found) {
            let p = difference.and_then(|difference| adjusted.next().map(|p| (difference, p)));
            lines.push(self.line(family, one, p, tested, rules));
        }
        lines
    }

    fn difference(&self, series: &Series) -> Option<Difference> {
        match self.evidence {
            _ if !series.enough => None,
            BaselineEvidence::Blocks => Difference::of_groups(&series.before_blocks, &series.after_blocks),
            BaselineEvidence::Runs => Difference::of_one_more(&series.before_runs, series.after_run?),
        }
    }

    fn line(
        &self,
        family: Family,
        series: &Series,
        found: Option<(Difference, (f64, f64))>,
        tested: usize,
        rules: &BaselineRules,
    ) -> Comparison {
        let bounds = found.map(|(difference, _)| difference.bounds(ONE_SIDED_95));
        let (p_slower, p_faster) = found.map_or((1.0, 1.0), |(_, p)| p);
        let outcome = match bounds {
            None => Outcome::InsufficientData,
            Some(_) if p_slower <= rules.alpha => Outcome::Regress,
            Some(_) if p_faster <= rules.alpha => Outcome::Improved,
            Some((_, high)) if high <= self.limit.ln() => Outcome::Pass,
            Some(_) => Outcome::Inconclusive,
        };
        let sides = compare::Sides {
            before: &self.before,
            after: &self.after,
        };
        Comparison {
            blocks: u32::try_from(series.after_blocks.len()).unwrap_or(u32::MAX),
            ratio: found.map_or(1.0, |(difference, _)| difference.estimate.exp()),
            ratio_low: bounds.map(|(low, _)| low.exp()),
            ratio_high: bounds.map(|(_, high)| high.exp()),
            p_slower,
            p_faster,
            mde: found.map(|(difference, _)| self.visible(&difference, tested, rules)),
            outcome,
            ..Comparison::located(family, &series.endpoint, sides, &[])
        }
    }

    /// The smallest slowdown that is called with 95 % power, were it the only one: the limit, the distance at which it
    /// is called after Holm's correction, and the luck that may go against it.
    fn visible(&self, difference: &Difference, tested: usize, rules: &BaselineRules) -> f64 {
        let called = student::quantile_of(1.0 - rules.alpha / tested.max(1) as f64, difference.degrees);
        let luck = student::quantile_of(ONE_SIDED_95, difference.degrees);
        (self.limit.ln() + (called + luck) * difference.error).exp_m1()
    }
}

fn shows(sides: &Sides, baselines: &[&Record]) -> String {
    let (limit, after) = (percent(sides.limit - 1.0), &sides.after);
    match (sides.evidence, baselines) {
        (BaselineEvidence::Blocks, [only]) => format!(
            "whether {after} is more than {limit} slower than the baseline of {}, which is more than other conditions \
             of the same machine explain",
            only.created_at.format("%Y-%m-%d %H:%M")
        ),
        (BaselineEvidence::Blocks, _) => {
            format!("whether {after} is more than {limit} slower than the blocks of all baselines together")
        }
        (BaselineEvidence::Runs, several) => format!(
            "whether {after} is more than {limit} slower than {} runs of the baseline at different times: what changes \
             between times is part of every interval",
            several.len()
        ),
    }
}

fn cannot_show(evidence: BaselineEvidence, times: usize, rules: &BaselineRules) -> String {
    let interleaved = "`loadtest compare BEFORE AFTER` runs both in alternation";
    match evidence {
        BaselineEvidence::Blocks => format!(
            "smaller changes: the runs were not interleaved, so what the machine did differently in between is part of \
             every ratio, and no interval within a run covers it. For small changes {interleaved}; or give baselines \
             of at least {} different times (given: {times}), {} minutes or more apart",
            rules.min_runs,
            rules.apart.num_minutes()
        ),
        BaselineEvidence::Runs => format!(
            "changes smaller than its intervals, and a lasting change of the machine since the last baseline, which \
             looks like one of the code. For those, {interleaved}"
        ),
    }
}

fn notes(record: &Record, baselines: &[&Record], before: &[Figures], after: &Figures) -> Vec<String> {
    let mut notes = Vec::new();
    for (baseline, figures) in baselines.iter().zip(before) {
        if baseline.tool.git != record.tool.git {
            notes.push(format!(
                "baseline {} was driven by another build of the harness ({}, now {}): its own cost is part of both",
                baseline.id, baseline.tool.git, record.tool.git
            ));
        }
        for name in figures.missing_from(after) {
            notes.push(format!(
                "{name} answered in baseline {} and not in this record",
                baseline.id
            ));
        }
        for name in after.missing_from(figures) {
            notes.push(format!(
                "{name} answered in this record and not in baseline {}",
                baseline.id
            ));
        }
    }
    if let Some(few) = few_blocks(before, after) {
        notes.push(few);
    }
    notes
}

/// One block has no spread, and so no interval.
fn few_blocks(before: &[Figures], after: &Figures) -> Option<String> {
    let of_baselines: usize = before.iter().map(|figures| figures.rounds.len()).sum();
    let (side, blocks) = if after.rounds.len() < 2 {
        ("the record", after.rounds.len())
    } else {
        ("the baseline", of_baselines)
    };
    (blocks < 2).then(|| {
        format!(
            "{side} has {blocks} measured blocks, and an interval needs two on both sides: raise --blocks or the \
             workload's `blocks`"
        )
    })
}

#[cfg(test)]
mod tests;
