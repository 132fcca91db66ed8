//! Rounds of a few requests, and identities over random ones.

use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::histogram::{LatencyHistogram, SliceHistogram};
use crate::record::{Connections, FailureClass, Failures, Flow, Pauses};

/// Warm-up 1 s, measured 2.5 s.
const WINDOWS: Windows = Windows {
    warm_up_end_us: 1_000_000,
    measure_end_us: 3_500_000,
};
const ENDED_US: u64 = 4_000_000;
const OK: RequestEnd = RequestEnd::Ok { bytes: 10 };

fn recorder() -> RoundRecorder {
    RoundRecorder::new(vec!["a".to_owned(), "b".to_owned()], WINDOWS)
}

fn open_recorder() -> RoundRecorder {
    recorder().with_model(Model::Open)
}

/// A closed request: due when sent.
fn closed(endpoint: usize, sent_us: u64, ended_us: u64, outcome: RequestEnd) -> Request {
    Request {
        endpoint,
        intended_us: sent_us,
        sent_us,
        ended_us,
        waited_us: 0,
        outcome,
    }
}

fn unfinished(sent_us: u64) -> Unfinished {
    Unfinished {
        endpoint: 0,
        intended_us: sent_us,
        sent_us,
        given_up_us: ENDED_US,
    }
}

fn record(requests: &[(usize, u64, u64, RequestEnd)]) -> Recorded {
    let mut shard = recorder().shard();
    for (endpoint, started_us, ended_us, outcome) in requests {
        shard.ended(closed(*endpoint, *started_us, *ended_us, *outcome));
    }
    recorder().finish(&[shard], ENDED_US)
}

fn counts(recorded: &Recorded, phase: usize, endpoint: &str) -> (u64, u64, u64) {
    let counted = &recorded.phases[phase].endpoints[endpoint];
    (counted.count, counted.errors, counted.censored)
}

#[test]
fn windows_from_lengths() {
    assert_eq!(
        Windows::from_lengths(Duration::from_secs(1), Duration::from_millis(2500)),
        WINDOWS
    );
}

#[test]
fn a_request_belongs_to_the_phase_in_which_it_started() {
    let recorded = record(&[
        (0, 999_999, 1_200_000, OK),
        (0, 1_000_000, 1_000_500, OK),
        (0, 3_499_999, 3_500_000, OK),
        (0, 3_500_000, 3_600_000, OK),
        (1, 2_000_000, 2_000_100, RequestEnd::Failed(FailureClass::Status)),
    ]);
    let spans: Vec<_> = recorded
        .phases
        .iter()
        .map(|p| (p.name.as_str(), p.start_ms, p.end_ms))
        .collect();
    assert_eq!(
        spans,
        [("warm_up", 0, 1000), ("measure", 1000, 3500), ("drain", 3500, 4000)]
    );
    assert_eq!(
        [0, 1, 2].map(|phase| counts(&recorded, phase, "a")),
        [(1, 0, 0), (2, 0, 0), (1, 0, 0)]
    );
    assert_eq!(counts(&recorded, 1, "b"), (0, 1, 0));
    let measured = &recorded.phases[1].endpoints["a"];
    assert_eq!(measured.bytes, 20);
    assert_eq!(LatencyHistogram::decode(&measured.hdr).unwrap().max_us(), Some(500));
}

#[test]
fn what_outlives_the_measured_phase_is_censored_not_dropped() {
    let mut shard = recorder().shard();
    shard.ended(closed(0, 3_400_000, 3_500_001, OK));
    shard.ended(closed(
        0,
        3_400_000,
        3_900_000,
        RequestEnd::Failed(FailureClass::Status),
    ));
    shard.ended(closed(0, 3_400_000, 3_500_000, OK));
    shard.unfinished(unfinished(3_000_000));
    shard.unfinished(unfinished(3_600_000));
    shard.unfinished(unfinished(10));
    let recorded = recorder().finish(&[shard], ENDED_US);
    assert_eq!(
        [0, 1, 2].map(|phase| counts(&recorded, phase, "a")),
        [(0, 0, 1), (1, 0, 3), (0, 0, 1)]
    );
}

#[test]
fn failures_are_counted_by_class_endpoint_and_second() {
    let failed = |class| RequestEnd::Failed(class);
    let mut shard = recorder().shard();
    shard.ended(closed(0, 1_000_000, 1_000_100, failed(FailureClass::TimeOut)));
    shard.ended(closed(0, 1_900_000, 1_900_100, failed(FailureClass::Reset)));
    shard.ended(closed(0, 2_900_000, 2_900_100, failed(FailureClass::Reset)));
    shard.ended(closed(1, 3_400_000, 3_600_000, failed(FailureClass::Status)));
    shard.repeated(1, 2_000_000);
    let recorded = recorder().finish(&[shard], ENDED_US);
    let measured = &recorded.phases[1].endpoints;
    let expected = Failures {
        time_out: 1,
        reset: 2,
        ..Failures::default()
    };
    assert_eq!(measured["a"].failures, expected);
    let late = Failures {
        unanswered: 1,
        ..Failures::default()
    };
    assert_eq!((measured["b"].failures, measured["b"].repeated), (late, 1));
    let of_second = |second: usize| recorded.slices[second].failures.clone();
    let first = Failures { reset: 1, ..expected };
    assert_eq!(of_second(0), [("a".to_owned(), first)].into());
    let third = Failures { time_out: 0, ..first };
    assert_eq!(of_second(1), [("a".to_owned(), third)].into());
    assert_eq!(of_second(2), [("b".to_owned(), late)].into());
}

#[test]
fn slices_are_seconds_of_the_measured_phase_by_start() {
    let recorded = record(&[
        (0, 500_000, 900_000, OK),
        (0, 1_000_000, 1_004_000, OK),
        (1, 1_999_999, 3_000_000, OK),
        (1, 3_200_000, 3_200_010, RequestEnd::Failed(FailureClass::Status)),
    ]);
    let shown: Vec<_> = recorded
        .slices
        .iter()
        .map(|s| (s.start_ms, s.count, s.errors))
        .collect();
    assert_eq!(shown, [(0, 2, 0), (1000, 0, 0), (2000, 0, 1)]);
    assert_eq!(recorded.slices[1].p95_ms, None);
    let p50_ms = recorded.slices[0].p50_ms.unwrap();
    assert!((p50_ms - 4.0).abs() <= 0.04, "{p50_ms} is not 4 ms within 1 %");
}

#[test]
fn a_round_stopped_early_has_shorter_phases() {
    let stopped = recorder().finish(&[], 1_700_000);
    let spans: Vec<_> = stopped.phases.iter().map(|p| (p.start_ms, p.end_ms)).collect();
    assert_eq!(spans, [(0, 1000), (1000, 1700), (1700, 1700)]);
    assert_eq!(stopped.slices.len(), 1);
    assert!(recorder().finish(&[], 500_000).slices.is_empty());
}

#[test]
fn progress_sees_the_measured_phase_only() {
    let mut shard = recorder().shard();
    shard.ended(closed(0, 0, 5_000, OK));
    shard.ended(closed(0, 1_500_000, 1_500_700, OK));
    shard.ended(closed(1, 1_500_000, 1_500_900, OK));
    shard.ended(closed(
        1,
        1_500_000,
        1_500_900,
        RequestEnd::Failed(FailureClass::Status),
    ));
    let mut times = LatencyHistogram::new();
    (0..2).for_each(|endpoint| shard.add_measured_to(endpoint, &mut times));
    assert_eq!(shard.progress(), Progress { answers: 2, errors: 1 });
    assert_eq!((times.len(), times.max_us()), (2, Some(900)));
}

#[test]
#[should_panic(expected = "only shards of one round")]
fn shards_of_different_rounds_do_not_merge() {
    recorder().shard().merge(&Shard::new(3, WINDOWS, Model::Closed));
}

#[test]
fn the_open_model_times_from_the_intended_start_and_keeps_the_service_time() {
    let mut shard = open_recorder().shard();
    let late = Request {
        endpoint: 0,
        intended_us: 1_000_000,
        sent_us: 1_003_000,
        ended_us: 1_003_500,
        waited_us: 0,
        outcome: OK,
    };
    // Due in the warm-up, sent in the measured phase: it belongs to the warm-up.
    let earlier = Request {
        intended_us: 999_999,
        ..late
    };
    shard.arrival(late.intended_us);
    shard.ended(late);
    shard.ended(earlier);
    let recorded = open_recorder().finish(&[shard], ENDED_US);
    let measured = &recorded.phases[MEASURE].endpoints["a"];
    let largest = |hdr: &str| LatencyHistogram::decode(hdr).unwrap().max_us();
    assert_eq!(
        largest(&measured.hdr),
        Some(3_501),
        "3500 us lie in a bucket that ends at 3501"
    );
    assert_eq!(largest(measured.service_hdr.as_ref().unwrap()), Some(500));
    assert_eq!(counts(&recorded, WARM_UP, "a"), (1, 0, 0));
    let lateness_p99_ms = recorded.slices[0].lateness_p99_ms.unwrap();
    assert!((lateness_p99_ms - 3.0).abs() <= 0.03, "{lateness_p99_ms}");
}

#[test]
fn arrivals_of_the_measured_phase_are_intended_sent_late_and_dropped() {
    let mut shard = open_recorder().shard();
    for intended_us in [999_000, 1_000_000, 2_000_000, 3_499_999, 3_500_000] {
        shard.arrival(intended_us);
    }
    let sent = |intended_us, lateness_us| Request {
        endpoint: 0,
        intended_us,
        sent_us: intended_us + lateness_us,
        ended_us: intended_us + lateness_us + 100,
        waited_us: 0,
        outcome: OK,
    };
    shard.ended(sent(999_000, 0));
    shard.ended(sent(1_000_000, 1_000));
    shard.ended(sent(2_000_000, 1_001));
    shard.dropped(3_499_999);
    shard.dropped(3_500_000);
    let arrivals = open_recorder().finish(&[shard], ENDED_US).phases[MEASURE]
        .arrivals
        .clone()
        .unwrap();
    assert_eq!(
        (arrivals.intended, arrivals.sent, arrivals.late, arrivals.dropped),
        (3, 2, 1, 1)
    );
    assert_eq!(
        LatencyHistogram::decode(&arrivals.lateness_hdr).unwrap().max_us(),
        Some(1_001)
    );
}

#[test]
fn time_in_flight_is_clipped_to_the_measured_phase() {
    let mut shard = recorder().shard();
    shard.ended(closed(0, 900_000, 1_100_000, OK));
    shard.ended(closed(0, 2_000_000, 2_250_000, OK));
    shard.ended(closed(
        0,
        2_000_000,
        2_010_000,
        RequestEnd::Failed(FailureClass::Status),
    ));
    shard.ended(closed(0, 3_450_000, 3_600_000, OK));
    shard.unfinished(unfinished(500_000));
    let flow = recorder().finish(&[shard], ENDED_US).phases[MEASURE].flow.unwrap();
    assert_eq!(
        flow,
        Flow {
            in_flight_us: 100_000 + 250_000 + 10_000 + 50_000 + 2_500_000,
            at_start: 2,
            at_end: 2,
            longest_us: 2_500_000,
            error_us: 10_000,
            pauses: Some(Pauses::default()),
        }
    );
}

#[test]
fn pauses_are_clipped_as_intended_and_as_observed() {
    let mut shard = recorder().shard();
    shard.pause(0, 500_000, 500_000);
    shard.pause(900_000, 200_000, 1_150_000);
    shard.pause(2_000_000, 100_000, 100_000 + 2_000_000);
    shard.pause(3_400_000, 5_000_000, 3_500_000);
    let pauses = recorder().finish(&[shard], ENDED_US).phases[MEASURE]
        .flow
        .unwrap()
        .pauses;
    let expected = Pauses {
        count: 3,
        intended_us: 100_000 + 100_000 + 100_000,
        observed_us: 150_000 + 100_000 + 100_000,
    };
    assert_eq!(pauses, Some(expected));
}

#[test]
fn the_pulse_is_in_tenths_of_a_second() {
    let mut shard = recorder().shard();
    shard.ended(closed(0, 1_050_000, 1_220_000, OK));
    shard.ended(closed(1, 1_060_000, 1_070_000, OK));
    shard.ended(closed(
        1,
        1_060_000,
        1_070_000,
        RequestEnd::Failed(FailureClass::Status),
    ));
    let pulse = recorder().finish(&[shard], 1_300_000).phases[MEASURE]
        .pulse
        .clone()
        .unwrap();
    assert_eq!(pulse.answers, [2, 0, 0], "cut where the round was stopped");
    assert_eq!(pulse.response_us, [180_000, 0, 0]);
    assert_eq!(pulse.in_flight_us, [50_000 + 20_000, 100_000, 20_000]);
}

#[test]
fn slices_carry_the_times_behind_their_percentiles() {
    let recorded = record(&[(0, 1_000_000, 1_004_000, OK), (0, 1_000_000, 1_009_000, OK)]);
    let slice = &recorded.slices[0];
    let times = SliceHistogram::decode(slice.hdr.as_ref().unwrap()).unwrap();
    assert_eq!(times.len(), 2);
    assert_eq!(times.quantile_us(0.95).map(crate::figures::us_to_ms), slice.p95_ms);
}

/// Endpoint, when due, how late it was sent, how long it then took, what came of it.
fn request() -> impl Strategy<Value = Request> {
    let outcome = prop_oneof![
        (0..1000_u64).prop_map(|bytes| RequestEnd::Ok { bytes }),
        (0..FailureClass::ALL.len() - 1).prop_map(|class| RequestEnd::Failed(FailureClass::ALL[class])),
    ];
    let late_us = prop_oneof![Just(0), 0..300_000_u64];
    (0..2_usize, 0..4_000_000_u64, late_us, 0..1_000_000_u64, outcome).prop_map(
        |(endpoint, intended_us, late_us, took_us, outcome)| Request {
            endpoint,
            intended_us,
            sent_us: intended_us + late_us,
            ended_us: intended_us + late_us + took_us,
            waited_us: 0,
            outcome,
        },
    )
}

fn open_round(requests: &[Request]) -> Recorded {
    let mut shard = open_recorder().shard();
    for request in requests {
        shard.ended(*request);
    }
    open_recorder().finish(&[shard], 5_300_000)
}

/// The bucket that a time is counted in ends at most 0.1 % above it.
fn about(sum_us: u64, times: u64) -> f64 {
    sum_us as f64 * 1e-3 + times as f64
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn merging_shards_equals_recording_into_one(
        requests in prop::collection::vec((request(), 0..3_usize), 0..200),
    ) {
        let mut one = open_recorder().shard();
        let mut shards = [open_recorder().shard(), open_recorder().shard(), open_recorder().shard()];
        for (request, shard) in &requests {
            for into in [&mut one, &mut shards[*shard]] {
                into.arrival(request.intended_us);
                into.ended(*request);
            }
        }
        prop_assert_eq!(open_recorder().finish(&shards, ENDED_US), open_recorder().finish(&[one], ENDED_US));
    }

    #[test]
    fn nothing_that_started_is_lost(requests in prop::collection::vec(request(), 0..200)) {
        let recorded = open_round(&requests);
        let measured = &recorded.phases[MEASURE].endpoints;
        let due = requests.iter().filter(|r| (1_000_000..3_500_000).contains(&r.intended_us)).count() as u64;
        prop_assert_eq!(measured.values().map(|c| c.count + c.errors + c.censored).sum::<u64>(), due);
        prop_assert_eq!(recorded.phases[MEASURE].arrivals.as_ref().unwrap().sent, due);
        let answers = measured.values().map(|c| c.count).sum::<u64>();
        prop_assert_eq!(recorded.slices.iter().map(|s| s.count).sum::<u64>(), answers);
        prop_assert_eq!(recorded.phases[MEASURE].pulse.as_ref().unwrap().answers.iter().sum::<u64>(), answers);
        for phase in &recorded.phases {
            for counts in phase.endpoints.values() {
                let by_class = counts.failures;
                prop_assert_eq!((by_class.errors(), by_class.unanswered), (counts.errors, counts.censored));
            }
        }
        for (endpoint, counts) in measured {
            let mut by_second = Failures::default();
            recorded.slices.iter().filter_map(|s| s.failures.get(endpoint)).for_each(|f| by_second.merge(f));
            prop_assert_eq!(by_second, counts.failures);
            prop_assert_eq!(LatencyHistogram::decode(&counts.hdr).unwrap().len(), counts.count);
            prop_assert_eq!(
                LatencyHistogram::decode(counts.service_hdr.as_ref().unwrap()).unwrap().len(), counts.count);
        }
    }

    #[test]
    fn the_slices_merge_to_the_measured_phase(requests in prop::collection::vec(request(), 1..200)) {
        let recorded = open_round(&requests);
        let mut slices = recorded.slices.iter().map(|s| SliceHistogram::decode(s.hdr.as_ref().unwrap()).unwrap());
        let mut merged = slices.next().unwrap();
        slices.for_each(|slice| merged.merge(&slice));
        let mut all = LatencyHistogram::new();
        for counts in recorded.phases[MEASURE].endpoints.values() {
            all.merge(&LatencyHistogram::decode(&counts.hdr).unwrap());
        }
        prop_assert_eq!(merged.len(), all.len());
        for quantile in [0.1, 0.5, 0.95, 1.0] {
            if let (Some(slice_us), Some(exact_us)) = (merged.quantile_us(quantile), all.quantile_us(quantile)) {
                prop_assert!(slice_us.abs_diff(exact_us) as f64 <= exact_us as f64 * 0.011 + 1.0);
            }
        }
    }

    /// Little's law as an identity: time in flight = times of answers + times of errors + the parts inside the phase of
    /// requests that cross one of its edges, and those are at most the longest each.
    #[test]
    fn time_in_flight_is_accounted_for(requests in prop::collection::vec(request(), 0..200)) {
        let recorded = open_round(&requests);
        let phase = &recorded.phases[MEASURE];
        let flow = phase.flow.unwrap();
        let (mut times_us, mut answers) = (0.0, 0);
        for counts in phase.endpoints.values() {
            let times = LatencyHistogram::decode(&counts.hdr).unwrap();
            times_us += times.mean_us().unwrap_or(0.0) * times.len() as f64;
            answers += counts.count;
        }
        let explained_us = times_us + flow.error_us as f64;
        let crossing_us = ((flow.at_start + flow.at_end) * flow.longest_us) as f64;
        let rest_us = flow.in_flight_us as f64 - explained_us;
        let slack_us = about(flow.in_flight_us, answers);
        prop_assert!((-slack_us..=crossing_us + slack_us).contains(&rest_us), "{flow:?} {explained_us}");
        prop_assert_eq!(phase.pulse.as_ref().unwrap().in_flight_us.iter().sum::<u64>(), flow.in_flight_us);
    }
}

#[test]
fn a_slice_counts_answers_that_come_while_it_drains() {
    let of_slice = open_recorder().with_late_answers();
    let mut shard = of_slice.shard();
    shard.ended(closed(0, 3_400_000, 3_600_000, OK));
    shard.ended(closed(
        0,
        3_400_000,
        3_600_000,
        RequestEnd::Failed(FailureClass::Status),
    ));
    shard.unfinished(unfinished(3_400_000));
    let recorded = of_slice.finish(&[shard], ENDED_US);
    assert_eq!(counts(&recorded, 1, "a"), (1, 1, 1));
    assert_eq!(recorded.slices.last().unwrap().count, 1);
    let censored = record(&[(0, 3_400_000, 3_600_000, OK)]);
    assert_eq!(counts(&censored, 1, "a"), (0, 0, 1), "elsewhere it is censored");
}

#[test]
fn connections_are_counted_by_phase_with_the_times_of_their_steps() {
    let recorder = RoundRecorder::new(vec!["a".to_owned()], WINDOWS);
    let (mut shard, mut other) = (recorder.shard(), recorder.shard());
    let opened = |at_us, handshake: Option<(u64, bool)>| Opened {
        at_us,
        connect_us: 100,
        handshake: handshake.map(|(took_us, is_resumed)| Handshaken { took_us, is_resumed }),
    };
    let measured_us = WINDOWS.warm_up_end_us;
    shard.opened(opened(0, Some((900, false))));
    shard.opened(opened(measured_us, Some((300, true))));
    other.opened(opened(measured_us, None));
    other.waited_for_stream(measured_us, 2_000);
    let counted = recorder.finish(&[shard, other], WINDOWS.measure_end_us);
    let of = |phase: usize| counted.phases[phase].connections.clone().unwrap();
    let counts = |of: &Connections| (of.opened, of.full_handshakes, of.resumed_handshakes, of.stream_waits);
    assert_eq!(counts(&of(0)), (1, 1, 0, 0));
    assert_eq!(counts(&of(1)), (2, 0, 1, 1));
    let longest = |hdr: Option<String>| SliceHistogram::decode(&hdr.unwrap()).unwrap().max_us().unwrap();
    let edges = (longest(of(0).full_handshake_hdr), longest(of(1).resumed_handshake_hdr));
    assert_eq!(edges, (903, 301), "the upper edges of the buckets of 900 and 300 us");
    assert_eq!(of(2), Connections::default());
}
