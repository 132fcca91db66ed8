//! Events on their way: from the outbox to Kafka, and from Kafka to whoever acts on them.
//!
//! What belongs here: moving events reliably (at least once, keyed by driver). What an event causes is a use case,
//! given to the consumer as a [`DriverEventHandler`].

mod codec;
mod consumer;
mod producer;
mod relay;
mod topic;

pub use codec::CodecError;
pub use consumer::{Consumer, ConsumerState};
pub use producer::Publisher;
pub use relay::Relay;
pub use topic::TopicMaker;

use async_trait::async_trait;
use tokio::sync::oneshot;

use crate::domain::ids::DriverId;
use crate::errors::Cause;

/// Acts on events about drivers.
#[async_trait]
pub trait DriverEventHandler: Send + Sync + 'static {
    /// Something happened to these drivers (each named once, whatever the number of events). MUST be repeatable: after
    /// an error the same drivers come again, and after a crash even events that were worked off.
    async fn drivers_changed(&self, drivers: &[DriverId]) -> Result<(), Cause>;
}

/// Kafka could not be set up: the settings are wrong. A broker that does not answer is no such error.
#[derive(Debug, thiserror::Error)]
#[error("the Kafka {role} cannot be made (check KAFKA_BROKERS, KAFKA_TOPIC and KAFKA_GROUP)")]
pub struct KafkaSetupError {
    /// `producer`, `consumer` or `administrator`.
    pub role: &'static str,
    /// Answer of librdkafka.
    #[source]
    pub source: rdkafka::error::KafkaError,
}

/// Drops one of librdkafka's clients and returns when that is done. It waits for the broker and for threads of its own,
/// so it gets a thread too: one of the runtime's blocking pool would be waited for at the runtime's end, without a
/// bound.
async fn close<C: Send + 'static>(role: &'static str, client: C) {
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
