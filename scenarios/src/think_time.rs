//! Think times: the pauses of a user between an answer and the next request.

use std::time::Duration;

use rand::{Rng, RngExt as _};
use rand_distr::{Exp1, StandardNormal};
use serde::Deserialize;
use toml::Spanned;

use crate::source::Findings;

/// Quantile .95 of the standard normal distribution: turns median and p95 of a log-normal into its sigma.
const Z_95: f64 = 1.644_853_626_951_472_2;

/// No pause is longer than an hour: the unbounded tails would otherwise, however rarely, overflow a `Duration`.
const MAX_PAUSE_MS: f64 = 3_600_000.0;

/// A distribution of pauses.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum ThinkTime {
    /// The same pause each time.
    Constant {
        /// The pause, milliseconds; 0 for none.
        ms: f64,
    },
    /// Equally likely anywhere between two bounds.
    Uniform {
        /// Shortest, milliseconds.
        min_ms: f64,
        /// Longest, milliseconds.
        max_ms: f64,
    },
    /// Memoryless: what many independent causes give.
    Exponential {
        /// Mean, milliseconds.
        mean_ms: f64,
    },
    /// Skewed to the right, as people are: most go on soon, some stay long.
    LogNormal {
        /// Half of the pauses are shorter, milliseconds.
        median_ms: f64,
        /// Standard deviation of the logarithm.
        sigma: f64,
    },
}

impl ThinkTime {
    /// No pause.
    pub const NONE: Self = Self::Constant { ms: 0.0 };

    /// A log-normal pause by the two figures one can observe: the median and the 95th percentile, milliseconds.
    pub fn log_normal(median_ms: f64, p95_ms: f64) -> Self {
        Self::LogNormal {
            median_ms,
            sigma: (p95_ms / median_ms).ln() / Z_95,
        }
    }

    /// The next pause.
    pub fn sample<R: Rng + ?Sized>(&self, rng: &mut R) -> Duration {
        let pause_ms = self.sample_ms(rng).clamp(0.0, MAX_PAUSE_MS);
        Duration::from_secs_f64(pause_ms / 1000.0)
    }

    fn sample_ms<R: Rng + ?Sized>(&self, rng: &mut R) -> f64 {
        match *self {
            Self::Constant { ms } => ms,
            Self::Uniform { min_ms, max_ms } => min_ms + (max_ms - min_ms) * rng.random::<f64>(),
            Self::Exponential { mean_ms } => mean_ms * rng.sample::<f64, _>(Exp1),
            Self::LogNormal { median_ms, sigma } => median_ms * (sigma * rng.sample::<f64, _>(StandardNormal)).exp(),
        }
    }

    /// The mean pause, milliseconds; like every pause at most an hour.
    pub fn mean_ms(&self) -> f64 {
        let mean_ms = match *self {
            Self::Constant { ms } => ms,
            Self::Uniform { min_ms, max_ms } => f64::midpoint(min_ms, max_ms),
            Self::Exponential { mean_ms } => mean_ms,
            Self::LogNormal { median_ms, sigma } => median_ms * (sigma * sigma / 2.0).exp(),
        };
        mean_ms.min(MAX_PAUSE_MS)
    }
}

/// A think time as it is written.
#[derive(Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum RawThinkTime {
    Constant {
        ms: Spanned<f64>,
    },
    Uniform {
        min_ms: Spanned<f64>,
        max_ms: Spanned<f64>,
    },
    Exponential {
        mean_ms: Spanned<f64>,
    },
    LogNormal {
        median_ms: Spanned<f64>,
        p95_ms: Spanned<f64>,
    },
}

impl RawThinkTime {
    pub(crate) fn check(&self, findings: &mut Findings<'_>) -> ThinkTime {
        match self {
            Self::Constant { ms } => ThinkTime::Constant {
                ms: findings.not_negative("ms", ms),
            },
            Self::Uniform { min_ms, max_ms } => {
                let min = findings.not_negative("min_ms", min_ms);
                let max = at_least("max_ms", max_ms, "min_ms", min, findings);
                ThinkTime::Uniform {
                    min_ms: min,
                    max_ms: max,
                }
            }
            Self::Exponential { mean_ms } => ThinkTime::Exponential {
                mean_ms: findings.positive("mean_ms", mean_ms),
            },
            Self::LogNormal { median_ms, p95_ms } => {
                let median = findings.positive("median_ms", median_ms);
                ThinkTime::log_normal(median, at_least("p95_ms", p95_ms, "median_ms", median, findings))
            }
        }
    }
}

/// A positive number that must not be below another.
fn at_least(key: &str, number: &Spanned<f64>, floor_key: &str, floor: f64, findings: &mut Findings<'_>) -> f64 {
    let value = findings.positive(key, number);
    findings.require(value <= 0.0 || value >= floor, &number.span(), || {
        format!("`{key}` is {value}, below `{floor_key}`, which is {floor}")
    });
    value
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand::SeedableRng as _;
    use rand_chacha::ChaCha8Rng;

    use super::*;

    /// 200,000 pauses in milliseconds, ascending.
    fn pauses(think: ThinkTime) -> Vec<f64> {
        let mut rng = ChaCha8Rng::seed_from_u64(11);
        let mut pauses: Vec<f64> = (0..200_000)
            .map(|_| think.sample(&mut rng).as_secs_f64() * 1000.0)
            .collect();
        pauses.sort_by(f64::total_cmp);
        pauses
    }

    /// Standard error of the means below: at most .3 %.
    #[test]
    fn the_mean_of_the_samples_is_the_mean_that_is_stated() {
        let kinds = [
            ThinkTime::Constant { ms: 250.0 },
            ThinkTime::Uniform {
                min_ms: 100.0,
                max_ms: 900.0,
            },
            ThinkTime::Exponential { mean_ms: 700.0 },
            ThinkTime::log_normal(1200.0, 3200.0),
        ];
        for think in kinds {
            let pauses = pauses(think);
            let mean = pauses.iter().sum::<f64>() / pauses.len() as f64;
            assert!((mean / think.mean_ms() - 1.0).abs() < 0.012, "{think:?}: {mean}");
        }
    }

    #[test]
    fn a_log_normal_has_the_median_and_p95_it_was_given() {
        let pauses = pauses(ThinkTime::log_normal(2000.0, 6000.0));
        assert!((pauses[100_000] / 2000.0 - 1.0).abs() < 0.02, "{}", pauses[100_000]);
        assert!((pauses[190_000] / 6000.0 - 1.0).abs() < 0.03, "{}", pauses[190_000]);
    }

    proptest! {
        #[test]
        fn no_distribution_overflows_a_duration(median in 1.0..1e12_f64, factor in 1.0..1e9_f64, seed: u64) {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            let pause = ThinkTime::log_normal(median, median * factor).sample(&mut rng);
            prop_assert!(pause <= Duration::from_hours(1));
        }
    }
}
