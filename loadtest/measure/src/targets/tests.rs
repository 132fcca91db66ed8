//! Targets judged on small hand-made rounds.

use super::*;
use crate::record::{Round, TargetVerdict};
use crate::rounds::Rounds;
use crate::summary::summarise;
use crate::testing::{assert_close, round};

fn target(metric: &str, endpoint: Option<&str>, limit: Limit) -> TargetSpec {
    TargetSpec {
        id: format!("{metric} {limit:?}"),
        priority: Priority::P0,
        metric: metric.to_owned(),
        endpoint: endpoint.map(ToOwned::to_owned),
        limit,
        source: "a line of the plan".to_owned(),
        not_yet: None,
    }
}

/// One target on the rounds of `new` against those of `old`.
fn judged(rounds: &[Round], item: TargetSpec) -> TargetResult {
    judged_against(Some("old"), rounds, item)
}

fn judged_against(before: Option<&str>, rounds: &[Round], item: TargetSpec) -> TargetResult {
    let rounds = Rounds::decode(rounds).unwrap();
    let evidence = Evidence {
        summary: &summarise(rounds.of("new")),
        before: before.map(|before| rounds.of(before)),
        after: rounds.of("new"),
        disturbance: Disturbance::of(rounds.of("new"), 2.0),
    };
    results(&[item], evidence).remove(0)
}

fn verdict(rounds: &[Round], metric: &str, limit: Limit) -> TargetVerdict {
    judged(rounds, target(metric, None, limit)).verdict
}

/// One round of `new`: `above` of `count` answers of `a` take longer than 5 ms.
fn round_above(block: u32, count: u64, above: u64) -> Round {
    let times = (0..count - above)
        .map(|_| 2000)
        .chain((0..above).map(|_| 8000))
        .collect();
    round(block, "new", &[("a", times)])
}

fn rounds_above(counts: &[(u64, u64)]) -> Vec<Round> {
    (0..)
        .zip(counts)
        .map(|(block, (count, above))| round_above(block, *count, *above))
        .collect()
}

/// The golden case of STATISTICS section 2.
const GOLDEN: [(u64, u64); 6] = [(1000, 40), (1200, 70), (900, 45), (1100, 60), (1000, 50), (800, 35)];

#[test]
fn the_golden_case_stands_exactly_on_the_limit() {
    let result = judged(
        &rounds_above(&GOLDEN),
        target("http.p95_ms", Some("a"), Limit::Below(5.0)),
    );
    assert_eq!(result.verdict, TargetVerdict::Inconclusive);
    // t_5(.95) = 2.01505 times .002887.
    assert_eq!(
        result.detail,
        "5 % of requests above 5 ms +- 0.582 % (one-sided 95 %), decided against 5 %; 6 rounds, design effect 1.05"
    );
    assert_eq!(result.interval, Some((2.0, 8.003)));
}

#[test]
fn the_share_above_the_limit_decides_a_percentile() {
    let halved = GOLDEN.map(|(count, above)| (count, above / 2));
    let doubled = GOLDEN.map(|(count, above)| (count, above * 2));
    assert_eq!(
        verdict(&rounds_above(&halved), "http.p95_ms", Limit::Below(5.0)),
        TargetVerdict::Pass
    );
    assert_eq!(
        verdict(&rounds_above(&doubled), "http.p95_ms", Limit::Below(5.0)),
        TargetVerdict::Fail
    );
    assert_eq!(
        verdict(&rounds_above(&doubled), "http.p95_ms", Limit::Above(5.0)),
        TargetVerdict::Pass
    );
    assert_eq!(
        verdict(&rounds_above(&doubled), "http.p50_ms", Limit::Below(5.0)),
        TargetVerdict::Pass
    );
    assert_eq!(
        verdict(&rounds_above(&halved), "http.p99_ms", Limit::Below(5.0)),
        TargetVerdict::Fail
    );
}

#[test]
fn observed_is_the_merged_percentile() {
    let result = judged(
        &rounds_above(&[(1000, 100), (1000, 100)]),
        target("http.p95_ms", Some("a"), Limit::Below(5.0)),
    );
    assert_close(result.observed.unwrap(), 8.003, 1e-9);
    assert_eq!(
        (result.interval, result.verdict),
        (Some((8.003, 8.003)), TargetVerdict::Fail)
    );
}

/// Two rounds of 50 answers at the limit agree by chance in one of nine cases.
#[test]
fn rounds_that_agree_by_chance_decide_nothing() {
    for above in [0, 1, 2] {
        let rounds = rounds_above(&[(50, above), (50, above)]);
        assert_eq!(
            verdict(&rounds, "http.p95_ms", Limit::Below(5.0)),
            TargetVerdict::Inconclusive,
            "{above} of 50 above in both"
        );
    }
    let many = rounds_above(&[(100_000, 4_980), (100_000, 4_980), (100_000, 4_980), (100_000, 4_980)]);
    assert_eq!(
        verdict(&many, "http.p95_ms", Limit::Below(5.0)),
        TargetVerdict::Inconclusive
    );
    let fewer = rounds_above(&[(100_000, 4_500), (100_000, 4_500), (100_000, 4_500), (100_000, 4_500)]);
    assert_eq!(verdict(&fewer, "http.p95_ms", Limit::Below(5.0)), TargetVerdict::Pass);
}

#[test]
fn one_short_round_is_inconclusive_however_fast() {
    let result = judged(
        &rounds_above(&[(1000, 0)]),
        target("http.p95_ms", None, Limit::Below(5.0)),
    );
    assert_eq!((result.verdict, result.interval), (TargetVerdict::Inconclusive, None));
    assert_close(result.observed.unwrap(), 2.0, 0.01);
    assert!(
        result.detail.contains("one round gives no interval"),
        "{}",
        result.detail
    );
}

/// A round of ten seconds with 100 requests each, `slow` of which take 8 ms; and `failed` more that failed.
fn long_round(slow: u64, failed: u64) -> Round {
    let of_second: Vec<u64> = (0..100).map(|i| if i < slow { 8_000 } else { 2_000 }).collect();
    let mut one = round_above(0, 1000, 10 * slow).with_errors("a", failed);
    let second = |number: u64| crate::record::Slice {
        start_ms: number * 1000,
        count: 100,
        errors: failed / 10,
        hdr: Some(crate::testing::seconds_of(&of_second)),
        ..crate::record::Slice::default()
    };
    one.slices = (0..10).map(second).collect();
    one
}

#[test]
fn a_single_run_holds_or_misses_a_target_under_its_own_conditions() {
    for (slow, failed, expected) in [
        (0, 0, TargetVerdict::Pass),
        (20, 0, TargetVerdict::Fail),
        (5, 0, TargetVerdict::Inconclusive),
        (0, 200, TargetVerdict::Fail),
    ] {
        let result = judged(
            &[long_round(slow, failed)],
            target("http.p95_ms", Some("a"), Limit::Below(5.0)),
        );
        assert_eq!(result.verdict, expected, "{slow} slow: {}", result.detail);
        assert!(
            result.detail.contains("the conditions of this run"),
            "{}",
            result.detail
        );
    }
    let errors = judged(&[long_round(0, 0)], target("http.error_rate", None, Limit::Below(0.01)));
    assert_eq!(errors.verdict, TargetVerdict::Pass, "{}", errors.detail);
}

/// Row after row: never answered, dropped, or answered with an error in time.
#[test]
fn a_request_that_failed_was_slow() {
    let fast: Vec<Round> = (0..5).map(|block| round_above(block, 900, 0)).collect();
    let p95 = |rounds: &[Round]| judged(rounds, target("http.p95_ms", Some("a"), Limit::Below(5.0)));
    assert_eq!(p95(&fast).verdict, TargetVerdict::Pass);
    let spoil: [fn(&mut Round); 3] = [
        |round| round.phases[0].endpoints.get_mut("a").unwrap().errors = 100,
        |round| round.phases[0].endpoints.get_mut("a").unwrap().censored = 100,
        |round| {
            round.phases[0].arrivals = Some(crate::record::Arrivals {
                intended: 1000,
                sent: 900,
                late: 0,
                dropped: 100,
                lateness_hdr: crate::testing::histogram_of(vec![50; 900]).encode(),
            });
        },
    ];
    for spoil in spoil {
        let mut rounds = fast.clone();
        rounds.iter_mut().for_each(spoil);
        let result = p95(&rounds);
        assert_eq!(result.verdict, TargetVerdict::Fail, "{}", result.detail);
        assert_close(result.observed.unwrap(), 60_000.0, 1e-9);
        assert!(
            result
                .detail
                .contains("500 of 5000 failed and count as slower; of the answers alone 2 ms"),
            "{}",
            result.detail
        );
        let errors = judged(&rounds, target("http.error_rate", None, Limit::Below(0.05)));
        assert_eq!(errors.verdict, TargetVerdict::Fail);
        assert_close(errors.observed.unwrap(), 0.1, 1e-12);
    }
}

#[test]
fn a_subject_that_gets_quicker_by_failing_did_not_get_quicker() {
    let sides = |block| {
        let failing = round(block, "new", &[("a", vec![400; 90])]).with_errors("a", 10);
        [round(block, "old", &[("a", vec![1600; 100])]), failing]
    };
    let rounds: Vec<Round> = (0..5).flat_map(sides).collect();
    assert_eq!(
        verdict(&rounds, "http.p95_ms", Limit::ReducedBy(0.5)),
        TargetVerdict::Fail
    );
}

#[test]
fn a_disturbance_explains_a_narrow_miss_and_no_wide_one() {
    let name = crate::metrics::OTHER_CPU_PERCENT.name();
    let of_block = |block, us| round(block, "new", &[("a", vec![us; 400])]).with_probe(name, 20.0);
    let with = |us: u64| -> Vec<Round> { (0..5).map(|block| of_block(block, us)).collect() };
    let p95 = |rounds: &[Round]| judged(rounds, target("http.p95_ms", Some("a"), Limit::Below(5.0)));
    let held = p95(&with(3_000));
    assert_eq!((held.verdict, held.hangs), (TargetVerdict::Pass, false));
    let narrow = p95(&with(8_000));
    assert_eq!((narrow.verdict, narrow.hangs), (TargetVerdict::Fail, true));
    let wide = p95(&with(40_000));
    assert_eq!((wide.verdict, wide.hangs), (TargetVerdict::Fail, false));
}

#[test]
fn the_error_rate_is_pooled_over_rounds() {
    let rounds: Vec<_> = (0..3)
        .map(|block| round_above(block, 990, 0).with_errors("a", 10))
        .collect();
    let result = judged(&rounds, target("http.error_rate", None, Limit::Below(0.02)));
    assert_close(result.observed.unwrap(), 0.01, 1e-12);
    assert_eq!(result.verdict, TargetVerdict::Pass);
    assert_eq!(
        verdict(&rounds, "http.error_rate", Limit::Below(0.01)),
        TargetVerdict::Inconclusive,
        "three rounds that agree stand at the limit"
    );
    let uneven: Vec<_> = [0, 30]
        .into_iter()
        .zip(0..)
        .map(|(errors, block)| round_above(block, 970, 0).with_errors("a", errors))
        .collect();
    assert_eq!(
        verdict(&uneven, "http.error_rate", Limit::Below(0.01)),
        TargetVerdict::Inconclusive
    );
}

#[test]
fn metrics_are_judged_by_their_interval_over_rounds() {
    let rounds: Vec<_> = [(0, 85_000), (1, 86_000), (2, 87_000)]
        .map(|(block, hits)| {
            round_above(block, 10, 0)
                .with_ratio("cache.hit_ratio", hits, 100_000)
                .with_probe("service.rss_mb", 60.0)
        })
        .into();
    let result = judged(&rounds, target("cache.hit_ratio", None, Limit::Above(0.8)));
    assert_close(result.observed.unwrap(), 0.86, 1e-12);
    assert_eq!(result.verdict, TargetVerdict::Pass);
    assert_eq!(
        verdict(&rounds, "cache.hit_ratio", Limit::Above(0.86)),
        TargetVerdict::Inconclusive
    );
    assert_eq!(
        verdict(&rounds, "cache.hit_ratio", Limit::Above(0.9)),
        TargetVerdict::Fail
    );
    assert_eq!(
        verdict(&rounds, "service.rss_mb", Limit::Below(700.0)),
        TargetVerdict::Pass
    );
}

#[test]
fn a_metric_of_one_endpoint_has_its_own_key() {
    let key = metric_key("cache.hit_ratio", Some("a"));
    assert_eq!(key, "cache.hit_ratio{a}");
    let rounds: Vec<_> = (0..2)
        .map(|block| round_above(block, 10, 0).with_ratio(&key, 9_000, 10_000))
        .collect();
    assert_eq!(
        judged(&rounds, target("cache.hit_ratio", Some("a"), Limit::Above(0.8))).verdict,
        TargetVerdict::Pass
    );
    assert_eq!(
        judged(&rounds, target("cache.hit_ratio", None, Limit::Above(0.8))).verdict,
        TargetVerdict::NotMeasured
    );
}

/// Three blocks of `old` and `new`, with the given queries per request and times.
fn both_sides(old: [f64; 3], new: [f64; 3]) -> Vec<Round> {
    let one = |block, subject, us, queries| {
        round(block, subject, &[("a", vec![us; 50])]).with_probe("db.queries_per_request", queries)
    };
    (0..3_u32)
        .zip(old.into_iter().zip(new))
        .flat_map(|(block, (old, new))| [one(block, "old", 1600, old), one(block, "new", 400, new)])
        .collect()
}

#[test]
fn reductions_are_taken_block_by_block() {
    let rounds = both_sides([10.0, 11.0, 12.0], [2.0, 2.3, 2.3]);
    let result = judged(&rounds, target("db.queries_per_request", None, Limit::ReducedBy(0.5)));
    assert_close(
        result.observed.unwrap(),
        1.0 - (0.2 + 2.3 / 11.0 + 2.3 / 12.0) / 3.0,
        1e-12,
    );
    assert_eq!(result.verdict, TargetVerdict::Pass);
    assert_eq!(
        verdict(&rounds, "db.queries_per_request", Limit::ReducedBy(0.9)),
        TargetVerdict::Fail
    );
    assert_eq!(
        verdict(&rounds, "db.queries_per_request", Limit::ReducedBy(0.8)),
        TargetVerdict::Inconclusive
    );
    assert_eq!(
        verdict(&rounds, "http.p95_ms", Limit::ReducedBy(0.75)),
        TargetVerdict::Pass,
        "exactly a quarter is left"
    );
}

#[test]
fn what_nothing_measured_is_never_passed() {
    let rounds: Vec<_> = (0..2)
        .map(|block| {
            round_above(block, 10, 0)
                .with_ratio("cache.hit_ratio", 0, 0)
                .with_errors("a", 0)
        })
        .collect();
    let cases = [
        (
            target("kafka.lag_p99_ms", None, Limit::Below(9.0)),
            "nothing measures `kafka.lag_p99_ms` in this run",
        ),
        (
            target("cache.hit_ratio", None, Limit::Above(0.8)),
            "`cache.hit_ratio` had nothing to count",
        ),
        (
            target("http.p95_ms", Some("b"), Limit::Below(9.0)),
            "no endpoint `b` in this workload",
        ),
        (
            target("http.p95_ms", None, Limit::ReducedBy(0.5)),
            "`all` was not answered on both sides of any block",
        ),
        (
            target("cache.hit_ratio", None, Limit::ReducedBy(0.5)),
            "`cache.hit_ratio` had nothing to count",
        ),
    ];
    for (item, why) in cases {
        let result = judged(&rounds, item);
        assert_eq!(
            (result.verdict, result.observed, result.detail.as_str()),
            (TargetVerdict::NotMeasured, None, why)
        );
    }
}

#[test]
fn nothing_to_reduce_and_nothing_to_compare_with() {
    let rounds = both_sides([0.0; 3], [1.0; 3]);
    let item = target("db.queries_per_request", None, Limit::ReducedBy(0.5));
    let result = judged(&rounds, item.clone());
    assert_eq!(result.verdict, TargetVerdict::NotMeasured);
    let alone = judged_against(None, &rounds, item.clone());
    assert!(
        alone
            .detail
            .starts_with("a relative limit needs a subject to compare against"),
        "{}",
        alone.detail
    );
    let absent = judged(&both_sides([1.0; 3], [1.0; 3])[..1], item);
    assert_eq!(
        (absent.verdict, absent.detail.as_str()),
        (TargetVerdict::NotMeasured, "the subject was not measured")
    );
}

#[test]
fn an_endpoint_that_only_failed_misses_every_limit() {
    let rounds: Vec<_> = (0..2)
        .map(|block| round(block, "new", &[("a", vec![])]).with_errors("a", 700))
        .collect();
    let result = judged(&rounds, target("http.p95_ms", Some("a"), Limit::Below(5.0)));
    assert_eq!(result.verdict, TargetVerdict::Fail, "{}", result.detail);
    assert!(result.detail.ends_with("none was answered"), "{}", result.detail);
}

/// Times above 60 s are not told apart, so that a limit above can hold and not be missed, but by failures.
#[test]
fn a_limit_beyond_what_is_told_apart_is_judged_by_counts() {
    let of = |slow: u64, failed: u64| {
        let times = [vec![70_000_000; usize::try_from(slow).unwrap()], vec![2_000; 1000]].concat();
        let rounds: Vec<Round> = (0..5)
            .map(|block| round(block, "new", &[("a", times.clone())]).with_errors("a", failed))
            .collect();
        verdict(&rounds, "http.p95_ms", Limit::Below(90_000.0))
    };
    assert_eq!(of(0, 0), TargetVerdict::Pass);
    assert_eq!(of(200, 0), TargetVerdict::Inconclusive);
    assert_eq!(of(0, 200), TargetVerdict::Fail);
}

#[test]
fn a_multiple_is_judged_block_by_block_on_the_logarithmic_scale() {
    // 2, 4 and 2 times: the mean of the logarithms is that of 2.52.
    let rounds: Vec<Round> = [(10.0, 20.0), (10.0, 40.0), (30.0, 60.0)]
        .into_iter()
        .zip(0..)
        .flat_map(|((before, after), block)| {
            [("old", before), ("new", after)]
                .map(|(side, value)| round(block, side, &[]).with_probe("kafka.throughput_msgs_per_s", value))
        })
        .collect();
    let multiple = |factor| {
        judged(
            &rounds,
            target("kafka.throughput_msgs_per_s", None, Limit::MultipliedBy(factor)),
        )
    };
    let two = multiple(2.0);
    assert_close(two.observed.unwrap(), 2.0_f64.powf(4.0 / 3.0), 1e-9);
    // sd of the logarithms .40019, t_2 = 4.302653, so the interval is exp(.924196 -+ .994137).
    assert_close(two.interval.unwrap().0, 0.932_45, 1e-4);
    assert_close(two.interval.unwrap().1, 6.809_6, 1e-3);
    assert_eq!(two.verdict, TargetVerdict::Inconclusive);
    assert_eq!(multiple(0.9).verdict, TargetVerdict::Pass);
    assert_eq!(multiple(7.0).verdict, TargetVerdict::Fail);
}
