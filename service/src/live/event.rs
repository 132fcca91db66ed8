//! An event on its way to live clients, and batches of them.

use std::sync::Arc;

use super::position::Position;
use crate::codec::{CodecError, live_json};
use crate::domain::events::{Event, EventId, EventName};
use crate::domain::ids::DriverId;
use crate::domain::regions::Region;

/// An event, written down once for all clients.
#[derive(Debug)]
pub(super) struct LiveEvent {
    pub(super) id: EventId,
    pub(super) driver: DriverId,
    pub(super) region: Region,
    pub(super) name: EventName,
    pub(super) partition: usize,
    pub(super) offset: i64,
    /// When it happened, in milliseconds since 1970.
    pub(super) at_ms: Option<i64>,
    /// A JSON object.
    pub(super) json: Box<str>,
}

impl LiveEvent {
    pub(super) fn new(event: &Event, partition: usize, offset: i64) -> Result<Self, CodecError> {
        Ok(Self {
            id: event.id,
            driver: event.body.driver(),
            region: event.region,
            name: event.body.name(),
            partition,
            offset,
            at_ms: event.id.unix_ms(),
            json: live_json(event)?.into(),
        })
    }
}

/// Events that go out together.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) events: Vec<Arc<LiveEvent>>,
    /// Where a client is that has them.
    pub(super) position: Position,
}
