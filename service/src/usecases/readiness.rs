//! Whether this replica should get traffic: each dependency asked now, and the warming looked at.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::WarmProgress;
use super::redis_probe::RedisProbe;
use crate::config::{Profile, Switches};
use crate::errors::Cause;
use crate::events::ConsumerState;
use crate::store::Store;

/// How long a dependency may take to answer: a balancer asks every few seconds, and gives up after about two.
const PATIENCE: Duration = Duration::from_secs(1);

/// What the readiness route answers.
#[derive(Debug, Serialize)]
pub struct ReadyReport {
    /// `ready` or `not_ready`.
    pub status: &'static str,
    /// The profile of this replica.
    pub profile: &'static str,
    /// The database.
    pub postgres: Dependency,
    /// The cache's second tier; absent while the cache is off.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub redis: Option<Dependency>,
    /// The consumer's place in its group.
    pub kafka_consumer: ConsumerReport,
    /// How far warming has come.
    pub warm: WarmReport,
}

impl ReadyReport {
    /// Whether to send traffic.
    pub fn is_ready(&self) -> bool {
        self.status == READY
    }
}

const READY: &str = "ready";
const NOT_READY: &str = "not_ready";

/// One dependency, as it answered just now.
#[derive(Debug, Serialize)]
pub struct Dependency {
    /// Whether it answered.
    pub ok: bool,
    /// How long the answer took, in milliseconds.
    pub latency_ms: f64,
}

/// The consumer's place in its group.
#[derive(Debug, Serialize)]
pub struct ConsumerReport {
    /// Whether the group has assigned partitions to this replica (none of them is an assignment too).
    pub ok: bool,
    /// How many.
    pub partitions: usize,
}

/// How far warming has come.
#[derive(Debug, Serialize)]
pub struct WarmReport {
    /// Answers tried.
    pub done: u64,
    /// Answers to try.
    pub total: u64,
}

/// Looks at the dependencies.
pub struct Readiness {
    profile: Profile,
    store: Arc<dyn Store>,
    redis: Option<RedisProbe>,
    consumer: Arc<ConsumerState>,
    warm: Arc<WarmProgress>,
}

impl Readiness {
    /// Of these dependencies; no `redis` means that the cache is off.
    pub fn new(
        switches: Switches,
        store: Arc<dyn Store>,
        redis: Option<RedisProbe>,
        consumer: Arc<ConsumerState>,
        warm: Arc<WarmProgress>,
    ) -> Self {
        Self {
            profile: switches.profile,
            store,
            redis,
            consumer,
            warm,
        }
    }

    /// Asks every dependency, at the same time.
    pub async fn report(&self) -> ReadyReport {
        let postgres = async { ask("postgres", async { self.store.ping().await.map_err(Cause::new) }).await };
        let redis = async {
            match &self.redis {
                Some(redis) => Some(ask("redis", async { redis.ping().await.map_err(Cause::new) }).await),
                None => None,
            }
        };
        let (postgres, redis) = tokio::join!(postgres, redis);
        let kafka_consumer = self.consumer_report();
        let answers = postgres.ok && redis.as_ref().is_none_or(|redis| redis.ok) && kafka_consumer.ok;
        ReadyReport {
            status: if answers && self.warm.is_over() {
                READY
            } else {
                NOT_READY
            },
            profile: self.profile.name(),
            postgres,
            redis,
            kafka_consumer,
            warm: WarmReport {
                done: self.warm.done(),
                total: self.warm.total(),
            },
        }
    }

    fn consumer_report(&self) -> ConsumerReport {
        let partitions = self.consumer.partitions();
        ConsumerReport {
            ok: partitions.is_some(),
            partitions: partitions.unwrap_or_default(),
        }
    }
}

async fn ask(name: &'static str, question: impl Future<Output = Result<(), Cause>>) -> Dependency {
    let started = Instant::now();
    let answer = tokio::time::timeout(PATIENCE, question).await;
    let latency_ms = started.elapsed().as_secs_f64() * 1e3;
    match &answer {
        Ok(Ok(())) => {}
        Ok(Err(cause)) => tracing::warn!(dependency = name, %cause, "not ready"),
        Err(_) => tracing::warn!(dependency = name, latency_ms, "not ready: no answer in time"),
    }
    Dependency {
        ok: matches!(answer, Ok(Ok(()))),
        latency_ms,
    }
}
