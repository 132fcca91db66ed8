//! One probe over its limit at a time.

use super::*;
use crate::record::Round;
use crate::testing::round;

fn rounds(probes: &[(&str, f64)]) -> Vec<Round> {
    let calm = round(0, "s", &[("a", (1..=1000).collect())]);
    let strained = probes.iter().fold(
        round(1, "s", &[("a", (1..=1000).collect())]),
        |round, (metric, value)| round.with_probe(metric, *value),
    );
    vec![calm, strained]
}

fn checks(probes: &[(&str, f64)]) -> Vec<Check> {
    of_machine(&Rounds::decode(&rounds(probes)).unwrap())
}

#[test]
fn each_probe_over_its_limit_fails_its_own_check() {
    let cases = [
        (
            metrics::HARNESS_CPU_PERCENT.name(),
            79.0,
            81.0,
            "81 % of all cores, allowed 80 % of all cores (block 1, subject s)",
        ),
        (
            metrics::HARNESS_LAG_P99_MS.name(),
            4.9,
            5.1,
            "5.1 ms late at p99, allowed 5 ms late at p99 (block 1, subject s)",
        ),
        (
            metrics::CLOCK_STEP_US.name(),
            4.0,
            6.0,
            "steps of 6 us, allowed 5 us where the fastest median is 500 us (block 1, subject s)",
        ),
        (
            metrics::STEAL_PERCENT.name(),
            9.0,
            11.0,
            "11 % of all cores, allowed 10 % of all cores (block 1, subject s)",
        ),
        (
            metrics::OTHER_CPU_PERCENT.name(),
            9.0,
            11.0,
            "11 % of all cores, allowed 10 % of all cores (block 1, subject s)",
        ),
    ];
    for (index, (metric, good, bad, detail)) in cases.into_iter().enumerate() {
        assert!(checks(&[(metric, good)]).iter().all(|check| check.ok), "{metric}");
        let failed: Vec<_> = checks(&[(metric, bad)])
            .into_iter()
            .enumerate()
            .filter(|(_, check)| !check.ok)
            .collect();
        assert_eq!(failed.len(), 1, "{metric}: {failed:?}");
        assert_eq!((failed[0].0, failed[0].1.detail.as_str()), (index, detail));
    }
}

#[test]
fn what_was_not_read_is_said() {
    assert!(checks(&[]).iter().all(|check| check.ok && check.detail == "not read"));
}

#[test]
fn slow_answers_allow_a_later_timer() {
    let slow = round(0, "s", &[("a", vec![100_000; 100])]).with_probe(metrics::HARNESS_LAG_P99_MS.name(), 19.0);
    let lag = of_machine(&Rounds::decode(&[slow]).unwrap()).remove(1);
    assert!(lag.ok, "{lag:?}");
}
