//! A driver's page in one statement: Postgres assembles vehicles, trips and claims as JSON, so that the lists do not
//! multiply each other as joins would, and all of it is one snapshot.

use sqlx::{FromRow, PgConnection};

use super::risk::stored_or_unrecorded;
use crate::domain::ids::DriverId;
use crate::domain::risk::RiskScore;
use crate::store::ask::Ask as _;
use crate::store::views::{Claim, Driver, Trip, Vehicle};
use crate::store::{DriverDetails, RECENT_CLAIMS, RECENT_TRIPS, StoreError, Versioned};

#[derive(FromRow)]
struct DetailsRow {
    #[sqlx(flatten)]
    driver: Driver,
    points_x100: Option<RiskScore>,
    #[sqlx(json)]
    vehicles: Vec<Vehicle>,
    #[sqlx(json)]
    recent_trips: Vec<Trip>,
    #[sqlx(json)]
    claims: Vec<Claim>,
}

impl From<DetailsRow> for DriverDetails {
    fn from(row: DetailsRow) -> Self {
        Self {
            driver: row.driver,
            risk: stored_or_unrecorded(row.points_x100),
            vehicles: row.vehicles,
            recent_trips: row.recent_trips,
            claims: row.claims,
        }
    }
}

const DETAILS: &str = "
SELECT d.id, d.name, d.email, d.licence, d.born_on, d.joined_on, d.status, d.version, r.points_x100,
       coalesce((
           SELECT json_agg(json_build_object(
                      'id', v.id, 'plate', v.plate, 'make', v.make, 'model', v.model, 'model_year', v.model_year,
                      'policy', CASE WHEN p.id IS NOT NULL THEN json_build_object(
                          'id', p.id, 'coverage', p.coverage, 'annual_premium_cents', p.annual_premium_cents,
                          'no_claims_class', p.no_claims_class, 'starts_on', p.starts_on, 'ends_on', p.ends_on) END)
                  ORDER BY v.id)
             FROM vehicles v LEFT JOIN policies p ON p.vehicle_id = v.id
            WHERE v.driver_id = d.id), '[]') AS vehicles,
       coalesce((
           SELECT json_agg(json_build_object(
                      'id', t.id, 'started_at', t.started_at, 'duration_s', t.duration_s, 'distance_m', t.distance_m,
                      'night_share_pct', t.night_share_pct, 'events', coalesce(e.events, '[]'))
                  ORDER BY t.started_at DESC, t.id DESC)
             FROM (SELECT id, started_at, duration_s, distance_m, night_share_pct
                     FROM trips WHERE driver_id = d.id ORDER BY started_at DESC, id DESC LIMIT $2) t
            CROSS JOIN LATERAL (
                  SELECT json_agg(json_build_object('kind', kind, 'severity', severity, 'occurred_at', occurred_at)
                                  ORDER BY occurred_at, id) AS events
                    FROM safety_events WHERE trip_id = t.id) e), '[]') AS recent_trips,
       coalesce((
           SELECT json_agg(json_build_object(
                      'id', c.id, 'amount_cents', c.amount_cents, 'status', c.status, 'occurred_on', c.occurred_on)
                  ORDER BY c.occurred_on DESC, c.id DESC)
             FROM (SELECT id, amount_cents, status, occurred_on
                     FROM claims WHERE driver_id = d.id ORDER BY occurred_on DESC, id DESC LIMIT $3) c), '[]') AS claims
  FROM drivers d LEFT JOIN risk_scores r ON r.driver_id = d.id
 WHERE d.id = $1";

pub(super) async fn read(
    conn: &mut PgConnection,
    id: DriverId,
) -> Result<Option<Versioned<DriverDetails>>, StoreError> {
    let row: Option<Versioned<DetailsRow>> = sqlx::query(DETAILS)
        .bind(id)
        .bind(RECENT_TRIPS)
        .bind(i64::from(RECENT_CLAIMS))
        .find(conn, "read a driver's details")
        .await?;
    Ok(row.map(|row| row.map(DriverDetails::from)))
}
