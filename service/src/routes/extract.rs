//! Extractors whose refusals are problem documents, as every other answer of the service.

use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr};

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::HeaderValue;
use axum::http::header::IF_NONE_MATCH;
use axum::http::request::Parts;
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer};
use serde_json::Number;
use serde_json::value::RawValue;
use tiered_cache::Place;
use utoipa::IntoParams;

use crate::app::AppState;
use crate::domain::ids::{ClaimId, DriverId};
use crate::encoding;
use crate::errors::ApiError;
use crate::server::PeerAddress;
use crate::store::PageRequest;
use crate::store::page::{LIMIT_MAX, PageLimit};
use crate::usecases::{Answer, CursorForm, CursorKey, Question, ReadError};

/// The driver named by `{id}` in the path.
#[derive(Debug, Clone, Copy)]
pub struct DriverPath(pub DriverId);

impl FromRequestParts<AppState> for DriverPath {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &AppState) -> Result<Self, ApiError> {
        let number = path_number(parts, app, "a driver's id is a whole number from 1").await?;
        Ok(Self(DriverId(number)))
    }
}

/// The claim named by `{id}` in the path.
#[derive(Debug, Clone, Copy)]
pub struct ClaimPath(pub ClaimId);

impl FromRequestParts<AppState> for ClaimPath {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &AppState) -> Result<Self, ApiError> {
        let number = path_number(parts, app, "a claim's id is a whole number from 1").await?;
        Ok(Self(ClaimId(number)))
    }
}

async fn path_number(parts: &mut Parts, app: &AppState, rule: &'static str) -> Result<i64, ApiError> {
    let id = Path::<i64>::from_request_parts(parts, app)
        .await
        .ok()
        .map(|Path(id)| id)
        .filter(|id| *id > 0);
    id.ok_or_else(|| ApiError::BadRequest(rule.to_owned()))
}

/// Address of the client: of the connection, or what the proxy in front says of it.
#[derive(Debug, Clone, Copy)]
pub struct ClientAddress(pub IpAddr);

impl FromRequestParts<AppState> for ClientAddress {
    type Rejection = Infallible;

    /// A client that the proxy says nothing readable of shares the address of the proxy.
    async fn from_request_parts(parts: &mut Parts, app: &AppState) -> Result<Self, Infallible> {
        let told = app.client_address_header.as_ref().and_then(|header| {
            let last = parts.headers.get_all(header).iter().next_back()?;
            last.to_str().ok()?.rsplit(',').next()?.trim().parse().ok()
        });
        let connected = parts.extensions.get::<PeerAddress>().map(|peer| peer.0);
        Ok(Self(told.or(connected).unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED))))
    }
}

/// The header by which a client names a request, so that its retries are not taken for others.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "tells the OpenAPI document what IdempotencyKey reads")]
pub struct IdempotencyKeyHeader {
    /// Name of the request, one of its driver's; a retry has the same. Kept for a day.
    #[param(rename = "idempotency-key", pattern = "^[!-~]{1,128}$", required = false)]
    idempotency_key: Option<String>,
}

/// The name of a request, if the client gives it one.
pub struct IdempotencyKey(pub Option<String>);

/// Longest name of a request, in characters: a UUID has 36, and some clients put two together.
const KEY_MAX: usize = 128;

impl FromRequestParts<AppState> for IdempotencyKey {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &AppState) -> Result<Self, ApiError> {
        let Some(header) = parts.headers.get("idempotency-key") else {
            return Ok(Self(None));
        };
        let key = header
            .to_str()
            .ok()
            .filter(|key| (1..=KEY_MAX).contains(&key.len()) && key.bytes().all(|byte| byte.is_ascii_graphic()));
        let rule = || ApiError::BadRequest("idempotency-key has 1 to 128 visible characters of ASCII".to_owned());
        Ok(Self(Some(key.ok_or_else(rule)?.to_owned())))
    }
}

/// Page of a list, as the query names it.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct PageQuery {
    /// Rows at most.
    #[param(minimum = 1, maximum = 200, default = 50)]
    limit: Option<u16>,
    /// The `next_cursor` of the page before; absent for the first page.
    #[param(pattern = "^[A-Za-z0-9_-]{1,200}$")]
    cursor: Option<String>,
}

impl FromRequestParts<AppState> for PageQuery {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &AppState) -> Result<Self, ApiError> {
        match Query::<Self>::from_request_parts(parts, app).await {
            Ok(Query(query)) => Ok(query),
            Err(rejection) => Err(ApiError::BadRequest(rejection.body_text())),
        }
    }
}

impl PageQuery {
    /// The page of the list `scope`.
    pub fn page<K: CursorForm>(&self, cursors: &CursorKey, scope: &str) -> Result<PageRequest<K>, ApiError> {
        let limit = match self.limit {
            Some(rows) => PageLimit::new(rows).ok_or_else(|| ApiError::BadRequest(limit_rule()))?,
            None => PageLimit::DEFAULT,
        };
        let open = |cursor: &String| {
            cursors
                .open(scope, cursor)
                .ok_or_else(|| ApiError::BadRequest("cursor is not one that this list has given".to_owned()))
        };
        let from = self.cursor.as_ref().map(open).transpose()?;
        Ok(PageRequest { limit, from })
    }
}

fn limit_rule() -> String {
    format!("limit must be from 1 to {LIMIT_MAX}")
}

/// The header by which a client says which write it knows of.
const X_CACHE_SEQ: &str = "x-cache-seq";

/// Asks for a client: it gets nothing older than the write that it knows of, on whatever replica it was made.
pub struct Ask {
    app: AppState,
    place: Option<Place>,
}

impl FromRequestParts<AppState> for Ask {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &AppState) -> Result<Self, ApiError> {
        let place = parts.headers.get(X_CACHE_SEQ).map(place).transpose()?;
        if let Some(known) = parts.headers.get(IF_NONE_MATCH) {
            let is_known_answer = known.to_str().is_ok_and(encoding::is_known_answer);
            is_known_answer.then_some(()).ok_or_else(|| {
                ApiError::BadRequest("if-none-match is * or a list of tags in quotes, as etag gives them".to_owned())
            })?;
        }
        let app = app.clone();
        Ok(Self { app, place })
    }
}

impl Ask {
    /// The answer to `question`; `None` when there is no such thing.
    pub async fn about(&self, question: Question) -> Result<Option<Answer>, ReadError> {
        self.app.reads.ask_after(self.place, question).await
    }
}

fn place(header: &HeaderValue) -> Result<Place, ApiError> {
    let place = header.to_str().ok().and_then(|text| text.parse().ok());
    place.ok_or_else(|| ApiError::BadRequest("x-cache-seq is what a write has answered, unchanged".to_owned()))
}

/// A JSON body: an object.
pub struct JsonBody<T>(pub T);

impl<T: DeserializeOwned> FromRequest<AppState> for JsonBody<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, app: &AppState) -> Result<Self, ApiError> {
        match Json::<Box<RawValue>>::from_request(request, app).await {
            Ok(Json(body)) => read_object(body.get()).map(Self),
            Err(rejection) => Err(refusal(&rejection)),
        }
    }
}

/// For fields of a patch: absent means that nothing changes. `null` would mean to take the value away (RFC 7396), which
/// no field here allows.
pub(super) fn given<'de, D: Deserializer<'de>, T: Deserialize<'de>>(field: D) -> Result<Option<T>, D::Error> {
    T::deserialize(field).map(Some)
}

/// A whole number, also when it is spelt `6.0`: to JSON Schema, and so to the OpenAPI document, that is the same
/// number.
pub(super) fn whole<'de, D: Deserializer<'de>, T: TryFrom<i64>>(field: D) -> Result<T, D::Error> {
    let number = Number::deserialize(field)?;
    let whole = number.as_i64().or_else(|| whole_part(number.as_f64()?));
    whole
        .and_then(|whole| T::try_from(whole).ok())
        .ok_or_else(|| D::Error::custom(format!("`{number}` is not a whole number in the range of the field")))
}

/// [`whole`] and [`given`] together.
pub(super) fn given_whole<'de, D: Deserializer<'de>, T: TryFrom<i64>>(field: D) -> Result<Option<T>, D::Error> {
    whole(field).map(Some)
}

/// Exact: beyond 2^53 a float does not tell which number was meant.
fn whole_part(number: f64) -> Option<i64> {
    const EXACT_MAX: f64 = 9_007_199_254_740_992.0;
    let is_exact = number.fract() == 0.0 && number.abs() <= EXACT_MAX;
    #[expect(clippy::cast_possible_truncation, reason = "whole and within 2^53")]
    is_exact.then_some(number as i64)
}

/// Reads `json`, which is whole. serde would take an array of the fields' values for the object.
fn read_object<T: DeserializeOwned>(json: &str) -> Result<T, ApiError> {
    if !json.trim_start().starts_with('{') {
        return Err(ApiError::Unprocessable("the body is not a JSON object".to_owned()));
    }
    match Json::from_bytes(json.as_bytes()) {
        Ok(Json(body)) => Ok(body),
        Err(rejection) => Err(refusal(&rejection)),
    }
}

fn refusal(rejection: &JsonRejection) -> ApiError {
    match rejection {
        JsonRejection::MissingJsonContentType(_) => ApiError::UnsupportedMediaType,
        JsonRejection::JsonDataError(error) => ApiError::Unprocessable(error.body_text()),
        _ => ApiError::BadRequest(rejection.body_text()),
    }
}
