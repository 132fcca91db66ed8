//! Differences of means of values that do not come in pairs, and Holm's correction over many of them.
//!
//! Welch (1947) for two groups of values; the prediction of one further value from a group; Holm (1979), which holds
//! whatever the tests have to do with each other.

use super::{average, student};

/// An estimate with its error, on the scale of the values.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Difference {
    /// after - before.
    pub estimate: f64,
    /// Its standard error.
    pub error: f64,
    /// Degrees of freedom of the error.
    pub degrees: f64,
}

impl Difference {
    /// Difference of the means of two groups with variances of their own; `None` with fewer than two values in either.
    pub fn of_groups(before: &[f64], after: &[f64]) -> Option<Self> {
        let (sd_before, sd_after) = (
            student::standard_deviation(before)?,
            student::standard_deviation(after)?,
        );
        let (m, n) = (before.len() as f64, after.len() as f64);
        let (of_before, of_after) = (sd_before.powi(2) / m, sd_after.powi(2) / n);
        let variance = of_before + of_after;
        let degrees = variance.powi(2) / (of_before.powi(2) / (m - 1.0) + of_after.powi(2) / (n - 1.0));
        Some(Self {
            estimate: average(after) - average(before),
            error: variance.sqrt(),
            // Without any spread the ratio is 0 / 0.
            degrees: if degrees.is_finite() { degrees } else { m + n - 2.0 },
        })
    }

    /// Difference of one further value from a group that it belongs to if nothing has changed; `None` with fewer than
    /// two values in the group.
    pub fn of_one_more(group: &[f64], further: f64) -> Option<Self> {
        let sd = student::standard_deviation(group)?;
        let count = group.len() as f64;
        Some(Self {
            estimate: further - average(group),
            error: sd * (1.0 + 1.0 / count).sqrt(),
            degrees: count - 1.0,
        })
    }

    /// The bounds that the true difference exceeds, or falls short of, with `probability` each.
    pub fn bounds(&self, probability: f64) -> (f64, f64) {
        let half = student::quantile_of(probability, self.degrees) * self.error;
        (self.estimate - half, self.estimate + half)
    }

    /// p of "the true difference is at most `limit`".
    pub fn p_above(&self, limit: f64) -> f64 {
        let over = self.estimate - limit;
        if self.error > 0.0 {
            student::upper_p(over / self.error, self.degrees)
        } else if over > 0.0 {
            0.0
        } else {
            1.0
        }
    }

    /// p of "the true difference is at least `limit`".
    pub fn p_below(&self, limit: f64) -> f64 {
        let mirrored = Self {
            estimate: -self.estimate,
            ..*self
        };
        mirrored.p_above(-limit)
    }
}

/// Holm's adjusted p, in the order of `raw`.
pub fn holm(raw: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..raw.len()).collect();
    order.sort_by(|a, b| raw[*a].total_cmp(&raw[*b]));
    let mut adjusted = vec![1.0; raw.len()];
    let mut largest: f64 = 0.0;
    for (rank, index) in order.into_iter().enumerate() {
        largest = largest.max(raw[index] * (raw.len() - rank) as f64).min(1.0);
        adjusted[index] = largest;
    }
    adjusted
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::assert_close;

    #[test]
    fn holm_is_the_one_of_the_golden_case() {
        // STATISTICS section 1.
        let adjusted = holm(&[0.003_906_25, 0.222_656_25, 0.539_062_5]);
        for (actual, expected) in adjusted.iter().zip([0.011_718_75, 0.445_312_5, 0.539_062_5]) {
            assert_close(*actual, expected, 1e-12);
        }
        assert_eq!(holm(&[0.9, 0.8]), [1.0, 1.0], "never above 1, never out of order");
        assert!(holm(&[]).is_empty());
    }

    #[test]
    fn one_more_value_is_less_certain_than_a_mean() {
        // sd 1, n 3: error sqrt(4/3), t_2(.95) = 2.919986.
        let further = Difference::of_one_more(&[1.0, 2.0, 3.0], 5.0).unwrap();
        let (low, high) = further.bounds(0.95);
        assert_close(low, 3.0 - 2.919_986 * (4.0_f64 / 3.0).sqrt(), 1e-5);
        assert_close(high, 3.0 + 2.919_986 * (4.0_f64 / 3.0).sqrt(), 1e-5);
        assert_eq!(Difference::of_one_more(&[1.0], 5.0), None);
    }

    #[test]
    fn values_without_spread_are_certain() {
        let sure = Difference::of_groups(&[1.0, 1.0], &[1.5, 1.5]).unwrap();
        assert_eq!(sure.bounds(0.95), (0.5, 0.5));
        assert_eq!(
            (sure.p_above(0.4), sure.p_above(0.5), sure.p_below(0.6)),
            (0.0, 1.0, 0.0)
        );
        assert_eq!(Difference::of_groups(&[1.0], &[1.5, 1.5]), None);
    }
}
