//! Both versions side by side: what is written is read back, what was written once is read for ever, what is no event
//! is refused.

use std::path::PathBuf;

use chrono::{DateTime, NaiveDate};
use proptest::prelude::*;
use uuid::Uuid;

use super::*;
use crate::domain::claims::{ClaimChanged, ClaimStatus};
use crate::domain::drivers::{DriverStatus, DriverUpdated};
use crate::domain::events::{ClaimFiled, EventBody, EventId, RiskChanged, SafetyEvent};
use crate::domain::ids::{ClaimId, DriverId, TripId};
use crate::domain::money::Cents;
use crate::domain::regions::Region;
use crate::domain::risk::RiskScore;
use crate::domain::trips::{EventCounts, EventKind, NewTrip, TripRecorded};

const FORMATS: [(Format, &str); 2] = [(Format::Json, "v1.json"), (Format::Protobuf, "v2.bin")];

fn file(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures/events")
        .join(name)
}

fn trip() -> TripRecorded {
    TripRecorded {
        driver_id: DriverId(42),
        trip_id: TripId(Uuid::from_u128(0x0190_8a3c_0000_7000_8000_0000_0000_0001)),
        version: 7,
        trip: NewTrip {
            started_at: DateTime::from_timestamp_micros(1_767_225_600_000_001).expect("a time"),
            duration_s: 1_800,
            distance_m: 20_123,
            night_share_pct: 37,
            events: EventCounts {
                speeding: 3,
                harsh_braking: 0,
                harsh_acceleration: 1,
                harsh_cornering: 2,
            },
        },
    }
}

/// One event of each kind, always the same.
fn examples() -> Vec<Event> {
    let (driver_id, version, claim_id) = (DriverId(42), 7, ClaimId(9));
    let bodies = [
        EventBody::TripRecorded(trip()),
        EventBody::SafetyEvent(SafetyEvent {
            driver_id,
            trip_id: trip().trip_id,
            version,
            noticed: EventKind::HarshCornering,
            count: 2,
            severity: 2,
        }),
        EventBody::RiskChanged(RiskChanged {
            driver_id,
            version,
            score: RiskScore::from_hundredths(4_001),
            before: Some(RiskScore::from_hundredths(3_999)),
        }),
        EventBody::ClaimFiled(ClaimFiled {
            driver_id,
            claim_id,
            version,
            amount_cents: Cents(250_000),
            occurred_on: NaiveDate::from_ymd_opt(2026, 3, 1).expect("a day"),
        }),
        EventBody::ClaimChanged(ClaimChanged {
            driver_id,
            claim_id,
            version,
            status: ClaimStatus::Paid,
            amount_cents: Cents(199_900),
        }),
        EventBody::DriverUpdated(DriverUpdated {
            driver_id,
            version,
            status: DriverStatus::Suspended,
        }),
    ];
    let name = |place: u128| EventId(Uuid::from_u128(0x0193_7d2b_8a00_7000_8000_0000_0000_0000 + place));
    let with_names = (1..).zip(bodies);
    with_names
        .map(|(place, body)| Event {
            id: name(place),
            region: Region::South,
            body,
        })
        .collect()
}

#[test]
fn what_is_written_is_read_back_in_either_form() {
    let examples = examples();
    let names: Vec<_> = examples.iter().map(|event| event.body.name()).collect();
    assert_eq!(names, EventName::ALL, "each kind has an example");
    for event in examples {
        for (format, _) in FORMATS {
            let Encoded { schema, bytes } = encode(&event, format).expect("writable");
            assert_eq!(decode(schema, &bytes).expect("readable"), event, "{schema}");
        }
    }
}

/// The bytes in `tests/fixtures/events` were written by the release that introduced their version. They are added to,
/// never changed: topics and outboxes hold such bytes. `UPDATE_EVENTS=1` writes those that are not there.
#[test]
fn bytes_of_each_version_are_read_for_ever_and_written_alike() {
    for event in examples() {
        for (format, ending) in FORMATS {
            let name = format!("{}.{ending}", event.body.name());
            let encoded = encode(&event, format).expect("writable");
            if std::env::var_os("UPDATE_EVENTS").is_some() && !file(&name).exists() {
                std::fs::write(file(&name), &encoded.bytes).expect("written");
            }
            let stored = std::fs::read(file(&name)).unwrap_or_else(|error| panic!("{name}: {error}"));
            assert_eq!(decode(encoded.schema, &stored).expect(&name), event, "{name}");
            assert_eq!(encoded.bytes, stored, "{name} is written in another way than it was");
        }
    }
}

/// Of the releases before events had names: a repeated message has the same name, another message another.
#[test]
fn messages_of_the_first_releases_are_read_and_named_after_their_bytes() {
    for name in [
        EventName::TripRecorded,
        EventName::ClaimChanged,
        EventName::DriverUpdated,
    ] {
        let stored = std::fs::read(file(&format!("{name}.first.json"))).expect("stored");
        let event = decode(schema_v1(name), &stored).expect("readable");
        assert_eq!((event.body.name(), event.body.driver()), (name, DriverId(42)));
        assert_eq!(decode(schema_v1(name), &stored).expect("readable").id, event.id);
        let other = String::from_utf8(stored).expect("text").replace("42", "43");
        assert_ne!(
            decode(schema_v1(name), other.as_bytes()).expect("readable").id,
            event.id
        );
    }
}

/// What a former release needs of a message of this one: the driver, at the top.
#[test]
fn version_1_keeps_what_the_first_releases_read() {
    for event in examples() {
        let bytes = encode(&event, Format::Json).expect("writable").bytes;
        let object: serde_json::Value = serde_json::from_slice(&bytes).expect("JSON");
        assert_eq!(
            (&object["driver_id"], &object["version"]),
            (&42.into(), &7.into()),
            "{object}"
        );
    }
}

#[test]
fn an_unknown_schema_is_refused_whatever_its_bytes() {
    for schema in ["trip-recorded/9", "event/3", ""] {
        let refused = decode(schema, br#"{"driver_id": 42}"#).expect_err("unknown");
        assert!(
            matches!(&refused, CodecError::Schema(name) if name == schema),
            "{refused}"
        );
        assert!(refused.to_string().contains("event/2"), "{refused}");
    }
}

#[test]
fn bytes_that_do_not_follow_the_schema_are_refused() {
    assert!(matches!(
        decode("trip-recorded/1+json", b"{}"),
        Err(CodecError::Json(_))
    ));
    assert!(matches!(decode(SCHEMA_V2, b"\xff\xff"), Err(CodecError::Protobuf(_))));
    assert!(matches!(decode(SCHEMA_V2, b""), Err(CodecError::Field("id"))));
}

#[test]
fn what_live_clients_get_tells_kind_and_time() {
    let shown = live_json(&examples()[2]).expect("writable");
    let object: serde_json::Value = serde_json::from_str(&shown).expect("JSON");
    assert_eq!(object["kind"], "risk_changed", "{object}");
    assert_eq!(object["at_ms"], examples()[2].id.unix_ms().expect("a time"), "{object}");
    assert_eq!(object["score"]["band"], "high", "{object}");
}

proptest! {
    /// Whatever a broker delivers, a reader answers with an event or an error.
    #[test]
    fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200), version in 0..7_usize) {
        let schema = SCHEMAS_V1.get(version).map_or(SCHEMA_V2, |(_, schema)| schema);
        let _either = decode(schema, &bytes);
    }

    #[test]
    fn any_trip_is_the_same_in_both_forms(
        driver in any::<i64>(), duration_s in any::<i32>(), distance_m in any::<i32>(), count in any::<i32>(),
        started_us in -62_000_000_000_000_000_i64..250_000_000_000_000_000,
    ) {
        let mut trip = trip();
        trip.driver_id = DriverId(driver);
        trip.trip.started_at = DateTime::from_timestamp_micros(started_us).expect("a time");
        (trip.trip.duration_s, trip.trip.distance_m, trip.trip.events.speeding) = (duration_s, distance_m, count);
        let event = Event { id: EventId::of_now(), region: Region::North, body: EventBody::TripRecorded(trip) };
        for (format, _) in FORMATS {
            let Encoded { schema, bytes } = encode(&event, format).expect("writable");
            prop_assert_eq!(&decode(schema, &bytes).expect("readable"), &event);
        }
    }
}

/// `src/codec/generated.rs` is what prost makes of `proto/events.proto`; `UPDATE_PROTO=1` writes it anew. It is kept
/// rather than made by each build, which would then need the compiler of the schema and all that it depends on.
#[test]
fn the_generated_code_is_that_of_the_schema() {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let schema = protox::compile(["events.proto"], [root.join("proto")]).expect("a valid schema");
    let module = prost_build::Module::from_protobuf_package_name("insurance.events.v2");
    let requests = schema.file.into_iter().map(|file| (module.clone(), file)).collect();
    let made = prost_build::Config::new().generate(requests).expect("code");
    let head =
        "//! Generated by prost from proto/events.proto: do not edit (`UPDATE_PROTO=1 cargo test -- generated`).\n\n";
    let made = format!("{head}{}", made.values().cloned().collect::<String>());
    let kept = root.join("src/codec/generated.rs");
    if std::env::var_os("UPDATE_PROTO").is_some() {
        std::fs::write(&kept, &made).expect("written");
    }
    let kept = std::fs::read_to_string(kept).expect("kept");
    assert_eq!(
        kept, made,
        "run UPDATE_PROTO=1 cargo test --workspace --lib -- generated"
    );
}
