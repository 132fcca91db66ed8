//! One round: a fresh clone of the seeded database, a fresh launch, warm-up, measure, drain, stop.

use std::{collections::BTreeMap, time::Duration};

use chrono::Utc;
use measure::record::{PHASE_MEASURE, Phase, Round};
use tokio::time::{sleep_until, timeout};

use super::{
    plan::Slot,
    run::{Run, unavailable},
};
use crate::{
    error::HarnessError,
    load::{Attack, LoadReport, Timeline, fetch_globals},
    probes::{MeasuredSpan, Observed, Probes},
    subject::{Launch, Launched, Subject},
};

/// Partitions of the topic of one launch: as many as consumers could usefully share on a small machine.
const TOPIC_PARTITIONS: i32 = 4;
/// How often memory is sampled and progress shown.
const SAMPLE_EVERY: Duration = Duration::from_secs(1);
/// A probe may notice that the subject is gone before its end is reported: how long to wait for that.
const END_GRACE: Duration = Duration::from_millis(500);

/// Addresses and names of one launch; nothing is shared with another.
struct Names {
    database: String,
    topic: String,
}

impl Run<'_> {
    /// Runs one slot of the plan. Whatever happens, the subject is stopped and its database dropped.
    pub(super) async fn round(&self, slot: Slot) -> Result<Round, HarnessError> {
        let subject = &self.plan.subjects[slot.subject];
        let names = Names {
            database: format!("{}_r{}", self.out.database_prefix(), slot.order),
            topic: format!("trip-events-r{}", slot.order),
        };
        self.prepare(subject, &names).await?;
        let started = self.launch(subject, slot, &names).await;
        let round = match started {
            Ok(mut launched) => {
                let round = self.measure(subject, slot, &names, &mut launched).await;
                launched.stop().await.and(round)
            }
            Err(error) => Err(error),
        };
        let dropped = self
            .stack
            .postgres
            .drop_database(&names.database)
            .await
            .map_err(unavailable);
        round.and_then(|round| dropped.map(|()| round))
    }

    async fn prepare(&self, subject: &Subject, names: &Names) -> Result<(), HarnessError> {
        let postgres = &self.stack.postgres;
        postgres
            .clone_database(self.template(subject), &names.database)
            .await
            .map_err(unavailable)?;
        self.stack.redis.flush().await.map_err(unavailable)?;
        self.stack
            .kafka
            .create_topic(&names.topic, TOPIC_PARTITIONS)
            .await
            .map_err(unavailable)
    }

    async fn launch(&self, subject: &Subject, slot: Slot, names: &Names) -> Result<Launched, HarnessError> {
        let launch = Launch {
            title: format!("`{}` ({})", subject.name, subject.spec),
            binary: &subject.binary,
            env: self.environment(subject, names),
            log: self.out.log(&format!("{:03}-{}", slot.order, subject.name)),
        };
        tokio::select! {
            started = launch.start() => started,
            () = self.interrupt.stop.cancelled() => Err(HarnessError::Interrupted),
        }
    }

    fn environment(&self, subject: &Subject, names: &Names) -> BTreeMap<String, String> {
        let mut env = subject.profile_env();
        let given = [
            ("BIND_ADDR", "127.0.0.1:0".to_owned()),
            ("DATABASE_URL", self.stack.postgres.url(&names.database)),
            ("REDIS_URL", self.stack.redis.url()),
            ("KAFKA_BROKERS", self.stack.kafka.brokers()),
            ("KAFKA_TOPIC", names.topic.clone()),
            ("KAFKA_GROUP", names.topic.clone()),
            ("CACHE_NAMESPACE", names.database.clone()),
            ("RUST_LOG", "warn".to_owned()),
        ];
        env.extend(given.map(|(name, value)| (name.to_owned(), value)));
        env
    }

    /// Load and probes side by side, watched for the subject's end.
    async fn measure(
        &self,
        subject: &Subject,
        slot: Slot,
        names: &Names,
        launched: &mut Launched,
    ) -> Result<Round, HarnessError> {
        let plan = self.plan;
        let globals = fetch_globals(&plan.workload, launched.address).await?;
        let (admin_url, redis_url) = (self.stack.postgres.admin_url(), self.stack.redis.url());
        let mut probes =
            Probes::connect(&admin_url, &names.database, &redis_url, launched.address, launched.pid).await?;
        let timeline = Timeline::new(&plan.workload, &plan.schedule);
        let seed = plan.block_seed(slot.block);
        let started_at = Utc::now();
        let attack = Attack::new(
            &plan.workload,
            timeline,
            launched.address,
            globals,
            seed,
            self.interrupt,
        );
        let running = tokio::spawn({
            let attack = attack.clone();
            Box::pin(async move { attack.run().await })
        });
        let watched = self.watch(slot, &attack, &mut probes, launched).await;
        if watched.is_err() {
            attack.abandon();
        }
        let load = running.await.map_err(HarnessError::internal)?;
        let (span, load) = (watched?, load?);
        self.show_errors(&load);
        Ok(round(subject, slot, started_at, load, &span))
    }

    /// Probes the measured phase, until it is over, the subject ends or the user stops the run.
    async fn watch(
        &self,
        slot: Slot,
        attack: &Attack,
        probes: &mut Probes,
        launched: &mut Launched,
    ) -> Result<MeasuredSpan, HarnessError> {
        let observed = tokio::select! {
            biased;
            () = self.interrupt.stop.cancelled() => Err(HarnessError::Interrupted),
            status = launched.ended() => Err(launched.lost(&status, &self.when(slot, attack))),
            observed = self.observe(slot, attack, probes) => observed,
        };
        match observed {
            Err(HarnessError::Unavailable(probe)) if !probe.starts_with("subject") => {
                let when = self.when(slot, attack);
                Err(match timeout(END_GRACE, launched.ended()).await {
                    Ok(status) => launched.lost(&status, &when),
                    Err(_) => HarnessError::Unavailable(format!("{probe} ({when})")),
                })
            }
            other => other,
        }
    }

    async fn observe(&self, slot: Slot, attack: &Attack, probes: &mut Probes) -> Result<MeasuredSpan, HarnessError> {
        let (clock, windows) = (attack.clock(), attack.timeline().windows);
        self.progress.step(&self.where_now(slot, attack));
        let step_us = u64::try_from(SAMPLE_EVERY.as_micros()).unwrap_or(u64::MAX);
        while clock.now_us() < windows.warm_up_end_us {
            self.show(slot, attack);
            sleep_until(clock.instant((clock.now_us() + step_us).min(windows.warm_up_end_us))).await;
        }
        let began_us = clock.now_us();
        let mut observation = probes.start().await?;
        self.progress.step(&self.where_now(slot, attack));
        while clock.now_us() < windows.measure_end_us {
            self.show(slot, attack);
            sleep_until(clock.instant((clock.now_us() + step_us).min(windows.measure_end_us))).await;
            probes.sample(&mut observation).await?;
        }
        probes
            .end(observation, Duration::from_micros(clock.now_us() - began_us))
            .await
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

    fn show(&self, slot: Slot, attack: &Attack) {
        let (counted, p95_ms) = attack.progress();
        let timeline = attack.timeline();
        let now_us = attack.clock().now_us();
        let measured_s = now_us.saturating_sub(timeline.windows.warm_up_end_us) as f64 / 1e6;
        let rate = if measured_s > 0.0 {
            counted.answers as f64 / measured_s
        } else {
            0.0
        };
        let p95 = p95_ms.map_or_else(|| "-".to_owned(), |ms| format!("{ms:.1} ms"));
        let per_launch_ms = u64::try_from(self.plan.load_per_launch().as_millis()).unwrap_or(u64::MAX);
        self.progress.at(
            u64::from(slot.order) * per_launch_ms + (now_us / 1000).min(per_launch_ms),
            format!(
                "{} {rate:.0}/s p95 {p95} errors {}",
                self.where_now(slot, attack),
                counted.errors
            ),
        );
    }

    fn show_errors(&self, load: &LoadReport) {
        for line in &load.errors {
            self.progress.line(&format!("  error: {line}"));
        }
    }
}

fn round(
    subject: &Subject,
    slot: Slot,
    started_at: chrono::DateTime<Utc>,
    load: LoadReport,
    span: &MeasuredSpan,
) -> Round {
    let measured: Option<&Phase> = load.recorded.phases.iter().find(|phase| phase.name == PHASE_MEASURE);
    let Observed { probes, ratios } = measured.map(|phase| span.observed(phase)).unwrap_or_default();
    Round {
        block: slot.block,
        order: slot.order,
        subject: subject.name.clone(),
        started_at,
        phases: load.recorded.phases,
        slices: load.recorded.slices,
        probes,
        ratios,
        ..Round::default()
    }
}
