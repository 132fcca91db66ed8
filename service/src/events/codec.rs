//! How an event is written on the wire. Version 1 is JSON; a header names the schema, so that a second version can come
//! while messages of the first are still in the topic.

use rdkafka::message::{Header, Headers, OwnedHeaders};
use serde::Deserialize;

use crate::domain::events::EventName;
use crate::domain::ids::DriverId;

/// Name of the header that names the schema.
const SCHEMA_HEADER: &str = "schema";
/// The schemas of version 1: the outbox payloads as JSON.
const SCHEMAS_V1: [(EventName, &str); 3] = [
    (EventName::TripRecorded, "trip-recorded/1+json"),
    (EventName::ClaimChanged, "claim-changed/1+json"),
    (EventName::DriverUpdated, "driver-updated/1+json"),
];

/// Why a message cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum CodecError {
    /// No schema header, or one of a schema that this build does not know.
    #[error("schema `{0}` is unknown; known are {known}", known = SCHEMAS_V1.map(|(_, schema)| schema).join(", "))]
    Schema(String),
    /// The schema is known, the bytes do not follow it.
    #[error("the message does not follow its schema")]
    Json(#[from] serde_json::Error),
}

/// The part of an event that the consumer needs; the rest of the message is for others.
#[derive(Deserialize)]
struct AboutDriver {
    driver_id: DriverId,
}

/// The headers of a version 1 message.
pub(super) fn headers_v1(kind: EventName) -> OwnedHeaders {
    let schema = SCHEMAS_V1.iter().find(|(known, _)| *known == kind);
    OwnedHeaders::new().insert(Header {
        key: SCHEMA_HEADER,
        value: schema.map(|(_, schema)| *schema),
    })
}

/// The payload of a version 1 message.
pub(super) fn encode_v1(payload: &serde_json::Value) -> Vec<u8> {
    payload.to_string().into_bytes()
}

/// The schema that a message's headers name; empty when they name none.
pub(super) fn schema<H: Headers>(headers: Option<&H>) -> String {
    let named = headers.and_then(|headers| headers.iter().find(|header| header.key == SCHEMA_HEADER)?.value);
    named
        .map(|name| String::from_utf8_lossy(name).into_owned())
        .unwrap_or_default()
}

/// The driver whom the event is about.
pub(super) fn decode(schema: &str, payload: &[u8]) -> Result<DriverId, CodecError> {
    if !SCHEMAS_V1.iter().any(|(_, known)| *known == schema) {
        return Err(CodecError::Schema(schema.to_owned()));
    }
    Ok(serde_json::from_slice::<AboutDriver>(payload)?.driver_id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        let payload = serde_json::json!({"driver_id": 42, "trip_id": "0190", "version": 3});
        for kind in EventName::ALL {
            let named = schema(Some(&headers_v1(*kind)));
            assert_eq!(
                decode(&named, &encode_v1(&payload)).expect("readable"),
                DriverId(42),
                "{kind}"
            );
        }
    }

    #[test]
    fn an_unknown_schema_is_refused_whatever_its_bytes() {
        let payload = br#"{"driver_id": 42}"#;
        assert!(
            matches!(decode("trip-recorded/9", payload), Err(CodecError::Schema(name)) if name == "trip-recorded/9")
        );
        assert!(matches!(
            decode(&schema(None::<&OwnedHeaders>), payload),
            Err(CodecError::Schema(_))
        ));
    }

    #[test]
    fn bytes_that_do_not_follow_the_schema_are_refused() {
        assert!(matches!(
            decode("trip-recorded/1+json", b"{}"),
            Err(CodecError::Json(_))
        ));
    }
}
