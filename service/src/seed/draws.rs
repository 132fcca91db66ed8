//! Draws from the distributions that the formulas need. Parameters that make no distribution (a mean of zero) give the
//! mean itself.

use rand::RngExt as _;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution as _, Gamma, Poisson, StandardNormal};

/// The generator of one driver: what is drawn for one does not depend on how many there are before.
pub(super) type DriverRng = ChaCha8Rng;

/// A count with the given mean.
#[expect(
    clippy::cast_possible_truncation,
    reason = "counts here are in the thousands at most"
)]
pub(super) fn poisson(rng: &mut DriverRng, mean: f64) -> i32 {
    Poisson::new(mean).map_or(0, |counts| counts.sample(rng) as i32)
}

/// A positive number with the given mean; the smaller the shape, the more skewed.
pub(super) fn gamma(rng: &mut DriverRng, shape: f64, mean: f64) -> f64 {
    Gamma::new(shape, mean / shape).map_or(mean, |gamma| gamma.sample(rng))
}

/// A number whose logarithm is normal with standard deviation `sigma`; half of all lie below `median`.
pub(super) fn log_normal(rng: &mut DriverRng, median: f64, sigma: f64) -> f64 {
    median * (sigma * standard_normal(rng)).exp()
}

/// A normal number with mean 0 and standard deviation 1.
pub(super) fn standard_normal(rng: &mut DriverRng) -> f64 {
    rng.sample(StandardNormal)
}

/// One of the choices, as likely as its weight.
pub(super) fn weighted<T: Copy, const N: usize>(rng: &mut DriverRng, choices: &[(T, u32); N]) -> T {
    let index = weighted_index(rng, &choices.map(|(_, weight)| weight));
    choices[index].0
}

/// An index, as likely as the weight there.
pub(super) fn weighted_index<const N: usize>(rng: &mut DriverRng, weights: &[u32; N]) -> usize {
    let mut left = rng.random_range(0..weights.iter().sum());
    weights
        .iter()
        .position(|weight| {
            let here = left < *weight;
            left = left.saturating_sub(*weight);
            here
        })
        .unwrap_or(N - 1)
}

/// One of the choices, all equally likely.
pub(super) fn any<T: Copy, const N: usize>(rng: &mut DriverRng, choices: &[T; N]) -> T {
    choices[rng.random_range(0..N)]
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng as _;

    use super::*;

    #[test]
    fn weighted_draws_follow_their_weights_and_never_take_a_zero() {
        let mut rng = DriverRng::seed_from_u64(1);
        let mut drawn = [0_i32; 3];
        for _ in 0..10_000 {
            drawn[weighted_index(&mut rng, &[1, 0, 3])] += 1;
        }
        assert_eq!(drawn[1], 0);
        assert!((2_300..2_700).contains(&drawn[0]), "{drawn:?}");
    }

    #[test]
    fn means_and_medians_are_those_asked_for() {
        let mut rng = DriverRng::seed_from_u64(2);
        let mean = |draws: Vec<f64>| draws.iter().sum::<f64>() / draws.len() as f64;
        let counts = mean((0..20_000).map(|_| f64::from(poisson(&mut rng, 2.5))).collect());
        let gammas = mean((0..20_000).map(|_| gamma(&mut rng, 0.8, 3.0)).collect());
        let below = (0..20_000).filter(|_| log_normal(&mut rng, 8.0, 1.0) < 8.0).count();
        assert!((2.4..2.6).contains(&counts), "{counts}");
        assert!((2.85..3.15).contains(&gammas), "{gammas}");
        assert!((9_700..10_300).contains(&below), "{below}");
    }

    #[test]
    fn a_mean_of_zero_gives_zero() {
        let mut rng = DriverRng::seed_from_u64(3);
        assert_eq!(poisson(&mut rng, 0.0), 0);
    }
}
