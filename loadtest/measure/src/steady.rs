//! Has a series settled? MSER-5 (White 1997; STATISTICS section 5).
//!
//! What belongs here: the truncation point of a series of means, and the judgement on a phase. What does not: what an
//! unsteady phase means for a run (`checks`, `capacity`).

use crate::record::Pulse;
use crate::stats::average;

/// Means that make one batch.
const BATCH: usize = 5;
/// Batches below which nothing can be said.
const MIN_BATCHES: usize = 10;
/// A change of the mean that matters, as a share of it.
const MATERIAL: f64 = 0.1;

/// Where a series settles.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Truncation {
    /// Batches of five values to leave out at the start.
    pub batches: usize,
    /// Batches in all.
    pub of: usize,
}

impl Truncation {
    /// Whether the best truncation lies before the end of its range; at the end the series was still changing.
    pub fn settled(self) -> bool {
        self.batches + 1 < self.of.div_ceil(2)
    }
}

/// MSER-5: of `Z_1..Z_k`, means of five `values` each, the `d < k/2` that minimises `sum_{i>d} (Z_i - mean_{>d})^2 /
/// (k-d)^2`. `None` with fewer than ten batches.
pub fn mser5(values: &[f64]) -> Option<Truncation> {
    let batches: Vec<f64> = values.chunks_exact(BATCH).map(average).collect();
    if batches.len() < MIN_BATCHES {
        return None;
    }
    let costs: Vec<f64> = (0..batches.len().div_ceil(2)).map(|d| cost(&batches[d..])).collect();
    let best = (0..costs.len()).min_by(|a, b| costs[*a].total_cmp(&costs[*b]))?;
    Some(Truncation {
        batches: best,
        of: batches.len(),
    })
}

/// Squared standard error of the mean of what is left, but for a constant.
fn cost(left: &[f64]) -> f64 {
    let count = left.len() as f64;
    let mean = average(left);
    left.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (count * count)
}

/// Whether the mean response time and the number in flight of a phase both settled; `None` where it is too short.
///
/// A steady series ends at the end of the range by chance too: two series of 40 batches of autocorrelated noise (lag 1:
/// .5 / .9) do in 1.3 / 6 % of phases. So a series counts as unsteady only if what MSER-5 would keep also differs from
/// the whole by more than 10 %: 0 / 3.4 %.
pub fn of_pulse(pulse: &Pulse) -> Option<bool> {
    let in_flight: Vec<f64> = pulse.in_flight_us.iter().map(|us| *us as f64).collect();
    Some(is_steady(&mean_responses(pulse))? && is_steady(&in_flight)?)
}

fn is_steady(values: &[f64]) -> Option<bool> {
    let cut = mser5(values)?;
    let (whole, kept) = (average(values), average(&values[cut.batches * BATCH..]));
    Some(cut.settled() || (kept - whole).abs() <= MATERIAL * whole)
}

/// Mean response time per step that answered; a step without answers has none and is left out.
fn mean_responses(pulse: &Pulse) -> Vec<f64> {
    pulse
        .answers
        .iter()
        .zip(&pulse.response_us)
        .filter(|(answers, _)| **answers > 0)
        .map(|(answers, sum_us)| *sum_us as f64 / *answers as f64)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A calm series around 10 after `transient` values that fall from 30.
    fn settling(transient: u32, length: u32) -> Vec<f64> {
        (0..length)
            .map(|i| {
                let ripple = f64::from(i * 7919 % 13) / 13.0;
                let excess = 20.0 * (1.0 - f64::from(i) / f64::from(transient.max(1))).max(0.0);
                10.0 + ripple + if i < transient { excess } else { 0.0 }
            })
            .collect()
    }

    #[test]
    fn the_transient_is_cut_and_the_rest_kept() {
        let cut = mser5(&settling(50, 400)).unwrap();
        assert!((9..=12).contains(&cut.batches), "{cut:?}: 50 values are 10 batches");
        assert!(cut.settled());
        assert_eq!(mser5(&settling(0, 400)).unwrap().of, 80);
    }

    #[test]
    fn a_series_that_never_settles_ends_at_the_end_of_the_range() {
        let growing: Vec<f64> = (0..200).map(f64::from).collect();
        let cut = mser5(&growing).unwrap();
        assert_eq!((cut.batches, cut.settled()), (19, false));
    }

    #[test]
    fn fewer_than_ten_batches_say_nothing() {
        assert_eq!(mser5(&settling(0, 49)), None);
        assert!(mser5(&settling(0, 50)).is_some());
    }

    #[test]
    fn a_growing_queue_is_seen_in_the_requests_in_flight() {
        let steady = Pulse {
            answers: vec![10; 200],
            response_us: settling(0, 200).into_iter().map(whole).collect(),
            in_flight_us: settling(0, 200).into_iter().map(whole).collect(),
        };
        assert_eq!(of_pulse(&steady), Some(true));
        let growing = Pulse {
            in_flight_us: (0..200).collect(),
            ..steady
        };
        assert_eq!(of_pulse(&growing), Some(false));
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "small positive figures"
    )]
    fn whole(value: f64) -> u64 {
        (value * 1000.0) as u64
    }
}
