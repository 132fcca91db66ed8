//! The second subject against the first, closed model (STATISTICS section 1).
//!
//! What belongs here: which differences enter a family, and what follows from the test. What does not: the estimators
//! (`stats`), and the interleaved slices of the gate (`gate`).
//!
//! The unit is the block: one fresh launch of each subject. Per block and endpoint d = ln(after / before). Latency and
//! CPU time per request are two families, judged apart: on an oversubscribed machine p95 measures the machine.

use std::collections::BTreeSet;

use crate::limits::{ALPHA, EFFECT, MARGIN, MIN_ANSWERS, MIN_BLOCKS, TOLERANCE};
use crate::metrics;
use crate::record::{ALL_ENDPOINTS, Comparison, Family, Outcome};
use crate::rounds::{MeasuredRound, Rounds, pairs};
use crate::stats::hodges_lehmann::{self, Location};
use crate::stats::power;
use crate::stats::signflip::{self, Flips};

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
pub struct Series {
    /// Endpoint name, or `all`.
    pub endpoint: String,
    /// `ln(after / before)` per block.
    pub differences: Vec<f64>,
    /// Whether every block had enough requests to enter the test.
    pub tested: bool,
}

/// Compares all rounds of two subjects, family by family. Blocks without both subjects are left out. `seed` is that of
/// the sign flips, where there are too many to try all.
pub fn compare(rounds: &Rounds, sides: Sides, seed: u64) -> Vec<Comparison> {
    let blocks = pairs(rounds.of(sides.before), rounds.of(sides.after));
    let mut comparisons = family(Family::LatencyP95, &latency_series(&blocks), sides, seed);
    comparisons.extend(family(Family::CpuPerRequest, &cpu_series(&blocks), sides, seed));
    comparisons
}

type Block<'r, 'a> = (&'r MeasuredRound<'a>, &'r MeasuredRound<'a>);

/// One series per endpoint of either subject, and one for the whole mix.
fn latency_series(blocks: &[Block]) -> Vec<Series> {
    let names: BTreeSet<&String> = blocks
        .iter()
        .flat_map(|(before, after)| before.endpoints.keys().chain(after.endpoints.keys()))
        .collect();
    names
        .into_iter()
        .map(|name| series(name, blocks, |round| p95_us(round, name)))
        .collect()
}

/// The whole mix, if the probe saw any block.
fn cpu_series(blocks: &[Block]) -> Vec<Series> {
    let all = series(ALL_ENDPOINTS, blocks, |round| {
        round.metric(metrics::SERVICE_CPU_US_PER_REQUEST.name())
    });
    if all.differences.is_empty() { vec![] } else { vec![all] }
}

fn series(endpoint: &str, blocks: &[Block], value: impl Fn(&MeasuredRound) -> Option<f64>) -> Series {
    let difference = |(before, after): &Block| {
        let ratio = value(after)? / value(before)?;
        (ratio.is_finite() && ratio > 0.0).then(|| ratio.ln())
    };
    let differences: Vec<f64> = blocks.iter().filter_map(difference).collect();
    let enough = |round: &MeasuredRound| answers(round, endpoint) >= MIN_ANSWERS;
    let tested =
        differences.len() == blocks.len() && blocks.iter().all(|(before, after)| enough(before) && enough(after));
    Series {
        endpoint: endpoint.to_owned(),
        differences,
        tested,
    }
}

fn p95_us(round: &MeasuredRound, endpoint: &str) -> Option<f64> {
    round
        .endpoints
        .get(endpoint)?
        .latency
        .quantile_us(0.95)
        .map(|us| us as f64)
}

fn answers(round: &MeasuredRound, endpoint: &str) -> u64 {
    round
        .endpoints
        .get(endpoint)
        .map_or(0, |measured| measured.latency.len())
}

/// Tests the series of one family together and says what follows for each. Series that are not `tested` stay out of
/// the test; the tested ones have one difference per block.
pub fn family(name: Family, series: &[Series], sides: Sides, seed: u64) -> Vec<Comparison> {
    let tested: Vec<&[f64]> = series
        .iter()
        .filter(|one| one.tested)
        .map(|one| one.differences.as_slice())
        .collect();
    let flips = Flips::new(tested.first().map_or(0, |row| row.len()), seed);
    let mut evidence = signflip::test_both_sides(&tested, &flips).into_iter();
    let judged = series.iter().map(|one| {
        let both = if one.tested { evidence.next() } else { None };
        let p = both.map_or((1.0, 1.0), |both| (both.above.p_adjusted, both.below.p_adjusted));
        comparison(name, one, p, sides)
    });
    judged.collect()
}

fn comparison(family: Family, series: &Series, (p_slower, p_faster): (f64, f64), sides: Sides) -> Comparison {
    let enough = series.tested && series.differences.len() >= MIN_BLOCKS;
    let location = hodges_lehmann::location(&series.differences).filter(|_| enough);
    Comparison {
        p_slower,
        p_faster,
        outcome: location.map_or(Outcome::InsufficientData, |location| {
            decide(location, p_slower, p_faster)
        }),
        ..Comparison::located(family, &series.endpoint, sides, &series.differences)
    }
}

/// The rule of the report, on the logarithmic scale.
fn decide(location: Location, p_slower: f64, p_faster: f64) -> Outcome {
    let slower = p_slower <= ALPHA;
    if slower && location.estimate >= TOLERANCE.ln() {
        Outcome::Regress
    } else if slower && location.estimate >= EFFECT.ln() {
        Outcome::SlowerWithinTolerance
    } else if p_faster <= ALPHA && location.estimate <= -EFFECT.ln() {
        Outcome::Improved
    } else if location.bounds.is_some_and(|(_, high)| high <= MARGIN.ln()) {
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
    use crate::record::Round;
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
                endpoint: (*name).to_owned(),
                differences,
                tested: true,
            })
            .collect();
        family(Family::LatencyP95, &series, SIDES, SEED)
    }

    #[test]
    fn the_golden_case() {
        let family = golden_family();
        let p: Vec<f64> = family.iter().map(|one| one.p_slower).collect();
        assert_eq!(p, [0.003_906_25, 0.367_187_5, 0.539_062_5]);
        // The mirrored test, computed apart in exact fractions.
        let p_faster: Vec<f64> = family.iter().map(|one| one.p_faster).collect();
        assert_eq!(p_faster, [1.0, 0.933_593_75, 0.867_187_5]);
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
    fn both_families_see_the_same_change() {
        for (factor, expected) in [
            (1.2, Outcome::Regress),
            (1.035, Outcome::SlowerWithinTolerance),
            (1.0, Outcome::Pass),
            (0.25, Outcome::Improved),
        ] {
            let family = |family: Family, endpoint: &str| (family, endpoint.to_owned(), expected);
            assert_eq!(
                outcomes(&rounds(6, factor)),
                [
                    family(Family::LatencyP95, "a"),
                    family(Family::LatencyP95, "all"),
                    family(Family::CpuPerRequest, "all")
                ],
                "factor {factor}"
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
            endpoint: "a".to_owned(),
            differences,
            tested: true,
        }];
        let comparison = &family(Family::LatencyP95, &noisy, SIDES, SEED)[0];
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
