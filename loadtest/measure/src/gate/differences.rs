//! A block as numbers: one difference per family and endpoint, from its pairs of slices.
//!
//! Histograms are decoded block by block and dropped again: a gate has thousands of them, of 139 KB each.

use std::collections::{BTreeMap, BTreeSet};

use super::lateness::{Limit, RawBlock};
use super::shares::{BadShares, Shares};
use crate::compare::Sides;
use crate::histogram::LatencyHistogram;
use crate::record::{CANARY, EndpointCounts, GateSlice, ResidentCpu, Round};
use crate::rounds::{RoundError, unreadable};

/// Pairs that a block must keep.
pub const MIN_PAIRS: usize = 5;
/// Differences left out at either end: a stall hits one slice and makes one pair extreme.
const TRIMMED: usize = 2;
/// What a failed request is taken to have lasted where the record does not say: above every time-out in use.
const FAILED_AS_MS: u64 = 60_000;

/// Requests of an endpoint in a slice, or in several: answers with their times, and those that failed, which were
/// slower than any answer.
#[derive(Debug, Clone, Default)]
pub struct ResponseTimes {
    /// Times of the answers as expected.
    pub answered: LatencyHistogram,
    /// Requests without one: errors, those not answered by the end of the drain, and arrivals that found no free
    /// connection.
    pub failed: u64,
    /// What each of those is taken to have lasted, microseconds.
    pub failed_as_us: u64,
}

impl ResponseTimes {
    /// All requests.
    pub fn len(&self) -> u64 {
        self.answered.len() + self.failed
    }

    /// Whether there were none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Adds those of `other`.
    pub fn merge(&mut self, other: &Self) {
        self.answered.merge(&other.answered);
        self.failed += other.failed;
        self.failed_as_us = self.failed_as_us.max(other.failed_as_us);
    }

    /// The time that a share `quantile` of all requests did not exceed.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a rank among the requests"
    )]
    pub fn quantile_us(&self, quantile: f64) -> Option<u64> {
        if self.failed == 0 {
            return self.answered.quantile_us(quantile);
        }
        let rank = ((quantile * self.len() as f64).ceil() as u64).max(1);
        if rank > self.answered.len() {
            return Some(self.failed_as_us.max(self.answered.max_us().unwrap_or(0)));
        }
        // Half a rank below: rounding must not lead to the next one.
        self.answered
            .quantile_us((rank as f64 - 0.5) / self.answered.len() as f64)
    }

    /// Requests above `limit_us`; the failed are above every limit.
    pub fn above_us(&self, limit_us: u64) -> u64 {
        self.answered.count_above_us(limit_us) + self.failed
    }
}

/// One endpoint in one block.
#[derive(Debug, Clone, Default)]
pub struct EndpointBlock {
    /// `d[b,e]` of the 95th percentiles; `None` with too few pairs in which both sides were asked.
    pub p95: Option<f64>,
    /// `d[b,e]` of the medians.
    pub p50: Option<f64>,
    /// Requests that went badly.
    pub shares: BadShares,
    /// p50 and p95 of the subject compared against, microseconds: how wide its times are.
    pub width_us: Option<(u64, u64)>,
}

/// One block.
#[derive(Debug, Clone, Default)]
pub struct Block {
    /// Its number.
    pub number: u32,
    /// Pairs that were kept.
    pub pairs: usize,
    /// Pairs that were dropped.
    pub dropped: u32,
    /// By name, the canary included.
    pub endpoints: BTreeMap<String, EndpointBlock>,
    /// Failed requests of all endpoints.
    pub failed: Shares,
    /// `d[b]` of the CPU time per request; `None` where it was not read.
    pub cpu: Option<f64>,
    /// Cores that each resident used while the other one was loaded.
    pub idle_cores: Option<(f64, f64)>,
}

impl Block {
    /// The pairs of `raw` that `limit` keeps, as numbers.
    ///
    /// # Errors
    /// A histogram that cannot be read.
    pub fn decode(raw: RawBlock, limit: Limit) -> Result<Self, RoundError> {
        let mut pairs = Vec::new();
        for (before, after) in raw.kept(limit) {
            pairs.push((decode(raw.before, before)?, decode(raw.after, after)?));
        }
        let names: BTreeSet<&String> = pairs.iter().flat_map(|(a, b)| a.keys().chain(b.keys())).collect();
        let endpoints: BTreeMap<String, EndpointBlock> = names
            .into_iter()
            .map(|name| (name.clone(), endpoint(&pairs, name)))
            .collect();
        let own = endpoints.iter().filter(|(name, _)| *name != CANARY);
        let failed = own.fold(Shares::default(), |sum, (_, of)| sum.plus(of.shares.failed));
        let cpu = |of: fn(&ResidentCpu) -> Option<f64>| {
            let (a, b) = (raw.before.resident_cpu?, raw.after.resident_cpu?);
            Some((of(&a)?, of(&b)?))
        };
        Ok(Self {
            number: raw.number,
            pairs: pairs.len(),
            dropped: u32::try_from(raw.pairs().count() - pairs.len()).unwrap_or(u32::MAX),
            endpoints,
            failed,
            cpu: cpu(ResidentCpu::us_per_request).map(|(a, b)| b.ln() - a.ln()),
            idle_cores: cpu(|resident| Some(resident.idle_cores())),
        })
    }
}

type Decoded = BTreeMap<String, ResponseTimes>;

fn endpoint(pairs: &[(Decoded, Decoded)], name: &str) -> EndpointBlock {
    let (mut before, mut after) = (ResponseTimes::default(), ResponseTimes::default());
    for (a, b) in pairs {
        for (sum, slice) in [(&mut before, a), (&mut after, b)] {
            if let Some(times) = slice.get(name) {
                sum.merge(times);
            }
        }
    }
    EndpointBlock {
        p95: difference(pairs, name, 0.95),
        p50: difference(pairs, name, 0.5),
        shares: BadShares::of(&before, &after),
        width_us: before.quantile_us(0.5).zip(before.quantile_us(0.95)),
    }
}

/// Trimmed mean of `ln` of a quantile, B minus A, over the pairs in which both were asked.
fn difference(pairs: &[(Decoded, Decoded)], name: &str, quantile: f64) -> Option<f64> {
    let log = |slice: &Decoded| Some((slice.get(name)?.quantile_us(quantile)? as f64).ln());
    let differences = pairs.iter().filter_map(|(a, b)| Some(log(b)? - log(a)?));
    trimmed_mean(differences.filter(|difference| difference.is_finite()).collect())
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
pub fn pairs_of_rounds<'r>(rounds: &'r [Round], sides: Sides) -> Vec<RawBlock<'r>> {
    let numbers: BTreeSet<u32> = rounds.iter().map(|round| round.block).collect();
    let of = |number: u32, subject: &str| {
        rounds
            .iter()
            .find(|round| round.block == number && round.subject == subject && !round.gate_slices.is_empty())
    };
    let block = |number| {
        Some(RawBlock {
            number,
            before: of(number, sides.before)?,
            after: of(number, sides.after)?,
        })
    };
    numbers.into_iter().filter_map(block).collect()
}

fn decode(round: &Round, slice: &GateSlice) -> Result<Decoded, RoundError> {
    let own = slice.endpoints.keys().filter(|name| *name != CANARY).count();
    // Endpoints are asked equally often: each has its part of what was never sent.
    let dropped = slice.dropped.div_ceil(own.max(1) as u64);
    let decode = |(name, counts): (&String, &EndpointCounts)| {
        let answered = LatencyHistogram::decode(&counts.hdr).map_err(|source| unreadable(round, name, source))?;
        let times = ResponseTimes {
            answered,
            failed: failed(counts) + if name == CANARY { 0 } else { dropped },
            failed_as_us: slice.failed_as_ms.unwrap_or(FAILED_AS_MS) * 1000,
        };
        Ok((name.clone(), times))
    };
    slice.endpoints.iter().map(decode).collect()
}

/// Requests without an answer as expected, those left out that the generator could not send.
fn failed(counts: &EndpointCounts) -> u64 {
    (counts.errors + counts.censored).saturating_sub(counts.failures.generator)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::evaluate::tests::{SIDES, gate_block};
    use crate::testing::{assert_close, histogram_of};

    fn block(rounds: &[Round]) -> Block {
        Block::decode(pairs_of_rounds(rounds, SIDES)[0], Limit { ms: Some(1) }).unwrap()
    }

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
        let block = block(&gate_block(3, 1.2));
        assert_eq!((block.number, block.pairs, block.dropped), (3, 8, 0));
        for difference in [block.endpoints["a"].p95, block.endpoints["a"].p50, block.cpu] {
            assert_close(difference.unwrap(), 1.2_f64.ln(), 0.01);
        }
        assert_close(block.endpoints[CANARY].p95.unwrap(), 0.0, 1e-9);
        assert!(!block.endpoints.contains_key("never"));
    }

    #[test]
    fn a_failed_request_is_slower_than_any_answer() {
        let times = |answered: u64, failed| ResponseTimes {
            answered: histogram_of((1..=answered).map(|us| us * 10)),
            failed,
            failed_as_us: 5_000_000,
        };
        assert_eq!(times(100, 0).quantile_us(0.95), Some(950));
        assert_eq!(times(95, 5).quantile_us(0.95), Some(950), "the five slowest failed");
        assert_eq!(times(94, 6).quantile_us(0.95), Some(5_000_000));
        assert_eq!(times(50, 50).quantile_us(0.5), Some(500));
        assert_eq!(times(0, 3).quantile_us(0.5), Some(5_000_000));
        assert_eq!(times(0, 0).quantile_us(0.5), None);
        assert_eq!(
            (times(90, 10).above_us(900), times(90, 10).above_us(50_000_000)),
            (10, 10)
        );
    }

    /// Errors, unanswered requests and arrivals without a connection are the same to whoever waits.
    #[test]
    fn every_kind_of_failure_counts() {
        let fail = |change: fn(&mut GateSlice)| {
            let mut rounds = gate_block(0, 1.0);
            rounds[1].gate_slices.iter_mut().for_each(change);
            block(&rounds).endpoints["a"].clone()
        };
        let errors = fail(|slice| slice.endpoints.get_mut("a").unwrap().errors = 20);
        let censored = fail(|slice| slice.endpoints.get_mut("a").unwrap().censored = 20);
        // Two endpoints: half of them are a's.
        let dropped = fail(|slice| slice.dropped = 40);
        let unsent = fail(|slice| {
            let a = slice.endpoints.get_mut("a").unwrap();
            (a.errors, a.failures.generator) = (20, 20);
        });
        assert_close(unsent.shares.failed.difference().unwrap(), 0.0, 1e-12);
        for found in [errors, censored, dropped] {
            assert!(found.p95.unwrap() > 1.0, "{found:?}");
            assert_close(found.shares.failed.difference().unwrap(), 20.0 / 120.0, 1e-12);
        }
    }

    #[test]
    fn a_block_with_one_subject_is_none() {
        assert!(pairs_of_rounds(&gate_block(0, 1.0)[..1], SIDES).is_empty());
    }
}
