//! Trips, as devices report them.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{AppendHeaders, IntoResponse, Response};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::extract::JsonBody;
use super::{NO_SUCH_DRIVER, X_CACHE_SEQ, X_VERSION};
use crate::app::AppState;
use crate::auth::DriverScope;
use crate::domain::ids::{DriverId, TripId};
use crate::domain::trips::{EventCounts, NewTrip};
use crate::errors::{ApiError, Cause};
use crate::usecases::{RecordTripError, RecordedTrip};

/// A trip's body. Unknown fields are refused: a misspelt count would otherwise be a count of zero.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TripBody {
    /// When it began, RFC 3339; absent = now.
    started_at: Option<DateTime<Utc>>,
    duration_s: i32,
    distance_m: i32,
    night_share_pct: i16,
    events: EventsBody,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct EventsBody {
    speeding: i32,
    harsh_braking: i32,
    harsh_acceleration: i32,
    harsh_cornering: i32,
}

impl TripBody {
    fn into_trip(self, now: DateTime<Utc>) -> NewTrip {
        let EventsBody {
            speeding,
            harsh_braking,
            harsh_acceleration,
            harsh_cornering,
        } = self.events;
        NewTrip {
            started_at: self.started_at.unwrap_or(now),
            duration_s: self.duration_s,
            distance_m: self.distance_m,
            night_share_pct: self.night_share_pct,
            events: EventCounts {
                speeding,
                harsh_braking,
                harsh_acceleration,
                harsh_cornering,
            },
        }
    }
}

#[derive(Debug, Serialize)]
struct Receipt {
    trip_id: TripId,
    driver_id: DriverId,
    version: i64,
}

/// `POST /drivers/{id}/trips`: records a trip. When it answers, this replica shows the trip in every read.
pub async fn record(
    DriverScope(id): DriverScope,
    State(app): State<AppState>,
    JsonBody(body): JsonBody<TripBody>,
) -> Result<Response, ApiError> {
    let now = Utc::now();
    let recorded = app.record_trip.run(id, body.into_trip(now), now).await?;
    recorded
        .map(|recorded| created(id, &recorded))
        .ok_or(ApiError::NotFound(NO_SUCH_DRIVER))
}

fn created(driver_id: DriverId, recorded: &RecordedTrip) -> Response {
    let &RecordedTrip {
        trip_id,
        version,
        cache_seq,
    } = recorded;
    let seq: Option<(HeaderName, HeaderValue)> = cache_seq.map(|seq| (X_CACHE_SEQ, HeaderValue::from(seq)));
    let headers = AppendHeaders([(X_VERSION, HeaderValue::from(version))]);
    (
        StatusCode::CREATED,
        headers,
        AppendHeaders(seq),
        Json(Receipt {
            trip_id,
            driver_id,
            version,
        }),
    )
        .into_response()
}

impl From<RecordTripError> for ApiError {
    fn from(error: RecordTripError) -> Self {
        match error {
            RecordTripError::Invalid(rule) => Self::Unprocessable(rule.to_string()),
            RecordTripError::Store(store) if store.is_unavailable() => Self::Unavailable(Cause::new(store)),
            RecordTripError::Store(_) | RecordTripError::Abandoned(_) => Self::Internal(Cause::new(error)),
        }
    }
}
