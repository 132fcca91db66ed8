//! One round: the load of one launch on a subject that is up, with the probes beside it, watched for the subject's end.

use std::{collections::BTreeMap, time::Duration};

use chrono::{DateTime, Utc};
use load::{Attack, AttackSpec, Clock, LoadError, LoadReport, fetch_globals};
use measure::metrics;
use measure::record::{PHASE_MEASURE, Round};
use tokio::time::timeout;

use super::{
    display::Display,
    plan::{Plan, PlannedLaunch},
    streams, topics,
};
use crate::{
    error::HarnessError,
    interrupt::Interrupt,
    launchpad::{Resident, Surroundings},
    probes::{Observation, Observed, Probes},
};

/// A probe may notice that the subject is gone before its end is reported: how long to wait for that.
const END_GRACE: Duration = Duration::from_millis(500);

/// Kinds of failures that a round shows; all of them are in the record.
const SHOWN_FAILURES: usize = 8;

/// A round that ended early: why, and what was measured when neither the subject nor a server failed.
pub(super) struct Unfinished {
    pub(super) error: HarnessError,
    pub(super) round: Option<Box<Round>>,
}

impl From<HarnessError> for Unfinished {
    fn from(error: HarnessError) -> Self {
        Self { error, round: None }
    }
}

impl From<LoadError> for Unfinished {
    fn from(error: LoadError) -> Self {
        HarnessError::from(error).into()
    }
}

/// Drives the load of `launch` at `resident`, probes it meanwhile, and makes a round of both.
///
/// # Errors
/// When the subject, a server or the generator fails, and after an interrupt.
pub(super) async fn measure(
    plan: &Plan,
    launch: PlannedLaunch,
    around: Surroundings<'_>,
    resident: &mut Resident<'_>,
) -> Result<Round, Unfinished> {
    let setup = fetch_globals(&plan.workload, &resident.target);
    let globals = around.interrupt.unless_stopped(setup).await??;
    let connecting = Probes::connect(resident.access(plan.workload.prometheus.as_ref()));
    let mut probes = around.interrupt.unless_stopped(connecting).await??;
    let connected = around
        .interrupt
        .unless_stopped(streams::connect(plan, &resident.target, &globals, launch))
        .await??;
    let opening = topics::open(&plan.workload, resident);
    let opened = around.interrupt.unless_stopped(opening).await??;
    let started_at = Utc::now();
    let spec = AttackSpec {
        streams: connected,
        topics: opened.clone(),
        workload: &plan.workload,
        model: &plan.model(),
        schedule: &plan.schedule,
        target: resident.target.clone(),
        globals,
        seed: plan.block_seed(launch.block),
        requests: plan.requests,
        slice: None,
    };
    let attack = Attack::new(spec, &around.interrupt.of_load())?;
    let running = tokio::spawn({
        let attack = attack.clone();
        Box::pin(async move { attack.run().await })
    });
    let display = Display::new(plan, launch, &attack, around.progress);
    let mut observation = Observation::default();
    let watched = watch(&display, &mut probes, &mut observation, resident, around.interrupt).await;
    if matches!(&watched, Err(error) if !matches!(error, HarnessError::Interrupted)) {
        attack.abandon();
    }
    if watched.is_ok() {
        display.phase_begins();
    }
    let load = running.await.map_err(HarnessError::internal)??;
    // A signal during the drain ends the run as well.
    let watched = watched.and(around.interrupt.check());
    let worked_off = match watched {
        Ok(()) => topics::work_off(plan, &attack, around, resident).await,
        Err(error) => Err(error),
    };
    for topic in &opened {
        topic.close().await;
    }
    let (backlogs, watched) = match worked_off {
        Ok(backlogs) => (backlogs, Ok(())),
        Err(error) => (BTreeMap::new(), Err(error)),
    };
    for group in load.failures.iter().take(SHOWN_FAILURES) {
        around.progress.line(&format!("  error: {}", group.describe()));
    }
    let mut round = Round {
        block: launch.block,
        order: launch.order,
        subject: resident.subject.name.clone(),
        ..to_round(started_at, load)
    };
    topics::add_backlogs(&mut round.topics, &backlogs);
    round.probes.append(&mut topics::metrics_of_backlogs(&backlogs));
    add_observed(&mut round, &observation, &probes);
    match watched {
        Ok(()) => Ok(round),
        Err(error) => {
            let keeps = matches!(error, HarnessError::Interrupted | HarnessError::Probe(_)) && was_measured(&round);
            let round = keeps.then(|| Box::new(round));
            Err(Unfinished { error, round })
        }
    }
}

/// Probes the round, until its measured phase is over, the subject ends or the user stops the run.
async fn watch(
    display: &Display<'_>,
    probes: &mut Probes,
    observation: &mut Observation,
    resident: &mut Resident<'_>,
    interrupt: &Interrupt,
) -> Result<(), HarnessError> {
    let observed = tokio::select! {
        biased;
        () = interrupt.stop.cancelled() => Err(HarnessError::Interrupted),
        error = resident.lost(|| display.when()) => Err(error),
        observed = observe(display, probes, observation) => observed,
    };
    let Err(HarnessError::Probe(what)) = observed else {
        return observed;
    };
    let when = display.when();
    match timeout(END_GRACE, resident.lost(|| when.clone())).await {
        Ok(error) => Err(error),
        Err(_) => Err(HarnessError::Probe(format!("{what} ({when})"))),
    }
}

async fn observe(
    display: &Display<'_>,
    probes: &mut Probes,
    observation: &mut Observation,
) -> Result<(), HarnessError> {
    display.phase_begins();
    probes.sample(observation, display.now_ms()).await?;
    while display.tick(display.windows().warm_up_end_us).await {
        probes.sample(observation, display.now_ms()).await?;
    }
    probes.start(observation, display.now_ms()).await?;
    display.phase_begins();
    while display.tick(display.windows().measure_end_us).await {
        probes.sample(observation, display.now_ms()).await?;
    }
    probes.sample(observation, display.now_ms()).await
}

/// Whether the round came into its measured phase.
fn was_measured(round: &Round) -> bool {
    let measured = round.phases.iter().find(|phase| phase.name == PHASE_MEASURE);
    measured.is_some_and(|phase| phase.end_ms > phase.start_ms)
}

/// A round with the figures of the load alone.
fn to_round(started_at: DateTime<Utc>, load: LoadReport) -> Round {
    let mut probes = own_metrics(&load);
    probes.append(&mut streams::metrics_of(&load.streams));
    probes.append(&mut topics::metrics_of(&load.topics));
    Round {
        started_at,
        probes,
        streams: streams::to_record(load.streams),
        topics: topics::to_record(load.topics),
        phases: load.recorded.phases,
        slices: load.recorded.slices,
        failures: load.failures,
        transport: Some(load.transport),
        consistency: load.followed.map(|followed| followed.consistency),
        ..Round::default()
    }
}

/// Metrics of the generator itself, and of what it could not follow.
fn own_metrics(load: &LoadReport) -> BTreeMap<String, f64> {
    let not_followed = load.followed.as_ref().map(|followed| followed.not_followed);
    let metrics = [
        (&metrics::CLOCK_STEP_US, Some(Clock::step_us())),
        (&metrics::HARNESS_SENDER_PRIORITY, load.sender_priority.map(f64::from)),
        (&metrics::HARNESS_LAG_P99_MS, load.lag_p99_ms),
        (
            &metrics::CONSISTENCY_NOT_FOLLOWED,
            not_followed.map(|count| count as f64),
        ),
    ];
    let known = metrics.into_iter();
    known
        .filter_map(|(metric, value)| Some((metric.key(), value?)))
        .collect()
}

/// Adds the probes' figures of the measured phase; those of the generator itself stay.
fn add_observed(round: &mut Round, observation: &Observation, probes: &Probes) {
    let Some(measured) = round.phases.iter().find(|phase| phase.name == PHASE_MEASURE) else {
        return;
    };
    let Observed {
        probes: mut metrics,
        ratios,
        resets,
        series,
        costs,
    } = observation.observed(probes, measured);
    metrics.append(&mut round.probes);
    round.probes = metrics;
    (round.ratios, round.resets) = (ratios, resets);
    (round.series, round.probe_costs) = (series, costs);
}
