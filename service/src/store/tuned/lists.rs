//! Pages by keyset: an index leads to the first row of the page, however far down the list it is, and one statement
//! brings everything that the page's rows show.

use sqlx::{FromRow, PgConnection};

use crate::domain::ids::DriverId;
use crate::store::ask::Ask as _;
use crate::store::{DriverKey, DriverListItem, Page, PageRequest, StoreError, Trip, TripKey, Versioned};

/// Scalar subqueries rather than joins: at most 201 rows want three index look-ups each, and no estimate of the planner
/// can turn that into a scan.
const DRIVERS: &str = "
SELECT d.id, d.name, d.status, d.joined_on,
       (SELECT points_x100 FROM risk_scores WHERE driver_id = d.id) AS risk,
       (SELECT json_build_object('make', make, 'model', model, 'model_year', model_year)
          FROM vehicles WHERE driver_id = d.id ORDER BY id LIMIT 1) AS vehicle,
       (SELECT started_at FROM trips WHERE driver_id = d.id ORDER BY started_at DESC, id DESC LIMIT 1) AS last_trip_at
  FROM drivers d
 WHERE d.id > $1
 ORDER BY d.id
 LIMIT $2";

pub(super) async fn drivers(
    conn: &mut PgConnection,
    request: &PageRequest<DriverKey>,
) -> Result<Page<DriverListItem, DriverKey>, StoreError> {
    // Numbers begin at 1: the first page is the one after 0.
    let after = request.after().map_or(0, |after| after.0);
    let items = sqlx::query(DRIVERS)
        .bind(after)
        .bind(request.limit.with_one_more())
        .all(conn, "read a page of drivers")
        .await?;
    Ok(Page::cut(request, items, |item: &DriverListItem| item.id))
}

#[derive(FromRow)]
struct TripsRow {
    #[sqlx(json)]
    trips: Vec<Trip>,
}

/// `$2` and `$3` are the key after which the page begins: a moment far ahead for the first page, which keeps it one
/// statement with one plan.
const TRIPS: &str = "
SELECT d.version,
       coalesce((
           SELECT json_agg(json_build_object(
                      'id', t.id, 'started_at', t.started_at, 'duration_s', t.duration_s, 'distance_m', t.distance_m,
                      'night_share_pct', t.night_share_pct, 'events', coalesce(e.events, '[]'))
                  ORDER BY t.started_at DESC, t.id DESC)
             FROM (SELECT id, started_at, duration_s, distance_m, night_share_pct
                     FROM trips
                    WHERE driver_id = d.id AND (started_at, id) < ($2, $3)
                    ORDER BY started_at DESC, id DESC LIMIT $4) t
            CROSS JOIN LATERAL (
                  SELECT json_agg(json_build_object('kind', kind, 'severity', severity, 'occurred_at', occurred_at)
                                  ORDER BY occurred_at, id) AS events
                    FROM safety_events WHERE trip_id = t.id) e), '[]') AS trips
  FROM drivers d
 WHERE d.id = $1";

pub(super) async fn trips(
    conn: &mut PgConnection,
    id: DriverId,
    request: &PageRequest<TripKey>,
) -> Result<Option<Versioned<Page<Trip, TripKey>>>, StoreError> {
    let after = request.after().unwrap_or(TripKey::BEFORE_ALL);
    let row: Option<Versioned<TripsRow>> = sqlx::query(TRIPS)
        .bind(id)
        .bind(after.started_at)
        .bind(after.id)
        .bind(request.limit.with_one_more())
        .find(conn, "read a page of a driver's trips")
        .await?;
    let page = |row: TripsRow| {
        let page = Page::cut(request, row.trips, Trip::key);
        page.within_details(request, Trip::key, |trip| trip.events.len())
    };
    Ok(row.map(|row| row.map(page)))
}
