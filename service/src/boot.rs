//! Starting and stopping: builds the parts by the configuration, starts the roles, serves, and drains all of it in
//! order.
//!
//! The caller hands in the listener and the stop signal, so that a test can start several services in one process.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use futures_util::future::LocalBoxFuture;
use sqlx::PgPool;
use tiered_cache::{RedisSettings, Strategy, TieredCache};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::{JoinError, JoinHandle, JoinSet};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::app::{App, AppState};
use crate::auth::{PasswordError, PasswordGate, Throttle, TokenKeyError, TokenKeys};
use crate::config::{CacheConfig, Config, DatabaseConfig, HttpConfig, Queries, Switches};
use crate::events::{
    Backlog, Consumer, DeadLetters, KafkaSetupError, LagWatch, Membership, Publisher, ReadyEvents, Relay, TopicMaker,
};
use crate::faults::FaultPlan;
use crate::guard::InFlight;
use crate::live::{Hub, HubRole};
use crate::metrics::Metrics;
use crate::nearest::nearest;
use crate::router::{self, router};
use crate::server::serve;
use crate::shares::Shares;
use crate::shutdown::drain;
use crate::store::cache_outbox::TagsOf;
use crate::store::{self, DatabaseProbe, Phase1Store, Store, StoreError, TunedStore, Writer};
use crate::usecases::{
    Answers, CacheAdmin, CacheOutbox, Confirmations, Confirming, CursorKey, Dependencies, EventsOut, Forgetting,
    Invalidator, Login, LoginLimits, QueryCache, Question, Readiness, Reads, Rescore, Revoking, WarmProgress, Warming,
    Writes, tag_names,
};

/// Answers that are compared with the database in each round, beside those about the portfolio.
const VERIFIED_AT_RANDOM: usize = 20;

/// Probes, scrapes and looks at the document at a time: far more than operators have.
const OPERATIONS_MAX: usize = 64;

/// Why the service did not start, or stopped by itself.
#[derive(Debug, thiserror::Error)]
pub enum BootError {
    /// The address is taken or not ours.
    #[error("cannot listen on {address} (set BIND_ADDR; port 0 takes a free one)")]
    Bind {
        /// As configured.
        address: SocketAddr,
        /// Answer of the operating system.
        source: io::Error,
    },
    /// The database does not answer, or its schema cannot be brought up to date.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The cache's settings are wrong.
    #[error("the cache cannot be built (check REDIS_URL and CACHE_NAMESPACE)")]
    Cache(#[from] tiered_cache::BuildError),
    /// Kafka's settings are wrong.
    #[error(transparent)]
    Kafka(#[from] KafkaSetupError),
    /// A fault on purpose names a route that there is not.
    #[error("FAULTS names the endpoint `{named}`; did you mean `{nearest}`? /openapi.json lists them as operationId")]
    FaultEndpoint {
        /// The endpoint as `FAULTS` names it.
        named: String,
        /// The one that is spelt most alike.
        nearest: String,
    },
    /// The token key does not work.
    #[error(transparent)]
    TokenKey(#[from] TokenKeyError),
    /// Password hashing does not work.
    #[error(transparent)]
    Password(#[from] PasswordError),
    /// The listener has no address.
    #[error("the listener does not tell its address")]
    Server(#[source] io::Error),
    /// A part ended without being told to.
    #[error("{what} ended by itself; the log says more")]
    Ended {
        /// Name of the part.
        what: &'static str,
    },
    /// A part panicked.
    #[error("a part of the service panicked")]
    Panicked(#[from] JoinError),
}

/// The listener of the configured address.
pub async fn bind(config: &HttpConfig) -> Result<TcpListener, BootError> {
    TcpListener::bind(config.bind).await.map_err(|source| BootError::Bind {
        address: config.bind,
        source,
    })
}

/// Builds everything and begins to serve on `listener`, until `stop`. Whether it is ready for traffic, `/health/ready`
/// says. Boxed, so that the service is compiled once, here, and not again into every executable that starts it.
pub fn start(
    config: &Config,
    listener: TcpListener,
    stop: CancellationToken,
) -> LocalBoxFuture<'_, Result<Running, BootError>> {
    Box::pin(build(config, listener, stop))
}

async fn build(config: &Config, listener: TcpListener, told_to_stop: CancellationToken) -> Result<Running, BootError> {
    let address = local_address(&listener)?;
    let faults = fault_plan(config)?;
    // What is told to stop goes on for a while, as a lame duck, before it stops.
    let stop = CancellationToken::new();
    let pool = open_database(&config.database).await?;
    let metrics = Metrics::default();
    metrics.faults.say(faults.names());
    let (confirming, confirmations) = Confirming::new(pool.clone());
    let parts = Parts::open(config, pool, confirmations, &metrics, &faults).await?;
    let mut roles = JoinSet::new();
    roles.spawn(role(Role::UntilStop, confirming.run(stop.clone())));
    parts.start_roles(config, &metrics, &stop, &mut roles)?;
    let (pool, cache, writes) = (parts.pool.clone(), parts.cache.clone(), parts.writes.clone());
    let live = parts.live.clone();
    let database = parts.database.clone();
    let app = parts.into_app(config, metrics, faults, &stop, told_to_stop.clone())?;
    let server = serve(listener, router(app), config.http.clone(), stop.clone());
    let server = tokio::spawn(server);
    tracing::info!(%address, switches = ?config.switches, "serving");
    Ok(Running {
        address,
        told_to_stop,
        stop,
        server,
        roles,
        writes,
        live,
        cache,
        pool,
        database,
        lame_duck: config.http.lame_duck,
        drain: config.http.drain,
    })
}

/// The pool of requests, on a schema that is up to date. Migrations have connections of their own: they take as long as
/// they take.
async fn open_database(config: &DatabaseConfig) -> Result<PgPool, BootError> {
    store::refuse_transaction_pooling(config).await?;
    let unbounded = store::connect_unbounded(config).await?;
    let migrated = store::migrate(&unbounded).await;
    unbounded.close().await;
    migrated?;
    Ok(store::open(config).await?)
}

fn fault_plan(config: &Config) -> Result<FaultPlan, BootError> {
    let (plan, known) = (FaultPlan::new(&config.faults.faults), router::operations());
    let Some(named) = plan.unknown_endpoint(&known) else {
        if !plan.names().is_empty() {
            tracing::warn!(faults = ?plan.names(), "faults on purpose: this service is made worse than it is");
        }
        return Ok(plan);
    };
    Err(BootError::FaultEndpoint {
        named: named.to_owned(),
        nearest: nearest(named, known.iter().map(String::as_str)).to_owned(),
    })
}

fn local_address(listener: &TcpListener) -> Result<SocketAddr, BootError> {
    listener.local_addr().map_err(BootError::Server)
}

async fn open_cache(
    config: &Config,
    metrics: &Metrics,
    answers: &Arc<Answers>,
) -> Result<Option<TieredCache>, BootError> {
    if !config.switches.needs_cache() {
        return Ok(None);
    }
    let mut builder = TieredCache::builder(&config.cache.namespace)
        .l1_capacity_bytes(config.cache.l1_capacity_bytes)
        .redis(redis_settings(&config.cache))
        .observer(metrics.cache.observer());
    if config.switches.cache_enabled {
        builder = builder.source(answers.clone());
        // As planned, what is out of date is part of what is measured.
        let keeps_tags = !matches!(config.switches.cache_strategy, Strategy::Off | Strategy::Planned);
        if keeps_tags && !config.cache.verify_every.is_zero() {
            let always = Question::ABOUT_ALL.map(|question| answers.key(question));
            builder = builder.verify_every(config.cache.verify_every, VERIFIED_AT_RANDOM, always.into());
        }
        if config.cache.verify_one_in > 0 {
            builder = builder.sampler(config.cache.verify_one_in, None);
        }
    }
    Ok(Some(builder.build().await?))
}

fn redis_settings(config: &CacheConfig) -> RedisSettings {
    let mut settings = RedisSettings::new(config.redis_url.reveal());
    settings.password = config
        .redis_password
        .as_ref()
        .map(|password| password.reveal().to_owned());
    settings
}

fn open_store(pool: &PgPool, switches: Switches) -> Arc<dyn Store> {
    match switches.queries {
        Queries::Phase1 => Arc::new(Phase1Store::new(pool.clone()).with_format(switches.event_format)),
        Queries::Tuned => Arc::new(TunedStore::new(pool.clone()).with_format(switches.event_format)),
    }
}

/// With a cache that knows tags, each write notes its invalidation, and the cache's relay makes those that were left
/// undone.
fn open_writer(pool: &PgPool, cache: Option<&TieredCache>, switches: Switches) -> Writer {
    let relayed = cache.filter(|_| switches.cache_strategy != Strategy::Planned);
    if let Some(cache) = relayed {
        cache.relay(CacheOutbox::new(pool.clone()));
    }
    Writer::new(
        pool.clone(),
        switches.event_format,
        relayed.map(|_| tag_names as TagsOf),
    )
}

/// Parts that the roles and the routes share.
struct Parts {
    pool: PgPool,
    database: DatabaseProbe,
    tokens: Arc<TokenKeys>,
    store: Arc<dyn Store>,
    cache: Option<TieredCache>,
    cursors: Arc<CursorKey>,
    reads: Reads,
    warming: Warming,
    invalidator: Invalidator,
    writer: Writer,
    confirmations: Confirmations,
    events_out: EventsOut,
    writes: TaskTracker,
    consumer: Arc<Membership>,
    live: Hub,
    warm: Arc<WarmProgress>,
}

impl Parts {
    async fn open(
        config: &Config,
        pool: PgPool,
        confirmations: Confirmations,
        metrics: &Metrics,
        faults: &FaultPlan,
    ) -> Result<Self, BootError> {
        let (switches, store) = (config.switches, open_store(&pool, config.switches));
        let cursors = Arc::new(CursorKey::new(&config.auth));
        let strategy = switches.cache_strategy;
        let mut answers = Arc::new(Answers::new(store.clone(), cursors.clone(), strategy, &config.cache));
        // What the cache itself loads comes from the store, past the cached results of queries, which are in the same
        // cache.
        let cache = open_cache(config, metrics, &answers).await?;
        if let Some(cache) = cache.as_ref().filter(|_| switches.query_cache) {
            let results = QueryCache::new(cache.clone(), config.cache.ttl_dashboard, metrics.queries.clone());
            answers = Arc::new(answers.with_results(results));
        }
        let endpoint_cache = cache.clone().filter(|_| switches.cache_enabled);
        let tokens = Arc::new(TokenKeys::new(&config.auth)?);
        Ok(Self {
            reads: Reads::new(answers.clone(), endpoint_cache.clone()),
            invalidator: Invalidator {
                cache: cache.clone(),
                strategy,
                skipped: faults.skipped_invalidations(),
            },
            warming: Warming {
                cache: endpoint_cache,
                store: Arc::clone(&store),
                answers,
            },
            writer: open_writer(&pool, cache.as_ref(), switches),
            confirmations,
            events_out: EventsOut {
                ready: ReadyEvents::default(),
                backlog: Backlog::new(config.kafka.outbox_max_rows),
                metrics: metrics.events.clone(),
            },
            live: Hub::new(config, Arc::clone(&tokens), metrics.live.clone()),
            writes: TaskTracker::new(),
            consumer: Arc::default(),
            warm: Arc::default(),
            database: DatabaseProbe::new(&config.database)?,
            tokens,
            cursors,
            pool,
            store,
            cache,
        })
    }

    /// The roles: those of events, revocations, warming.
    fn start_roles(
        &self,
        config: &Config,
        metrics: &Metrics,
        stop: &CancellationToken,
        roles: &mut JoinSet<Role>,
    ) -> Result<(), BootError> {
        self.start_event_roles(config, metrics, stop, roles)?;
        let revoking = Revoking {
            pool: self.pool.clone(),
            tokens: Arc::clone(&self.tokens),
            token_ttl: config.auth.token_ttl,
        };
        roles.spawn(role(Role::UntilStop, revoking.run(stop.clone())));
        let warming = self.warming.clone();
        let warming = warming.run(config.switches.warm_drivers, Arc::clone(&self.warm), stop.clone());
        roles.spawn(role(Role::Once, warming));
        Ok(())
    }

    /// From the outbox to Kafka, from Kafka to the scores, and to live clients.
    fn start_event_roles(
        &self,
        config: &Config,
        metrics: &Metrics,
        stop: &CancellationToken,
        roles: &mut JoinSet<Role>,
    ) -> Result<(), BootError> {
        let (events, kafka) = (&metrics.events, &config.kafka);
        let publisher = Arc::new(Publisher::new(kafka, config.switches, metrics.kafka.clone())?);
        let relay = Relay {
            pool: self.pool.clone(),
            publisher: Arc::clone(&publisher),
            topic: kafka.topic.clone(),
            ready: self.events_out.ready.clone(),
            backlog: self.events_out.backlog.clone(),
            in_flight: config.database.share_of_events(),
            metrics: events.clone(),
        };
        let rescore = Rescore::new(
            Arc::clone(&self.store),
            self.invalidator.clone(),
            self.events_out.ready.clone(),
            events.clone(),
        );
        let consumer = Consumer::new(
            kafka,
            (config.switches.kafka_consumer, config.database.share_of_events()),
            Arc::clone(&self.consumer),
            Arc::new(rescore),
            DeadLetters::new(publisher, kafka, events.clone()),
            (events.clone(), metrics.kafka.clone()),
        )?;
        let forgetting = Forgetting {
            pool: self.pool.clone(),
            keep: kafka.inbox_keep,
        };
        let live = HubRole::new(self.live.clone(), config, self.pool.clone(), metrics)?;
        let topics = TopicMaker::new(kafka)?;
        let lag = LagWatch::new(kafka, metrics.kafka.clone())?;
        roles.spawn(role(Role::Once, topics.run(stop.clone())));
        roles.spawn(role(Role::UntilStop, relay.run(stop.clone())));
        roles.spawn(role(Role::UntilStop, consumer.run(stop.clone())));
        roles.spawn(role(Role::UntilStop, forgetting.run(stop.clone())));
        roles.spawn(role(Role::UntilStop, lag.run(stop.clone())));
        roles.spawn(role(Role::UntilStop, live.run(stop.clone())));
        Ok(())
    }

    fn into_app(
        self,
        config: &Config,
        metrics: Metrics,
        faults: FaultPlan,
        stop: &CancellationToken,
        told_to_stop: CancellationToken,
    ) -> Result<AppState, BootError> {
        let limits = LoginLimits::new(&config.auth);
        Ok(AppState::new(App {
            cache_admin: self.cache_admin(stop.clone()),
            readiness: self.readiness(config.switches, faults.names(), told_to_stop),
            login: Login::new(
                self.pool.clone(),
                PasswordGate::new()?,
                limits,
                Arc::clone(&self.tokens),
            ),
            tokens: self.tokens,
            database: self.database,
            pool: self.pool,
            consumer: self.consumer,
            live: self.live,
            reads: self.reads,
            writes: Writes::new(
                self.writer,
                self.invalidator,
                self.confirmations,
                self.events_out,
                self.writes,
            ),
            cursors: self.cursors,
            metrics,
            cache: self.cache,
            in_flight: Arc::new(InFlight::new(config.http.max_in_flight)),
            operations_in_flight: Arc::new(InFlight::new(OPERATIONS_MAX)),
            shares: Shares::new(config.http.max_in_flight_per_driver),
            writes_by_driver: Throttle::new(config.http.writes_per_minute_per_driver),
            client_address_header: config.http.client_address_header.clone(),
            body_timeout: config.http.body_timeout,
            request_timeout: config.http.timeout,
            faults,
            document: LazyLock::new(router::document),
        }))
    }

    fn cache_admin(&self, stop: CancellationToken) -> CacheAdmin {
        CacheAdmin {
            warming: self.warming.clone(),
            invalidator: self.invalidator.clone(),
            warm: Arc::clone(&self.warm),
            permit: Arc::new(Semaphore::new(1)),
            tasks: self.writes.clone(),
            stop,
        }
    }

    fn readiness(&self, switches: Switches, faults: Vec<String>, told_to_stop: CancellationToken) -> Readiness {
        let dependencies = Dependencies {
            database: self.database.clone(),
            cache: self.cache.clone(),
            consumer: Arc::clone(&self.consumer),
            warm: Arc::clone(&self.warm),
        };
        Readiness::new(switches, faults, dependencies, told_to_stop)
    }
}

/// How long a background task is meant to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    UntilStop,
    Once,
}

async fn role(kind: Role, work: impl Future<Output = ()>) -> Role {
    work.await;
    kind
}

/// A service that runs.
#[must_use = "the service stops when this is dropped without `finished`"]
pub struct Running {
    address: SocketAddr,
    /// What the outside tells.
    told_to_stop: CancellationToken,
    /// What the parts are told.
    stop: CancellationToken,
    server: JoinHandle<()>,
    roles: JoinSet<Role>,
    writes: TaskTracker,
    live: Hub,
    cache: Option<TieredCache>,
    pool: PgPool,
    database: DatabaseProbe,
    lame_duck: Duration,
    drain: Duration,
}

impl Running {
    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Waits for the stop signal, then as a lame duck until balancers know, then until everything has ended: no
    /// connection is accepted any more, requests in flight and their writes end, then the roles, then what all of them
    /// used. Errors: something ended before the signal.
    pub fn finished(self) -> LocalBoxFuture<'static, Result<(), BootError>> {
        Box::pin(self.run())
    }

    async fn run(mut self) -> Result<(), BootError> {
        // In this order: at a stop the roles and the server end too, and that is no failure.
        let outcome = tokio::select! {
            biased;
            () = lame_duck(&self.told_to_stop, self.lame_duck) => Ok(()),
            error = first_failure(&mut self.roles) => Err(error),
            ended = &mut self.server => Err(server_error(ended)),
        };
        self.stop.cancel();
        self.drain().await;
        outcome
    }

    async fn drain(mut self) {
        let deadline = Instant::now() + self.drain;
        if !self.server.is_finished() {
            drain("requests in flight", deadline, self.server).await;
        }
        self.writes.close();
        drain("writes whose client went away", deadline, self.writes.wait()).await;
        drain("live clients", deadline, self.live.left()).await;
        drain("background roles", deadline, async {
            while self.roles.join_next().await.is_some() {}
        })
        .await;
        if let Some(cache) = self.cache {
            drain("cache", deadline, cache.shutdown()).await;
        }
        drain("database connections", deadline, async {
            self.database.close().await;
            self.pool.close().await;
        })
        .await;
        tracing::info!("stopped");
    }
}

/// Waits for the signal, and then until balancers have seen by `/health/ready` that it came.
async fn lame_duck(told_to_stop: &CancellationToken, time: Duration) {
    told_to_stop.cancelled().await;
    if !time.is_zero() {
        tracing::info!(time_ms = time.as_millis(), "still answering, but not ready any more");
        tokio::time::sleep(time).await;
    }
}

/// Waits until a role fails; roles that run once may end.
async fn first_failure(roles: &mut JoinSet<Role>) -> BootError {
    loop {
        match roles.join_next().await {
            Some(Ok(Role::Once)) => {}
            Some(Ok(Role::UntilStop)) => {
                return BootError::Ended {
                    what: "a background role",
                };
            }
            Some(Err(panicked)) => return BootError::Panicked(panicked),
            None => std::future::pending().await,
        }
    }
}

fn server_error(ended: Result<(), JoinError>) -> BootError {
    match ended {
        Ok(()) => BootError::Ended {
            what: "the HTTP server",
        },
        Err(panicked) => BootError::Panicked(panicked),
    }
}
