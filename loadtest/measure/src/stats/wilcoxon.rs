//! The null distribution of Wilcoxon's signed-rank sum: which Walsh averages bound a Hodges-Lehmann estimate.

/// The largest `k` with `P(W <= k) <= level` for `n` differences, `None` where even `k = 0` is too likely (n < 5 at
/// 5 %).
pub fn critical_rank_sum(n: usize, level: f64) -> Option<usize> {
    let mut cumulative = 0.0;
    let within = distribution(n).into_iter().take_while(|probability| {
        cumulative += probability;
        cumulative <= level
    });
    within.count().checked_sub(1)
}

/// `P(W = w)` for w = 0..=n(n+1)/2: each rank 1..=n enters the sum with probability one half.
fn distribution(n: usize) -> Vec<f64> {
    let mut probabilities = vec![0.0; n * (n + 1) / 2 + 1];
    probabilities[0] = 1.0;
    let mut top = 0;
    for rank in 1..=n {
        top += rank;
        for sum in (0..=top).rev() {
            let with_rank = if sum >= rank { probabilities[sum - rank] } else { 0.0 };
            probabilities[sum] = f64::midpoint(probabilities[sum], with_rank);
        }
    }
    probabilities
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_golden_size() {
        let probability: f64 = distribution(8)[..=5].iter().sum();
        assert!((probability - 0.039_062_5).abs() < 1e-15);
        assert_eq!(critical_rank_sum(8, 0.05), Some(5));
    }

    #[test]
    fn critical_values_match_published_tables() {
        // One-sided 5 % (Wilcoxon and Wilcox 1964).
        let table = [
            (5, 0),
            (6, 2),
            (7, 3),
            (10, 10),
            (15, 30),
            (20, 60),
            (25, 100),
            (30, 151),
        ];
        for (n, expected) in table {
            assert_eq!(critical_rank_sum(n, 0.05), Some(expected), "n = {n}");
        }
    }

    #[test]
    fn fewer_than_five_differences_bound_nothing() {
        for n in 0..5 {
            assert_eq!(critical_rank_sum(n, 0.05), None, "n = {n}");
        }
    }

    #[test]
    fn the_largest_comparison_still_sums_to_one() {
        let total: f64 = distribution(96).iter().sum();
        assert!((total - 1.0).abs() < 1e-12);
    }
}
