//! The score as the consumer stored it, with the driver's version, in one statement.

use sqlx::{FromRow, PgConnection};

use crate::domain::ids::DriverId;
use crate::domain::risk::{Exposure, RiskScore, score};
use crate::store::ask::Ask as _;
use crate::store::{CurrentRisk, StoreError, Versioned};

#[derive(FromRow)]
struct RiskRow {
    points_x100: Option<RiskScore>,
    #[sqlx(flatten)]
    exposure: Exposure,
}

pub(super) async fn read(conn: &mut PgConnection, id: DriverId) -> Result<Option<Versioned<CurrentRisk>>, StoreError> {
    let row: Option<Versioned<RiskRow>> = sqlx::query(
        "SELECT d.version, r.points_x100,
                coalesce(r.trips, 0) AS trips, coalesce(r.distance_m, 0) AS distance_m,
                coalesce(r.night_distance_m, 0) AS night_distance_m, coalesce(r.speeding, 0) AS speeding,
                coalesce(r.harsh_braking, 0) AS harsh_braking,
                coalesce(r.harsh_acceleration, 0) AS harsh_acceleration,
                coalesce(r.harsh_cornering, 0) AS harsh_cornering, coalesce(r.claims, 0) AS claims
           FROM drivers d LEFT JOIN risk_scores r ON r.driver_id = d.id
          WHERE d.id = $1",
    )
    .bind(id)
    .find(conn, "read a driver's risk score")
    .await?;
    let current = |row: RiskRow| CurrentRisk::new(id, stored_or_unrecorded(row.points_x100), row.exposure);
    Ok(row.map(|row| row.map(current)))
}

/// The stored score; a driver who was never scored is judged as one without a record.
pub(super) fn stored_or_unrecorded(stored: Option<RiskScore>) -> RiskScore {
    stored.unwrap_or_else(|| score(&Exposure::default()))
}
