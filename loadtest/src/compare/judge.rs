//! From rounds to a record: summaries, checks, comparison, targets, verdict. Only wiring; the statistics are `measure`'s.

use std::collections::BTreeMap;

use chrono::Utc;
use measure::{
    checks::{self, CheckLimits},
    compare::{Rules, Sides},
    gate::{GateRules, Judgement, Next},
    record::{
        Ablated, Check, Comparison, Machine, Model, Record, Round, SCHEMA_VERSION, Server, Subject, Summary, Verdict,
        WorkloadId,
    },
    summary::summarise,
    targets::TargetSpec,
};
use scenarios::Targets;
use stack::{ServerInfo, Stack};

use super::{Plan, Purpose};
use crate::{error::HarnessError, load::LoadModel, machine};

/// Servers of the stack by name.
pub(crate) type Servers = BTreeMap<String, Server>;

/// Everything that a measurement came to.
pub(crate) struct Judged<'a> {
    pub(crate) plan: &'a Plan,
    pub(crate) id: &'a str,
    /// Empty when no subject was started here.
    pub(crate) servers: Servers,
    pub(crate) rounds: Vec<Round>,
    /// None when only the difference is judged.
    pub(crate) targets: Option<&'a Targets>,
    /// What ended the run early.
    pub(crate) failure: Option<&'a HarnessError>,
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
    let mut record = Record {
        schema_version: SCHEMA_VERSION,
        id: id.to_owned(),
        created_at: Utc::now(),
        command: plan.command.clone(),
        tool: machine::tool(),
        machine: machine::describe(),
        stack: servers,
        workload: workload_id(plan),
        subjects: plan.subjects.iter().map(crate::subject::Subject::to_record).collect(),
        rounds,
        summary: BTreeMap::new(),
        comparisons: Vec::new(),
        targets: Vec::new(),
        checks: Vec::new(),
        verdict: measure::record::Verdict::Invalid,
        exit_code: 0,
        verdict_reason: String::new(),
        gate: None,
        baseline: None,
        capacity: None,
        ablation: ablated(plan),
        merged_from: Vec::new(),
    };
    judge(&mut record, targets.map_or(&[], |targets| &targets.items), failure)?;
    Ok(record)
}

/// Fills in everything that follows from the rounds of a record.
pub(crate) fn judge(
    record: &mut Record,
    targets: &[TargetSpec],
    failure: Option<&HarnessError>,
) -> Result<(), HarnessError> {
    record.summary = summaries(&record.subjects, &record.rounds)?;
    let decided = compare(record, failure.is_some())?;
    let (before, after) = sides(&record.subjects);
    record.targets = measure::targets::judge(targets, &record.summary, &record.rounds, before, after)
        .map_err(HarnessError::internal)?;
    record.checks = self_checks(record, targets, failure)?;
    record.checks.extend(decided);
    (record.verdict, record.verdict_reason) = match failure {
        Some(error) => (error.verdict(), first_line(error)),
        None => verdict(record),
    };
    record.exit_code = failure.map_or(record.verdict.exit_code(), HarnessError::exit_code);
    Ok(())
}

fn verdict(record: &Record) -> (Verdict, String) {
    let Record {
        checks,
        targets,
        comparisons,
        ..
    } = record;
    if record.gate.is_some() {
        measure::verdict::of_gate(checks, targets, comparisons)
    } else if !record.ablation.is_empty() {
        measure::verdict::of_ablation(checks, record.ablation.len())
    } else {
        measure::verdict::overall(checks, targets, comparisons)
    }
}

/// Fills in the comparisons; for a gate also how it decided, and a check whether it could.
fn compare(record: &mut Record, stopped: bool) -> Result<Option<Check>, HarnessError> {
    if record.rounds.iter().all(|round| round.gate_slices.is_empty()) {
        record.comparisons = comparisons(record)?;
        return Ok(None);
    }
    if stopped {
        // A look before the end of a stage would raise false alarms.
        return Ok(None);
    }
    let [before, .., after] = record.subjects.as_slice() else {
        return Ok(None);
    };
    let sides = Sides {
        before: &before.name,
        after: &after.name,
    };
    let rules = gate_rules(record.workload.seed, record.workload.blocks);
    let judgement = gate(&record.rounds, sides, rules, &record.machine)?;
    let decided = blocks_were_valid(&judgement);
    record.comparisons = judgement.comparisons;
    record.gate = Some(judgement.gate);
    Ok(Some(decided))
}

/// A generator that is late or saturated measures itself: its slices are dropped, and with too many of them a stage never
/// comes to its end.
fn blocks_were_valid(judgement: &Judgement) -> Check {
    let gate = &judgement.gate;
    check(
        "enough slices were valid",
        judgement.next == Next::Decided,
        format!(
            "{} blocks entered, {} pairs of slices dropped in them, {} blocks had too few left and were run again",
            gate.stage1_blocks + gate.stage2_blocks,
            gate.dropped_pairs,
            gate.repeated_blocks
        ),
    )
}

/// The rules of a gate with stages of `blocks`.
pub(crate) fn gate_rules(seed: u64, blocks: u32) -> GateRules {
    GateRules {
        seed,
        stage_blocks: usize::try_from(blocks).unwrap_or(usize::MAX),
        ..GateRules::default()
    }
}

/// What the rounds of a gate say so far.
pub(crate) fn gate(
    rounds: &[Round],
    sides: Sides<'_>,
    rules: GateRules,
    machine: &Machine,
) -> Result<Judgement, HarnessError> {
    measure::gate::judge(rounds, sides, machine, &rules).map_err(HarnessError::internal)
}

/// What each subject of an ablation lacks.
fn ablated(plan: &Plan) -> Vec<Ablated> {
    let Purpose::Ablation(features) = &plan.purpose else {
        return Vec::new();
    };
    let without = plan.subjects.iter().skip(1);
    features
        .iter()
        .zip(without)
        .map(|(feature, subject)| Ablated {
            feature: feature.name.clone(),
            what: feature.what.clone(),
            subject: subject.name.clone(),
            off: feature.off.clone(),
        })
        .collect()
}

/// The subject compared against, if there are two, and the one judged.
fn sides(subjects: &[Subject]) -> (Option<&str>, &str) {
    match subjects {
        [before, .., after] => (Some(&before.name), &after.name),
        [only] => (None, &only.name),
        [] => (None, ""),
    }
}

fn summaries(subjects: &[Subject], rounds: &[Round]) -> Result<BTreeMap<String, Summary>, HarnessError> {
    let mut summaries = BTreeMap::new();
    for subject in subjects {
        summaries.insert(subject.name.clone(), summarised(rounds, &subject.name)?);
    }
    Ok(summaries)
}

/// A subject that no round came to has no figures.
fn summarised(rounds: &[Round], subject: &str) -> Result<Summary, HarnessError> {
    if rounds.iter().all(|round| round.subject != subject) {
        return Ok(Summary::default());
    }
    summarise(rounds, subject).map_err(HarnessError::internal)
}

/// The last subject against the first; in an ablation each one against the first.
fn comparisons(record: &Record) -> Result<Vec<Comparison>, HarnessError> {
    let (Some(before), last) = sides(&record.subjects) else {
        return Ok(Vec::new());
    };
    let rules = Rules {
        seed: record.workload.seed,
        ..Rules::default()
    };
    let without: Vec<&str> = record.ablation.iter().map(|ablated| ablated.subject.as_str()).collect();
    let others = if without.is_empty() { vec![last] } else { without };
    let mut all = Vec::new();
    for after in others {
        let compared = measure::compare::compare(&record.rounds, Sides { before, after }, &rules);
        all.extend(compared.map_err(HarnessError::internal)?);
    }
    Ok(all)
}

fn workload_id(plan: &Plan) -> WorkloadId {
    let (workload, model) = (&plan.workload, &plan.model);
    WorkloadId {
        name: workload.name.clone(),
        sha256: workload.sha256.clone(),
        seed: plan.seed,
        model: model.kind(),
        users: match model {
            LoadModel::Closed(closed) => Some(closed.users),
            LoadModel::Open(_) => None,
        },
        rate_per_s: model.requests_per_s(workload, plan.schedule.measure_s),
        arrivals: model.arrivals(),
        sessions: model.has_sessions(),
        stretches: model.stretches(plan.schedule.measure_s),
        think_time_mean_ms: (model.kind() == Model::Closed).then(|| workload.mean_think_ms()),
        warm_up_s: plan.schedule.warm_up_s,
        measure_s: plan.schedule.measure_s,
        blocks: plan.schedule.blocks,
    }
}

fn self_checks(
    record: &Record,
    targets: &[TargetSpec],
    failure: Option<&HarnessError>,
) -> Result<Vec<Check>, HarnessError> {
    let (rounds, limits) = (&record.rounds, CheckLimits::default());
    let mut all = vec![
        check(
            "the run came to its end",
            failure.is_none(),
            failure.map_or_else(|| "all rounds".into(), first_line),
        ),
        release_build(&record.tool.build),
    ];
    all.extend(fsync_is_on(&record.stack));
    if !rounds.is_empty() {
        let (_, judged) = sides(&record.subjects);
        all.extend(checks::of_rounds(rounds, limits));
        if rounds.iter().any(|round| !round.gate_slices.is_empty()) {
            all.extend(checks::of_slices(rounds, &record.workload).map_err(HarnessError::internal)?);
        } else {
            all.extend(of_load(record, &record.machine)?);
            all.extend(checks::of_machine(rounds, limits).map_err(HarnessError::internal)?);
        }
        all.push(checks::of_samples(rounds, judged, targets).map_err(HarnessError::internal)?);
    }
    Ok(all)
}

fn of_load(record: &Record, machine: &Machine) -> Result<Vec<Check>, HarnessError> {
    checks::of_load(&record.rounds, &record.workload, machine).map_err(HarnessError::internal)
}

fn release_build(build: &str) -> Check {
    check(
        "the harness is a release build",
        build == "release",
        format!("{build} build"),
    )
}

/// Commits that do not reach the disk make writes look fast. Nothing to check where no database is ours.
fn fsync_is_on(servers: &Servers) -> Option<Check> {
    let value = servers.get("postgres")?.settings.get("fsync");
    let detail = format!("fsync = {}", value.map_or("unknown", String::as_str));
    Some(check(
        "Postgres writes to disk",
        value.is_some_and(|value| value == "on"),
        detail,
    ))
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
