//! What the reads answer, as it is serialised: one type per answer, the same for both stores.
//!
//! Amounts are in cents, distances in metres, moments in UTC. `Deserialize` is there because the tuned store has
//! Postgres assemble the nested rows as JSON in one statement.

use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Serialize};
use sqlx::FromRow;

use crate::domain::claims::ClaimStatus;
use crate::domain::drivers::DriverStatus;
use crate::domain::ids::{DriverId, TripId};
use crate::domain::money::Cents;
use crate::domain::policies::Coverage;
use crate::domain::risk::{Exposure, RiskBand, RiskScore, round_to_hundredths};
use crate::domain::trips::EventKind;

/// Days that "recent" means on the dashboard: `as_of` and the days before it.
pub const RECENT_DAYS: u32 = 30;

/// The portfolio in figures.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DashboardSummary {
    /// The day that counts as today (UTC).
    pub as_of: NaiveDate,
    /// Drivers of any status.
    pub drivers: i64,
    /// Drivers whose status is active.
    pub active_drivers: i64,
    /// Trips on record.
    pub trips: i64,
    /// Metres driven on them.
    pub distance_m: i64,
    /// Trips that began in the last [`RECENT_DAYS`] days.
    pub trips_last_30_days: i64,
    /// Metres driven on those.
    pub distance_m_last_30_days: i64,
    /// Safety events on record.
    pub safety_events: i64,
    /// Mean risk points of the drivers that have a score, to two decimals; `None` if nobody has.
    pub average_risk_points: Option<f64>,
    /// Drivers per risk band.
    pub risk_bands: BandCounts,
    /// Claims not yet settled.
    pub open_claims: i64,
    /// Paid and outstanding amounts of all claims that were not rejected.
    pub incurred_cents: Cents,
}

/// Mean of scores whose sum is given in hundredths of a point.
pub(super) fn average_points(points_x100: i64, scored_drivers: i64) -> Option<f64> {
    (scored_drivers > 0).then(|| round_to_hundredths(points_x100 as f64 / 100.0 / scored_drivers as f64))
}

/// Drivers per [`RiskBand`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct BandCounts {
    /// In [`RiskBand::Low`].
    pub low: i64,
    /// In [`RiskBand::Moderate`].
    pub moderate: i64,
    /// In [`RiskBand::High`].
    pub high: i64,
    /// In [`RiskBand::Severe`].
    pub severe: i64,
}

/// All about one driver.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DriverDetails {
    /// Who it is.
    pub driver: Driver,
    /// The current score.
    pub risk: RiskScore,
    /// What they drive, by number.
    pub vehicles: Vec<Vehicle>,
    /// Their last ten trips, newest first.
    pub recent_trips: Vec<Trip>,
    /// Their claims, newest first.
    pub claims: Vec<Claim>,
}

/// A driver's own data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, FromRow)]
pub struct Driver {
    /// Number.
    #[sqlx(try_from = "i64")]
    pub id: DriverId,
    /// Given and family name.
    pub name: String,
    /// Address for mail.
    pub email: String,
    /// Number of the driving licence.
    pub licence: String,
    /// Day of birth.
    pub born_on: NaiveDate,
    /// First day of the contract.
    pub joined_on: NaiveDate,
    /// Where the contract stands.
    #[sqlx(try_from = "String")]
    pub status: DriverStatus,
}

/// A vehicle with its cover.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, FromRow)]
pub struct Vehicle {
    /// Number.
    pub id: i64,
    /// Registration plate.
    pub plate: String,
    /// Who built it.
    pub make: String,
    /// What it is called.
    pub model: String,
    /// Year of the model.
    pub model_year: i32,
    /// The policy in force, if there is one.
    #[sqlx(skip)]
    pub policy: Option<Policy>,
}

/// Cover of a vehicle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, FromRow)]
pub struct Policy {
    /// Number.
    pub id: i64,
    /// What is covered.
    #[sqlx(try_from = "String")]
    pub coverage: Coverage,
    /// Premium for a year.
    #[sqlx(try_from = "i64")]
    pub annual_premium_cents: Cents,
    /// Class for years without a claim, 0 to 10; more is cheaper.
    pub no_claims_class: i32,
    /// First day of cover.
    pub starts_on: NaiveDate,
    /// Last day of cover.
    pub ends_on: NaiveDate,
}

/// A trip with what was noticed on it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, FromRow)]
pub struct Trip {
    /// Name.
    #[sqlx(try_from = "uuid::Uuid")]
    pub id: TripId,
    /// When it began.
    pub started_at: DateTime<Utc>,
    /// Seconds it took.
    pub duration_s: i32,
    /// Metres it went.
    pub distance_m: i32,
    /// Percent of the distance driven at night.
    pub night_share_pct: i16,
    /// What was noticed, in order of time.
    #[sqlx(skip)]
    pub events: Vec<SafetyEvent>,
}

/// Something noticed on a trip.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, FromRow)]
pub struct SafetyEvent {
    /// What.
    #[sqlx(try_from = "String")]
    pub kind: EventKind,
    /// 1 (slight) to 3 (grave).
    pub severity: i16,
    /// When.
    pub occurred_at: DateTime<Utc>,
}

/// A claim.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, FromRow)]
pub struct Claim {
    /// Number.
    pub id: i64,
    /// Reserve while open, payment once paid.
    #[sqlx(try_from = "i64")]
    pub amount_cents: Cents,
    /// Where it stands.
    #[sqlx(try_from = "String")]
    pub status: ClaimStatus,
    /// Day of the damage.
    pub occurred_on: NaiveDate,
}

/// A driver's score and what it was computed from.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CurrentRisk {
    /// Whose.
    pub driver_id: DriverId,
    /// 0 (best) to 100 (worst).
    pub points: f64,
    /// Class of the points.
    pub band: RiskBand,
    /// Safety events of all kinds per 100 km.
    pub events_per_100km: f64,
    /// What was driven and what happened.
    pub exposure: Exposure,
}

impl CurrentRisk {
    /// The answer for a score and its exposure.
    pub fn new(driver_id: DriverId, score: RiskScore, exposure: Exposure) -> Self {
        Self {
            driver_id,
            points: score.points,
            band: score.band,
            events_per_100km: exposure.events_per_100km(),
            exposure,
        }
    }
}
