//! Version 1: one flat JSON object. Messages of the releases before events had names are read too: their name is a
//! digest of their bytes, so that a repeated one has the same.

use aws_lc_rs::digest::{SHA256, digest};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::CodecError;
use crate::domain::events::{Event, EventBody, EventId, EventName};
use crate::domain::regions::Region;

/// The object as it is written.
#[derive(Serialize)]
struct Written<'e> {
    event_id: EventId,
    region: Region,
    #[serde(flatten)]
    body: &'e EventBody,
}

/// The object as browsers get it.
#[derive(Serialize)]
struct Shown<'e> {
    kind: EventName,
    #[serde(skip_serializing_if = "Option::is_none")]
    at_ms: Option<i64>,
    #[serde(flatten)]
    event: Written<'e>,
}

/// What stands beside the details; absent in messages of the first releases.
#[derive(Deserialize)]
struct Beside {
    event_id: Option<EventId>,
    region: Option<Region>,
}

pub(super) fn encode(event: &Event) -> Result<Vec<u8>, CodecError> {
    Ok(serde_json::to_vec(&written(event))?)
}

/// An event as live clients get it: version 1, with its kind and its time.
pub fn live_json(event: &Event) -> Result<String, CodecError> {
    Ok(serde_json::to_string(&Shown {
        kind: event.body.name(),
        at_ms: event.id.unix_ms(),
        event: written(event),
    })?)
}

fn written(event: &Event) -> Written<'_> {
    Written {
        event_id: event.id,
        region: event.region,
        body: &event.body,
    }
}

pub(super) fn decode(name: EventName, bytes: &[u8]) -> Result<Event, CodecError> {
    let body = match name {
        EventName::TripRecorded => EventBody::TripRecorded(read(bytes)?),
        EventName::SafetyEvent => EventBody::SafetyEvent(read(bytes)?),
        EventName::RiskChanged => EventBody::RiskChanged(read(bytes)?),
        EventName::ClaimFiled => EventBody::ClaimFiled(read(bytes)?),
        EventName::ClaimChanged => EventBody::ClaimChanged(read(bytes)?),
        EventName::DriverUpdated => EventBody::DriverUpdated(read(bytes)?),
    };
    let beside: Beside = read(bytes)?;
    Ok(Event {
        id: beside.event_id.unwrap_or_else(|| digest_of(bytes)),
        region: beside.region.unwrap_or_else(|| Region::of(body.driver())),
        body,
    })
}

fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, CodecError> {
    Ok(serde_json::from_slice(bytes)?)
}

fn digest_of(bytes: &[u8]) -> EventId {
    let mut name = [0; 16];
    name.copy_from_slice(&digest(&SHA256, bytes).as_ref()[..16]);
    EventId(uuid::Builder::from_custom_bytes(name).into_uuid())
}
