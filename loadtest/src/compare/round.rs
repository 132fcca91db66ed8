//! One round: a fresh clone of the seeded database, a fresh launch, warm-up, measure, drain, stop. A subject that is already
//! up gets the load alone.

use std::{collections::BTreeMap, time::Duration};

use chrono::Utc;
use measure::record::{PHASE_MEASURE, Round};
use stack::Stack;
use tokio::time::{sleep_until, timeout};

use super::{
    plan::Slot,
    run::{Run, unavailable},
};
use crate::{
    error::HarnessError,
    load::{Attack, AttackSpec, Clock, LoadReport, Target, fetch_globals},
    probes::{Access, Observation, Observed, Probes},
    subject::{Binary, Launch, Launched, Means, Subject},
};

/// Partitions of the topic of one launch: as many as consumers could usefully share on a small machine.
const TOPIC_PARTITIONS: i32 = 4;
/// How often everything is sampled and progress shown.
const SAMPLE_EVERY: Duration = Duration::from_secs(1);
/// How often those who have no bar to look at get a line.
const LINE_EVERY_S: u64 = 10;
/// A probe may notice that the subject is gone before its end is reported: how long to wait for that.
const END_GRACE: Duration = Duration::from_millis(500);
/// Where the reference service shows its metrics; a workload may say otherwise.
const METRICS_PATH: &str = "/metrics";

/// Names of one launch; nothing is shared with another.
pub(super) struct Names {
    pub(super) database: String,
    topic: String,
}

/// A subject that is up, and the process that it is, when we started it.
pub(super) struct Up<'a> {
    pub(super) subject: &'a Subject,
    pub(super) target: Target,
    pub(super) process: Option<Launched>,
}

/// What a round came to.
pub(super) struct RoundEnd {
    /// What was measured: all of it, or what there was when the user stopped the run.
    pub(super) round: Option<Round>,
    pub(super) failure: Option<HarnessError>,
}

impl RoundEnd {
    /// The same, and `ending` of what served the round: its failure counts where there is none yet.
    fn and(mut self, ending: Result<(), HarnessError>) -> Self {
        self.failure = self.failure.or(ending.err());
        self
    }
}

impl From<HarnessError> for RoundEnd {
    fn from(error: HarnessError) -> Self {
        Self {
            round: None,
            failure: Some(error),
        }
    }
}

impl Run<'_> {
    /// Runs one slot of the plan. Whatever happens, a subject that was started is stopped and its database dropped.
    pub(super) async fn round(&self, slot: Slot) -> RoundEnd {
        let subject = &self.plan.subjects[slot.subject];
        match (&subject.means, self.stack) {
            (Means::Running(target), _) => {
                let mut up = Up {
                    subject,
                    target: target.clone(),
                    process: None,
                };
                self.measure(slot, &mut up, Access::default())
                    .await
                    .unwrap_or_else(RoundEnd::from)
            }
            (Means::Launch(binary), Some(stack)) => self.launched_round(slot, subject, binary, stack).await,
            (Means::Launch(_), None) => {
                HarnessError::internal(anyhow::anyhow!("no stack for subject {}", subject.name)).into()
            }
        }
    }

    async fn launched_round(&self, slot: Slot, subject: &Subject, binary: &Binary, stack: &Stack) -> RoundEnd {
        let names = self.names(slot);
        if let Err(error) = self.prepare(stack, binary, &names).await {
            return error.into();
        }
        let end = match self.launch(stack, subject, binary, slot, &names).await {
            Ok(process) => self.measure_launched(slot, subject, process, stack, &names).await,
            Err(error) => error.into(),
        };
        let dropped = stack.postgres.drop_database(&names.database).await;
        end.and(dropped.map_err(unavailable))
    }

    async fn measure_launched(
        &self,
        slot: Slot,
        subject: &Subject,
        process: Launched,
        stack: &Stack,
        names: &Names,
    ) -> RoundEnd {
        let access = self.access(stack, names, &process);
        let mut up = Up {
            subject,
            target: Target::at(process.address),
            process: Some(process),
        };
        let end = self.measure(slot, &mut up, access).await.unwrap_or_else(RoundEnd::from);
        match up.process {
            Some(process) => end.and(process.stop().await),
            None => end,
        }
    }

    pub(super) async fn prepare(&self, stack: &Stack, binary: &Binary, names: &Names) -> Result<(), HarnessError> {
        stack.redis.flush().await.map_err(unavailable)?;
        self.make_database_and_topic(stack, binary, names).await
    }

    pub(super) fn names(&self, slot: Slot) -> Names {
        Names {
            database: format!("{}_r{}", self.out.database_prefix(), slot.order),
            topic: format!("trip-events-r{}", slot.order),
        }
    }

    pub(super) async fn make_database_and_topic(
        &self,
        stack: &Stack,
        binary: &Binary,
        names: &Names,
    ) -> Result<(), HarnessError> {
        let postgres = &stack.postgres;
        postgres
            .clone_database(self.template(binary), &names.database)
            .await
            .map_err(unavailable)?;
        stack
            .kafka
            .create_topic(&names.topic, TOPIC_PARTITIONS)
            .await
            .map_err(unavailable)
    }

    pub(super) async fn launch(
        &self,
        stack: &Stack,
        subject: &Subject,
        binary: &Binary,
        slot: Slot,
        names: &Names,
    ) -> Result<Launched, HarnessError> {
        let launch = Launch {
            title: format!("`{}` ({})", subject.name, subject.spec),
            binary: &binary.path,
            env: environment(stack, subject, names),
            log: self.out.log(&format!("{:03}-{}", slot.order, subject.name)),
        };
        tokio::select! {
            started = launch.start() => started,
            () = self.interrupt.stop.cancelled() => Err(HarnessError::Interrupted),
        }
    }

    /// What can be read of a subject that was started here.
    pub(super) fn access(&self, stack: &Stack, names: &Names, process: &Launched) -> Access {
        let page = self.plan.workload.prometheus.as_ref();
        let path = page.map_or(METRICS_PATH, |page| &page.path);
        let providers = [stack.postgres.info(), stack.redis.info(), stack.kafka.info()];
        Access {
            postgres: Some((stack.postgres.admin_url(), names.database.clone())),
            redis: Some(stack.redis.url()),
            prometheus: Some((
                format!("http://{}{path}", process.address),
                page.map(|page| page.keep.clone()).unwrap_or_default(),
            )),
            pid: Some(process.pid),
            all_ours: providers
                .iter()
                .all(|info| matches!(info.provider, stack::Provider::Native | stack::Provider::Embedded)),
        }
    }

    /// Load and probes side by side, watched for the subject's end.
    pub(super) async fn measure(
        &self,
        slot: Slot,
        up: &mut Up<'_>,
        mut access: Access,
    ) -> Result<RoundEnd, HarnessError> {
        let plan = self.plan;
        let globals = fetch_globals(&plan.workload, &up.target).await?;
        if let (None, Some(page)) = (&access.prometheus, &plan.workload.prometheus) {
            access.prometheus = Some((format!("http://{}{}", up.target.address, page.path), page.keep.clone()));
        }
        let mut probes = Probes::connect(access).await?;
        let started_at = Utc::now();
        let spec = AttackSpec {
            workload: &plan.workload,
            model: &plan.model,
            schedule: &plan.schedule,
            target: up.target.clone(),
            globals,
            seed: plan.block_seed(slot.block),
            slice: None,
        };
        let attack = Attack::new(spec, self.interrupt)?;
        let running = tokio::spawn({
            let attack = attack.clone();
            Box::pin(async move { attack.run().await })
        });
        let mut observation = Observation::default();
        let watched = self.watch(slot, &attack, &mut probes, &mut observation, up).await;
        let failure = watched.err();
        if failure
            .as_ref()
            .is_some_and(|error| !matches!(error, HarnessError::Interrupted))
        {
            attack.abandon();
        }
        let load = running.await.map_err(HarnessError::internal)??;
        self.show_errors(&load);
        let round = to_round(slot, up.subject, started_at, load, &observation, &probes);
        let keeps = match &failure {
            None => true,
            Some(HarnessError::Interrupted) => was_measured(&round),
            Some(_) => false,
        };
        Ok(RoundEnd {
            round: keeps.then_some(round),
            failure,
        })
    }

    /// Probes the round, until its measured phase is over, the subject ends or the user stops the run.
    async fn watch(
        &self,
        slot: Slot,
        attack: &Attack,
        probes: &mut Probes,
        observation: &mut Observation,
        up: &mut Up<'_>,
    ) -> Result<(), HarnessError> {
        let observed = tokio::select! {
            biased;
            () = self.interrupt.stop.cancelled() => Err(HarnessError::Interrupted),
            error = lost(up.process.as_mut(), || self.when(slot, attack)) => Err(error),
            observed = self.observe(slot, attack, probes, observation) => observed,
        };
        match observed {
            Err(HarnessError::Unavailable(probe)) if !probe.starts_with("subject") => {
                let when = self.when(slot, attack);
                let ended = lost(up.process.as_mut(), || when.clone());
                Err(match timeout(END_GRACE, ended).await {
                    Ok(error) => error,
                    Err(_) => HarnessError::Unavailable(format!("{probe} ({when})")),
                })
            }
            other => other,
        }
    }

    async fn observe(
        &self,
        slot: Slot,
        attack: &Attack,
        probes: &mut Probes,
        observation: &mut Observation,
    ) -> Result<(), HarnessError> {
        let (clock, windows) = (attack.clock(), attack.timeline().windows);
        self.progress.step(&self.where_now(slot, attack));
        probes.sample(observation, clock.now_us() / 1000).await?;
        while self.tick(slot, attack, windows.warm_up_end_us).await {
            probes.sample(observation, clock.now_us() / 1000).await?;
        }
        probes.start(observation, clock.now_us() / 1000).await?;
        self.progress.step(&self.where_now(slot, attack));
        while self.tick(slot, attack, windows.measure_end_us).await {
            probes.sample(observation, clock.now_us() / 1000).await?;
        }
        probes.sample(observation, clock.now_us() / 1000).await
    }

    /// Shows where the round is and sleeps to its next full second, or to `end_us`; false once that is reached.
    async fn tick(&self, slot: Slot, attack: &Attack, end_us: u64) -> bool {
        let clock = attack.clock();
        let step_us = u64::try_from(SAMPLE_EVERY.as_micros()).unwrap_or(u64::MAX);
        let now_us = clock.now_us();
        self.show(slot, attack);
        if now_us >= end_us {
            return false;
        }
        let next_us = ((now_us / step_us + 1) * step_us).min(end_us);
        sleep_until(clock.instant(next_us)).await;
        next_us < end_us
    }

    /// "block 2/5 phase1 measure".
    fn where_now(&self, slot: Slot, attack: &Attack) -> String {
        let phase = attack.timeline().phase_at(attack.clock().now_us());
        let subject = &self.plan.subjects[slot.subject].name;
        format!(
            "block {}/{} {subject} {phase}",
            slot.block + 1,
            self.plan.schedule.blocks
        )
    }

    /// "during measure of block 2 of 5", for messages.
    fn when(&self, slot: Slot, attack: &Attack) -> String {
        let phase = attack.timeline().phase_at(attack.clock().now_us());
        format!(
            "during {phase} of block {} of {}",
            slot.block + 1,
            self.plan.schedule.blocks
        )
    }

    /// Rate, percentiles and errors so far: on the bar every second, in lines now and then.
    fn show(&self, slot: Slot, attack: &Attack) {
        let now_us = attack.clock().now_us();
        let per_launch_ms = u64::try_from(self.plan.load_per_launch().as_millis()).unwrap_or(u64::MAX);
        let done_ms = u64::from(slot.order) * per_launch_ms + (now_us / 1000).min(per_launch_ms);
        let line_is_due = (now_us / 1_000_000).is_multiple_of(LINE_EVERY_S) && now_us >= 1_000_000;
        if !self.progress.has_bar() && !line_is_due {
            return;
        }
        let (place, figures) = (self.where_now(slot, attack), figures(attack, now_us));
        if self.progress.has_bar() {
            // Phase and figures first: a narrow terminal cuts the end.
            let phase = attack.timeline().phase_at(now_us);
            self.progress.at(done_ms, &format!("{phase} {figures}, {place}"));
        } else {
            self.progress.step(&format!("{place} {figures}"));
        }
    }

    fn show_errors(&self, load: &LoadReport) {
        for line in &load.errors {
            self.progress.line(&format!("  error: {line}"));
        }
    }
}

/// Whether the round came into its measured phase.
fn was_measured(round: &Round) -> bool {
    let measured = round.phases.iter().find(|phase| phase.name == PHASE_MEASURE);
    measured.is_some_and(|phase| phase.end_ms > phase.start_ms)
}

/// Completes when a process that we started ends; never for a subject that is merely up.
pub(super) async fn lost(process: Option<&mut Launched>, when: impl FnOnce() -> String) -> HarnessError {
    match process {
        Some(process) => {
            let status = process.ended().await;
            process.lost(&status, &when())
        }
        None => std::future::pending().await,
    }
}

/// "812/s, p50/95/99 1.2/3.4/9.8 ms, 0 errors", of the measured phase.
fn figures(attack: &Attack, now_us: u64) -> String {
    let so_far = attack.so_far();
    let windows = attack.timeline().windows;
    let measured_s = now_us.saturating_sub(windows.warm_up_end_us) as f64 / 1e6;
    let rate = if measured_s > 0.0 {
        so_far.answers as f64 / measured_s
    } else {
        0.0
    };
    let quantile_ms = |quantile: f64| {
        let us = so_far.times.quantile_us(quantile);
        us.map_or_else(|| "-".to_owned(), |us| format!("{:.1}", us as f64 / 1000.0))
    };
    let [p50, p95, p99] = [0.5, 0.95, 0.99].map(quantile_ms);
    format!("{rate:.0}/s, p50/95/99 {p50}/{p95}/{p99} ms, {} errors", so_far.errors)
}

fn environment(stack: &Stack, subject: &Subject, names: &Names) -> BTreeMap<String, String> {
    let mut env = subject.settings();
    let given = [
        ("BIND_ADDR", "127.0.0.1:0".to_owned()),
        ("DATABASE_URL", stack.postgres.url(&names.database)),
        ("REDIS_URL", stack.redis.url()),
        ("KAFKA_BROKERS", stack.kafka.brokers()),
        ("KAFKA_TOPIC", names.topic.clone()),
        ("KAFKA_GROUP", names.topic.clone()),
        ("CACHE_NAMESPACE", names.database.clone()),
        ("RUST_LOG", "warn".to_owned()),
    ];
    env.extend(given.map(|(name, value)| (name.to_owned(), value)));
    env
}

/// Metrics of the generator itself, and of what it could not follow.
fn own_metrics(load: &LoadReport) -> BTreeMap<String, f64> {
    let mut metrics = BTreeMap::from([(measure::metrics::CLOCK_STEP_US.key(), Clock::step_us())]);
    metrics.extend(
        load.sender_priority
            .map(|priority| (measure::metrics::HARNESS_SENDER_PRIORITY.key(), f64::from(priority))),
    );
    metrics.extend(
        load.lag_p99_ms
            .map(|ms| (measure::metrics::HARNESS_LAG_P99_MS.key(), ms)),
    );
    let not_followed = load.followed.as_ref().map(|followed| followed.not_followed);
    metrics.extend(not_followed.map(|count| (measure::metrics::CONSISTENCY_NOT_FOLLOWED.key(), count as f64)));
    metrics
}

fn to_round(
    slot: Slot,
    subject: &Subject,
    started_at: chrono::DateTime<Utc>,
    load: LoadReport,
    observation: &Observation,
    probes: &Probes,
) -> Round {
    let own = own_metrics(&load);
    let measured = load.recorded.phases.iter().find(|phase| phase.name == PHASE_MEASURE);
    let observed = measured.map(|phase| observation.observed(probes, phase));
    let Observed {
        probes: mut metrics,
        ratios,
        series,
        costs,
    } = observed.unwrap_or_default();
    metrics.extend(own);
    Round {
        block: slot.block,
        order: slot.order,
        subject: subject.name.clone(),
        started_at,
        phases: load.recorded.phases,
        slices: load.recorded.slices,
        probes: metrics,
        ratios,
        series,
        probe_costs: costs,
        consistency: load.followed.map(|followed| followed.consistency),
        ..Round::default()
    }
}
