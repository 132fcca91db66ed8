//! Events written and read: JSON, version 1, beside Protobuf, version 2, and what live clients get. Prints the bytes of
//! each, before compression.
//!
//! `cargo bench -p benches --bench events`

use std::hint::black_box;

use chrono::DateTime;
use criterion::Criterion;
use insurance_service::codec::{self, Encoded, Format};
use insurance_service::domain::events::{Event, EventBody};
use insurance_service::domain::ids::{DriverId, TripId};
use insurance_service::domain::trips::{EventCounts, NewTrip, TripRecorded};
use uuid::Uuid;

fn trip() -> Event {
    Event::of_now(EventBody::TripRecorded(TripRecorded {
        driver_id: DriverId(4_242),
        trip_id: TripId(Uuid::now_v7()),
        version: 97,
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
    }))
}

fn forms(criterion: &mut Criterion) {
    let event = trip();
    for (name, format) in [("json v1", Format::Json), ("protobuf v2", Format::Protobuf)] {
        let Encoded { schema, bytes } = codec::encode(&event, format).expect("writable");
        println!("{name}: {} bytes and {} of schema", bytes.len(), schema.len());
        criterion.bench_function(&format!("encode {name}"), |bencher| {
            bencher.iter(|| codec::encode(black_box(&event), format));
        });
        criterion.bench_function(&format!("decode {name}"), |bencher| {
            bencher.iter(|| codec::decode(schema, black_box(&bytes)));
        });
    }
    criterion.bench_function("live json", |bencher| {
        bencher.iter(|| codec::live_json(black_box(&event)));
    });
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    forms(&mut criterion);
    criterion.final_summary();
}
