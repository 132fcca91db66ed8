//! Each way in which a targets file can be wrong is refused with file, line and what to write instead.

mod support;

use measure::record::Limit;
use scenarios::{Targets, testing::edited};
use support::refusal;

const VALID: &str = r#"name = "small"
planned_endpoints = ["trip_activity"]
[targets.hits]
priority = "P0"
metric = "cache.hit_ratio"
above = 0.8
source = "a line"
[targets.details]
priority = "P1"
metric = "http.p95_ms"
endpoint = "driver_details"
below = 10
source = "a line"
[targets.queries]
priority = "P2"
metric = "db.queries_per_request"
reduced_by = 0.5
source = "a line"
"#;

const ENDPOINTS: &[&str] = &["driver_details", "risk_current"];

fn said(from: &str, to: &str) -> String {
    refusal(&edited(VALID, from, to), &[], |file| {
        Targets::load(file, ENDPOINTS).map(|_| ())
    })
}

#[test]
fn the_unedited_file_is_valid_and_keeps_its_order() {
    let targets = Targets::parse("t.toml".as_ref(), VALID, ENDPOINTS).expect("valid");
    let limits: Vec<(&str, Limit)> = targets
        .items
        .iter()
        .map(|item| (item.id.as_str(), item.limit))
        .collect();
    let expected = [
        ("hits", Limit::Above(0.8)),
        ("details", Limit::Below(10.0)),
        ("queries", Limit::ReducedBy(0.5)),
    ];
    assert_eq!(limits, expected);
    for twice in ["multiplied_by = 2", "increased_by = 1"] {
        let text = edited(VALID, "reduced_by = 0.5", twice);
        let targets = Targets::parse("t.toml".as_ref(), &text, ENDPOINTS).expect("valid");
        assert_eq!(targets.items[2].limit, Limit::MultipliedBy(2.0));
    }
}

#[test]
fn planned_endpoints_and_the_whole_mix_can_be_targets() {
    for endpoint in ["trip_activity", "all"] {
        let text = edited(VALID, "\"driver_details\"", &format!("\"{endpoint}\""));
        let targets = Targets::parse("t.toml".as_ref(), &text, ENDPOINTS).expect("valid");
        assert_eq!(targets.items[1].endpoint.as_deref(), Some(endpoint));
    }
}

#[test]
fn names_that_do_not_exist() {
    insta::assert_snapshot!(
        said("\"driver_details\"", "\"driver_detials\""),
        @"w.toml:11: unknown endpoint `driver_detials`; did you mean `driver_details`?"
    );
    insta::assert_snapshot!(
        said("\"driver_details\"", "\"trip_activty\""),
        @"w.toml:11: unknown endpoint `trip_activty`; did you mean `trip_activity`?"
    );
    insta::assert_snapshot!(
        said("\"http.p95_ms\"", "\"http.p95\""),
        @"w.toml:10: unknown metric `http.p95`; did you mean `http.p95_ms`?"
    );
    insta::assert_snapshot!(said("\"P1\"", "\"P5\""), @"w.toml:9: unknown name `P5`; did you mean `P0`?");
    insta::assert_snapshot!(said("below =", "bellow ="), @"w.toml:12: unknown key `bellow`; did you mean `below`?");
    insta::assert_snapshot!(said("priority = \"P2\"\n", ""), @"w.toml:14: missing key `priority`");
    insta::assert_snapshot!(said("[targets.queries]", "[targets.hits]"), @"w.toml:14: duplicate key `hits`");
}

#[test]
fn every_registered_metric_and_those_of_a_metrics_page_can_be_targets() {
    let own = measure::metrics::METRICS
        .iter()
        .filter(|metric| !metric.is_per_endpoint());
    let names = own.map(|metric| metric.name()).chain(["prometheus.shop_carts"]);
    for name in names {
        let text = edited(VALID, "\"db.queries_per_request\"", &format!("\"{name}\""));
        let targets = Targets::parse("t.toml".as_ref(), &text, ENDPOINTS).expect(name);
        assert_eq!(targets.items[2].metric, name);
    }
}

#[test]
fn endpoints_where_there_are_none_and_none_where_they_are_needed() {
    insta::assert_snapshot!(
        said("above = 0.8", "above = 0.8\nendpoint = \"all\""),
        @"w.toml:7: `cache.hit_ratio` is not measured per endpoint: leave `endpoint` out"
    );
    insta::assert_snapshot!(
        said("endpoint = \"driver_details\"\n", ""),
        @"w.toml:10: `http.p95_ms` is measured per endpoint; add `endpoint`, with `all` for the whole mix"
    );
}

#[test]
fn limits_that_cannot_be_meant() {
    insta::assert_snapshot!(
        said("below = 10\n", ""),
        @"w.toml:8: target `details` gives not exactly one of: below, above, reduced_by, increased_by, multiplied_by"
    );
    insta::assert_snapshot!(
        said("below = 10\n", "below = 10\nabove = 1\n"),
        @"w.toml:8: target `details` gives not exactly one of: below, above, reduced_by, increased_by, multiplied_by"
    );
    insta::assert_snapshot!(
        said("above = 0.8", "above = 80"),
        @"w.toml:6: the limit must be a share from 0 to 1, like 0.8 for 80 %"
    );
    insta::assert_snapshot!(
        said("reduced_by = 0.5", "reduced_by = 50"),
        @"w.toml:17: the limit must be a share above 0 and up to 1, like 0.5 for 50 %"
    );
    insta::assert_snapshot!(
        said("reduced_by = 0.5", "reduced_by = 0"),
        @"w.toml:17: the limit must be a share above 0 and up to 1, like 0.5 for 50 %"
    );
    insta::assert_snapshot!(
        said("reduced_by = 0.5", "multiplied_by = 0"),
        @"w.toml:17: the limit must be above 0, like 2 for twice as much"
    );
    insta::assert_snapshot!(
        said("reduced_by = 0.5", "increased_by = -0.5"),
        @"w.toml:17: the limit must be above 0, like 1 for 100 % more, which is twice as much"
    );
    insta::assert_snapshot!(said("below = 10", "below = -10"), @"w.toml:12: the limit must be 0 or more");
}

#[test]
fn files_without_substance() {
    insta::assert_snapshot!(said("\"a line\"", "\" \""), @"w.toml:7: `source` is empty");
    insta::assert_snapshot!(
        refusal("name = \"none\"\n", &[], |file| Targets::load(file, ENDPOINTS).map(|_| ())),
        @"w.toml:1: there are no targets; add a table `[targets.ID]`"
    );
}

#[test]
fn a_target_may_say_why_nothing_measures_it_yet() {
    let text = edited(VALID, "above = 0.8", "above = 0.8\nnot_yet = \"no probe\"");
    let targets = Targets::parse("t.toml".as_ref(), &text, ENDPOINTS).expect("valid");
    let reasons: Vec<Option<&str>> = targets.items.iter().map(|item| item.not_yet.as_deref()).collect();
    assert_eq!(reasons, [Some("no probe"), None, None]);
    let empty = said("above = 0.8", "above = 0.8\nnot_yet = \"\"");
    assert!(empty.contains("w.toml:7: `not_yet`"), "{empty}");
}

#[test]
fn a_limit_beyond_what_is_told_apart_is_refused() {
    let refused = said("below = 10", "below = 60001");
    assert!(
        refused.contains("w.toml:12: times above 60000 ms are not told apart"),
        "{refused}"
    );
    let text = edited(VALID, "below = 10", "below = 60000");
    assert!(Targets::parse("t.toml".as_ref(), &text, ENDPOINTS).is_ok());
}
