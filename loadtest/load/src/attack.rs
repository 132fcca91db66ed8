//! The load of one round, whatever its model: made, run, watched, added up.

use std::{
    sync::{Arc, Mutex, atomic::AtomicU64},
    time::Duration,
};

use measure::{
    histogram::LatencyHistogram,
    record::{FailureGroup, Transport},
    recorder::{Recorded, RoundRecorder},
};
use scenarios::{OpenModel, Schedule, Sequences, Vars, Workload};
use tokio_util::sync::CancellationToken;

use crate::{
    BacklogReport, LoadError, LoadModel, Shared, StreamReport, Target, Timeline, TopicReport, Watched, WatchedTopic,
    clock::Clock,
    closed,
    failures::FailureExamples,
    kafka,
    lag::Lag,
    open::{self, Paced, PacedLoad},
    versions::{Followed, Versions},
    wire::SharedConnections,
};

/// Signals that stop a load before its end.
#[derive(Clone, Debug)]
pub struct Stop {
    /// Cancelled: no new requests.
    pub stop: CancellationToken,
    /// Cancelled: nobody waits any more for what is in flight.
    pub abort: CancellationToken,
}

/// Parts that a round's load is made of.
pub struct AttackSpec<'a> {
    /// The requests to send, with their journeys and checks.
    pub workload: &'a Arc<Workload>,
    /// Who sends it, and when.
    pub model: &'a LoadModel,
    /// How long its phases are.
    pub schedule: &'a Schedule,
    /// Where it goes.
    pub target: Target,
    /// Variables that the setup left.
    pub globals: Vars,
    /// Seed of every random choice.
    pub seed: u64,
    /// Requests after which the measured phase ends; absent where time alone ends it.
    pub requests: Option<u64>,
    /// Live streams whose clients are connected; the load closes them.
    pub streams: Vec<Watched>,
    /// Topics of Kafka that are watched; whoever opened them may go on with their groups when the load is over.
    pub topics: Vec<Arc<WatchedTopic>>,
    /// Rules of a slice of a gate; absent in an ordinary round.
    pub slice: Option<SliceRules>,
}

/// The rest of a load that is a slice of a gate: every endpoint equally often, and its sequences go on where the slice
/// before ended.
pub struct SliceRules {
    /// How far the sequences have come.
    pub sequences: Arc<Sequences>,
}

/// The load of one round, to be run once.
#[derive(Clone)]
pub struct Attack {
    shared: Arc<Shared>,
    recorder: RoundRecorder,
    model: LoadModel,
}

/// Recorded times of a round, and facts about who drove it.
pub struct LoadReport {
    /// Counts and times of the round.
    pub recorded: Recorded,
    /// Failures of the whole round by kind, with examples.
    pub failures: Vec<FailureGroup>,
    /// How its requests travelled.
    pub transport: Transport,
    /// What following versions found; absent where none were seen.
    pub followed: Option<Followed>,
    /// Live streams, with the messages that their clients were owed and shown.
    pub streams: Vec<StreamReport>,
    /// Topics of Kafka, with the records that were owed and seen there.
    pub topics: Vec<TopicReport>,
    /// Priority of the threads that sent, as the kernel counts it.
    pub sender_priority: Option<i32>,
    /// CPU time of the thread that paced the open model.
    pub pacer_cpu: Option<Duration>,
    /// 99th percentile of how late the timers of the threads that sent fired, milliseconds.
    pub lag_p99_ms: Option<f64>,
}

/// The measured phase so far, for a display.
#[derive(Debug, Default)]
pub struct SoFar {
    /// Answers as expected.
    pub answers: u64,
    /// Errors.
    pub errors: u64,
    /// Response times.
    pub times: LatencyHistogram,
}

impl Attack {
    /// The clock starts now. Its own signals are children of `stop`'s.
    ///
    /// # Errors
    /// On a system without a monotonic clock.
    pub fn new(spec: AttackSpec<'_>, stop: &Stop) -> Result<Self, LoadError> {
        let AttackSpec {
            workload,
            model,
            schedule,
            target,
            globals,
            seed,
            requests,
            streams,
            topics,
            slice,
        } = spec;
        let names = workload.endpoint_names().into_iter().map(str::to_owned).collect();
        let timeline = Timeline::new(workload, model, schedule);
        // An answer that comes while the load drains is an answer: only what the drain did not wait for is censored.
        let recorder = RoundRecorder::new(names, timeline.windows)
            .with_model(model.kind())
            .with_hops(workload.endpoints.iter().map(|endpoint| endpoint.redirects > 0))
            .with_late_answers();
        let versions = workload.consistency.as_ref();
        let shared = Shared {
            workload: Arc::clone(workload),
            target: target.in_plain_text(workload.http.version),
            globals,
            seed,
            journeys: workload.journey_mix(),
            endpoints: match &slice {
                Some(_) => workload.equal_mix(),
                None => workload.endpoint_mix(),
            },
            sequences: slice.map_or_else(|| Arc::new(workload.new_sequences()), |slice| slice.sequences),
            timeline,
            clock: Clock::start()?,
            failures: FailureExamples::default(),
            versions: versions.map(|follow| Versions::new(follow.bound_ms, &follow.version_header)),
            streams,
            topics,
            connections: SharedConnections::default(),
            requests_left: requests.map(AtomicU64::new),
            shards: (0..senders(model)).map(|_| Mutex::new(recorder.shard())).collect(),
            lag: Lag::default(),
            stop: stop.stop.child_token(),
            abort: stop.abort.child_token(),
        };
        Ok(Self {
            shared: Arc::new(shared),
            recorder,
            model: model.clone(),
        })
    }

    /// The round's clock.
    pub fn clock(&self) -> Clock {
        self.shared.clock
    }

    /// The round's phases.
    pub fn timeline(&self) -> Timeline {
        self.shared.timeline
    }

    /// Completes when no new requests are sent, because the load was stopped or has sent all that it was to send.
    pub async fn stopped(&self) {
        self.shared.stop.cancelled().await;
    }

    /// No new requests, and those in flight are given up: the subject is gone.
    pub fn abandon(&self) {
        self.shared.stop.cancel();
        self.shared.abort.cancel();
    }

    /// The measured phase so far.
    pub fn so_far(&self) -> SoFar {
        let mut sum = SoFar::default();
        for index in 0..self.shared.shards.len() {
            let part = self.shared.shard(index).progress();
            sum.answers += part.answers;
            sum.errors += part.errors;
            for endpoint in 0..self.shared.workload.endpoints.len() {
                self.shared.shard(index).add_measured_to(endpoint, &mut sum.times);
            }
        }
        sum
    }

    /// Drives the load to the end of the drain.
    ///
    /// # Errors
    /// When the generator itself cannot run; what the subject answers is counted, never an error.
    pub async fn run(&self) -> Result<LoadReport, LoadError> {
        let producing = kafka::produce(&self.shared)?;
        match &self.model {
            LoadModel::Closed(model) => {
                let priority = closed::run(Arc::clone(&self.shared), *model).await?;
                producing.ended().await?;
                self.end_watching().await;
                Ok(self.finish(priority, None))
            }
            LoadModel::Open(model) => {
                let paced = open::run(self.paced(model), None).await?;
                producing.ended().await?;
                self.end_watching().await;
                Ok(self.finish_paced(paced))
            }
        }
    }

    /// Produces the backlog of topic `index` and waits until its group has worked it off, or for as long as the
    /// workload says; none where it asks for none. To be called when the load is over; it ends when it is dropped.
    ///
    /// # Errors
    /// When the producer cannot be made.
    pub async fn work_off_backlog(&self, index: usize) -> Result<Option<BacklogReport>, LoadError> {
        kafka::work_off(&self.shared, index).await
    }

    /// Waits for messages that are owed and may still come in time, then closes streams and ends the reading of topics.
    /// Whoever does not wait for requests in flight does not wait for these.
    async fn end_watching(&self) {
        for topic in &self.shared.topics {
            tokio::select! {
                () = topic.all_came() => (),
                () = self.shared.abort.cancelled() => (),
            }
            topic.stop_reading().await;
        }
        for stream in &self.shared.streams {
            tokio::select! {
                () = stream.all_came() => (),
                () = self.shared.abort.cancelled() => (),
            }
            stream.close().await;
        }
    }

    /// This load as the pacer takes it.
    pub(crate) fn paced(&self, model: &OpenModel) -> PacedLoad {
        (Arc::clone(&self.shared), model.clone())
    }

    pub(crate) fn finish_paced(&self, Paced { priority, cpu }: Paced) -> LoadReport {
        self.finish(priority, Some(cpu))
    }

    fn finish(&self, sender_priority: Option<i32>, pacer_cpu: Option<Duration>) -> LoadReport {
        let shared = &self.shared;
        let shards: Vec<_> = (0..shared.shards.len()).map(|index| shared.shard(index)).collect();
        LoadReport {
            recorded: self
                .recorder
                .finish(shards.iter().map(|shard| &**shard), shared.clock.now_us()),
            failures: shared.failures.groups(&shared.workload.endpoint_names()),
            transport: shared.target.transport(shared.workload.http.streams),
            streams: shared
                .streams
                .iter()
                .map(|stream| stream.settle(shared.clock, shared.timeline.windows))
                .collect(),
            topics: shared
                .topics
                .iter()
                .map(|topic| topic.settle(shared.clock, shared.timeline.windows))
                .collect(),
            followed: shared.versions.as_ref().and_then(Versions::finish).map(|mut followed| {
                for example in &mut followed.consistency.examples {
                    example.entity = shared.workload.secrets.conceal(std::mem::take(&mut example.entity));
                }
                followed
            }),
            sender_priority,
            pacer_cpu,
            lag_p99_ms: shared.lag.p99_ms(),
        }
    }
}

/// Threads that send requests: as many as there are cores for users, one for arrivals.
fn senders(model: &LoadModel) -> usize {
    match model {
        LoadModel::Closed(_) => std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
        LoadModel::Open(_) => 1,
    }
}
