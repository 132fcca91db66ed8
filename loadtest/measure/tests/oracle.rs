//! The estimators against values of numpy and scipy, stored with the script that made them (`tests/oracle/values.py`).

#![expect(clippy::unwrap_used, reason = "a test that cannot read its own data has failed")]

use measure::capacity::usl;
use measure::stats::hodges_lehmann;
use measure::stats::signflip::{self, Flips};
use measure::stats::student;
use measure::stats::unpaired::{Difference, holm};
use measure::steady;
use serde::Deserialize;

#[derive(Deserialize)]
struct Values {
    sign_flip: SignFlip,
    hodges_lehmann: Vec<Walsh>,
    student: Vec<(f64, usize, f64)>,
    mser5: Mser,
    t_test: TTest,
    usl: Usl,
    unpaired: Unpaired,
}

#[derive(Deserialize)]
struct SignFlip {
    rows: Vec<Vec<f64>>,
    t: Vec<f64>,
    raw: Vec<f64>,
    adjusted: Vec<f64>,
}

#[derive(Deserialize)]
struct Walsh {
    row: Vec<f64>,
    estimate: f64,
    low: f64,
    high: f64,
}

#[derive(Deserialize)]
struct Mser {
    values: Vec<f64>,
    batches: usize,
}

#[derive(Deserialize)]
struct TTest {
    before: Vec<f64>,
    after: Vec<f64>,
    t: f64,
    p: f64,
}

#[derive(Deserialize)]
struct Usl {
    n: Vec<f64>,
    x: Vec<f64>,
    lambda: f64,
    sigma: f64,
    kappa: f64,
}

#[derive(Deserialize)]
struct Unpaired {
    before: Vec<f64>,
    after: Vec<f64>,
    limit: f64,
    p_above: f64,
    low: f64,
    high: f64,
    further: f64,
    further_low: f64,
    further_high: f64,
    raw: Vec<f64>,
    holm: Vec<f64>,
}

fn values() -> Values {
    serde_json::from_str(include_str!("oracle/values.json")).unwrap()
}

#[track_caller]
fn assert_close(actual: f64, expected: f64, relative: f64) {
    assert!(
        (actual - expected).abs() <= relative * expected.abs().max(1e-3),
        "{actual} is not {expected}"
    );
}

#[test]
fn sign_flips_and_step_down() {
    let case = values().sign_flip;
    let rows: Vec<&[f64]> = case.rows.iter().map(Vec::as_slice).collect();
    let tests = signflip::test_above_zero(&rows, &Flips::new(11, 1));
    for (index, test) in tests.iter().enumerate() {
        assert_close(test.t, case.t[index], 1e-9);
        assert_close(test.p_raw, case.raw[index], 1e-12);
        assert_close(test.p_adjusted, case.adjusted[index], 1e-12);
    }
}

#[test]
fn hodges_lehmann_and_wilcoxon_bounds() {
    for case in values().hodges_lehmann {
        let location = hodges_lehmann::location(&case.row).unwrap();
        assert_close(location.estimate, case.estimate, 1e-12);
        let (low, high) = location.bounds.unwrap();
        assert_close(low, case.low, 1e-12);
        assert_close(high, case.high, 1e-12);
    }
}

#[test]
fn student_quantiles() {
    for (probability, degrees, expected) in values().student {
        assert_close(student::quantile(probability, degrees), expected, 1e-8);
    }
}

#[test]
fn student_two_sided_p() {
    let case = values().t_test;
    assert_close(
        student::two_sided_p(case.t, case.before.len() + case.after.len() - 2),
        case.p,
        1e-8,
    );
}

#[test]
fn differences_of_groups_and_of_one_more_value() {
    let case = values().unpaired;
    let groups = Difference::of_groups(&case.before, &case.after).unwrap();
    assert_close(groups.p_above(case.limit), case.p_above, 1e-8);
    let (low, high) = groups.bounds(0.95);
    assert_close(low, case.low, 1e-8);
    assert_close(high, case.high, 1e-8);
    let (low, high) = Difference::of_one_more(&case.before, case.further)
        .unwrap()
        .bounds(0.95);
    assert_close(low, case.further_low, 1e-8);
    assert_close(high, case.further_high, 1e-8);
}

#[test]
fn holms_correction() {
    let case = values().unpaired;
    for (actual, expected) in holm(&case.raw).into_iter().zip(case.holm) {
        assert_close(actual, expected, 1e-12);
    }
}

#[test]
fn mser5() {
    let case = values().mser5;
    assert_eq!(steady::mser5(&case.values).unwrap().batches, case.batches);
}

#[test]
fn usl_fit() {
    let case = values().usl;
    let points: Vec<(f64, f64)> = case.n.iter().copied().zip(case.x.iter().copied()).collect();
    let law = usl::fit(&points).unwrap();
    assert_close(law.lambda, case.lambda, 1e-5);
    assert_close(law.sigma, case.sigma, 1e-4);
    assert_close(law.kappa, case.kappa, 1e-4);
}
