//! L2: entries and tag generations in Redis. Every operation has a time-out and goes through a breaker; what failed is
//! told to the caller, who goes on without Redis. The order of the steps is not decided here (see `fetch` and
//! `invalidate`).
//!
//! Needs Redis 6 or later (RESP3). Its keys, all behind the namespace: `e:KEY` entries, `g:TAG` generations (random
//! nonces), `l:KEY` locks, `inv:life`, `inv:seq` and `inv:log` the row of invalidations, `inv:run` the server's run
//! that all of it was last seen under, `inv:beat` and `inv:beats` what heartbeats write, `p:KEY` entries of the planned
//! strategy; `inv` and `inv:ORIGIN` are channels.

mod admin;
mod breaker;
pub(crate) mod codec;
mod link;
pub(crate) mod message;
mod names;
mod operation;
mod packing;
mod refusal;
mod scripts;
mod settings;

use std::{
    future::Future,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use redis::{
    AsyncConnectionConfig, Client, FromRedisValue, IntoConnectionInfo, ProtocolVersion, PushInfo, PushKind,
    RedisResult, ScriptInvocation, aio::MultiplexedConnection, io::tcp::TcpSettings,
};
use tokio::time::{Instant, sleep, timeout};

pub use self::settings::RedisSettings;
use self::{
    breaker::Breaker,
    codec::{Identity, Nonce, Rejected, Stored},
    link::{Link, Live},
    message::{Envelope, envelope},
    names::Names,
    operation::{Meaning, Operation},
};
use crate::{
    clock::as_micros,
    context::Context,
    error::RedisFailure,
    key::Key,
    place::{Place, Token},
    tag::Tag,
};

/// Commands that wait for the connection's writer; more make their senders wait. The client's own 50 makes a burst of
/// misses queue for a time-out's worth of round trips.
const PIPELINE_BUFFER_COMMANDS: usize = 4_096;

/// How long a generation outlives its last invalidation. One that expires makes its entries invalid, so it only has to
/// be long beside the TTLs.
const NONCE_TTL_MS: u64 = 24 * 60 * 60 * 1_000;

/// Messages that the log keeps, approximately: minutes of a busy service.
const LOG_MESSAGES: u64 = 100_000;

/// Messages that are replayed one by one; who missed more gives up everything at once, which is cheaper for Redis and
/// for the replica.
const REPLAY_LIMIT: usize = 2_000;

/// How long the kernel waits for the acknowledgement of sent bytes before it gives the connection up, so that a server
/// that vanished without a word is noticed.
const UNACKNOWLEDGED_LIMIT: Duration = Duration::from_secs(2);

/// How long Redis is left alone after a failure.
const COOL_DOWN: Duration = Duration::from_millis(200);

/// The right to load a key for all replicas, until it is given back or times out. For efficiency only: nothing breaks
/// if two hold it.
#[derive(Clone, Debug)]
pub(crate) struct LockRequest {
    token: String,
    ttl: Duration,
}

impl LockRequest {
    /// A lock that others may take after `ttl`, whether or not it was given back.
    pub(crate) fn new(ttl: Duration) -> Self {
        Self {
            token: format!("{:016x}", rand::random::<u64>()),
            ttl,
        }
    }
}

/// What a read of L2 found.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// The entry, if it is whole and of the current generations. Its age is the reader's business.
    pub(crate) stored: Option<Stored>,
    /// The current generations, if all tags have one.
    pub(crate) nonces: Option<Vec<Nonce>>,
    /// Whether the lock was taken.
    pub(crate) locked: bool,
}

/// What happened since a place in the row of invalidations.
#[derive(Debug)]
pub(crate) struct News {
    /// The newest place.
    pub(crate) place: Place,
    /// What lies between, without a gap; `None` if that is not known.
    pub(crate) missed: Option<Vec<Envelope>>,
}

/// One line of the log as the script returns it: its id, and the field `m` with the envelope.
type LogLine = (String, (String, String));

/// Redis, as the cache uses it.
pub(crate) struct L2 {
    /// Also for the subscriber's own connection.
    pub(crate) client: Client,
    link: Arc<Link>,
    pub(crate) names: Names,
    /// Names this cache in the messages it sends.
    pub(crate) origin: Token,
    command_timeout: Duration,
    compress_from_bytes: usize,
    pub(crate) connect_timeout: Duration,
    breaker: Breaker,
    /// The server's run that this replica was linked to last; empty before the first. Locked for a comparison.
    last_run: Mutex<String>,
    context: Arc<Context>,
}

impl L2 {
    /// Does not connect: that is what [`L2::open`] does, again and again.
    pub(crate) fn new(namespace: &str, settings: &RedisSettings, context: Arc<Context>) -> RedisResult<Self> {
        let origin = Token::random();
        Ok(Self {
            client: client(settings)?,
            link: Arc::new(Link::new()),
            names: Names::new(namespace, origin),
            origin,
            command_timeout: settings.command_timeout,
            compress_from_bytes: settings.compress_from_bytes,
            connect_timeout: settings.connect_timeout,
            breaker: Breaker::default(),
            last_run: Mutex::default(),
            context,
        })
    }

    /// Connects, and makes sure that the data behind the connection is not older than what was seen before, and that
    /// invalidations can be stored there: a server that answers and refuses them is as good as none. If the server was
    /// started anew, everything in it is invalidated first. Returns whether it was.
    pub(crate) async fn open(&self) -> Result<bool, RedisFailure> {
        let result = self.try_to_open().await;
        if let Err(failure) = &result {
            self.count(Operation::proof("connect"), failure);
        }
        result
    }

    async fn try_to_open(&self) -> Result<bool, RedisFailure> {
        let number = self.link.next_number();
        let mut connection = self.connect(number).await?;
        let run = within(self.connect_timeout, admin::run_id(&mut connection)).await?;
        let renewed = within(self.connect_timeout, self.renew(&run, &mut connection)).await?;
        within(self.connect_timeout, self.prove(&mut connection)).await?;
        *self.last_run.lock().unwrap_or_else(PoisonError::into_inner) = run;
        self.link.publish(Live { connection, number });
        self.note_proof();
        Ok(renewed)
    }

    /// Whether invalidations can be stored, as far as is known.
    pub(crate) fn is_usable(&self) -> bool {
        self.breaker.admits() && self.is_linked()
    }

    async fn connect(&self, number: u64) -> Result<MultiplexedConnection, RedisFailure> {
        // Weak, because the link holds the connection, whose driver holds this.
        let link = Arc::downgrade(&self.link);
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(self.connect_timeout))
            // Every operation has a limit of its own (`within`); a second timer for each would cost as much as the
            // first.
            .set_response_timeout(None)
            .set_pipeline_buffer_size(PIPELINE_BUFFER_COMMANDS)
            // With RESP3 a lost connection is known when it is lost, and not at the next command.
            .set_push_sender(move |push: PushInfo| {
                if push.kind == PushKind::Disconnection
                    && let Some(link) = link.upgrade()
                {
                    link.lose(number);
                }
                Ok::<_, std::convert::Infallible>(())
            });
        let connecting = self.client.get_multiplexed_async_connection_with_config(&config);
        within(self.connect_timeout, connecting).await
    }

    async fn renew(&self, run: &str, connection: &mut MultiplexedConnection) -> RedisResult<bool> {
        let all = Tag::all();
        let mut script = scripts::RENEW.prepare_invoke();
        self.name_row(&mut script);
        script.key(self.names.nonce(&all)).key(&self.names.run);
        self.announcement(&mut script, std::slice::from_ref(&all));
        script.arg(&Nonce::random().as_bytes()[..]).arg(run);
        script.arg(i64::from(self.was_linked_to_another(run)));
        script.invoke_async::<i64>(connection).await.map(|done| done == 1)
    }

    /// Whether invalidations of this replica went to another server before: those of the time in which both took them
    /// are not in this one.
    fn was_linked_to_another(&self, run: &str) -> bool {
        let last = self.last_run.lock().unwrap_or_else(PoisonError::into_inner);
        !last.is_empty() && *last != run
    }

    /// Does what the protocol will do, to keys that mean nothing.
    async fn prove(&self, connection: &mut MultiplexedConnection) -> RedisResult<()> {
        let mut script = scripts::PROVE.prepare_invoke();
        self.name_row(&mut script);
        self.name_beat(&mut script);
        script.key(&self.names.proof_entry).key(&self.names.proof_lock);
        script.invoke_async::<i64>(connection).await.map(drop)
    }

    fn name_beat(&self, script: &mut ScriptInvocation<'_>) {
        script.key(self.names.nonce(&Tag::all()));
        script.key(&self.names.beat).key(&self.names.beats);
        script.arg(Token::random().to_string());
        script.arg(&Nonce::random().as_bytes()[..]).arg(NONCE_TTL_MS);
    }

    /// Whether there is a connection for commands.
    pub(crate) fn is_linked(&self) -> bool {
        self.link.current().is_some()
    }

    /// Returns when there is a connection for commands (`true`) or none (`false`).
    pub(crate) async fn wait_until_linked(&self, there: bool) {
        self.link.wait_until(there).await;
    }

    /// Waits for the breaker to open, and a moment more; then asks whether Redis takes writes again, which closes it. A
    /// PING would not do: whoever refuses writes answers it.
    pub(crate) async fn try_again(&self) {
        self.breaker.wait_until_open().await;
        sleep(COOL_DOWN).await;
        let prove = |mut connection: MultiplexedConnection| async move { self.prove(&mut connection).await };
        // A failure is counted where it happens. Without a connection nothing is asked: opening one closes the breaker
        // too.
        let _ = self.attempt(Operation::proof("prove"), prove).await;
    }

    /// Reads the entry of `key` and the generations of its tags, with one command.
    pub(crate) async fn read(&self, key: &Key, tags: &[Tag]) -> Result<Found, RedisFailure> {
        let mut command = redis::cmd("MGET");
        command.arg(self.names.entry(key)).arg(self.names.nonces(tags));
        let mut values: Vec<Option<Bytes>> = self
            .run(Operation::need("read"), |mut connection| async move {
                command.query_async(&mut connection).await
            })
            .await?;
        // MGET gives a value for each name, and none for what is no string.
        let nonces = values.split_off(values.len().min(1));
        Ok(self.judge(key, tags, values.pop().flatten(), &nonces))
    }

    fn judge(&self, key: &Key, tags: &[Tag], raw: Option<Bytes>, nonces: &[Option<Bytes>]) -> Found {
        let nonces: Option<Vec<Nonce>> = nonces.iter().map(|nonce| Nonce::parse(nonce.as_ref()?)).collect();
        let stored = raw.zip(nonces.as_ref()).and_then(|(raw, nonces)| {
            let key = key.as_str();
            let stored = codec::decode(&raw, Identity { key, tags, nonces });
            if stored == Err(Rejected::Damaged) {
                self.context.counters.entries_damaged.add_one();
            }
            stored.ok()
        });
        Found {
            stored,
            nonces,
            locked: false,
        }
    }

    /// Prepares a load: the generations of `tags` (those that have none get one), the key's lock if it is wanted and
    /// free, and the entry, should it have come meanwhile.
    pub(crate) async fn begin_load(
        &self,
        key: &Key,
        tags: &[Tag],
        lock: Option<&LockRequest>,
    ) -> Result<Found, RedisFailure> {
        let mut script = scripts::BEGIN_LOAD.prepare_invoke();
        script.key(self.names.entry(key)).key(self.names.lock(key));
        let ttl_ms = lock.map_or(0, |lock| crate::clock::as_millis(lock.ttl).max(1));
        script.arg(NONCE_TTL_MS).arg(token_of(lock)).arg(ttl_ms);
        for tag in tags {
            script.key(self.names.nonce(tag)).arg(&Nonce::random().as_bytes()[..]);
        }
        let (locked, raw, nonces): (i64, Option<Bytes>, Vec<Option<Bytes>>) =
            self.invoke(Operation::need("begin_load"), script).await?;
        let mut found = self.judge(key, tags, raw, &nonces);
        found.locked = locked == 1;
        Ok(found)
    }

    /// Stores an entry if its tags still have the generations it was loaded under, and gives the lock back. False if it
    /// was not stored.
    pub(crate) async fn store(
        &self,
        identity: Identity<'_>,
        key: &Key,
        stored: &Stored,
        lock: Option<&LockRequest>,
    ) -> Result<bool, RedisFailure> {
        let Some(raw) = codec::encode(identity, stored, self.compress_from_bytes) else {
            return Ok(false);
        };
        let mut script = scripts::STORE.prepare_invoke();
        script.key(self.names.entry(key)).key(self.names.lock(key));
        script.arg(raw).arg(stored.lifetime.hard_ms.max(1)).arg(token_of(lock));
        for (tag, nonce) in identity.tags.iter().zip(identity.nonces) {
            script.key(self.names.nonce(tag)).arg(&nonce.as_bytes()[..]);
        }
        let done: i64 = self.invoke(Operation::need("store"), script).await?;
        Ok(done == 1)
    }

    /// Gives a lock back without having stored anything. If that fails, it times out.
    pub(crate) async fn release(&self, key: &Key, lock: &LockRequest) {
        let mut script = scripts::RELEASE.prepare_invoke();
        script.key(self.names.lock(key)).arg(&lock.token);
        // A failure is counted and logged where it happens.
        let _ = self.invoke::<i64>(Operation::need("release"), script).await;
    }

    /// Gives every tag a new generation and tells all replicas. Returns the place of this invalidation.
    pub(crate) async fn invalidate(&self, tags: &[Tag]) -> Result<Place, RedisFailure> {
        let mut script = scripts::INVALIDATE.prepare_invoke();
        self.name_row(&mut script);
        self.announcement(&mut script, tags);
        for tag in tags {
            script.key(self.names.nonce(tag)).arg(&Nonce::random().as_bytes()[..]);
        }
        let (life, seq): (String, u64) = self.invoke(Operation::proof("invalidate"), script).await?;
        Ok(place_of(&life, seq))
    }

    fn name_row(&self, script: &mut ScriptInvocation<'_>) {
        script.key(&self.names.life).key(&self.names.seq).key(&self.names.log);
    }

    fn announcement(&self, script: &mut ScriptInvocation<'_>, tags: &[Tag]) {
        script.arg(Token::random().to_string());
        script.arg(envelope(self.origin, self.context.clock.wall_ms(), tags));
        script.arg(&self.names.channel).arg(NONCE_TTL_MS).arg(LOG_MESSAGES);
    }

    /// Writes as an invalidation does, then sends the newest number, and `note`, to this replica's own channel.
    /// Whatever the breaker says: the answer is what the lease on L1 hangs on.
    pub(crate) async fn send_heartbeat(&self, note: u64) -> Result<(), RedisFailure> {
        let mut script = scripts::HEARTBEAT.prepare_invoke();
        self.name_row(&mut script);
        self.name_beat(&mut script);
        script.arg(&self.names.own_channel).arg(note);
        let started = Instant::now();
        let sent = self.attempt(Operation::proof("heartbeat"), |mut connection| async move {
            script.invoke_async::<i64>(&mut connection).await
        });
        sent.await?;
        self.context.counters.note_heartbeat(as_micros(started.elapsed()));
        Ok(())
    }

    /// What happened since `place`. Whatever the breaker says, as for heartbeats.
    pub(crate) async fn news_since(&self, place: Place) -> Result<News, RedisFailure> {
        let mut script = scripts::SYNC.prepare_invoke();
        self.name_row(&mut script);
        script.arg(Token::random().to_string()).arg(place.life.to_string());
        script.arg(place.seq).arg(REPLAY_LIMIT);
        let (life, seq, lines): (String, u64, Vec<LogLine>) = self
            .attempt(Operation::need("sync"), |mut connection| async move {
                script.invoke_async(&mut connection).await
            })
            .await?;
        let newest = place_of(&life, seq);
        Ok(News {
            place: newest,
            missed: between(place, newest, &lines),
        })
    }

    async fn invoke<T: FromRedisValue>(
        &self,
        operation: Operation,
        script: ScriptInvocation<'_>,
    ) -> Result<T, RedisFailure> {
        self.run(operation, |mut connection| async move {
            script.invoke_async(&mut connection).await
        })
        .await
    }

    /// Runs an operation if the breaker allows it.
    async fn run<T, F, Fut>(&self, operation: Operation, run: F) -> Result<T, RedisFailure>
    where
        F: FnOnce(MultiplexedConnection) -> Fut,
        Fut: Future<Output = RedisResult<T>>,
    {
        if !self.breaker.admits() {
            return Err(RedisFailure::BreakerOpen);
        }
        self.attempt(operation, run).await
    }

    async fn attempt<T, F, Fut>(&self, operation: Operation, run: F) -> Result<T, RedisFailure>
    where
        F: FnOnce(MultiplexedConnection) -> Fut,
        Fut: Future<Output = RedisResult<T>>,
    {
        let Live { connection, number } = self.link.current().ok_or(RedisFailure::NotConnected)?;
        let result = within(self.command_timeout, run(connection)).await;
        match &result {
            Ok(_) if operation.meaning == Meaning::Proof => self.note_proof(),
            Ok(_) => {}
            Err(failure) => self.note_failure(operation, number, failure),
        }
        result
    }

    /// Counts a failure and draws the consequences: the breaker opens, and the connection is given up if it is broken
    /// or leads to a server that refuses its service (another may stand behind the address by now).
    fn note_failure(&self, operation: Operation, number: u64, failure: &RedisFailure) {
        let is_refused = self.count(operation, failure);
        let error = match failure {
            RedisFailure::Redis(error) => Some(error),
            _ => None,
        };
        let is_broken = error.is_some_and(|error| error.is_connection_dropped() || error.is_unrecoverable_error());
        if is_refused || is_broken {
            self.link.lose(number);
        }
        // Redis is well if it only did not like this one command.
        let is_failing = is_refused || error.is_none_or(|error| !refusal::is_answer(error));
        if !is_failing {
            tracing::warn!(
                operation = operation.name,
                error = failure as &dyn std::error::Error,
                "Redis refused a cache command"
            );
        } else if self.breaker.fail() {
            tracing::warn!(
                operation = operation.name,
                error = failure as &dyn std::error::Error,
                "Redis failed; the cache goes on without it"
            );
        }
    }

    /// Returns whether Redis answered, and refused what the cache needs.
    fn count(&self, operation: Operation, failure: &RedisFailure) -> bool {
        self.context.counters.redis_failures.add_one();
        self.context.observe(|observer| observer.redis_failed(operation.name));
        let is_refused = matches!(failure, RedisFailure::Redis(error) if operation.is_refused(error));
        if is_refused {
            self.context.counters.redis_refusals.add_one();
        }
        is_refused
    }

    fn note_proof(&self) {
        if self.breaker.succeed() {
            tracing::info!("Redis takes writes again");
        }
    }
}

fn place_of(life: &str, seq: u64) -> Place {
    Place {
        life: Token::parse(life).unwrap_or_default(),
        seq,
    }
}

/// The log from `from` to `to`, if it is whole.
fn between(from: Place, to: Place, lines: &[LogLine]) -> Option<Vec<Envelope>> {
    if from.life != to.life || to.seq.checked_sub(from.seq)? != lines.len() as u64 {
        return None;
    }
    let numbered = (from.seq + 1..).zip(lines);
    numbered
        .map(|(seq, (id, (_, text)))| {
            let is_next = id.strip_suffix("-0")?.parse() == Ok(seq);
            is_next.then(|| message::parse_envelope(text))?
        })
        .collect()
}

fn token_of(lock: Option<&LockRequest>) -> &str {
    lock.map_or("", |lock| &lock.token)
}

/// Awaits `operation` for at most `limit`.
pub(crate) async fn within<T>(
    limit: Duration,
    operation: impl Future<Output = RedisResult<T>>,
) -> Result<T, RedisFailure> {
    match timeout(limit, operation).await {
        Ok(result) => Ok(result?),
        Err(_) => Err(RedisFailure::TimedOut(limit)),
    }
}

fn client(settings: &RedisSettings) -> RedisResult<Client> {
    let info = settings.url.as_str().into_connection_info()?;
    // With RESP3 a lost connection is noticed, and replaced, when it is lost and not at the next command.
    let mut redis = info.redis_settings().clone().set_protocol(ProtocolVersion::RESP3);
    if let Some(password) = &settings.password {
        redis = redis.set_password(password);
    }
    Client::open(info.set_redis_settings(redis).set_tcp_settings(tcp_settings()))
}

fn tcp_settings() -> TcpSettings {
    let settings = TcpSettings::default().set_nodelay(true);
    #[cfg(target_os = "linux")]
    let settings = settings.set_user_timeout(UNACKNOWLEDGED_LIMIT);
    settings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(seq: u64) -> LogLine {
        let text = envelope(Token::random(), 1, &[Tag::new("t")]);
        (format!("{seq}-0"), ("m".to_owned(), text))
    }

    fn place(life: &str, seq: u64) -> Place {
        let life = Token::parse(life).expect("hexadecimal");
        Place { life, seq }
    }

    #[test]
    fn a_log_without_a_gap_is_replayed() {
        let missed = between(place("a", 5), place("a", 7), &[line(6), line(7)]);
        assert_eq!(missed.map(|missed| missed.len()), Some(2));
        assert_eq!(between(place("a", 5), place("a", 5), &[]), Some(vec![]));
    }

    #[test]
    fn a_trimmed_log_a_number_that_went_back_and_another_life_are_not() {
        assert_eq!(between(place("a", 5), place("a", 8), &[line(7), line(8)]), None);
        assert_eq!(between(place("a", 5), place("a", 7), &[line(7), line(8)]), None);
        assert_eq!(between(place("a", 5), place("a", 3), &[]), None);
        assert_eq!(between(place("a", 5), place("b", 5), &[]), None);
    }
}
