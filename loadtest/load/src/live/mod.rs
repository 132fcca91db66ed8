//! Live streams of a subject: so many clients watch over WebSockets what the load writes.
//!
//! What belongs here: the clients, and the account of what they were owed and shown. What does not: the writes
//! themselves, which are requests like others and are noted where they end (`caller`).

mod client;
mod frame;

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use measure::{record::EndpointCounts, recorder::Windows};
use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;
use scenarios::{LiveStream, Vars, Workload};
use tokio::{
    sync::{Mutex as AsyncMutex, mpsc},
    task::JoinSet,
    time::{sleep, sleep_until},
};
use tokio_util::sync::CancellationToken;

use self::{
    client::{Client, Lost},
    frame::Reader,
};
use crate::{
    Clock, LoadError, Target,
    ledger::{Account, Continuity, Owed},
    owed::{Tally, Writes},
    reasons::Reasons,
};

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
    writes: Writes,
    /// Why connections ended or did not come about, and how often.
    reasons: Reasons,
    came_back: AtomicU64,
}

impl Hub {
    fn now_us(&self) -> u64 {
        self.writes.now_us()
    }

    fn lost(&self, why: &Lost) {
        self.reasons.note(why);
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
        let (reader, start) = (Reader::new(stream.frames.clone()), Instant::now());
        let hub = Arc::new(Hub {
            writes: Writes::new(&stream.follows, reader.names().clone(), start),
            reader,
            stream: stream.clone(),
            target: target.clone(),
            start,
            closing: CancellationToken::new(),
            reasons: Reasons::default(),
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
    pub(crate) fn wrote(&self, endpoint: usize, vars: &Vars, times_us: (u64, u64), clock: Clock) {
        self.hub.writes.acknowledged(endpoint, vars, times_us, clock);
    }

    /// Closes all connections, and waits for that.
    pub(crate) async fn close(&self) {
        self.hub.closing.cancel();
        let mut tasks = self.tasks.lock().await;
        while tasks.join_next().await.is_some() {}
    }

    /// Completes when every client has what it is owed, or when nothing more can come in time.
    pub(crate) async fn all_came(&self) {
        let Some(until) = self.hub.writes.last_due(self.hub.within_us()) else {
            return;
        };
        while Instant::now() < until && self.account(|_| {}).missed > 0 {
            sleep(LOOKING_AGAIN).await;
        }
    }

    /// Settles the account of a stream that was closed.
    pub(crate) fn settle(&self, clock: Clock, windows: Windows) -> StreamReport {
        let hub = &self.hub;
        let name = hub.stream.name.clone();
        let mut tally = Tally::new(windows, clock, &hub.writes, hub.within_us());
        let account = self.account(|owed| tally.count(&owed));
        StreamReport {
            clients: self.clients.len(),
            phases: tally.phases(),
            account,
            came_back: hub.came_back.load(Ordering::Relaxed),
            reasons: hub.reasons.all(),
            name,
        }
    }

    fn account(&self, mut owed: impl FnMut(Owed)) -> Account {
        let mut account = Account::default();
        let writes = self.hub.writes.list();
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
