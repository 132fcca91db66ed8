//! The resolution of a comparison: the smallest visible effect, the blocks and the requests that an effect needs
//! (STATISTICS section 1).
//!
//! The constants are those of STATISTICS section 1: standard errors between nothing and an effect that both stages call
//! with 95 % power, after the correction over about twelve endpoints. `tests/simulation` shows the power they promise.
//! A gate, whose families have levels of their own, computes them ([`Separation`]).

use super::student;

/// Standard errors that separate "no difference" from what a closed comparison sees with 95 % power.
const SEPARATION: f64 = 4.35;
/// Requests per side and endpoint that a difference of 10 % in a p95 needs, over the squared sigma of the times.
const REQUESTS_FOR_TEN_PERCENT: f64 = 22_500.0;
/// ln p95 - ln p50 of a log-normal distribution, in sigmas.
const P95_IN_SIGMAS: f64 = 1.644_854;

/// `exp(4.35 sd / sqrt n) - 1`: the smallest slowdown that so many blocks would have called with 95 % power; `None`
/// with fewer than two.
pub fn smallest_visible(differences: &[f64]) -> Option<f64> {
    let sd = student::standard_deviation(differences)?;
    Some((SEPARATION * sd / (differences.len() as f64).sqrt()).exp_m1())
}

/// Chance that one stage sees a change of the stated size.
const SEEN: f64 = 0.975;
/// The Hodges-Lehmann estimate and the studentised mean of few blocks have wider tails than the normal distribution.
const WIDER: f64 = 1.05;

/// Standard errors between "no difference" and what both stages of a gate see.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Separation {
    /// Blocks of a stage.
    blocks: usize,
    /// From nothing to what is beyond chance.
    chance: f64,
    /// From there to what is nearly always seen.
    power: f64,
}

impl Separation {
    /// Of stages of so many blocks that call what has a p of at most `level`; `None` with fewer than two blocks.
    pub fn of(blocks: usize, level: f64) -> Option<Self> {
        (blocks >= 2).then(|| Self {
            blocks,
            chance: t_quantile(1.0 - level, blocks),
            power: t_quantile(SEEN, blocks),
        })
    }

    /// The smallest change that is seen, and how far below its true size chance may make a change look, where blocks
    /// differ like `differences`. The standard error of their mean is at least `least_error`, and at least `changed`
    /// where there is such a change.
    pub fn visible(&self, differences: &[f64], least_error: f64, changed: f64) -> Option<(f64, f64)> {
        let sd = student::standard_deviation(differences)?;
        let of_blocks = sd / (self.blocks as f64).sqrt();
        let below = self.power * WIDER * of_blocks.max(changed);
        Some((self.chance * WIDER * of_blocks.max(least_error) + below, below))
    }
}

/// Quantile of Student's t for the mean of so many values (at least two).
pub fn t_quantile(probability: f64, values: usize) -> f64 {
    student::quantile(probability, values.saturating_sub(1).max(1))
}

/// Requests per side that an endpoint needs for a slowdown by the share `effect` of its p95 to stand out from sampling
/// noise alone; the sigma of its times is read off p50 and p95.
pub fn requests_needed(p50: f64, p95: f64, effect: f64) -> f64 {
    let sigma = (p95 / p50).ln() / P95_IN_SIGMAS;
    REQUESTS_FOR_TEN_PERCENT * sigma * sigma * (1.1_f64.ln() / effect.ln_1p()).powi(2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::assert_close;

    #[test]
    fn the_golden_case() {
        let differences = [0.1, -0.1, 0.1, -0.1, 0.1, -0.1, 0.1, -0.1];
        // sd .106905: exp(4.35 x .106905 / sqrt 8) - 1.
        assert_close(smallest_visible(&differences).unwrap(), 0.178_73, 1e-4);
        assert_eq!(smallest_visible(&[0.1]), None);
    }

    #[test]
    fn wide_times_need_more_requests() {
        let p95 = (0.7 * P95_IN_SIGMAS).exp();
        assert_close(requests_needed(1.0, p95, 0.10), 11_025.0, 0.1);
        assert!(requests_needed(1.0, p95, 0.05) > 3.0 * 11_025.0);
    }
}
