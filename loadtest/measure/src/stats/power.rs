//! What a comparison could see: the smallest visible effect, the blocks and the requests that an effect needs (MEASURE
//! section 1).
//!
//! The constants are those of STATISTICS section 1: standard errors between nothing and an effect that both stages call with
//! 95 % power, after the correction over about twelve endpoints. `tests/simulation` shows the power they promise.

use super::student;

/// Standard errors that separate "no difference" from what is seen with 95 % power.
const SEPARATION: f64 = 4.35;
/// Blocks of a stage beyond which a machine is said to be too noisy.
pub const MAX_STAGE_BLOCKS: usize = 48;
/// Requests per side and endpoint that a difference of 10 % in a p95 needs, over the squared sigma of the times.
const REQUESTS_FOR_TEN_PERCENT: f64 = 22_500.0;
/// ln p95 - ln p50 of a log-normal distribution, in sigmas.
const P95_IN_SIGMAS: f64 = 1.644_854;

/// `exp(4.35 sd / sqrt n) - 1`: the smallest slowdown that so many blocks would have called with 95 % power; `None` with
/// fewer than two.
pub fn smallest_visible(differences: &[f64]) -> Option<f64> {
    let sd = student::standard_deviation(differences)?;
    Some((SEPARATION * sd / (differences.len() as f64).sqrt()).exp_m1())
}

/// Blocks per stage that call a slowdown by the share `effect` with 95 % power: `(4.35 sd / ln(1 + effect))^2`.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a float cast saturates: an infinite need is a need beyond any cap"
)]
pub fn blocks_needed(sd: f64, effect: f64) -> usize {
    (SEPARATION * sd / effect.ln_1p()).powi(2).ceil() as usize
}

/// Spread of differences about zero. It does not change when the sides of blocks are swapped, so the number of blocks
/// may depend on it without making the test inexact.
pub fn spread(differences: &[f64]) -> f64 {
    (differences.iter().map(|value| value * value).sum::<f64>() / differences.len().max(1) as f64).sqrt()
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
    fn blocks_and_effect_are_two_views_of_one_formula() {
        // sd .084 (moderate noise), 10 %: (4.35 x .084 / .09531)^2 = 14.7.
        assert_eq!(blocks_needed(0.084, 0.10), 15);
        assert_eq!(blocks_needed(0.129, 0.10), 35);
        assert!(blocks_needed(0.277, 0.10) > MAX_STAGE_BLOCKS);
        assert_eq!(blocks_needed(0.0, 0.10), 0);
        let differences = [0.1, -0.1, 0.1, -0.1, 0.1, -0.1, 0.1, -0.1];
        // sd .106905: exp(4.35 x .106905 / sqrt 8) - 1.
        assert_close(smallest_visible(&differences).unwrap(), 0.178_73, 1e-4);
        assert_eq!(smallest_visible(&[0.1]), None);
    }

    #[test]
    fn spread_is_blind_to_the_sides() {
        assert_close(spread(&[0.1, -0.2, 0.2]), spread(&[-0.1, -0.2, -0.2]), 1e-15);
        assert_close(spread(&[]), 0.0, 0.0);
    }

    #[test]
    fn wide_times_need_more_requests() {
        let p95 = (0.7 * P95_IN_SIGMAS).exp();
        assert_close(requests_needed(1.0, p95, 0.10), 11_025.0, 0.1);
        assert!(requests_needed(1.0, p95, 0.05) > 3.0 * 11_025.0);
    }
}
