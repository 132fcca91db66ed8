//! One user of the closed model: picks journeys, walks their steps, pauses between them, until the measured phase is
//! over.

use std::{sync::Arc, time::Duration};

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use scenarios::ThinkTime;
use tokio::time::sleep_until;

use crate::{
    Shared,
    caller::{Caller, Due},
    timeline::micros,
};

/// A user's own state.
pub(crate) struct User {
    shared: Arc<Shared>,
    caller: Caller,
    own_shard: usize,
    rng: ChaCha8Rng,
    /// Where in the workload it is: a journey, and how many of its steps are done.
    journey: usize,
    step: usize,
}

impl User {
    /// User `index` of a round. The random choices depend on the seed, the block and the user only, so that both
    /// subjects of a block get the same journeys.
    pub(crate) fn new(shared: Arc<Shared>, index: usize) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(shared.seed);
        rng.set_stream(index as u64);
        Self {
            own_shard: shared.shard_of(index),
            caller: Caller::new(Arc::clone(&shared), index),
            shared,
            rng,
            journey: 0,
            // No step of the first journey is left, so that the first request picks one.
            step: usize::MAX,
        }
    }

    /// Sends one request after the other, each after its pause, until the measured phase is over or the round is
    /// stopped.
    pub(crate) async fn live(mut self) {
        let mut pause = self.stagger();
        loop {
            self.rest(pause).await;
            if !self.shared.may_start() {
                return;
            }
            pause = self.request().await;
        }
    }

    /// The next request of this user, sent and recorded; the pause after it.
    async fn request(&mut self) -> Duration {
        self.go_on();
        let step = &self.shared.workload.journeys[self.journey].steps[self.step];
        let due = Due {
            endpoint: step.endpoint,
            extract: &step.extract,
            intended_us: None,
        };
        let ended = self.caller.call(due).await;
        let pause = self.think(step.think, ended.at_us);
        self.step += 1;
        if !ended.as_expected && self.shared.workload.journeys[self.journey].hands_values_on() {
            // What later steps need may be missing: start another journey.
            self.step = usize::MAX;
        }
        pause
    }

    /// Users that start together would stay in step: the first request comes after a random part of a pause.
    fn stagger(&mut self) -> Duration {
        let share: f64 = self.rng.random_range(0.0..1.0);
        let shared = &self.shared;
        let mean_ms = shared.workload.mean_think_ms() * shared.timeline.warm_up_think_scale;
        Duration::from_secs_f64(share * mean_ms / 1000.0)
    }

    /// Begins a new journey where this one has no more steps.
    fn go_on(&mut self) {
        let workload = &self.shared.workload;
        if self.step >= workload.journeys[self.journey].steps.len() {
            self.journey = self.shared.journeys.pick(&mut self.rng);
            self.step = 0;
            let feeders = &workload.journeys[self.journey].feeders;
            workload.draw(feeders, &self.shared.sequences, &mut self.rng, &mut self.caller.vars);
        }
    }

    /// The pause after a request that ended at `ended_us`; shorter at the beginning of the warm-up.
    fn think(&mut self, think: ThinkTime, ended_us: u64) -> Duration {
        let pause = think.sample(&mut self.rng);
        let timeline = &self.shared.timeline;
        if ended_us < timeline.accelerated_until_us {
            pause.mul_f64(timeline.warm_up_think_scale)
        } else {
            pause
        }
    }

    /// Sleeps, but not beyond the measured phase nor after a stop.
    async fn rest(&self, pause: Duration) {
        if pause.is_zero() {
            return;
        }
        let shared = &self.shared;
        let began_us = shared.clock.now_us();
        let until_us = began_us.saturating_add(micros(pause));
        shared.sleep_until(until_us).await;
        shared
            .shard(self.own_shard)
            .pause(began_us, micros(pause), shared.clock.now_us());
    }
}

/// tokio's timers fire at the next full millisecond, half of one late on average. Asked for that much earlier, pauses
/// are as long as they should be on average, which is what the closed model's rate follows from.
const TIMER_LATE_US: u64 = 500;

impl Shared {
    /// Sleeps until the round's clock reads `at_us`, but not beyond the measured phase nor after a stop.
    async fn sleep_until(&self, at_us: u64) {
        // A user whose pause goes beyond the end must not wake before it, and send once more.
        let end_us = self.timeline.windows.measure_end_us;
        let wake_us = if at_us < end_us {
            at_us.saturating_sub(TIMER_LATE_US)
        } else {
            end_us
        };
        if wake_us <= self.clock.now_us() {
            return;
        }
        tokio::select! {
            () = sleep_until(self.clock.instant(wake_us)) => (),
            () = self.stop.cancelled() => (),
        }
    }
}
