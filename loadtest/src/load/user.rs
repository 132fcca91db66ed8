//! One user: picks journeys, walks their steps, pauses between them, until the measured phase is over.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    Request,
    header::{CONTENT_TYPE, HeaderValue},
};
use measure::recorder::{Outcome, Shard};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use scenarios::{Endpoint, JourneyMix, Step, ThinkTime, Vars, Workload};
use tokio::time::{sleep_until, timeout_at};
use tokio_util::sync::CancellationToken;

use super::{
    attack::Timeline,
    clock::Clock,
    connection::{Answer, Connection, SendError},
    errors::ErrorExamples,
};

/// What all users of a round share.
pub(crate) struct Shared {
    pub(crate) workload: Arc<Workload>,
    pub(crate) mix: JourneyMix,
    pub(crate) timeline: Timeline,
    pub(crate) clock: Clock,
    pub(crate) errors: ErrorExamples,
    /// One per worker thread of the runtime; a user always writes into the same one.
    pub(crate) shards: Vec<Mutex<Shard>>,
    /// No new requests.
    pub(crate) stop: CancellationToken,
    /// Abandon the requests in flight.
    pub(crate) abort: CancellationToken,
}

/// One request that was sent and came to an end, for goose's own counters.
pub(crate) struct Sent {
    /// Index into the workload's endpoints.
    pub(crate) endpoint: usize,
    pub(crate) took: Duration,
    pub(crate) status: Option<u16>,
    pub(crate) error: Option<String>,
}

/// A user's own state.
pub(crate) struct User {
    shared: Arc<Shared>,
    own_shard: usize,
    rng: ChaCha8Rng,
    vars: Vars,
    /// Where in the workload it is: a journey, and how many of its steps are done.
    journey: usize,
    step: usize,
    /// Before the next request; none yet before the first.
    pause: Option<Duration>,
    connection: Connection,
    /// Reused for every path, header and body.
    text: String,
}

impl User {
    /// User `index` of a round. The random choices depend on the seed, the block and the user only, so that both
    /// subjects of a block get the same journeys.
    pub(crate) fn new(shared: Arc<Shared>, index: usize, vars: Vars, connection: Connection, seed: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(index as u64);
        let own_shard = index % shared.shards.len();
        // No step of the first journey is left, so that the first request picks one.
        let step = usize::MAX;
        Self {
            shared,
            own_shard,
            rng,
            vars,
            journey: 0,
            step,
            pause: None,
            connection,
            text: String::new(),
        }
    }

    /// The next request of this user, sent and recorded, after its pause; `None` once the measured phase is over or the
    /// round is stopped.
    pub(crate) async fn next(&mut self) -> Option<Sent> {
        let pause = self.pause.take().unwrap_or_else(|| self.stagger());
        self.rest(pause).await;
        let workload = Arc::clone(&self.shared.workload);
        let step = self.next_step(&workload)?;
        let sent = self.request(&workload.endpoints[step.endpoint], step.endpoint).await?;
        self.pause = Some(self.think(step.think));
        Some(sent)
    }

    /// Users that start together would stay in step: the first request comes after a random part of a pause.
    fn stagger(&mut self) -> Duration {
        let share: f64 = self.rng.random_range(0.0..1.0);
        let mean_ms = self.shared.workload.mean_think_ms() * self.shared.timeline.warm_up_think_scale;
        Duration::from_secs_f64(share * mean_ms / 1000.0)
    }

    /// The next step of this journey, or the first of a new one.
    fn next_step<'a>(&mut self, workload: &'a Workload) -> Option<&'a Step> {
        if !self.may_start() {
            return None;
        }
        if self.step >= workload.journeys[self.journey].steps.len() {
            self.journey = self.shared.mix.pick(&mut self.rng);
            self.step = 0;
            workload.draw(&workload.journeys[self.journey], &mut self.rng, &mut self.vars);
        }
        self.step += 1;
        workload.journeys[self.journey].steps.get(self.step - 1)
    }

    fn may_start(&self) -> bool {
        !self.shared.stop.is_cancelled() && self.shared.clock.now_us() < self.shared.timeline.windows.measure_end_us
    }

    /// Sends one request and records it; `None` when it was still in flight at the end of the drain.
    async fn request(&mut self, endpoint: &Endpoint, index: usize) -> Option<Sent> {
        let request = self.build(endpoint);
        let shared = Arc::clone(&self.shared);
        let started_us = shared.clock.now_us();
        let drained = shared.clock.instant(shared.timeline.drain_end_us);
        let exchange = self
            .connection
            .send(request, Duration::from_millis(endpoint.timeout_ms));
        let outcome = tokio::select! {
            outcome = timeout_at(drained, exchange) => outcome.ok(),
            () = shared.abort.cancelled() => None,
        };
        let ended_us = shared.clock.now_us();
        let mut counters = shared.shards[self.own_shard]
            .lock()
            .expect("nothing panics while holding it");
        let Some(outcome) = outcome else {
            counters.censored(index, started_us);
            return None;
        };
        let judged = judge(endpoint, &outcome);
        let bytes = outcome.as_ref().map_or(0, |answer| answer.bytes);
        counters.record(
            index,
            started_us,
            ended_us,
            if judged.is_ok() {
                Outcome::Ok { bytes }
            } else {
                Outcome::Error
            },
        );
        drop(counters);
        let error = judged.err().inspect(|message| shared.errors.add(message.clone()));
        let status = outcome.ok().map(|answer| answer.status);
        Some(Sent {
            endpoint: index,
            took: Duration::from_micros(ended_us - started_us),
            status,
            error,
        })
    }

    /// The pause after a request; shorter at the beginning of the warm-up.
    fn think(&mut self, think: ThinkTime) -> Duration {
        let pause = think.sample(&mut self.rng);
        let timeline = &self.shared.timeline;
        let accelerated = self.shared.clock.now_us() < timeline.accelerated_until_us;
        if accelerated {
            pause.mul_f64(timeline.warm_up_think_scale)
        } else {
            pause
        }
    }

    /// Sleeps, but not beyond the measured phase nor after a stop.
    async fn rest(&self, pause: Duration) {
        let shared = &self.shared;
        let until_us = shared
            .clock
            .now_us()
            .saturating_add(u64::try_from(pause.as_micros()).unwrap_or(u64::MAX));
        let wake = shared
            .clock
            .instant(until_us.min(shared.timeline.windows.measure_end_us));
        tokio::select! {
            () = sleep_until(wake) => (),
            () = shared.stop.cancelled() => (),
        }
    }

    fn build(&mut self, endpoint: &Endpoint) -> Request<Full<Bytes>> {
        let path = self.render(|vars, out| endpoint.path.render(vars, out));
        let mut request = Request::builder().method(endpoint.method.as_str()).uri(path.as_str());
        for (name, template) in &endpoint.headers {
            let value = self.render(|vars, out| template.render(vars, out));
            request = request.header(name, value.as_str());
        }
        let body = match &endpoint.body {
            None => Full::default(),
            Some(body) => {
                request = request.header(CONTENT_TYPE, HeaderValue::from_static("application/json"));
                let text = self.render(|vars, out| body.render(vars, out));
                Full::new(Bytes::copy_from_slice(text.as_bytes()))
            }
        };
        request
            .body(body)
            .expect("paths and header names were checked when the workload was read")
    }

    /// Renders into the reused buffer.
    fn render(&mut self, write: impl FnOnce(&Vars, &mut String)) -> &String {
        self.text.clear();
        write(&self.vars, &mut self.text);
        &self.text
    }
}

/// `Err` says in words what was not as the workload expects.
fn judge(endpoint: &Endpoint, outcome: &Result<Answer, SendError>) -> Result<(), String> {
    let what = |why: String| format!("{} {}: {why}", endpoint.method.as_str(), endpoint.name);
    match outcome {
        Err(error) => Err(what(error.to_string())),
        Ok(answer) if endpoint.expect_status.contains(&answer.status) => Ok(()),
        Ok(answer) => {
            let body = String::from_utf8_lossy(&answer.excerpt);
            Err(what(format!(
                "expected status {:?}, got {} {}",
                endpoint.expect_status,
                answer.status,
                body.trim()
            )))
        }
    }
}
