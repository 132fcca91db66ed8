//! What happens to the portfolio and is told to the rest of the system. How events travel is the business of the events
//! room, how they are written that of the codec room.

use chrono::NaiveDate;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::claims::ClaimChanged;
use super::drivers::DriverUpdated;
use super::ids::{ClaimId, DriverId, TripId};
use super::money::Cents;
use super::regions::Region;
use super::risk::RiskScore;
use super::trips::{EventKind, SEVERITY_UNKNOWN, TripRecorded};

text_enum! {
    /// Kind of an event.
    pub enum EventName {
        /// A trip was recorded.
        TripRecorded => "trip_recorded",
        /// The device noticed something on a trip.
        SafetyEvent => "safety_event",
        /// A driver's score is another one.
        RiskChanged => "risk_changed",
        /// A claim was reported.
        ClaimFiled => "claim_filed",
        /// A claim has changed.
        ClaimChanged => "claim_changed",
        /// A driver's own data have changed.
        DriverUpdated => "driver_updated",
    }
}

impl EventName {
    /// Whether the driver has to be scored anew after it.
    pub const fn changes_exposure(self) -> bool {
        matches!(self, Self::TripRecorded | Self::ClaimFiled | Self::ClaimChanged)
    }
}

/// Name of an event, a UUID of version 7, which holds the time: by it an event that comes twice is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EventId(pub Uuid);

impl EventId {
    /// The name of an event that happens now.
    pub fn of_now() -> Self {
        Self(Uuid::now_v7())
    }

    /// When the event happened, in milliseconds since 1970; `None` when the name does not tell.
    pub fn unix_ms(self) -> Option<i64> {
        let (seconds, nanos) = self.0.get_timestamp()?.to_unix();
        i64::try_from(seconds * 1_000 + u64::from(nanos) / 1_000_000).ok()
    }
}

/// The event that tells that the device noticed something on a trip, once for each kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SafetyEvent {
    /// Driver of the trip.
    pub driver_id: DriverId,
    /// The trip.
    pub trip_id: TripId,
    /// The driver's version that the trip made.
    pub version: i64,
    /// Kind of what was noticed.
    pub noticed: EventKind,
    /// How often on the trip.
    pub count: i32,
    /// Severity from 1 to 3.
    pub severity: i16,
}

/// The event that tells that a driver's score is another one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RiskChanged {
    /// Driver who was scored.
    pub driver_id: DriverId,
    /// The driver's version that the score made.
    pub version: i64,
    /// The score from now on.
    pub score: RiskScore,
    /// The score until now; `None` for a driver who had none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<RiskScore>,
}

/// The event that tells that a claim was reported.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClaimFiled {
    /// Driver who has the claim.
    pub driver_id: DriverId,
    /// Number of the claim.
    pub claim_id: ClaimId,
    /// The driver's version that the claim made.
    pub version: i64,
    /// Estimated cost of the damage.
    pub amount_cents: Cents,
    /// Day of the damage.
    pub occurred_on: NaiveDate,
}

/// The details of an event, by its kind.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum EventBody {
    /// A trip was recorded.
    TripRecorded(TripRecorded),
    /// The device noticed something on a trip.
    SafetyEvent(SafetyEvent),
    /// A driver's score is another one.
    RiskChanged(RiskChanged),
    /// A claim was reported.
    ClaimFiled(ClaimFiled),
    /// A claim has changed.
    ClaimChanged(ClaimChanged),
    /// A driver's own data have changed.
    DriverUpdated(DriverUpdated),
}

impl EventBody {
    /// Kind of the event.
    pub const fn name(&self) -> EventName {
        match self {
            Self::TripRecorded(_) => EventName::TripRecorded,
            Self::SafetyEvent(_) => EventName::SafetyEvent,
            Self::RiskChanged(_) => EventName::RiskChanged,
            Self::ClaimFiled(_) => EventName::ClaimFiled,
            Self::ClaimChanged(_) => EventName::ClaimChanged,
            Self::DriverUpdated(_) => EventName::DriverUpdated,
        }
    }

    /// Driver whom it is about.
    pub const fn driver(&self) -> DriverId {
        match self {
            Self::TripRecorded(body) => body.driver_id,
            Self::SafetyEvent(body) => body.driver_id,
            Self::RiskChanged(body) => body.driver_id,
            Self::ClaimFiled(body) => body.driver_id,
            Self::ClaimChanged(body) => body.driver_id,
            Self::DriverUpdated(body) => body.driver_id,
        }
    }
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// Name of the event.
    pub id: EventId,
    /// Region of the driver.
    pub region: Region,
    /// The details.
    pub body: EventBody,
}

impl Event {
    /// Something that happens now.
    pub fn of_now(body: EventBody) -> Self {
        Self {
            id: EventId::of_now(),
            region: Region::of(body.driver()),
            body,
        }
    }

    /// A recorded trip: the trip itself, then what was noticed on it, each kind once.
    pub fn of_trip(recorded: &TripRecorded) -> Vec<Self> {
        let counts = recorded.trip.events.by_kind().into_iter();
        let noticed = counts.filter(|(_, count)| *count > 0).map(|(noticed, count)| {
            EventBody::SafetyEvent(SafetyEvent {
                driver_id: recorded.driver_id,
                trip_id: recorded.trip_id,
                version: recorded.version,
                noticed,
                count,
                severity: SEVERITY_UNKNOWN,
            })
        });
        let trip = EventBody::TripRecorded(recorded.clone());
        std::iter::once(trip).chain(noticed).map(Self::of_now).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_an_event_tells_when_it_happened() {
        let before_ms = chrono::Utc::now().timestamp_millis();
        let named_ms = EventId::of_now().unix_ms().expect("a time");
        let after_ms = chrono::Utc::now().timestamp_millis();
        assert!(
            (before_ms..=after_ms).contains(&named_ms),
            "{before_ms} {named_ms} {after_ms}"
        );
        assert_eq!(EventId(Uuid::from_bytes([7; 16])).unix_ms(), None);
    }
}
