//! Percentiles over rounds: Woodruff's interval, and the share of answers above a limit (STATISTICS section 2).
//!
//! What belongs here: percentiles with the round as the unit. What does not: verdicts (`targets`).

use crate::histogram::LatencyHistogram;
use crate::stats::cluster::ClusterRatio;
use crate::stats::student::TWO_SIDED_95;

/// The histograms as one; percentiles are never averaged.
pub fn merged<'a>(rounds: impl IntoIterator<Item = &'a LatencyHistogram>) -> LatencyHistogram {
    let mut sum = LatencyHistogram::new();
    rounds.into_iter().for_each(|round| sum.merge(round));
    sum
}

/// Share of answers above `limit_us`, one cluster per round; `None` without answers.
pub fn share_above(rounds: &[&LatencyHistogram], limit_us: u64) -> Option<ClusterRatio> {
    let clusters: Vec<_> = rounds
        .iter()
        .map(|round| (round.count_above_us(limit_us), round.len()))
        .collect();
    ClusterRatio::of(&clusters)
}

/// 95 % interval of a percentile (Woodruff 1952): the quantiles `q -+ t se` of all rounds together, the error being
/// that of the share above the estimate. `None` with fewer than two rounds that answered.
pub fn interval_us(rounds: &[&LatencyHistogram], quantile: f64) -> Option<(u64, u64)> {
    let all = merged(rounds.iter().copied());
    let half = share_above(rounds, all.quantile_us(quantile)?)?.half_width(TWO_SIDED_95)?;
    around_us(&all, quantile, half)
}

/// The quantiles of `all` at `quantile -+ half`.
pub(crate) fn around_us(all: &LatencyHistogram, quantile: f64, half: f64) -> Option<(u64, u64)> {
    Some((
        all.quantile_us((quantile - half).max(0.0))?,
        all.quantile_us((quantile + half).min(1.0))?,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::histogram_of;

    /// The golden case of STATISTICS section 2 as histograms: `above` of `count` answers take longer than 5 ms.
    fn golden_rounds() -> Vec<LatencyHistogram> {
        [(1000, 40), (1200, 70), (900, 45), (1100, 60), (1000, 50), (800, 35)]
            .map(|(count, above)| {
                let slow = (0..above).map(|i| 5004 + 40 * i);
                histogram_of(
                    (0..count - above)
                        .map(|i| 1000 + i * 3999 / (count - above))
                        .chain(slow),
                )
            })
            .into()
    }

    #[test]
    fn the_golden_case() {
        let histograms = golden_rounds();
        let rounds: Vec<_> = histograms.iter().collect();
        let share = share_above(&rounds, 5000).unwrap();
        assert!((share.value - 0.05).abs() < 1e-12 && (share.se.unwrap() - 0.002_887).abs() < 5e-7);
        let all = merged(rounds.iter().copied());
        let (low, high) = interval_us(&rounds, 0.95).unwrap();
        assert_eq!(
            (Some(low), Some(high)),
            (all.quantile_us(0.942_58), all.quantile_us(0.957_42))
        );
        let estimate = all.quantile_us(0.95).unwrap();
        assert!(low < estimate && estimate < high, "{low} {estimate} {high}");
    }

    #[test]
    fn one_round_or_no_answer_gives_no_interval() {
        let (one, none) = (histogram_of(1..=100), LatencyHistogram::new());
        assert_eq!(interval_us(&[&one], 0.95), None);
        assert_eq!(interval_us(&[&one, &none], 0.95), None);
        assert_eq!(interval_us(&[&none, &none], 0.95), None);
        assert_eq!(share_above(&[&none], 10), None);
    }

    #[test]
    fn a_wide_interval_ends_at_the_largest_time() {
        let (fast, slow) = (histogram_of(1..=100), histogram_of(1001..=1100));
        // se .05 and t_1 = 12.706: levels .315 and 1.585, the upper one cut at 1.
        assert_eq!(interval_us(&[&fast, &slow], 0.95), Some((63, 1100)));
    }
}
