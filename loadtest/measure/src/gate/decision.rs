//! The two-stage decision of one family on plain numbers: one row of differences per endpoint, one value per block.
//!
//! Stage 1 finds suspects at 10 %; only new blocks convict them, at the level of the family within the suspects. So a
//! false alarm needs both. An endpoint passes by a bound, at most twice looked at, and passing needs no correction over
//! endpoints (intersection-union).
//!
//! The canary only narrows. The order within a block is drawn, so the plain difference is unbiased already. Taking out
//! what the canary moved takes out noise, and, where it shares its cores with the subject, a part of a real slowdown
//! too. So either difference convicts, each at half of the level, and a bound that passes has what was taken away added
//! again.

use super::{FamilyRules, GateRules, Scale};
use crate::record::Outcome;
use crate::stats::hodges_lehmann::{self, Location};
use crate::stats::power::{self, Separation};
use crate::stats::signflip::{self, BothSides, Flips};
use crate::stats::{average, student};

/// The differences of one look, on the scale of the family.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Look {
    /// `d[b]` per endpoint.
    pub rows: Vec<Vec<f64>>,
    /// `d[b]` of the canary, the ruler for noise that both subjects share; absent without one.
    pub canary: Option<Vec<f64>>,
    /// The least standard error that the mean of each row can have, as it is and with the tolerance more on the judged
    /// side; nothing where it is not known.
    pub least_errors: Vec<LeastError>,
}

/// The least standard error of the mean of a row.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct LeastError {
    /// As it is.
    pub now: f64,
    /// If the judged side had the tolerance more.
    pub changed: f64,
}

/// One way to see the differences of an endpoint: as they are, or with the canary's part taken out.
#[derive(Debug, Clone, PartialEq)]
pub struct View {
    /// One per block.
    pub differences: Vec<f64>,
    /// Where they lie, with one-sided 95 % bounds.
    pub location: Location,
    /// Adjusted p of "slower".
    pub p_slower: f64,
    /// Adjusted p of "faster".
    pub p_faster: f64,
}

/// Evidence of one look about one endpoint.
#[derive(Debug, Clone, PartialEq)]
pub struct Evidence {
    /// With the canary's part taken out first, if there was one, and as it is.
    pub views: Vec<View>,
    /// The bound that passes an endpoint, at the level of one look; absent with too few blocks.
    pub pass_bound: Option<f64>,
    /// The smallest change for the worse that both stages would see with high probability.
    pub visible: Option<f64>,
    /// The change for the worse that would have failed: seen, and surely above the tolerance.
    pub would_fail: Option<f64>,
}

impl Evidence {
    /// Adjusted p of "slower" in either view, corrected for there being two.
    pub fn p_slower(&self) -> f64 {
        let smallest = self.views.iter().map(|view| view.p_slower).fold(1.0, f64::min);
        (smallest * self.views.len() as f64).min(1.0)
    }

    /// Adjusted p of "faster", which the endpoint must be in every view.
    pub fn p_faster(&self) -> f64 {
        self.views.iter().map(|view| view.p_faster).fold(0.0, f64::max)
    }
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
    /// Index of the view that shows it.
    pub shown: usize,
}

/// One family of a gate: its own rules, and those of the whole.
#[derive(Debug, Clone, Copy)]
pub struct Judge<'r> {
    /// Of the family.
    pub family: &'r FamilyRules,
    /// Of the gate.
    pub gate: &'r GateRules,
}

/// How far an endpoint can follow the canary. What both share slows both down, so never against it, and one that
/// follows more than twice as far follows something else: beta goes through the origin, so in a few blocks a large
/// slowdown would be laid to whatever little the canary moved, and be taken out with it.
const BETA: std::ops::RangeInclusive<f64> = 0.0..=2.0;

/// `beta_e = sum_b d[b,e] d[b,c] / sum_b d[b,c]^2`, kept within [`BETA`]. Turning the sign of a block turns both
/// factors, so beta stays and the test stays exact.
fn beta(row: &[f64], canary: &[f64]) -> f64 {
    let squares: f64 = canary.iter().map(|value| value * value).sum();
    let products: f64 = row.iter().zip(canary).map(|(value, ruler)| value * ruler).sum();
    let beta = if squares > 0.0 { products / squares } else { 0.0 };
    beta.clamp(*BETA.start(), *BETA.end())
}

/// `r[b,e] = d[b,e] - beta_e d[b,c]`.
pub fn residuals(row: &[f64], canary: &[f64]) -> Vec<f64> {
    let beta = beta(row, canary);
    row.iter()
        .zip(canary)
        .map(|(value, ruler)| value - beta * ruler)
        .collect()
}

impl Judge<'_> {
    /// Everything that one look says, endpoint by endpoint, corrected over all of them.
    pub fn examine(&self, look: &Look) -> Vec<Evidence> {
        self.see(look, true)
    }

    /// [`Self::examine`] for a look that is judged by its bounds alone: every p is 1.
    fn bound(&self, look: &Look) -> Vec<Evidence> {
        self.see(look, false)
    }

    fn see(&self, look: &Look, tested: bool) -> Vec<Evidence> {
        let adjusted = look.canary.as_ref().map(|canary| {
            let rows = look.rows.iter().map(|row| residuals(row, canary));
            self.views(rows.collect(), tested)
        });
        let plain = self.views(look.rows.clone(), tested);
        let ways = adjusted.into_iter().chain([plain]);
        let mut views: Vec<Vec<View>> = vec![Vec::new(); look.rows.len()];
        for way in ways {
            views.iter_mut().zip(way).for_each(|(of, view)| of.push(view));
        }
        let separation = self.separation(look);
        let all = views.into_iter().zip(&look.rows).enumerate();
        all.map(|(index, (views, row))| {
            let taken = look.canary.as_ref().map_or(0.0, |canary| taken_away(row, canary));
            let least = look.least_errors.get(index).copied().unwrap_or_default();
            self.evidence(views, taken, least, separation)
        })
        .collect()
    }

    fn views(&self, rows: Vec<Vec<f64>>, tested: bool) -> Vec<View> {
        let tests = tested.then(|| {
            let borrowed: Vec<&[f64]> = rows.iter().map(Vec::as_slice).collect();
            let flips = Flips::new(borrowed.first().map_or(0, |row| row.len()), self.gate.seed);
            signflip::test_both_sides(&borrowed, &flips)
        });
        let mut tests = tests.into_iter().flatten();
        rows.into_iter()
            .map(|differences| {
                let test: Option<BothSides> = tests.next();
                View {
                    location: self.location(&differences, hodges_lehmann::LEVEL),
                    p_slower: test.map_or(1.0, |test| test.above.p_adjusted),
                    p_faster: test.map_or(1.0, |test| test.below.p_adjusted),
                    differences,
                }
            })
            .collect()
    }

    fn location(&self, differences: &[f64], level: f64) -> Location {
        let nowhere = Location {
            estimate: 0.0,
            bounds: None,
        };
        match self.family.scale {
            Scale::Ratio => hodges_lehmann::location_at(differences, level).unwrap_or(nowhere),
            Scale::Share => mean_at(differences, level),
        }
    }

    fn evidence(&self, views: Vec<View>, taken: f64, least: LeastError, separation: Option<Separation>) -> Evidence {
        let passing = self.passing_bound(&views[0].differences, least.now);
        let visible = |view: &View| Some(separation?.visible(&view.differences, least.now, least.changed)?.0);
        let would_fail = |view: &View| {
            let (visible, chance) = separation?.visible(&view.differences, least.now, least.changed)?;
            Some(visible.max(self.family.tolerance + chance))
        };
        Evidence {
            pass_bound: passing.map(|high| high + taken),
            visible: views.iter().filter_map(visible).reduce(f64::min),
            would_fail: views.iter().filter_map(would_fail).reduce(f64::min),
            views,
        }
    }

    /// The bound that passes, with a standard error of at least `least`.
    fn passing_bound(&self, differences: &[f64], least: f64) -> Option<f64> {
        let level = self.gate.alpha_pass;
        let location = self.location(differences, level);
        let (_, high) = location.bounds?;
        let half = power::t_quantile(1.0 - level, differences.len()) * least;
        Some(high.max(location.estimate + half))
    }

    /// What separates "no difference" from what both stages see, over the endpoints of a look.
    fn separation(&self, look: &Look) -> Option<Separation> {
        let ways = if look.canary.is_some() { 2.0 } else { 1.0 };
        let blocks = look.rows.first()?.len().min(self.gate.stage_blocks);
        let first = self.family.first / ways / look.rows.len() as f64;
        Separation::of(blocks, first.min(self.family.second / ways))
    }

    /// Whether so many blocks, all of them slower, would convict (2^-n is the smallest p of n blocks).
    pub fn can_convict(&self, blocks: usize, has_canary: bool) -> bool {
        let ways = if has_canary { 2.0 } else { 1.0 };
        blocks >= self.gate.min_blocks
            && 0.5_f64.powi(i32::try_from(blocks).unwrap_or(i32::MAX)) <= self.family.second / ways
    }

    /// Stage 1 for each endpoint.
    pub fn first_stage(&self, looks: &[Evidence]) -> Vec<First> {
        looks.iter().map(|look| self.first(look)).collect()
    }

    fn first(&self, look: &Evidence) -> First {
        let level = self.family.first;
        if self.is_slower(look, level).is_some() {
            First::Slower
        } else if self.is_faster(look, level) {
            First::Faster
        } else if self.passes(look) {
            First::Pass
        } else {
            First::Open
        }
    }

    /// Index of the view that shows the endpoint slower at `level`, each view at its part of it; the one with the
    /// larger effect.
    fn is_slower(&self, look: &Evidence, level: f64) -> Option<usize> {
        let each = level / look.views.len() as f64;
        let estimate = |index: &usize| look.views[*index].location.estimate;
        let shows = |index: &usize| look.views[*index].p_slower <= each && estimate(index) >= self.family.effect;
        (0..look.views.len())
            .filter(shows)
            .max_by(|a, b| estimate(a).total_cmp(&estimate(b)))
    }

    /// Faster beyond chance in every view: a canary that was slow beside the endpoint makes nothing faster. Shares are
    /// not looked at for it.
    fn is_faster(&self, look: &Evidence, level: f64) -> bool {
        let shows = |view: &View| view.p_faster <= level && view.location.estimate <= -self.family.effect;
        self.family.scale == Scale::Ratio && look.views.iter().all(shows)
    }

    fn passes(&self, look: &Evidence) -> bool {
        look.pass_bound.is_some_and(|bound| bound <= self.family.margin)
    }

    /// The decision without a second stage: what is not passed is inconclusive.
    pub fn decide_alone(&self, looks: Vec<Evidence>) -> Vec<Decided> {
        looks.into_iter().map(|look| self.by_bound(look)).collect()
    }

    fn by_bound(&self, evidence: Evidence) -> Decided {
        let outcome = if self.passes(&evidence) {
            Outcome::Pass
        } else {
            Outcome::Inconclusive
        };
        Decided {
            outcome,
            evidence,
            shown: 0,
        }
    }

    /// The decision after both stages: `stage1` is what the first one saw, `new` the blocks since, `all` both together.
    /// Suspects are tried on the new blocks alone, corrected over suspects of their kind; whoever is not convicted, and
    /// what was open, is judged by the bound of all blocks. What passed in stage 1 stays passed.
    pub fn decide(&self, stage1: Vec<Evidence>, new: &Look, all: &Look) -> Vec<Decided> {
        let firsts = self.first_stage(&stage1);
        let slower = self.trial(&firsts, First::Slower, new);
        let faster = self.trial(&firsts, First::Faster, new);
        let both = self.bound(all);
        let tried = slower.into_iter().zip(faster);
        let looks = stage1.into_iter().zip(both);
        firsts
            .iter()
            .zip(tried)
            .zip(looks)
            .map(|((first, tried), (alone, both))| match (first, tried) {
                (First::Pass, _) => self.by_bound(alone),
                (First::Slower, (Some(new), _)) => self.convict(new).unwrap_or_else(|| self.by_bound(both)),
                (First::Faster, (_, Some(new))) if self.is_faster(&new, self.family.second) => Decided {
                    outcome: Outcome::Improved,
                    evidence: new,
                    shown: 0,
                },
                _ => self.by_bound(both),
            })
            .collect()
    }

    /// The new blocks of the suspects of one kind, tested among themselves.
    fn trial(&self, firsts: &[First], kind: First, new: &Look) -> Vec<Option<Evidence>> {
        let is_kind = |index: &usize| firsts[*index] == kind;
        let chosen: Vec<usize> = (0..firsts.len()).filter(is_kind).collect();
        let least = chosen.iter().filter_map(|index| new.least_errors.get(*index).copied());
        let suspects = Look {
            rows: chosen.iter().map(|index| new.rows[*index].clone()).collect(),
            canary: new.canary.clone(),
            least_errors: least.collect(),
        };
        let mut tried = self.examine(&suspects).into_iter();
        firsts
            .iter()
            .map(|first| if *first == kind { tried.next() } else { None })
            .collect()
    }

    fn convict(&self, new: Evidence) -> Option<Decided> {
        let shown = self.is_slower(&new, self.family.second)?;
        let outcome = if new.views[shown].location.estimate < self.family.tolerance {
            Outcome::SlowerWithinTolerance
        } else {
            Outcome::Regress
        };
        Some(Decided {
            outcome,
            evidence: new,
            shown,
        })
    }
}

/// What taking out the canary's part took off the slowdown of a row.
fn taken_away(row: &[f64], canary: &[f64]) -> f64 {
    let moved = hodges_lehmann::location(canary).map_or(0.0, |location| location.estimate);
    (beta(row, canary) * moved).max(0.0)
}

/// The mean, with one-sided t bounds that are wrong with probability `level` each.
fn mean_at(differences: &[f64], level: f64) -> Location {
    let estimate = average(differences);
    let bounds = student::standard_deviation(differences).map(|sd| {
        let half = power::t_quantile(1.0 - level, differences.len()) * sd / (differences.len() as f64).sqrt();
        (estimate - half, estimate + half)
    });
    Location { estimate, bounds }
}

/// Whether stage 2 has anything to decide.
pub fn needs_second_stage(firsts: &[First]) -> bool {
    firsts.iter().any(|first| *first != First::Pass)
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
