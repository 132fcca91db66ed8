//! Where the values of variables come from. Integers for now; a draw is a JSON value, so that files and sequences of any
//! type can join.

use rand::{Rng, RngExt as _};
use rand_distr::{Distribution as _, Zipf};
use serde_json::Value;

/// A variable that each journey draws anew.
#[derive(Debug, Clone, PartialEq)]
pub struct Feeder {
    /// The variable's name.
    pub name: String,
    /// Where its value goes in [`crate::Vars`].
    pub slot: usize,
    /// How it is drawn.
    pub draw: Draw,
}

/// How a feeder draws.
#[derive(Debug, Clone, PartialEq)]
pub enum Draw {
    /// Few values often, many rarely.
    Zipf(ZipfRange),
    /// Every integer from `min` to `max`, both included, equally often.
    Uniform {
        /// Smallest value.
        min: i64,
        /// Largest value.
        max: i64,
    },
}

/// Integers from `from` on whose frequency falls with their rank: rank r has a share proportional to `1 / r^s`.
#[derive(Debug, Clone, PartialEq)]
pub struct ZipfRange {
    from: i64,
    n: u32,
    s: f64,
    distribution: Zipf<f64>,
}

impl ZipfRange {
    /// `n` integers starting at `from` with exponent `s`; `None` when `n` is 0, `s` is negative or not finite, or the
    /// last integer does not fit.
    pub(crate) fn new(from: i64, n: u32, s: f64) -> Option<Self> {
        from.checked_add(i64::from(n))?;
        let distribution = Zipf::new(f64::from(n), s).ok().filter(|_| s.is_finite())?;
        Some(Self {
            from,
            n,
            s,
            distribution,
        })
    }

    /// The value of rank 1.
    pub fn from(&self) -> i64 {
        self.from
    }

    /// How many values there are.
    pub fn n(&self) -> u32 {
        self.n
    }

    /// The exponent.
    pub fn s(&self) -> f64 {
        self.s
    }

    fn sample<R: Rng + ?Sized>(&self, rng: &mut R) -> i64 {
        let rank = self.distribution.sample(rng).clamp(1.0, f64::from(self.n));
        #[expect(clippy::cast_possible_truncation, reason = "a whole number between 1 and a u32")]
        let rank = rank as i64;
        self.from + rank - 1
    }
}

impl Feeder {
    /// The next value.
    pub fn sample<R: Rng + ?Sized>(&self, rng: &mut R) -> Value {
        match &self.draw {
            Draw::Zipf(range) => range.sample(rng).into(),
            Draw::Uniform { min, max } => rng.random_range(*min..=*max).into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand::SeedableRng as _;
    use rand_chacha::ChaCha8Rng;

    use super::*;

    fn zipf(from: i64, n: u32, s: f64) -> Feeder {
        let draw = Draw::Zipf(ZipfRange::new(from, n, s).expect("valid"));
        Feeder {
            name: "x".to_owned(),
            slot: 0,
            draw,
        }
    }

    fn draws(feeder: &Feeder, seed: u64, count: usize) -> Vec<i64> {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        (0..count)
            .map(|_| feeder.sample(&mut rng).as_i64().expect("an integer"))
            .collect()
    }

    proptest! {
        #[test]
        fn zipf_stays_in_its_range_and_follows_its_seed(from in -1000_i64..1000, n in 1_u32..100_000, s in 0.0..3.0, seed: u64) {
            let feeder = zipf(from, n, s);
            let values = draws(&feeder, seed, 50);
            prop_assert!(values.iter().all(|value| (from..from + i64::from(n)).contains(value)));
            prop_assert_eq!(&values, &draws(&feeder, seed, 50));
        }

        #[test]
        fn uniform_stays_in_its_range_and_follows_its_seed(min in -1000_i64..1000, width in 0_i64..1000, seed: u64) {
            let feeder = Feeder { name: "x".to_owned(), slot: 0, draw: Draw::Uniform { min, max: min + width } };
            let values = draws(&feeder, seed, 50);
            prop_assert!(values.iter().all(|value| (min..=min + width).contains(value)));
            prop_assert_eq!(&values, &draws(&feeder, seed, 50));
        }
    }

    /// Share of rank 1 = 1 / sum of r^-s: .0978 for n = 10,000, s = .99. Its standard error over 100,000 draws is .00094.
    #[test]
    fn the_hottest_value_has_the_share_that_zipf_gives_it() {
        let values = draws(&zipf(1, 10_000, 0.99), 7, 100_000);
        let hottest = values.iter().filter(|value| **value == 1).count();
        assert!((hottest as f64 / 100_000.0 - 0.0978).abs() < 0.004, "{hottest}");
    }

    #[test]
    fn impossible_ranges_are_refused() {
        assert_eq!(ZipfRange::new(1, 0, 1.0), None);
        assert_eq!(ZipfRange::new(1, 10, -0.1), None);
        assert_eq!(ZipfRange::new(1, 10, f64::INFINITY), None);
        assert_eq!(ZipfRange::new(i64::MAX - 5, 10, 1.0), None);
    }
}
