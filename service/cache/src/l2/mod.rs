//! L2: entries and tag generations in Redis. Every operation has a time-out and goes through a breaker; what failed is told
//! to the caller, who goes on without Redis. The order of the steps is not decided here (see `read` and `invalidate`).
//!
//! Needs Redis 6 or later (RESP3). Its keys, all behind the namespace: `e:KEY` entries, `g:TAG` generations (random
//! nonces), `inv:seq` the counter and `inv:log` the log of invalidations; `inv` is the channel.

mod breaker;
pub(crate) mod codec;
pub(crate) mod message;
mod scripts;

use std::{future::Future, sync::Arc, time::Duration};

use bytes::Bytes;
use redis::{
    Client, ErrorKind, IntoConnectionInfo, ProtocolVersion, RedisError, RedisResult, ServerErrorKind,
    aio::{ConnectionManager, ConnectionManagerConfig},
    io::tcp::TcpSettings,
};
use tokio::time::timeout;

use self::{
    breaker::Breaker,
    codec::{Identity, Rejected, Stored},
    message::{Origin, envelope},
};
use crate::{builder::RedisSettings, error::RedisFailure, key::Key, state::Context, tag::Tag};

/// Commands that wait for the connection's writer; more make their senders wait. The client's own 50 makes a burst of
/// misses queue for a time-out's worth of round trips.
const PIPELINE_BUFFER_COMMANDS: usize = 4_096;

/// How long a generation outlives its last invalidation. One that expires makes its entries invalid, so it only has to be
/// long beside the TTLs.
const NONCE_TTL_MS: u64 = 24 * 60 * 60 * 1_000;

/// Messages that the log keeps, approximately: minutes of a busy service.
const LOG_MESSAGES: u64 = 100_000;

/// How long the kernel waits for the acknowledgement of sent bytes before it gives the connection up, so that a server
/// that vanished without a word is noticed.
const UNACKNOWLEDGED_LIMIT: Duration = Duration::from_secs(2);

/// A tag's generation: changes with every invalidation, never comes again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Nonce([u8; 8]);

impl Nonce {
    fn random() -> Self {
        Self(rand::random::<u64>().to_be_bytes())
    }

    pub(crate) fn from_bytes(bytes: [u8; 8]) -> Self {
        Self(bytes)
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    pub(crate) fn as_bytes(&self) -> &[u8; 8] {
        &self.0
    }
}

/// What a read of L2 found.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// The entry, if it is whole and of the current generations. Its age is the reader's business.
    pub(crate) stored: Option<Stored>,
    /// The current generations, if all tags have one.
    pub(crate) nonces: Option<Vec<Nonce>>,
}

/// Redis, as the cache uses it.
pub(crate) struct L2 {
    connection: ConnectionManager,
    client: Client,
    names: Names,
    origin: Origin,
    command_timeout: Duration,
    connect_timeout: Duration,
    breaker: Breaker,
    context: Arc<Context>,
}

impl L2 {
    /// Does not connect: that happens with the first command.
    pub(crate) fn new(namespace: &str, settings: &RedisSettings, context: Arc<Context>) -> RedisResult<Self> {
        let client = client(settings)?;
        let config = ConnectionManagerConfig::new()
            .set_connection_timeout(Some(settings.connect_timeout))
            .set_response_timeout(Some(settings.command_timeout))
            // The breaker decides when to try again.
            .set_number_of_retries(0)
            .set_pipeline_buffer_size(PIPELINE_BUFFER_COMMANDS);
        Ok(Self {
            connection: ConnectionManager::new_lazy_with_config(client.clone(), config)?,
            client,
            names: Names::new(namespace),
            origin: Origin::random(),
            command_timeout: settings.command_timeout,
            connect_timeout: settings.connect_timeout,
            breaker: Breaker::default(),
            context,
        })
    }

    /// For the subscriber's own connection.
    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    pub(crate) fn connect_timeout(&self) -> Duration {
        self.connect_timeout
    }

    pub(crate) fn channel(&self) -> &str {
        &self.names.channel
    }

    /// Names this cache in the messages it sends.
    pub(crate) fn origin(&self) -> Origin {
        self.origin
    }

    /// Reads the entry of `key` and the generations of its tags in one round trip.
    pub(crate) async fn read(&self, key: &Key, tags: &[Tag]) -> Result<Found, RedisFailure> {
        let mut pipeline = redis::pipe();
        pipeline.cmd("GET").arg(self.names.entry(key));
        pipeline.cmd("MGET").arg(self.names.nonces(tags));
        let mut connection = self.connection.clone();
        let reply: Result<(Option<Bytes>, Vec<Option<Bytes>>), _> =
            self.run("read", pipeline.query_async(&mut connection)).await;
        match reply {
            Ok((raw, nonces)) => Ok(self.judge(key, tags, raw, &nonces)),
            // Something that is no entry sits under the key.
            Err(RedisFailure::Redis(error)) if is_refusal(&error) => Ok(Found::default()),
            Err(failure) => Err(failure),
        }
    }

    fn judge(&self, key: &Key, tags: &[Tag], raw: Option<Bytes>, nonces: &[Option<Bytes>]) -> Found {
        let nonces: Option<Vec<Nonce>> = nonces.iter().map(|nonce| Nonce::parse(nonce.as_ref()?)).collect();
        let (Some(raw), Some(current)) = (raw, &nonces) else {
            return Found { stored: None, nonces };
        };
        let identity = Identity {
            key: key.as_str(),
            tags,
            nonces: current,
        };
        let stored = codec::decode(&raw, identity);
        if stored == Err(Rejected::Damaged) {
            self.context.counters.entries_damaged.add_one();
        }
        Found {
            stored: stored.ok(),
            nonces,
        }
    }

    /// The generations of `tags`; those that have none get one.
    pub(crate) async fn create_nonces(&self, tags: &[Tag]) -> Result<Vec<Nonce>, RedisFailure> {
        let mut script = scripts::CREATE_NONCES.prepare_invoke();
        script.arg(NONCE_TTL_MS);
        for tag in tags {
            script.key(self.names.nonce(tag)).arg(&Nonce::random().0[..]);
        }
        let mut connection = self.connection.clone();
        let nonces: Vec<Bytes> = self.run("create_nonces", script.invoke_async(&mut connection)).await?;
        // The script returns eight bytes for each; anything else would never compare equal.
        Ok(nonces.iter().filter_map(|nonce| Nonce::parse(nonce)).collect())
    }

    /// Stores an entry if its tags still have the generations it was loaded under. False if not.
    pub(crate) async fn store(&self, identity: Identity<'_>, key: &Key, stored: &Stored) -> Result<bool, RedisFailure> {
        let Some(raw) = codec::encode(identity, stored) else {
            return Ok(false);
        };
        let mut script = scripts::STORE.prepare_invoke();
        script
            .key(self.names.entry(key))
            .arg(raw)
            .arg(stored.lifetime.hard_ms.max(1));
        for (tag, nonce) in identity.tags.iter().zip(identity.nonces) {
            script.key(self.names.nonce(tag)).arg(&nonce.0[..]);
        }
        let mut connection = self.connection.clone();
        let done: i64 = self.run("store", script.invoke_async(&mut connection)).await?;
        Ok(done == 1)
    }

    /// Gives every tag a new generation and tells all replicas. Returns the number of this invalidation.
    pub(crate) async fn invalidate(&self, tags: &[Tag]) -> Result<u64, RedisFailure> {
        let mut script = scripts::INVALIDATE.prepare_invoke();
        script.key(&self.names.seq).key(&self.names.log);
        script.arg(envelope(self.origin, self.context.clock.wall_ms(), tags));
        script.arg(&self.names.channel).arg(NONCE_TTL_MS).arg(LOG_MESSAGES);
        for tag in tags {
            script.key(self.names.nonce(tag)).arg(&Nonce::random().0[..]);
        }
        let mut connection = self.connection.clone();
        self.run("invalidate", script.invoke_async(&mut connection)).await
    }

    /// The number of the newest invalidation; 0 before the first. Asked by the subscriber when it is back, whatever the
    /// breaker says: its success is what closes the breaker.
    pub(crate) async fn newest_seq(&self) -> Result<u64, RedisFailure> {
        let mut connection = self.connection.clone();
        let command = redis::cmd("GET").arg(&self.names.seq).to_owned();
        let seq: Option<u64> = self.attempt("newest_seq", command.query_async(&mut connection)).await?;
        Ok(seq.unwrap_or(0))
    }

    async fn run<T>(
        &self,
        name: &'static str,
        operation: impl Future<Output = RedisResult<T>>,
    ) -> Result<T, RedisFailure> {
        if !self.breaker.admits(self.context.now()) {
            return Err(RedisFailure::BreakerOpen);
        }
        self.attempt(name, operation).await
    }

    async fn attempt<T>(
        &self,
        name: &'static str,
        operation: impl Future<Output = RedisResult<T>>,
    ) -> Result<T, RedisFailure> {
        let result = match timeout(self.command_timeout, operation).await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => Err(RedisFailure::Redis(error)),
            Err(_) => Err(RedisFailure::TimedOut(self.command_timeout)),
        };
        self.record(name, result.as_ref().err());
        result
    }

    fn record(&self, name: &'static str, failure: Option<&RedisFailure>) {
        let Some(failure) = failure else {
            return self.note_answer();
        };
        self.context.counters.redis_failures.add_one();
        self.context.observe(|observer| observer.redis_failed(name));
        if matches!(failure, RedisFailure::Redis(error) if is_refusal(error)) {
            tracing::warn!(
                operation = name,
                error = failure as &dyn std::error::Error,
                "Redis refused a cache command"
            );
            self.note_answer();
        } else if self.breaker.fail(self.context.now()) {
            tracing::warn!(
                operation = name,
                error = failure as &dyn std::error::Error,
                "Redis failed; the cache goes on without it"
            );
        }
    }

    fn note_answer(&self) {
        if self.breaker.succeed() {
            tracing::info!("Redis answers again");
        }
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

/// Whether Redis is well and merely refused the command (a wrong type, a full memory, a failing script, a missing right).
fn is_refusal(error: &RedisError) -> bool {
    matches!(
        error.kind(),
        ErrorKind::Server(ServerErrorKind::ResponseError | ServerErrorKind::NoPerm)
            | ErrorKind::Extension
            | ErrorKind::UnexpectedReturnType
    )
}

/// Names in Redis. The namespace has no colon, so names of two namespaces never meet.
struct Names {
    namespace: String,
    seq: String,
    log: String,
    channel: String,
}

impl Names {
    fn new(namespace: &str) -> Self {
        Self {
            namespace: namespace.to_owned(),
            seq: format!("{namespace}:inv:seq"),
            log: format!("{namespace}:inv:log"),
            channel: format!("{namespace}:inv"),
        }
    }

    fn entry(&self, key: &Key) -> String {
        format!("{}:e:{key}", self.namespace)
    }

    fn nonce(&self, tag: &Tag) -> String {
        format!("{}:g:{tag}", self.namespace)
    }

    fn nonces(&self, tags: &[Tag]) -> Vec<String> {
        tags.iter().map(|tag| self.nonce(tag)).collect()
    }
}
