//! The blocks of a gate evaluated: which of them enter, every family, and whether more blocks are needed.

use std::collections::BTreeSet;

use super::decision::{self, Decided, Judge, LeastError, Look};
use super::differences::{Block, EndpointBlock, pairs_of_rounds};
use super::lateness::{Limit, LossBySide, RawBlock};
use super::order::Side;
use super::shares::Shares;
use super::{FAILURES_OVER_ALL, FAMILIES, FamilyRules, GateRules, Scale};
use crate::compare::Sides;
use crate::figures::percent;
use crate::limits::RESOLUTION;
use crate::record::{ALL_ENDPOINTS, CANARY, Comparison, Family, FamilyVerdict, GateDecision, Machine, Outcome, Round};
use crate::rounds::RoundError;
use crate::stats::average;
use crate::stats::power;
use crate::stats::signflip::{self, Flips};

mod describe;

pub use describe::promise;

/// Cores that a resident may use while the other one is loaded; above it, it is named.
const IDLE_CORES: f64 = 0.03;
/// Largest difference of that between the sides: above it, one of them was not measured alone.
const IDLE_APART: f64 = 0.05;
/// Largest p of either direction at which the canary differs between the sides: two-sided .10.
const CANARY_ALPHA: f64 = 0.05;

/// The next step of the command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Everything is decided, or no further block would decide more.
    Decided,
    /// So many blocks more: of stage 1, or all of stage 2.
    Blocks(usize),
}

/// Result of the blocks of a gate so far.
#[derive(Debug, Clone, PartialEq)]
pub struct Evaluation {
    /// One line per endpoint and family.
    pub comparisons: Vec<Comparison>,
    /// How it came about.
    pub gate: GateDecision,
    /// The next step. Only [`Next::Decided`] is final: before it, `comparisons` are for the progress line,
    /// never a verdict (peeking raises false alarms).
    pub next: Next,
    /// Whether the blocks that entered suffice for the strictest level of the families.
    pub enough: bool,
}

/// The blocks that enter, stage by stage.
#[derive(Debug, Clone, Default)]
pub struct Stages {
    /// Of stage 1.
    pub first: Vec<Block>,
    /// Of stage 2.
    pub second: Vec<Block>,
    limits: [Limit; 2],
    lost: LossBySide,
    /// Blocks that were run, whether they entered or not.
    run: usize,
    /// Run again, since the generator was saturated.
    saturated: usize,
    late: usize,
    /// Blocks of a stage that were run and count, late ones included.
    counted: [usize; 2],
}

impl Stages {
    /// Blocks that are given, none of them late.
    pub fn of_blocks(first: Vec<Block>, second: Vec<Block>) -> Self {
        Self {
            counted: [first.len(), second.len()],
            run: first.len() + second.len(),
            first,
            second,
            ..Self::default()
        }
    }

    /// Blocks in which the generator was saturated were run again; of the rest the first ones are stage 1. Each stage
    /// has its own limit of lateness, so that later blocks change nothing about an earlier look.
    fn of(rounds: &[Round], sides: Sides, rules: &GateRules) -> Result<Self, RoundError> {
        let raw = pairs_of_rounds(rounds, sides);
        let (sound, saturated): (Vec<RawBlock>, Vec<RawBlock>) =
            raw.iter().copied().partition(|block| block.is_usable(Limit::NONE));
        let cut = sound.len().min(rules.stage_blocks);
        let end = sound.len().min(2 * rules.stage_blocks);
        let (mut lost, mut late) = (LossBySide::default(), 0);
        lost.count(&saturated, Limit::NONE);
        let mut stage = |blocks: &[RawBlock]| {
            let limit = Limit::choose(blocks, rules.stage_blocks.min(blocks.len()));
            lost.count(blocks, limit);
            let usable = blocks.iter().filter(|block| block.is_usable(limit));
            let decoded: Vec<Block> = usable
                .map(|block| Block::decode(*block, limit))
                .collect::<Result<_, RoundError>>()?;
            late += blocks.len() - decoded.len();
            Ok((decoded, limit))
        };
        let (first, first_limit) = stage(&sound[..cut])?;
        let (second, second_limit) = stage(&sound[cut..end])?;
        Ok(Self {
            first,
            second,
            limits: [first_limit, second_limit],
            lost,
            run: raw.len(),
            saturated: saturated.len(),
            late,
            counted: [cut, end - cut],
        })
    }

    fn all(&self) -> impl Iterator<Item = &Block> {
        self.first.iter().chain(&self.second)
    }

    /// How many of `more` blocks may be run: half as many again as `stages` have, no more. A gate ends about when it
    /// said.
    fn allowed(&self, rules: &GateRules, stages: usize, more: usize) -> usize {
        let most = (3 * stages * rules.stage_blocks).div_ceil(2);
        most.saturating_sub(self.run).min(more)
    }
}

/// Evaluates the blocks of `rounds`. The result depends on the data and the seed alone, so a stored record can be
/// judged again.
///
/// # Errors
/// A histogram of a slice that cannot be read. Nothing else reads them, so each is decoded once.
pub fn evaluate(
    rounds: &[Round],
    sides: Sides,
    machine: &Machine,
    rules: &GateRules,
) -> Result<Evaluation, RoundError> {
    let stages = Stages::of(rounds, sides, rules)?;
    let mut evaluation = evaluate_stages(&stages, sides, rules);
    evaluation.gate.oversubscribed = describe::oversubscribed(rounds, machine);
    Ok(evaluation)
}

/// [`evaluate`] for blocks that are numbers already.
pub fn evaluate_stages(stages: &Stages, sides: Sides, rules: &GateRules) -> Evaluation {
    let canary = staged(stages, |block| block.endpoints.get(CANARY)?.p95).filter(|canary| !canary.first.is_empty());
    let families: Vec<FamilyDecided> = FAMILIES
        .into_iter()
        .map(|family| FamilyRows::of(family, stages, canary.as_ref(), rules).decide(sides, rules))
        .collect();
    let open = families.iter().any(|family| family.open);
    let conditions = Conditions::of(stages);
    let families: Vec<FamilyDecided> = families
        .into_iter()
        .map(|family| conditions.applied_to(family))
        .collect();
    let canary_row = canary.as_ref().map(|canary| canary_row(&canary.all(), sides, rules));
    let gate = GateDecision {
        stage1_blocks: small(stages.first.len()),
        stage2_blocks: small(stages.second.len()),
        repeated_blocks: small(stages.saturated),
        late_blocks: small(stages.late),
        dropped_pairs: stages.all().map(|block| block.dropped).sum(),
        stage1_lateness_ms: stages.limits[0].ms,
        stage2_lateness_ms: stages.limits[1].ms,
        dropped_slices: [stages.lost.before, stages.lost.after],
        canary: canary.is_some(),
        notes: describe::notes(stages, &conditions, canary_row.as_ref(), sides),
        canary_row,
        families: families.iter().map(FamilyDecided::verdict).collect(),
        oversubscribed: None,
    };
    Evaluation {
        comparisons: families.into_iter().flat_map(|family| family.comparisons).collect(),
        gate,
        next: next(stages, open, rules),
        enough: stages.first.len() >= rules.min_blocks.max(rules.stage_blocks.div_ceil(2)),
    }
}

fn next(stages: &Stages, open: bool, rules: &GateRules) -> Next {
    let [first, second] = stages.counted;
    let blocks = rules.stage_blocks;
    let more = if first < blocks {
        stages.allowed(rules, 1, blocks - first)
    } else if open {
        stages.allowed(rules, 2, blocks - second)
    } else {
        0
    };
    if more > 0 { Next::Blocks(more) } else { Next::Decided }
}

/// One value per block.
#[derive(Debug, Clone, Default)]
struct Staged {
    first: Vec<f64>,
    second: Vec<f64>,
}

impl Staged {
    fn all(&self) -> Vec<f64> {
        [self.first.as_slice(), self.second.as_slice()].concat()
    }
}

/// One endpoint that is tested.
struct Row {
    endpoint: String,
    differences: Staged,
    /// Counts over all blocks, of a family of shares.
    shares: Option<Shares>,
    /// What the differences were multiplied by, so that one size counts for all rows of the family.
    weight: f64,
    /// Fewer requests than the sampling floor asks for: what the test leaves undecided is so for want of them. What it
    /// decides stands, since it counts blocks and not requests.
    scarce: bool,
}

/// Rows of one family, the endpoints that are tested and those that are not.
struct FamilyRows {
    family: Family,
    rows: Vec<Row>,
    /// Endpoints that too few blocks have, or one side alone.
    untested: Vec<String>,
    canary: Option<Staged>,
    /// Blocks of the stages.
    blocks: [usize; 2],
}

struct FamilyDecided {
    family: Family,
    comparisons: Vec<Comparison>,
    /// What would have failed, by comparison.
    would_fail: Vec<Option<f64>>,
    /// Whether a second stage could still decide something.
    open: bool,
    /// Why nothing could be decided, where that is so.
    undecidable: Option<String>,
}

impl FamilyRows {
    fn of(family: Family, stages: &Stages, canary: Option<&Staged>, rules: &GateRules) -> Self {
        let mut rows = Self {
            family,
            rows: vec![],
            untested: vec![],
            canary: canary
                .cloned()
                .filter(|_| matches!(family, Family::LatencyP95 | Family::LatencyP50)),
            blocks: [stages.first.len(), stages.second.len()],
        };
        match family {
            Family::CpuPerRequest => rows.add(ALL_ENDPOINTS, staged(stages, |block| block.cpu), rules),
            Family::FailedShare => {
                rows.add_endpoints(stages, rules);
                rows.add_failures_over_all(stages, rules);
            }
            _ => rows.add_endpoints(stages, rules),
        }
        rows
    }

    fn add_endpoints(&mut self, stages: &Stages, rules: &GateRules) {
        for endpoint in endpoints(stages) {
            let value = |of: &EndpointBlock| match self.family {
                Family::LatencyP95 => of.p95,
                Family::LatencyP50 => of.p50,
                family => shares(family, of).difference(),
            };
            let differences = staged(stages, |block| value(block.endpoints.get(&endpoint)?));
            let tested = self.rows.len();
            self.add(&endpoint, differences, rules);
            if let Some(row) = self.rows.get_mut(tested) {
                row.scarce = self.family == Family::LatencyP95 && !has_requests(stages, &endpoint);
                row.shares = self.family.is_share().then(|| {
                    let of = stages.all().filter_map(|block| block.endpoints.get(&endpoint));
                    of.fold(Shares::default(), |sum, one| sum.plus(shares(self.family, one)))
                });
            }
        }
    }

    /// Many more requests than of one endpoint, so that smaller rises are seen, and count.
    fn add_failures_over_all(&mut self, stages: &Stages, rules: &GateRules) {
        let weighted = |block: &Block| Some(block.failed.difference()? * FAILURES_OVER_ALL);
        let tested = self.rows.len();
        self.add(ALL_ENDPOINTS, staged(stages, weighted), rules);
        if let Some(row) = self.rows.get_mut(tested) {
            row.weight = FAILURES_OVER_ALL;
            row.shares = Some(
                stages
                    .all()
                    .fold(Shares::default(), |sum, block| sum.plus(block.failed)),
            );
        }
    }

    fn add(&mut self, endpoint: &str, differences: Option<Staged>, rules: &GateRules) {
        match differences.filter(|differences| differences.first.len() >= rules.min_blocks) {
            Some(differences) => self.rows.push(Row {
                endpoint: endpoint.to_owned(),
                differences,
                shares: None,
                weight: 1.0,
                scarce: false,
            }),
            None => self.untested.push(endpoint.to_owned()),
        }
    }

    fn look(&self, blocks: fn(&Staged) -> Vec<f64>) -> Look {
        let least = |row: &Row| {
            row.shares
                .map_or(LeastError::default(), |shares| self.least_error(row, shares))
        };
        Look {
            rows: self.rows.iter().map(|row| blocks(&row.differences)).collect(),
            canary: self.canary.as_ref().map(blocks),
            least_errors: self.rows.iter().map(least).collect(),
        }
    }

    /// Of the mean of one stage: the counts are those of all blocks.
    fn least_error(&self, row: &Row, shares: Shares) -> LeastError {
        let [first, second] = self.blocks.map(|blocks| blocks as f64);
        let weight = row.weight * ((first + second) / first.max(1.0)).sqrt();
        let tolerance = FamilyRules::of(self.family).tolerance / row.weight;
        LeastError {
            now: weight * shares.binomial_error(0.0),
            changed: weight * shares.binomial_error(tolerance),
        }
    }

    fn decide(&self, sides: Sides, gate: &GateRules) -> FamilyDecided {
        let judge = Judge {
            family: &FamilyRules::of(self.family),
            gate,
        };
        let stage1 = judge.examine(&self.look(|row| row.first.clone()));
        let [first, second] = self.blocks;
        let can_convict = |blocks| judge.can_convict(blocks, self.canary.is_some());
        let unread = self.rows.is_empty() && self.family == Family::CpuPerRequest;
        let undecidable = unread || !can_convict(first) || second > 0 && !can_convict(second);
        let open = can_convict(first) && decision::needs_second_stage(&judge.first_stage(&stage1));
        let decided = if open && second > 0 {
            judge.decide(stage1, &self.look(|row| row.second.clone()), &self.look(Staged::all))
        } else {
            judge.decide_alone(stage1)
        };
        let would_fail = self.rows.iter().zip(&decided);
        let would_fail = would_fail.map(|(row, one)| Some(self.shown(one.evidence.would_fail? / row.weight)));
        FamilyDecided {
            family: self.family,
            would_fail: would_fail.collect(),
            undecidable: undecidable.then(|| describe::too_few(self, sides)),
            comparisons: self.comparisons(decided, undecidable, sides),
            open,
        }
    }

    /// A size on the scale of the family as a share of the figure, or of shares as it is.
    fn shown(&self, size: f64) -> f64 {
        match FamilyRules::of(self.family).scale {
            Scale::Ratio => size.exp_m1(),
            Scale::Share => size,
        }
    }

    fn comparisons(&self, decided: Vec<Decided>, undecidable: bool, sides: Sides) -> Vec<Comparison> {
        let judged = self.rows.iter().zip(decided).map(|(row, one)| {
            let outcome = match one.outcome {
                _ if undecidable => Outcome::Inconclusive,
                Outcome::Inconclusive if row.scarce => Outcome::InsufficientData,
                decided => decided,
            };
            self.comparison(row, &one, outcome, sides)
        });
        let rest = self
            .untested
            .iter()
            .map(|endpoint| Comparison::located(self.family, endpoint, sides, &[]));
        judged.chain(rest).collect()
    }

    fn comparison(&self, row: &Row, decided: &Decided, outcome: Outcome, sides: Sides) -> Comparison {
        let evidence = &decided.evidence;
        let view = &evidence.views[decided.shown];
        let located = Comparison {
            p_slower: evidence.p_slower(),
            p_faster: evidence.p_faster(),
            outcome,
            mde: evidence.visible.map(|visible| self.shown(visible / row.weight)),
            ..Comparison::located(self.family, &row.endpoint, sides, &view.differences)
        };
        match row.shares {
            Some(shares) => Comparison {
                ratio: shares.ratio().unwrap_or(1.0),
                ratio_low: None,
                ratio_high: None,
                ..located
            },
            None => located,
        }
    }
}

impl FamilyDecided {
    fn verdict(&self) -> FamilyVerdict {
        let mde = self.comparisons.iter().filter_map(|one| one.mde).reduce(f64::max);
        let would_fail = self.would_fail.iter().copied().flatten().reduce(f64::max);
        // A family without a single comparison has not passed.
        let outcome = match self.undecidable {
            Some(_) => Outcome::Inconclusive,
            None => decision::overall(self.comparisons.iter().map(|one| one.outcome)),
        };
        FamilyVerdict {
            family: self.family,
            outcome,
            mde,
            would_fail,
            detail: describe::family(self, mde, would_fail),
        }
    }

    /// Whatever would pass cannot be told.
    fn without_pass(&mut self) {
        for one in &mut self.comparisons {
            if matches!(
                one.outcome,
                Outcome::Pass | Outcome::Improved | Outcome::SlowerWithinTolerance
            ) {
                one.outcome = Outcome::Inconclusive;
            }
        }
    }
}

/// What was seen beside the requests that bears on what may be said of them.
struct Conditions {
    /// Cores that each resident used while the other one was loaded, on average.
    idle_cores: Option<(f64, f64)>,
    /// The side that lost more slices than chance deals.
    loses_slices: Option<Side>,
}

impl Conditions {
    fn of(stages: &Stages) -> Self {
        let idle: Option<Vec<(f64, f64)>> = stages.all().map(|block| block.idle_cores).collect();
        let idle = idle.filter(|idle| !idle.is_empty());
        let mean =
            |side: fn(&(f64, f64)) -> f64, idle: &[(f64, f64)]| average(&idle.iter().map(side).collect::<Vec<_>>());
        Self {
            idle_cores: idle.map(|idle| (mean(|one| one.0, &idle), mean(|one| one.1, &idle))),
            loses_slices: stages.lost.heavier(),
        }
    }

    /// The side that works on, beyond the other one, while it should be idle.
    fn works_on(&self) -> Option<Side> {
        let (before, after) = self.idle_cores?;
        ((before - after).abs() > IDLE_APART).then_some(if after > before { Side::After } else { Side::Before })
    }

    fn applied_to(&self, mut family: FamilyDecided) -> FamilyDecided {
        if self.loses_slices == Some(Side::After) {
            family.without_pass();
        }
        if family.family.is_latency()
            && let Some(side) = self.works_on()
        {
            family.without_pass();
            if side == Side::Before {
                // A slowed B down from the idle side: B may not be slower at all.
                for one in &mut family.comparisons {
                    if one.outcome == Outcome::Regress {
                        one.outcome = Outcome::Inconclusive;
                    }
                }
            }
        }
        family
    }
}

fn shares(family: Family, of: &EndpointBlock) -> Shares {
    match family {
        Family::SlowShare => of.shares.slow,
        Family::TailShare => of.shares.tail,
        _ => of.shares.failed,
    }
}

/// A value of every block, by stage; `None` where any block has none.
fn staged(stages: &Stages, value: impl Fn(&Block) -> Option<f64>) -> Option<Staged> {
    let of = |blocks: &[Block]| blocks.iter().map(&value).collect::<Option<Vec<f64>>>();
    Some(Staged {
        first: of(&stages.first)?,
        second: of(&stages.second)?,
    })
}

/// Every endpoint of either side, without the canary.
fn endpoints(stages: &Stages) -> BTreeSet<String> {
    let names = stages.all().flat_map(|block| block.endpoints.keys());
    names.filter(|name| *name != CANARY).cloned().collect()
}

/// Whether each side was asked often enough for 10 % of a p95 to stand out from sampling noise alone.
fn has_requests(stages: &Stages, endpoint: &str) -> bool {
    let blocks = || stages.all().filter_map(|block| block.endpoints.get(endpoint));
    let asked = blocks().fold(Shares::default(), |sum, one| sum.plus(one.shares.slow));
    let widths: Vec<f64> = blocks()
        .filter_map(|one| one.width_us)
        .map(|(p50, p95)| power::requests_needed(p50 as f64, p95 as f64, RESOLUTION))
        .collect();
    !widths.is_empty() && asked.before.1.min(asked.after.1) as f64 >= average(&widths)
}

/// The canary beside the judged subject against the canary beside the other one.
fn canary_row(differences: &[f64], sides: Sides, rules: &GateRules) -> Comparison {
    let flips = Flips::new(differences.len(), rules.seed);
    let test = signflip::test_both_sides(&[differences], &flips)[0];
    let (p_slower, p_faster) = (test.above.p_adjusted, test.below.p_adjusted);
    Comparison {
        p_slower,
        p_faster,
        outcome: if p_slower.min(p_faster) <= CANARY_ALPHA {
            Outcome::Inconclusive
        } else {
            Outcome::Pass
        },
        ..Comparison::located(Family::LatencyP95, CANARY, sides, differences)
    }
}

fn small(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

#[cfg(test)]
pub(crate) mod tests;
