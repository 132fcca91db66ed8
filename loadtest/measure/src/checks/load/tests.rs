//! Loads driven into a recorder, sound ones and one fault at a time.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng as _;
use rand_distr::{Distribution as _, Poisson};

use super::*;
use crate::record::{FailureClass, Round};
use crate::recorder::{Request, RequestEnd, RoundRecorder, Shard, Windows};
use crate::testing::{record, some_time};

/// Warm-up 1 s, measured 10 s.
const WINDOWS: Windows = Windows {
    warm_up_end_us: 1_000_000,
    measure_end_us: 11_000_000,
};
const SECOND_US: u64 = 1_000_000;

fn workload(model: Model) -> WorkloadId {
    WorkloadId {
        model,
        users: (model == Model::Closed).then_some(10),
        rate_per_s: (model == Model::Open).then_some(1000.0),
        ..record().workload
    }
}

fn round_of(model: Model, drive: impl FnOnce(&mut Shard)) -> Round {
    let recorder = RoundRecorder::new(vec!["a".to_owned()], WINDOWS)
        .with_model(model)
        .with_late_answers();
    let mut shard = recorder.shard();
    drive(&mut shard);
    let counted = recorder.finish([&shard], 12_000_000);
    Round {
        subject: "s".to_owned(),
        started_at: some_time(),
        phases: counted.phases,
        slices: counted.slices,
        ..Round::default()
    }
}

fn request(intended_us: u64, late_us: u64, took_us: u64) -> Request {
    Request {
        endpoint: 0,
        intended_us,
        sent_us: intended_us + late_us,
        ended_us: intended_us + late_us + took_us,
        waited_us: 0,
        outcome: RequestEnd::Ok { bytes: 1 },
    }
}

/// Times that vary a little and repeat, around 2 ms.
fn took_us(number: u64) -> u64 {
    1_800 + number * 7919 % 401
}

/// Ten users: 2 ms of request, then a pause drawn as 48 ms that takes `overrun_us` longer.
fn closed(overrun_us: u64) -> Round {
    round_of(Model::Closed, |shard| {
        for user in 0..10_u64 {
            let mut now_us = user * 5_000;
            let mut number = user;
            while now_us < WINDOWS.measure_end_us {
                let ended_us = now_us + took_us(number);
                shard.ended(request(now_us, 0, took_us(number)));
                now_us = ended_us + 48_000 + overrun_us;
                shard.pause(ended_us, 48_000, now_us);
                number += 1;
            }
        }
    })
}

/// The course of an open round.
#[derive(Clone, Copy)]
struct Open {
    /// Time between arrivals.
    gap_us: u64,
    late_us: u64,
    /// Each request takes so much longer than the one before.
    slower_by_us: u64,
    /// One in so many is dropped.
    drop_one_in: u64,
}

const SOUND: Open = Open {
    gap_us: 1_000,
    late_us: 60,
    slower_by_us: 0,
    drop_one_in: u64::MAX,
};

fn open(how: Open) -> Round {
    round_of(Model::Open, |shard| {
        for number in 0..11 * SECOND_US / how.gap_us {
            let intended_us = number * how.gap_us;
            shard.arrival(intended_us);
            if number % how.drop_one_in == 1 {
                shard.dropped(intended_us);
            } else {
                let took_us = took_us(number) + number * how.slower_by_us;
                shard.ended(request(intended_us, how.late_us, took_us));
            }
        }
    })
}

fn checked(rounds: &[Round], workload: &WorkloadId) -> Vec<Check> {
    of_load(&Rounds::decode(rounds).unwrap(), workload, &record().machine)
}

/// Names of the failed checks, and the detail of the first.
fn failed(rounds: &[Round], model: Model) -> (Vec<String>, String) {
    let checks = checked(rounds, &workload(model));
    let failed: Vec<_> = checks.into_iter().filter(|check| !check.ok).collect();
    let detail = failed.first().map_or_else(String::new, |check| check.detail.clone());
    (failed.into_iter().map(|check| check.name).collect(), detail)
}

#[track_caller]
fn assert_fails(rounds: &[Round], model: Model, name: &str, detail: &str) {
    let (names, found) = failed(rounds, model);
    assert_eq!(names, [name], "{found}");
    assert_eq!(found, detail);
}

#[test]
fn a_sound_closed_load_passes_with_its_figures() {
    let checks = checked(&[closed(0)], &workload(Model::Closed));
    assert!(checks.iter().all(|check| check.ok), "{checks:?}");
    let names: Vec<&str> = checks.iter().map(|check| check.name.as_str()).collect();
    assert_eq!(names, [LITTLE, UTILISATION, STEADY, PAUSES]);
    assert_eq!(
        checks[0].detail,
        "0.401 in flight on average, rate x response time gives 0.401: 0.01 % apart, allowed 2 % (block 0, subject s)"
    );
}

#[test]
fn a_sound_open_load_passes() {
    let checks = checked(&[open(SOUND)], &workload(Model::Open));
    assert!(checks.iter().all(|check| check.ok), "{checks:?}");
    assert_eq!(checks.len(), 8);
}

#[test]
fn times_that_do_not_fill_the_time_in_flight_break_littles_law() {
    for (mut round, model) in [(closed(0), Model::Closed), (open(SOUND), Model::Open)] {
        let flow = round.phases[1].flow.as_mut().unwrap();
        flow.in_flight_us = flow.in_flight_us * 105 / 100;
        let (names, detail) = failed(&[round], model);
        assert!(names.contains(&LITTLE.to_owned()), "{names:?}");
        assert!(detail.contains("apart, allowed 2 %"), "{detail}");
    }
}

#[test]
fn a_long_request_over_the_edge_is_no_breach() {
    let mut round = closed(0);
    let flow = round.phases[1].flow.as_mut().unwrap();
    // One request hung through the whole phase: in flight, and answered never.
    flow.in_flight_us += 10 * SECOND_US;
    (flow.at_start, flow.at_end, flow.longest_us) = (1, 1, 10 * SECOND_US);
    let little = checked(&[round], &workload(Model::Closed)).remove(0);
    assert!(little.ok, "{little:?}");
}

#[test]
fn hidden_think_time_is_found() {
    assert_fails(
        &[closed(0), closed(2_500)],
        Model::Closed,
        PAUSES,
        "requests and intended pauses fill 95.2 % of the time of 10 users, must be within 2 % of all; pauses took 105 \
         % of what was intended (block 0, subject s; the worst of 2 rounds)",
    );
}

#[test]
fn users_that_left_are_found() {
    let mut fewer = workload(Model::Closed);
    fewer.users = Some(11);
    let checks = checked(&[closed(0)], &fewer);
    assert!(checks.iter().any(|check| check.name == PAUSES && !check.ok));
}

#[test]
fn a_dropped_arrival_is_found() {
    let how = Open {
        drop_one_in: 10_000,
        ..SOUND
    };
    assert_fails(
        &[open(how)],
        Model::Open,
        DROPPED,
        "1 of 10000 arrivals dropped (block 0, subject s)",
    );
}

/// Whose fault it is follows from whether the generator kept up.
#[test]
fn drops_are_the_subjects_fault_unless_the_generator_was_behind() {
    for (late_us, about) in [(60, About::Subject), (1_500, About::Run)] {
        let how = Open {
            drop_one_in: 10,
            late_us,
            ..SOUND
        };
        let checks = checked(&[open(how)], &workload(Model::Open));
        for name in [DROPPED, RATE] {
            let check = checks.iter().find(|check| check.name == name).unwrap();
            assert_eq!((check.ok, check.about), (false, about), "{check:?}");
        }
        let late = checks.iter().find(|check| check.name == LATENESS).unwrap();
        assert_eq!((late.ok, late.about), (late_us < 1_000, About::Machine));
    }
}

/// It takes half of what arrives, and the generator is on time: that is its own fault.
#[test]
fn a_queue_that_grows_is_the_subjects_fault() {
    let how = Open {
        slower_by_us: 10,
        ..SOUND
    };
    let checks = checked(&[open(how)], &workload(Model::Open));
    let queue = checks.iter().find(|check| check.name == QUEUE).unwrap();
    assert_eq!((queue.ok, queue.about), (false, About::Subject));
}

/// Requests hang until their time-out, beyond the end of the phase: no fault of the generator's figures.
#[test]
fn requests_that_time_out_while_the_load_drains_do_not_break_littles_law() {
    let round = round_of(Model::Open, |shard| {
        for number in 0..1_100 {
            let at_us = number * 10_000;
            shard.arrival(at_us);
            let hangs = number % 10 == 0;
            shard.ended(Request {
                outcome: if hangs {
                    RequestEnd::Failed(FailureClass::TimeOut)
                } else {
                    RequestEnd::Ok { bytes: 1 }
                },
                ..request(at_us, 60, if hangs { 5_000_000 } else { took_us(number) })
            });
        }
    });
    let mut slower = workload(Model::Open);
    slower.rate_per_s = Some(100.0);
    let little = checked(&[round], &slower).remove(0);
    assert!(little.ok, "{little:?}");
}

#[test]
fn an_arrival_that_nobody_sent_or_dropped_is_found() {
    let mut round = open(SOUND);
    round.phases[1].arrivals.as_mut().unwrap().intended += 1;
    assert_fails(
        &[round],
        Model::Open,
        ACCOUNTED,
        "10001 due, 10000 sent, 0 dropped (block 0, subject s)",
    );
}

#[test]
fn a_rate_that_was_not_held_is_found() {
    let how = Open { gap_us: 1_065, ..SOUND };
    assert_fails(
        &[open(how)],
        Model::Open,
        RATE,
        "939/s ended of 1,000/s intended: 6.11 % apart, allowed 5 % (block 0, subject s)",
    );
}

#[test]
fn a_growing_queue_is_found() {
    let how = Open {
        slower_by_us: 10,
        ..SOUND
    };
    let (names, _) = failed(&[open(how)], Model::Open);
    assert_eq!(
        names,
        [STEADY, QUEUE],
        "112 ms at the end of a phase that began with 12 ms"
    );
}

#[test]
fn a_queue_that_stays_is_no_growing_one() {
    // Poisson numbers in flight at both ends: exceeded by chance in at most 1 of 270 rounds.
    let mut rng = ChaCha8Rng::seed_from_u64(11);
    for mean in [0.05_f64, 1.0, 20.0, 400.0] {
        let poisson = Poisson::new(mean).unwrap();
        let exceeded = (0..20_000)
            .filter(|_| {
                let (start, end): (f64, f64) = (poisson.sample(&mut rng), poisson.sample(&mut rng));
                end > start + 3.0 * (2.0 * mean.max(1.0)).sqrt()
            })
            .count();
        assert!(exceeded <= 110, "mean {mean}: {exceeded} of 20000");
    }
}

#[test]
fn late_sends_are_found_where_they_matter() {
    let how = Open {
        late_us: 1_500,
        ..SOUND
    };
    assert_fails(
        &[open(how)],
        Model::Open,
        LATENESS,
        "p99 of the send lateness 1.5 ms, allowed 1 ms; 10000 of 10000 sends late (block 0, subject s)",
    );
}

#[test]
fn cpu_time_that_does_not_fit_the_rate_is_found() {
    let with_cpu = |percent: f64| {
        closed(0)
            .with_probe(metrics::SERVICE_CPU_US_PER_REQUEST.name(), 1_000.0)
            .with_probe(metrics::SERVICE_CPU_PERCENT.name(), percent)
    };
    // 200 requests/s of 1 ms on two cores.
    assert_eq!(failed(&[with_cpu(10.2)], Model::Closed).0, Vec::<String>::new());
    assert_fails(
        &[with_cpu(12.0)],
        Model::Closed,
        UTILISATION,
        "rate x CPU time per request uses 10 % of 2 cores, read as 12 %: 16.7 % apart, allowed 5 % (block 0, subject \
         s)",
    );
}

#[test]
fn a_load_that_never_settles_is_found_unless_it_is_one_round_of_several() {
    let unsteady = open(Open {
        slower_by_us: 1,
        ..SOUND
    });
    let (names, detail) = failed(&[unsteady.clone(), unsteady.clone(), open(SOUND)], Model::Open);
    assert_eq!(names, [STEADY]);
    assert!(detail.starts_with("2 of 3 rounds had not settled"), "{detail}");
    assert_eq!(
        failed(&[unsteady, open(SOUND), open(SOUND)], Model::Open).0,
        Vec::<String>::new()
    );
}

#[test]
fn an_old_record_says_what_it_did_not_count() {
    let old = crate::testing::round(0, "s", &[("a", vec![10; 100])]);
    let checks = checked(&[old], &workload(Model::Open));
    assert!(
        checks
            .iter()
            .all(|check| check.ok && check.detail.starts_with(['n', 't'])),
        "{checks:?}"
    );
}

/// Two levels of the rate, or one that rises, over the 10 s that are measured.
fn changing(stretches: &[(f64, f64, f64, f64)]) -> WorkloadId {
    let stretches = stretches
        .iter()
        .map(|&(from_s, to_s, from_per_s, to_per_s)| RateStretch {
            from_s,
            to_s,
            from_per_s,
            to_per_s,
        });
    let stretches: Vec<RateStretch> = stretches.collect();
    let arrivals =
        |stretch: &RateStretch| (stretch.to_s - stretch.from_s) * (stretch.from_per_s + stretch.to_per_s) / 2.0;
    WorkloadId {
        rate_per_s: Some(stretches.iter().map(arrivals).sum::<f64>() / 10.0),
        stretches,
        ..workload(Model::Open)
    }
}

/// Arrivals of `workload` after a second at its first rate, each served in turn by one that does `capacity_per_s`, and
/// then `base_us` longer on its way.
fn served(workload: &WorkloadId, capacity_per_s: f64, base_us: f64) -> Round {
    round_of(Model::Open, |shard| {
        let (mut at_us, mut free_us, mut number) = (0.0, 0.0_f64, 0);
        while at_us < WINDOWS.measure_end_us as f64 {
            free_us = free_us.max(at_us) + 1e6 / capacity_per_s;
            let took_us = free_us - at_us + base_us + took_us(number) as f64 / 10.0;
            shard.arrival(whole(at_us));
            shard.ended(request(whole(at_us), 50, whole(took_us)));
            let into_s = (at_us / 1e6 - 1.0).max(0.0);
            at_us += 1e6 / rate_at(workload, into_s);
            number += 1;
        }
    })
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "microseconds of a round: positive and small"
)]
fn whole(us: f64) -> u64 {
    us as u64
}

fn rate_at(workload: &WorkloadId, into_s: f64) -> f64 {
    let stretch = workload.stretches.iter().find(|stretch| into_s < stretch.to_s).unwrap();
    let share = (into_s - stretch.from_s) / (stretch.to_s - stretch.from_s);
    stretch.from_per_s + share * (stretch.to_per_s - stretch.from_per_s)
}

/// Names of the checks that failed of a load with a changing rate, with their details.
fn failed_of(workload: &WorkloadId, round: Round) -> Vec<(String, String)> {
    let checks = checked(&[round], workload);
    let failed = checks.into_iter().filter(|check| !check.ok);
    failed.map(|check| (check.name, check.detail)).collect()
}

/// From 100/s to 1,000/s: twenty times as much in flight at the end as at the start, and nothing wrong.
#[test]
fn a_rate_that_changes_by_design_is_no_growing_queue() {
    for stretches in [
        &[(0.0, 5.0, 100.0, 100.0), (5.0, 10.0, 1_000.0, 1_000.0)][..],
        &[(0.0, 10.0, 100.0, 1_000.0)],
        &[(0.0, 5.0, 1_000.0, 1_000.0), (5.0, 10.0, 100.0, 100.0)],
    ] {
        let workload = changing(stretches);
        let round = served(&workload, 1_050.0, 20_000.0);
        assert_eq!(failed_of(&workload, round), []);
    }
}

#[test]
fn a_level_beyond_the_capacity_is_a_growing_queue() {
    let workload = changing(&[(0.0, 5.0, 100.0, 100.0), (5.0, 10.0, 1_000.0, 1_000.0)]);
    let failed = failed_of(&workload, served(&workload, 900.0, 20_000.0));
    let queue = failed.iter().find(|(name, _)| name == QUEUE).unwrap();
    assert!(
        queue.1.contains("at 5 s and ") && queue.1.contains(" at 7.5 s of the phase"),
        "{queue:?}"
    );
}

/// Answers take longer and longer at the second level, and the first one is as calm as can be.
#[test]
fn a_level_that_never_settles_is_found_and_named() {
    let workload = changing(&[(0.0, 5.0, 100.0, 100.0), (5.0, 10.0, 1_000.0, 1_000.0)]);
    let round = round_of(Model::Open, |shard| {
        for number in 0..5_600 {
            let in_second = u64::saturating_sub(number, 600);
            let at_us = number.min(600) * 10_000 + in_second * 1_000;
            shard.arrival(at_us);
            shard.ended(request(at_us, 50, took_us(number) + in_second));
        }
    });
    let failed = failed_of(&workload, round);
    let names: Vec<&str> = failed.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, [STEADY]);
    assert!(failed[0].1.contains("the 5 s at 1,000/s"), "{failed:?}");
}

#[test]
fn a_ramp_beyond_the_capacity_is_a_growing_queue_and_never_called_unsteady() {
    let workload = changing(&[(0.0, 10.0, 100.0, 1_000.0)]);
    let failed = failed_of(&workload, served(&workload, 800.0, 20_000.0));
    let names: Vec<&str> = failed.iter().map(|(name, _)| name.as_str()).collect();
    assert!(names.contains(&QUEUE) && !names.contains(&STEADY), "{failed:?}");
    let steady = checked(&[served(&workload, 2_000.0, 0.0)], &workload);
    let steady = steady.iter().find(|check| check.name == STEADY).unwrap();
    assert_eq!(
        (steady.ok, steady.detail.as_str()),
        (
            true,
            "the rate changes all the time, or its levels are too short to tell"
        )
    );
}

/// All of a level's requests are still in flight at the end: none was answered, and that is not nothing.
#[test]
fn a_level_that_is_never_answered_is_a_growing_queue() {
    let workload = changing(&[(0.0, 5.0, 100.0, 100.0), (5.0, 10.0, 200.0, 200.0)]);
    let round = round_of(Model::Open, |shard| {
        for number in 0..1_600 {
            let at_us = if number < 600 {
                number * 10_000
            } else {
                6_000_000 + (number - 600) * 5_000
            };
            shard.arrival(at_us);
            let took_us = if at_us < 6_000_000 { 2_000 } else { 20_000_000 };
            shard.ended(request(at_us, 0, took_us));
        }
    });
    assert!(failed_of(&workload, round).iter().any(|(name, _)| name == QUEUE));
}

/// Sessions of five requests, 0.5 s apart: by chance a fifth more of them begin than is expected.
#[test]
fn clusters_of_sessions_are_held_against_what_was_due() {
    let sessions = WorkloadId {
        sessions: true,
        rate_per_s: Some(100.0),
        ..workload(Model::Open)
    };
    let round = |lost: u64| {
        round_of(Model::Open, |shard| {
            for session in 0..288 {
                for step in 0..5 {
                    let at_us = session * 38_000 + step * 500_000;
                    shard.arrival(at_us);
                    if (session * 5 + step) % 100 >= lost {
                        shard.ended(request(at_us, 0, 2_000));
                    } else {
                        shard.dropped(at_us);
                    }
                }
            }
        })
    };
    assert_eq!(failed_of(&sessions, round(0)), []);
    let as_requests = WorkloadId {
        sessions: false,
        ..sessions.clone()
    };
    assert_eq!(failed_of(&as_requests, round(0))[0].0, RATE, "30 % more than expected");
    let failed = failed_of(&sessions, round(20));
    assert_eq!(
        failed.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(),
        [DROPPED, RATE]
    );
    assert!(failed[1].1.contains("/s due: 20.4 % apart"), "{failed:?}");
}

/// Answers take 2 of the 10 s: a fifth of what was due is in flight at the end, and as much was at the start.
#[test]
fn long_answers_do_not_make_a_rate_not_held() {
    let round = round_of(Model::Open, |shard| {
        for number in 0..11_000 {
            shard.arrival(number * 1_000);
            shard.ended(request(number * 1_000, 60, 900_000 + took_us(number)));
        }
    });
    assert_eq!(failed(&[round], Model::Open).0, Vec::<String>::new());
}

/// 40 requests come at once in the last moment, 2 are in flight before.
#[test]
fn a_burst_at_the_last_moment_is_no_growing_queue() {
    let round = round_of(Model::Open, |shard| {
        for number in 0..11_000 {
            let at_us = number * 1_000;
            shard.arrival(at_us);
            let stalled = at_us > WINDOWS.measure_end_us - 40_000;
            shard.ended(request(at_us, 60, took_us(number) + if stalled { 40_000 } else { 0 }));
        }
    });
    assert_eq!(failed(&[round], Model::Open).0, Vec::<String>::new());
}
