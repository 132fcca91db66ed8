//! The second subject against the first, closed model (STATISTICS section 8).
//!
//! What belongs here: which differences enter a family, and what follows from the test. What does not: the estimators
//! (`stats`), and the interleaved slices of the gate (`gate`).
//!
//! The unit is the block: one fresh launch of each subject. Per block and endpoint d = ln(after / before), and of
//! shares that failed after - before. The families: the 95th percentile and the median of each endpoint, the mean of
//! all requests, the throughput of the closed model, CPU time per request (on an oversubscribed machine p95 measures
//! the machine), and the share that failed. All of them are tested together. A request that failed counts in every
//! percentile as slower than any limit.

use std::collections::BTreeSet;

use crate::limits::{ALPHA, EFFECT, MARGIN, MIN_ANSWERS, MIN_BLOCKS, TOLERANCE};
use crate::metrics;
use crate::record::{ALL_ENDPOINTS, Comparison, Family, Outcome};
use crate::rounds::{Measured, MeasuredRound, Rounds, pairs};
use crate::stats::hodges_lehmann::{self, Location};
use crate::stats::power;
use crate::stats::signflip::{self, BothSides, FlipTest, Flips};

/// The smallest rise of the share that failed that counts, over all requests and at one endpoint (STATISTICS section
/// 1).
const FAILED_OF_ALL: f64 = 0.001;
const FAILED_OF_ONE: f64 = 0.005;

/// Names of the subjects compared.
#[derive(Debug, Clone, Copy)]
pub struct Sides<'a> {
    /// The one compared against.
    pub before: &'a str,
    /// The one judged.
    pub after: &'a str,
}

/// The differences of one endpoint within a family.
#[derive(Debug, Clone, PartialEq)]
struct Series {
    /// The figure that differs.
    family: Family,
    /// Endpoint name, or `all`.
    endpoint: String,
    /// `ln(after / before)` per block; of shares the difference.
    differences: Vec<f64>,
    /// Whether every block had enough requests to enter the test.
    tested: bool,
}

/// Compares all rounds of two subjects. Blocks without both subjects are left out. `seed` is that of the sign flips,
/// where there are too many to try all.
pub fn compare(rounds: &Rounds, sides: Sides, seed: u64) -> Vec<Comparison> {
    let blocks = pairs(rounds.of(sides.before), rounds.of(sides.after));
    let of_mix: [(Family, Difference); 3] = [
        (Family::LatencyMean, |before, after| {
            log_ratio(before, after, |round| round.all().latency.mean_us())
        }),
        (Family::Throughput, time_per_answer),
        (Family::CpuPerRequest, |before, after| {
            log_ratio(before, after, |round| {
                round.metric(metrics::SERVICE_CPU_US_PER_REQUEST.name())
            })
        }),
    ];
    let mut series = latency_series(Family::LatencyP95, &blocks, 0.95);
    series.extend(latency_series(Family::LatencyP50, &blocks, 0.5));
    series.extend(
        of_mix
            .into_iter()
            .filter_map(|(family, difference)| mix_series(family, &blocks, difference)),
    );
    series.extend(failure_series(&blocks));
    let mut comparisons = judge(&series, sides, seed);
    for failures in comparisons.iter_mut().filter(|one| one.family == Family::FailedShare) {
        failures.ratio = failed_ratio(&blocks, &failures.endpoint);
        // The bounds are of the difference of shares, which a ratio of shares does not have.
        (failures.ratio_low, failures.ratio_high) = (None, None);
    }
    comparisons
}

/// `ln(after / before)` of a figure of the whole mix of a block; none where it was not measured.
type Difference = fn(&MeasuredRound, &MeasuredRound) -> Option<f64>;

type Block<'r, 'a> = (&'r MeasuredRound<'a>, &'r MeasuredRound<'a>);

/// One series per endpoint of either subject, and one for the whole mix.
fn latency_series(family: Family, blocks: &[Block], quantile: f64) -> Vec<Series> {
    endpoints(blocks)
        .into_iter()
        .map(|name| {
            series(family, name, blocks, |before, after| {
                log_ratio(before, after, |round| quantile_us(round, name, quantile))
            })
        })
        .collect()
}

/// Every endpoint of either subject, and the whole mix.
fn endpoints<'b>(blocks: &'b [Block]) -> BTreeSet<&'b String> {
    blocks
        .iter()
        .flat_map(|(before, after)| before.endpoints.keys().chain(after.endpoints.keys()))
        .collect()
}

/// The whole mix, if any block has the figure.
fn mix_series(family: Family, blocks: &[Block], difference: Difference) -> Option<Series> {
    let all = series(family, ALL_ENDPOINTS, blocks, difference);
    (!all.differences.is_empty()).then_some(all)
}

/// Throughput of users who wait for their answers, as the time that one answer takes of a user: requests in flight and
/// pauses. None in the open model, where the schedule decides.
///
/// Both sides are given the mean pause of both. Pauses are drawn, and which side drew the longer ones says nothing
/// about it, but is most of what differs between two rounds of few users who think for seconds. Where pauses were not
/// counted (records of older builds), it is the length of the round over its answers.
fn time_per_answer(before: &MeasuredRound, after: &MeasuredRound) -> Option<f64> {
    if before.phase.arrivals.is_some() || after.phase.arrivals.is_some() {
        return None;
    }
    let pause_us = mean_pause_us(before, after);
    log_ratio(before, after, |round| {
        let all = round.all();
        let taken_us = match (pause_us, round.phase.flow) {
            (Some(pause_us), Some(flow)) => flow.in_flight_us as f64 + pause_us * all.due() as f64,
            _ => round.seconds * 1e6,
        };
        Some(taken_us / all.count as f64)
    })
}

/// The mean pause per request of both sides together, as drawn; none where one side did not count its pauses.
fn mean_pause_us(before: &MeasuredRound, after: &MeasuredRound) -> Option<f64> {
    let paused_us = |round: &MeasuredRound| Some(round.phase.flow?.pauses?.intended_us);
    let requests = before.all().due() + after.all().due();
    Some((paused_us(before)? + paused_us(after)?) as f64 / requests as f64)
}

fn log_ratio(
    before: &MeasuredRound,
    after: &MeasuredRound,
    value: impl Fn(&MeasuredRound) -> Option<f64>,
) -> Option<f64> {
    let ratio = value(after)? / value(before)?;
    (ratio.is_finite() && ratio > 0.0).then(|| ratio.ln())
}

/// The shares that failed of each endpoint and of the whole mix.
fn failure_series(blocks: &[Block]) -> Vec<Series> {
    let difference = |name: &str, (before, after): &Block| {
        let share = |round: &MeasuredRound| round.endpoints.get(name)?.failed_share();
        Some(share(after)? - share(before)?)
    };
    endpoints(blocks)
        .into_iter()
        .map(|name| {
            let differences: Vec<f64> = blocks.iter().filter_map(|block| difference(name, block)).collect();
            Series {
                family: Family::FailedShare,
                endpoint: name.clone(),
                tested: differences.len() == blocks.len(),
                differences,
            }
        })
        .collect()
}

/// Failed share of the second subject over that of the first, over all blocks, half a request in a million added to
/// each so that none is divided by zero.
fn failed_ratio(blocks: &[Block], endpoint: &str) -> f64 {
    const TINY: f64 = 0.5e-6;
    let counts = |(failed, due): (u64, u64), round: &MeasuredRound| {
        let counted = round.endpoints.get(endpoint);
        let (more_failed, more_due) = counted.map_or((0, 0), |one| (one.failed(), one.due()));
        (failed + more_failed, due + more_due)
    };
    let share = |(failed, due): (u64, u64)| failed as f64 / due.max(1) as f64 + TINY;
    let before = blocks.iter().fold((0, 0), |sum, (before, _)| counts(sum, before));
    let after = blocks.iter().fold((0, 0), |sum, (_, after)| counts(sum, after));
    share(after) / share(before)
}

fn series(
    family: Family,
    endpoint: &str,
    blocks: &[Block],
    difference: impl Fn(&MeasuredRound, &MeasuredRound) -> Option<f64>,
) -> Series {
    let differences: Vec<f64> = blocks
        .iter()
        .filter_map(|(before, after)| difference(before, after))
        .collect();
    let enough = |round: &MeasuredRound| due(round, endpoint) >= MIN_ANSWERS;
    let tested =
        differences.len() == blocks.len() && blocks.iter().all(|(before, after)| enough(before) && enough(after));
    Series {
        family,
        endpoint: endpoint.to_owned(),
        differences,
        tested,
    }
}

fn quantile_us(round: &MeasuredRound, endpoint: &str, quantile: f64) -> Option<f64> {
    let judged = round.endpoints.get(endpoint)?.judged();
    judged.quantile_us(quantile).map(|us| us as f64)
}

fn due(round: &MeasuredRound, endpoint: &str) -> u64 {
    round.endpoints.get(endpoint).map_or(0, Measured::due)
}

/// Tests all series together, and says what follows for each. Series that are not `tested` stay out of the test; the
/// tested ones have one difference per block.
fn judge(series: &[Series], sides: Sides, seed: u64) -> Vec<Comparison> {
    let tested: Vec<&[f64]> = series
        .iter()
        .filter(|one| one.tested)
        .map(|one| one.differences.as_slice())
        .collect();
    let flips = Flips::new(tested.first().map_or(0, |row| row.len()), seed);
    let mut evidence = both_ways(&tested, &flips).into_iter();
    let judged = series.iter().map(|one| {
        let found = if one.tested { evidence.next() } else { None };
        comparison(one, found.unwrap_or((1.0, 1.0)), sides)
    });
    judged.collect()
}

/// p of "slower" and of "faster" for each row, corrected for the rows tested with it. A row that went the other way
/// beyond chance is not among those: its mirror image alone would take five blocks above 5 %, and a cost would hide
/// behind a larger gain (Hansen 2005, A Test for Superior Predictive Ability, leaves such rows out for that reason).
fn both_ways(rows: &[&[f64]], flips: &Flips) -> Vec<(f64, f64)> {
    let alone = signflip::test_both_sides(rows, flips);
    let slower = adjusted(rows, flips, |row| alone[row].below.p_raw > ALPHA, |both| both.above);
    let faster = adjusted(rows, flips, |row| alone[row].above.p_raw > ALPHA, |both| both.below);
    slower.into_iter().zip(faster).collect()
}

/// Adjusted p of one side of each row; 1 for those that are not `tested`.
fn adjusted(
    rows: &[&[f64]],
    flips: &Flips,
    tested: impl Fn(usize) -> bool,
    side: impl Fn(&BothSides) -> FlipTest,
) -> Vec<f64> {
    let (numbers, tested): (Vec<usize>, Vec<&[f64]>) =
        rows.iter().copied().enumerate().filter(|(row, _)| tested(*row)).unzip();
    let mut p = vec![1.0; rows.len()];
    for (row, both) in numbers.into_iter().zip(signflip::test_both_sides(&tested, flips)) {
        p[row] = side(&both).p_adjusted;
    }
    p
}

fn comparison(series: &Series, (p_slower, p_faster): (f64, f64), sides: Sides) -> Comparison {
    let enough = series.tested && series.differences.len() >= MIN_BLOCKS;
    let location = hodges_lehmann::location(&series.differences).filter(|_| enough);
    Comparison {
        p_slower,
        p_faster,
        outcome: location.map_or(Outcome::InsufficientData, |location| {
            decide(
                location,
                (p_slower, p_faster),
                Thresholds::of(series.family, &series.endpoint),
            )
        }),
        ..Comparison::located(series.family, &series.endpoint, sides, &series.differences)
    }
}

/// When a difference counts, on the scale of the family.
#[derive(Debug, Clone, Copy)]
struct Thresholds {
    effect: f64,
    tolerance: f64,
    margin: f64,
}

impl Thresholds {
    fn of(family: Family, endpoint: &str) -> Self {
        if family == Family::FailedShare {
            let effect = if endpoint == ALL_ENDPOINTS {
                FAILED_OF_ALL
            } else {
                FAILED_OF_ONE
            };
            return Self {
                effect,
                tolerance: effect,
                margin: 2.0 * effect,
            };
        }
        Self {
            effect: EFFECT.ln(),
            tolerance: TOLERANCE.ln(),
            margin: MARGIN.ln(),
        }
    }
}

/// The rule of the report.
fn decide(location: Location, (p_slower, p_faster): (f64, f64), limits: Thresholds) -> Outcome {
    let slower = p_slower <= ALPHA;
    if slower && location.estimate >= limits.tolerance {
        Outcome::Regress
    } else if slower && location.estimate >= limits.effect {
        Outcome::SlowerWithinTolerance
    } else if p_faster <= ALPHA && location.estimate <= -limits.effect {
        Outcome::Improved
    } else if location.bounds.is_some_and(|(_, high)| high <= limits.margin) {
        Outcome::Pass
    } else {
        Outcome::Inconclusive
    }
}

impl Comparison {
    /// A comparison located by `differences`, one per block on the logarithmic scale, which nobody has tested yet.
    /// Without any the ratio is 1.
    pub(crate) fn located(family: Family, endpoint: &str, sides: Sides, differences: &[f64]) -> Self {
        let location = hodges_lehmann::location(differences);
        let bounds = location.and_then(|location| location.bounds);
        Self {
            family,
            endpoint: endpoint.to_owned(),
            before: sides.before.to_owned(),
            after: sides.after.to_owned(),
            blocks: u32::try_from(differences.len()).unwrap_or(u32::MAX),
            ratio: location.map_or(1.0, |location| location.estimate.exp()),
            ratio_low: bounds.map(|(low, _)| low.exp()),
            ratio_high: bounds.map(|(_, high)| high.exp()),
            p_slower: 1.0,
            p_faster: 1.0,
            mde: power::smallest_visible(differences),
            outcome: Outcome::InsufficientData,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Flow, Pauses, Round};
    use crate::testing::{assert_close, golden_series, round};

    const SIDES: Sides = Sides {
        before: "old",
        after: "new",
    };

    const SEED: u64 = 1;

    fn compared(rounds: &[Round]) -> Vec<Comparison> {
        compare(&Rounds::decode(rounds).unwrap(), SIDES, SEED)
    }

    fn golden_family() -> Vec<Comparison> {
        let names = ["one", "two", "three"];
        let series: Vec<Series> = names
            .iter()
            .zip(golden_series())
            .map(|(name, differences)| Series {
                family: Family::LatencyP95,
                endpoint: (*name).to_owned(),
                differences,
                tested: true,
            })
            .collect();
        judge(&series, SIDES, SEED)
    }

    #[test]
    fn the_golden_case() {
        let family = golden_family();
        let p: Vec<f64> = family.iter().map(|one| one.p_slower).collect();
        assert_eq!(p, [0.003_906_25, 0.367_187_5, 0.539_062_5]);
        // The mirrored test of the two that are not surely slower, computed apart in exact fractions.
        let p_faster: Vec<f64> = family.iter().map(|one| one.p_faster).collect();
        assert_eq!(p_faster, [1.0, 0.839_843_75, 0.785_156_25]);
        assert_close(family[0].ratio.ln(), 0.0825, 1e-9);
        assert_close(family[0].ratio_low.unwrap().ln(), 0.060, 1e-9);
        assert_close(family[0].ratio_high.unwrap().ln(), 0.105, 1e-9);
        // sd of the first series is .030443, so exp(4.35 x .030443 / sqrt 8) - 1.
        assert_close(family[0].mde.unwrap(), 0.047_93, 1e-5);
        assert_eq!(
            family.iter().map(|one| one.outcome).collect::<Vec<_>>(),
            [Outcome::Regress, Outcome::Pass, Outcome::Pass]
        );
    }

    /// Rounds of `blocks` blocks, 100 requests each, times around 10 ms, those of `new` multiplied by `factor`.
    fn rounds(blocks: u32, factor: f64) -> Vec<Round> {
        (0..blocks)
            .flat_map(|block| {
                let base_us = 10_000.0 * (1.0 + f64::from(block % 3) / 100.0);
                let noise = 1.0 + f64::from(block % 4) / 400.0;
                [
                    answered(block, "old", base_us),
                    answered(block, "new", base_us * factor * noise),
                ]
            })
            .collect()
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "times of about 10,000"
    )]
    fn answered(block: u32, subject: &str, typical_us: f64) -> Round {
        let times = (0..100)
            .map(|i| (typical_us * (0.5 + f64::from(i) / 100.0)) as u64)
            .collect();
        round(block, subject, &[("a", times)]).with_probe(metrics::SERVICE_CPU_US_PER_REQUEST.name(), typical_us / 10.0)
    }

    fn outcomes(rounds: &[Round]) -> Vec<(Family, String, Outcome)> {
        let comparisons = compared(rounds);
        comparisons
            .into_iter()
            .map(|one| (one.family, one.endpoint, one.outcome))
            .collect()
    }

    #[test]
    fn every_family_of_times_and_costs_sees_the_same_change() {
        let seeing = [
            (Family::LatencyP95, "a"),
            (Family::LatencyP95, "all"),
            (Family::LatencyP50, "a"),
            (Family::LatencyP50, "all"),
            (Family::LatencyMean, "all"),
            (Family::CpuPerRequest, "all"),
        ];
        for (factor, expected) in [
            (1.2, Outcome::Regress),
            (1.035, Outcome::SlowerWithinTolerance),
            (1.0, Outcome::Pass),
            (0.25, Outcome::Improved),
        ] {
            let found = outcomes(&rounds(6, factor));
            for (family, endpoint, outcome) in &found {
                let sees = seeing.contains(&(*family, endpoint.as_str()));
                let expected = if sees { expected } else { Outcome::Pass };
                assert_eq!(*outcome, expected, "factor {factor}: {family} of {endpoint}");
            }
            assert_eq!(found.len(), seeing.len() + 3, "and throughput, and failures of both");
        }
    }

    fn outcome_of(rounds: &[Round], family: Family, endpoint: &str) -> Outcome {
        let found = compared(rounds);
        let found = found
            .into_iter()
            .find(|one| one.family == family && one.endpoint == endpoint);
        found.unwrap().outcome
    }

    /// Five blocks of two sides, whose rounds are made of a block's number.
    fn blocks(old: impl Fn(u64) -> Round, new: impl Fn(u64) -> Round) -> Vec<Round> {
        (0..5).flat_map(|block| [old(block), new(block)]).collect()
    }

    fn of_times(block: u64, side: &str, times: Vec<u64>) -> Round {
        round(u32::try_from(block).unwrap(), side, &[("a", times)])
    }

    /// Cache hits four times slower: the 95th percentile is that of the misses, and does not move.
    #[test]
    fn a_median_that_moves_under_an_unmoved_p95_is_called() {
        let side = |side: &'static str, hit_us: u64| {
            move |block: u64| {
                of_times(
                    block,
                    side,
                    [vec![hit_us + block; 176], vec![20_000 + block; 24]].concat(),
                )
            }
        };
        let rounds = blocks(side("old", 300), side("new", 1_200));
        assert_eq!(outcome_of(&rounds, Family::LatencyP95, "all"), Outcome::Pass);
        assert_eq!(outcome_of(&rounds, Family::LatencyP50, "all"), Outcome::Regress);
        assert_eq!(outcome_of(&rounds, Family::LatencyMean, "all"), Outcome::Regress);
    }

    /// Ten users for ten seconds: as many requests of 2 ms as their pauses leave room for.
    fn of_users(block: u64, side: &str, answers: usize, hanging_us: u64) -> Round {
        let in_flight_us = 2_000 * answers as u64 + hanging_us;
        let mut round = of_times(block, side, vec![2_000; answers]);
        round.phases[0].flow = Some(Flow {
            in_flight_us,
            pauses: Some(Pauses {
                intended_us: 100_000_000 - in_flight_us,
                ..Pauses::default()
            }),
            ..Flow::default()
        });
        round
    }

    #[test]
    fn fewer_answers_in_the_same_time_are_called() {
        let side = |side: &'static str, answers: usize| {
            move |block: u64| of_times(block, side, vec![2_000; answers + usize::try_from(block).unwrap()])
        };
        let rounds = blocks(side("old", 1_000), side("new", 800));
        assert_eq!(outcome_of(&rounds, Family::Throughput, "all"), Outcome::Regress);
        assert_eq!(outcome_of(&rounds, Family::LatencyP95, "all"), Outcome::Pass);
    }

    #[test]
    fn users_who_are_kept_waiting_get_less_done() {
        let answers = |block: u64| 1_000 + usize::try_from(block).unwrap();
        let old = |block| of_users(block, "old", answers(block), 0);
        let hanging = |block| of_users(block, "new", answers(block) - 200, 20_000_000);
        let rounds = blocks(old, hanging);
        assert_eq!(outcome_of(&rounds, Family::Throughput, "all"), Outcome::Regress);
        assert_eq!(outcome_of(&rounds, Family::LatencyP95, "all"), Outcome::Pass);
        // Fewer answers because longer pauses were drawn are no slowdown.
        let luck = |block| of_users(block, "new", answers(block) - 200, 0);
        let outcome = outcome_of(&blocks(old, luck), Family::Throughput, "all");
        assert_eq!(outcome, Outcome::Pass);
    }

    /// The slow ones are answered with an error, or never: what is left is quicker, and the side is not.
    #[test]
    fn a_side_that_fails_more_is_called_whatever_its_answers_take() {
        let old = |block| of_times(block, "old", vec![2_000; 1_000]);
        let spoil: [fn(&mut crate::record::EndpointCounts); 2] =
            [|counts| counts.errors = 30, |counts| counts.censored = 30];
        for spoil in spoil {
            let new = |block| {
                let mut failing = of_times(block, "new", vec![1_000; 970]);
                spoil(failing.phases[0].endpoints.get_mut("a").unwrap());
                failing
            };
            let rounds = blocks(old, new);
            for endpoint in ["a", "all"] {
                assert_eq!(outcome_of(&rounds, Family::FailedShare, endpoint), Outcome::Regress);
            }
            let many = |block| {
                let mut failing = new(block);
                failing.phases[0].endpoints.get_mut("a").unwrap().errors = 200;
                failing
            };
            assert_eq!(
                outcome_of(&blocks(old, many), Family::LatencyP95, "a"),
                Outcome::Regress
            );
        }
    }

    #[test]
    fn the_ratio_is_after_over_before() {
        let all = &compared(&rounds(6, 0.25))[1];
        assert_close(all.ratio, 0.25, 0.002);
        assert!(all.ratio_low.unwrap() <= all.ratio && all.ratio <= all.ratio_high.unwrap());
        assert_close(all.p_faster, 1.0 / 64.0, 1e-12);
        assert_eq!((all.before.as_str(), all.after.as_str(), all.blocks), ("old", "new", 6));
    }

    #[test]
    fn noise_above_the_margin_is_inconclusive() {
        let differences = vec![0.3, -0.25, 0.2, -0.3, 0.25, -0.1];
        let noisy = [Series {
            family: Family::LatencyP95,
            endpoint: "a".to_owned(),
            differences,
            tested: true,
        }];
        let comparison = &judge(&noisy, SIDES, SEED)[0];
        assert_eq!(comparison.outcome, Outcome::Inconclusive);
        assert!(comparison.mde.unwrap() > 0.3);
    }

    #[test]
    fn four_blocks_are_too_few() {
        let comparison = &compared(&rounds(4, 2.0))[0];
        assert_eq!(
            (comparison.outcome, comparison.ratio_high),
            (Outcome::InsufficientData, None)
        );
        assert_close(comparison.p_slower, 1.0 / 16.0, 1e-12);
    }

    #[test]
    fn an_endpoint_with_few_requests_is_left_out_of_the_test() {
        let mut sparse = rounds(6, 1.0);
        for one in &mut sparse {
            let rare = round(0, "", &[("rare", vec![9_000; 19])]).phases.remove(0).endpoints;
            one.phases[0].endpoints.extend(rare);
        }
        let with_rare = compared(&sparse);
        let rare = with_rare.iter().find(|one| one.endpoint == "rare").unwrap();
        assert_eq!((rare.outcome, rare.blocks), (Outcome::InsufficientData, 6));
        assert_close(rare.p_slower, 1.0, 1e-12);
        assert_eq!(
            with_rare[0].outcome,
            Outcome::Pass,
            "the others are judged all the same"
        );
    }

    #[test]
    fn an_endpoint_that_never_answered_or_one_side_alone_is_insufficient() {
        let silent: Vec<_> = (0..6)
            .flat_map(|block| ["old", "new"].map(|side| round(block, side, &[("a", vec![])])))
            .collect();
        let comparison = &compared(&silent)[0];
        assert_eq!(
            (comparison.outcome, comparison.blocks, comparison.mde),
            (Outcome::InsufficientData, 0, None)
        );
        assert_close(comparison.ratio, 1.0, 1e-12);
        assert!(compared(&[round(0, "old", &[])]).is_empty());
    }

    #[test]
    fn the_same_data_gives_the_same_verdict() {
        let data = rounds(16, 1.02);
        assert_eq!(compared(&data), compared(&data));
    }
}
