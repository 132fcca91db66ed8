//! Answers of the reads, as they are serialised: one type per answer, used by both stores.
//!
//! Amounts are in cents, distances in metres, moments in UTC. `Deserialize` is there because the tuned store has
//! Postgres assemble the nested rows as JSON in one statement.

use chrono::{DateTime, Days, NaiveDate, Utc};
use serde::{Deserialize, Serialize};
use sqlx::FromRow;
use utoipa::ToSchema;

use crate::domain::claims::ClaimStatus;
use crate::domain::drivers::DriverStatus;
use crate::domain::ids::{ClaimId, DriverId, TripId};
use crate::domain::money::Cents;
use crate::domain::policies::Coverage;
use crate::domain::rating::{self, Rating};
use crate::domain::risk::{Exposure, RiskBand, RiskScore, round_to_hundredths};
use crate::domain::trips::{EventCounts64, EventKind};
use crate::domain::vehicles;
use crate::store::page::TripKey;

/// Days that "recent" means on the dashboard: `as_of` and the days before it.
pub const RECENT_DAYS: u32 = 30;

/// The portfolio in figures.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, FromRow, ToSchema)]
pub struct DashboardSummary {
    /// The day that counts as today (UTC).
    #[sqlx(skip)]
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
    #[sqlx(skip)]
    pub average_risk_points: Option<f64>,
    /// Drivers per risk band.
    #[sqlx(flatten)]
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
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, FromRow, ToSchema)]
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

impl BandCounts {
    /// The count of one band, to be changed.
    pub(crate) const fn of_mut(&mut self, band: RiskBand) -> &mut i64 {
        match band {
            RiskBand::Low => &mut self.low,
            RiskBand::Moderate => &mut self.moderate,
            RiskBand::High => &mut self.high,
            RiskBand::Severe => &mut self.severe,
        }
    }
}

/// A driver with vehicles, recent trips and claims.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct DriverDetails {
    /// The driver's own data.
    pub driver: Driver,
    /// The current score.
    pub risk: RiskScore,
    /// Their vehicles, by number.
    pub vehicles: Vec<Vehicle>,
    /// Their last ten trips, newest first.
    pub recent_trips: Vec<Trip>,
    /// Their claims, newest first, at most 100.
    pub claims: Vec<Claim>,
}

/// A driver's own data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, FromRow, ToSchema)]
pub struct Driver {
    /// Number.
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
    /// Status of the contract.
    pub status: DriverStatus,
}

/// A vehicle with its cover.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, FromRow, ToSchema)]
pub struct Vehicle {
    /// Number.
    pub id: i64,
    /// Registration plate.
    pub plate: String,
    /// Manufacturer.
    pub make: String,
    /// Name of the model.
    pub model: String,
    /// Year of the model.
    pub model_year: i32,
    /// The policy in force, if there is one.
    #[sqlx(skip)]
    pub policy: Option<Policy>,
}

/// Cover of a vehicle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, FromRow, ToSchema)]
pub struct Policy {
    /// Number.
    pub id: i64,
    /// Extent of cover.
    pub coverage: Coverage,
    /// Premium for a year.
    pub annual_premium_cents: Cents,
    /// Class for years without a claim, 0 to 10; more is cheaper.
    pub no_claims_class: i32,
    /// First day of cover.
    pub starts_on: NaiveDate,
    /// Last day of cover.
    pub ends_on: NaiveDate,
}

/// A trip with what was noticed on it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, FromRow, ToSchema)]
pub struct Trip {
    /// Name.
    pub id: TripId,
    /// Moment at which it began.
    pub started_at: DateTime<Utc>,
    /// Seconds it took.
    pub duration_s: i32,
    /// Metres it went.
    pub distance_m: i32,
    /// Percent of the distance driven at night.
    pub night_share_pct: i16,
    /// Safety events on it, in order of time.
    #[sqlx(skip)]
    pub events: Vec<SafetyEvent>,
}

impl Trip {
    /// The trip's place among its driver's.
    pub fn key(&self) -> TripKey {
        TripKey {
            started_at: self.started_at,
            id: self.id,
        }
    }
}

/// Something noticed on a trip.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, FromRow, ToSchema)]
pub struct SafetyEvent {
    /// Kind of the event.
    pub kind: EventKind,
    /// 1 (slight) to 3 (grave).
    pub severity: i16,
    /// Moment of the event.
    pub occurred_at: DateTime<Utc>,
}

/// A claim.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, FromRow, ToSchema)]
pub struct Claim {
    /// Number.
    pub id: ClaimId,
    /// Reserve while open, payment once paid.
    pub amount_cents: Cents,
    /// Status of the claim.
    pub status: ClaimStatus,
    /// Day of the damage.
    pub occurred_on: NaiveDate,
}

/// A driver's score and what it was computed from.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct CurrentRisk {
    /// Number of the driver.
    pub driver_id: DriverId,
    /// 0 (best) to 100 (worst).
    pub points: f64,
    /// Class of the points.
    pub band: RiskBand,
    /// Safety events of all kinds per 100 km.
    pub events_per_100km: f64,
    /// The record behind the score.
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

/// Trips of the last [`RECENT_DAYS`] days, day by day.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TripActivity {
    /// The day that counts as today (UTC).
    pub as_of: NaiveDate,
    /// Trips of all days.
    pub trips: i64,
    /// Metres driven on them.
    pub distance_m: i64,
    /// Every day of the period, oldest first.
    pub days: Vec<DayActivity>,
}

/// Trips that began on one day (UTC).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, FromRow, ToSchema)]
pub struct DayActivity {
    /// The day.
    pub day: NaiveDate,
    /// Number of trips.
    pub trips: i64,
    /// Metres driven on them.
    pub distance_m: i64,
}

impl TripActivity {
    /// The answer out of the days on which there were trips, in any order.
    pub(super) fn new(as_of: NaiveDate, driven: &[DayActivity]) -> Self {
        let idle = |day| DayActivity {
            day,
            ..DayActivity::default()
        };
        let on = |day| driven.iter().find(|driven| driven.day == day).copied();
        let days: Vec<_> = recent_days(as_of)
            .map(|day| on(day).unwrap_or_else(|| idle(day)))
            .collect();
        Self {
            as_of,
            trips: days.iter().map(|day| day.trips).sum(),
            distance_m: days.iter().map(|day| day.distance_m).sum(),
            days,
        }
    }
}

/// The first of the last [`RECENT_DAYS`] days.
pub(super) fn first_recent_day(as_of: NaiveDate) -> NaiveDate {
    as_of - Days::new(u64::from(RECENT_DAYS) - 1)
}

fn recent_days(as_of: NaiveDate) -> impl Iterator<Item = NaiveDate> {
    first_recent_day(as_of).iter_days().take(RECENT_DAYS as usize)
}

/// How the drivers are spread over the risk bands.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct RiskDistribution {
    /// Drivers that have a score.
    pub scored_drivers: i64,
    /// Their mean points, to two decimals; `None` if nobody has a score.
    pub average_risk_points: Option<f64>,
    /// Every band, from best to worst.
    pub bands: Vec<BandShare>,
}

/// The drivers of one band.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, ToSchema)]
pub struct BandShare {
    /// The band.
    pub band: RiskBand,
    /// Number of drivers.
    pub drivers: i64,
    /// Percent of the drivers that have a score, to two decimals.
    pub share_pct: f64,
}

impl RiskDistribution {
    /// The answer out of the sum of all points, in hundredths, and the drivers of each band.
    pub(super) fn new(points_x100: i64, mut drivers: BandCounts) -> Self {
        let scored_drivers = drivers.low + drivers.moderate + drivers.high + drivers.severe;
        let share = |band: &RiskBand| BandShare {
            band: *band,
            drivers: *drivers.of_mut(*band),
            share_pct: percent(*drivers.of_mut(*band), scored_drivers),
        };
        Self {
            scored_drivers,
            average_risk_points: average_points(points_x100, scored_drivers),
            bands: RiskBand::ALL.iter().map(share).collect(),
        }
    }
}

/// `part` of `whole` in percent, to two decimals; 0 of nothing.
fn percent(part: i64, whole: i64) -> f64 {
    if whole == 0 {
        return 0.0;
    }
    round_to_hundredths(part as f64 * 100.0 / whole as f64)
}

/// Safety events on the trips of the last [`RECENT_DAYS`] days, by kind.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SafetyEvents {
    /// The day that counts as today (UTC).
    pub as_of: NaiveDate,
    /// Metres driven on those trips.
    pub distance_m: i64,
    /// Events of all kinds.
    pub events: i64,
    /// Events of all kinds per 100 km, to two decimals.
    pub events_per_100km: f64,
    /// Every kind.
    pub kinds: Vec<KindCount>,
}

/// Events of one kind.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct KindCount {
    /// The kind.
    pub kind: EventKind,
    /// Number of events.
    pub events: i64,
    /// Percent of the events of all kinds, to two decimals.
    pub share_pct: f64,
}

impl SafetyEvents {
    /// The answer out of what was driven and what was noticed.
    pub(super) fn new(as_of: NaiveDate, distance_m: i64, mut counts: EventCounts64) -> Self {
        let events = counts.total();
        let share = |kind: &EventKind| KindCount {
            kind: *kind,
            events: *counts.of_mut(*kind),
            share_pct: percent(*counts.of_mut(*kind), events),
        };
        let kinds = EventKind::ALL.iter().map(share).collect();
        let driven = Exposure {
            distance_m,
            events: counts,
            ..Exposure::default()
        };
        Self {
            as_of,
            distance_m,
            events,
            events_per_100km: driven.events_per_100km(),
            kinds,
        }
    }
}

/// All claims on record, by where they stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub struct ClaimsOverview {
    /// Claims of any status.
    pub claims: i64,
    /// Paid and outstanding amounts.
    pub incurred_cents: Cents,
    /// Not yet settled; amounts are reserves.
    pub open: ClaimTotals,
    /// Settled.
    pub paid: ClaimTotals,
    /// Refused; amounts are what was asked for.
    pub rejected: ClaimTotals,
}

/// Claims of one status.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, FromRow, ToSchema)]
pub struct ClaimTotals {
    /// Number of claims.
    pub claims: i64,
    /// Their amounts together.
    pub amount_cents: Cents,
}

impl ClaimsOverview {
    /// The answer out of the totals of each status.
    pub(super) fn new(open: ClaimTotals, paid: ClaimTotals, rejected: ClaimTotals) -> Self {
        Self {
            claims: open.claims + paid.claims + rejected.claims,
            incurred_cents: open.amount_cents + paid.amount_cents,
            open,
            paid,
            rejected,
        }
    }
}

/// Rows of everything, counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, FromRow, ToSchema)]
pub struct ResourceMetrics {
    /// Drivers of any status.
    pub drivers: i64,
    /// Vehicles.
    pub vehicles: i64,
    /// Policies.
    pub policies: i64,
    /// Trips on record.
    pub trips: i64,
    /// Safety events on record.
    pub safety_events: i64,
    /// Claims of any status.
    pub claims: i64,
}

/// A driver as the list shows one.
#[derive(Debug, Clone, PartialEq, Serialize, FromRow, ToSchema)]
pub struct DriverListItem {
    /// Number.
    pub id: DriverId,
    /// Given and family name.
    pub name: String,
    /// Status of the contract.
    pub status: DriverStatus,
    /// First day of the contract.
    pub joined_on: NaiveDate,
    /// The score as last computed; `None` before the first.
    pub risk: Option<RiskScore>,
    /// The vehicle with the lowest number, if there is one.
    #[sqlx(json(nullable))]
    pub vehicle: Option<VehicleName>,
    /// When the last trip began.
    pub last_trip_at: Option<DateTime<Utc>>,
}

/// Make, model and year of a vehicle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, FromRow, ToSchema)]
pub struct VehicleName {
    /// Manufacturer.
    pub make: String,
    /// Name of the model.
    pub model: String,
    /// Year of the model.
    pub model_year: i32,
}

/// The price of a driver's cover for a year at the current score.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Premium {
    /// Number of the driver.
    pub driver_id: DriverId,
    /// For all vehicles, in cents.
    pub annual_premium_cents: Cents,
    /// The score that it follows from.
    pub risk: RiskScore,
    /// Each vehicle that has a policy, by number.
    pub vehicles: Vec<VehiclePremium>,
}

/// The price of one vehicle's cover for a year.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct VehiclePremium {
    /// Number of the vehicle.
    pub vehicle_id: i64,
    /// Number of its policy.
    pub policy_id: i64,
    /// Extent of cover.
    pub coverage: Coverage,
    /// Class for years without a claim, 0 to 10; more is cheaper.
    pub no_claims_class: i32,
    /// Price of the policy in force.
    pub policy_premium_cents: Cents,
    /// Price that it would have today, and its reasons.
    #[serde(flatten)]
    pub rating: Rating,
}

impl Premium {
    /// Rates the vehicles of a driver.
    pub(super) fn new(driver_id: DriverId, born_on: NaiveDate, risk: RiskScore, vehicles: &[Vehicle]) -> Self {
        let vehicles: Vec<_> = vehicles
            .iter()
            .filter_map(|vehicle| {
                let policy = vehicle.policy.as_ref()?;
                Some(VehiclePremium::new(vehicle, policy, born_on, risk))
            })
            .collect();
        Self {
            driver_id,
            annual_premium_cents: vehicles.iter().map(|vehicle| vehicle.rating.annual_premium_cents).sum(),
            risk,
            vehicles,
        }
    }
}

impl VehiclePremium {
    fn new(vehicle: &Vehicle, policy: &Policy, born_on: NaiveDate, score: RiskScore) -> Self {
        let first_day = policy.starts_on;
        let risk = rating::Risk {
            driver_age_years: first_day.years_since(born_on).unwrap_or(0),
            vehicle_age_years: vehicles::age_years(vehicle.model_year, first_day),
            score,
            coverage: policy.coverage,
            no_claims_class: policy.no_claims_class,
        };
        Self {
            vehicle_id: vehicle.id,
            policy_id: policy.id,
            coverage: policy.coverage,
            no_claims_class: policy.no_claims_class,
            policy_premium_cents: policy.annual_premium_cents,
            rating: rating::rate(&risk),
        }
    }
}

/// Months that a driver's statistics show.
pub const STATISTICS_MONTHS: u8 = 12;

/// A driver's trips and safety events in figures.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct DriverStatistics {
    /// Number of the driver.
    pub driver_id: DriverId,
    /// Trips on record.
    pub trips: i64,
    /// Metres driven on them.
    pub distance_m: i64,
    /// Percent of the distance that was driven at night, to two decimals.
    pub night_share_pct: f64,
    /// Safety events on the trips.
    pub events: EventCounts64,
    /// Safety events of all kinds per 100 km, to two decimals.
    pub events_per_100km: f64,
    /// The last months with trips, at most [`STATISTICS_MONTHS`], newest first.
    pub months: Vec<MonthActivity>,
}

/// A driver's trips that began in one month (UTC).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MonthActivity {
    /// The first day of the month.
    pub month: NaiveDate,
    /// Number of trips.
    pub trips: i64,
    /// Metres driven on them.
    pub distance_m: i64,
    /// Seconds they took.
    pub duration_s: i64,
}

impl DriverStatistics {
    /// The answer out of what was driven (claims play no part) and the months, newest first.
    pub(super) fn new(driver_id: DriverId, driven: &Exposure, months: Vec<MonthActivity>) -> Self {
        Self {
            driver_id,
            trips: driven.trips,
            distance_m: driven.distance_m,
            night_share_pct: percent(driven.night_distance_m, driven.distance_m),
            events: driven.events,
            events_per_100km: driven.events_per_100km(),
            months,
        }
    }
}

/// A claim with whose it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ClaimOfDriver {
    /// Number of the driver.
    pub driver_id: DriverId,
    /// The claim.
    #[serde(flatten)]
    pub claim: Claim,
}
