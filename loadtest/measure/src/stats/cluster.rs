//! A share or ratio counted in clusters (STATISTICS section 2).
//!
//! Requests of one round share its conditions, so the round, not the request, is the unit: per-request intervals of a
//! nominal 95 % cover 12 to 23 %, intervals over independent rounds 94 to 95 %.

use super::student;

/// Sum of numerators over sum of denominators, with its error from the clusters.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ClusterRatio {
    /// `sum x / sum n`.
    pub value: f64,
    /// Standard error, from the clusters, and never less than that of as many independent requests: a few clusters can
    /// agree by chance. Absent with fewer than two.
    pub se: Option<f64>,
    /// Clusters that counted something.
    pub clusters: usize,
    /// Sum of the denominators.
    pub total: u64,
}

impl ClusterRatio {
    /// From (numerator, denominator) per cluster. Clusters without denominator say nothing and are left out; `None` if
    /// none is left.
    pub fn of(clusters: &[(u64, u64)]) -> Option<Self> {
        let counted: Vec<_> = clusters
            .iter()
            .copied()
            .filter(|(_, denominator)| *denominator > 0)
            .collect();
        let total: u64 = counted.iter().map(|(_, denominator)| denominator).sum();
        if total == 0 {
            return None;
        }
        let value = counted.iter().map(|(numerator, _)| numerator).sum::<u64>() as f64 / total as f64;
        Some(Self {
            value,
            se: linearised_error(&counted, value, total).map(|se| se.max(independent_error(value, total))),
            clusters: counted.len(),
            total,
        })
    }

    /// From one cluster that is known to vary by `design_effect` times as much as independent requests, as `clusters`
    /// parts of it told; `None` of nothing.
    pub fn of_parts((part, whole): (u64, u64), clusters: usize, design_effect: f64) -> Option<Self> {
        (whole > 0).then(|| {
            let value = part as f64 / whole as f64;
            Self {
                value,
                se: (clusters > 1).then(|| design_effect.max(1.0).sqrt() * independent_error(value, whole)),
                clusters,
                total: whole,
            }
        })
    }

    /// Half the width of the interval whose ends stand at `probability` of Student's t (one-sided: 0.95, two-sided:
    /// 0.975).
    pub fn half_width(&self, probability: f64) -> Option<f64> {
        self.se.map(|se| student::quantile(probability, self.clusters - 1) * se)
    }

    /// Two-sided 95 % interval.
    pub fn interval(&self) -> Option<(f64, f64)> {
        self.half_width(student::TWO_SIDED_95)
            .map(|half| (self.value - half, self.value + half))
    }

    /// Variance against that of as many independent requests (design effect), for a share strictly between 0 and 1.
    pub fn design_effect(&self) -> Option<f64> {
        let independent = self.value * (1.0 - self.value) / self.total as f64;
        self.se.filter(|_| independent > 0.0).map(|se| se * se / independent)
    }
}

/// Standard error of a share of independent requests, half a request added on either side, so that none of a few is no
/// certainty; 0 for a ratio that is no share.
fn independent_error(value: f64, total: u64) -> f64 {
    let total = total as f64;
    let share = (value * total + 0.5) / (total + 1.0);
    (share * (1.0 - share) / total).max(0.0).sqrt()
}

/// `sqrt(m/(m-1) sum u_j^2) / sum n` with `u_j = x_j - p n_j`.
fn linearised_error(clusters: &[(u64, u64)], ratio: f64, total: u64) -> Option<f64> {
    if clusters.len() < 2 {
        return None;
    }
    let squares: f64 = clusters
        .iter()
        .map(|(x, n)| (*x as f64 - ratio * *n as f64).powi(2))
        .sum();
    let count = clusters.len() as f64;
    Some((count / (count - 1.0) * squares).sqrt() / total as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The golden case of STATISTICS section 2: requests and those above the limit, per cluster.
    const GOLDEN: [(u64, u64); 6] = [(40, 1000), (70, 1200), (45, 900), (60, 1100), (50, 1000), (35, 800)];

    #[test]
    fn the_golden_case() {
        let share = ClusterRatio::of(&GOLDEN).unwrap();
        let half = share.half_width(student::TWO_SIDED_95).unwrap();
        assert!((share.value - 0.05).abs() < 1e-12);
        assert!((share.se.unwrap() - 0.002_887).abs() < 5e-7, "{share:?}");
        assert!(
            (0.95 - half - 0.942_58).abs() < 5e-6 && (0.95 + half - 0.957_42).abs() < 5e-6,
            "{half}"
        );
        assert!((share.design_effect().unwrap() - 1.05).abs() < 0.005);
    }

    #[test]
    fn clusters_that_counted_nothing_do_not_narrow_the_interval() {
        let with_empty: Vec<_> = GOLDEN.into_iter().chain([(0, 0), (0, 0)]).collect();
        assert_eq!(ClusterRatio::of(&with_empty), ClusterRatio::of(&GOLDEN));
        assert_eq!(ClusterRatio::of(&[(0, 0)]), None);
        assert_eq!(ClusterRatio::of(&[]), None);
    }

    #[test]
    fn one_cluster_has_no_error_and_clusters_that_agree_that_of_independent_requests() {
        let one = ClusterRatio::of(&[(3, 10)]).unwrap();
        assert_eq!((one.se, one.interval(), one.design_effect()), (None, None, None));
        let never = ClusterRatio::of(&[(0, 10), (0, 20)]).unwrap();
        let (low, high) = never.interval().unwrap();
        assert!(
            low < 0.0 && high > 0.2,
            "30 requests without a failure promise little: {high}"
        );
        assert_eq!(never.design_effect(), None);
        let agreeing = ClusterRatio::of(&[(2, 50), (2, 50)]).unwrap();
        let independent = (0.04_f64 * 0.96 / 100.0).sqrt();
        assert!(agreeing.se.unwrap() >= independent, "{agreeing:?}");
    }

    #[test]
    fn a_ratio_that_is_no_share_has_no_error_but_that_of_its_clusters() {
        let queries = ClusterRatio::of(&[(200, 100), (200, 100)]).unwrap();
        assert_eq!(queries.interval(), Some((2.0, 2.0)));
    }
}
