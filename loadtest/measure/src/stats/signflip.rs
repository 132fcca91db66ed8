//! The sign-flip test: is a series of block differences above zero beyond chance, over several endpoints at once?
//!
//! With both sides equal, the order within a block drawn by a coin, and launches exchangeable, each block's row of
//! differences has a random common sign. Flipping the signs therefore gives the exact null distribution: no assumption
//! on noise, drift or autocorrelation. The correction over endpoints is Westfall-Young's step-down maxT (Westfall and
//! Young 1993; sign-flip maxT: arXiv 2403.02065; optimality under dependence: Meinshausen et al., Annals of Statistics
//! 39(6), 2011).

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng as _};

/// Up to so many blocks all sign patterns are tried (8,192 of them).
const EXHAUSTIVE_BLOCKS: usize = 13;
/// Patterns drawn where there are more blocks. The first is always "no flip", so no p is below 1/10,000.
const DRAWN_FLIPS: usize = 10_000;
const WORD_BITS: usize = 64;
/// Patterns that give equal statistics differ in their last bits; they must count as equal.
const TIE: f64 = 1e-9;

/// Sign patterns over the blocks, the first without a flip.
#[derive(Debug, Clone)]
pub struct Flips {
    blocks: usize,
    /// Pattern after pattern, +1 or -1 per block: the inner loop is a plain product of two rows.
    signs: Vec<f64>,
}

impl Flips {
    /// All patterns up to 13 blocks, else 10,000 drawn by `seed`.
    pub fn new(blocks: usize, seed: u64) -> Self {
        let words_per_flip = blocks.div_ceil(WORD_BITS).max(1);
        let words = if blocks <= EXHAUSTIVE_BLOCKS {
            (0..1 << blocks).collect()
        } else {
            drawn(words_per_flip, seed)
        };
        let signs = words
            .chunks(words_per_flip)
            .flat_map(|pattern| (0..blocks).map(|block| sign(pattern, block)))
            .collect();
        Self { blocks, signs }
    }

    fn patterns(&self) -> impl Iterator<Item = &[f64]> {
        self.signs.chunks_exact(self.blocks.max(1))
    }
}

fn drawn(words_per_flip: usize, seed: u64) -> Vec<u64> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut words = vec![0; words_per_flip];
    words.extend((words_per_flip..words_per_flip * DRAWN_FLIPS).map(|_| rng.next_u64()));
    words
}

/// Bit b of a pattern set: block b changes its sign.
fn sign(pattern: &[u64], block: usize) -> f64 {
    if pattern[block / WORD_BITS] >> (block % WORD_BITS) & 1 == 1 {
        -1.0
    } else {
        1.0
    }
}

/// Test of one series.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FlipTest {
    /// Studentised mean of the series as observed.
    pub t: f64,
    /// Share of patterns with a statistic at least as large.
    pub p_raw: f64,
    /// `p_raw` corrected for all series tested together.
    pub p_adjusted: f64,
}

/// Test of one series in both directions.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BothSides {
    /// Whether it lies above zero.
    pub above: FlipTest,
    /// Whether it lies below zero; `t` with its sign turned.
    pub below: FlipTest,
}

/// Tests whether each of `series` (one per endpoint, one value per block) lies above zero.
///
/// # Panics
/// If a series has another number of values than `flips` has blocks.
pub fn test_above_zero(series: &[&[f64]], flips: &Flips) -> Vec<FlipTest> {
    let statistics: Vec<Vec<f64>> = series.iter().map(|values| all_statistics(values, flips)).collect();
    judged(&statistics)
}

/// [`test_above_zero`] in both directions, each corrected for itself: turning all series turns every statistic.
///
/// # Panics
/// If a series has another number of values than `flips` has blocks.
pub fn test_both_sides(series: &[&[f64]], flips: &Flips) -> Vec<BothSides> {
    let mut statistics: Vec<Vec<f64>> = series.iter().map(|values| all_statistics(values, flips)).collect();
    let above = judged(&statistics);
    for statistic in statistics.iter_mut().flatten() {
        *statistic = -*statistic;
    }
    let both = above.into_iter().zip(judged(&statistics));
    both.map(|(above, below)| BothSides { above, below }).collect()
}

fn judged(statistics: &[Vec<f64>]) -> Vec<FlipTest> {
    let adjusted = step_down(statistics);
    statistics
        .iter()
        .zip(adjusted)
        .map(|(row, p_adjusted)| FlipTest {
            t: row.first().copied().unwrap_or(0.0),
            p_raw: share_reaching(row, row.first().copied().unwrap_or(0.0)),
            p_adjusted,
        })
        .collect()
}

fn all_statistics(values: &[f64], flips: &Flips) -> Vec<f64> {
    assert_eq!(values.len(), flips.blocks, "one value per block");
    let mean_square = values.iter().map(|value| value * value).sum::<f64>() / values.len().max(1) as f64;
    flips
        .patterns()
        .map(|signs| statistic(values, signs, mean_square))
        .collect()
}

/// `mean(s r) / sqrt(var(s r) / (n - 1))` with var of denominator n; a series without spread is infinitely far from
/// zero, one of zeros not at all. The mean square is the same for every pattern.
fn statistic(values: &[f64], signs: &[f64], mean_square: f64) -> f64 {
    let count = values.len() as f64;
    let mean = dot(values, signs) / count;
    let variance = mean_square - mean * mean;
    if mean_square == 0.0 || values.len() < 2 {
        0.0
    } else if variance <= 1e-12 * mean_square {
        f64::INFINITY.copysign(mean)
    } else {
        mean / (variance / (count - 1.0)).sqrt()
    }
}

/// Sum of the products, in four sums at once: one alone would wait for each addition before the next.
fn dot(values: &[f64], signs: &[f64]) -> f64 {
    const LANES: usize = 4;
    let (values, rest) = values.as_chunks::<LANES>();
    let (signs, rest_signs) = signs.as_chunks::<LANES>();
    let mut sums = [0.0; LANES];
    for (values, signs) in values.iter().zip(signs) {
        for lane in 0..LANES {
            sums[lane] += values[lane] * signs[lane];
        }
    }
    let rest: f64 = rest.iter().zip(rest_signs).map(|(value, sign)| value * sign).sum();
    sums.iter().sum::<f64>() + rest
}

fn reaches(statistic: f64, observed: f64) -> bool {
    statistic >= observed || observed.is_finite() && (statistic - observed).abs() <= TIE * (1.0 + observed.abs())
}

/// 1 where there are no blocks to flip.
fn share_reaching(row: &[f64], observed: f64) -> f64 {
    if row.is_empty() {
        return 1.0;
    }
    row.iter().filter(|statistic| reaches(**statistic, observed)).count() as f64 / row.len() as f64
}

/// Adjusted p per row: from the smallest statistic up, the maximum over all rows not larger; then a running maximum
/// from the largest down.
fn step_down(statistics: &[Vec<f64>]) -> Vec<f64> {
    let order = by_observed_descending(statistics);
    let mut adjusted = vec![0.0; statistics.len()];
    let mut maxima = vec![f64::NEG_INFINITY; statistics.first().map_or(0, Vec::len)];
    for &index in order.iter().rev() {
        for (maximum, statistic) in maxima.iter_mut().zip(&statistics[index]) {
            *maximum = maximum.max(*statistic);
        }
        adjusted[index] = share_reaching(&maxima, statistics[index][0]);
    }
    let mut running = 0.0_f64;
    for index in order {
        running = running.max(adjusted[index]);
        adjusted[index] = running;
    }
    adjusted
}

fn by_observed_descending(statistics: &[Vec<f64>]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..statistics.len()).collect();
    order.sort_by(|a, b| statistics[*b][0].total_cmp(&statistics[*a][0]));
    order
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{assert_close, golden_series};

    fn test_series(series: &[Vec<f64>]) -> Vec<FlipTest> {
        let rows: Vec<&[f64]> = series.iter().map(Vec::as_slice).collect();
        test_above_zero(&rows, &Flips::new(series[0].len(), 1))
    }

    #[test]
    fn the_golden_case() {
        let results = test_series(&golden_series());
        let expected = [
            (7.548_814, 0.003_906_25, 0.003_906_25),
            (0.907_485, 0.222_656_25, 0.367_187_5),
            (0.0, 0.539_062_5, 0.539_062_5),
        ];
        for (result, (t, p_raw, p_adjusted)) in results.iter().zip(expected) {
            assert_close(result.t, t, 5e-7);
            assert_close(result.p_raw, p_raw, 1e-12);
            assert_close(result.p_adjusted, p_adjusted, 1e-12);
        }
    }

    #[test]
    fn p_stays_above_zero_and_depends_on_the_number_of_blocks() {
        for blocks in 1..=5_u32 {
            let series = vec![
                (0..blocks)
                    .map(|block| 0.1 + f64::from(block) / 100.0)
                    .collect::<Vec<_>>(),
            ];
            let smallest = if blocks == 1 {
                1.0
            } else {
                0.5_f64.powi(blocks.cast_signed())
            };
            assert_close(test_series(&series)[0].p_adjusted, smallest, 1e-12);
        }
    }

    #[test]
    fn equal_values_are_as_sure_as_the_blocks_allow_and_zeros_say_nothing() {
        let results = test_series(&[vec![0.3; 6], vec![0.0; 6], vec![-0.3; 6]]);
        assert_eq!((results[0].t, results[0].p_raw), (f64::INFINITY, 1.0 / 64.0));
        assert_eq!((results[1].t, results[1].p_raw), (0.0, 1.0));
        assert_eq!((results[2].t, results[2].p_raw), (f64::NEG_INFINITY, 1.0));
    }

    #[test]
    fn drawn_flips_repeat_by_seed_and_agree_with_exhaustive_ones() {
        let series: Vec<f64> = (0..20).map(|block| f64::from(block % 7) / 100.0 - 0.02).collect();
        let p = |seed| test_above_zero(&[&series], &Flips::new(series.len(), seed))[0].p_raw;
        assert_eq!(p(5).to_bits(), p(5).to_bits());
        // 13 blocks are exhaustive, 14 drawn: with a fourteenth block of zero the test is nearly the same.
        let thirteen = &series[..13];
        let exhaustive = test_above_zero(&[thirteen], &Flips::new(13, 1))[0].p_raw;
        let mean_square = thirteen.iter().map(|value| value * value).sum::<f64>() / 13.0;
        let drawn = Flips::new(14, 9);
        let statistics: Vec<f64> = drawn
            .patterns()
            .map(|signs| statistic(thirteen, &signs[..13], mean_square))
            .collect();
        assert_close(share_reaching(&statistics, statistics[0]), exhaustive, 0.02);
    }

    #[test]
    fn more_than_64_blocks_use_every_sign() {
        let flips = Flips::new(96, 3);
        assert_eq!(flips.patterns().count(), DRAWN_FLIPS);
        assert!(flips.patterns().next().unwrap().iter().all(|sign| *sign > 0.0));
        let flips_of_last = flips.patterns().filter(|signs| signs[95] < 0.0).count();
        assert!((4_500..5_500).contains(&flips_of_last), "{flips_of_last}");
    }

    #[test]
    fn correction_never_makes_a_p_smaller() {
        let results = test_series(&golden_series());
        assert!(results.iter().all(|result| result.p_adjusted >= result.p_raw));
    }

    #[test]
    fn both_sides_are_the_test_and_its_mirror() {
        let series = golden_series();
        let mirrored = golden_series().map(|row| row.iter().map(|value| -value).collect::<Vec<_>>());
        let rows: Vec<&[f64]> = series.iter().map(Vec::as_slice).collect();
        let both = test_both_sides(&rows, &Flips::new(8, 1));
        let (above, below) = (test_series(&series), test_series(&mirrored));
        for ((sides, above), below) in both.iter().zip(above).zip(below) {
            assert_eq!((sides.above, sides.below.p_adjusted), (above, below.p_adjusted));
            assert_close(sides.below.t, below.t, 1e-12);
        }
    }
}
