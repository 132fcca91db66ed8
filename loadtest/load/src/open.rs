//! The open model: requests are sent when the schedule says so, whatever became of those before.
//!
//! Everything runs on one thread of its own (a second one made it worse on two cores): the pacer gives each arrival to
//! a free slot, which has a connection of its own. Slots are made as they are needed, up to the bound; an arrival that
//! finds none is dropped and counted, and never holds back the next one.

use std::{
    cmp::Reverse,
    collections::BinaryHeap,
    io,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use nix::time::{ClockId, clock_gettime};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use scenarios::{Arrive, OpenModel};
use tokio::sync::Notify;

use crate::{
    LoadError, Shared,
    arrivals::{Arrival, DueArrivals},
    caller::{Caller, Due},
    pacer::Pacer,
    sender::{on_own_thread, raise_priority},
    timeline::micros,
};

/// Stream of the seed for the times of arrivals; arrival n takes stream n for its own choices.
const ARRIVALS_STREAM: u64 = u64::MAX - 1;
/// Arrivals that may be sent off in one go when the schedule has been missed, before the slots get their turn.
const MAX_BURST: usize = 64;
/// Missed arrivals that are counted before the next look at what else happens.
const MISSED_AT_ONCE: usize = 1_024;
/// How long after the end of the measured phase an arrival that was due within it is still sent: the pacer is a little
/// late at the end as anywhere else. Beyond it the generator has lost its schedule, and what is left of it is dropped.
const END_GRACE_US: u64 = 100_000;

/// Facts about the thread that paced the arrivals.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Paced {
    /// Its priority, as the kernel counts it.
    pub(crate) priority: Option<i32>,
    /// CPU time that it used.
    pub(crate) cpu: Duration,
}

/// A load and its arrivals.
pub(crate) type PacedLoad = (Arc<Shared>, OpenModel);

/// Runs the arrivals of a load, and of one that begins beside it, each to the end of its drain, from one thread.
pub(crate) async fn run(judged: PacedLoad, beside: Option<PacedLoad>) -> Result<Paced, LoadError> {
    // They share the thread, and so its timers.
    let lag = judged.0.lag.clone();
    let ran = on_own_thread("pacer", lag, move || async move {
        let priority = raise_priority();
        drive_both(judged, beside).await?;
        let cpu = clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID)?.into();
        Ok(Paced { priority, cpu })
    });
    let driven = ran.map_err(LoadError::internal)?.await.map_err(LoadError::internal)?;
    driven.flatten().map_err(LoadError::internal)
}

/// The judged load is the runtime's own future, which is polled before all tasks.
async fn drive_both((judged, model): PacedLoad, beside: Option<PacedLoad>) -> io::Result<()> {
    let beside = beside.map(|(shared, model)| tokio::spawn(async move { drive(shared, &model).await }));
    drive(judged, &model).await?;
    match beside {
        Some(beside) => beside.await.map_err(io::Error::other)?,
        None => Ok(()),
    }
}

async fn drive(shared: Arc<Shared>, model: &OpenModel) -> io::Result<()> {
    let pacer = Pacer::new(shared.clock)?;
    let pool = Arc::new(Pool::new(Arc::clone(&shared), model));
    let windows = shared.timeline.windows;
    let mut rng = ChaCha8Rng::seed_from_u64(shared.seed);
    rng.set_stream(ARRIVALS_STREAM);
    let times = model.arrivals(windows.warm_up_end_us as f64 / 1e6, rng);
    let mut arrivals = DueArrivals::new(times.take_while(|at_us| *at_us < windows.measure_end_us));
    let mut stopped = std::pin::pin!(shared.stop.cancelled());
    while let Some(wake_us) = pool.wake_us(&mut arrivals) {
        tokio::select! {
            biased;
            () = &mut stopped => break,
            () = pool.changed.notified(), if pool.sessions() => continue,
            woken = pacer.until(wake_us) => woken?,
        }
        let now_us = shared.clock.now_us();
        if now_us >= windows.measure_end_us + END_GRACE_US {
            break;
        }
        pool.send_due(&mut arrivals, now_us);
        // What has just been started gets its turn before the next look at the clock.
        tokio::task::yield_now().await;
    }
    if !shared.stop.is_cancelled() {
        pool.miss_all(arrivals).await;
        pool.miss_steps();
    }
    tokio::select! {
        () = pool.drained() => {}
        () = shared.given_up() => {}
    }
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
    #[expect(
        clippy::vec_box,
        reason = "a slot moves several times with every request: a pointer, not its 700 bytes"
    )]
    idle: Vec<Box<Slot>>,
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
    slot: Box<Slot>,
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
        let connections = usize::try_from(model.connections).unwrap_or(usize::MAX);
        Self {
            most: connections.saturating_mul(shared.streams()),
            shared,
            arrive: model.arrive,
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

    /// When something is due next. A session in flight may go on until the end of the measured phase.
    fn wake_us(&self, arrivals: &mut DueArrivals<impl Iterator<Item = u64>>) -> Option<u64> {
        let known = [arrivals.wake_us(), self.next_step_us()].into_iter().flatten().min();
        let end_us = self.shared.timeline.windows.measure_end_us;
        let may_go_on = || self.sessions() && self.in_flight() > 0 && self.shared.clock.now_us() < end_us;
        known.or_else(|| may_go_on().then_some(end_us))
    }

    fn in_flight(&self) -> usize {
        let slots = self.slots();
        slots.made - slots.idle.len() - slots.resting.len()
    }

    /// Sends what is due, the schedule missed or not, but not more than [`MAX_BURST`] at once.
    fn send_due(self: &Arc<Self>, arrivals: &mut DueArrivals<impl Iterator<Item = u64>>, now_us: u64) {
        for _ in 0..MAX_BURST {
            if self.next_step_us().is_some_and(|due_us| due_us <= now_us) {
                self.go_on();
            } else if let Some(arrival) = arrivals.pop_due(now_us) {
                self.arrive(arrival.number, arrival.due_us);
            } else {
                return;
            }
        }
    }

    /// Arrival `number`, due at `intended_us`.
    fn arrive(self: &Arc<Self>, number: u64, intended_us: u64) {
        if !self.shared.takes_one(intended_us) {
            return;
        }
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

    /// Counts all arrivals that are left, unless it is stopped meanwhile: a rate far too high leaves many.
    async fn miss_all(&self, arrivals: impl Iterator<Item = Arrival>) {
        for (count, missed) in (1_usize..).zip(arrivals) {
            self.miss(missed.due_us);
            if count.is_multiple_of(MISSED_AT_ONCE) {
                tokio::task::yield_now().await;
                if self.shared.stop.is_cancelled() {
                    return;
                }
            }
        }
    }

    /// Counts the steps of sessions that the measured phase ended before.
    fn miss_steps(&self) {
        let resting = std::mem::take(&mut self.slots().resting);
        for Reverse(Resting { at_us, slot }) in resting {
            self.miss(at_us);
            self.slots().idle.push(slot);
        }
    }

    /// The session that is due goes on.
    fn go_on(self: &Arc<Self>) {
        let due = self.slots().resting.pop();
        if let Some(Reverse(Resting { at_us, slot })) = due {
            if !self.shared.takes_one(at_us) {
                self.slots().idle.push(slot);
                return;
            }
            self.shared.shard(0).arrival(at_us);
            self.send(slot, at_us);
        }
    }

    fn free_slot(&self) -> Option<Box<Slot>> {
        let mut slots = self.slots();
        if let Some(slot) = slots.idle.pop() {
            return Some(slot);
        }
        if slots.made == self.most {
            return None;
        }
        slots.made += 1;
        let index = slots.made - 1;
        Some(Box::new(Slot {
            index,
            caller: Caller::new(Arc::clone(&self.shared), index),
            rng: ChaCha8Rng::seed_from_u64(self.shared.seed),
            journey: 0,
            step: 0,
        }))
    }

    fn send(self: &Arc<Self>, mut slot: Box<Slot>, intended_us: u64) {
        let pool = Arc::clone(self);
        tokio::spawn(async move {
            let goes_on_us = slot.send(&pool.shared, pool.arrive, intended_us).await;
            pool.give_back(slot, goes_on_us);
        });
    }

    fn give_back(&self, slot: Box<Slot>, goes_on_us: Option<u64>) {
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

    /// Returns when no request is in flight any more.
    async fn drained(&self) {
        self.closing.store(true, Ordering::Relaxed);
        while self.in_flight() > 0 {
            self.changed.notified().await;
        }
    }
}

impl Slot {
    /// Starts with the choices of arrival `number`, which depend on it and the seed alone: not on which slot was free,
    /// and not on what was dropped before.
    fn begin(&mut self, shared: &Shared, arrive: Arrive, number: u64) {
        self.rng.set_stream(number);
        self.rng.set_word_pos(0);
        self.caller.begin_anew();
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
    async fn send(&mut self, shared: &Shared, arrive: Arrive, intended_us: u64) -> Option<u64> {
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
            Arrive::Sessions => self.send_step(shared, intended_us).await,
        }
    }

    async fn send_step(&mut self, shared: &Shared, intended_us: u64) -> Option<u64> {
        let journey = &shared.workload.journeys[self.journey];
        let step = &journey.steps[self.step];
        let due = Due {
            endpoint: step.endpoint,
            extract: &step.extract,
            intended_us: Some(intended_us),
        };
        let ended = self.caller.call(due).await;
        self.step += 1;
        let broken = !ended.as_expected && journey.hands_values_on();
        let pause_us = micros(step.think.sample(&mut self.rng));
        let next_us = ended.at_us.saturating_add(pause_us);
        let end_us = shared.timeline.windows.measure_end_us;
        (self.step < journey.steps.len() && !broken && next_us < end_us).then_some(next_us)
    }
}
