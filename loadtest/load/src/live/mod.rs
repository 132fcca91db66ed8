//! Live streams of a subject: so many clients watch over WebSockets what the load writes.
//!
//! What belongs here: the clients, and the account of what they were owed and shown. What does not: the writes
//! themselves, which are requests like others and are noted where they end (`caller`).

mod client;
mod frame;
mod ledger;

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use measure::{
    record::{EndpointCounts, FailureClass},
    recorder::{Request, RequestEnd, RoundRecorder, Shard, Unfinished, Windows},
};
use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;
use scenarios::{LiveStream, Template, Vars, Workload};
use tokio::{
    sync::{Mutex as AsyncMutex, mpsc},
    task::JoinSet,
    time::{sleep, sleep_until},
};
use tokio_util::sync::CancellationToken;

pub use self::ledger::Account;
use self::{
    client::{Client, Lost},
    frame::Reader,
    ledger::{Continuity, Owed, Write},
};
use crate::{Clock, LoadError, Target, timeline::micros};

/// Different reasons of one stream that are kept.
const MAX_REASONS: usize = 16;

/// Between two looks at what is still owed at the end of a load.
const LOOKING_AGAIN: Duration = Duration::from_millis(100);

/// State that all clients of a stream share.
struct Hub {
    stream: LiveStream,
    target: Target,
    reader: Reader,
    /// Times count from here.
    start: Instant,
    closing: CancellationToken,
    /// Acknowledged writes: 32 bytes for each request of an endpoint that the stream follows.
    writes: Mutex<Vec<Write>>,
    /// Why connections ended or did not come about, and how often.
    reasons: Mutex<BTreeMap<String, u64>>,
    came_back: AtomicU64,
}

impl Hub {
    fn now_us(&self) -> u64 {
        micros(self.start.elapsed())
    }

    fn lost(&self, why: &Lost) {
        let mut reasons = self.reasons.lock().expect("nothing panics while holding it");
        let why = why.to_string();
        if reasons.len() < MAX_REASONS || reasons.contains_key(&why) {
            *reasons.entry(why).or_default() += 1;
        } else {
            *reasons.entry("others".to_owned()).or_default() += 1;
        }
    }

    fn came_back(&self) {
        self.came_back.fetch_add(1, Ordering::Relaxed);
    }

    fn within_us(&self) -> u64 {
        self.stream.within_ms * 1_000
    }

    fn continuity(&self) -> Continuity {
        if self.stream.send_again.is_empty() {
            Continuity::StartsAnew
        } else {
            Continuity::Resumes
        }
    }

    fn writes(&self) -> MutexGuard<'_, Vec<Write>> {
        self.writes.lock().expect("nothing panics while holding it")
    }
}

/// A stream with all its clients connected.
pub struct Watched {
    hub: Arc<Hub>,
    clients: Vec<Arc<Client>>,
    tasks: AsyncMutex<JoinSet<()>>,
}

/// A stream after its load.
#[derive(Debug, Clone, PartialEq)]
pub struct StreamReport {
    /// Its name.
    pub name: String,
    /// Messages that clients were owed, by the phase in which the write behind them was due, counted as requests are.
    pub phases: Vec<EndpointCounts>,
    /// Clients.
    pub clients: usize,
    /// Messages that they were owed and shown, over the whole round.
    pub account: Account,
    /// How often a client came back after it was cut off.
    pub came_back: u64,
    /// Why connections ended or did not come about, and how often.
    pub reasons: BTreeMap<String, u64>,
}

impl Watched {
    /// Connects the clients of `stream` one after the other, at its rate, and waits until all have subscribed.
    ///
    /// # Errors
    /// When one cannot connect, or does not subscribe in time: which, and why.
    pub async fn connect(
        workload: &Workload,
        stream: &LiveStream,
        (target, globals, seed): (&Target, &Vars, u64),
    ) -> Result<Self, LoadError> {
        let hub = Arc::new(Hub {
            reader: Reader::new(stream.frames.clone()),
            stream: stream.clone(),
            target: target.clone(),
            start: Instant::now(),
            closing: CancellationToken::new(),
            writes: Mutex::default(),
            reasons: Mutex::default(),
            came_back: AtomicU64::new(0),
        });
        let (sequences, mut rng) = (workload.new_sequences(), ChaCha8Rng::seed_from_u64(seed));
        let clients = (0..stream.connections).map(|number| {
            let mut vars = globals.clone();
            workload.draw(&stream.feeders, &sequences, &mut rng, &mut vars);
            Arc::new(Client::new(&hub, usize::try_from(number).unwrap_or(usize::MAX), vars))
        });
        let clients: Vec<_> = clients.collect();
        let tasks = AsyncMutex::new(all_connect(&hub, &clients).await?);
        Ok(Self { hub, clients, tasks })
    }

    /// Notes an acknowledged request of endpoint `endpoint`, if the stream follows it; `times_us` are those of `clock`:
    /// when it was meant to be sent, and when it was.
    pub(crate) fn wrote(&self, endpoint: usize, vars: &Vars, (intended_us, sent_us): (u64, u64), clock: Clock) {
        let follows = self
            .hub
            .stream
            .follows
            .iter()
            .filter(|follow| follow.endpoint == endpoint);
        for follow in follows {
            let hash = |template: &Template| {
                let mut text = String::new();
                template.render(vars, &mut text);
                self.hub.reader.hash(&text)
            };
            let write = Write {
                id: hash(&follow.id),
                about: follow.about.as_ref().map(hash),
                intended_us: self.since_start(clock, intended_us),
                sent_us: self.since_start(clock, sent_us),
            };
            self.hub.writes().push(write);
        }
    }

    /// A time of `clock` on the clock of the stream, which began before it.
    fn since_start(&self, clock: Clock, at_us: u64) -> u64 {
        micros(
            clock
                .instant(at_us)
                .into_std()
                .saturating_duration_since(self.hub.start),
        )
    }

    /// Closes all connections, and waits for that.
    pub(crate) async fn close(&self) {
        self.hub.closing.cancel();
        let mut tasks = self.tasks.lock().await;
        while tasks.join_next().await.is_some() {}
    }

    /// Completes when every client has what it is owed, or when nothing more can come in time.
    pub(crate) async fn all_came(&self) {
        let last_us = self.hub.writes().iter().map(|write| write.intended_us).max();
        let Some(last_us) = last_us else { return };
        let until = self.hub.start + Duration::from_micros(last_us + self.hub.within_us());
        while Instant::now() < until && self.account(|_| {}).missed > 0 {
            sleep(LOOKING_AGAIN).await;
        }
    }

    /// Settles the account of a stream that was closed.
    pub(crate) fn settle(&self, clock: Clock, windows: Windows) -> StreamReport {
        let hub = &self.hub;
        let name = hub.stream.name.clone();
        let recorder = RoundRecorder::new(vec![name.clone()], windows).with_late_answers();
        let mut shard = recorder.shard();
        let times = Times {
            began: self.since_start(clock, 0),
            now: clock.now_us(),
            within: hub.within_us(),
        };
        let account = self.account(|owed| count(&mut shard, &owed, &times));
        let phases = recorder.finish([&shard], times.now).phases.into_iter();
        StreamReport {
            clients: self.clients.len(),
            phases: phases
                .map(|mut phase| phase.endpoints.remove(&name).unwrap_or_default())
                .collect(),
            account,
            came_back: hub.came_back.load(Ordering::Relaxed),
            reasons: hub.reasons.lock().expect("nothing panics while holding it").clone(),
            name,
        }
    }

    fn account(&self, mut owed: impl FnMut(Owed)) -> Account {
        let mut account = Account::default();
        let writes = self.hub.writes();
        for client in &self.clients {
            let rules = (self.hub.continuity(), self.hub.within_us());
            client.seen().settle(&writes, rules, &mut account, &mut owed);
        }
        account
    }
}

/// Starts all clients and waits until each has subscribed; the tasks in which they stay.
async fn all_connect(hub: &Arc<Hub>, clients: &[Arc<Client>]) -> Result<JoinSet<()>, LoadError> {
    let (arrived, mut arrivals) = mpsc::channel(clients.len().max(1));
    let mut tasks = JoinSet::new();
    for (number, client) in clients.iter().enumerate() {
        let (client, arrived) = (Arc::clone(client), arrived.clone());
        let due = hub.start + Duration::from_secs_f64(number as f64 / hub.stream.connect_per_s);
        tasks.spawn(async move {
            sleep_until(due.into()).await;
            let told = move |outcome: Result<(), Lost>| {
                // There is room for every client; whoever does not listen any more has failed.
                let _told = arrived.try_send((number, outcome));
            };
            client.stay(told).await;
        });
    }
    drop(arrived);
    while let Some((number, outcome)) = arrivals.recv().await {
        outcome.map_err(|why| LoadError::Setup(format!("client {number} of `{}`: {why}", hub.stream.name)))?;
    }
    Ok(tasks)
}

/// Times by which an account is settled, microseconds.
struct Times {
    /// When the round's clock began, on that of the stream.
    began: u64,
    /// Now, on the round's clock.
    now: u64,
    /// How long a message may take.
    within: u64,
}

/// Counts one message that a client was owed: as answered when it came once and in time, as timed out when it came too
/// late or should have come by now, as an unexpected answer for each time that it came again.
fn count(shard: &mut Shard, owed: &Owed, times: &Times) {
    let on_round = |at_us: u64| at_us.saturating_sub(times.began);
    let (intended_us, sent_us) = (on_round(owed.write.intended_us), on_round(owed.write.sent_us));
    let due_us = intended_us + times.within;
    let ended = |ended_us: u64, outcome: RequestEnd| Request {
        endpoint: 0,
        intended_us,
        sent_us,
        ended_us: ended_us.max(sent_us),
        waited_us: 0,
        outcome,
    };
    let came_us = owed.came_us.map(on_round);
    match came_us {
        Some(came_us) if came_us <= due_us => shard.ended(ended(came_us, RequestEnd::Ok { bytes: 0 })),
        None if due_us > times.now => shard.unfinished(Unfinished {
            endpoint: 0,
            intended_us,
            sent_us,
            given_up_us: times.now,
        }),
        _ => shard.ended(ended(due_us, RequestEnd::Failed(FailureClass::TimeOut))),
    }
    for _ in 0..owed.again {
        let at_us = came_us.unwrap_or(due_us);
        shard.ended(ended(at_us, RequestEnd::Failed(FailureClass::Unexpected)));
    }
}
