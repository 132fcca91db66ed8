//! The gate: small regressions, from interleaved slices (STATISTICS section 1).
//!
//! What belongs here: the order of slices, the differences of a block, the two-stage decision, the tail-share test, and
//! the evaluation of all blocks of a run. What does not: the estimators (`stats`), driving the load (the command), and
//! the comparison of a before/after report (`compare`).
//!
//! The unit is a block with fresh launches. With A equal to B, the order drawn by coin and launches exchangeable, each
//! row of differences has a random common sign, so the sign-flip test is exact whatever the noise. (Westfall and Young
//! 1993; sign-flip maxT: arXiv 2403.02065. Interleaving: Abedi and Brecht 2017; duet benchmarking arXiv 2001.05811;
//! relaunching the highest varying level: Kalibera and Jones, arXiv 2007.10899.)
//!
//! | room | for |
//! |---|---|
//! | [`order`] | in which order a block runs its slices, and which subject comes first |
//! | [`collect`] | from counters to the rounds of a record |
//! | [`lateness`] | which slices count: a limit from the latenesses alone, and whether the sides lose alike |
//! | [`differences`] | a block as one difference per family and endpoint |
//! | [`shares`] | slow, very slow and failed requests, which trimmed percentiles cannot see |
//! | [`decision`] | the two stages, on plain numbers |
//! | [`evaluate`] | all of it on the rounds of a record |

pub mod collect;
pub mod decision;
pub mod differences;
pub mod evaluate;
pub mod lateness;
pub mod order;
pub mod shares;

pub use evaluate::{Evaluation, Next, Stages, evaluate, evaluate_stages, promise};

use crate::limits::{EFFECT, MARGIN, MIN_BLOCKS, TOLERANCE};
use crate::record::Family;

/// The families of a gate, in the order in which they are shown.
pub const FAMILIES: [Family; 6] = [
    Family::LatencyP95,
    Family::LatencyP50,
    Family::CpuPerRequest,
    Family::SlowShare,
    Family::TailShare,
    Family::FailedShare,
];

/// When a difference counts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct GateRules {
    /// Blocks of each stage.
    pub stage_blocks: usize,
    /// Probability that a bound which passes an endpoint is wrong, per look (there are two).
    pub alpha_pass: f64,
    /// Blocks below which nothing is judged.
    pub min_blocks: usize,
    /// Seed of the sign flips.
    pub seed: u64,
}

impl GateRules {
    /// The rules of a run with this seed whose stages have so many blocks.
    pub fn of_run(seed: u64, blocks: u32) -> Self {
        Self {
            seed,
            stage_blocks: usize::try_from(blocks).unwrap_or(usize::MAX),
            ..Self::default()
        }
    }
}

impl Default for GateRules {
    fn default() -> Self {
        Self {
            stage_blocks: 24,
            alpha_pass: 0.025,
            min_blocks: MIN_BLOCKS,
            seed: 1,
        }
    }
}

/// Levels and sizes of one family, the sizes on the scale of its differences: logarithms of ratios, or shares.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FamilyRules {
    /// Largest adjusted p that makes an endpoint a suspect in stage 1.
    pub first: f64,
    /// Largest adjusted p among the suspects that convicts in stage 2.
    pub second: f64,
    /// Differences below this are of no interest either way.
    pub effect: f64,
    /// A regression below this is shown and tolerated.
    pub tolerance: f64,
    /// What is surely below this passes.
    pub margin: f64,
    /// How the differences of the blocks become one.
    pub scale: Scale,
}

/// What the differences of a family are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scale {
    /// Logarithms of ratios: located by Hodges-Lehmann, which a stray block moves little.
    Ratio,
    /// Differences of shares, most of them nothing where the event is rare: located by their mean.
    Share,
}

/// Level of stage 1 of every family.
const FIRST: f64 = 0.10;

impl FamilyRules {
    /// The rules of `family`, one of [`FAMILIES`]. With stage 1 they come to .10 x (.02 + .01 + .01 + .005 + .005 +
    /// .005) = 0.55 % of false alarms over all families.
    pub fn of(family: Family) -> Self {
        match family {
            Family::LatencyP95 => Self::ratio(0.02),
            Family::LatencyP50 | Family::CpuPerRequest | Family::LatencyMean | Family::Throughput => Self::ratio(0.01),
            Family::SlowShare => Self::share(0.02, 0.04),
            Family::TailShare => Self::share(0.001, 0.01),
            Family::FailedShare => Self::share(0.005, 0.01),
        }
    }

    fn ratio(second: f64) -> Self {
        Self {
            first: FIRST,
            second,
            effect: EFFECT.ln(),
            tolerance: TOLERANCE.ln(),
            margin: MARGIN.ln(),
            scale: Scale::Ratio,
        }
    }

    /// Every rise that is suspected fails.
    fn share(effect: f64, margin: f64) -> Self {
        Self {
            first: FIRST,
            second: SHARE_SECOND,
            effect,
            tolerance: effect,
            margin,
            scale: Scale::Share,
        }
    }
}

/// Level of stage 2 of every family of shares.
const SHARE_SECOND: f64 = 0.005;

/// So many times as much counts a failed request over all endpoints, of which there are many more than of one: from a
/// tenth of a point instead of a half.
pub(crate) const FAILURES_OVER_ALL: f64 = 5.0;
