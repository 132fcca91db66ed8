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
use crate::errors::ApiError;
use crate::nearest::nearest;
use crate::usecases::{CacheAdminError, CacheReport, Ended, Endpoint, VerifyReport};
use crate::usecases::{VERIFY_ANSWERS_MAX, WARM_DRIVERS_MAX};

/// Bytes of a pattern: the longest name of an answer has about 100.
const PATTERN_MAX: usize = 200;

/// The cache of this replica at one moment.
#[utoipa::path(get, path = "/admin/cache/stats", operation_id = "cache_stats", tag = "cache",
    security(("token" = [])), responses((status = 200, body = CacheReport, description = "The figures")))]
pub async fn stats(_: Admin, State(app): State<AppState>) -> Json<CacheReport> {
    Json(app.cache_admin.report())
}

/// What to flush: the answers of one endpoint, those about one driver, those that a pattern matches, or with none of
/// these all of them.
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
    /// A glob over `endpoint:part:part`, with `*` and `?`; the whole of every endpoint that it could match ends.
    #[serde(default, deserialize_with = "given")]
    #[schema(nullable = false, pattern = "^[a-z0-9_:*?-]{1,200}$")]
    pattern: Option<String>,
}

/// A cached endpoint, by its name.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(try_from = "String")]
struct EndpointName(Endpoint);

impl TryFrom<String> for EndpointName {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        Endpoint::named(&name).map(Self).ok_or_else(|| no_such_endpoint(&name))
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
    /// The place among all invalidations, as `x-cache-seq` has it; `null` while Redis is away, when only this replica
    /// has flushed.
    seq: Option<String>,
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
    let place = app.cache_admin.flush(target(body)?).await?;
    Ok(Json(Flushed {
        seq: place.map(|place| place.to_string()),
    }))
}

fn target(body: FlushBody) -> Result<Ended, ApiError> {
    let refused = |rule: &str| Err(ApiError::Unprocessable(rule.to_owned()));
    match (body.endpoint, body.driver, body.pattern) {
        (None, None, None) => Ok(Ended::All),
        (Some(EndpointName(endpoint)), None, None) => Ok(Ended::Endpoint(endpoint)),
        (None, Some(id @ 1..), None) => Ok(Ended::Driver(DriverId(id))),
        (None, Some(_), None) => refused("driver is a whole number from 1"),
        (None, None, Some(pattern)) if is_pattern(&pattern) => Ok(Ended::Matching(pattern)),
        (None, None, Some(_)) => refused("pattern is a glob of 1 to 200 characters out of a-z 0-9 _ : * ? -"),
        _ => refused("give one of endpoint, driver and pattern"),
    }
}

fn is_pattern(text: &str) -> bool {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "_:*?-".contains(c);
    (1..=PATTERN_MAX).contains(&text.len()) && text.chars().all(fits)
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

/// How many answers.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct VerifyBody {
    /// So many cached answers, picked at random; fewer if there are not as many.
    #[serde(deserialize_with = "whole")]
    #[schema(minimum = 1, maximum = 100)]
    answers: u32,
}

/// Compares cached answers with the database and removes those that differ.
#[utoipa::path(post, path = "/admin/cache/verify", operation_id = "cache_verify", tag = "cache",
    request_body = VerifyBody, security(("token" = [])), responses(
        (status = 200, body = VerifyReport, description = "How they compare"),
        (status = 409, description = "The cache is off")))]
pub async fn verify(
    _: Admin,
    State(app): State<AppState>,
    JsonBody(VerifyBody { answers }): JsonBody<VerifyBody>,
) -> Result<Json<VerifyReport>, ApiError> {
    within("answers", answers, VERIFY_ANSWERS_MAX)?;
    Ok(Json(app.cache_admin.verify(answers).await?))
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
        Self::Conflict(error.to_string())
    }
}
