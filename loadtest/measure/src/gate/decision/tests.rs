//! The decision on small made-up blocks; its error rates are in `tests/simulation`.

use super::*;
use crate::record::Family;
use crate::testing::{assert_close, golden_series};

/// Blocks of a row around `ratio`, with a fixed spread.
fn row(blocks: u32, ratio: f64, spread: f64) -> Vec<f64> {
    (0..blocks)
        .map(|block| ratio.ln() + spread * (f64::from(block * 7919 % 101) / 50.0 - 1.0))
        .collect()
}

fn look_of(rows: Vec<Vec<f64>>, canary: Option<Vec<f64>>) -> Look {
    Look {
        rows,
        canary,
        least_errors: vec![],
    }
}

fn look(blocks: u32, ratios: &[f64]) -> Look {
    look_of(ratios.iter().map(|ratio| row(blocks, *ratio, 0.05)).collect(), None)
}

fn judge_of(family: Family) -> Judge<'static> {
    let gate: &'static GateRules = Box::leak(Box::default());
    Judge {
        family: Box::leak(Box::new(FamilyRules::of(family))),
        gate,
    }
}

fn p95() -> Judge<'static> {
    judge_of(Family::LatencyP95)
}

/// Both stages, with these looks.
fn decided(judge: Judge<'_>, one: &Look, new: &Look) -> Vec<Decided> {
    let joined = |a: &Vec<f64>, b: &Vec<f64>| [a.clone(), b.clone()].concat();
    let all = look_of(
        one.rows.iter().zip(&new.rows).map(|(a, b)| joined(a, b)).collect(),
        one.canary.as_ref().zip(new.canary.as_ref()).map(|(a, b)| joined(a, b)),
    );
    judge.decide(judge.examine(one), new, &all)
}

/// Outcomes of two stages of 24 blocks, with these ratios in each.
fn outcomes(first: &[f64], second: &[f64]) -> Vec<Outcome> {
    let decided = decided(p95(), &look(24, first), &look(24, second));
    decided.into_iter().map(|one| one.outcome).collect()
}

#[test]
fn the_golden_case_of_one_look() {
    let look = look_of(golden_series().to_vec(), None);
    let evidence = p95().examine(&look);
    let p: Vec<f64> = evidence.iter().map(Evidence::p_slower).collect();
    assert_eq!(p, [0.003_906_25, 0.367_187_5, 0.539_062_5]);
    assert_close(evidence[0].views[0].location.estimate, 0.0825, 1e-12);
    assert_eq!(p95().first_stage(&evidence), [First::Slower, First::Pass, First::Pass]);
}

/// Noise that both share is taken out; an effect of the endpoint's own is not, though the canary happened to move a
/// little, the same way or the other, in the few blocks there are.
#[test]
fn a_canary_takes_out_what_is_shared_and_nothing_else() {
    let shared = [0.2, -0.1, 0.15, -0.3, 0.1];
    let noisy: Vec<f64> = shared.iter().map(|noise| 0.01 + noise).collect();
    let left = residuals(&noisy, &shared);
    assert!(left.iter().all(|value| (value - 0.01).abs() < 0.01), "{left:?}");

    for moved in [0.02, -0.02] {
        let canary: Vec<f64> = [1.0, 0.9, 1.1, 1.2, 0.8].iter().map(|share| share * moved).collect();
        let left = residuals(&[3.0_f64.ln(); 5], &canary);
        assert!(
            left.iter().all(|value| (value / 3.0_f64.ln() - 1.0).abs() < 0.05),
            "{left:?}"
        );
    }
}

/// B takes 1.5 times as long and slows down the canary to 1.3 times, since they share the cores: with the canary's part
/// taken out next to nothing is left.
#[test]
fn a_canary_does_not_explain_a_slowdown_away() {
    let both = || {
        let noise = row(24, 1.0, 0.02);
        let slow = noise.iter().map(|noise| 1.5_f64.ln() + noise).collect();
        let canary = noise.iter().map(|noise| 1.3_f64.ln() + noise).collect();
        look_of(vec![slow], Some(canary))
    };
    let evidence = &p95().examine(&both())[0];
    assert!(evidence.views[0].location.estimate.abs() < 0.03, "{evidence:?}");
    assert!(evidence.pass_bound.unwrap() > 1.4_f64.ln(), "{evidence:?}");
    let decided = &decided(p95(), &both(), &both())[0];
    assert_eq!(decided.outcome, Outcome::Regress);
    assert_close(
        decided.evidence.views[decided.shown].location.estimate,
        1.5_f64.ln(),
        0.01,
    );
}

/// A canary that was slow beside B makes an equal endpoint look faster: it is not.
#[test]
fn a_slow_canary_is_no_improvement() {
    let noise = row(24, 1.0, 0.1);
    let canary: Vec<f64> = noise.iter().map(|noise| 1.2_f64.ln() + noise).collect();
    let look = look_of(vec![noise], Some(canary));
    let evidence = &p95().examine(&look);
    assert_ne!(p95().first_stage(evidence), [First::Faster]);
}

/// With five blocks even agreement of all may be chance: 2^-5 is above every level.
#[test]
fn too_few_blocks_can_convict_nobody() {
    let least = |family, has_canary| {
        let judge = judge_of(family);
        (1..100).find(|blocks| judge.can_convict(*blocks, has_canary)).unwrap()
    };
    assert_eq!(least(Family::LatencyP95, false), 6);
    assert_eq!(least(Family::LatencyP95, true), 7);
    assert_eq!(least(Family::LatencyP50, true), crate::limits::ENOUGH_BLOCKS);
    assert_eq!(least(Family::TailShare, false), crate::limits::ENOUGH_BLOCKS);
}

#[test]
fn a_family_of_shares_counts_points_and_not_ratios() {
    let judge = judge_of(Family::SlowShare);
    let shares = |rise: f64| {
        look_of(
            vec![row(24, 1.0, 0.01).iter().map(|noise| rise + noise).collect()],
            None,
        )
    };
    let outcome = |rise| decided(judge, &shares(rise), &shares(rise))[0].outcome;
    assert_eq!(outcome(0.03), Outcome::Regress);
    assert_eq!(outcome(0.015), Outcome::Pass, "below two points");
    assert_eq!(outcome(-0.3), Outcome::Pass, "shares do not improve");
}

/// What would have failed is above the tolerance by what chance may take off, and far above it where blocks differ.
#[test]
fn what_would_have_failed_is_seen_and_above_the_tolerance() {
    let sizes = |spread| {
        let evidence = &p95().examine(&look_of(vec![row(24, 1.0, spread)], None))[0];
        let (visible, fails) = (evidence.visible.unwrap(), evidence.would_fail.unwrap());
        assert!(fails >= visible);
        (visible, fails)
    };
    let (visible, fails) = sizes(0.001);
    assert!(
        visible < 0.002 && fails > 1.05_f64.ln() && fails < 1.055_f64.ln(),
        "{visible} {fails}"
    );
    let (visible, fails) = sizes(0.5);
    assert!(
        visible > 0.2 && fails.to_bits() == visible.to_bits(),
        "{visible} {fails}"
    );
}

/// Of an event that nobody has seen little is known.
#[test]
fn a_share_of_nothing_has_an_error_of_its_own() {
    let judge = judge_of(Family::TailShare);
    let seen = |least_error| {
        let look = Look {
            rows: vec![vec![0.0; 24]],
            canary: None,
            least_errors: vec![LeastError {
                now: least_error,
                changed: least_error,
            }],
        };
        judge.decide_alone(judge.examine(&look))[0].clone()
    };
    assert_eq!(seen(0.0001).outcome, Outcome::Pass);
    let few = seen(0.01);
    assert_eq!(few.outcome, Outcome::Inconclusive, "too few requests");
    assert!(few.evidence.visible.unwrap() > 0.04);
}

#[test]
fn only_new_blocks_convict() {
    assert_eq!(outcomes(&[1.2, 1.0], &[1.2, 1.0]), [Outcome::Regress, Outcome::Pass]);
    assert_eq!(
        outcomes(&[1.2, 1.0], &[1.0, 1.0])[0],
        Outcome::Inconclusive,
        "a mean of both is near the margin"
    );
    assert_eq!(
        outcomes(&[1.08], &[1.0]),
        [Outcome::Pass],
        "all blocks together are surely below the margin"
    );
    assert_eq!(
        outcomes(&[1.0], &[1.3]),
        [Outcome::Pass],
        "what passed is not looked at again"
    );
}

#[test]
fn small_regressions_are_tolerated_and_improvements_called() {
    assert_eq!(outcomes(&[1.04], &[1.04]), [Outcome::SlowerWithinTolerance]);
    assert_eq!(outcomes(&[0.9], &[0.9]), [Outcome::Improved]);
    assert_eq!(
        outcomes(&[1.02], &[1.02]),
        [Outcome::Pass],
        "below the effect of interest"
    );
}

#[test]
fn noise_above_the_margin_is_inconclusive() {
    let noisy = look_of(vec![row(24, 1.05, 0.6)], None);
    let decided = p95().decide_alone(p95().examine(&noisy));
    assert_eq!(decided[0].outcome, Outcome::Inconclusive);
    assert!(decided[0].evidence.visible.unwrap() > 0.3);
}

#[test]
fn the_canary_takes_shared_noise_out() {
    let shared = row(24, 1.0, 0.5);
    let own = row(24, 1.1, 0.01);
    let both: Vec<f64> = shared.iter().zip(own.iter().rev()).map(|(a, b)| a + b).collect();
    let with = residuals(&both, &shared);
    let spread = |row: &[f64]| student::standard_deviation(row).unwrap();
    assert!(spread(&with) < spread(&both) / 20.0);
    assert_close(average(&with), 1.1_f64.ln(), 0.01);
    assert_eq!(
        residuals(&both, &[0.0; 24]),
        both,
        "a ruler that never moved takes nothing out"
    );
}

#[test]
fn turning_the_sides_of_blocks_turns_the_residuals() {
    let (row, canary) = (row(24, 1.03, 0.1), row(24, 1.0, 0.2));
    let turned = |values: &[f64]| -> Vec<f64> {
        values
            .iter()
            .enumerate()
            .map(|(block, value)| if block % 3 == 0 { -value } else { *value })
            .collect()
    };
    let once = residuals(&row, &canary);
    for (one, other) in residuals(&turned(&row), &turned(&canary)).iter().zip(turned(&once)) {
        assert_close(*one, other, 1e-12);
    }
}

#[test]
fn the_family_is_as_bad_as_its_worst_endpoint() {
    use Outcome::{Improved, Inconclusive, InsufficientData, Pass, Regress, SlowerWithinTolerance};
    assert_eq!(overall([Pass, Improved, SlowerWithinTolerance]), Pass);
    assert_eq!(overall([Pass, InsufficientData]), Inconclusive);
    assert_eq!(overall([Inconclusive, Regress, Pass]), Regress);
}

#[test]
fn the_same_data_and_seed_give_the_same_verdict() {
    let noisy = look(30, &[1.02, 1.07, 0.99]);
    assert_eq!(p95().examine(&noisy), p95().examine(&noisy));
}
