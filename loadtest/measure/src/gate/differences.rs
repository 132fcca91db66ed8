//! From the slices of a block to one difference per endpoint: pairs, what makes them invalid, and trimmed means.

use std::collections::{BTreeMap, BTreeSet};

use crate::compare::Sides;
use crate::histogram::LatencyHistogram;
use crate::limits::{MAX_GENERATOR_CPU, allowed_lateness_us};
use crate::percentile;
use crate::record::{CANARY, EndpointCounts, GateSlice, Round};
use crate::rounds::{RoundError, unreadable};

/// Pairs of slices in a block: half of [`super::order::SLICES`].
const PAIRS: u32 = 8;
/// Pairs that a block must keep; with fewer it is run again.
pub const MIN_PAIRS: usize = 5;
/// Differences left out at either end: a stall hits one slice and makes one pair extreme.
const TRIMMED: usize = 2;
/// One slice, decoded.
#[derive(Debug, Clone)]
pub struct DecodedSlice {
    /// By endpoint name, the canary included.
    pub times: BTreeMap<String, LatencyHistogram>,
    /// CPU time of the subject over everything sent to it, microseconds.
    pub cpu_us_per_request: Option<f64>,
    /// Whether the generator was itself: the rule is fixed in advance and the same for both sides.
    pub valid: bool,
}

/// One pair of neighbouring slices.
#[derive(Debug, Clone)]
pub struct Pair {
    /// The slice of the subject compared against.
    pub before: DecodedSlice,
    /// The slice of the subject judged.
    pub after: DecodedSlice,
}

/// The valid pairs of one block.
#[derive(Debug, Clone)]
pub struct Block {
    /// Its number.
    pub number: u32,
    /// Valid pairs, in order.
    pub pairs: Vec<Pair>,
    /// Pairs dropped because one of their slices was invalid.
    pub dropped: u32,
}

impl Block {
    /// Whether enough pairs are left.
    pub fn usable(&self) -> bool {
        self.pairs.len() >= MIN_PAIRS
    }

    /// `d[b,e]` of the 95th percentiles; `None` with too few pairs in which both sides answered.
    pub fn latency(&self, endpoint: &str) -> Option<f64> {
        self.difference(|slice| p95_us(slice, endpoint))
    }

    /// `d[b]` of the CPU time per request.
    pub fn cpu(&self) -> Option<f64> {
        self.difference(|slice| slice.cpu_us_per_request)
    }

    fn difference(&self, value: impl Fn(&DecodedSlice) -> Option<f64>) -> Option<f64> {
        let differences = self
            .pairs
            .iter()
            .filter_map(|pair| Some(value(&pair.after)?.ln() - value(&pair.before)?.ln()))
            .filter(|difference| difference.is_finite());
        trimmed_mean(differences.collect())
    }
}

/// Mean without the two smallest and the two largest; `None` with fewer than five.
pub fn trimmed_mean(mut differences: Vec<f64>) -> Option<f64> {
    if differences.len() < MIN_PAIRS {
        return None;
    }
    differences.sort_by(f64::total_cmp);
    let kept = &differences[TRIMMED..differences.len() - TRIMMED];
    Some(kept.iter().sum::<f64>() / kept.len() as f64)
}

/// The blocks that have slices of both subjects, by number.
pub fn blocks(rounds: &[Round], sides: Sides) -> Result<Vec<Block>, RoundError> {
    let numbers: BTreeSet<u32> = rounds.iter().map(|round| round.block).collect();
    let of = |number: u32, subject: &str| {
        rounds
            .iter()
            .find(|round| round.block == number && round.subject == subject && !round.gate_slices.is_empty())
    };
    numbers
        .into_iter()
        .filter_map(|number| Some((number, of(number, sides.before)?, of(number, sides.after)?)))
        .map(|(number, before, after)| block(number, before, after))
        .collect()
}

fn block(number: u32, before: &Round, after: &Round) -> Result<Block, RoundError> {
    let mut pairs = Vec::new();
    let mut dropped = 0;
    for pair in 0..PAIRS {
        let (Some(a), Some(b)) = (slice_of(before, pair), slice_of(after, pair)) else {
            continue;
        };
        let pair = Pair {
            before: decode(before, a)?,
            after: decode(after, b)?,
        };
        if pair.before.valid && pair.after.valid {
            pairs.push(pair);
        } else {
            dropped += 1;
        }
    }
    Ok(Block { number, pairs, dropped })
}

/// The slice of a round within pair `pair`, at position 2j or 2j+1.
fn slice_of(round: &Round, pair: u32) -> Option<&GateSlice> {
    round.gate_slices.iter().find(|slice| slice.position / 2 == pair)
}

fn decode(round: &Round, slice: &GateSlice) -> Result<DecodedSlice, RoundError> {
    let mut times = BTreeMap::new();
    for (endpoint, counts) in &slice.endpoints {
        let decoded = LatencyHistogram::decode(&counts.hdr).map_err(|source| unreadable(round, endpoint, source))?;
        times.insert(endpoint.clone(), decoded);
    }
    let sent: u64 = own_endpoints(slice).map(EndpointCounts::sent).sum();
    let cpu_us_per_request = slice
        .service_cpu_us
        .filter(|_| sent > 0)
        .map(|cpu_us| cpu_us as f64 / sent as f64);
    let valid = is_valid(slice, &times);
    Ok(DecodedSlice {
        times,
        cpu_us_per_request,
        valid,
    })
}

/// The counts of a slice without those of the canary.
pub(super) fn own_endpoints(slice: &GateSlice) -> impl Iterator<Item = &EndpointCounts> {
    let own = slice.endpoints.iter().filter(|(name, _)| *name != CANARY);
    own.map(|(_, counts)| counts)
}

/// A slice is invalid if its sends were late against the median of the subject's answers, all endpoints together, or if
/// the generator was saturated.
fn is_valid(slice: &GateSlice, times: &BTreeMap<String, LatencyHistogram>) -> bool {
    let own = times.iter().filter(|(name, _)| *name != CANARY);
    let median_us = percentile::merged(own.map(|(_, times)| times)).quantile_us(0.5);
    slice.lateness_p99_us as f64 <= allowed_lateness_us(median_us.unwrap_or(0))
        && slice.generator_cpu <= MAX_GENERATOR_CPU
}

fn p95_us(slice: &DecodedSlice, endpoint: &str) -> Option<f64> {
    slice.times.get(endpoint)?.quantile_us(0.95).map(|us| us as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::evaluate::tests::gate_block;
    use crate::testing::assert_close;

    const SIDES: Sides = Sides {
        before: "old",
        after: "new",
    };

    #[test]
    fn a_block_is_the_trimmed_mean_of_its_pairs() {
        assert_close(
            trimmed_mean(vec![9.0, 0.1, 0.2, 0.3, 0.4, -7.0, 5.0, -3.0]).unwrap(),
            0.25,
            1e-12,
        );
        assert_close(trimmed_mean(vec![1.0, 2.0, 9.0, 3.0, 4.0]).unwrap(), 3.0, 1e-12);
        assert_eq!(trimmed_mean(vec![1.0; 4]), None);
    }

    #[test]
    fn slices_of_a_pair_are_compared_with_each_other() {
        let rounds = gate_block(3, 1.2);
        let block = &blocks(&rounds, SIDES).unwrap()[0];
        assert_eq!((block.number, block.pairs.len(), block.usable()), (3, 8, true));
        assert_close(block.latency("a").unwrap(), 1.2_f64.ln(), 0.01);
        assert_close(block.cpu().unwrap(), 1.2_f64.ln(), 0.01);
        assert_close(block.latency(CANARY).unwrap(), 0.0, 1e-9);
        assert_eq!(block.latency("never"), None);
    }

    #[test]
    fn an_invalid_slice_takes_its_pair_with_it() {
        let mut rounds = gate_block(0, 1.0);
        rounds[0].gate_slices[1].lateness_p99_us = 50_000;
        rounds[1].gate_slices[5].generator_cpu = 0.81;
        let block = &blocks(&rounds, SIDES).unwrap()[0];
        assert_eq!((block.pairs.len(), block.dropped, block.usable()), (6, 2, true));
        rounds[1]
            .gate_slices
            .iter_mut()
            .take(3)
            .for_each(|slice| slice.generator_cpu = 1.0);
        assert!(!blocks(&rounds, SIDES).unwrap()[0].usable(), "four pairs are too few");
    }

    #[test]
    fn lateness_is_measured_against_the_slice_itself() {
        // The median lies between the 10 ms of one endpoint and the 20 ms of the other: 20 % of it are 2 to 4 ms.
        for (lateness_p99_us, dropped) in [(1_900, 0), (4_500, 1)] {
            let mut rounds = gate_block(0, 1.0);
            rounds[0].gate_slices[0].lateness_p99_us = lateness_p99_us;
            assert_eq!(blocks(&rounds, SIDES).unwrap()[0].dropped, dropped);
        }
    }

    #[test]
    fn a_block_with_one_subject_is_none() {
        assert!(blocks(&gate_block(0, 1.0)[..1], SIDES).unwrap().is_empty());
    }
}
