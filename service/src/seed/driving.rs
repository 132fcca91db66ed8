//! Trips and what happens on them.
//!
//! - Number of trips per driver: Poisson around a gamma distributed habit, which makes counts negative binomial.
//! - Length: log-normal, many short trips and a long tail. That shape is the usual one for trip lengths; the mean of
//!   about 14 km is chosen to resemble what household travel surveys report (National Household Travel Survey, US
//!   Federal Highway Administration).
//! - Speed: grows with the logarithm of the length (longer trips use faster roads), with a log-normal spread.
//! - Events: Poisson per kilometre, the driver's rate gamma distributed (Greenwood and Yule 1920, as in
//!   [`risk`](crate::domain::risk)) and partly the same trait that causes claims.

use chrono::{DateTime, NaiveDate, TimeDelta, Timelike as _, Utc};
use rand::{Rng as _, RngExt as _};
use serde::Serialize;
use uuid::{Builder, Uuid};

use super::calendar::Calendar;
use super::draws::{DriverRng, gamma, log_normal, poisson, weighted};
use crate::domain::trips::{EventCounts, EventKind, NewTrip};

/// Trips in a year of being insured. Over all drivers the mean is about 40, because those who joined within the year
/// were not insured for all of it.
const TRIPS_PER_YEAR: f64 = 44.4;
/// Gamma shape of how much people drive: the busiest tenth drives about a quarter of all trips.
const HABIT_SHAPE: f64 = 2.0;
/// Median and spread of a trip's length.
const LENGTH_MEDIAN_KM: f64 = 8.8;
const LENGTH_SIGMA: f64 = 1.0;
const LENGTH_MIN_KM: f64 = 0.3;
const LENGTH_MAX_KM: f64 = 600.0;
/// Mean speed of the shortest trips, what each factor of e in length adds, and the spread.
const SPEED_BASE_KMH: f64 = 18.0;
const SPEED_PER_LOG_KM: f64 = 14.0;
const SPEED_SIGMA: f64 = 0.2;
const SPEED_MAX_KMH: f64 = 130.0;
/// Events of all kinds per kilometre of the average driver: what `domain::risk` takes for the portfolio's rate.
const EVENTS_PER_KM: f64 = 0.172;
/// Share of the event rate that comes from the trait behind claims; the rest is the driver's own.
const SHARED_TRAIT: f64 = 0.5;
/// Gamma shape of the driver's own part.
const OWN_TRAIT_SHAPE: f64 = 2.0;
/// Most events on one trip, well below what [`NewTrip::validate`] takes.
const EVENTS_MAX: i32 = 400;
/// Kinds and severities, as likely as their weights.
const KINDS: [(EventKind, u32); 4] = [
    (EventKind::Speeding, 45),
    (EventKind::HarshBraking, 25),
    (EventKind::HarshAcceleration, 18),
    (EventKind::HarshCornering, 12),
];
const SEVERITIES: [(i16, u32); 3] = [(1, 70), (2, 25), (3, 5)];
/// Night: from 22:00 to 06:00, in seconds of the day.
const NIGHT_FROM_S: i64 = 22 * 3_600;
const NIGHT_TO_S: i64 = 6 * 3_600;
const DAY_S: i64 = 24 * 3_600;

/// A trip as driven.
#[derive(Debug)]
pub(super) struct DrivenTrip {
    pub(super) id: Uuid,
    pub(super) trip: NewTrip,
    pub(super) events: Vec<DrivenEvent>,
}

/// Something that happened on a trip, in the order of its table's columns.
#[derive(Debug, Serialize)]
pub(super) struct DrivenEvent {
    pub(super) kind: EventKind,
    severity: i16,
    pub(super) occurred_at: DateTime<Utc>,
}

/// The trips of a driver since joining, in no particular order. `claims_trait` is the driver's propensity to have
/// claims, with mean 1.
pub(super) fn trips(
    rng: &mut DriverRng,
    calendar: &Calendar,
    joined_on: NaiveDate,
    claims_trait: f64,
) -> Vec<DrivenTrip> {
    let habit = gamma(rng, HABIT_SHAPE, TRIPS_PER_YEAR);
    let own = gamma(rng, OWN_TRAIT_SHAPE, 1.0);
    let events_per_km = EVENTS_PER_KM * (SHARED_TRAIT * claims_trait + (1.0 - SHARED_TRAIT) * own);
    let count = poisson(rng, habit * calendar.share_since(joined_on));
    (0..count)
        .map(|_| {
            let started_at = calendar.moment(rng, joined_on);
            trip(rng, started_at, events_per_km)
        })
        .collect()
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "lengths and speeds are bounded above, so metres and seconds fit"
)]
fn trip(rng: &mut DriverRng, started_at: DateTime<Utc>, events_per_km: f64) -> DrivenTrip {
    let km = log_normal(rng, LENGTH_MEDIAN_KM, LENGTH_SIGMA).clamp(LENGTH_MIN_KM, LENGTH_MAX_KM);
    let usual_kmh = SPEED_BASE_KMH + SPEED_PER_LOG_KM * (1.0 + km).ln();
    let kmh = log_normal(rng, usual_kmh, SPEED_SIGMA).min(SPEED_MAX_KMH);
    let duration_s = (km / kmh * 3_600.0).ceil() as i32;
    let events = events(rng, started_at, duration_s, km * events_per_km);
    let trip = NewTrip {
        started_at,
        duration_s,
        distance_m: (km * 1_000.0) as i32,
        night_share_pct: night_share_pct(started_at, i64::from(duration_s)),
        events: counts(&events),
    };
    DrivenTrip {
        id: trip_id(rng, started_at),
        trip,
        events,
    }
}

/// A name like those that are given to recorded trips (UUID version 7), of the trip's own time and the driver's
/// randomness.
fn trip_id(rng: &mut DriverRng, started_at: DateTime<Utc>) -> Uuid {
    let mut random = [0; 10];
    rng.fill_bytes(&mut random);
    Builder::from_unix_timestamp_millis(started_at.timestamp_millis().unsigned_abs(), &random).into_uuid()
}

fn events(rng: &mut DriverRng, started_at: DateTime<Utc>, duration_s: i32, mean: f64) -> Vec<DrivenEvent> {
    let count = poisson(rng, mean).min(EVENTS_MAX);
    (0..count)
        .map(|_| DrivenEvent {
            kind: weighted(rng, &KINDS),
            severity: weighted(rng, &SEVERITIES),
            occurred_at: started_at + TimeDelta::seconds(i64::from(rng.random_range(0..=duration_s))),
        })
        .collect()
}

fn counts(events: &[DrivenEvent]) -> EventCounts {
    let mut counts = EventCounts::default();
    for event in events {
        *counts.of_mut(event.kind) += 1;
    }
    counts
}

/// Percent of the trip's time, and so of its distance at even speed, that lies at night.
#[expect(clippy::cast_possible_truncation, reason = "a percentage")]
fn night_share_pct(started_at: DateTime<Utc>, duration_s: i64) -> i16 {
    let from = i64::from(started_at.num_seconds_from_midnight());
    let to = from + duration_s;
    // The nights that a trip of at most a day can touch: last night, the coming one, and the one after.
    let night_s: i64 = (-1..=1)
        .map(|day| day * DAY_S)
        .map(|midnight| to.min(midnight + DAY_S + NIGHT_TO_S) - from.max(midnight + NIGHT_FROM_S))
        .map(|overlap| overlap.max(0))
        .sum();
    (night_s * 100 / duration_s) as i16
}

#[cfg(test)]
mod tests {
    use chrono::Days;
    use rand::SeedableRng as _;

    use super::*;

    fn share(start: &str, duration_s: i64) -> i16 {
        night_share_pct(format!("2026-03-01T{start}Z").parse().unwrap(), duration_s)
    }

    #[test]
    fn the_night_share_counts_the_time_from_ten_to_six() {
        assert_eq!(share("12:00:00", 3_600), 0);
        assert_eq!(share("23:30:00", 3_600), 100);
        assert_eq!(share("05:30:00", 3_600), 50);
        assert_eq!(share("21:45:00", 3_600), 75);
        assert_eq!(share("00:00:00", 86_400), 33);
        assert_eq!(share("21:00:00", 36_000), 80);
    }

    #[test]
    fn every_trip_is_one_that_the_service_would_take() {
        let as_of = NaiveDate::from_ymd_opt(2026, 7, 1).unwrap();
        let calendar = Calendar::new(as_of);
        let mut rng = DriverRng::seed_from_u64(3);
        let driven: Vec<_> = (0..300)
            .flat_map(|_| trips(&mut rng, &calendar, as_of - Days::new(400), 3.0))
            .collect();
        assert!(driven.len() > 5_000, "{}", driven.len());
        for one in &driven {
            assert_eq!(one.trip.validate(), Ok(()), "{:?}", one.trip);
            assert_eq!(usize::try_from(one.trip.events.total()), Ok(one.events.len()));
            let end = one.trip.started_at + TimeDelta::seconds(i64::from(one.trip.duration_s));
            assert!(
                one.events
                    .iter()
                    .all(|event| one.trip.started_at <= event.occurred_at && event.occurred_at <= end)
            );
        }
    }
}
