//! Rare new pauses: the share of requests beyond four times A's 95th percentile. Trimmed slice p95s cannot see them.

use super::GateRules;
use super::differences::Block;
use crate::histogram::LatencyHistogram;
use crate::stats::signflip::{self, Flips};

/// A request this many times A's p95 is in the tail.
const TAIL_FACTOR: u64 = 4;

/// The tail of one endpoint.
#[derive(Debug, Clone, PartialEq)]
pub struct TailShare {
    /// Per block: share of B's requests in the tail minus that of A's.
    pub differences: Vec<f64>,
    /// Share of A's requests in the tail, all blocks together.
    pub before: f64,
    /// Share of B's.
    pub after: f64,
}

/// What the test says about one endpoint.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TailTest {
    /// Adjusted p of "B has more of a tail", by its own sign-flip.
    pub p_adjusted: f64,
    /// Whether that and the size of the rise make a regression.
    pub regressed: bool,
}

/// The tail shares of `endpoint`; `None` where a block has no answers on a side.
pub fn share(blocks: &[&Block], endpoint: &str) -> Option<TailShare> {
    let sides: Vec<(LatencyHistogram, LatencyHistogram)> = blocks.iter().map(|block| merged(block, endpoint)).collect();
    let mut all = LatencyHistogram::new();
    for (before, _) in &sides {
        all.merge(before);
    }
    let limit_us = all.quantile_us(0.95)?.saturating_mul(TAIL_FACTOR);
    let counts: Vec<[u64; 4]> = sides
        .iter()
        .map(|(a, b)| [a.count_above_us(limit_us), a.len(), b.count_above_us(limit_us), b.len()])
        .collect();
    let differences: Option<Vec<f64>> = counts
        .iter()
        .map(|[a, of_a, b, of_b]| Some(part(*b, *of_b)? - part(*a, *of_a)?))
        .collect();
    let sum = |index: usize| counts.iter().map(|row| row[index]).sum::<u64>();
    Some(TailShare {
        differences: differences?,
        before: part(sum(0), sum(1))?,
        after: part(sum(2), sum(3))?,
    })
}

fn part(count: u64, of: u64) -> Option<f64> {
    (of > 0).then(|| count as f64 / of as f64)
}

/// Both sides of a block, all its valid slices together.
fn merged(block: &Block, endpoint: &str) -> (LatencyHistogram, LatencyHistogram) {
    let (mut before, mut after) = (LatencyHistogram::new(), LatencyHistogram::new());
    for pair in &block.pairs {
        for (sum, slice) in [(&mut before, &pair.before), (&mut after, &pair.after)] {
            if let Some(times) = slice.times.get(endpoint) {
                sum.merge(times);
            }
        }
    }
    (before, after)
}

/// Tests all endpoints together, once: there is no second look.
pub fn test(shares: &[&TailShare], rules: &GateRules) -> Vec<TailTest> {
    let rows: Vec<&[f64]> = shares.iter().map(|share| share.differences.as_slice()).collect();
    let flips = Flips::new(rows.first().map_or(0, |row| row.len()), rules.seed);
    signflip::test_above_zero(&rows, &flips)
        .into_iter()
        .zip(shares)
        .map(|(test, share)| TailTest {
            p_adjusted: test.p_adjusted,
            regressed: test.p_adjusted <= rules.alpha_tail && share.after - share.before >= rules.min_tail_share,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::Sides;
    use crate::gate::differences;
    use crate::gate::judge::tests::{gate_block, pause};
    use crate::record::Round;
    use crate::testing::assert_close;

    fn tail_of(rounds: &[Round]) -> (TailShare, TailTest) {
        let sides = Sides {
            before: "old",
            after: "new",
        };
        let blocks = differences::blocks(rounds, sides).unwrap();
        let blocks: Vec<&Block> = blocks.iter().collect();
        let share = share(&blocks, "a").unwrap();
        let test = test(&[&share], &GateRules::default())[0];
        (share, test)
    }

    #[test]
    fn a_rare_pause_is_called_though_no_p95_moves() {
        let mut rounds: Vec<Round> = (0..24).flat_map(|block| gate_block(block, 1.0)).collect();
        // In two of three blocks one slice of the new subject stalls: 2 of its 800 requests.
        for (block, round) in rounds.iter_mut().filter(|round| round.subject == "new").enumerate() {
            if block % 3 != 0 {
                pause(&mut round.gate_slices[block % 8], 200_000, 2);
            }
        }
        let (share, test) = tail_of(&rounds);
        assert_close(share.before, 0.0, 1e-12);
        assert_close(share.after, 32.0 / (24.0 * 800.0 + 32.0), 1e-9);
        assert!(test.regressed, "{test:?}");
    }

    #[test]
    fn the_same_pauses_on_both_sides_are_no_regression() {
        let mut rounds: Vec<Round> = (0..24).flat_map(|block| gate_block(block, 1.0)).collect();
        for (index, round) in rounds.iter_mut().enumerate() {
            if index % 3 == 0 {
                pause(&mut round.gate_slices[index % 8], 200_000, 2);
            }
        }
        let (_, test) = tail_of(&rounds);
        assert!(!test.regressed && test.p_adjusted > 0.05, "{test:?}");
    }

    #[test]
    fn a_side_without_answers_has_no_tail() {
        assert_eq!(share(&[], "a"), None);
    }
}
