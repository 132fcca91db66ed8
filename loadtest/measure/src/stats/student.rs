//! Student's t: quantiles, and the interval of a mean.

use statrs::distribution::{ContinuousCDF as _, StudentsT};

use super::average;

/// Probability of the upper end of a two-sided 95 % interval.
pub const TWO_SIDED_95: f64 = 0.975;
/// Probability of the end of a one-sided 95 % interval.
pub const ONE_SIDED_95: f64 = 0.95;

/// The value that Student's t with `degrees` (>= 1) degrees of freedom stays below with `probability` (0.5..1).
///
/// Bisected on the distribution function: `inverse_cdf` of statrs 0.19 is off by 2 % for some arguments.
pub fn quantile(probability: f64, degrees: usize) -> f64 {
    quantile_of(probability, degrees as f64)
}

/// The value that Student's t with `degrees` (>= 1) degrees of freedom, which need not be whole (Welch's test), stays
/// below with `probability` (0.5..1).
pub fn quantile_of(probability: f64, degrees: f64) -> f64 {
    let student = standard(degrees);
    let mut high = 1.0;
    while student.cdf(high) < probability && high < f64::MAX / 4.0 {
        high *= 2.0;
    }
    bisect(0.0, high, |t| student.cdf(t) < probability)
}

/// Probability that |t| with `degrees` (>= 1) degrees of freedom reaches `t`.
pub fn two_sided_p(t: f64, degrees: usize) -> f64 {
    2.0 * standard(degrees as f64).sf(t.abs())
}

/// Probability that t with `degrees` (>= 1) degrees of freedom reaches `t`.
pub fn upper_p(t: f64, degrees: f64) -> f64 {
    standard(degrees).sf(t)
}

fn standard(degrees: f64) -> StudentsT {
    StudentsT::new(0.0, 1.0, degrees.max(1.0)).expect("one degree of freedom or more")
}

/// The point in `low..high` where `below` turns false.
fn bisect(mut low: f64, mut high: f64, below: impl Fn(f64) -> bool) -> f64 {
    // 64 halvings exhaust the precision of an f64.
    for _ in 0..64 {
        let middle = f64::midpoint(low, high);
        if below(middle) {
            low = middle;
        } else {
            high = middle;
        }
    }
    f64::midpoint(low, high)
}

/// A mean of independent values.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Mean {
    /// The arithmetic mean.
    pub value: f64,
    /// Two-sided 95 % t interval; absent with fewer than two values.
    pub interval: Option<(f64, f64)>,
}

/// Mean and t interval of `values`; `None` without values.
pub fn mean(values: &[f64]) -> Option<Mean> {
    if values.is_empty() {
        return None;
    }
    let count = values.len() as f64;
    let value = average(values);
    let interval = standard_deviation(values).map(|sd| {
        let half = quantile(TWO_SIDED_95, values.len() - 1) * sd / count.sqrt();
        (value - half, value + half)
    });
    Some(Mean { value, interval })
}

/// Sample standard deviation (denominator n - 1); `None` with fewer than two values.
pub fn standard_deviation(values: &[f64]) -> Option<f64> {
    if values.len() < 2 {
        return None;
    }
    let mean = average(values);
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    Some((squares / (values.len() - 1) as f64).sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn assert_close(actual: f64, expected: f64) {
        assert!(
            (actual - expected).abs() <= 1e-6 * expected.abs().max(1.0),
            "{actual} is not {expected}"
        );
    }

    #[test]
    fn quantiles_match_the_closed_forms_of_one_and_two_degrees() {
        for probability in [0.6, 0.8, 0.9, 0.95, 0.975, 0.995] {
            assert_close(
                quantile(probability, 1),
                (std::f64::consts::PI * (probability - 0.5)).tan(),
            );
            let spread = 2.0 / (4.0 * probability * (1.0 - probability));
            assert_close(quantile(probability, 2), (2.0 * probability - 1.0) * spread.sqrt());
        }
    }

    #[test]
    fn quantiles_match_published_tables() {
        let table = [
            (0.975, 5, 2.570_581_836),
            (0.95, 5, 2.015_048_373),
            (0.975, 9, 2.262_157_163),
            (0.95, 29, 1.699_127_027),
            (0.975, 100, 1.983_971_519),
        ];
        for (probability, degrees, expected) in table {
            assert_close(quantile(probability, degrees), expected);
        }
    }

    #[test]
    fn the_interval_of_a_mean() {
        // sd 1, n 3: half width t_2(.975) / sqrt 3 = 4.302653 / 1.732051.
        let estimate = mean(&[1.0, 2.0, 3.0]).unwrap();
        let (low, high) = estimate.interval.unwrap();
        assert_close(estimate.value, 2.0);
        assert_close(low, 2.0 - 2.484_138);
        assert_close(high, 2.0 + 2.484_138);
    }

    #[test]
    fn few_or_equal_values() {
        assert_eq!(mean(&[]), None);
        assert_eq!(
            mean(&[4.0]),
            Some(Mean {
                value: 4.0,
                interval: None
            })
        );
        assert_eq!(
            mean(&[4.0, 4.0]),
            Some(Mean {
                value: 4.0,
                interval: Some((4.0, 4.0))
            })
        );
        assert_eq!(standard_deviation(&[4.0]), None);
    }
}
