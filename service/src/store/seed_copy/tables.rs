//! The tables that a load fills, and the columns that it gives. The database gives numbers that are left out, in order
//! of the rows.

/// A table and its columns.
#[derive(Debug)]
pub(crate) struct Table {
    /// For the error message.
    pub(super) doing: &'static str,
    /// The statement that the rows follow.
    pub(super) copy: &'static str,
}

macro_rules! tables {
    ($($name:ident, $doing:literal, $table:literal, $columns:literal;)+) => {$(
        pub(crate) static $name: Table = Table {
            doing: concat!("load ", $doing),
            copy: concat!("COPY ", $table, " (", $columns, ") FROM STDIN WITH (FORMAT csv, FREEZE)"),
        };
    )+};
}

tables! {
    DRIVERS, "drivers", "drivers", "id, name, email, licence, born_on, joined_on, status";
    VEHICLES, "vehicles", "vehicles", "id, driver_id, plate, make, model, model_year";
    POLICIES, "policies", "policies", "vehicle_id, coverage, annual_premium_cents, no_claims_class, starts_on, ends_on";
    TRIPS, "trips", "trips", "id, driver_id, started_at, duration_s, distance_m, night_share_pct";
    EVENTS, "safety events", "safety_events", "trip_id, driver_id, kind, severity, occurred_at";
    CLAIMS, "claims", "claims", "driver_id, amount_cents, status, occurred_on";
    EXPOSURES, "exposures", "driver_exposure",
        "driver_id, trips, distance_m, night_distance_m, speeding, harsh_braking, harsh_acceleration, \
         harsh_cornering, claims";
    SCORES, "risk scores", "risk_scores",
        "driver_id, points_x100, band, trips, distance_m, night_distance_m, speeding, harsh_braking, \
         harsh_acceleration, harsh_cornering, claims, version, scored_at";
    SHARD_TOTALS, "the portfolio's totals", "portfolio_shards",
        "shard, drivers, active_drivers, vehicles, policies, trips, distance_m, safety_events, \
         scored_drivers, points_x100, low_drivers, moderate_drivers, high_drivers, severe_drivers, \
         open_claims, incurred_cents";
    CLAIM_TOTALS, "the totals of the claims", "portfolio_claims", "shard, status, claims, amount_cents";
    DAYS, "the totals per day", "portfolio_daily",
        "day, shard, trips, distance_m, speeding, harsh_braking, harsh_acceleration, harsh_cornering";
    USERS, "users", "users", "username, password_hash, role, driver_id";
}
