//! Starts Postgres, Redis and Kafka for tests and load runs, and leaves nothing behind.
//!
//! Here belongs everything that brings a server up, waits for it, says what it is, and takes it down again. What is
//! done *with* a server (schemas, cache keys, load) belongs to the packages that use it; this one knows none of them.
//!
//! Per server there are several providers, and [`Choice::Auto`] takes the first that is at hand:
//!
//! | provider | Postgres | Redis | Kafka |
//! |---|---|---|---|
//! | external | `DATABASE_URL` | `REDIS_URL`, `REDIS_PASSWORD` | `KAFKA_BROKERS` |
//! | containers | `STACK_IMAGE_POSTGRES` | `STACK_IMAGE_REDIS` | `STACK_IMAGE_KAFKA`, on the engine that answers |
//! | native | `initdb`, `postgres` | `redis-server` | java with `KAFKA_HOME`, or with artifacts of Maven Central |
//! | embedded | | | librdkafka's mock broker, in this process |
//!
//! A native server lives in its own process group, on a free port of 127.0.0.1, in a directory `loadtest-stack-*` of
//! its own; a container's port is published on 127.0.0.1 alone. Dropping a handle stops the server and removes what it
//! wrote, within a bound, also while a panic unwinds; [`Stack::stop`] does the same and reports what went wrong. A
//! destructor does not run when the process is killed or calls `exit`: turn signals into an orderly return. What a
//! killed process left is known by its lock file or its label, and the next [`Stack::start`] (or [`sweep`]) removes it.
//!
//! ```no_run
//! # async fn example() -> Result<(), stack::StackError> {
//! let options = stack::StackOptions::from_env()?;
//! let stack = stack::Stack::start(&options, &mut |line| println!("{line}")).await?;
//! stack.postgres.create_database("portfolio").await?;
//! println!("{} {} {}", stack.postgres.url("portfolio"), stack.redis.url(), stack.kafka.brokers());
//! stack.stop().await
//! # }
//! ```

mod choose;
mod claim;
mod cleanup;
mod container;
mod dir;
pub mod doctor;
mod engine;
mod error;
mod identity;
mod info;
mod kafka;
mod kind;
mod made;
mod native;
mod options;
mod ports;
mod postgres;
pub mod process;
mod programs;
pub mod proxy;
mod redis;
mod server;
mod urls;
mod user;
pub mod wait;

pub use self::redis::Redis;
pub use container::owner_label;
pub use error::StackError;
pub use info::{Provider, Server, ServerInfo};
pub use kafka::Kafka;
pub use options::{Choice, External, Images, StackOptions};
pub use ports::free_port;
pub use postgres::Postgres;
pub use server::Running;

/// The three servers of a run.
#[derive(Debug)]
pub struct Stack {
    /// The database server.
    pub postgres: Postgres,
    /// The cache server.
    pub redis: Redis,
    /// The event broker.
    pub kafka: Kafka,
}

impl Stack {
    /// Brings all three up, one after the other, and hands `announce` one line for each: which provider was taken and
    /// why. When one fails, those already up are stopped before this returns. What earlier owners left is removed
    /// first, and said.
    pub async fn start(options: &StackOptions, mut announce: &mut dyn FnMut(&str)) -> Result<Self, StackError> {
        announce_swept(options, announce).await;
        let postgres = server::start::<postgres::PostgresKind>(options, &mut announce).await?;
        let redis = server::start::<redis::RedisKind>(options, &mut announce).await?;
        let kafka = server::start::<kafka::KafkaKind>(options, &mut announce).await?;
        Ok(Self { postgres, redis, kafka })
    }

    /// Stops all three, whatever becomes of each, and reports the first failure.
    pub async fn stop(self) -> Result<(), StackError> {
        Servers::from(self).stop().await
    }
}

/// The servers that were asked for, none to all three.
#[derive(Debug, Default)]
pub struct Servers {
    /// The database server, where it was asked for.
    pub postgres: Option<Postgres>,
    /// The cache server, where it was asked for.
    pub redis: Option<Redis>,
    /// The event broker, where it was asked for.
    pub kafka: Option<Kafka>,
}

impl Servers {
    /// Brings up those of `needed`, as [`Stack::start`] does with all; for none of them nothing is done at all.
    pub async fn start(
        needed: &[Server],
        options: &StackOptions,
        mut announce: &mut dyn FnMut(&str),
    ) -> Result<Self, StackError> {
        let mut servers = Self::default();
        if needed.is_empty() {
            return Ok(servers);
        }
        announce_swept(options, announce).await;
        if needed.contains(&Server::Postgres) {
            servers.postgres = Some(server::start::<postgres::PostgresKind>(options, &mut announce).await?);
        }
        if needed.contains(&Server::Redis) {
            servers.redis = Some(server::start::<redis::RedisKind>(options, &mut announce).await?);
        }
        if needed.contains(&Server::Kafka) {
            servers.kafka = Some(server::start::<kafka::KafkaKind>(options, &mut announce).await?);
        }
        Ok(servers)
    }

    /// Facts about those that are up.
    pub fn infos(&self) -> impl Iterator<Item = (Server, &ServerInfo)> {
        let postgres = self.postgres.as_ref().map(|server| (Server::Postgres, server.info()));
        let redis = self.redis.as_ref().map(|server| (Server::Redis, server.info()));
        let kafka = self.kafka.as_ref().map(|server| (Server::Kafka, server.info()));
        [postgres, redis, kafka].into_iter().flatten()
    }

    /// Stops all that are up, whatever becomes of each, and reports the first failure.
    pub async fn stop(self) -> Result<(), StackError> {
        let kafka = stop(self.kafka).await;
        let redis = stop(self.redis).await;
        let postgres = stop(self.postgres).await;
        kafka.and(redis).and(postgres)
    }
}

impl From<Stack> for Servers {
    fn from(Stack { postgres, redis, kafka }: Stack) -> Self {
        Self {
            postgres: Some(postgres),
            redis: Some(redis),
            kafka: Some(kafka),
        }
    }
}

async fn stop<C: Send + 'static>(server: Option<Running<C>>) -> Result<(), StackError> {
    match server {
        Some(server) => server.stop().await,
        None => Ok(()),
    }
}

async fn announce_swept(options: &StackOptions, announce: &mut dyn FnMut(&str)) {
    for left in sweep(options).await {
        announce(&format!("removed what a killed run left: {left}"));
    }
}

/// Removes the servers, directories and containers whose owner was killed, and says for each what it was. Only what
/// carries the lock file or the label of a dead owner goes; nothing goes for its name. Servers of living owners, of
/// other users and of other containers are left alone.
pub async fn sweep(options: &StackOptions) -> Vec<String> {
    let parent = dir::parent_or_default(options.directory.as_deref());
    // A thread that panicked has swept nothing.
    let mut swept = tokio::task::spawn_blocking(move || claim::sweep(&parent))
        .await
        .unwrap_or_default();
    swept.extend(container::sweep().await);
    swept
}
