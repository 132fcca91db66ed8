//! One partition's way: its messages wait here, are worked off in batches, and are reported when their effects are
//! committed.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use chrono::Utc;
use rdkafka::message::{Message as _, OwnedMessage};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::{AbortHandle, JoinSet};

use super::headers::{self, Why};
use super::{DeadLetters, EventHandler, HandleError};
use crate::codec;
use crate::config::Consuming;
use crate::domain::events::Event;
use crate::metrics::EventMetrics;

/// Messages of a partition that wait in this process before it is paused: a few batches, half a megabyte.
pub(super) const WAITING_MAX: usize = 2_000;
/// Messages of one batch: enough to find a busy driver several times, few enough that the first of them need not wait
/// long for the last to be scored.
const BATCH: usize = 500;
/// Pauses before the first attempts to work off a batch again: most failures are a short outage of the database.
const RETRY: [Duration; 3] = [
    Duration::from_millis(50),
    Duration::from_millis(200),
    Duration::from_secs(1),
];
/// The pause before every later attempt. The partition is paused meanwhile, and the group is answered.
const LONGEST_RETRY: Duration = Duration::from_secs(2);

static LANES: AtomicU64 = AtomicU64::new(0);

/// The consumer's end of a lane.
pub(super) struct Lane {
    /// Tells it from others that the partition has had.
    pub(super) number: u64,
    /// Messages that are not worked off.
    pub(super) waiting: usize,
    /// Whether the partition is paused.
    pub(super) is_paused: bool,
    /// The task that works.
    pub(super) task: AbortHandle,
    messages: mpsc::Sender<OwnedMessage>,
}

/// A batch is worked off.
#[derive(Debug)]
pub(super) struct Done {
    pub(super) partition: i32,
    pub(super) lane: u64,
    pub(super) messages: usize,
    /// Where the partition goes on.
    pub(super) next_offset: i64,
}

impl Lane {
    /// Opens a lane for a partition; its task runs among `tasks` until the lane is dropped.
    pub(super) fn open(
        partition: i32,
        work: Arc<LaneWork>,
        reports: mpsc::Sender<Done>,
        tasks: &mut JoinSet<()>,
    ) -> Self {
        let number = LANES.fetch_add(1, Ordering::Relaxed);
        let (messages, waiting) = mpsc::channel(WAITING_MAX);
        let task = tasks.spawn(run(work, waiting, reports, (partition, number)));
        Self {
            number,
            waiting: 0,
            is_paused: false,
            task,
            messages,
        }
    }

    /// Puts a message in; gives how many wait. There is room, since the partition is paused before there is none.
    pub(super) async fn hand_over(&mut self, message: OwnedMessage) -> usize {
        if self.messages.send(message).await.is_ok() {
            self.waiting += 1;
        }
        self.waiting
    }
}

async fn run(
    work: Arc<LaneWork>,
    mut messages: mpsc::Receiver<OwnedMessage>,
    reports: mpsc::Sender<Done>,
    (partition, lane): (i32, u64),
) {
    let mut batch = Vec::new();
    while messages.recv_many(&mut batch, work.batch).await > 0 {
        let Some(next_offset) = batch.last().map(|message: &OwnedMessage| message.offset() + 1) else {
            continue;
        };
        let messages = batch.len();
        work.work_off(std::mem::take(&mut batch)).await;
        let done = Done {
            partition,
            lane,
            messages,
            next_offset,
        };
        if reports.send(done).await.is_err() {
            return;
        }
    }
}

/// How batches are worked off; shared by all lanes.
pub(super) struct LaneWork {
    batch: usize,
    attempts: u64,
    handler: Arc<dyn EventHandler>,
    dead_letters: DeadLetters,
    places: Semaphore,
    pub(super) metrics: EventMetrics,
}

impl LaneWork {
    /// With so many batches in work at the same time, at most.
    pub(super) fn new(
        (consuming, in_work): (Consuming, usize),
        attempts: u64,
        handler: Arc<dyn EventHandler>,
        dead_letters: DeadLetters,
        metrics: EventMetrics,
    ) -> Self {
        Self {
            batch: match consuming {
                Consuming::Defaults => 1,
                Consuming::Tuned => BATCH,
            },
            attempts,
            handler,
            dead_letters,
            places: Semaphore::new(in_work),
            metrics,
        }
    }

    /// Returns when every message has had its effect, or is put aside.
    async fn work_off(&self, batch: Vec<OwnedMessage>) {
        let made_ms: Vec<i64> = batch
            .iter()
            .filter_map(|message| message.timestamp().to_millis())
            .collect();
        let messages = batch.len() as u64;
        let in_work = self.metrics.begin_batch();
        let events = self.read(batch).await;
        self.apply(&events).await;
        drop(in_work);
        self.metrics.consumed.inc_by(messages);
        let now_ms = Utc::now().timestamp_millis();
        for made_ms in made_ms {
            // A clock that is behind the maker's sees no age.
            self.metrics.lag.observe((now_ms - made_ms).max(0) as f64 / 1e3);
        }
    }

    /// The events that can be read; the others are put aside.
    async fn read(&self, batch: Vec<OwnedMessage>) -> Vec<(Event, OwnedMessage)> {
        let mut events = Vec::with_capacity(batch.len());
        for message in batch {
            let schema = headers::schema(message.headers());
            match codec::decode(&schema, message.payload().unwrap_or_default()) {
                Ok(event) => events.push((event, message)),
                Err(error) => {
                    self.metrics.undecodable.inc();
                    let (class, message_of_error) = (error.name(), error.to_string());
                    let why = Why {
                        class,
                        message: message_of_error,
                    };
                    self.dead_letters.put_aside(&message, &why).await;
                }
            }
        }
        events
    }

    /// Together, and if that fails by the fault of one of them, one by one.
    async fn apply(&self, events: &[(Event, OwnedMessage)]) {
        let Err(failed) = self.try_together(events).await else {
            return;
        };
        if let [(_, message)] = events {
            return self.dead_letters.put_aside(message, &failed).await;
        }
        for one in events {
            if let Err(failed) = self.try_together(std::slice::from_ref(one)).await {
                self.dead_letters.put_aside(&one.1, &failed).await;
            }
        }
    }

    /// As often as there is hope: until what is away is back, but only some times when the events themselves fail.
    async fn try_together(&self, events: &[(Event, OwnedMessage)]) -> Result<(), Why> {
        let events: Vec<&Event> = events.iter().map(|(event, _)| event).collect();
        let (mut pauses, mut failed) = (RETRY.into_iter(), 0);
        loop {
            let place = self.places.acquire().await;
            let outcome = self.handler.apply(&events).await;
            drop(place);
            let HandleError { cause, class, passes } = match outcome {
                Ok(()) => return Ok(()),
                Err(error) => error,
            };
            failed += u64::from(!passes);
            if failed >= self.attempts {
                let message = cause.to_string();
                return Err(Why { class, message });
            }
            self.metrics.retries.inc();
            tracing::warn!(%cause, events = events.len(), "events will be worked off again");
            tokio::time::sleep(pauses.next().unwrap_or(LONGEST_RETRY)).await;
        }
    }
}
