//! The files that ship with the project: they load, and they are what the report says of them.

use std::path::{Path, PathBuf};

use measure::record::Limit;
use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;
use scenarios::testing::{JsonAnswer, body_text};
use scenarios::{Arrive, Method, Targets, Workload, keep};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

fn shipped(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(file)
}

fn phase2_mix() -> Workload {
    Workload::load(&shipped("workloads/phase2-mix.toml")).unwrap_or_else(|error| panic!("{error}"))
}

fn phase2_targets() -> Targets {
    let workload = phase2_mix();
    Targets::load(&shipped("targets/phase2.toml"), &workload.counted_names()).unwrap_or_else(|error| panic!("{error}"))
}

/// Expected share of each endpoint in all requests.
fn request_shares(workload: &Workload) -> Vec<f64> {
    let requests = workload.requests_per_journey();
    let total: f64 = requests.iter().sum();
    requests.iter().map(|count| count / total).collect()
}

/// Expected share of requests that change data.
fn write_share(workload: &Workload) -> f64 {
    let endpoints = workload.endpoints.iter().zip(request_shares(workload));
    endpoints
        .filter(|(endpoint, _)| endpoint.write)
        .map(|(_, share)| share)
        .sum()
}

#[test]
fn the_mix_has_the_shares_it_promises() {
    let workload = phase2_mix();
    let writes = write_share(&workload);
    assert!((writes - 0.05).abs() < 0.003, "writes {writes}");
    let shares = workload.endpoint_names().into_iter().zip(request_shares(&workload));
    let expected = [
        ("dashboard_summary", 0.07),
        ("trip_activity", 0.04),
        ("risk_distribution", 0.04),
        ("safety_events", 2.0 / 600.0),
        ("claims_overview", 2.0 / 600.0),
        ("resource_metrics", 2.0 / 600.0),
        ("driver_list", 0.005),
        ("driver_details", 0.18),
        ("risk_current", 0.59),
        ("premium", 0.005),
        ("driver_statistics", 0.005),
        ("driver_trips", 0.005),
        ("trip_upload", 0.05),
    ];
    assert_eq!(workload.endpoints.len(), expected.len());
    for ((name, share), (expected_name, expected_share)) in shares.zip(expected) {
        assert_eq!(name, expected_name);
        assert!((share - expected_share).abs() < 1e-9, "{name} {share}");
    }
    let per_journey: f64 = workload.requests_per_journey().iter().sum();
    assert!((per_journey - 600.0 / 152.0).abs() < 1e-9, "{per_journey}");
}

/// 500 drivers that are read all the time and written now and then, without pauses.
#[test]
fn the_freshness_workload_reads_what_it_writes() {
    let workload = Workload::load(&shipped("workloads/freshness.toml")).unwrap_or_else(|error| panic!("{error}"));
    let writes = write_share(&workload);
    assert!((writes - 0.02).abs() < 1e-9, "{writes}");
    assert!(workload.endpoints.iter().all(|endpoint| endpoint.entity.is_some()));
    assert_eq!(workload.endpoints[0].entity, workload.endpoints[2].entity);
    assert!(workload.mean_think_ms().abs() < f64::EPSILON);
}

/// Screens are told apart by the driver that they watch, and know a trip by the number that its upload was given.
#[test]
fn the_live_workload_follows_its_trips_to_the_screens() {
    let workload = Workload::load(&shipped("workloads/live.toml")).unwrap_or_else(|error| panic!("{error}"));
    let stream = &workload.streams[0];
    assert_eq!(workload.endpoints[stream.follows[0].endpoint].name, "trip_upload");
    assert_eq!(stream.watches, stream.follows[0].about);
    assert!(stream.position_slot.is_some() && !stream.send_again.is_empty());
}

/// A trip is known by the number that its upload was given, whichever version of the events its record has.
#[test]
fn the_telemetry_workload_follows_its_trips_through_both_versions_of_the_events() {
    let workload = Workload::load(&shipped("workloads/telemetry.toml")).unwrap_or_else(|error| panic!("{error}"));
    let topic = &workload.topics[0];
    assert_eq!(workload.endpoints[topic.follows[0].endpoint].name, "trip_upload");
    let schemas = topic.forms.iter().flat_map(|form| &form.when_headers);
    let schemas: Vec<&str> = schemas.map(|(_, schema)| schema.as_str()).collect();
    assert_eq!(schemas, ["trip-recorded/1+json", "event/2"]);
    assert!(topic.group.is_some() && topic.backlog.is_some());
}

#[test]
fn picked_journeys_give_the_write_share() {
    let workload = phase2_mix();
    let mix = workload.journey_mix();
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    let (mut requests, mut writes) = (0_u32, 0_u32);
    for _ in 0..100_000 {
        for step in &workload.journeys[mix.pick(&mut rng)].steps {
            requests += 1;
            writes += u32::from(workload.endpoints[step.endpoint].write);
        }
    }
    let share = f64::from(writes) / f64::from(requests);
    assert!((share - 0.05).abs() < 0.003, "{share}");
}

#[test]
fn a_hundred_users_make_about_33_requests_a_second() {
    let workload = phase2_mix();
    let users = workload.models.closed.expect("a closed model").users;
    assert_eq!(users, 100);
    let rate_per_s = f64::from(users) / workload.mean_think_ms() * 1000.0;
    assert!((32.0..36.0).contains(&rate_per_s), "{rate_per_s}");
}

#[test]
fn the_schedules_are_the_planned_ones() {
    let workload = phase2_mix();
    insta::assert_debug_snapshot!((workload.schedule(false), workload.schedule(true)), @r"
    (
        Schedule {
            warm_up_s: 10.0,
            measure_s: 30.0,
            drain_s: 5.0,
            blocks: 6,
        },
        Schedule {
            warm_up_s: 8.0,
            measure_s: 20.0,
            drain_s: 5.0,
            blocks: 5,
        },
    )
    ");
    assert!((workload.warm_up_think_scale - 0.005).abs() < f64::EPSILON);
    assert_eq!(
        workload.dataset.seed_command,
        ["seed", "--drivers", "10000", "--seed", "42"]
    );
}

#[test]
fn the_hash_is_that_of_the_file() {
    let bytes = std::fs::read(shipped("workloads/phase2-mix.toml")).unwrap();
    assert_eq!(phase2_mix().sha256, hex::encode(Sha256::digest(bytes)));
}

/// The setup's token and a journey's draws, rendered into every request.
#[test]
fn every_request_renders_as_the_service_expects_it() {
    let workload = phase2_mix();
    let mut vars = workload.new_vars();
    let setup = &workload.setup[0];
    let mut path = String::new();
    setup.request.path.render(&vars, &mut path);
    let body = body_text(setup.request.body.as_ref().unwrap(), &vars);
    assert_eq!((setup.request.method, path.as_str()), (Method::Post, "/auth/token"));
    assert_eq!(body, r#"{"username":"admin","password":"admin-password"}"#);
    let answer = JsonAnswer(json!({ "access_token": "abc" }));
    keep(&setup.extract, &answer, &mut vars).unwrap();

    let upload = workload
        .journeys
        .iter()
        .find(|journey| journey.name == "trip-upload")
        .unwrap();
    let sequences = workload.new_sequences();
    workload.draw(
        &upload.feeders,
        &sequences,
        &mut ChaCha8Rng::seed_from_u64(1),
        &mut vars,
    );
    let request = &workload.endpoints[upload.steps[0].endpoint];
    let mut rendered = String::new();
    request.path.render(&vars, &mut rendered);
    for (name, value) in &request.headers {
        rendered.extend(["\n", name, ": "]);
        value.render(&vars, &mut rendered);
    }
    rendered.push('\n');
    rendered.push_str(&body_text(request.body.as_ref().unwrap(), &vars));
    let (head, body) = rendered.rsplit_once('\n').unwrap();
    insta::assert_snapshot!(head, @r"
    /drivers/5966/trips
    authorization: Bearer abc
    content-type: application/json
    ");
    let events = r#"{"speeding":1,"harsh_braking":0,"harsh_acceleration":1,"harsh_cornering":1}"#;
    let figures = r#""distance_m":5948,"duration_s":940,"night_share_pct":71"#;
    assert_eq!(body, format!("{{{figures},\"events\":{events}}}"));
    let body: Value = serde_json::from_str(body).unwrap();
    assert!(body["events"]["speeding"].is_i64() && body["distance_m"].is_i64());
}

#[test]
fn the_same_seed_draws_the_same_users() {
    let workload = phase2_mix();
    let draws = |seed: u64| {
        let (mix, sequences) = (workload.journey_mix(), workload.new_sequences());
        let (mut rng, mut vars) = (ChaCha8Rng::seed_from_u64(seed), workload.new_vars());
        let draw = |_| {
            let journey = &workload.journeys[mix.pick(&mut rng)];
            workload.draw(&journey.feeders, &sequences, &mut rng, &mut vars);
            (
                journey.name.clone(),
                vars.clone(),
                journey.steps[0].think.sample(&mut rng),
            )
        };
        (0..50).map(draw).collect::<Vec<_>>()
    };
    assert_eq!(draws(1), draws(1));
    assert_ne!(draws(1), draws(2));
}

#[test]
fn an_answer_without_the_token_says_what_is_missing() {
    let workload = phase2_mix();
    let mut vars = workload.new_vars();
    let mut said = |answer: Value| keep(&workload.setup[0].extract, &JsonAnswer(answer), &mut vars).unwrap_err();
    insta::assert_snapshot!(
        said(json!({ "token": "abc" })),
        @"nothing at `/access_token`, which `admin_token` is taken from"
    );
    insta::assert_snapshot!(
        said(json!({ "access_token": ["abc"] })),
        @"something that is no text, number or boolean at `/access_token`, which `admin_token` is taken from"
    );
}

/// Requests that arrive by themselves come in the shares of the journeys, and a session brings a journey's worth.
#[test]
fn the_mix_can_arrive_at_a_rate() {
    let workload = phase2_mix();
    let open = workload.open_model_at(50.0);
    assert_eq!(open.arrive, Arrive::Requests);
    let (mix, mut rng) = (workload.endpoint_mix(), ChaCha8Rng::seed_from_u64(5));
    let uploads = (0..100_000)
        .filter(|_| workload.endpoints[mix.pick(&mut rng)].write)
        .count();
    assert!((uploads as f64 / 100_000.0 - 0.05).abs() < 0.003, "{uploads}");
    let per_session = workload.requests_per_arrival(Arrive::Sessions);
    assert!((per_session - 600.0 / 152.0).abs() < 1e-9, "{per_session}");
}

#[test]
fn every_figure_of_the_plan_is_a_target() {
    let lines: Vec<String> = phase2_targets()
        .items
        .iter()
        .map(|item| {
            let endpoint = item.endpoint.as_deref().unwrap_or("-");
            format!(
                "{:?} {} {} {endpoint} {:?}",
                item.priority, item.id, item.metric, item.limit
            )
        })
        .collect();
    assert_eq!(lines.len(), 23);
    insta::assert_snapshot!(lines.join("\n"), @r"
    P0 cache-hit-ratio cache.hit_ratio - Above(0.8)
    P1 cache-hit-ratio-initial cache.hit_ratio - Above(0.7)
    P1 cache-invalidation cache.invalidation_p99_ms - Below(100.0)
    P0 stale-reads cache.stale_reads - Below(1.0)
    P1 redis-memory redis.used_memory_mb - Below(500.0)
    P0 cached-dashboard-summary-p95 http.p95_ms dashboard_summary Below(10.0)
    P0 cached-driver-details-p95 http.p95_ms driver_details Below(10.0)
    P0 cached-risk-current-p95 http.p95_ms risk_current Below(10.0)
    P1 all-p95 http.p95_ms all Below(15.0)
    P1 dashboard-summary-p95 http.p95_ms dashboard_summary Below(5.0)
    P1 baseline-driver-details-p95 http.p95_ms driver_details Below(15.0)
    P1 trip-activity-p95 http.p95_ms trip_activity Below(8.0)
    P1 risk-distribution-p95 http.p95_ms risk_distribution Below(6.0)
    P1 risk-score-p95 http.p95_ms risk_current Below(15.0)
    P0 db-queries-per-request db.queries_per_request - ReducedBy(0.5)
    P2 db-queries-per-request-far-end db.queries_per_request - ReducedBy(0.7)
    P1 db-queries-per-minute db.queries_per_minute - ReducedBy(0.5)
    P1 service-memory service.rss_mb - Below(700.0)
    P1 service-cpu service.cpu_percent - Below(40.0)
    P1 websocket-latency http.p95_ms screens Below(50.0)
    P1 kafka-throughput kafka.throughput_msgs_per_s - MultipliedBy(2.0)
    P1 kafka-message-size kafka.bytes_per_message - ReducedBy(0.4)
    P1 kafka-lag kafka.lag_p99_ms - Below(1000.0)
    ");
}

#[test]
fn a_target_on_an_endpoint_that_is_neither_there_nor_planned_is_refused() {
    let error = Targets::load(&shipped("targets/phase2.toml"), &["driver_details", "risk_current"]).unwrap_err();
    let said: Vec<String> = error.mistakes.iter().map(ToString::to_string).collect();
    let unknown = [
        "dashboard_summary",
        "dashboard_summary",
        "trip_activity",
        "risk_distribution",
        "screens",
    ];
    assert_eq!(said.len(), unknown.len(), "{said:?}");
    for (what, endpoint) in said.iter().zip(unknown) {
        assert!(what.starts_with(&format!("unknown endpoint `{endpoint}`")), "{what}");
    }
}

/// A run of one subject measures every target of the nightly file: none is left open for want of a figure.
#[test]
fn the_nightly_targets_ask_for_nothing_that_takes_two_subjects() {
    let workload = phase2_mix();
    let targets = Targets::load(&shipped("targets/nightly.toml"), &workload.endpoint_names());
    let targets = targets.unwrap_or_else(|error| panic!("{error}"));
    for item in &targets.items {
        assert!(
            matches!(item.limit, Limit::Below(_) | Limit::Above(_)) && item.not_yet.is_none(),
            "{item:?}"
        );
    }
}
