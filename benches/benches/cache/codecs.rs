//! What it takes to write an answer, which a hit saves, and an event.

use std::hint::black_box;

use criterion::Criterion;
use insurance_service::domain::{
    ids::{DriverId, TripId},
    trips::{EventCounts, NewTrip, TripRecorded},
};

fn event() -> TripRecorded {
    TripRecorded {
        driver_id: DriverId(42),
        trip_id: TripId(uuid::Uuid::from_u128(0x0190_5e6d)),
        version: 7,
        trip: NewTrip {
            started_at: chrono::DateTime::from_timestamp(1_767_225_600, 0).expect("a moment"),
            duration_s: 1_800,
            distance_m: 24_000,
            night_share_pct: 25,
            events: EventCounts {
                speeding: 3,
                harsh_braking: 1,
                harsh_acceleration: 0,
                harsh_cornering: 2,
            },
        },
    }
}

/// JSON there and back.
pub(crate) fn json(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("codecs");
    let event = event();
    let bytes = serde_json::to_vec(&event).expect("encodes");
    println!("an event has {} bytes of JSON", bytes.len());
    group.bench_function("event_to_json", |bencher| {
        bencher.iter(|| serde_json::to_vec(black_box(&event)));
    });
    group.bench_function("event_from_json", |bencher| {
        bencher.iter(|| serde_json::from_slice::<TripRecorded>(black_box(&bytes)));
    });
    group.finish();
}
