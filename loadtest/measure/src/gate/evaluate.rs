//! The blocks of a gate evaluated: which of them enter, both families, the tail, and whether more blocks are needed.

use std::collections::BTreeSet;

use super::GateRules;
use super::decision::{self, Decided, Evidence, Look};
use super::differences::{self, Block};
use super::tail::{self, TailShare, TailTest};
use crate::compare::Sides;
use crate::figures::percent;
use crate::limits::RESOLUTION;
use crate::record::{ALL_ENDPOINTS, CANARY, Comparison, Family, FamilyVerdict, GateDecision, Machine, Outcome, Round};
use crate::rounds::RoundError;
use crate::stats::power;

mod describe;

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
}

/// The blocks that enter, stage by stage.
struct Stages<'b> {
    first: Vec<&'b Block>,
    second: Vec<&'b Block>,
    repeated: u32,
}

impl<'b> Stages<'b> {
    fn of(blocks: &'b [Block], rules: &GateRules) -> Self {
        let (usable, spoilt): (Vec<&Block>, Vec<&Block>) = blocks.iter().partition(|block| block.usable());
        let cut = usable.len().min(rules.stage_blocks);
        let end = usable.len().min(2 * rules.stage_blocks);
        Self {
            first: usable[..cut].to_vec(),
            second: usable[cut..end].to_vec(),
            repeated: small(spoilt.len()),
        }
    }

    fn all(&self) -> Vec<&'b Block> {
        [self.first.as_slice(), self.second.as_slice()].concat()
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
    let blocks = differences::blocks(rounds, sides)?;
    let stages = Stages::of(&blocks, rules);
    let latency = FamilyRows::latency(&stages, rules);
    let cpu = FamilyRows::cpu(&stages);
    let mut families = vec![latency.decide(sides, rules)];
    families.extend(cpu.map(|cpu| cpu.decide(sides, rules)));
    let open = families.iter().any(|family| family.open);
    let mut comparisons: Vec<Comparison> = families.into_iter().flat_map(|family| family.comparisons).collect();
    comparisons.extend(tails(&stages.first, sides, rules));
    let gate = GateDecision {
        stage1_blocks: small(stages.first.len()),
        stage2_blocks: small(stages.second.len()),
        repeated_blocks: stages.repeated,
        dropped_pairs: stages.all().iter().map(|block| block.dropped).sum(),
        canary: latency.canary.is_some(),
        families: family_verdicts(&comparisons),
        oversubscribed: describe::oversubscribed(rounds, machine),
    };
    Ok(Evaluation {
        comparisons,
        gate,
        next: next(&stages, open, rules),
    })
}

fn next(stages: &Stages, open: bool, rules: &GateRules) -> Next {
    let (first, second) = (stages.first.len(), stages.second.len());
    if first < rules.stage_blocks {
        Next::Blocks(rules.stage_blocks - first)
    } else if open && second < rules.stage_blocks {
        Next::Blocks(rules.stage_blocks - second)
    } else {
        Next::Decided
    }
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
}

struct FamilyDecided {
    comparisons: Vec<Comparison>,
    /// Whether a second stage could still decide something.
    open: bool,
}

impl FamilyRows {
    fn latency(stages: &Stages, rules: &GateRules) -> Self {
        let canary = staged(stages, |block| block.latency(CANARY));
        let mut family = Self {
            family: Family::LatencyP95,
            rows: vec![],
            untested: vec![],
            canary: canary.filter(|canary| !canary.first.is_empty()),
        };
        for endpoint in endpoints(&stages.all()) {
            match staged(stages, |block| block.latency(&endpoint)) {
                Some(differences) if differences.first.len() >= rules.min_blocks => family.rows.push(Row {
                    scarce: !has_requests(&stages.all(), &endpoint),
                    endpoint,
                    differences,
                }),
                _ => family.untested.push(endpoint),
            }
        }
        family
    }

    /// None where no block could read the subject's CPU time.
    fn cpu(stages: &Stages) -> Option<Self> {
        let differences = staged(stages, Block::cpu).filter(|row| !row.first.is_empty())?;
        Some(Self {
            family: Family::CpuPerRequest,
            rows: vec![Row {
                endpoint: ALL_ENDPOINTS.to_owned(),
                differences,
                scarce: false,
            }],
            untested: vec![],
            canary: None,
        })
    }

    fn decide(&self, sides: Sides, rules: &GateRules) -> FamilyDecided {
        let look = |blocks: fn(&Staged) -> Vec<f64>| Look {
            rows: self.rows.iter().map(|row| blocks(&row.differences)).collect(),
            canary: self.canary.as_ref().map(blocks),
        };
        let stage1 = decision::examine(&look(|row| row.first.clone()), rules);
        let open = decision::needs_second_stage(&decision::first_stage(&stage1, rules));
        let has_second = self.rows.iter().any(|row| !row.differences.second.is_empty());
        let decided = if open && has_second {
            let (new, all) = (look(|row| row.second.clone()), look(Staged::all));
            decision::decide(stage1, &new, &all, rules)
        } else {
            decision::decide_alone(stage1, rules)
        };
        let comparisons = self.comparisons(decided, sides);
        FamilyDecided { comparisons, open }
    }

    fn comparisons(&self, decided: Vec<Decided>, sides: Sides) -> Vec<Comparison> {
        let judged = self.rows.iter().zip(decided).map(|(row, one)| {
            comparison(
                self.family,
                &row.endpoint,
                &one.evidence,
                row.outcome(one.outcome),
                sides,
            )
        });
        let rest = self
            .untested
            .iter()
            .map(|endpoint| Comparison::located(self.family, endpoint, sides, &[]));
        judged.chain(rest).collect()
    }
}

impl Row {
    /// The outcome that is shown, from that of the test.
    fn outcome(&self, tested: Outcome) -> Outcome {
        match tested {
            Outcome::Inconclusive if self.scarce => Outcome::InsufficientData,
            decided => decided,
        }
    }
}

/// A value of every block, by stage; `None` where any block has none.
fn staged(stages: &Stages, value: impl Fn(&Block) -> Option<f64>) -> Option<Staged> {
    let of = |blocks: &[&Block]| blocks.iter().map(|block| value(block)).collect::<Option<Vec<f64>>>();
    Some(Staged {
        first: of(&stages.first)?,
        second: of(&stages.second)?,
    })
}

/// Every endpoint of either side, without the canary.
fn endpoints(blocks: &[&Block]) -> BTreeSet<String> {
    let slices = blocks
        .iter()
        .flat_map(|block| &block.pairs)
        .flat_map(|pair| [&pair.before, &pair.after]);
    slices
        .flat_map(|slice| slice.times.keys())
        .filter(|name| *name != CANARY)
        .cloned()
        .collect()
}

/// Whether each side answered often enough for 10 % of a p95 to stand out from sampling noise alone.
fn has_requests(blocks: &[&Block], endpoint: &str) -> bool {
    let pairs = || blocks.iter().flat_map(|block| &block.pairs);
    let times = |pick: fn(&differences::Pair) -> &differences::DecodedSlice| {
        let decoded = pairs().filter_map(move |pair| pick(pair).times.get(endpoint));
        crate::percentile::merged(decoded)
    };
    let (before, after) = (times(|pair| &pair.before), times(|pair| &pair.after));
    let (Some(p50), Some(p95)) = (before.quantile_us(0.5), before.quantile_us(0.95)) else {
        return false;
    };
    let needed = power::requests_needed(p50 as f64, p95 as f64, RESOLUTION);
    before.len().min(after.len()) as f64 >= needed
}

fn comparison(family: Family, endpoint: &str, look: &Evidence, outcome: Outcome, sides: Sides) -> Comparison {
    Comparison {
        p_slower: look.p_slower,
        p_faster: look.p_faster,
        outcome,
        ..Comparison::located(family, endpoint, sides, &look.residuals)
    }
}

/// The tail of every endpoint that answered in every block of stage 1, which alone is looked at.
fn tails(blocks: &[&Block], sides: Sides, rules: &GateRules) -> Vec<Comparison> {
    if blocks.len() < rules.min_blocks {
        return vec![];
    }
    let shares: Vec<(String, TailShare)> = endpoints(blocks)
        .into_iter()
        .filter_map(|endpoint| tail::share(blocks, &endpoint).map(|share| (endpoint, share)))
        .collect();
    let borrowed: Vec<&TailShare> = shares.iter().map(|(_, share)| share).collect();
    let tests = tail::test(&borrowed, rules);
    shares
        .iter()
        .zip(tests)
        .map(|((endpoint, share), test)| tail_comparison(endpoint, share, test, sides))
        .collect()
}

/// The ratio is that of the shares, each with half a request in a million added so that none is divided by zero.
fn tail_comparison(endpoint: &str, share: &TailShare, test: TailTest, sides: Sides) -> Comparison {
    const TINY: f64 = 0.5e-6;
    Comparison {
        blocks: small(share.differences.len()),
        ratio: (share.after + TINY) / (share.before + TINY),
        p_slower: test.p_adjusted,
        outcome: if test.regressed {
            Outcome::Regress
        } else {
            Outcome::Pass
        },
        ..Comparison::located(Family::TailShare, endpoint, sides, &[])
    }
}

fn family_verdicts(comparisons: &[Comparison]) -> Vec<FamilyVerdict> {
    Family::ALL
        .into_iter()
        .filter_map(|family| {
            let own: Vec<&Comparison> = comparisons.iter().filter(|one| one.family == family).collect();
            (!own.is_empty()).then(|| family_verdict(family, &own))
        })
        .collect()
}

fn family_verdict(family: Family, own: &[&Comparison]) -> FamilyVerdict {
    let mde = own.iter().filter_map(|one| one.mde).reduce(f64::max);
    FamilyVerdict {
        family,
        outcome: decision::overall(own.iter().map(|one| one.outcome)),
        mde,
        detail: describe::family(own, mde),
    }
}

fn small(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

#[cfg(test)]
pub(crate) mod tests;
