//! Servers shared by the tests that run at the same time, and each test's own corner of them.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Weak};

use chrono::Utc;
use insurance_service::seed::{self, SeedOptions};
use insurance_service::store;
use sqlx::PgPool;
use stack::proxy::FaultProxy;
use stack::{Stack, StackOptions};
use tokio::sync::Mutex;

use super::{AppBuilder, eventually};

/// Drivers in every scene's database.
pub(crate) const DRIVERS: u32 = 200;
const PARTITIONS: i32 = 2;

/// Held weakly: a static is never dropped, so that the last test to end must be the one that stops the servers.
static SHARED: Mutex<Weak<Servers>> = Mutex::const_new(Weak::new());
static SCENES: AtomicU32 = AtomicU32::new(0);

/// Running servers with a seeded database to copy.
pub(crate) struct Servers {
    pub(crate) stack: Stack,
    template: String,
}

impl Servers {
    /// With a broker that tells its clients to connect to `advertised`, if that is not the broker itself.
    async fn start(advertised: Option<SocketAddr>) -> Self {
        let options = StackOptions {
            kafka_advertised: advertised,
            ..StackOptions::from_env().expect("a valid stack environment")
        };
        let stack = Stack::start(&options, &mut |line| println!("{line}"))
            .await
            .expect("servers");
        let template = format!("app_template_{}", std::process::id());
        stack.postgres.create_database(&template).await.expect("a database");
        let pool = store::connect(&stack.postgres.url(&template), 4).await.expect("a pool");
        store::migrate(&pool).await.expect("the schema");
        let options = SeedOptions {
            drivers: DRIVERS,
            seed: 7,
            as_of: Utc::now().date_naive(),
        };
        seed::run(&pool, &options, |_| {}).await.expect("a portfolio");
        pool.close().await;
        Self { stack, template }
    }

    async fn shared() -> Arc<Self> {
        let mut shared = SHARED.lock().await;
        if let Some(running) = shared.upgrade() {
            return running;
        }
        let started = Arc::new(Self::start(None).await);
        *shared = Arc::downgrade(&started);
        started
    }
}

/// One test's corner: a database, a topic and a namespace that nobody else uses.
pub(crate) struct Scene {
    servers: Arc<Servers>,
    name: String,
}

impl Scene {
    /// On servers that other tests use too.
    pub(crate) async fn new() -> Self {
        Self::on(Servers::shared().await).await
    }

    /// On servers of its own, to do them harm.
    pub(crate) async fn isolated() -> Self {
        Self::on(Arc::new(Servers::start(None).await)).await
    }

    /// On servers of its own, with Kafka behind `proxy`: its clients stay there, whatever address they know first.
    pub(crate) async fn isolated_with_kafka_behind(proxy: &FaultProxy) -> Self {
        let servers = Servers::start(Some(proxy.address())).await;
        proxy.forward_to(&servers.stack.kafka.brokers());
        Self::on(Arc::new(servers)).await
    }

    async fn on(servers: Arc<Servers>) -> Self {
        let name = format!("app_{}_{}", std::process::id(), SCENES.fetch_add(1, Ordering::Relaxed));
        servers
            .stack
            .postgres
            .clone_database(&servers.template, &name)
            .await
            .expect("a copy");
        servers
            .stack
            .kafka
            .create_topic(&name, PARTITIONS)
            .await
            .expect("a topic");
        Self { servers, name }
    }

    /// Without a topic: nobody has written to it yet.
    pub(crate) async fn without_topic() -> Self {
        let scene = Self::new().await;
        let deleted = scene.servers.stack.kafka.delete_topic(&scene.name).await;
        deleted.expect("the topic is gone");
        scene
    }

    /// With the schema and no rows.
    pub(crate) async fn empty() -> Self {
        let scene = Self::new().await;
        let postgres = &scene.servers.stack.postgres;
        postgres.drop_database(&scene.name).await.expect("dropped");
        postgres.create_database(&scene.name).await.expect("a database");
        let pool = scene.pool(1).await;
        store::migrate(&pool).await.expect("the schema");
        pool.close().await;
        scene
    }

    /// Connections to this scene's database, past the service.
    pub(crate) async fn pool(&self, size: u32) -> PgPool {
        let url = self.servers.stack.postgres.url(&self.name);
        store::connect(&url, size).await.expect("a pool")
    }

    /// The URL of this scene's database.
    pub(crate) fn database_url(&self) -> String {
        self.servers.stack.postgres.url(&self.name)
    }

    /// The URL of the Redis that tests share.
    pub(crate) fn redis_url(&self) -> String {
        self.servers.stack.redis.url()
    }

    /// Returns once so many sessions on this scene's database wait for another's lock.
    pub(crate) async fn until_waiting_for_a_lock(&self, sessions: i64) {
        let pool = store::connect(&self.servers.stack.postgres.admin_url(), 1)
            .await
            .expect("a pool");
        eventually("sessions wait for a lock", async || {
            let waiting: i64 = sqlx::query_scalar(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = $1 AND wait_event_type = 'Lock'",
            )
            .bind(&self.name)
            .fetch_one(&pool)
            .await
            .expect("the sessions");
            (waiting >= sessions).then_some(())
        })
        .await;
        pool.close().await;
    }

    /// A service on this scene; several make replicas of each other.
    pub(crate) fn app(&self) -> AppBuilder {
        AppBuilder::new(self.environment())
    }

    /// A network to break, between a service and Redis.
    pub(crate) async fn proxy_before_redis(&self) -> FaultProxy {
        let url = self.servers.stack.redis.url();
        FaultProxy::before_url(&url).await.expect("a proxy")
    }

    /// A replica that reaches Redis through `proxy`.
    pub(crate) fn app_behind(&self, proxy: &FaultProxy) -> AppBuilder {
        AppBuilder::new(self.environment_behind(proxy))
    }

    /// The variables that lead a service here, and to Redis through `proxy`.
    pub(crate) fn environment_behind(&self, proxy: &FaultProxy) -> Vec<(String, String)> {
        let url = proxy.url(&self.servers.stack.redis.url()).expect("an address");
        let mut environment = self.environment();
        environment.retain(|(variable, _)| variable != "REDIS_URL");
        environment.push(("REDIS_URL".to_owned(), url));
        environment
    }

    /// One number, of whatever this scene's database is asked.
    pub(crate) async fn number(&self, sql: &'static str) -> i64 {
        let pool = self.pool(1).await;
        let number = sqlx::query_scalar(sql).fetch_one(&pool).await.expect("a number");
        pool.close().await;
        number
    }

    /// The variables that lead a service here.
    pub(crate) fn environment(&self) -> Vec<(String, String)> {
        let Stack { postgres, redis, kafka } = &self.servers.stack;
        [
            ("DATABASE_URL", postgres.url(&self.name)),
            ("REDIS_URL", redis.url()),
            ("KAFKA_BROKERS", kafka.brokers()),
            ("KAFKA_TOPIC", self.name.clone()),
            ("KAFKA_GROUP", self.name.clone()),
            ("CACHE_NAMESPACE", self.name.clone()),
        ]
        .map(|(variable, value)| (variable.to_owned(), value))
        .to_vec()
    }

    /// The broker and the topic, for what comes past the service.
    pub(crate) fn kafka(&self) -> (String, &str) {
        (self.servers.stack.kafka.brokers(), &self.name)
    }

    /// SQL statements that the server has counted for this scene's database.
    pub(crate) async fn statements(&self) -> i64 {
        let pool = store::connect(&self.servers.stack.postgres.admin_url(), 1)
            .await
            .expect("a pool");
        let statements = sqlx::query_scalar(
            "SELECT coalesce(sum(calls), 0)::bigint FROM pg_stat_statements
              WHERE dbid = (SELECT oid FROM pg_database WHERE datname = $1)",
        )
        .bind(&self.name)
        .fetch_one(&pool)
        .await
        .expect("the count of statements");
        pool.close().await;
        statements
    }

    /// Stops Postgres under a running service. Needs [`Scene::isolated`].
    pub(crate) async fn stop_postgres(self) {
        let servers = Arc::into_inner(self.servers).expect("servers of its own");
        servers.stack.postgres.stop().await.expect("stops");
    }

    /// Checks that no task and no database session is left of a service, and removes the database.
    pub(crate) async fn end(self) {
        let tasks = tokio::runtime::Handle::current().metrics();
        eventually("no task is left", async || (tasks.num_alive_tasks() == 0).then_some(())).await;
        let pool = store::connect(&self.servers.stack.postgres.admin_url(), 1)
            .await
            .expect("a pool");
        eventually("no session is left", async || {
            self.sessions(&pool).await.is_empty().then_some(())
        })
        .await;
        pool.close().await;
        self.servers
            .stack
            .postgres
            .drop_database(&self.name)
            .await
            .expect("dropped");
    }

    async fn sessions(&self, pool: &sqlx::PgPool) -> Vec<String> {
        sqlx::query_scalar("SELECT query FROM pg_stat_activity WHERE datname = $1 AND pid <> pg_backend_pid()")
            .bind(&self.name)
            .fetch_all(pool)
            .await
            .expect("the sessions")
    }
}
