//! The open model: requests are sent when the schedule says so, whatever became of those before.
//!
//! Everything runs on one thread of its own (a second one made it worse on two cores): the pacer gives each arrival to a free slot,
//! which has a connection of its own. Slots are made as they are needed, up to the bound; an arrival that finds none is
//! dropped and counted, and never holds back the next one.

use std::{
    cmp::Reverse,
    collections::BinaryHeap,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, Ordering},
    },
};

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use scenarios::{Arrive, OpenModel};
use tokio::sync::{Notify, oneshot};

use super::{
    Shared,
    caller::{Caller, Due},
    pacer::{Pacer, raise_priority},
    timeline::micros,
};
use crate::error::HarnessError;

/// Stream of the seed for the times of arrivals; arrival n takes stream n for its own choices.
const ARRIVALS_STREAM: u64 = u64::MAX - 1;
/// Arrivals that may be sent off in one go when the schedule has been missed, before the slots get their turn.
const MAX_BURST: u32 = 64;
/// How long after the end of the measured phase an arrival that was due within it is still sent: the pacer is a little late
/// at the end as anywhere else. Beyond it the generator has lost its schedule, and what is left of it is dropped.
const END_GRACE_US: u64 = 100_000;

/// Runs the arrivals of a round to the end of its drain; the nice value that its thread had.
pub(super) async fn run(shared: Arc<Shared>, model: OpenModel) -> Result<i32, HarnessError> {
    let (done, outcome) = oneshot::channel();
    let thread = move || {
        let nice = raise_priority();
        let driven = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .and_then(|runtime| runtime.block_on(drive(shared, &model)));
        // Nobody waits any more when the command was cancelled.
        let _ = done.send(driven.map(|()| nice));
    };
    std::thread::Builder::new()
        .name("pacer".to_owned())
        .spawn(thread)
        .map_err(HarnessError::internal)?;
    outcome
        .await
        .map_err(HarnessError::internal)?
        .map_err(HarnessError::internal)
}

async fn drive(shared: Arc<Shared>, model: &OpenModel) -> std::io::Result<()> {
    let pacer = Pacer::new(shared.clock)?;
    let pool = Arc::new(Pool::new(Arc::clone(&shared), model));
    let windows = shared.timeline.windows;
    let mut rng = ChaCha8Rng::seed_from_u64(shared.seed);
    rng.set_stream(ARRIVALS_STREAM);
    let mut arrivals = model
        .arrivals(windows.warm_up_end_us as f64 / 1e6, rng)
        .take_while(|at_us| *at_us < windows.measure_end_us)
        .zip(0..)
        .peekable();
    let mut burst = 0;
    let mut stopped = std::pin::pin!(shared.stop.cancelled());
    loop {
        let arrival_us = arrivals.peek().map(|(at_us, _)| *at_us);
        let Some(next_us) = [arrival_us, pool.next_step_us()].into_iter().flatten().min() else {
            break;
        };
        tokio::select! {
            biased;
            () = &mut stopped => break,
            () = pool.changed.notified(), if pool.sessions() => continue,
            woken = pacer.until(next_us) => woken?,
        }
        if shared.clock.now_us() >= windows.measure_end_us + END_GRACE_US {
            break;
        }
        if arrival_us == Some(next_us) {
            arrivals
                .next()
                .into_iter()
                .for_each(|(at_us, number)| pool.arrive(number, at_us));
        } else {
            pool.go_on();
        }
        burst = if shared.clock.now_us() > next_us { burst + 1 } else { 0 };
        if burst >= MAX_BURST {
            burst = 0;
            tokio::task::yield_now().await;
        }
    }
    if !shared.stop.is_cancelled() {
        arrivals.for_each(|(at_us, _)| pool.miss(at_us));
    }
    pool.drained().await;
    Ok(())
}

/// The slots of a round.
struct Pool {
    shared: Arc<Shared>,
    arrive: Arrive,
    most: usize,
    slots: Mutex<Slots>,
    /// A slot came back, or a session knows when it goes on.
    changed: Notify,
    closing: AtomicBool,
}

#[derive(Default)]
struct Slots {
    /// The last one back is the first one taken: few connections are used, and those are warm.
    idle: Vec<Slot>,
    /// Sessions between two steps, the next due on top.
    resting: BinaryHeap<Reverse<Resting>>,
    /// All there are, at most [`Pool::most`].
    made: usize,
}

/// A slot with a connection, its variables and its random choices.
struct Slot {
    index: usize,
    caller: Caller,
    rng: ChaCha8Rng,
    journey: usize,
    /// Steps of the journey that are done.
    step: usize,
}

/// A session that goes on at a time.
struct Resting {
    at_us: u64,
    slot: Slot,
}

impl PartialEq for Resting {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Resting {}

impl PartialOrd for Resting {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Resting {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at_us, self.slot.index).cmp(&(other.at_us, other.slot.index))
    }
}

impl Pool {
    fn new(shared: Arc<Shared>, model: &OpenModel) -> Self {
        Self {
            shared,
            arrive: model.arrive,
            most: usize::try_from(model.connections).unwrap_or(usize::MAX),
            slots: Mutex::default(),
            changed: Notify::new(),
            closing: AtomicBool::new(false),
        }
    }

    fn slots(&self) -> MutexGuard<'_, Slots> {
        self.slots.lock().expect("nothing panics while holding it")
    }

    fn sessions(&self) -> bool {
        self.arrive == Arrive::Sessions
    }

    /// When the next resting session goes on.
    fn next_step_us(&self) -> Option<u64> {
        self.slots().resting.peek().map(|Reverse(resting)| resting.at_us)
    }

    /// Arrival `number`, due at `intended_us`.
    fn arrive(self: &Arc<Self>, number: u64, intended_us: u64) {
        self.shared.shard(0).arrival(intended_us);
        match self.free_slot() {
            Some(mut slot) => {
                slot.begin(&self.shared, self.arrive, number);
                self.send(slot, intended_us);
            }
            None => self.shared.shard(0).dropped(intended_us),
        }
    }

    /// An arrival that the measured phase ended before: the generator was too far behind its schedule to send it.
    fn miss(&self, intended_us: u64) {
        let mut shard = self.shared.shard(0);
        shard.arrival(intended_us);
        shard.dropped(intended_us);
    }

    /// The session that is due goes on.
    fn go_on(self: &Arc<Self>) {
        let due = self.slots().resting.pop();
        if let Some(Reverse(Resting { at_us, slot })) = due {
            self.shared.shard(0).arrival(at_us);
            self.send(slot, at_us);
        }
    }

    fn free_slot(&self) -> Option<Slot> {
        let mut slots = self.slots();
        if let Some(slot) = slots.idle.pop() {
            return Some(slot);
        }
        if slots.made == self.most {
            return None;
        }
        slots.made += 1;
        let index = slots.made - 1;
        Some(Slot {
            index,
            caller: Caller::new(Arc::clone(&self.shared), index),
            rng: ChaCha8Rng::seed_from_u64(self.shared.seed),
            journey: 0,
            step: 0,
        })
    }

    fn send(self: &Arc<Self>, mut slot: Slot, intended_us: u64) {
        let pool = Arc::clone(self);
        tokio::spawn(async move {
            let goes_on_us = slot.send(pool.arrive, intended_us).await;
            pool.give_back(slot, goes_on_us);
        });
    }

    fn give_back(&self, slot: Slot, goes_on_us: Option<u64>) {
        let mut slots = self.slots();
        match goes_on_us {
            Some(at_us) if !self.closing.load(Ordering::Relaxed) => {
                slots.resting.push(Reverse(Resting { at_us, slot }));
            }
            _ => slots.idle.push(slot),
        }
        drop(slots);
        self.changed.notify_one();
    }

    /// Returns when no request is in flight any more; each ends at the end of the drain at the latest.
    async fn drained(&self) {
        self.closing.store(true, Ordering::Relaxed);
        loop {
            let (back, made) = {
                let slots = self.slots();
                (slots.idle.len() + slots.resting.len(), slots.made)
            };
            if back == made {
                return;
            }
            self.changed.notified().await;
        }
    }
}

impl Slot {
    /// Starts with the choices of arrival `number`, which depend on it and the seed alone: not on which slot was free, and
    /// not on what was dropped before.
    fn begin(&mut self, shared: &Shared, arrive: Arrive, number: u64) {
        self.rng.set_stream(number);
        self.rng.set_word_pos(0);
        self.caller.vars.clone_from(&shared.globals);
        let workload = &shared.workload;
        let feeders = match arrive {
            Arrive::Requests => {
                self.step = shared.endpoints.pick(&mut self.rng);
                &workload.endpoints[self.step].feeders
            }
            Arrive::Sessions => {
                (self.journey, self.step) = (shared.journeys.pick(&mut self.rng), 0);
                &workload.journeys[self.journey].feeders
            }
        };
        workload.draw(feeders, &shared.sequences, &mut self.rng, &mut self.caller.vars);
    }

    /// Sends the request that is due; when its session goes on, if it does within the measured phase.
    async fn send(&mut self, arrive: Arrive, intended_us: u64) -> Option<u64> {
        match arrive {
            Arrive::Requests => {
                let due = Due {
                    endpoint: self.step,
                    extract: &[],
                    intended_us: Some(intended_us),
                };
                self.caller.call(due).await;
                None
            }
            Arrive::Sessions => self.send_step(intended_us).await,
        }
    }

    async fn send_step(&mut self, intended_us: u64) -> Option<u64> {
        let workload = Arc::clone(&self.caller.shared.workload);
        let journey = &workload.journeys[self.journey];
        let step = &journey.steps[self.step];
        let due = Due {
            endpoint: step.endpoint,
            extract: &step.extract,
            intended_us: Some(intended_us),
        };
        let sent = self.caller.call(due).await?;
        self.step += 1;
        let broken = sent.error.is_some() && journey.hands_values_on();
        let pause_us = micros(step.think.sample(&mut self.rng));
        let next_us = sent.ended_us.saturating_add(pause_us);
        let end_us = self.caller.shared.timeline.windows.measure_end_us;
        (self.step < journey.steps.len() && !broken && next_us < end_us).then_some(next_us)
    }
}
