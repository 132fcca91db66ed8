//! Trips and the safety events that the telematics device noticed on them.

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::ids::{DriverId, TripId};

/// Longest trip that one record may describe, in seconds: a day.
pub const DURATION_MAX_S: i32 = 24 * 60 * 60;
/// Fastest mean speed that is taken as driving, in metres per second (252 km/h).
pub const SPEED_MAX_M_PER_S: i32 = 70;
/// Most events of one kind on one trip; a device that reports more is broken. Each becomes a row that every page with
/// the trip shows.
pub const EVENTS_MAX: i32 = 100;
/// Earliest start, 2000-01-01T00:00:00Z in Unix seconds: before it there were no telematics devices.
pub const STARTED_AT_MIN_UNIX_S: i64 = 946_684_800;
/// How far the clock of a device may run ahead of ours.
pub const CLOCK_SKEW_MAX: TimeDelta = TimeDelta::minutes(5);
/// Severity given to an event of which only the count is known: the middle of 1..=3.
pub const SEVERITY_UNKNOWN: i16 = 2;

text_enum! {
    /// Kind of a safety event that the device noticed.
    pub enum EventKind {
        /// Faster than the limit of the road.
        Speeding => "speeding",
        /// Deceleration beyond the threshold.
        HarshBraking => "harsh_braking",
        /// Acceleration beyond the threshold.
        HarshAcceleration => "harsh_acceleration",
        /// Lateral acceleration beyond the threshold.
        HarshCornering => "harsh_cornering",
    }
}

/// Safety events by kind: of one trip as they stand here, of many as [`EventCounts64`], which is what answers show.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EventCounts<N = i32> {
    /// Number of [`EventKind::Speeding`].
    #[schema(value_type = i64)]
    pub speeding: N,
    /// Number of [`EventKind::HarshBraking`].
    #[schema(value_type = i64)]
    pub harsh_braking: N,
    /// Number of [`EventKind::HarshAcceleration`].
    #[schema(value_type = i64)]
    pub harsh_acceleration: N,
    /// Number of [`EventKind::HarshCornering`].
    #[schema(value_type = i64)]
    pub harsh_cornering: N,
}

/// Events over many trips by kind.
pub type EventCounts64 = EventCounts<i64>;

impl<N: Copy + Into<i64>> EventCounts<N> {
    /// The counts with their kinds.
    pub const fn by_kind(&self) -> [(EventKind, N); 4] {
        [
            (EventKind::Speeding, self.speeding),
            (EventKind::HarshBraking, self.harsh_braking),
            (EventKind::HarshAcceleration, self.harsh_acceleration),
            (EventKind::HarshCornering, self.harsh_cornering),
        ]
    }

    /// The count of one kind, to be added to.
    pub const fn of_mut(&mut self, kind: EventKind) -> &mut N {
        match kind {
            EventKind::Speeding => &mut self.speeding,
            EventKind::HarshBraking => &mut self.harsh_braking,
            EventKind::HarshAcceleration => &mut self.harsh_acceleration,
            EventKind::HarshCornering => &mut self.harsh_cornering,
        }
    }

    /// Events of all kinds.
    pub fn total(&self) -> i64 {
        self.by_kind().into_iter().map(|(_, count)| count.into()).sum()
    }
}

impl EventCounts64 {
    /// Adds the events of one trip.
    pub fn add(&mut self, events: &EventCounts) {
        for (kind, count) in events.by_kind() {
            *self.of_mut(kind) += i64::from(count);
        }
    }
}

/// A trip as the device reports it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewTrip {
    /// When it began.
    pub started_at: DateTime<Utc>,
    /// How long it took, in seconds.
    pub duration_s: i32,
    /// How far it went, in metres.
    pub distance_m: i32,
    /// Share of the distance that was driven at night, in percent.
    pub night_share_pct: i16,
    /// Safety events on it.
    pub events: EventCounts,
}

/// Why a trip is not taken. Each names the field, what was found and what is allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TripError {
    /// `duration_s` out of range.
    #[error("duration_s is {0}, but must be from 1 to {DURATION_MAX_S} (24 h)")]
    Duration(i32),
    /// `distance_m` not positive.
    #[error("distance_m is {0}, but must be at least 1")]
    Distance(i32),
    /// Mean speed beyond [`SPEED_MAX_M_PER_S`].
    #[error("{distance_m} m in {duration_s} s is faster than {SPEED_MAX_M_PER_S} m/s: check distance_m and duration_s")]
    Speed {
        /// Metres as given.
        distance_m: i32,
        /// Seconds as given.
        duration_s: i32,
    },
    /// `night_share_pct` is no percentage.
    #[error("night_share_pct is {0}, but must be from 0 to 100")]
    NightShare(i16),
    /// A count of events out of range.
    #[error("events.{kind} is {count}, but must be from 0 to {EVENTS_MAX}")]
    Events {
        /// Kind of the events.
        kind: EventKind,
        /// Number as given.
        count: i32,
    },
    /// `started_at` before 2000.
    #[error("started_at is {0}, but must not be before 2000-01-01T00:00:00Z")]
    TooEarly(DateTime<Utc>),
    /// `started_at` in the future.
    #[error("started_at is {0}, which is in the future: check the clock of the device")]
    InFuture(DateTime<Utc>),
}

impl NewTrip {
    /// Checks what can be checked without a clock: ranges, and that the speed is one of a car.
    pub fn validate(&self) -> Result<(), TripError> {
        self.validate_course()?;
        self.validate_telemetry()?;
        if self.started_at.timestamp() < STARTED_AT_MIN_UNIX_S {
            return Err(TripError::TooEarly(self.started_at));
        }
        Ok(())
    }

    /// [`validate`](Self::validate), and that the trip has begun by `now` (give or take [`CLOCK_SKEW_MAX`]).
    pub fn validate_at(&self, now: DateTime<Utc>) -> Result<(), TripError> {
        self.validate()?;
        if self.started_at > now + CLOCK_SKEW_MAX {
            return Err(TripError::InFuture(self.started_at));
        }
        Ok(())
    }

    fn validate_course(&self) -> Result<(), TripError> {
        let Self {
            duration_s, distance_m, ..
        } = *self;
        if !(1..=DURATION_MAX_S).contains(&duration_s) {
            return Err(TripError::Duration(duration_s));
        }
        if distance_m < 1 {
            return Err(TripError::Distance(distance_m));
        }
        if i64::from(distance_m) > i64::from(duration_s) * i64::from(SPEED_MAX_M_PER_S) {
            return Err(TripError::Speed { distance_m, duration_s });
        }
        Ok(())
    }

    fn validate_telemetry(&self) -> Result<(), TripError> {
        if !(0..=100).contains(&self.night_share_pct) {
            return Err(TripError::NightShare(self.night_share_pct));
        }
        match self
            .events
            .by_kind()
            .into_iter()
            .find(|(_, count)| !(0..=EVENTS_MAX).contains(count))
        {
            Some((kind, count)) => Err(TripError::Events { kind, count }),
            None => Ok(()),
        }
    }

    /// Metres driven at night, rounded down per trip: the same integer division as in SQL.
    pub fn night_distance_m(&self) -> i64 {
        i64::from(self.distance_m) * i64::from(self.night_share_pct) / 100
    }

    /// The events one by one, each kind spread evenly over the trip: the device reports counts, not moments.
    pub fn event_times(&self) -> impl Iterator<Item = (EventKind, DateTime<Utc>)> + '_ {
        self.events.by_kind().into_iter().flat_map(move |(kind, count)| {
            (1..=count).map(move |nth| {
                let offset_ms = i64::from(self.duration_s) * 1_000 * i64::from(nth) / i64::from(count + 1);
                (kind, self.started_at + TimeDelta::milliseconds(offset_ms))
            })
        })
    }
}

/// The event that tells the rest of the system that a trip has been recorded; what stands in the outbox.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TripRecorded {
    /// Driver who made the trip.
    pub driver_id: DriverId,
    /// Name of the trip.
    pub trip_id: TripId,
    /// The driver's version that recording it made.
    pub version: i64,
    /// The trip itself.
    #[serde(flatten)]
    pub trip: NewTrip,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trip() -> NewTrip {
        NewTrip {
            started_at: "2026-03-01T08:00:00Z".parse().unwrap(),
            duration_s: 1_200,
            distance_m: 14_999,
            night_share_pct: 33,
            events: EventCounts {
                speeding: 2,
                harsh_braking: 1,
                ..EventCounts::default()
            },
        }
    }

    #[test]
    fn a_plausible_trip_is_taken() {
        assert_eq!(trip().validate(), Ok(()));
    }

    #[test]
    fn each_fault_is_named() {
        let at_2000 = DateTime::from_timestamp(STARTED_AT_MIN_UNIX_S, 0).unwrap();
        assert_eq!(at_2000.to_rfc3339(), "2000-01-01T00:00:00+00:00");
        let early = at_2000 - TimeDelta::seconds(1);
        let cases = [
            (
                NewTrip {
                    duration_s: 0,
                    ..trip()
                },
                TripError::Duration(0),
            ),
            (
                NewTrip {
                    duration_s: DURATION_MAX_S + 1,
                    ..trip()
                },
                TripError::Duration(DURATION_MAX_S + 1),
            ),
            (
                NewTrip {
                    distance_m: 0,
                    ..trip()
                },
                TripError::Distance(0),
            ),
            (
                NewTrip {
                    duration_s: 10,
                    ..trip()
                },
                TripError::Speed {
                    distance_m: 14_999,
                    duration_s: 10,
                },
            ),
            (
                NewTrip {
                    night_share_pct: 101,
                    ..trip()
                },
                TripError::NightShare(101),
            ),
            (
                NewTrip {
                    night_share_pct: -1,
                    ..trip()
                },
                TripError::NightShare(-1),
            ),
            (
                NewTrip {
                    started_at: early,
                    ..trip()
                },
                TripError::TooEarly(early),
            ),
        ];
        for (trip, error) in cases {
            assert_eq!(trip.validate(), Err(error));
        }
    }

    #[test]
    fn counts_out_of_range_name_their_kind() {
        for (kind, count) in [(EventKind::HarshCornering, -1), (EventKind::Speeding, EVENTS_MAX + 1)] {
            let mut faulty = trip();
            *faulty.events.of_mut(kind) = count;
            assert_eq!(faulty.validate(), Err(TripError::Events { kind, count }));
        }
    }

    #[test]
    fn a_trip_from_the_future_is_refused_beyond_the_skew() {
        let start = trip().started_at;
        assert_eq!(trip().validate_at(start - CLOCK_SKEW_MAX), Ok(()));
        let earlier = start - CLOCK_SKEW_MAX - TimeDelta::seconds(1);
        assert_eq!(trip().validate_at(earlier), Err(TripError::InFuture(start)));
    }

    #[test]
    fn night_distance_rounds_down() {
        assert_eq!(trip().night_distance_m(), 4_949);
    }

    #[test]
    fn events_lie_within_the_trip() {
        let trip = trip();
        let times: Vec<_> = trip.event_times().collect();
        assert_eq!(times.len(), 3);
        assert_eq!(
            times[0],
            (EventKind::Speeding, trip.started_at + TimeDelta::seconds(400))
        );
        assert_eq!(
            times[2],
            (EventKind::HarshBraking, trip.started_at + TimeDelta::seconds(600))
        );
    }
}
