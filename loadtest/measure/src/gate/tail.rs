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

/// Result of the test for one endpoint.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TailTest {
    /// Adjusted p of "B has more of a tail", by its own sign-flip.
    pub p_adjusted: f64,
    /// Whether that and the size of the rise make a regression.
    pub regressed: bool,
}

/// Requests of one block: in the tail, and all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TailCounts {
    /// A's requests in the tail, of all.
    before: (u64, u64),
    /// B's.
    after: (u64, u64),
}

impl TailCounts {
    /// Requests of `endpoint` above `limit_us`.
    pub fn of(block: &Block, endpoint: &str, limit_us: u64) -> Self {
        let (before, after) = merged(block, endpoint);
        let counts = |times: &LatencyHistogram| (times.count_above_us(limit_us), times.len());
        Self {
            before: counts(&before),
            after: counts(&after),
        }
    }

    /// With A and B exchanged.
    #[must_use]
    pub fn swapped(self) -> Self {
        Self {
            before: self.after,
            after: self.before,
        }
    }
}

/// Where the tail of `endpoint` begins, microseconds; `None` without an answer of A.
pub fn limit_us(blocks: &[&Block], endpoint: &str) -> Option<u64> {
    let mut all = LatencyHistogram::new();
    for block in blocks {
        all.merge(&merged(block, endpoint).0);
    }
    Some(all.quantile_us(0.95)?.saturating_mul(TAIL_FACTOR))
}

/// The tail shares of `endpoint`; `None` where a block has no answers on a side.
pub fn share(blocks: &[&Block], endpoint: &str) -> Option<TailShare> {
    let limit_us = limit_us(blocks, endpoint)?;
    let counts: Vec<TailCounts> = blocks
        .iter()
        .map(|block| TailCounts::of(block, endpoint, limit_us))
        .collect();
    share_of(&counts)
}

/// The tail shares that counts of each block give; `None` where a block has no answers on a side.
pub fn share_of(counts: &[TailCounts]) -> Option<TailShare> {
    let differences: Option<Vec<f64>> = counts
        .iter()
        .map(|block| Some(part(block.after)? - part(block.before)?))
        .collect();
    let sum = |side: fn(&TailCounts) -> (u64, u64)| {
        part(
            counts
                .iter()
                .map(side)
                .fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1)),
        )
    };
    Some(TailShare {
        differences: differences?,
        before: sum(|block| block.before)?,
        after: sum(|block| block.after)?,
    })
}

fn part((count, of): (u64, u64)) -> Option<f64> {
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
    use crate::gate::evaluate::tests::{gate_block, pause};
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
