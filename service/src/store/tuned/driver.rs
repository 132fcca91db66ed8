//! Premium and statistics of a driver, each in one statement.

use chrono::NaiveDate;
use sqlx::{FromRow, PgConnection};

use super::risk::stored_or_unrecorded;
use crate::domain::ids::DriverId;
use crate::domain::risk::{Exposure, RiskScore};
use crate::store::ask::Ask as _;
use crate::store::views::{MonthActivity, STATISTICS_MONTHS, Vehicle};
use crate::store::{DriverStatistics, Premium, StoreError, Versioned};

#[derive(FromRow)]
struct PremiumRow {
    born_on: NaiveDate,
    points_x100: Option<RiskScore>,
    #[sqlx(json)]
    vehicles: Vec<Vehicle>,
}

const PREMIUM: &str = "
SELECT d.version, d.born_on, r.points_x100,
       coalesce((
           SELECT json_agg(json_build_object(
                      'id', v.id, 'plate', v.plate, 'make', v.make, 'model', v.model, 'model_year', v.model_year,
                      'policy', json_build_object(
                          'id', p.id, 'coverage', p.coverage, 'annual_premium_cents', p.annual_premium_cents,
                          'no_claims_class', p.no_claims_class, 'starts_on', p.starts_on, 'ends_on', p.ends_on))
                  ORDER BY v.id)
             FROM vehicles v JOIN policies p ON p.vehicle_id = v.id
            WHERE v.driver_id = d.id), '[]') AS vehicles
  FROM drivers d LEFT JOIN risk_scores r ON r.driver_id = d.id
 WHERE d.id = $1";

pub(super) async fn premium(conn: &mut PgConnection, id: DriverId) -> Result<Option<Versioned<Premium>>, StoreError> {
    let row: Option<Versioned<PremiumRow>> = sqlx::query(PREMIUM)
        .bind(id)
        .find(conn, "read what a driver's premium depends on")
        .await?;
    let rated = |row: PremiumRow| {
        let score = stored_or_unrecorded(row.points_x100);
        Premium::new(id, row.born_on, score, &row.vehicles)
    };
    Ok(row.map(|row| row.map(rated)))
}

#[derive(FromRow)]
struct StatisticsRow {
    #[sqlx(flatten)]
    driven: Exposure,
    #[sqlx(json)]
    months: Vec<MonthActivity>,
}

/// The totals come from where writers keep them; the months from the driver's entries in the covering index.
const STATISTICS: &str = "
SELECT d.version,
       coalesce(x.trips, 0) AS trips, coalesce(x.distance_m, 0) AS distance_m,
       coalesce(x.night_distance_m, 0) AS night_distance_m, coalesce(x.speeding, 0) AS speeding,
       coalesce(x.harsh_braking, 0) AS harsh_braking, coalesce(x.harsh_acceleration, 0) AS harsh_acceleration,
       coalesce(x.harsh_cornering, 0) AS harsh_cornering, coalesce(x.claims, 0) AS claims,
       coalesce((
           SELECT json_agg(json_build_object('month', month, 'trips', trips, 'distance_m', distance_m,
                                             'duration_s', duration_s) ORDER BY month DESC)
             FROM (SELECT date_trunc('month', started_at AT TIME ZONE 'UTC')::date AS month, count(*) AS trips,
                          sum(distance_m)::bigint AS distance_m, sum(duration_s)::bigint AS duration_s
                     FROM trips WHERE driver_id = d.id GROUP BY 1 ORDER BY 1 DESC LIMIT $2) monthly), '[]') AS months
  FROM drivers d LEFT JOIN driver_exposure x ON x.driver_id = d.id
 WHERE d.id = $1";

pub(super) async fn statistics(
    conn: &mut PgConnection,
    id: DriverId,
) -> Result<Option<Versioned<DriverStatistics>>, StoreError> {
    let row: Option<Versioned<StatisticsRow>> = sqlx::query(STATISTICS)
        .bind(id)
        .bind(i64::from(STATISTICS_MONTHS))
        .find(conn, "read a driver's statistics")
        .await?;
    let statistics = |row: StatisticsRow| DriverStatistics::new(id, &row.driven, row.months);
    Ok(row.map(|row| row.map(statistics)))
}
