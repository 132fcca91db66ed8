//! A single round cut into five long batches, for an interval where there is one launch only (STATISTICS section 2).
//!
//! What belongs here: how much the requests of one run have to do with each other. What does not: rounds as clusters
//! (`stats::cluster`), which say more: batches know the conditions of this run and no other.

use crate::histogram::SliceHistogram;
use crate::record::{Failures, Slice};
use crate::rounds::{Measured, MeasuredRound};
use crate::stats::cluster::ClusterRatio;

/// Batches of a round: few and long, since the requests of a moment share its conditions.
pub(crate) const BATCHES: usize = 5;

/// What makes a request count in a share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bad {
    /// It took longer than so many microseconds, or failed.
    Slower(u64),
    /// It failed.
    Failed,
}

impl Bad {
    /// Bad requests, of those that were due.
    pub(crate) fn of(self, counted: &Measured) -> (u64, u64) {
        let bad = match self {
            Self::Slower(limit_us) => counted.slower_than(limit_us),
            Self::Failed => counted.failed(),
        };
        (bad, counted.due())
    }
}

/// The share of `endpoint` that is bad, with the interval that the batches of this one round give. They are counted
/// over the whole mix, whose seconds the record keeps; how much more the requests of a batch vary together than
/// independent ones holds for each endpoint.
///
/// `None` where nothing was due, where the round is shorter than five seconds, and in records of builds that kept no
/// histograms of seconds.
pub(crate) fn share(round: &MeasuredRound, endpoint: &str, bad: Bad) -> Option<ClusterRatio> {
    let batches = of_mix(round, bad)?;
    let effect = ClusterRatio::of(&batches)?.design_effect().unwrap_or(1.0);
    ClusterRatio::of_parts(bad.of(round.endpoints.get(endpoint)?), batches.len(), effect)
}

fn of_mix(round: &MeasuredRound, bad: Bad) -> Option<Vec<(u64, u64)>> {
    let slices = &round.round.slices;
    if slices.len() < BATCHES {
        return None;
    }
    let counted: Option<Vec<(u64, u64)>> = slices.iter().map(|slice| of_second(slice, bad)).collect();
    let counted = counted?;
    let mut batches: Vec<(u64, u64)> = (0..BATCHES)
        .map(|batch| {
            let range = batch * slices.len() / BATCHES..(batch + 1) * slices.len() / BATCHES;
            sum(&counted[range])
        })
        .collect();
    // Seconds do not know what was never sent: it counts at the end, where it is seen.
    let (all, known) = (round.all().due(), sum(&batches).1);
    if let Some(last) = batches.last_mut() {
        let unknown = all.saturating_sub(known);
        *last = (last.0 + unknown, last.1 + unknown);
    }
    Some(batches)
}

fn of_second(slice: &Slice, bad: Bad) -> Option<(u64, u64)> {
    let slow = match (bad, &slice.hdr) {
        (Bad::Failed, _) => 0,
        (Bad::Slower(limit_us), Some(hdr)) => SliceHistogram::decode(hdr).ok()?.count_above_us(limit_us),
        (Bad::Slower(_), None) if slice.count == 0 => 0,
        (Bad::Slower(_), None) => return None,
    };
    // Records of older builds know only how many errors a second had.
    let known: u64 = slice.failures.values().map(Failures::total).sum();
    let failed = known.max(slice.errors);
    Some((slow + failed, slice.count + failed))
}

fn sum(counts: &[(u64, u64)]) -> (u64, u64) {
    counts.iter().fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Round;
    use crate::rounds::measured;
    use crate::testing::{round, seconds_of};

    /// Ten seconds of 100 answers each of 7 ms; `slow` of those of second `at` take 30 ms.
    fn of_seconds(slow: usize, at: usize) -> Round {
        let of_second = |second: usize| -> Vec<u64> {
            let slow = if second == at { slow } else { 0 };
            [vec![30_000; slow], vec![7_000; 100 - slow]].concat()
        };
        let times: Vec<Vec<u64>> = (0..10).map(of_second).collect();
        let mut one = round(0, "s", &[("a", times.concat())]);
        let slices = (0_u64..).zip(&times).map(|(second, times)| Slice {
            start_ms: second * 1000,
            count: 100,
            hdr: Some(seconds_of(times)),
            ..Slice::default()
        });
        one.slices = slices.collect();
        one
    }

    fn share_of(round: Round) -> Option<ClusterRatio> {
        let rounds = [round];
        share(&measured(&rounds, "s").unwrap()[0], "a", Bad::Slower(20_000))
    }

    #[test]
    fn five_batches_give_a_single_round_its_interval() {
        let calm = share_of(of_seconds(0, 0)).unwrap();
        assert_eq!((calm.clusters, calm.total), (BATCHES, 1_000));
        assert!(calm.value == 0.0 && calm.se.unwrap() > 0.0);
    }

    #[test]
    fn slow_requests_that_come_together_widen_it() {
        let together = share_of(of_seconds(50, 3)).unwrap();
        let independent = (0.05_f64 * 0.95 / 1000.0).sqrt();
        assert!(together.se.unwrap() > 3.0 * independent, "{together:?}");
    }

    #[test]
    fn what_was_never_answered_counts() {
        let mut hanging = of_seconds(0, 0);
        hanging.phases[0].endpoints.get_mut("a").unwrap().censored = 100;
        let share = share_of(hanging).unwrap();
        assert!((share.value - 100.0 / 1100.0).abs() < 1e-12, "{share:?}");
    }

    #[test]
    fn a_round_of_four_seconds_has_no_batches() {
        let mut short = of_seconds(0, 0);
        short.slices.truncate(4);
        assert_eq!(share_of(short), None);
    }
}
