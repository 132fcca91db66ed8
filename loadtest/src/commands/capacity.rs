//! `loadtest capacity`: how much load a build takes: the highest rate of the open model that holds its targets.

use std::{path::PathBuf, time::Duration};

use clap::Args;
use load::LoadModel;
use measure::{
    capacity::step::Goal,
    record::{ALL_ENDPOINTS, Capacity, Record, StepKind},
    targets::TargetSpec,
};
use scenarios::{Schedule, Workload};

use super::{
    files,
    session::{self, Session},
};
use crate::{
    arguments::{PlaceArgs, SubjectArgs, rate, seconds},
    compare::{
        Plan, Purpose,
        capacity::{Question, SOAK_PARTS, Searching, Settings, Surroundings},
        command_line,
    },
    error::HarnessError,
    request::{LimitArgs, RequestArgs},
    subject::Subject,
};

/// The first rate without `--start` and without an open model in the workload, requests per second: low for any
/// service.
const DEFAULT_START_PER_S: f64 = 20.0;

/// Without a workload file: the soak has parts of its own.
const BLOCKS: u32 = 1;

/// Find the highest rate that a subject holds within its targets
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  one request to a service that is up: how many a second with a p95 below 50 ms?
    loadtest capacity http://127.0.0.1:8000/items --p95-ms 50
  the same with a workload
    loadtest capacity --workload shop.toml --subject url:http://127.0.0.1:8000 --p95-ms 50
  the reference service against its targets, short: shows where the limit is about
    loadtest capacity --quick --workload scenarios/workloads/phase2-mix.toml \\
      --targets scenarios/targets/phase2.toml --subject profile:phase2

Without --quick: doubling, 8 rounds of 4 loads around the limit, and ten minutes at the lower bound, which is what may \
be promised. About 20 minutes. --at-least N makes it a gate: exit code 5 when it holds less.")]
pub(crate) struct CapacityArgs {
    #[command(flatten)]
    measured: SubjectArgs,
    /// Workload: journeys, feeders [default: one request, see below]
    #[arg(long, value_name = "FILE")]
    workload: Option<PathBuf>,
    /// Targets: of them percentiles and error rates below a limit (P0 and P1) decide
    #[arg(long, value_name = "FILE", required_unless_present_any = ["p95_ms", "error_rate"])]
    targets: Option<PathBuf>,
    #[command(flatten)]
    limits: LimitArgs,
    #[command(flatten)]
    request: RequestArgs,
    /// Pass only if it holds at least so many requests per second
    #[arg(long, value_name = "PER_S", value_parser = rate)]
    at_least: Option<f64>,
    /// First rate, requests per second; it is doubled until a target is missed [default: the workload's open model,
    /// else 20]
    #[arg(long, value_name = "PER_S", value_parser = rate)]
    start: Option<f64>,
    /// Short steps and a short soak: shows where the limit is about, proves nothing
    #[arg(long)]
    quick: bool,
    /// Rounds of four loads around the limit [default: 8, quick: 3]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(3..=50))]
    rounds: Option<u32>,
    /// Seconds of a step that count [default: 12, quick: 4]
    #[arg(long, value_name = "S", value_parser = seconds)]
    step_s: Option<f64>,
    /// Seconds at the rate that is to be promised [default: 600, quick: 20]
    #[arg(long, value_name = "S", value_parser = seconds)]
    soak_s: Option<f64>,
    /// Seed of every random choice: order of loads, arrivals, keys
    #[arg(long, value_name = "N", default_value_t = 42)]
    seed: u64,
    #[command(flatten)]
    place: PlaceArgs,
}

/// The exit code of what was found.
pub(super) async fn capacity(arguments: &CapacityArgs) -> Result<u8, HarnessError> {
    let file = arguments.workload.as_deref();
    let workload = session::workload(file, &arguments.request, arguments.measured.path(), BLOCKS)?;
    let targets = goals(arguments, &workload)?;
    let settings = settings(arguments, &workload);
    let session = Session::open(&arguments.place, file)?;
    let subjects = session.subjects(arguments.measured.subject(), &workload).await?;
    let plan = plan(workload, subjects, settings, arguments);
    let plan = session.outlasting_timeouts(plan);
    let question = Question {
        per_arrival: per_arrival(&plan),
        plan: &plan,
        targets: &targets,
        settings,
    };
    let search = async |around: Surroundings<'_>| {
        let mut searching = Searching::new(&question, around);
        let outcome = searching.execute().await;
        (outcome, (searching.found, searching.soak))
    };
    let (ended, (found, soak)) = session.drive(&plan, &announcement(&question), search).await?;
    let soaked = plan_of_soak(&question, &found);
    let unjudged = Record {
        capacity: Some(found),
        ..ended.unjudged(&soaked, soak)
    };
    ended.conclude(unjudged, &targets).await
}

/// The targets that load decides; a file with none of them leaves nothing to search for.
fn goals(arguments: &CapacityArgs, workload: &Workload) -> Result<Vec<TargetSpec>, HarnessError> {
    let limits = arguments.limits.targets();
    if !limits.is_empty() {
        return Ok(limits);
    }
    let names = workload.endpoint_names();
    let items = files::targets(arguments.targets.as_deref(), &workload.counted_names())?.unwrap_or_default();
    let is_driven = |item: &TargetSpec| {
        let endpoint = item.endpoint.as_deref().unwrap_or(ALL_ENDPOINTS);
        endpoint == ALL_ENDPOINTS || names.contains(&endpoint)
    };
    let goals: Vec<TargetSpec> = items
        .into_iter()
        .filter(|item| Goal::of(item).is_some() && is_driven(item))
        .collect();
    if goals.is_empty() {
        return Err(HarnessError::usage(
            "no target that load decides: a capacity needs a percentile or the error rate of an endpoint `below` a \
             limit, P0 or P1; or give --p95-ms MS",
        ));
    }
    Ok(goals)
}

fn settings(arguments: &CapacityArgs, workload: &Workload) -> Settings {
    let (rounds, step_s, settle_s, soak_s) = if arguments.quick {
        (3, 4.0, 1.0, 20.0)
    } else {
        (8, 12.0, 2.0, 600.0)
    };
    let of_file = workload.models.open.as_ref();
    let of_file = of_file.map(|model| model.rate.first_per_s() * workload.requests_per_arrival(model.arrive));
    Settings {
        start_per_s: arguments.start.or(of_file).unwrap_or(DEFAULT_START_PER_S),
        rounds: arguments.rounds.map_or(rounds, |rounds| rounds as usize),
        step_s: arguments.step_s.unwrap_or(step_s),
        settle_s,
        soak_s: arguments.soak_s.unwrap_or(soak_s),
        wanted_per_s: arguments.at_least,
    }
}

/// The plan of a soak, from which every step is derived.
fn plan(workload: Workload, subjects: Vec<Subject>, settings: Settings, arguments: &CapacityArgs) -> Plan {
    let model = LoadModel::open_at(&workload, settings.start_per_s);
    let mut schedule = workload.schedule(arguments.quick);
    schedule.measure_s = settings.soak_part_s();
    schedule.blocks = SOAK_PARTS;
    Plan {
        workload: workload.into(),
        subjects,
        schedule,
        seed: arguments.seed,
        shard: None,
        requests: None,
        command: command_line(),
        purpose: Purpose::Capacity(model),
    }
}

fn per_arrival(plan: &Plan) -> f64 {
    match plan.model() {
        LoadModel::Open(model) => plan.workload.requests_per_arrival(model.arrive),
        LoadModel::Closed(_) => 1.0,
    }
}

/// What is about to happen, and how long it takes at least.
fn announcement(question: &Question<'_>) -> String {
    let (plan, settings) = (question.plan, question.settings);
    let step_s = settings.step_s + settings.settle_s;
    let at_least_s = plan.schedule.warm_up_s + step_s * (settings.rounds * 4) as f64 + settings.soak_s;
    let at_least = Duration::from_secs_f64(at_least_s).as_secs();
    let ids: Vec<&str> = question.targets.iter().map(|target| target.id.as_str()).collect();
    format!(
        "{}: from {:.1}/s, doubled until one of {} is missed; then {} rounds of 4 loads of {step_s} s, and {} s at \
         what is promised: {at_least} s and the doubling",
        plan.workload.name,
        settings.start_per_s,
        ids.join(", "),
        settings.rounds,
        settings.soak_s
    )
}

/// What was driven last, for the record and its checks.
fn plan_of_soak(question: &Question<'_>, found: &Capacity) -> Plan {
    let plan = question.plan;
    let last = found.steps.iter().rfind(|step| step.kind == StepKind::Soak);
    let rate_per_s = last.map_or(question.settings.start_per_s, |step| step.rate_per_s);
    let schedule = Schedule {
        warm_up_s: question.settings.settle_s,
        ..plan.schedule
    };
    plan.at_rate(rate_per_s / question.per_arrival, schedule)
}
