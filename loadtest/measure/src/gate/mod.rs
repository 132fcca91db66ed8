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
//! | [`order`] | in which order a block runs its slices |
//! | [`collect`] | from counters to the rounds of a record |
//! | [`differences`] | rounds to one difference per block and endpoint |
//! | [`decision`] | the two stages, on plain numbers |
//! | [`tail`] | rare new pauses, which trimmed slices cannot see |
//! | [`evaluate`] | all of it on the rounds of a record |

pub mod collect;
pub mod decision;
pub mod differences;
pub mod evaluate;
pub mod order;
pub mod tail;

pub use evaluate::{Evaluation, Next, evaluate};

use crate::limits::{ALPHA, EFFECT, MARGIN, MIN_BLOCKS, TOLERANCE};

/// When a difference counts. Ratios are after / before.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct GateRules {
    /// Blocks of each stage.
    pub stage_blocks: usize,
    /// Effects below this ratio are of no interest either way.
    pub effect: f64,
    /// A regression below this ratio is shown and tolerated.
    pub tolerance: f64,
    /// Not slower than this ratio passes.
    pub margin: f64,
    /// Largest adjusted p that makes an endpoint a suspect in stage 1.
    pub alpha_first: f64,
    /// Largest adjusted p among the suspects that convicts in stage 2.
    pub alpha_second: f64,
    /// Probability that a bound which passes an endpoint is wrong, per look (there are two).
    pub alpha_pass: f64,
    /// Largest adjusted p of the tail-share test.
    pub alpha_tail: f64,
    /// Smallest rise of the tail share that counts: one request in a thousand.
    pub min_tail_share: f64,
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
            effect: EFFECT,
            tolerance: TOLERANCE,
            margin: MARGIN,
            alpha_first: 0.10,
            alpha_second: ALPHA,
            alpha_pass: 0.025,
            alpha_tail: 0.005,
            min_tail_share: 0.001,
            min_blocks: MIN_BLOCKS,
            seed: 1,
        }
    }
}
