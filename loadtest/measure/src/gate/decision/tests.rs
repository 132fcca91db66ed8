//! The decision on small made-up blocks; its error rates are in `tests/simulation`.

use super::*;
use crate::testing::{assert_close, golden_series};

/// Blocks of a row around `ratio`, with a fixed spread.
fn row(blocks: u32, ratio: f64, spread: f64) -> Vec<f64> {
    (0..blocks)
        .map(|block| ratio.ln() + spread * (f64::from(block * 7919 % 101) / 50.0 - 1.0))
        .collect()
}

fn look(blocks: u32, ratios: &[f64]) -> Look {
    Look {
        rows: ratios.iter().map(|ratio| row(blocks, *ratio, 0.05)).collect(),
        canary: None,
    }
}

/// Outcomes of two stages of 24 blocks, with these ratios in each.
fn outcomes(first: &[f64], second: &[f64]) -> Vec<Outcome> {
    let rules = GateRules::default();
    let (one, new) = (look(24, first), look(24, second));
    let all = Look {
        rows: one
            .rows
            .iter()
            .zip(&new.rows)
            .map(|(a, b)| [a.clone(), b.clone()].concat())
            .collect(),
        canary: None,
    };
    let decided = decide(examine(&one, &rules), &new, &all, &rules);
    decided.into_iter().map(|one| one.outcome).collect()
}

#[test]
fn the_golden_case_of_one_look() {
    let look = Look {
        rows: golden_series().to_vec(),
        canary: None,
    };
    let evidence = examine(&look, &GateRules::default());
    let p: Vec<f64> = evidence.iter().map(|one| one.p_slower).collect();
    assert_eq!(p, [0.003_906_25, 0.367_187_5, 0.539_062_5]);
    assert_close(evidence[0].location.estimate, 0.0825, 1e-12);
    assert_eq!(
        first_stage(&evidence, &GateRules::default()),
        [First::Slower, First::Pass, First::Pass]
    );
}

/// Noise that both share is taken out; an effect of the endpoint's own is not, though the canary happened to move a
/// little, the same way or the other, in the few blocks there are.
#[test]
fn a_canary_takes_out_what_is_shared_and_nothing_else() {
    let shared = [0.2, -0.1, 0.15, -0.3, 0.1];
    let noisy: Vec<f64> = shared.iter().map(|noise| 0.01 + noise).collect();
    let left = residuals(&noisy, Some(&shared));
    assert!(left.iter().all(|value| (value - 0.01).abs() < 0.01), "{left:?}");

    for moved in [0.02, -0.02] {
        let canary: Vec<f64> = [1.0, 0.9, 1.1, 1.2, 0.8].iter().map(|share| share * moved).collect();
        let left = residuals(&[3.0_f64.ln(); 5], Some(&canary));
        assert!(
            left.iter().all(|value| (value / 3.0_f64.ln() - 1.0).abs() < 0.05),
            "{left:?}"
        );
    }
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
    let rules = GateRules::default();
    let noisy = Look {
        rows: vec![row(24, 1.05, 0.6)],
        canary: None,
    };
    let decided = decide_alone(examine(&noisy, &rules), &rules);
    assert_eq!(decided[0].outcome, Outcome::Inconclusive);
    assert!(decided[0].evidence.mde.unwrap() > 0.3);
}

#[test]
fn the_canary_takes_shared_noise_out() {
    let shared = row(24, 1.0, 0.5);
    let own = row(24, 1.1, 0.01);
    let both: Vec<f64> = shared.iter().zip(own.iter().rev()).map(|(a, b)| a + b).collect();
    let with = residuals(&both, Some(&shared));
    let spread = |row: &[f64]| crate::stats::student::standard_deviation(row).unwrap();
    assert!(spread(&with) < spread(&both) / 20.0);
    let mean = with.iter().sum::<f64>() / 24.0;
    assert_close(mean, 1.1_f64.ln(), 0.01);
    assert_eq!(
        residuals(&both, Some(&[0.0; 24])),
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
    let once = residuals(&row, Some(&canary));
    for (one, other) in residuals(&turned(&row), Some(&turned(&canary)))
        .iter()
        .zip(turned(&once))
    {
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
    let rules = GateRules::default();
    let noisy = look(30, &[1.02, 1.07, 0.99]);
    assert_eq!(examine(&noisy, &rules), examine(&noisy, &rules));
}
