//! The HTML page: offline, complete, well-formed where a browser would forgive, and safe with hostile names.

use std::fs;
use std::path::Path;

use measure::record::{Outcome, Record, TargetVerdict, Verdict};
use reports::html;

use crate::support;

/// Every variant of the fixture under a name; also written to disk, for looking at them in a browser.
fn variants() -> Vec<(&'static str, Record)> {
    vec![
        ("passed", support::record()),
        ("missed", missed()),
        ("single", support::single()),
        ("unavailable", support::unavailable()),
        ("interrupted", interrupted()),
        ("three", three()),
        ("open", support::open()),
        ("gate", support::gate()),
        ("ablation", support::ablation()),
        ("hostile", hostile()),
    ]
}

/// Targets missed, a check failed, seconds with errors and without answers.
fn missed() -> Record {
    let mut record = support::record();
    for target in &mut record.targets {
        match target.id.as_str() {
            "p95-driver" => {
                target.verdict = TargetVerdict::Fail;
                target.observed = Some(12.4);
                target.interval = Some((11.2, 13.9));
            }
            "queries-cut" => {
                target.verdict = TargetVerdict::Fail;
                target.observed = Some(-0.04);
                target.interval = Some((-0.11, 0.02));
            }
            "p95-risk" => {
                target.verdict = TargetVerdict::Inconclusive;
                target.detail = String::from("the interval covers the limit; more blocks would narrow it");
            }
            _ => {}
        }
    }
    record.checks[4].ok = false;
    record.checks[4].detail = String::from("1.93 of 2 cores: its own queueing is part of the figures");
    record.comparisons[2].outcome = Outcome::Regress;
    record.comparisons[2].ratio = 1.34;
    record.comparisons[1].outcome = Outcome::InsufficientData;
    record.comparisons[1].ratio_low = None;
    record.comparisons[1].mde = None;
    record.tool.build = String::from("debug");
    for second in 6..9 {
        record.rounds[1].slices[second].errors = 4;
        record.rounds[1].slices[second].p95_ms = None;
        record.rounds[4].slices[second + 4].errors = 1;
    }
    let after = record.summary.get_mut("phase2").expect("phase2 is in the fixture");
    after
        .endpoints
        .get_mut("driver_details")
        .expect("an endpoint of the fixture")
        .error_rate = 0.0026;
    with_verdict(
        record,
        Verdict::TargetsMissed,
        "2 of 13 measured targets are missed: p95-driver, queries-cut.",
    )
}

/// Stopped in the first launch of the second subject: no summary of it, an endpoint without answers.
fn interrupted() -> Record {
    let mut record = support::record();
    record.rounds.truncate(1);
    record.rounds[0].slices.truncate(1);
    record.summary.remove("phase2");
    record.comparisons.clear();
    record.targets.clear();
    let before = record.summary.get_mut("phase1").expect("phase1 is in the fixture");
    before.metrics.clear();
    let risk = before
        .endpoints
        .get_mut("risk_current")
        .expect("an endpoint of the fixture");
    (risk.count, risk.p50_ms, risk.p95_ms, risk.p99_ms) = (0, 0.0, 0.0, 0.0);
    risk.p95_ci_ms = None;
    risk.curve.clear();
    let all = before.endpoints.get_mut("all").expect("the mix is in the fixture");
    (all.p95_ci_ms, all.p95_ms) = (None, f64::NAN);
    with_verdict(
        record,
        Verdict::Interrupted,
        "Stopped by Ctrl-C in block 1, while phase2 was warming up.",
    )
}

fn three() -> Record {
    let mut record = support::record();
    record.subjects.insert(1, support::subject("planned", true));
    let planned = record.summary["phase1"].clone();
    record.summary.insert("planned".to_owned(), planned);
    record
}

const HOSTILE: &str =
    "<script>alert(\"1\")</script>'&\u{1}] a name of more than a hundred characters, which no layout expects at all";

/// That text wherever a record takes one from outside.
fn hostile() -> Record {
    let hostile = || HOSTILE.to_owned();
    let mut record = support::record();
    record.verdict_reason = hostile();
    record.command = hostile();
    record.workload.name = hostile();
    record.checks[0].name = hostile();
    record.targets[0].source = hostile();
    record.targets[1].endpoint = Some(hostile());
    record.subjects[1].name = hostile();
    record.subjects[1].env.insert(hostile(), hostile());
    record
        .rounds
        .iter_mut()
        .filter(|round| round.subject == "phase2")
        .for_each(|round| {
            round.subject = hostile();
            round.slices[3].errors = 1;
        });
    let mut after = record.summary.remove("phase2").expect("phase2 is in the fixture");
    let endpoint = after
        .endpoints
        .remove("risk_current")
        .expect("an endpoint of the fixture");
    after.endpoints.insert(hostile(), endpoint);
    let metric = after.metrics.remove("service.rss_mb").expect("a metric of the fixture");
    after.metrics.insert(hostile(), metric);
    record.summary.insert(hostile(), after);
    record
}

fn with_verdict(record: Record, verdict: Verdict, reason: &str) -> Record {
    Record {
        verdict,
        exit_code: verdict.exit_code(),
        verdict_reason: reason.to_owned(),
        ..record
    }
}

/// The plots of a page, each parsed as XML.
fn plots(page: &str) -> Vec<String> {
    let starts = page.match_indices("<svg ").map(|(start, _)| start);
    starts
        .map(|start| {
            page[start..]
                .split_inclusive("</svg>")
                .next()
                .expect("an end")
                .to_owned()
        })
        .collect()
}

fn position(page: &str, text: &str) -> usize {
    page.find(text)
        .unwrap_or_else(|| panic!("the page does not show {text:?}"))
}

#[test]
fn every_variant_renders() {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR"));
    for (name, record) in variants() {
        let page = html(&record).unwrap_or_else(|error| panic!("{name}: {error}"));
        fs::write(directory.join(format!("report-{name}.html")), &page).unwrap();
        assert!(page.ends_with("</html>"), "{name} is cut off");
        assert!(!page.contains("NaN"), "{name} shows a number that is none");
    }
}

#[test]
fn nothing_is_loaded_from_elsewhere() {
    for (name, record) in variants() {
        let page = html(&record).unwrap();
        for needle in [
            "http://", "https://", "src=", "<script", "<link", "@import", "url(", "<iframe", "<object",
        ] {
            assert!(!page.contains(needle), "{name} contains {needle}");
        }
        for link in page.split("href=\"").skip(1) {
            assert!(link.starts_with('#'), "{name} links outside: {}", &link[..20]);
        }
    }
}

#[test]
fn links_within_the_page_lead_somewhere() {
    for (name, record) in variants() {
        let page = html(&record).unwrap();
        for link in page.split("href=\"#").skip(1) {
            let id = link.split('"').next().unwrap();
            assert!(page.contains(&format!("id=\"{id}\"")), "{name}: #{id} leads nowhere");
        }
    }
}

#[test]
fn the_verdict_comes_first() {
    let page = html(&missed()).unwrap();
    let body = &page[position(&page, "<body>")..];
    let verdict = position(body, "TARGETS MISSED");
    let text_before = body[..verdict].replace("<body>", "");
    assert!(
        !text_before.contains("<p") && !text_before.contains("<a "),
        "{text_before}"
    );
    assert!(verdict < position(body, "2 of 13 measured targets are missed"));
    assert!(position(body, "exit code 5") < position(body, "<nav"));
    assert!(position(body, "Self-check failed: the generator was not saturated") < position(body, "<nav"));
    assert!(position(body, "debug build") < position(body, "<nav"));
}

#[test]
fn every_section_is_there_in_every_variant() {
    let sections = [
        "latency",
        "targets",
        "percentiles",
        "timeline",
        "resources",
        "checks",
        "environment",
        "guide",
    ];
    for (_, record) in variants() {
        let page = html(&record).unwrap();
        let places: Vec<_> = sections
            .iter()
            .map(|id| position(&page, &format!("<section id=\"{id}\"")))
            .collect();
        assert!(places.is_sorted(), "{places:?}");
    }
}

#[test]
fn the_headline_shows_what_the_record_says() {
    let page = html(&support::record()).unwrap();
    let banner = &page[position(&page, "<header")..position(&page, "</header>")];
    for text in [
        "61.4 → 3.87 ms",
        "15.9× faster",
        "92.7 %",
        "7.84 → 0.612",
        "100 users",
        "5 blocks × 20 s measured",
    ] {
        position(banner, text);
    }
}

#[test]
fn each_subject_has_its_figures_beside_its_name() {
    let page = html(&support::record()).unwrap();
    let table = &page[position(&page, "<table class=\"endpoints\">")..];
    let driver = &table[position(table, ">driver_details<")..];
    let (before, after) = (
        position(driver, "<strong>38.2</strong>"),
        position(driver, "<strong>2.41</strong>"),
    );
    assert!(position(driver, "</span>phase1") < before && before < position(driver, "</span>phase2"));
    assert!(after < position(driver, "0.0631"));
}

#[test]
fn what_is_not_measured_is_never_shown_as_held() {
    let page = html(&support::record()).unwrap();
    let table = &page[position(&page, "<table class=\"targets\">")..];
    let row = &table[position(table, "no probe delivers kafka.lag_p99_ms yet") - 900..];
    assert!(row.contains("not measured"));
    assert!(page.contains("<strong>8</strong> <span aria-hidden=\"true\">–</span> not measured"));
    assert!(page.contains("<strong>14</strong> <span aria-hidden=\"true\">✓</span> hold</li>"));
}

#[test]
fn plots_are_well_formed_and_say_what_they_show() {
    for (name, record) in variants() {
        let page = html(&record).unwrap();
        for plot in plots(&page) {
            let document = roxmltree::Document::parse(&plot).unwrap_or_else(|error| panic!("{name}: {error}\n{plot}"));
            let root = document.root_element();
            if root.attribute("aria-hidden") == Some("true") {
                continue;
            }
            assert_eq!(root.attribute("role"), Some("img"));
            let texts = ["title", "desc"].map(|tag| root.children().find(|child| child.has_tag_name(tag)).unwrap());
            let ids: Vec<_> = texts.iter().filter_map(|text| text.attribute("id")).collect();
            assert_eq!(root.attribute("aria-labelledby").unwrap(), ids.join(" "));
            assert!(
                texts
                    .iter()
                    .all(|text| text.text().is_some_and(|text| !text.is_empty())),
                "{name}: {plot}"
            );
        }
    }
}

#[test]
fn plots_have_no_colour_of_their_own() {
    let page = html(&support::record()).unwrap();
    for plot in plots(&page) {
        assert!(!plot.contains("=\"#"), "a colour that dark mode cannot change: {plot}");
    }
}

#[test]
fn plots_exist_for_what_was_measured_only() {
    let figures = |record: &Record| html(record).unwrap().matches("role=\"img\"").count();
    // Two widths of the bars and of the timeline, one curve each for three endpoints, the write and the mix.
    assert_eq!(figures(&support::record()), 2 + 2 + 5);
    assert_eq!(figures(&support::unavailable()), 0);
}

#[test]
fn identifiers_are_unique() {
    for (name, record) in variants() {
        let page = html(&record).unwrap();
        let mut ids: Vec<_> = page
            .split(" id=\"")
            .skip(1)
            .map(|rest| rest.split('"').next().unwrap())
            .collect();
        let count = ids.len();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), count, "{name}");
    }
}

#[test]
fn errors_are_marked_for_the_subject_that_had_them() {
    let page = html(&missed()).unwrap();
    let timeline = plots(&page)
        .into_iter()
        .find(|plot| plot.contains("timeline-wide"))
        .unwrap();
    assert!(timeline.contains("Seconds with errors: phase1, phase2."));
    // Three seconds each; a cross is two lines.
    assert_eq!(timeline.matches("stroke=\"var(--bad)\"").count(), 2 * 6);
}

#[test]
fn names_cannot_break_out_of_the_page() {
    let page = html(&hostile()).unwrap();
    assert!(!page.contains("<script"));
    assert!(!page.contains('\u{1}') || !plots(&page).iter().any(|plot| plot.contains('\u{1}')));
    assert!(page.contains("&#60;script&#62;"));
}

#[test]
fn a_run_that_measured_nothing_says_so() {
    let page = html(&support::unavailable()).unwrap();
    for text in [
        "NOT AVAILABLE",
        "exit code 3",
        "No latency was measured.",
        "No targets were judged.",
        "no subject",
    ] {
        position(&page, text);
    }
}

#[test]
fn a_plain_run_speaks_of_no_before() {
    let page = html(&support::single()).unwrap();
    assert!(!page.contains("<small>before</small>"));
    assert!(!page.contains("the reference"));
    assert!(!page.contains("After ÷ before <small>"));
    assert!(!page.contains("compared block by block"));
}

#[test]
fn the_open_model_shows_response_beside_service_time_and_says_why_they_differ() {
    let page = html(&support::open()).unwrap();
    let section = &page[position(&page, "<section id=\"arrivals\"")..position(&page, "<section id=\"consistency\"")];
    for text in [
        "1,000/s",
        "412",
        "<td class=\"num tone-bad\">3</td>",
        "0.108",
        "They differ by the wait for the send",
        "Response and service time by percentile, phase2",
    ] {
        position(section, text);
    }
    let all = &section[position(section, ">all requests<")..];
    assert!(
        all.contains("<strong>3.87</strong> <small>1.55</small>"),
        "{}",
        &all[..600]
    );
    position(&page, "poisson, 1,000 arrivals/s");
}

#[test]
fn stale_reads_are_shown_with_their_examples() {
    let page = html(&support::open()).unwrap();
    let section = &page[position(&page, "<section id=\"consistency\"")..position(&page, "<section id=\"probes\"")];
    for text in [
        "1,004,211",
        "<strong>2</strong>",
        "driver:42",
        "driver:977",
        "143",
        "Time until a write was seen",
    ] {
        position(section, text);
    }
}

#[test]
fn probes_are_drawn_over_time_with_their_own_cost() {
    let page = html(&support::open()).unwrap();
    let section = &page[position(&page, "<section id=\"probes\"")..position(&page, "<section id=\"resources\"")];
    for text in [
        "service CPU over time",
        "database queries per minute over time",
        "61.3 ms",
        "8.12 ms",
    ] {
        position(section, text);
    }
}

#[test]
fn what_was_not_measured_has_no_section() {
    let page = html(&support::record()).unwrap();
    for id in ["arrivals", "consistency", "probes", "gate", "ablation"] {
        assert!(
            !page.contains(&format!("id=\"{id}\"")) && !page.contains(&format!("href=\"#{id}\"")),
            "{id}"
        );
    }
}

#[test]
fn a_gate_shows_each_family_with_what_it_could_have_seen() {
    let page = html(&support::gate()).unwrap();
    let section = &page[position(&page, "<section id=\"gate\"")..position(&page, "<section id=\"latency\"")];
    for text in [
        "p95 latency",
        "CPU time per request",
        "share of very slow requests",
        "regression",
        "8.10 %",
        "Oversubscribed machine: 93 % of the cores were in use.",
        "Every endpoint: after ÷ before, and what could have been seen",
        "24 blocks in stage 1, 24 new blocks in stage 2; 7 slice pairs dropped, 1 blocks run again",
    ] {
        position(section, text);
    }
}

#[test]
fn an_ablation_shows_what_each_feature_buys() {
    let page = html(&support::ablation()).unwrap();
    let section = &page[position(&page, "<section id=\"ablation\"")..position(&page, "<section id=\"latency\"")];
    for text in [
        "endpoint cache",
        "answers kept in memory",
        "CACHE_ENABLED=false",
        "1.80 to 2.20",
        "slower",
        "cannot tell",
        "risk_current 4.00",
    ] {
        position(section, text);
    }
}
