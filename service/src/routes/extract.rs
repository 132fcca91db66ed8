//! Extractors whose refusals are problem documents, as every other answer of the service.

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::StatusCode;
use axum::http::request::Parts;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use utoipa::IntoParams;

use crate::app::AppState;
use crate::domain::ids::{ClaimId, DriverId};
use crate::errors::ApiError;
use crate::store::PageRequest;
use crate::store::page::{LIMIT_MAX, PageLimit};
use crate::usecases::{CursorForm, CursorKey};

/// The driver named by `{id}` in the path.
#[derive(Debug, Clone, Copy)]
pub struct DriverPath(pub DriverId);

impl FromRequestParts<AppState> for DriverPath {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &AppState) -> Result<Self, ApiError> {
        path_driver(parts, app).await.map(Self)
    }
}

/// The driver named by `{id}` in the path: a whole number from 1.
pub(crate) async fn path_driver(parts: &mut Parts, app: &AppState) -> Result<DriverId, ApiError> {
    path_number(parts, app, "a driver's id is a whole number from 1")
        .await
        .map(DriverId)
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

/// Which page of a list.
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
            None => PageLimit::default(),
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
        _ if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE => ApiError::TooLarge,
        _ => ApiError::BadRequest(rejection.body_text()),
    }
}
