//! Starts Postgres, Redis and Kafka for tests and load runs, and leaves nothing behind.
//!
//! Here belongs everything that brings a server up, waits for it, says what it is, and takes it down again. What is done
//! *with* a server (schemas, cache keys, load) belongs to the packages that use it; this one knows none of them.
//!
//! Per server there are several providers, and [`Choice::Auto`] takes the first that is at hand:
//!
//! | provider | Postgres | Redis | Kafka |
//! |---|---|---|---|
//! | external | `DATABASE_URL` | `REDIS_URL`, `REDIS_PASSWORD` | `KAFKA_BROKERS` |
//! | native | `initdb`, `postgres` | `redis-server` | |
//! | embedded | | | librdkafka's mock broker, in this process |
//!
//! A server that was started here lives in its own process group, on a free port of 127.0.0.1, in a directory
//! `loadtest-stack-*` of its own. Dropping its handle stops the process and removes the directory, within a bound, also
//! while a panic unwinds; [`Stack::stop`] does the same and reports what went wrong. A destructor does not run when the
//! process is killed or calls `exit`: turn signals into an orderly return.
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
mod cleanup;
mod dir;
mod error;
mod info;
mod kafka;
mod options;
mod ports;
mod postgres;
mod process;
mod programs;
mod redis;
mod urls;
mod user;
pub mod wait;

pub use self::redis::Redis;
pub use error::StackError;
pub use info::{Provider, Server, ServerInfo};
pub use kafka::Kafka;
pub use options::{Choice, External, StackOptions};
pub use postgres::Postgres;

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
    /// Brings all three up, one after the other, and hands `announce` one line for each: which provider was taken and why.
    /// When one fails, those already up are stopped before this returns.
    pub async fn start(options: &StackOptions, announce: &mut dyn FnMut(&str)) -> Result<Self, StackError> {
        let postgres = Postgres::start(options).await?;
        announce(&postgres.info().announcement(Server::Postgres));
        let redis = Redis::start(options).await?;
        announce(&redis.info().announcement(Server::Redis));
        let kafka = Kafka::start(options).await?;
        announce(&kafka.info().announcement(Server::Kafka));
        Ok(Self { postgres, redis, kafka })
    }

    /// Stops all three, whatever becomes of each, and reports the first failure.
    pub async fn stop(self) -> Result<(), StackError> {
        let kafka = self.kafka.stop().await;
        let redis = self.redis.stop().await;
        let postgres = self.postgres.stop().await;
        kafka.and(redis).and(postgres)
    }
}
