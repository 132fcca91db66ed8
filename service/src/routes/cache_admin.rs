//! Orders of the operators to the cache.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use super::extract::{JsonBody, given, given_whole, whole};
use crate::app::AppState;
use crate::auth::Admin;
use crate::domain::ids::DriverId;
use crate::errors::{ApiError, Cause};
use crate::nearest::nearest;
use crate::usecases::{CacheAdminError, CacheReport, Endpoint, FlushTarget, VerifyReport};
use crate::usecases::{VERIFY_DRIVERS_MAX, WARM_DRIVERS_MAX};

/// The cache of this replica at one moment.
#[utoipa::path(get, path = "/admin/cache/stats", operation_id = "cache_stats", tag = "cache",
    security(("token" = [])), responses((status = 200, body = CacheReport, description = "The figures")))]
pub async fn stats(_: Admin, State(app): State<AppState>) -> Json<CacheReport> {
    Json(app.cache_admin.report())
}

/// What to flush: the answers of one endpoint, the answers about one driver, or with neither all of them.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(max_properties = 1)]
pub struct FlushBody {
    /// Name of an endpoint, as in the metrics.
    #[serde(default, deserialize_with = "given")]
    #[schema(nullable = false)]
    endpoint: Option<EndpointName>,
    /// Number of a driver.
    #[serde(default, deserialize_with = "given_whole")]
    #[schema(nullable = false, minimum = 1)]
    driver: Option<i64>,
}

/// A cached endpoint, by its name.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(try_from = "String")]
struct EndpointName(Endpoint);

impl TryFrom<String> for EndpointName {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        let known = Endpoint::ALL.into_iter().find(|endpoint| endpoint.name() == name);
        known.map(Self).ok_or_else(|| no_such_endpoint(&name))
    }
}

impl PartialSchema for EndpointName {
    fn schema() -> RefOr<Schema> {
        let names = Endpoint::ALL.map(Endpoint::name);
        let schema = ObjectBuilder::new().schema_type(Type::String).enum_values(Some(names));
        schema.build().into()
    }
}

impl ToSchema for EndpointName {}

/// That the cache was flushed.
#[derive(Debug, Serialize, ToSchema)]
pub struct Flushed {
    /// The place among all invalidations; `null` while Redis is away, when only this replica has flushed.
    seq: Option<u64>,
}

/// Ends answers on all replicas.
#[utoipa::path(post, path = "/admin/cache/flush", operation_id = "cache_flush", tag = "cache", request_body = FlushBody,
    security(("token" = [])), responses(
        (status = 200, body = Flushed, description = "They have ended"),
        (status = 409, description = "The cache is off")))]
pub async fn flush(
    _: Admin,
    State(app): State<AppState>,
    JsonBody(body): JsonBody<FlushBody>,
) -> Result<Json<Flushed>, ApiError> {
    let target = target(&body)?;
    let seq = app.cache_admin.flush(target).await?;
    Ok(Json(Flushed { seq }))
}

fn target(body: &FlushBody) -> Result<FlushTarget, ApiError> {
    match (body.endpoint, body.driver) {
        (None, None) => Ok(FlushTarget::All),
        (Some(EndpointName(endpoint)), None) => Ok(FlushTarget::Endpoint(endpoint)),
        (None, Some(id @ 1..)) => Ok(FlushTarget::Driver(DriverId(id))),
        (None, Some(_)) => Err(ApiError::Unprocessable("driver is a whole number from 1".to_owned())),
        (Some(_), Some(_)) => Err(ApiError::Unprocessable("give endpoint or driver, not both".to_owned())),
    }
}

fn no_such_endpoint(name: &str) -> String {
    let names = Endpoint::ALL.map(Endpoint::name);
    format!(
        "there is no endpoint `{name}`; did you mean `{}`? Known are {}",
        nearest(name, names),
        names.join(", ")
    )
}

/// How many drivers.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct WarmBody {
    /// The busiest so many drivers.
    #[serde(deserialize_with = "whole")]
    #[schema(minimum = 1, maximum = 10_000)]
    drivers: u32,
}

/// That something has begun.
#[derive(Debug, Serialize, ToSchema)]
pub struct Begun {
    /// How many drivers it is about.
    drivers: u32,
}

/// Begins to load the answers about the busiest drivers into the cache.
#[utoipa::path(post, path = "/admin/cache/warm", operation_id = "cache_warm", tag = "cache", request_body = WarmBody,
    security(("token" = [])), responses(
        (status = 202, body = Begun, description = "Warming has begun"),
        (status = 409, description = "The cache is off, or is being warmed already")))]
pub async fn warm(
    _: Admin,
    State(app): State<AppState>,
    JsonBody(WarmBody { drivers }): JsonBody<WarmBody>,
) -> Result<(StatusCode, Json<Begun>), ApiError> {
    within("drivers", drivers, WARM_DRIVERS_MAX)?;
    app.cache_admin.warm(drivers)?;
    Ok((StatusCode::ACCEPTED, Json(Begun { drivers })))
}

/// How many drivers.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct VerifyBody {
    /// So many of the busiest drivers.
    #[serde(deserialize_with = "whole")]
    #[schema(minimum = 1, maximum = 20)]
    drivers: u32,
}

/// Compares cached answers with the database and removes those that differ.
#[utoipa::path(post, path = "/admin/cache/verify", operation_id = "cache_verify", tag = "cache", request_body = VerifyBody,
    security(("token" = [])), responses(
        (status = 200, body = VerifyReport, description = "How they compare"),
        (status = 409, description = "The cache is off")))]
pub async fn verify(
    _: Admin,
    State(app): State<AppState>,
    JsonBody(VerifyBody { drivers }): JsonBody<VerifyBody>,
) -> Result<Json<VerifyReport>, ApiError> {
    within("drivers", drivers, VERIFY_DRIVERS_MAX)?;
    Ok(Json(app.cache_admin.verify(drivers).await?))
}

fn within(field: &str, value: u32, max: u32) -> Result<(), ApiError> {
    if (1..=max).contains(&value) {
        Ok(())
    } else {
        Err(ApiError::Unprocessable(format!("{field} must be from 1 to {max}")))
    }
}

impl From<CacheAdminError> for ApiError {
    fn from(error: CacheAdminError) -> Self {
        match error {
            CacheAdminError::Off | CacheAdminError::AlreadyWarming => Self::Conflict(error.to_string()),
            CacheAdminError::Store(store) if store.is_unavailable() => Self::Unavailable(Cause::new(store)),
            CacheAdminError::Store(store) => Self::Internal(Cause::new(store)),
            CacheAdminError::Read(read) => read.into(),
        }
    }
}
