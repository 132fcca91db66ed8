//! The closed model: goose starts the users and counts for its own console, we walk the journeys and take the times.
//!
//! Each goose user runs one endless transaction, the loop over [`User::next`]: goose's own run time is in whole seconds, is checked
//! between transactions only, and leaves requests in flight uncounted, so phases are cut by our clock instead.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use goose::{
    GooseAttack,
    config::GooseConfiguration,
    goose::{GooseUser, Scenario, Transaction, TransactionFunction},
};
use hyper::header::HeaderValue;
use measure::{
    histogram::LatencyHistogram,
    record::{PHASE_DRAIN, PHASE_MEASURE, PHASE_WARM_UP},
    recorder::{Progress, Recorded, RoundRecorder, Windows},
};
use scenarios::{ModelSpec, Schedule, Vars, Workload};

use super::{
    clock::Clock,
    connection::Connection,
    errors::ErrorExamples,
    user::{Shared, User},
};
use crate::{error::HarnessError, interrupt::Interrupt};

/// Share of the warm-up that runs at its faster pace; the rest lets queues that the pace built up drain before anything
/// is measured.
const ACCELERATED_SHARE: f64 = 0.5;

/// When the phases of a round end, microseconds since its start.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Timeline {
    pub(crate) windows: Windows,
    /// Until then pauses are scaled by `warm_up_think_scale`.
    pub(crate) accelerated_until_us: u64,
    pub(crate) warm_up_think_scale: f64,
    /// Requests in flight are given up here.
    pub(crate) drain_end_us: u64,
}

impl Timeline {
    /// The phases of `schedule` for `workload`.
    pub(crate) fn new(workload: &Workload, schedule: &Schedule) -> Self {
        let warm_up = Duration::from_secs_f64(schedule.warm_up_s);
        let windows = Windows::from_lengths(warm_up, Duration::from_secs_f64(schedule.measure_s));
        Self {
            windows,
            accelerated_until_us: micros(warm_up.mul_f64(ACCELERATED_SHARE)),
            warm_up_think_scale: workload.warm_up.think_time_scale,
            drain_end_us: windows.measure_end_us + micros(Duration::from_secs_f64(schedule.drain_s)),
        }
    }
}

impl Timeline {
    /// Name of the phase that `now_us` falls into.
    pub(crate) fn phase_at(&self, now_us: u64) -> &'static str {
        match now_us {
            now_us if now_us < self.windows.warm_up_end_us => PHASE_WARM_UP,
            now_us if now_us < self.windows.measure_end_us => PHASE_MEASURE,
            _ => PHASE_DRAIN,
        }
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// The load of one round, to be run once.
#[derive(Clone)]
pub(crate) struct Attack {
    shared: Arc<Shared>,
    recorder: RoundRecorder,
    address: SocketAddr,
    globals: Vars,
    seed: u64,
}

/// What the load of a round came to.
pub(crate) struct LoadReport {
    pub(crate) recorded: Recorded,
    /// What went wrong, with counts.
    pub(crate) errors: Vec<String>,
}

impl Attack {
    /// The load of `workload` on `address`; the clock starts now. Its stop signals are children of the interrupt's.
    pub(crate) fn new(
        workload: &Arc<Workload>,
        timeline: Timeline,
        address: SocketAddr,
        globals: Vars,
        seed: u64,
        interrupt: &Interrupt,
    ) -> Self {
        let names = workload.endpoint_names().into_iter().map(str::to_owned).collect();
        let recorder = RoundRecorder::new(names, timeline.windows);
        let workers = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let shared = Shared {
            workload: Arc::clone(workload),
            mix: workload.journey_mix(),
            timeline,
            clock: Clock::start(),
            errors: ErrorExamples::default(),
            shards: (0..workers).map(|_| Mutex::new(recorder.shard())).collect(),
            stop: interrupt.stop.child_token(),
            abort: interrupt.abort.child_token(),
        };
        Self {
            shared: Arc::new(shared),
            recorder,
            address,
            globals,
            seed,
        }
    }

    /// The round's clock.
    pub(crate) fn clock(&self) -> Clock {
        self.shared.clock
    }

    /// The round's phases.
    pub(crate) fn timeline(&self) -> Timeline {
        self.shared.timeline
    }

    /// No new requests, and those in flight are given up: the subject is gone.
    pub(crate) fn abandon(&self) {
        self.shared.stop.cancel();
        self.shared.abort.cancel();
    }

    /// Answers, errors and the p95 (milliseconds) of the measured phase so far.
    pub(crate) fn progress(&self) -> (Progress, Option<f64>) {
        let (mut sum, mut times) = (Progress::default(), LatencyHistogram::new());
        for shard in &self.shared.shards {
            let shard = shard.lock().expect("nothing panics while holding it");
            let part = shard.progress();
            sum = Progress {
                answers: sum.answers + part.answers,
                errors: sum.errors + part.errors,
            };
            shard.add_measured_to(&mut times);
        }
        #[expect(clippy::cast_precision_loss, reason = "microseconds of a request are far below 2^52")]
        let p95_ms = times.quantile_us(0.95).map(|us| us as f64 / 1000.0);
        (sum, p95_ms)
    }

    /// Runs the users to the end of the drain.
    ///
    /// # Errors
    /// When goose refuses to run; what the subject answers is counted, never an error.
    pub(crate) async fn run(&self) -> Result<LoadReport, HarnessError> {
        let scenario = Scenario::new("mix").register_transaction(Transaction::new(self.transaction()));
        let attack = GooseAttack::initialize_with_config(self.configuration()?)
            .map_err(HarnessError::internal)?
            .register_scenario(scenario);
        // Boxed: goose's state is 20 KB, too much for the stack of every future around it.
        Box::pin(attack.execute()).await.map_err(HarnessError::internal)?;
        Ok(self.finish())
    }

    fn finish(&self) -> LoadReport {
        let shards: Vec<_> = self
            .shared
            .shards
            .iter()
            .map(|shard| shard.lock().expect("nothing panics while holding it"))
            .collect();
        let recorded = self
            .recorder
            .finish(shards.iter().map(|shard| &**shard), self.shared.clock.now_us());
        LoadReport {
            recorded,
            errors: self.shared.errors.lines(),
        }
    }

    /// One iteration of one transaction is a user's whole life; goose is quiet, since we draw the progress.
    fn configuration(&self) -> Result<GooseConfiguration, HarnessError> {
        let ModelSpec::Closed { users, ramp_s } = self.shared.workload.model;
        let (host, users_text) = (format!("http://{}", self.address), users.to_string());
        let rate = (f64::from(users) / ramp_s.max(0.001)).ceil().to_string();
        let arguments = [
            "--host",
            &host,
            "--users",
            &users_text,
            "--increase-rate",
            &rate,
            "--iterations",
            "1",
            "--quiet",
            "--quiet",
            "--no-print-metrics",
            "--no-telnet",
            "--no-error-summary",
        ];
        GooseConfiguration::parse_args_default(&arguments).map_err(HarnessError::internal)
    }

    fn transaction(&self) -> TransactionFunction {
        let attack = self.clone();
        Arc::new(move |goose_user: &mut GooseUser| {
            let attack = attack.clone();
            Box::pin(async move {
                attack.live(goose_user).await;
                Ok(())
            })
        })
    }

    /// A user's life, each request told to goose too.
    async fn live(&self, goose_user: &mut GooseUser) {
        let host = HeaderValue::try_from(self.address.to_string()).expect("an address is a valid header");
        let connection = Connection::new(self.address, host);
        let index = goose_user.weighted_users_index;
        let mut user = User::new(
            Arc::clone(&self.shared),
            index,
            self.globals.clone(),
            connection,
            self.seed,
        );
        while let Some(sent) = user.next().await {
            let endpoint = &self.shared.workload.endpoints[sent.endpoint];
            // Goose's channel is closed only when the attack is over, and then nobody reads the figure.
            let _ = goose_user
                .record_custom_request_duration(
                    endpoint.method.as_str(),
                    &endpoint.name,
                    sent.took,
                    sent.error.is_none(),
                    sent.status,
                    sent.error.as_deref(),
                )
                .await;
        }
    }
}
