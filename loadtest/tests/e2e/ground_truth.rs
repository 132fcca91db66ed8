//! Ground truth: against a server whose response times are known exactly, the open model measures them and a closed
//! loop does not. Both with the release build: what is tested is time.

use std::time::Duration;

use measure::{
    histogram::LatencyHistogram,
    record::{ALL_ENDPOINTS, PHASE_MEASURE, Record},
};

use crate::support::{Stall, WorkloadText, Workplace, closed, even};

/// Not a divisor of the period: the phases at which requests come are spread evenly over all of it.
const RATE_PER_S: f64 = 199.7;
/// Whole periods are measured, beginning anywhere.
const PERIODS: u32 = 16;
/// Short stalls: those who wait wake together, and the last of twenty is served half a millisecond after the first.
const PERIOD: Duration = Duration::from_secs(1);
const ATTEMPTS: usize = 3;
const QUANTILES: [f64; 4] = [0.5, 0.95, 0.99, 0.999];

fn workload() -> String {
    let text = WorkloadText {
        name: "stall",
        measure_s: (PERIOD * PERIODS).as_secs_f64(),
        drain_s: 3.0,
        model: &(even(RATE_PER_S, 400) + &closed(10)),
        warm_up: "duration_s = 2.5\nthink_time_scale = 1\n",
        ..WorkloadText::default()
    };
    text.to_string()
}

/// What was measured next to what is true, where they differ by more than is allowed: 0.1 % and 1 ms, and as much as
/// the sends themselves were late.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a place in a list"
)]
fn differences(stall: Stall, record: &Record) -> Vec<String> {
    let summary = record.summary.values().next().unwrap();
    let all = &summary.endpoints[ALL_ENDPOINTS];
    let lateness_ms = summary
        .arrivals
        .as_ref()
        .map_or(0.0, |arrivals| arrivals.lateness_p99_ms);
    let measured_ms = [all.p50_ms, all.p95_ms, all.p99_ms, all.p999_ms];
    let truth_s = stall.responses_s(RATE_PER_S);
    let truths_ms = QUANTILES.map(|q| 1000.0 * truth_s[(q * truth_s.len() as f64) as usize]);
    let mean_ms = 1000.0 * truth_s.iter().sum::<f64>() / truth_s.len() as f64;
    let names = ["p50", "p95", "p99", "p99.9"];
    let figures = names.into_iter().zip(measured_ms.into_iter().zip(truths_ms));
    figures
        .chain([("mean", (all.mean_ms, mean_ms))])
        .inspect(|(name, (measured, truth))| {
            // The table of docs/COSTS.md, with --nocapture.
            println!("{stall:?} {name}: {measured:.3} ms, should be {truth:.3} (lateness {lateness_ms:.3})");
        })
        .filter(|(_, (measured, truth))| (measured - truth).abs() > 0.001 * truth + lateness_ms + 1.0)
        .map(|(name, (measured, truth))| {
            format!("{name}: {measured:.3} ms, should be {truth:.3} (lateness {lateness_ms:.3})")
        })
        .collect()
}

/// What the machine does to server and generator at the moment of a stall is added to what is measured, and a
/// millisecond is less than the self-checks see. So a run that is off is repeated; a generator that measures
/// something else is off each time.
fn assert_measures(stall: Stall) {
    let server = stall.start();
    let mut off = Vec::new();
    let record = loop {
        let record = Workplace::new().measure_release(&workload(), server.address, &["--model", "open"]);
        let differences = differences(stall, &record);
        if differences.is_empty() {
            break record;
        }
        off.push(differences);
        assert!(off.len() < ATTEMPTS, "all runs were off: {off:#?}");
    };
    let page = &record.rounds[0]
        .phases
        .iter()
        .find(|phase| phase.name == PHASE_MEASURE)
        .unwrap()
        .endpoints["page"];
    let service = LatencyHistogram::decode(page.service_hdr.as_ref().unwrap()).unwrap();
    assert_eq!(
        service.len(),
        page.count,
        "service times stand beside the response times"
    );
}

#[test]
fn the_open_model_measures_a_stall_with_unlimited_concurrency() {
    assert_measures(Stall {
        period: PERIOD,
        lasting: Duration::from_millis(100),
        service: Duration::from_millis(1),
        slots: None,
    });
}

/// rho = 199.7/s x 4 ms / 2 = .4.
#[test]
fn the_open_model_measures_the_queue_behind_a_stall() {
    assert_measures(Stall {
        period: PERIOD,
        lasting: Duration::from_millis(100),
        service: Duration::from_millis(4),
        slots: Some(2),
    });
}

/// Ten users wait out each stall and send nothing meanwhile: their percentiles do not know of it.
#[test]
fn a_closed_loop_fails_the_same_check() {
    let stall = Stall {
        period: PERIOD,
        lasting: Duration::from_millis(100),
        service: Duration::from_millis(1),
        slots: None,
    };
    let place = Workplace::new();
    let server = stall.start();
    let record = place.measure_release(&workload(), server.address, &["--model", "closed"]);
    let wrong = differences(stall, &record);
    assert!(
        wrong.iter().any(|line| line.starts_with("p99:")),
        "a closed loop cannot see this: {wrong:?}"
    );
}
