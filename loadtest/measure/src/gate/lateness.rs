//! Which slices count. The generator's own faults must not be taken for the subject's: a slice in which it was
//! saturated is dropped, and one in which its sends were late beyond a limit. That limit follows from what the run
//! itself saw.
//!
//! A fixed limit of 1 ms left a third of the blocks on an ordinary cloud machine. Dropping costs blocks, keeping costs
//! spread, and lateness that hits both sides alike is noise, which the test of blocks is made for. So the limit is the
//! strictest that leaves three quarters of the planned blocks, chosen from latenesses alone: exchanging the sides of a
//! block changes nothing, and the sign-flip test stays exact.
//!
//! Lateness that one side alone causes is no noise. Pairs that vanish by side are counted ([`LossBySide`]).

use super::differences::MIN_PAIRS;
use super::order::Side;
use crate::limits::{ENOUGH_BLOCKS, MAX_GENERATOR_CPU};
use crate::record::{GateSlice, Round};

/// Pairs of slices in a block: half of [`super::order::SLICES`].
const PAIRS: u32 = 8;
/// Limits that are tried, the strictest first, milliseconds; beyond them lateness drops nothing.
const LIMITS_MS: [u32; 4] = [1, 2, 3, 5];
/// Largest chance at which one side's loss of more slices counts as its own doing.
const ALPHA: f64 = 0.05;

/// The two rounds of a block, undecoded.
#[derive(Debug, Clone, Copy)]
pub struct RawBlock<'r> {
    /// Its number.
    pub number: u32,
    /// The subject compared against.
    pub before: &'r Round,
    /// The subject judged.
    pub after: &'r Round,
}

/// The slices of a pair.
pub type RawPair<'r> = (&'r GateSlice, &'r GateSlice);

impl<'r> RawBlock<'r> {
    /// All pairs of which both slices are there.
    pub fn pairs(self) -> impl Iterator<Item = RawPair<'r>> {
        (0..PAIRS).filter_map(move |pair| Some((slice_of(self.before, pair)?, slice_of(self.after, pair)?)))
    }

    /// Pairs that `limit` keeps.
    pub fn kept(self, limit: Limit) -> impl Iterator<Item = RawPair<'r>> {
        self.pairs().filter(move |(a, b)| limit.keeps(a) && limit.keeps(b))
    }

    /// Whether `limit` leaves enough pairs.
    pub fn is_usable(self, limit: Limit) -> bool {
        self.kept(limit).count() >= MIN_PAIRS
    }
}

/// The slice of a round within pair `pair`, at position 2j or 2j+1.
fn slice_of(round: &Round, pair: u32) -> Option<&GateSlice> {
    round.gate_slices.iter().find(|slice| slice.position / 2 == pair)
}

/// How late the sends of a slice may be at the 99th percentile.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Limit {
    /// Milliseconds; `None` drops nothing for lateness.
    pub ms: Option<u32>,
}

impl Limit {
    /// None at all: only a saturated generator drops a slice.
    pub const NONE: Self = Self { ms: None };

    /// The strictest limit under which three quarters of the `planned` blocks are usable, and as many as the strictest
    /// level of the families needs. Depends on the lateness of pairs alone, not on which side was late.
    pub fn choose(blocks: &[RawBlock], planned: usize) -> Self {
        let wanted = (3 * planned).div_ceil(4).max(planned.min(ENOUGH_BLOCKS));
        let leaves_enough = |limit: &Self| blocks.iter().filter(|block| block.is_usable(*limit)).count() >= wanted;
        let limits = LIMITS_MS.into_iter().map(|ms| Self { ms: Some(ms) });
        limits.into_iter().find(leaves_enough).unwrap_or(Self::NONE)
    }

    fn keeps(self, slice: &GateSlice) -> bool {
        let late = self.ms.is_some_and(|ms| slice.lateness_p99_us > u64::from(ms) * 1000);
        !late && slice.generator_cpu <= MAX_GENERATOR_CPU
    }
}

/// Slices of either side that were dropped, of both those pairs that are judged and those of blocks that are not.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LossBySide {
    /// Of the subject compared against.
    pub before: u64,
    /// Of the subject judged.
    pub after: u64,
}

impl LossBySide {
    /// Adds what `limit` drops of `blocks`.
    pub fn count(&mut self, blocks: &[RawBlock], limit: Limit) {
        for (before, after) in blocks.iter().flat_map(|block| block.pairs()) {
            self.before += u64::from(!limit.keeps(before));
            self.after += u64::from(!limit.keeps(after));
        }
    }

    /// The side that loses more slices than a fair coin would deal it.
    pub fn heavier(self) -> Option<Side> {
        let (most, side) = if self.after > self.before {
            (self.after, Side::After)
        } else {
            (self.before, Side::Before)
        };
        (at_least(most, self.before + self.after) <= ALPHA).then_some(side)
    }
}

/// Chance of at least `heads` of `coins` fair coins; 1 of none.
fn at_least(heads: u64, coins: u64) -> f64 {
    let (mut chance, mut sum) = (0.5_f64.ln() * coins as f64, 0.0);
    for count in (heads..=coins).rev() {
        sum += chance.exp();
        // C(n, k - 1) = C(n, k) k / (n - k + 1)
        chance += (count as f64 / (coins - count + 1) as f64).ln();
    }
    sum.min(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::differences::pairs_of_rounds;
    use crate::gate::evaluate::tests::{SIDES, gate_block};
    use crate::testing::assert_close;

    /// Rounds of `blocks` blocks with the lateness that `late_us` gives each slice.
    fn rounds(blocks: u32, late_us: impl Fn(u32, u32) -> u64) -> Vec<Round> {
        let mut rounds: Vec<Round> = (0..blocks).flat_map(|block| gate_block(block, 1.0)).collect();
        for round in &mut rounds {
            for slice in &mut round.gate_slices {
                slice.lateness_p99_us = late_us(round.block, slice.position);
            }
        }
        rounds
    }

    fn chosen(rounds: &[Round], planned: usize) -> Option<u32> {
        Limit::choose(&pairs_of_rounds(rounds, SIDES), planned).ms
    }

    #[test]
    fn the_strictest_limit_that_leaves_three_quarters_is_chosen() {
        for (late_us, limit_ms) in [
            (900, Some(1)),
            (1_900, Some(2)),
            (2_900, Some(3)),
            (4_900, Some(5)),
            (90_000, None),
        ] {
            assert_eq!(chosen(&rounds(24, |_, _| late_us), 24), limit_ms, "{late_us}");
        }
        // A quarter of the blocks may be lost, no more.
        let some_late = |late| rounds(24, move |block, _| if block < late { 90_000 } else { 100 });
        assert_eq!(chosen(&some_late(6), 24), Some(1));
        assert_eq!(chosen(&some_late(7), 24), None);
        // Three late pairs leave five.
        let pairs_late = |late: u32| rounds(24, move |_, position| if position / 2 < late { 4_000 } else { 100 });
        assert_eq!(chosen(&pairs_late(3), 24), Some(1));
        assert_eq!(chosen(&pairs_late(4), 24), Some(5));
    }

    /// Six of eight blocks could call nothing at the strictest level.
    #[test]
    fn a_short_stage_keeps_as_many_blocks_as_its_levels_need() {
        let one_late = |late_us| rounds(8, move |block, _| if block == 0 { late_us } else { 100 });
        assert_eq!(chosen(&one_late(1_500), 8), Some(2));
        assert_eq!(chosen(&one_late(90_000), 8), None);
    }

    #[test]
    fn exchanging_the_sides_changes_nothing() {
        let mut seen = rounds(24, |block, position| u64::from(block * 31 + position * 977) % 4_000);
        let before = chosen(&seen, 24);
        for pair in seen.chunks_mut(2).step_by(3) {
            let [a, b] = pair else { unreachable!() };
            std::mem::swap(&mut a.gate_slices, &mut b.gate_slices);
        }
        assert_eq!(chosen(&seen, 24), before);
    }

    #[test]
    fn a_saturated_generator_drops_a_pair_under_any_limit() {
        let mut rounds = rounds(1, |_, _| 0);
        for slice in rounds[1].gate_slices.iter_mut().take(3) {
            slice.generator_cpu = 0.81;
        }
        let block = pairs_of_rounds(&rounds, SIDES)[0];
        assert_eq!(
            (block.kept(Limit::NONE).count(), block.is_usable(Limit::NONE)),
            (5, true)
        );
        rounds[1].gate_slices[3].generator_cpu = 0.81;
        assert!(!pairs_of_rounds(&rounds, SIDES)[0].is_usable(Limit::NONE));
    }

    #[test]
    fn losing_more_than_a_coin_deals_is_seen() {
        let heavier = |before, after| LossBySide { before, after }.heavier();
        assert_eq!(heavier(0, 0), None);
        assert_eq!((heavier(0, 4), heavier(0, 5)), (None, Some(Side::After)));
        assert_eq!((heavier(20, 28), heavier(18, 30)), (None, None));
        assert_eq!(
            (heavier(48, 0), heavier(0, 48)),
            (Some(Side::Before), Some(Side::After))
        );
        assert_close(at_least(5, 5), 1.0 / 32.0, 1e-12);
        assert_close(at_least(3, 5), 0.5, 1e-12);
        assert_close(at_least(700, 1_200), 3.9e-9, 1e-9);
    }
}
