//! Records against baselines: what is called, what is not, what is refused.

use chrono::Duration;

use super::*;
use crate::metrics;
use crate::record::{Connections, Server, Transport};
use crate::testing::{assert_close, record, round, some_time};

/// A run `hours` after the first: `blocks` blocks whose times are `factor` times the usual ones.
fn run(hours: i64, blocks: u32, factor: f64) -> Record {
    let mut run = record();
    run.id = format!("run-{hours}-{factor}");
    run.created_at = some_time() + Duration::hours(hours);
    run.rounds = (0..blocks)
        .map(|block| {
            let typical_us = 10_000.0 * factor * (1.0 + f64::from(block % 3) / 100.0);
            round(
                block,
                "phase2",
                &[("a", spread(typical_us)), ("b", spread(typical_us * 2.0))],
            )
            .with_probe(
                metrics::SERVICE_CPU_US_PER_REQUEST.name(),
                300.0 * factor * (1.0 + f64::from(block % 2) / 100.0),
            )
        })
        .collect();
    run
}

/// 100 times from half of `typical_us` to one and a half of it.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "times of about 10,000"
)]
fn spread(typical_us: f64) -> Vec<u64> {
    (0..100)
        .map(|i| (typical_us * (0.5 + f64::from(i) / 100.0)) as u64)
        .collect()
}

fn try_against(record: &Record, baselines: &[Record]) -> Result<Baseline, BaselineError> {
    compare(record, &decode(record)?, baselines, &BaselineRules::default())
}

fn against(record: &Record, baselines: &[Record]) -> Baseline {
    try_against(record, baselines).unwrap()
}

fn refused(record: &Record, baseline: Record) -> String {
    try_against(record, &[baseline]).unwrap_err().to_string()
}

fn outcomes(baseline: &Baseline) -> Vec<(Family, &str, Outcome)> {
    baseline
        .comparisons
        .iter()
        .map(|one| (one.family, one.endpoint.as_str(), one.outcome))
        .collect()
}

#[test]
fn only_what_other_conditions_cannot_explain_is_called() {
    for (factor, expected) in [
        (2.0, Outcome::Regress),
        (1.3, Outcome::Pass),
        (1.0, Outcome::Pass),
        (0.5, Outcome::Improved),
    ] {
        let judged = against(&run(24, 5, factor), &[run(0, 5, 1.0)]);
        assert_eq!(
            outcomes(&judged),
            [
                (Family::LatencyP95, "a", expected),
                (Family::LatencyP95, "all", expected),
                (Family::LatencyP95, "b", expected),
                (Family::CpuPerRequest, "all", expected),
            ],
            "factor {factor}"
        );
        assert_eq!((judged.evidence, judged.limit), (BaselineEvidence::Blocks, 1.5));
        assert_close(judged.comparisons[0].ratio, factor, 0.01);
    }
}

#[test]
fn what_it_can_and_cannot_show_is_said() {
    let judged = against(&run(24, 5, 1.0), &[run(0, 5, 1.0)]);
    assert!(judged.shows.contains("more than 50 % slower"), "{}", judged.shows);
    assert!(judged.cannot_show.contains("not interleaved"), "{}", judged.cannot_show);
    assert!(
        judged.cannot_show.contains("loadtest compare"),
        "{}",
        judged.cannot_show
    );
    let mde = judged.comparisons[0].mde.unwrap();
    assert!(mde > 0.5 && mde < 0.7, "the limit, and what a block varies: {mde}");
}

/// sd of the five baselines' logarithms, of one more: the interval holds what times do.
#[test]
fn runs_at_different_times_allow_a_narrow_limit() {
    let steady = [0.99, 1.0, 1.01, 1.0, 1.005];
    let baselines: Vec<Record> = (0..)
        .zip(steady)
        .map(|(day, factor)| run(24 * day, 5, factor))
        .collect();
    let judged = against(&run(200, 5, 1.3), &baselines);
    assert_eq!(
        (judged.evidence, judged.limit, judged.runs.len()),
        (BaselineEvidence::Runs, 1.1, 5)
    );
    assert!(
        judged.comparisons.iter().all(|one| one.outcome == Outcome::Regress),
        "{judged:#?}"
    );

    let restless = [0.7, 1.0, 1.4, 0.8, 1.2];
    let baselines: Vec<Record> = (0..)
        .zip(restless)
        .map(|(day, factor)| run(24 * day, 5, factor))
        .collect();
    let judged = against(&run(200, 5, 1.3), &baselines);
    let all = judged
        .comparisons
        .iter()
        .all(|one| one.outcome == Outcome::Inconclusive);
    assert!(all, "a machine that varies so cannot tell: {judged:#?}");
}

#[test]
fn runs_within_minutes_are_of_one_time() {
    let mut baselines: Vec<Record> = (0..5).map(|day| run(24 * day, 3, 1.0)).collect();
    for (minutes, baseline) in (0..).zip(&mut baselines) {
        baseline.created_at = some_time() + Duration::minutes(2 * minutes);
    }
    let judged = against(&run(200, 3, 1.0), &baselines);
    assert_eq!(judged.evidence, BaselineEvidence::Blocks);
    assert!(judged.cannot_show.contains("(given: 1)"), "{}", judged.cannot_show);
}

#[test]
fn one_block_or_a_missing_endpoint_cannot_be_judged_and_is_named() {
    let judged = against(&run(24, 1, 3.0), &[run(0, 5, 1.0)]);
    assert!(
        judged
            .comparisons
            .iter()
            .all(|one| one.outcome == Outcome::InsufficientData)
    );
    assert!(
        judged.notes[0].contains("the record has 1 measured blocks"),
        "{:?}",
        judged.notes
    );

    let mut lacking = run(24, 5, 1.0);
    for round in &mut lacking.rounds {
        round.phases[0].endpoints.remove("b");
    }
    let judged = against(&lacking, &[run(0, 5, 1.0)]);
    let of_b = judged.comparisons.iter().find(|one| one.endpoint == "b").unwrap();
    assert_eq!(of_b.outcome, Outcome::InsufficientData);
    assert_eq!(judged.notes, ["b answered in baseline run-0-1 and not in this record"]);
}

#[test]
fn unlike_records_are_refused_with_every_reason() {
    let here = run(24, 5, 1.0);
    let mut other = run(0, 5, 1.0);
    other.workload.sha256 = "another".to_owned();
    other.workload.users = Some(7);
    let refusal = refused(&here, other);
    assert!(
        refusal.contains("the workload is phase2-mix (another) there, phase2-mix (ab12) here"),
        "{refusal}"
    );
    assert!(
        refusal.contains("the load is 7 users there, 100 users here"),
        "{refusal}"
    );

    let mut other = run(0, 5, 1.0);
    other.machine.cpu = "Other CPU".to_owned();
    assert!(refused(&here, other).contains("the processor is Other CPU, 2 cores there"));

    let mut other = run(0, 5, 1.0);
    other.stack.insert(
        "postgres".to_owned(),
        Server {
            provider: "native".to_owned(),
            version: "15".to_owned(),
            settings: [("fsync".to_owned(), "off".to_owned())].into(),
            note: None,
        },
    );
    let refusal = refused(&here, other);
    assert!(
        refusal.contains("the stack is postgres native 15 (fsync=off) there, not started"),
        "{refusal}"
    );

    let mut other = run(0, 5, 1.0);
    other.subjects[0]
        .env
        .insert("CACHE_ENABLED".to_owned(), "false".to_owned());
    assert!(refused(&here, other).contains("started with CACHE_ENABLED=false PROFILE=phase2 there"));
}

#[test]
fn another_build_seed_or_number_of_blocks_is_alike() {
    let mut other = run(0, 3, 1.0);
    other.subjects[0].binary_sha256 = Some("another".to_owned());
    other.subjects[0].git = Some("another".to_owned());
    other.tool.git = "another".to_owned();
    other.workload.seed = 7;
    other.workload.blocks = 9;
    let judged = against(&run(24, 5, 1.0), &[other]);
    assert!(
        judged.notes[0].contains("another build of the harness (another, now 4b5edd4)"),
        "{:?}",
        judged.notes
    );
}

#[test]
fn an_address_is_alike_on_another_port_of_its_host() {
    let at = |hours, name: &str| {
        let mut run = run(hours, 3, 1.0);
        run.subjects[0].kind = "url".to_owned();
        run.subjects[0].name = name.to_owned();
        run.subjects[0].env.clear();
        run.rounds.iter_mut().for_each(|round| round.subject = name.to_owned());
        run
    };
    let judged = against(&at(24, "10.0.0.1:8001"), &[at(0, "10.0.0.1:8000")]);
    assert_eq!(judged.comparisons[0].outcome, Outcome::Pass);
    assert!(refused(&at(24, "10.0.0.1:80"), at(0, "10.0.0.2:80")).contains("a service at 10.0.0.2 there"));
}

#[test]
fn itself_twice_none_or_an_invalid_run_is_no_baseline() {
    let here = run(24, 5, 1.0);
    assert!(refused(&here, here.clone()).contains("the same run as the record"));
    let twice = try_against(&here, &[run(0, 5, 1.0), run(0, 5, 1.0)]);
    assert!(twice.unwrap_err().to_string().contains("given twice"));
    assert!(matches!(try_against(&here, &[]), Err(BaselineError::None)));
    let mut invalid = run(0, 5, 1.0);
    invalid.verdict = Verdict::Invalid;
    invalid.verdict_reason = "few errors".to_owned();
    assert!(refused(&here, invalid).contains("was called invalid when it ran (few errors)"));
}

/// A run whose requests travelled like this: `opened` connections for the 200 measured ones of each round, and full and
/// resumed handshakes.
fn travelled(transport: &Transport, opened: u64, handshakes: (u64, u64)) -> Record {
    let mut run = run(24, 5, 1.0);
    for round in &mut run.rounds {
        round.transport = Some(transport.clone());
        round.phases[0].connections = Some(Connections {
            opened,
            full_handshakes: handshakes.0,
            resumed_handshakes: handshakes.1,
            ..Connections::default()
        });
    }
    run
}

#[test]
fn requests_that_travelled_another_way_are_refused() {
    let tls = Transport {
        tls: Some("TLSv1.3 TLS_AES_256_GCM_SHA384".to_owned()),
        ..Transport::default()
    };
    let kept = |transport: &Transport| travelled(transport, 2, (50, 0));
    let said = |here: Record, there: Record| {
        let mut there = there;
        there.id = "earlier".to_owned();
        there.created_at = some_time();
        refused(&here, there)
    };
    let frames = Transport {
        protocol: "HTTP/2".to_owned(),
        streams: 8,
        ..tls.clone()
    };
    let text = said(kept(&frames), kept(&tls));
    assert!(text.contains("the protocol is HTTP/1.1 there, HTTP/2 here"), "{text}");
    assert!(
        text.contains("the streams of a connection are 1 there, 8 here"),
        "{text}"
    );
    let careless = Transport {
        is_insecure: true,
        ..tls.clone()
    };
    let text = said(kept(&careless), kept(&Transport::default()));
    assert!(
        text.contains("the encryption is none there") && text.contains("not verified here"),
        "{text}"
    );
    let text = said(travelled(&tls, 200, (50, 0)), kept(&tls));
    assert!(
        text.contains("1 % of the requests needed a new connection there, 100 % here"),
        "{text}"
    );
    let text = said(travelled(&tls, 2, (5, 45)), kept(&tls));
    assert!(
        text.contains("0 % of the TLS handshakes were resumed there, 90 % here"),
        "{text}"
    );
}

/// A record of a build that did not say is one of HTTP/1.1 in plain text; a little more or less of anything is chance.
#[test]
fn requests_that_travelled_the_same_way_are_compared() {
    let mut old = run(0, 5, 1.0);
    old.created_at = some_time();
    let now = travelled(&Transport::default(), 10, (0, 0));
    assert!(try_against(&now, &[old]).is_ok());
    let mut other = travelled(&Transport::default(), 20, (0, 0));
    other.id = "earlier".to_owned();
    other.created_at = some_time();
    assert!(try_against(&now, &[other]).is_ok());
}
