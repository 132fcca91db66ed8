//! Events on their way: from the outbox to Kafka, and from Kafka to whoever acts on them.
//!
//! What belongs here: moving events reliably (at least once, keyed by driver). How they are written is the business of
//! the codec room; what an event causes is a use case, given to the consumer as an [`EventHandler`].

mod backlog;
mod consumer;
mod dead_letters;
mod headers;
mod lag;
mod lane;
mod membership;
mod producer;
mod ready;
mod relay;
mod replay;
mod topic;

pub use backlog::Backlog;
pub use consumer::Consumer;
pub use dead_letters::DeadLetters;
pub use lag::LagWatch;
pub use membership::Membership;
pub use producer::Publisher;
pub use ready::ReadyEvents;
pub use relay::Relay;
pub use replay::{ReplayError, Replayed, replay};
pub use topic::TopicMaker;

pub(crate) use consumer::tune_fetches;
pub(crate) use headers::schema;
pub(crate) use producer::STATISTICS_MS;

use async_trait::async_trait;
use rdkafka::ClientConfig;
use rdkafka::error::KafkaError;
use tokio::sync::oneshot;

use crate::config::KafkaConfig;
use crate::domain::events::Event;
use crate::errors::Cause;

/// Acts on events.
#[async_trait]
pub trait EventHandler: Send + Sync + 'static {
    /// These happened, some of them perhaps before already. MUST be repeatable: after an error the same events come
    /// again, and after a crash even events that were worked off.
    async fn apply(&self, events: &[&Event]) -> Result<(), HandleError>;
}

/// Why events could not be worked off.
#[derive(Debug)]
pub struct HandleError {
    /// The cause, for the log and for a dead letter.
    pub cause: Cause,
    /// Name of the error, stable.
    pub class: &'static str,
    /// Whether a later attempt may succeed by itself; otherwise one of the events is at fault.
    pub passes: bool,
}

/// Kafka could not be set up: the settings are wrong. A broker that does not answer is no such error.
#[derive(Debug, thiserror::Error)]
#[error("the Kafka {role} cannot be made (check KAFKA_BROKERS, KAFKA_TOPIC and KAFKA_GROUP)")]
pub struct KafkaSetupError {
    /// `producer`, `consumer` or `administrator`.
    pub role: &'static str,
    /// Answer of librdkafka.
    #[source]
    pub source: KafkaError,
}

impl KafkaSetupError {
    /// Of a client in this role.
    pub(crate) fn of(role: &'static str) -> impl Fn(KafkaError) -> Self {
        move |source| Self { role, source }
    }
}

/// Settings of every client.
pub(crate) fn client_of(config: &KafkaConfig) -> ClientConfig {
    let mut client = ClientConfig::new();
    client
        .set("bootstrap.servers", &config.brokers)
        .set("client.id", "insurance-service")
        // A broker that was away is asked each second. By the default of up to ten events would be as old when it is
        // back, and live clients who come from a replica that found it sooner would have to load anew.
        .set("reconnect.backoff.max.ms", "1000");
    client
}

/// Asks librdkafka what it answers to a thread that waits: one of its own, which the end of the runtime does not wait
/// for.
pub(crate) async fn on_thread<T: Send + 'static>(
    ask: impl FnOnce() -> Result<T, KafkaError> + Send + 'static,
) -> Result<T, KafkaError> {
    let (told, answer) = oneshot::channel();
    std::thread::spawn(move || {
        // Nobody waits any more after a stop.
        let _ = told.send(ask());
    });
    answer.await.unwrap_or(Err(KafkaError::Canceled))
}

/// Drops one of librdkafka's clients and returns when that is done. It waits for the broker and for threads of its own,
/// so it gets a thread too: one of the runtime's blocking pool would be waited for at the runtime's end, without a
/// bound.
pub(crate) async fn close<C: Send + 'static>(role: &'static str, client: C) {
    let (done, closed) = oneshot::channel();
    std::thread::spawn(move || {
        drop(client);
        // Nobody waits any more when the time to drain is over.
        let _ = done.send(());
    });
    if closed.await.is_err() {
        tracing::warn!(role, "the Kafka client did not stop cleanly");
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::sync::mpsc::{Receiver, sync_channel};
    use std::time::Duration;

    use super::close;

    /// Far beyond the test's own time, so that a failure is one of the assertion and not a test without an end.
    const PATIENCE: Duration = Duration::from_secs(20);

    /// A client that is not closed before it is told to.
    struct Stubborn {
        told: Receiver<()>,
        closed: Arc<AtomicBool>,
    }

    impl Drop for Stubborn {
        fn drop(&mut self) {
            let _ = self.told.recv_timeout(PATIENCE);
            self.closed.store(true, Ordering::SeqCst);
        }
    }

    #[test]
    fn a_client_that_does_not_close_keeps_no_runtime_from_its_end() {
        let (tell, told) = sync_channel(1);
        let closed = Arc::new(AtomicBool::new(false));
        let client = Stubborn {
            told,
            closed: Arc::clone(&closed),
        };
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        let outcome = runtime
            .block_on(async { tokio::time::timeout(Duration::from_millis(50), close("consumer", client)).await });
        drop(runtime);
        assert!(
            outcome.is_err() && !closed.load(Ordering::SeqCst),
            "the client was waited for"
        );
        tell.send(()).expect("it still waits");
    }
}
