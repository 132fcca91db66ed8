//! Trips, as devices report them and as drivers look at them.

use aws_lc_rs::digest::{SHA256, digest};
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::extract::{Ask, IdempotencyKey, IdempotencyKeyHeader, JsonBody, PageQuery, whole};
use super::{NO_SUCH_DRIVER, found, written};
use crate::app::AppState;
use crate::auth::DriverScope;
use crate::domain::ids::{DriverId, TripId};
use crate::domain::trips::{EventCounts, NewTrip};
use crate::errors::{ApiError, Cause};
use crate::store::{Trip, TripRequest};
use crate::usecases::{Answer, PageBody, Question, Written, trips_scope};

/// A trip's body. Unknown fields are refused: a misspelt count would otherwise be a count of zero.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TripBody {
    /// When it began, not before 2000 and not in the future; absent = now.
    started_at: Option<DateTime<Utc>>,
    /// How long it took, in seconds.
    #[serde(deserialize_with = "whole")]
    #[schema(minimum = 1, maximum = 86_400)]
    duration_s: i32,
    /// How far it went, in metres: at most 70 for each second.
    #[serde(deserialize_with = "whole")]
    #[schema(minimum = 1)]
    distance_m: i32,
    /// Share of the distance that was driven at night, in percent.
    #[serde(deserialize_with = "whole")]
    #[schema(minimum = 0, maximum = 100)]
    night_share_pct: i16,
    /// Safety events on it.
    events: EventsBody,
}

/// Safety events of one trip by kind; absent = none.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
struct EventsBody {
    /// Faster than the limit of the road.
    #[serde(deserialize_with = "whole")]
    #[schema(minimum = 0, maximum = 100)]
    speeding: i32,
    /// Decelerations beyond the threshold.
    #[serde(deserialize_with = "whole")]
    #[schema(minimum = 0, maximum = 100)]
    harsh_braking: i32,
    /// Accelerations beyond the threshold.
    #[serde(deserialize_with = "whole")]
    #[schema(minimum = 0, maximum = 100)]
    harsh_acceleration: i32,
    /// Lateral accelerations beyond the threshold.
    #[serde(deserialize_with = "whole")]
    #[schema(minimum = 0, maximum = 100)]
    harsh_cornering: i32,
}

impl TripBody {
    /// This body under a key. As it was sent: a trip without a start begins at another moment at each retry.
    fn request(&self, key: String) -> Result<TripRequest, ApiError> {
        let sent = serde_json::to_vec(self).map_err(|error| ApiError::Internal(Cause::new(error)))?;
        let fingerprint = digest(&SHA256, &sent).as_ref().to_vec();
        Ok(TripRequest { key, fingerprint })
    }

    fn into_trip(self, now: DateTime<Utc>) -> NewTrip {
        NewTrip {
            started_at: self.started_at.unwrap_or(now),
            duration_s: self.duration_s,
            distance_m: self.distance_m,
            night_share_pct: self.night_share_pct,
            events: EventCounts {
                speeding: self.events.speeding,
                harsh_braking: self.events.harsh_braking,
                harsh_acceleration: self.events.harsh_acceleration,
                harsh_cornering: self.events.harsh_cornering,
            },
        }
    }
}

/// Receipt for a trip that is on record.
#[derive(Debug, Serialize, ToSchema)]
pub struct Receipt {
    /// The name given to the trip.
    trip_id: TripId,
    /// Whose it is.
    driver_id: DriverId,
    /// The driver's version from this trip on.
    version: i64,
}

/// Records a trip. When it answers, this replica shows the trip in every read. A retry under the same key within a day
/// gets the receipt of the first.
#[utoipa::path(post, path = "/drivers/{id}/trips", operation_id = "trip_upload", tag = "trips",
    params(("id" = i64, Path, minimum = 1, description = "Number of the driver"), IdempotencyKeyHeader),
    request_body = TripBody,
    security(("token" = [])), responses((status = 201, body = Receipt, description = "The trip is on record")))]
pub async fn record(
    DriverScope(driver_id, _share): DriverScope,
    State(app): State<AppState>,
    IdempotencyKey(key): IdempotencyKey,
    JsonBody(body): JsonBody<TripBody>,
) -> Result<Response, ApiError> {
    let now = Utc::now();
    let request = key.map(|key| body.request(key)).transpose()?;
    let recorded = app
        .writes
        .record_trip(driver_id, body.into_trip(now), request, now)
        .await?;
    let receipt = recorded.map(|recorded| Written {
        value: Receipt {
            trip_id: recorded.value,
            driver_id,
            version: recorded.version,
        },
        version: recorded.version,
        cache_seq: recorded.cache_seq,
    });
    written(StatusCode::CREATED, receipt, NO_SUCH_DRIVER)
}

/// A page of a driver's trips, newest first.
#[utoipa::path(get, path = "/drivers/{id}/trips", operation_id = "driver_trips", tag = "trips",
    params(("id" = i64, Path, minimum = 1, description = "Number of the driver"), PageQuery),
    security(("token" = [])), responses((status = 200, body = PageBody<Trip>, description = "The page")))]
pub async fn list(
    DriverScope(id, _share): DriverScope,
    query: PageQuery,
    State(app): State<AppState>,
    ask: Ask,
) -> Result<Answer, ApiError> {
    let page = query.page(&app.cursors, &trips_scope(id))?;
    found(ask.about(Question::DriverTrips(id, page)).await?)
}
