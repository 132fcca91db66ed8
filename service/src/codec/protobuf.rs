//! Version 2: one Protobuf message, `proto/events.proto`. What is written with every event is written once and small:
//! the time stands in the name, a band of risk follows from its points.

use chrono::{DateTime, Days, NaiveDate};
use prost::Message as _;
use uuid::Uuid;

use super::CodecError;
use super::generated::{self as v2, event::Body};
use crate::domain::claims::{ClaimChanged, ClaimStatus};
use crate::domain::drivers::{DriverStatus, DriverUpdated};
use crate::domain::events::{ClaimFiled, Event, EventBody, EventId, RiskChanged, SafetyEvent};
use crate::domain::ids::{ClaimId, DriverId, TripId};
use crate::domain::money::Cents;
use crate::domain::regions::Region;
use crate::domain::risk::RiskScore;
use crate::domain::trips::{EventCounts, EventKind, NewTrip, TripRecorded};

pub(super) fn encode(event: &Event) -> Vec<u8> {
    let (version, body) = body(&event.body);
    let message = v2::Event {
        id: event.id.0.as_bytes().to_vec(),
        driver_id: event.body.driver().0,
        region: number(event.region as usize),
        version,
        body: Some(body),
    };
    message.encode_to_vec()
}

pub(super) fn decode(bytes: &[u8]) -> Result<Event, CodecError> {
    let message = v2::Event::decode(bytes)?;
    Ok(Event {
        id: EventId(uuid(&message.id, "id")?),
        region: word(Region::ALL, message.region, "region")?,
        body: read(DriverId(message.driver_id), message.version, message.body)?,
    })
}

fn body(body: &EventBody) -> (i64, Body) {
    match body {
        EventBody::TripRecorded(trip) => (trip.version, Body::TripRecorded(written_trip(trip))),
        EventBody::SafetyEvent(noticed) => {
            let written = v2::SafetyEvent {
                trip_id: noticed.trip_id.0.as_bytes().to_vec(),
                noticed: number(noticed.noticed as usize),
                count: noticed.count,
                severity: noticed.severity.into(),
            };
            (noticed.version, Body::SafetyEvent(written))
        }
        EventBody::RiskChanged(risk) => {
            let written = v2::RiskChanged {
                points_x100: risk.score.hundredths(),
                before_x100: risk.before.map(|before| before.hundredths()),
            };
            (risk.version, Body::RiskChanged(written))
        }
        EventBody::ClaimFiled(claim) => {
            let written = v2::ClaimFiled {
                claim_id: claim.claim_id.0,
                amount_cents: claim.amount_cents.0,
                occurred_on_day: days_since_1970(claim.occurred_on),
            };
            (claim.version, Body::ClaimFiled(written))
        }
        EventBody::ClaimChanged(claim) => {
            let written = v2::ClaimChanged {
                claim_id: claim.claim_id.0,
                status: number(claim.status as usize),
                amount_cents: claim.amount_cents.0,
            };
            (claim.version, Body::ClaimChanged(written))
        }
        EventBody::DriverUpdated(driver) => {
            let status = number(driver.status as usize);
            (driver.version, Body::DriverUpdated(v2::DriverUpdated { status }))
        }
    }
}

fn written_trip(recorded: &TripRecorded) -> v2::TripRecorded {
    let trip = &recorded.trip;
    v2::TripRecorded {
        trip_id: recorded.trip_id.0.as_bytes().to_vec(),
        started_at_us: trip.started_at.timestamp_micros(),
        duration_s: trip.duration_s,
        distance_m: trip.distance_m,
        night_share_pct: trip.night_share_pct.into(),
        speeding: trip.events.speeding,
        harsh_braking: trip.events.harsh_braking,
        harsh_acceleration: trip.events.harsh_acceleration,
        harsh_cornering: trip.events.harsh_cornering,
    }
}

fn read(driver_id: DriverId, version: i64, body: Option<Body>) -> Result<EventBody, CodecError> {
    Ok(match body.ok_or(CodecError::Field("body"))? {
        Body::TripRecorded(trip) => EventBody::TripRecorded(read_trip(driver_id, version, &trip)?),
        Body::SafetyEvent(noticed) => EventBody::SafetyEvent(SafetyEvent {
            driver_id,
            trip_id: TripId(uuid(&noticed.trip_id, "trip_id")?),
            version,
            noticed: word(EventKind::ALL, noticed.noticed, "noticed")?,
            count: noticed.count,
            severity: small(noticed.severity, "severity")?,
        }),
        Body::RiskChanged(risk) => EventBody::RiskChanged(RiskChanged {
            driver_id,
            version,
            score: RiskScore::from_hundredths(risk.points_x100),
            before: risk.before_x100.map(RiskScore::from_hundredths),
        }),
        Body::ClaimFiled(claim) => EventBody::ClaimFiled(ClaimFiled {
            driver_id,
            claim_id: ClaimId(claim.claim_id),
            version,
            amount_cents: Cents(claim.amount_cents),
            occurred_on: day(claim.occurred_on_day)?,
        }),
        Body::ClaimChanged(claim) => EventBody::ClaimChanged(ClaimChanged {
            driver_id,
            claim_id: ClaimId(claim.claim_id),
            version,
            status: word(ClaimStatus::ALL, claim.status, "status")?,
            amount_cents: Cents(claim.amount_cents),
        }),
        Body::DriverUpdated(driver) => EventBody::DriverUpdated(DriverUpdated {
            driver_id,
            version,
            status: word(DriverStatus::ALL, driver.status, "status")?,
        }),
    })
}

fn read_trip(driver_id: DriverId, version: i64, trip: &v2::TripRecorded) -> Result<TripRecorded, CodecError> {
    Ok(TripRecorded {
        driver_id,
        trip_id: TripId(uuid(&trip.trip_id, "trip_id")?),
        version,
        trip: NewTrip {
            started_at: DateTime::from_timestamp_micros(trip.started_at_us)
                .ok_or(CodecError::Field("started_at_us"))?,
            duration_s: trip.duration_s,
            distance_m: trip.distance_m,
            night_share_pct: small(trip.night_share_pct, "night_share_pct")?,
            events: EventCounts {
                speeding: trip.speeding,
                harsh_braking: trip.harsh_braking,
                harsh_acceleration: trip.harsh_acceleration,
                harsh_cornering: trip.harsh_cornering,
            },
        },
    })
}

/// The number of the word at `place`: 0 is for "not told". A test holds the words of both sides together.
fn number(place: usize) -> i32 {
    i32::try_from(place).unwrap_or(-1) + 1
}

fn word<T: Copy>(all: &[T], number: i32, field: &'static str) -> Result<T, CodecError> {
    let place = number.checked_sub(1).and_then(|place| usize::try_from(place).ok());
    let word = place.and_then(|place| all.get(place));
    word.copied().ok_or(CodecError::Field(field))
}

fn uuid(bytes: &[u8], field: &'static str) -> Result<Uuid, CodecError> {
    Uuid::from_slice(bytes).map_err(|_| CodecError::Field(field))
}

fn small(number: i32, field: &'static str) -> Result<i16, CodecError> {
    i16::try_from(number).map_err(|_| CodecError::Field(field))
}

fn days_since_1970(day: NaiveDate) -> i32 {
    let days = (day - NaiveDate::default()).num_days();
    i32::try_from(days).unwrap_or(i32::MAX)
}

fn day(days_since_1970: i32) -> Result<NaiveDate, CodecError> {
    let days = u64::try_from(days_since_1970).map_err(|_| CodecError::Field("occurred_on_day"))?;
    let day = NaiveDate::default().checked_add_days(Days::new(days));
    day.ok_or(CodecError::Field("occurred_on_day"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The names of the numbers of `proto/events.proto` are the words of the domain, in upper case.
    fn same_words<T: Copy>(
        all: &[T],
        spelt: impl Fn(T) -> &'static str,
        prefix: &str,
        name: impl Fn(i32) -> &'static str,
    ) {
        for (place, word) in all.iter().enumerate() {
            let expected = format!("{prefix}_{}", spelt(*word).to_uppercase());
            assert_eq!(name(number(place)), expected);
        }
    }

    #[test]
    fn numbers_of_words_mean_the_same_on_both_sides() {
        let region = |number| v2::Region::try_from(number).expect("a number").as_str_name();
        same_words(Region::ALL, Region::as_str, "REGION", region);
        let kind = |number| v2::EventKind::try_from(number).expect("a number").as_str_name();
        same_words(EventKind::ALL, EventKind::as_str, "EVENT_KIND", kind);
        let claim = |number| v2::ClaimStatus::try_from(number).expect("a number").as_str_name();
        same_words(ClaimStatus::ALL, ClaimStatus::as_str, "CLAIM_STATUS", claim);
        let driver = |number| v2::DriverStatus::try_from(number).expect("a number").as_str_name();
        same_words(DriverStatus::ALL, DriverStatus::as_str, "DRIVER_STATUS", driver);
    }

    #[test]
    fn a_word_of_a_newer_release_is_refused() {
        assert!(matches!(
            word(Region::ALL, 5, "region"),
            Err(CodecError::Field("region"))
        ));
        assert!(matches!(
            word(Region::ALL, 0, "region"),
            Err(CodecError::Field("region"))
        ));
    }
}
