//! From rounds to a record: summaries, checks, comparison, targets, verdict. Only wiring; the statistics are `measure`'s.

use std::collections::BTreeMap;

use chrono::Utc;
use measure::{
    checks::{self, CheckLimits},
    compare::{Rules, Sides},
    record::{Check, Model, Record, Round, SCHEMA_VERSION, Server, Subject, Summary, WorkloadId},
    summary::summarise,
};
use scenarios::{ModelSpec, Targets};
use stack::{ServerInfo, Stack};

use super::Plan;
use crate::{error::HarnessError, machine};

/// Servers of the stack by name.
type Servers = BTreeMap<String, Server>;

/// Of all cores; beyond it the generator's own queueing is measured (MEASURE section 1, "invalid slice").
const MAX_HARNESS_CPU_PERCENT: f64 = 80.0;

/// Everything that a comparison came to.
pub(crate) struct Judged<'a> {
    pub(crate) plan: &'a Plan,
    pub(crate) id: &'a str,
    pub(crate) servers: Servers,
    pub(crate) rounds: Vec<Round>,
    /// None when only the difference is judged.
    pub(crate) targets: Option<&'a Targets>,
    /// What ended the run early.
    pub(crate) failure: Option<HarnessError>,
}

/// What the record keeps of the servers.
pub(crate) fn servers(stack: &Stack) -> Servers {
    let of = |name: &str, info: &ServerInfo| (name.to_owned(), server(info));
    BTreeMap::from([
        of("postgres", stack.postgres.info()),
        of("redis", stack.redis.info()),
        of("kafka", stack.kafka.info()),
    ])
}

fn server(info: &ServerInfo) -> Server {
    Server {
        provider: info.provider.to_string(),
        version: info.version.clone(),
        settings: info.settings.clone(),
        note: info.note.clone(),
    }
}

/// Judges what was measured. A run that ended early is judged by that alone; its figures are kept.
pub(crate) fn record(judged: Judged<'_>) -> Result<Record, HarnessError> {
    let Judged {
        plan,
        id,
        servers,
        rounds,
        targets,
        failure,
    } = judged;
    let subjects: Vec<Subject> = plan.subjects.iter().map(crate::subject::Subject::to_record).collect();
    let sides = Sides {
        before: &subjects[0].name,
        after: &subjects[1].name,
    };
    let mut summary = BTreeMap::new();
    for subject in &subjects {
        summary.insert(subject.name.clone(), summarised(&rounds, &subject.name)?);
    }
    let items = targets.map_or(&[][..], |targets| &targets.items);
    let rules = Rules {
        seed: plan.seed,
        ..Rules::default()
    };
    let comparisons = measure::compare::compare(&rounds, sides, &rules).map_err(HarnessError::internal)?;
    let targets = measure::targets::judge(items, &summary, &rounds, Some(sides.before), sides.after)
        .map_err(HarnessError::internal)?;
    let checks = self_checks(&rounds, &servers, failure.as_ref());
    let (verdict, verdict_reason) = match &failure {
        Some(error) => (error.verdict(), first_line(error)),
        None => measure::verdict::overall(&checks, &targets, &comparisons),
    };
    let exit_code = failure.as_ref().map_or(verdict.exit_code(), HarnessError::exit_code);
    Ok(Record {
        schema_version: SCHEMA_VERSION,
        id: id.to_owned(),
        created_at: Utc::now(),
        command: plan.command.clone(),
        tool: machine::tool(),
        machine: machine::describe(),
        stack: servers,
        workload: workload_id(plan),
        subjects,
        rounds,
        summary,
        comparisons,
        targets,
        checks,
        verdict,
        exit_code,
        verdict_reason,
        gate: None,
        merged_from: vec![],
    })
}

/// A subject that no round came to has no figures.
fn summarised(rounds: &[Round], subject: &str) -> Result<Summary, HarnessError> {
    if rounds.iter().all(|round| round.subject != subject) {
        return Ok(Summary::default());
    }
    summarise(rounds, subject).map_err(HarnessError::internal)
}

fn workload_id(plan: &Plan) -> WorkloadId {
    let ModelSpec::Closed { users, .. } = plan.workload.model;
    WorkloadId {
        name: plan.workload.name.clone(),
        sha256: plan.workload.sha256.clone(),
        seed: plan.seed,
        model: Model::Closed,
        users: Some(users),
        rate_per_s: None,
        think_time_mean_ms: Some(plan.workload.mean_think_ms()),
        warm_up_s: plan.schedule.warm_up_s,
        measure_s: plan.schedule.measure_s,
        blocks: plan.schedule.blocks,
        ..WorkloadId::default()
    }
}

fn self_checks(rounds: &[Round], servers: &Servers, failure: Option<&HarnessError>) -> Vec<Check> {
    let mut all = vec![
        check(
            "the run came to its end",
            failure.is_none(),
            failure.map_or_else(|| "all rounds".into(), first_line),
        ),
        release_build(),
        fsync_is_on(servers),
    ];
    if !rounds.is_empty() {
        all.push(generator_had_room(rounds));
        all.extend(checks::of_rounds(rounds, CheckLimits::default()));
    }
    all
}

fn release_build() -> Check {
    let build = machine::tool().build;
    check(
        "the harness is a release build",
        build == "release",
        format!("{build} build"),
    )
}

/// Commits that do not reach the disk make writes look fast.
fn fsync_is_on(servers: &Servers) -> Check {
    let value = servers
        .get("postgres")
        .and_then(|postgres| postgres.settings.get("fsync"));
    let detail = format!("fsync = {}", value.map_or("unknown", String::as_str));
    check(
        "Postgres writes to disk",
        value.is_some_and(|value| value == "on"),
        detail,
    )
}

fn generator_had_room(rounds: &[Round]) -> Check {
    let largest = rounds
        .iter()
        .filter_map(|round| round.probes.get("harness.cpu_percent"))
        .copied()
        .fold(0.0, f64::max);
    check(
        "the generator was not saturated",
        largest <= MAX_HARNESS_CPU_PERCENT,
        format!("at most {largest:.0} % of the machine's CPU in a round, allowed {MAX_HARNESS_CPU_PERCENT:.0} %"),
    )
}

fn check(name: &str, ok: bool, detail: String) -> Check {
    Check {
        name: name.to_owned(),
        ok,
        detail,
    }
}

fn first_line(error: &HarnessError) -> String {
    error.to_string().lines().next().unwrap_or_default().to_owned()
}
