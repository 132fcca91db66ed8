//! The two-stage decision on plain numbers: one row of differences per endpoint, one value per block.
//!
//! Stage 1 finds suspects at 10 %; only new blocks convict them, at 5 % within the suspects. So a false alarm needs
//! both: at most 0.5 % per comparison. An endpoint passes by a bound, at most twice looked at, and passing needs no
//! correction over endpoints (intersection-union).

use super::GateRules;
use crate::record::Outcome;
use crate::stats::hodges_lehmann::{self, Location};
use crate::stats::power;
use crate::stats::signflip::{self, BothSides, Flips};

/// The differences of one look, on the logarithmic scale.
#[derive(Debug, Clone, PartialEq)]
pub struct Look {
    /// `d[b]` per endpoint.
    pub rows: Vec<Vec<f64>>,
    /// `d[b]` of the canary, the ruler for noise that both subjects share; absent without one.
    pub canary: Option<Vec<f64>>,
}

/// Evidence of one look about one endpoint.
#[derive(Debug, Clone, PartialEq)]
pub struct Evidence {
    /// Differences with the canary's part taken out.
    pub residuals: Vec<f64>,
    /// Adjusted p of "slower".
    pub p_slower: f64,
    /// Adjusted p of "faster".
    pub p_faster: f64,
    /// Hodges-Lehmann, with one-sided 95 % bounds.
    pub location: Location,
    /// The bound that passes an endpoint, at the level of one look; absent with too few blocks.
    pub pass_bound: Option<f64>,
    /// The smallest slowdown that this look could see, as a share.
    pub mde: Option<f64>,
}

/// Result of stage 1 for an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum First {
    /// Suspected to be slower: stage 2 decides.
    Slower,
    /// Suspected to be faster: stage 2 decides.
    Faster,
    /// Surely not slower than the margin.
    Pass,
    /// More blocks may pass it.
    Open,
}

/// The final word on one endpoint, with the evidence behind it.
#[derive(Debug, Clone, PartialEq)]
pub struct Decided {
    /// The word.
    pub outcome: Outcome,
    /// Of the look that decided.
    pub evidence: Evidence,
}

/// How far an endpoint can follow the canary. What both share slows both down, so never against it, and one that
/// follows more than twice as far follows something else: beta goes through the origin, so in a few blocks a large
/// slowdown would be laid to whatever little the canary moved, and be taken out with it.
const BETA: std::ops::RangeInclusive<f64> = 0.0..=2.0;

/// `r[b,e] = d[b,e] - beta_e d[b,c]` with `beta_e = sum_b d[b,e] d[b,c] / sum_b d[b,c]^2`, kept within [`BETA`].
/// Turning the sign of a block turns both, so beta stays and the test stays exact.
pub fn residuals(row: &[f64], canary: Option<&[f64]>) -> Vec<f64> {
    let Some(canary) = canary else { return row.to_vec() };
    let squares: f64 = canary.iter().map(|value| value * value).sum();
    let products: f64 = row.iter().zip(canary).map(|(value, ruler)| value * ruler).sum();
    let beta = if squares > 0.0 { products / squares } else { 0.0 };
    let beta = beta.clamp(*BETA.start(), *BETA.end());
    row.iter()
        .zip(canary)
        .map(|(value, ruler)| value - beta * ruler)
        .collect()
}

/// Everything that one look says, endpoint by endpoint, corrected over all of them.
pub fn examine(look: &Look, rules: &GateRules) -> Vec<Evidence> {
    let rows: Vec<Vec<f64>> = look
        .rows
        .iter()
        .map(|row| residuals(row, look.canary.as_deref()))
        .collect();
    let borrowed: Vec<&[f64]> = rows.iter().map(Vec::as_slice).collect();
    let flips = Flips::new(borrowed.first().map_or(0, |row| row.len()), rules.seed);
    let tests = signflip::test_both_sides(&borrowed, &flips);
    rows.into_iter()
        .zip(tests)
        .map(|(residuals, both)| evidence(residuals, both, rules))
        .collect()
}

fn evidence(residuals: Vec<f64>, both: BothSides, rules: &GateRules) -> Evidence {
    let nowhere = Location {
        estimate: 0.0,
        bounds: None,
    };
    let passing = hodges_lehmann::location_at(&residuals, rules.alpha_pass);
    Evidence {
        p_slower: both.above.p_adjusted,
        p_faster: both.below.p_adjusted,
        location: hodges_lehmann::location(&residuals).unwrap_or(nowhere),
        pass_bound: passing.and_then(|location| location.bounds).map(|(_, high)| high),
        mde: power::smallest_visible(&residuals),
        residuals,
    }
}

/// Stage 1 for each endpoint.
pub fn first_stage(looks: &[Evidence], rules: &GateRules) -> Vec<First> {
    looks.iter().map(|look| first(look, rules)).collect()
}

fn first(look: &Evidence, rules: &GateRules) -> First {
    if look.p_slower <= rules.alpha_first && look.location.estimate >= rules.effect.ln() {
        First::Slower
    } else if look.p_faster <= rules.alpha_first && look.location.estimate <= -rules.effect.ln() {
        First::Faster
    } else if passes(look, rules) {
        First::Pass
    } else {
        First::Open
    }
}

fn passes(look: &Evidence, rules: &GateRules) -> bool {
    look.pass_bound.is_some_and(|bound| bound <= rules.margin.ln())
}

/// Whether stage 2 has anything to decide.
pub fn needs_second_stage(firsts: &[First]) -> bool {
    firsts.iter().any(|first| *first != First::Pass)
}

/// The decision without a second stage: what is not passed is inconclusive.
pub fn decide_alone(looks: Vec<Evidence>, rules: &GateRules) -> Vec<Decided> {
    looks.into_iter().map(|look| by_bound(look, rules)).collect()
}

fn by_bound(evidence: Evidence, rules: &GateRules) -> Decided {
    let outcome = if passes(&evidence, rules) {
        Outcome::Pass
    } else {
        Outcome::Inconclusive
    };
    Decided { outcome, evidence }
}

/// The decision after both stages: `stage1` is what the first one saw, `new` the blocks since, `all` both together.
/// Suspects are tried on the new blocks alone, corrected over suspects of their kind; whoever is not convicted, and
/// what was open, is judged by the bound of all blocks. What passed in stage 1 stays passed.
pub fn decide(stage1: Vec<Evidence>, new: &Look, all: &Look, rules: &GateRules) -> Vec<Decided> {
    let firsts = first_stage(&stage1, rules);
    let slower = trial(&firsts, First::Slower, new, rules);
    let faster = trial(&firsts, First::Faster, new, rules);
    let both = examine(all, rules);
    let tried = slower.into_iter().zip(faster);
    let looks = stage1.into_iter().zip(both);
    firsts
        .iter()
        .zip(tried)
        .zip(looks)
        .map(|((first, tried), (alone, both))| match (first, tried) {
            (First::Pass, _) => by_bound(alone, rules),
            (First::Slower, (Some(new), _)) if convicted(&new, rules) => Decided {
                outcome: slower_outcome(&new, rules),
                evidence: new,
            },
            (First::Faster, (_, Some(new))) if acclaimed(&new, rules) => Decided {
                outcome: Outcome::Improved,
                evidence: new,
            },
            _ => by_bound(both, rules),
        })
        .collect()
}

/// The new blocks of the suspects of one kind, tested among themselves.
fn trial(firsts: &[First], kind: First, new: &Look, rules: &GateRules) -> Vec<Option<Evidence>> {
    let suspects = Look {
        rows: firsts
            .iter()
            .zip(&new.rows)
            .filter(|(first, _)| **first == kind)
            .map(|(_, row)| row.clone())
            .collect(),
        canary: new.canary.clone(),
    };
    let mut tried = examine(&suspects, rules).into_iter();
    firsts
        .iter()
        .map(|first| if *first == kind { tried.next() } else { None })
        .collect()
}

fn convicted(new: &Evidence, rules: &GateRules) -> bool {
    new.p_slower <= rules.alpha_second && new.location.estimate >= rules.effect.ln()
}

fn acclaimed(new: &Evidence, rules: &GateRules) -> bool {
    new.p_faster <= rules.alpha_second && new.location.estimate <= -rules.effect.ln()
}

fn slower_outcome(new: &Evidence, rules: &GateRules) -> Outcome {
    if new.location.estimate < rules.tolerance.ln() {
        Outcome::SlowerWithinTolerance
    } else {
        Outcome::Regress
    }
}

/// Regress if any regressed, else inconclusive if any could not be judged, else pass.
pub fn overall(outcomes: impl IntoIterator<Item = Outcome>) -> Outcome {
    let mut worst = Outcome::Pass;
    for outcome in outcomes {
        match outcome {
            Outcome::Regress => return Outcome::Regress,
            Outcome::Inconclusive | Outcome::InsufficientData => worst = Outcome::Inconclusive,
            Outcome::Pass | Outcome::Improved | Outcome::SlowerWithinTolerance => (),
        }
    }
    worst
}

#[cfg(test)]
mod tests;
