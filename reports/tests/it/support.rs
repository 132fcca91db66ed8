//! A record as a real run leaves it: two subjects, five blocks, three endpoints and the mix, every target of the plan.
//!
//! The figures are made up but hang together; they come from formulas, so that every build sees the same record.

use std::collections::BTreeMap;

use chrono::{DateTime, Duration, TimeZone, Utc};
use measure::record::{
    ALL_ENDPOINTS, Ablated, ArrivalSummary, Check, Comparison, Consistency, ConsistencySummary, EndpointSummary,
    FailureClass, FailureGroup, Failures, Family, FamilyVerdict, GateDecision, Limit, Machine, MetricSummary, Model,
    Outcome, Priority, ProbeCost, Purpose, Record, Round, SCHEMA_VERSION, Series, Server, ServiceTimes, Slice,
    StaleRead, Subject, Summary, TargetResult, TargetVerdict, Tool, Verdict, WorkloadId,
};

/// Blocks of the record.
pub(crate) const BLOCKS: u32 = 5;
/// Seconds measured per launch.
pub(crate) const MEASURE_S: u32 = 20;

/// The record of a run that passed.
pub(crate) fn record() -> Record {
    Record {
        schema_version: SCHEMA_VERSION,
        id: "20261123T101500-7f3a".to_owned(),
        created_at: start(),
        command: "loadtest compare --workload scenarios/workloads/phase2-mix.toml --targets \
                  scenarios/targets/phase2.toml --subject profile:phase1 --subject profile:phase2 --seed 42"
            .to_owned(),
        tool: Tool {
            version: "0.1.0".to_owned(),
            git: "4b5edd4".to_owned(),
            build: "release".to_owned(),
        },
        machine: machine(),
        stack: stack(),
        workload: workload(),
        subjects: vec![subject("phase1", false), subject("phase2", true)],
        rounds: rounds(),
        summary: BTreeMap::from([
            ("phase1".to_owned(), summary(&BEFORE, &BEFORE_METRICS)),
            ("phase2".to_owned(), summary(&AFTER, &AFTER_METRICS)),
        ]),
        comparisons: comparisons(),
        targets: targets(),
        checks: checks(),
        verdict: Verdict::Pass,
        exit_code: Verdict::Pass.exit_code(),
        verdict_reason: "Every P0 and P1 target that was measured holds, and no endpoint is slower than before."
            .to_owned(),
        ..Record::default()
    }
}

/// The record of a run that ended before anything was measured.
pub(crate) fn unavailable() -> Record {
    Record {
        subjects: Vec::new(),
        rounds: Vec::new(),
        summary: BTreeMap::new(),
        stack: BTreeMap::new(),
        comparisons: Vec::new(),
        targets: Vec::new(),
        checks: Vec::new(),
        verdict: Verdict::Unavailable,
        exit_code: Verdict::Unavailable.exit_code(),
        verdict_reason: "phase1 did not become ready within 30 s: /health/ready answered 503.".to_owned(),
        ..record()
    }
}

/// The record of a plain run of one subject.
pub(crate) fn single() -> Record {
    let mut record = record();
    record.subjects.remove(0);
    record.rounds.retain(|round| round.subject == "phase2");
    record.summary.remove("phase1");
    record.comparisons.clear();
    record
}

/// The record of an ablation of one feature, whose subject without it is the second one; it was slower on one endpoint.
pub(crate) fn ablation() -> Record {
    let mut record = record();
    record.targets.clear();
    record.verdict_reason = String::from("every check holds; features switched off in turn: 1");
    for comparison in &mut record.comparisons {
        (comparison.ratio, comparison.ratio_low, comparison.ratio_high) = (2.0, Some(1.8), Some(2.2));
        comparison.outcome = Outcome::Regress;
        if comparison.endpoint == "risk_current" {
            comparison.ratio = 4.0;
        }
        if comparison.family != Family::LatencyP95 {
            comparison.outcome = Outcome::Inconclusive;
        }
    }
    record.purpose = Purpose::Ablation;
    record.ablation = vec![Ablated {
        feature: "endpoint cache".to_owned(),
        what: "answers kept in memory".to_owned(),
        subject: "phase2".to_owned(),
        off: BTreeMap::from([("CACHE_ENABLED".to_owned(), "false".to_owned())]),
    }];
    record
}

/// The record of a gate that called a regression, on a machine that was too busy.
pub(crate) fn gate() -> Record {
    let mut record = record();
    record.workload.model = Model::Open;
    record.verdict = Verdict::Regression;
    record.exit_code = record.verdict.exit_code();
    record.verdict_reason =
        String::from("slower than before: p95 latency of risk_current is 1.21 times that of phase1");
    for comparison in &mut record.comparisons {
        comparison.outcome = match (comparison.family, comparison.endpoint.as_str()) {
            (Family::LatencyP95, "risk_current") => Outcome::Regress,
            (Family::LatencyP95, "record_trip") => Outcome::Inconclusive,
            _ => Outcome::Pass,
        };
    }
    let family = |family, outcome, mde, detail: &str| FamilyVerdict {
        family,
        outcome,
        mde,
        would_fail: mde.map(|mde| mde + 0.01),
        detail: detail.to_owned(),
    };
    record.purpose = Purpose::Gate;
    record.gate = Some(GateDecision {
        stage1_blocks: 24,
        stage2_blocks: 24,
        repeated_blocks: 1,
        dropped_pairs: 7,
        stage1_lateness_ms: Some(2),
        canary: true,
        notes: vec![String::from("phase2 makes the machine slower")],
        families: vec![
            family(
                Family::LatencyP95,
                Outcome::Regress,
                Some(0.081),
                "1 slower, 1 undecided, 3 not slower; MDE = 8.1 %",
            ),
            family(
                Family::CpuPerRequest,
                Outcome::Pass,
                Some(0.021),
                "1 not slower; MDE = 2.1 %",
            ),
            family(Family::TailShare, Outcome::Pass, None, "5 not slower"),
        ],
        oversubscribed: Some("93 % of the cores were in use".to_owned()),
        ..GateDecision::default()
    });
    record
}

/// The record of one subject under the open model: a stall, two stale reads, probes over time.
pub(crate) fn open() -> Record {
    let mut record = single();
    record.workload.model = Model::Open;
    record.workload.users = None;
    record.workload.think_time_mean_ms = None;
    record.workload.rate_per_s = Some(1000.0);
    record.workload.arrivals = Some("poisson".to_owned());
    let summary = record.summary.get_mut("phase2").expect("phase2 is in the fixture");
    for latency in summary.endpoints.values_mut() {
        latency.service = Some(service_times(latency));
    }
    summary.arrivals = Some(arrivals());
    summary.consistency = Some(ConsistencySummary {
        bound_ms: 100.0,
        reads: 1_004_211,
        writes: 20_977,
        stale_reads: 2,
        propagation_p50_ms: 0.001,
        propagation_p99_ms: 6.21,
        propagation_max_ms: 143.0,
        curve: vec![(0.0, 0.001), (0.9, 1.4), (0.99, 6.21), (0.999, 40.0), (0.9999, 143.0)],
    });
    for round in &mut record.rounds {
        round.series = vec![
            series("service.cpu_percent", round.block),
            series("db.queries_per_minute", round.block),
        ];
        round.probe_costs = vec![ProbeCost {
            probe: "postgres".to_owned(),
            readings: 25,
            total_us: 61_300 + u64::from(round.block),
            longest_us: 8_120,
        }];
    }
    record.rounds[0].consistency = Some(Consistency {
        stale_reads: 2,
        examples: vec![stale("driver:42", 7), stale("driver:977", 3)],
        ..Consistency::default()
    });
    record
}

/// A tenth of the times without the wait that a stall adds.
fn service_times(latency: &EndpointSummary) -> ServiceTimes {
    let shorter = |ms: f64| ms * 0.4;
    ServiceTimes {
        mean_ms: shorter(latency.mean_ms),
        p50_ms: latency.p50_ms,
        p90_ms: shorter(latency.p90_ms),
        p95_ms: shorter(latency.p95_ms),
        p99_ms: shorter(latency.p99_ms),
        p999_ms: shorter(latency.p999_ms),
        max_ms: shorter(latency.max_ms),
        curve: latency.curve.iter().map(|(q, ms)| (*q, shorter(*ms))).collect(),
    }
}

fn arrivals() -> ArrivalSummary {
    ArrivalSummary {
        intended: 100_000,
        sent: 99_997,
        late: 412,
        dropped: 3,
        intended_per_s: 1000.0,
        achieved_per_s: 999.6,
        lateness_p50_ms: 0.056,
        lateness_p99_ms: 0.108,
        lateness_max_ms: 4.3,
        curve: vec![],
    }
}

fn series(metric: &str, block: u32) -> Series {
    let at_ms: Vec<u64> = (0..25).map(|second| second * 1000).collect();
    let values = at_ms
        .iter()
        .map(|ms| 40.0 + f64::from(block) + (*ms as f64 / 3000.0).sin() * 6.0);
    Series {
        metric: metric.to_owned(),
        values: values.collect(),
        at_ms,
    }
}

fn stale(entity: &str, seen_version: i64) -> StaleRead {
    StaleRead {
        endpoint: "driver_details".to_owned(),
        entity: entity.to_owned(),
        at_ms: 8_120.0,
        behind_ms: 143.0,
        expected_version: seen_version + 1,
        seen_version,
    }
}

fn start() -> DateTime<Utc> {
    Utc.with_ymd_and_hms(2026, 11, 23, 10, 15, 0)
        .single()
        .expect("a valid date")
}

fn machine() -> Machine {
    Machine {
        cpu: "AMD EPYC 7B13".to_owned(),
        cores: 2,
        memory_mb: 7_951,
        kernel: "6.1.0-28-cloud-amd64".to_owned(),
        virtualisation: "kvm".to_owned(),
    }
}

fn pairs(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

fn stack() -> BTreeMap<String, Server> {
    let server = |provider: &str, version: &str, settings: &[(&str, &str)], note: Option<&str>| Server {
        provider: provider.to_owned(),
        version: version.to_owned(),
        settings: pairs(settings),
        note: note.map(str::to_owned),
    };
    let postgres = server(
        "native",
        "PostgreSQL 15.14",
        &[
            ("fsync", "on"),
            ("shared_buffers", "256MB"),
            ("shared_preload_libraries", "pg_stat_statements"),
        ],
        None,
    );
    let redis = server(
        "native",
        "7.0.15",
        &[
            ("appendonly", "yes"),
            ("maxmemory", "500mb"),
            ("maxmemory-policy", "allkeys-lru"),
        ],
        None,
    );
    let note = "A mock cluster inside the process: it serves the protocol and says nothing about Kafka's throughput.";
    let kafka = server("embedded", "librdkafka 2.12.1 mock", &[("partitions", "6")], Some(note));
    BTreeMap::from([
        ("postgres".to_owned(), postgres),
        ("redis".to_owned(), redis),
        ("kafka".to_owned(), kafka),
    ])
}

fn workload() -> WorkloadId {
    WorkloadId {
        name: "phase2-mix".to_owned(),
        sha256: "9f2c4be1a07d5538c6e0f1b29d4473aa5be0c1d2f3948576a1b2c3d4e5f60718".to_owned(),
        seed: 42,
        model: Model::Closed,
        users: Some(100),
        rate_per_s: None,
        think_time_mean_ms: Some(850.0),
        warm_up_s: 5.0,
        measure_s: f64::from(MEASURE_S),
        blocks: BLOCKS,
        ..WorkloadId::default()
    }
}

/// A subject that is a profile of the reference service.
pub(crate) fn subject(name: &str, cached: bool) -> Subject {
    Subject {
        name: name.to_owned(),
        kind: "profile".to_owned(),
        profile: Some(name.to_owned()),
        git: Some("4b5edd4".to_owned()),
        binary_sha256: Some("c0ffee5e1d2a3b4c5d6e7f8091a2b3c4d5e6f708192a3b4c5d6e7f8091a2b3c4".to_owned()),
        env: pairs(&[
            ("CACHE_ENABLED", if cached { "true" } else { "false" }),
            ("DATABASE_POOL_SIZE", "20"),
            ("PROFILE", name),
        ]),
    }
}

/// Median and 95th percentile (milliseconds) and number of answers of an endpoint.
struct Shape {
    endpoint: &'static str,
    p50_ms: f64,
    p95_ms: f64,
    count: u64,
}

const fn shape(endpoint: &'static str, p50_ms: f64, p95_ms: f64, count: u64) -> Shape {
    Shape {
        endpoint,
        p50_ms,
        p95_ms,
        count,
    }
}

const BEFORE: [Shape; 5] = [
    shape(ALL_ENDPOINTS, 14.2, 61.4, 10_871),
    shape("dashboard_summary", 33.1, 84.9, 2_713),
    shape("driver_details", 12.6, 38.2, 4_352),
    shape("record_trip", 6.11, 16.3, 541),
    shape("risk_current", 9.87, 29.4, 3_265),
];

const AFTER: [Shape; 5] = [
    shape(ALL_ENDPOINTS, 0.412, 3.87, 11_604),
    shape("dashboard_summary", 0.322, 0.913, 2_896),
    shape("driver_details", 0.389, 2.41, 4_648),
    shape("record_trip", 5.24, 12.9, 577),
    shape("risk_current", 0.351, 1.98, 3_483),
];

const BEFORE_METRICS: [(&str, f64, f64); 6] = [
    ("db.queries_per_request", 7.84, 0.11),
    ("db.queries_per_minute", 51_200.0, 900.0),
    ("redis.used_memory_mb", 1.02, 0.01),
    ("service.rss_mb", 31.4, 0.6),
    ("service.cpu_percent", 18.2, 1.4),
    ("service.cpu_us_per_request", 842.0, 31.0),
];

const AFTER_METRICS: [(&str, f64, f64); 7] = [
    ("cache.hit_ratio", 0.9271, 0.0061),
    ("db.queries_per_request", 0.612, 0.034),
    ("db.queries_per_minute", 4_260.0, 210.0),
    ("redis.used_memory_mb", 14.3, 0.8),
    ("service.rss_mb", 58.9, 1.7),
    ("service.cpu_percent", 5.31, 0.42),
    ("service.cpu_us_per_request", 231.0, 12.0),
];

fn summary(shapes: &[Shape], metrics: &[(&str, f64, f64)]) -> Summary {
    let metric = |value: f64, half: f64| MetricSummary {
        value,
        ci: Some((value - half, value + half)),
        rounds: BLOCKS,
    };
    Summary {
        endpoints: shapes
            .iter()
            .map(|shape| (shape.endpoint.to_owned(), endpoint(shape)))
            .collect(),
        metrics: metrics
            .iter()
            .map(|(name, value, half)| ((*name).to_owned(), metric(*value, *half)))
            .collect(),
        ..Summary::default()
    }
}

fn endpoint(shape: &Shape) -> EndpointSummary {
    let seconds = f64::from(BLOCKS * MEASURE_S);
    let at = |quantile: f64| quantile_ms(shape, quantile);
    EndpointSummary {
        count: shape.count,
        rps: shape.count as f64 / seconds,
        error_rate: 0.0,
        censored: u64::from(shape.endpoint == ALL_ENDPOINTS && shape.p95_ms > 50.0) * 2,
        dropped: 0,
        mean_ms: shape.p50_ms * 1.4,
        p50_ms: shape.p50_ms,
        p90_ms: at(0.9),
        p95_ms: shape.p95_ms,
        p99_ms: at(0.99),
        p999_ms: at(0.999),
        max_ms: at(0.99999),
        p95_ci_ms: Some((shape.p95_ms * 0.91, shape.p95_ms * 1.12)),
        curve: (0..=96)
            .map(|step| 1.0 - 10_f64.powf(-f64::from(step) / 24.0))
            .map(|q| (q, at(q)))
            .collect(),
        answers: None,
        failures: Failures::default(),
        repeated: 0,
        service: None,
    }
}

/// A smooth curve through the median and the 95th percentile: straight in ln(ms) over the nines.
fn quantile_ms(shape: &Shape, quantile: f64) -> f64 {
    let nines = -(1.0 - quantile).log10();
    let (from, to) = (0.5_f64.recip().log10(), 0.05_f64.recip().log10());
    let slope = (shape.p95_ms / shape.p50_ms).ln() / (to - from);
    let bend = if nines > to { (nines - to) * 0.45 } else { 0.0 };
    shape.p50_ms * (slope * (nines - from - bend)).exp()
}

fn rounds() -> Vec<Round> {
    let mut noise = Noise(7);
    let mut rounds = Vec::new();
    for block in 0..BLOCKS {
        let names = if block % 2 == 0 {
            ["phase1", "phase2"]
        } else {
            ["phase2", "phase1"]
        };
        for name in names {
            let order = u32::try_from(rounds.len()).expect("few rounds");
            rounds.push(round(block, order, name, &mut noise));
        }
    }
    rounds
}

fn round(block: u32, order: u32, subject: &str, noise: &mut Noise) -> Round {
    let p95_ms = if subject == "phase1" { 58.0 } else { 3.6 };
    let slices = (0..MEASURE_S).map(|second| Slice {
        start_ms: u64::from(second) * 1000,
        count: 110,
        errors: 0,
        p50_ms: Some(p95_ms / 5.0),
        p95_ms: Some(p95_ms * (1.0 + 0.5 * (noise.next() - 0.4)) * if noise.next() > 0.96 { 2.2 } else { 1.0 }),
        ..Slice::default()
    });
    Round {
        block,
        order,
        subject: subject.to_owned(),
        started_at: start() + Duration::seconds(i64::from(order) * 34),
        slices: slices.collect(),
        ..Round::default()
    }
}

/// Numbers between 0 and 1 that look random (Lehmer's generator).
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> f64 {
        self.0 = self.0 * 48_271 % 2_147_483_647;
        self.0 as f64 / 2_147_483_647.0
    }
}

fn comparisons() -> Vec<Comparison> {
    let latency = BEFORE.iter().zip(&AFTER).map(|(before, after)| {
        let outcome = if before.endpoint == "record_trip" {
            Outcome::Inconclusive
        } else {
            Outcome::Improved
        };
        comparison(
            Family::LatencyP95,
            before.endpoint,
            after.p95_ms / before.p95_ms,
            outcome,
        )
    });
    let cpu = comparison(Family::CpuPerRequest, ALL_ENDPOINTS, 0.274, Outcome::Improved);
    latency.chain(std::iter::once(cpu)).collect()
}

/// The record with requests of `phase2` that failed, one of them with what acts on a terminal in its text.
pub(crate) fn with_failures(mut record: Record) -> Record {
    let failures = Failures {
        status: 52,
        time_out: 3,
        unanswered: 2,
        ..Failures::default()
    };
    let summary = record.summary.get_mut("phase2").expect("phase2");
    for endpoint in [ALL_ENDPOINTS, "risk_current"] {
        let of = summary.endpoints.get_mut(endpoint).expect("the endpoint");
        (of.failures, of.repeated) = (failures, 4);
    }
    let group = |class, status, count, example: &str| FailureGroup {
        endpoint: "risk_current".to_owned(),
        class,
        status,
        count,
        examples: vec![example.to_owned()],
    };
    summary.failures = vec![
        group(
            FailureClass::Status,
            Some(500),
            61,
            "GET risk_current: got 500 <b>\u{1b}[31m|no|",
        ),
        group(
            FailureClass::TimeOut,
            None,
            3,
            "GET risk_current: no answer within 100 ms",
        ),
    ];
    record
}

/// Of `phase2` against `phase1`.
pub(crate) fn comparison(family: Family, endpoint: &str, ratio: f64, outcome: Outcome) -> Comparison {
    Comparison {
        family,
        endpoint: endpoint.to_owned(),
        before: "phase1".to_owned(),
        after: "phase2".to_owned(),
        blocks: BLOCKS,
        ratio,
        ratio_low: Some(ratio * 0.92),
        ratio_high: Some(ratio * 1.11),
        p_slower: 0.97,
        p_faster: 0.031_25,
        mde: Some(0.18),
        outcome,
    }
}

/// A target; the interval is 1 % to either side of what was observed.
pub(crate) fn target(id: &str, priority: Priority, metric: &str, limit: Limit, observed: Option<f64>) -> TargetResult {
    let (metric, endpoint) = metric
        .split_once('@')
        .map_or((metric, None), |(metric, endpoint)| (metric, Some(endpoint.to_owned())));
    let verdict = match (observed, limit) {
        (None, _) => TargetVerdict::NotMeasured,
        (Some(value), Limit::Below(limit)) if value >= limit => TargetVerdict::Fail,
        (Some(value), Limit::Above(limit) | Limit::ReducedBy(limit)) if value <= limit => TargetVerdict::Fail,
        _ => TargetVerdict::Pass,
    };
    TargetResult {
        id: id.to_owned(),
        priority,
        metric: metric.to_owned(),
        endpoint,
        source: format!(
            "Phase 2 plan, {}",
            if priority == Priority::P0 {
                "Success Criteria P0"
            } else {
                "Targets"
            }
        ),
        limit,
        observed,
        interval: observed.map(|value| (value * 0.99, value * 1.01)),
        not_yet: observed.is_none().then(|| "no probe".to_owned()),
        verdict,
        hangs: false,
        detail: if observed.is_none() {
            format!("no probe delivers {metric} yet")
        } else {
            String::new()
        },
    }
}

fn targets() -> Vec<TargetResult> {
    use Limit::{Above, Below, ReducedBy};
    use Priority::{P0, P1, P2};
    vec![
        target("p95-all", P0, "http.p95_ms", Below(15.0), Some(3.87)),
        target(
            "p95-dashboard",
            P0,
            "http.p95_ms@dashboard_summary",
            Below(5.0),
            Some(0.913),
        ),
        target("p95-driver", P0, "http.p95_ms@driver_details", Below(10.0), Some(2.41)),
        target("p95-risk", P0, "http.p95_ms@risk_current", Below(15.0), Some(1.98)),
        target(
            "p95-dashboard-cut",
            P1,
            "http.p95_ms@dashboard_summary",
            ReducedBy(0.7),
            Some(0.989),
        ),
        target(
            "p95-driver-cut",
            P1,
            "http.p95_ms@driver_details",
            ReducedBy(0.67),
            Some(0.937),
        ),
        target("p95-trip-activity", P0, "http.p95_ms@trip_activity", Below(8.0), None),
        target(
            "p95-risk-distribution",
            P0,
            "http.p95_ms@risk_distribution",
            Below(6.0),
            None,
        ),
        target("error-rate", P0, "http.error_rate", Below(0.001), Some(0.0)),
        target("hit-ratio", P0, "cache.hit_ratio", Above(0.8), Some(0.9271)),
        target("queries-cut", P0, "db.queries_per_request", ReducedBy(0.5), Some(0.922)),
        target(
            "queries-per-minute-cut",
            P0,
            "db.queries_per_minute",
            ReducedBy(0.5),
            Some(0.917),
        ),
        target("invalidation", P0, "cache.invalidation_p99_ms", Below(100.0), None),
        target("stale-reads", P0, "cache.stale_reads", Below(1.0), None),
        target("redis-memory", P0, "redis.used_memory_mb", Below(500.0), Some(14.3)),
        target("service-memory", P1, "service.rss_mb", Below(700.0), Some(58.9)),
        target("service-cpu", P1, "service.cpu_percent", Below(40.0), Some(5.31)),
        target("websocket-latency", P1, "ws.latency_p95_ms", Below(50.0), None),
        target(
            "kafka-throughput",
            P1,
            "kafka.throughput_msgs_per_s",
            Above(1_000.0),
            None,
        ),
        target(
            "kafka-message-size",
            P2,
            "kafka.bytes_per_message",
            ReducedBy(0.4),
            None,
        ),
        target("kafka-lag", P1, "kafka.lag_p99_ms", Below(1_000.0), None),
        target("trip-write", P2, "http.p95_ms@record_trip", Below(20.0), Some(12.9)),
    ]
}

fn checks() -> Vec<Check> {
    let check = |name: &str, detail: &str| Check {
        name: name.to_owned(),
        ok: true,
        detail: detail.to_owned(),
        ..Check::default()
    };
    vec![
        check("fsync is on", "postgres says fsync = on"),
        check(
            "Little's law holds",
            "N = 3.41, X R = 3.39, difference 0.6 % (at most 2 %)",
        ),
        check("users' cycle holds", "X (R + Z) / N = 0.994 (0.98 to 1.02)"),
        check("counts add up", "22,475 answers + 0 errors + 2 censored = 22,477 sent"),
        check("the generator was not saturated", "0.31 of 2 cores"),
        check("error rate", "0 of 22,477"),
    ]
}
