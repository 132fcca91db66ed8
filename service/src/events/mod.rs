//! Events on their way: from the outbox to Kafka, and from Kafka to whoever acts on them.
//!
//! What belongs here: moving events reliably (at least once, keyed by driver). What an event causes is a use case, given to
//! the consumer as a [`DriverEventHandler`].

mod codec;
mod consumer;
mod producer;
mod relay;

pub use codec::CodecError;
pub use consumer::{Consumer, ConsumerState};
pub use producer::Publisher;
pub use relay::Relay;

use async_trait::async_trait;

use crate::domain::ids::DriverId;
use crate::errors::Cause;

/// Acts on events about drivers.
#[async_trait]
pub trait DriverEventHandler: Send + Sync + 'static {
    /// Something happened to these drivers (each named once, whatever the number of events). MUST be repeatable: after an
    /// error the same drivers come again, and after a crash even events that were worked off.
    async fn drivers_changed(&self, drivers: &[DriverId]) -> Result<(), Cause>;
}

/// Kafka could not be set up: the settings are wrong. A broker that does not answer is no such error.
#[derive(Debug, thiserror::Error)]
#[error("the Kafka {role} cannot be made (check KAFKA_BROKERS, KAFKA_TOPIC and KAFKA_GROUP)")]
pub struct KafkaSetupError {
    /// `producer` or `consumer`.
    pub role: &'static str,
    /// What librdkafka says.
    #[source]
    pub source: rdkafka::error::KafkaError,
}
