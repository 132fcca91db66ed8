//! The score as the consumer stored it, with the driver's version, in one statement.

use sqlx::{FromRow, PgConnection, PgPool};

use crate::domain::ids::DriverId;
use crate::domain::risk::{Exposure, RiskScore, score};
use crate::store::error::Doing;
use crate::store::scores::ExposureRow;
use crate::store::{CurrentRisk, StoreError, Versioned};

#[derive(FromRow)]
struct RiskRow {
    version: i64,
    points_x100: Option<i32>,
    #[sqlx(flatten)]
    exposure: ExposureRow,
}

pub(super) async fn read(pool: &PgPool, id: DriverId) -> Result<Option<Versioned<CurrentRisk>>, StoreError> {
    let row: Option<RiskRow> = sqlx::query_as(
        "SELECT d.version, r.points_x100,
                coalesce(r.trips, 0) AS trips, coalesce(r.distance_m, 0) AS distance_m,
                coalesce(r.night_distance_m, 0) AS night_distance_m, coalesce(r.speeding, 0) AS speeding,
                coalesce(r.harsh_braking, 0) AS harsh_braking,
                coalesce(r.harsh_acceleration, 0) AS harsh_acceleration,
                coalesce(r.harsh_cornering, 0) AS harsh_cornering, coalesce(r.claims, 0) AS claims
           FROM drivers d LEFT JOIN risk_scores r ON r.driver_id = d.id
          WHERE d.id = $1",
    )
    .bind(id.0)
    .fetch_optional(pool)
    .await
    .doing("read a driver's risk score")?;
    Ok(row.map(|row| {
        let value = CurrentRisk::new(id, stored_or_unrecorded(row.points_x100), row.exposure.into());
        Versioned {
            value,
            version: row.version,
        }
    }))
}

/// The stored score; a driver who was never scored is judged as one without a record.
pub(super) fn stored_or_unrecorded(points_x100: Option<i32>) -> RiskScore {
    points_x100.map_or_else(|| score(&Exposure::default()), RiskScore::from_hundredths)
}

/// The exposure that writers keep; nothing yet for a driver who was never written about.
pub(super) async fn exposure(conn: &mut PgConnection, id: DriverId) -> Result<Exposure, StoreError> {
    let row: Option<ExposureRow> = sqlx::query_as(
        "SELECT trips, distance_m, night_distance_m, speeding, harsh_braking, harsh_acceleration,
                harsh_cornering, claims
           FROM driver_exposure WHERE driver_id = $1",
    )
    .bind(id.0)
    .fetch_optional(conn)
    .await
    .doing("read a driver's exposure")?;
    Ok(row.map(Exposure::from).unwrap_or_default())
}
