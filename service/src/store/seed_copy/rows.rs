//! The rows of each table and their columns. Numbers that are left out are given by the database, in order of the rows.

use chrono::{DateTime, NaiveDate, Utc};
use uuid::Uuid;

use super::encode::{CopyRow, Fields};
use crate::domain::claims::ClaimStatus;
use crate::domain::ids::{DriverId, UserRole};
use crate::domain::policies::Coverage;
use crate::domain::risk::{Exposure, RiskScore};
use crate::domain::trips::EventKind;
use crate::store::views::{BandCounts, Driver};

/// A driver of version 1.
#[derive(Debug)]
pub(crate) struct DriverRow(pub(crate) Driver);

impl CopyRow for DriverRow {
    const COPY: &'static str = "COPY drivers (id, name, email, licence, born_on, joined_on, status)
                                FROM STDIN WITH (FORMAT binary, FREEZE)";
    const DOING: &'static str = "load drivers";
    const COLUMNS: i16 = 7;

    fn encode(&self, fields: &mut Fields<'_>) {
        fields.bigint(self.0.id.0);
        fields.text(&self.0.name);
        fields.text(&self.0.email);
        fields.text(&self.0.licence);
        fields.date(self.0.born_on);
        fields.date(self.0.joined_on);
        fields.text(self.0.status.as_str());
    }
}

#[derive(Debug)]
pub(crate) struct VehicleRow {
    pub(crate) id: i64,
    pub(crate) driver_id: DriverId,
    pub(crate) plate: String,
    pub(crate) make: &'static str,
    pub(crate) model: &'static str,
    pub(crate) model_year: i32,
}

impl CopyRow for VehicleRow {
    const COPY: &'static str = "COPY vehicles (id, driver_id, plate, make, model, model_year)
                                FROM STDIN WITH (FORMAT binary, FREEZE)";
    const DOING: &'static str = "load vehicles";
    const COLUMNS: i16 = 6;

    fn encode(&self, fields: &mut Fields<'_>) {
        fields.bigint(self.id);
        fields.bigint(self.driver_id.0);
        fields.text(&self.plate);
        fields.text(self.make);
        fields.text(self.model);
        fields.integer(self.model_year);
    }
}

#[derive(Debug)]
pub(crate) struct PolicyRow {
    pub(crate) vehicle_id: i64,
    pub(crate) coverage: Coverage,
    pub(crate) annual_premium_cents: i64,
    pub(crate) no_claims_class: i32,
    pub(crate) starts_on: NaiveDate,
    pub(crate) ends_on: NaiveDate,
}

impl CopyRow for PolicyRow {
    const COPY: &'static str =
        "COPY policies (vehicle_id, coverage, annual_premium_cents, no_claims_class, starts_on, ends_on)
                                FROM STDIN WITH (FORMAT binary, FREEZE)";
    const DOING: &'static str = "load policies";
    const COLUMNS: i16 = 6;

    fn encode(&self, fields: &mut Fields<'_>) {
        fields.bigint(self.vehicle_id);
        fields.text(self.coverage.as_str());
        fields.bigint(self.annual_premium_cents);
        fields.integer(self.no_claims_class);
        fields.date(self.starts_on);
        fields.date(self.ends_on);
    }
}

#[derive(Debug)]
pub(crate) struct TripRow {
    pub(crate) id: Uuid,
    pub(crate) driver_id: DriverId,
    pub(crate) started_at: DateTime<Utc>,
    pub(crate) duration_s: i32,
    pub(crate) distance_m: i32,
    pub(crate) night_share_pct: i16,
}

impl CopyRow for TripRow {
    const COPY: &'static str = "COPY trips (id, driver_id, started_at, duration_s, distance_m, night_share_pct)
                                FROM STDIN WITH (FORMAT binary, FREEZE)";
    const DOING: &'static str = "load trips";
    const COLUMNS: i16 = 6;

    fn encode(&self, fields: &mut Fields<'_>) {
        fields.uuid(self.id);
        fields.bigint(self.driver_id.0);
        fields.timestamptz(self.started_at);
        fields.integer(self.duration_s);
        fields.integer(self.distance_m);
        fields.smallint(self.night_share_pct);
    }
}

#[derive(Debug)]
pub(crate) struct EventRow {
    pub(crate) trip_id: Uuid,
    pub(crate) driver_id: DriverId,
    pub(crate) kind: EventKind,
    pub(crate) severity: i16,
    pub(crate) occurred_at: DateTime<Utc>,
}

impl CopyRow for EventRow {
    const COPY: &'static str = "COPY safety_events (trip_id, driver_id, kind, severity, occurred_at)
                                FROM STDIN WITH (FORMAT binary, FREEZE)";
    const DOING: &'static str = "load safety events";
    const COLUMNS: i16 = 5;

    fn encode(&self, fields: &mut Fields<'_>) {
        fields.uuid(self.trip_id);
        fields.bigint(self.driver_id.0);
        fields.text(self.kind.as_str());
        fields.smallint(self.severity);
        fields.timestamptz(self.occurred_at);
    }
}

#[derive(Debug)]
pub(crate) struct ClaimRow {
    pub(crate) driver_id: DriverId,
    pub(crate) amount_cents: i64,
    pub(crate) status: ClaimStatus,
    pub(crate) occurred_on: NaiveDate,
}

impl CopyRow for ClaimRow {
    const COPY: &'static str = "COPY claims (driver_id, amount_cents, status, occurred_on)
                                FROM STDIN WITH (FORMAT binary, FREEZE)";
    const DOING: &'static str = "load claims";
    const COLUMNS: i16 = 4;

    fn encode(&self, fields: &mut Fields<'_>) {
        fields.bigint(self.driver_id.0);
        fields.bigint(self.amount_cents);
        fields.text(self.status.as_str());
        fields.date(self.occurred_on);
    }
}

#[derive(Debug)]
pub(crate) struct ExposureRow {
    pub(crate) driver_id: DriverId,
    pub(crate) exposure: Exposure,
}

/// The columns that `driver_exposure` and `risk_scores` share.
fn exposure(fields: &mut Fields<'_>, exposure: &Exposure) {
    fields.bigint(exposure.trips);
    fields.bigint(exposure.distance_m);
    fields.bigint(exposure.night_distance_m);
    fields.bigint(exposure.events.speeding);
    fields.bigint(exposure.events.harsh_braking);
    fields.bigint(exposure.events.harsh_acceleration);
    fields.bigint(exposure.events.harsh_cornering);
    fields.bigint(exposure.claims);
}

impl CopyRow for ExposureRow {
    const COPY: &'static str =
        "COPY driver_exposure (driver_id, trips, distance_m, night_distance_m, speeding, harsh_braking,
                                                      harsh_acceleration, harsh_cornering, claims)
                                FROM STDIN WITH (FORMAT binary, FREEZE)";
    const DOING: &'static str = "load exposures";
    const COLUMNS: i16 = 9;

    fn encode(&self, fields: &mut Fields<'_>) {
        fields.bigint(self.driver_id.0);
        exposure(fields, &self.exposure);
    }
}

/// The score of a driver of version 1.
#[derive(Debug)]
pub(crate) struct ScoreRow {
    pub(crate) driver_id: DriverId,
    pub(crate) score: RiskScore,
    pub(crate) exposure: Exposure,
    pub(crate) scored_at: DateTime<Utc>,
}

impl CopyRow for ScoreRow {
    const COPY: &'static str =
        "COPY risk_scores (driver_id, points_x100, band, trips, distance_m, night_distance_m, speeding,
                                                  harsh_braking, harsh_acceleration, harsh_cornering, claims, version,
                                                  scored_at)
                                FROM STDIN WITH (FORMAT binary, FREEZE)";
    const DOING: &'static str = "load risk scores";
    const COLUMNS: i16 = 13;

    fn encode(&self, fields: &mut Fields<'_>) {
        fields.bigint(self.driver_id.0);
        fields.integer(self.score.hundredths());
        fields.text(self.score.band.as_str());
        exposure(fields, &self.exposure);
        fields.bigint(1);
        fields.timestamptz(self.scored_at);
    }
}

/// The totals of one shard.
#[derive(Debug, Default)]
pub(crate) struct ShardRow {
    pub(crate) shard: i16,
    pub(crate) drivers: i64,
    pub(crate) active_drivers: i64,
    pub(crate) vehicles: i64,
    pub(crate) policies: i64,
    pub(crate) trips: i64,
    pub(crate) distance_m: i64,
    pub(crate) safety_events: i64,
    pub(crate) scored_drivers: i64,
    pub(crate) points_x100: i64,
    pub(crate) bands: BandCounts,
    pub(crate) open_claims: i64,
    pub(crate) incurred_cents: i64,
}

impl CopyRow for ShardRow {
    const COPY: &'static str =
        "COPY portfolio_shards (shard, drivers, active_drivers, vehicles, policies, trips, distance_m, safety_events,
                                                       scored_drivers, points_x100, low_drivers, moderate_drivers,
                                                       high_drivers, severe_drivers, open_claims, incurred_cents)
                                FROM STDIN WITH (FORMAT binary, FREEZE)";
    const DOING: &'static str = "load the portfolio's totals";
    const COLUMNS: i16 = 16;

    fn encode(&self, fields: &mut Fields<'_>) {
        fields.smallint(self.shard);
        fields.bigint(self.drivers);
        fields.bigint(self.active_drivers);
        fields.bigint(self.vehicles);
        fields.bigint(self.policies);
        fields.bigint(self.trips);
        fields.bigint(self.distance_m);
        fields.bigint(self.safety_events);
        fields.bigint(self.scored_drivers);
        fields.bigint(self.points_x100);
        fields.bigint(self.bands.low);
        fields.bigint(self.bands.moderate);
        fields.bigint(self.bands.high);
        fields.bigint(self.bands.severe);
        fields.bigint(self.open_claims);
        fields.bigint(self.incurred_cents);
    }
}

/// The claims of one shard by where they stand.
#[derive(Debug)]
pub(crate) struct ClaimTotalsRow {
    pub(crate) shard: i16,
    pub(crate) status: ClaimStatus,
    pub(crate) claims: i64,
    pub(crate) amount_cents: i64,
}

impl CopyRow for ClaimTotalsRow {
    const COPY: &'static str = "COPY portfolio_claims (shard, status, claims, amount_cents)
                                FROM STDIN WITH (FORMAT binary, FREEZE)";
    const DOING: &'static str = "load the totals of the claims";
    const COLUMNS: i16 = 4;

    fn encode(&self, fields: &mut Fields<'_>) {
        fields.smallint(self.shard);
        fields.text(self.status.as_str());
        fields.bigint(self.claims);
        fields.bigint(self.amount_cents);
    }
}

/// The totals of one shard on one day.
#[derive(Debug)]
pub(crate) struct DayRow {
    pub(crate) day: NaiveDate,
    pub(crate) shard: i16,
    /// Of the trips that began on this day; no claims.
    pub(crate) driven: Exposure,
}

impl CopyRow for DayRow {
    const COPY: &'static str = "COPY portfolio_daily (day, shard, trips, distance_m, speeding, harsh_braking,
                                                      harsh_acceleration, harsh_cornering)
                                FROM STDIN WITH (FORMAT binary, FREEZE)";
    const DOING: &'static str = "load the totals per day";
    const COLUMNS: i16 = 8;

    fn encode(&self, fields: &mut Fields<'_>) {
        fields.date(self.day);
        fields.smallint(self.shard);
        fields.bigint(self.driven.trips);
        fields.bigint(self.driven.distance_m);
        fields.bigint(self.driven.events.speeding);
        fields.bigint(self.driven.events.harsh_braking);
        fields.bigint(self.driven.events.harsh_acceleration);
        fields.bigint(self.driven.events.harsh_cornering);
    }
}

#[derive(Debug)]
pub(crate) struct UserRow {
    pub(crate) username: &'static str,
    pub(crate) password_hash: String,
    pub(crate) role: UserRole,
    pub(crate) driver_id: Option<DriverId>,
}

impl CopyRow for UserRow {
    const COPY: &'static str = "COPY users (username, password_hash, role, driver_id)
                                FROM STDIN WITH (FORMAT binary, FREEZE)";
    const DOING: &'static str = "load users";
    const COLUMNS: i16 = 4;

    fn encode(&self, fields: &mut Fields<'_>) {
        fields.text(self.username);
        fields.text(&self.password_hash);
        fields.text(self.role.as_str());
        fields.bigint_or_null(self.driver_id.map(|id| id.0));
    }
}
