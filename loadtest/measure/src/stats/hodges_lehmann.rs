//! Hodges-Lehmann: the location of paired differences and its one-sided 95 % bounds.

use super::wilcoxon;

/// Where the differences lie, robust against a stray block.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Location {
    /// Median of the Walsh averages.
    pub estimate: f64,
    /// One-sided 95 % lower and upper bound; absent with fewer than five differences.
    pub bounds: Option<(f64, f64)>,
}

/// Level of each one-sided bound.
pub const LEVEL: f64 = 0.05;

/// The location of `differences`; `None` without any.
pub fn location(differences: &[f64]) -> Option<Location> {
    location_at(differences, LEVEL)
}

/// The location of `differences` with one-sided bounds that are wrong with probability `level` each.
pub fn location_at(differences: &[f64], level: f64) -> Option<Location> {
    let averages = walsh_averages(differences);
    let estimate = median_of_sorted(&averages)?;
    let bounds =
        wilcoxon::critical_rank_sum(differences.len(), level).map(|k| (averages[k], averages[averages.len() - 1 - k]));
    Some(Location { estimate, bounds })
}

/// `(r_i + r_j) / 2` for all `i <= j`, ascending.
fn walsh_averages(differences: &[f64]) -> Vec<f64> {
    let mut averages: Vec<f64> = differences
        .iter()
        .enumerate()
        .flat_map(|(i, first)| differences[i..].iter().map(|second| f64::midpoint(*first, *second)))
        .collect();
    averages.sort_by(f64::total_cmp);
    averages
}

fn median_of_sorted(sorted: &[f64]) -> Option<f64> {
    let upper = *sorted.get(sorted.len() / 2)?;
    Some(if sorted.len().is_multiple_of(2) {
        f64::midpoint(sorted[sorted.len() / 2 - 1], upper)
    } else {
        upper
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{assert_close, golden_series};

    #[test]
    fn the_golden_case() {
        let locations = golden_series().map(|series| location(&series).unwrap());
        assert_close(locations[0].estimate, 0.0825, 1e-12);
        assert_close(locations[1].estimate, 0.0100, 1e-12);
        assert_close(locations[2].estimate, 0.0, 1e-12);
        let (low, high) = locations[0].bounds.unwrap();
        assert_close(low, 0.060, 1e-12);
        assert_close(high, 0.105, 1e-12);
    }

    #[test]
    fn few_differences_have_an_estimate_but_no_bounds() {
        assert_eq!(location(&[]), None);
        assert_eq!(
            location(&[0.2]),
            Some(Location {
                estimate: 0.2,
                bounds: None
            })
        );
        assert_eq!(location(&[0.0, 1.0, 8.0, 4.0]).unwrap().bounds, None);
    }

    #[test]
    fn a_stray_difference_moves_the_estimate_little() {
        let calm = location(&[0.01, 0.02, 0.03, 0.02, 0.01]).unwrap().estimate;
        let stray = location(&[0.01, 0.02, 0.03, 0.02, 9.0]).unwrap().estimate;
        assert!((stray - calm).abs() < 0.02, "{calm} {stray}");
    }
}
