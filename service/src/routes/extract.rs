//! Extractors whose refusals are problem documents, as every other answer of the service.

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{FromRequest, FromRequestParts, Path, Request};
use axum::http::StatusCode;
use axum::http::request::Parts;
use serde::de::DeserializeOwned;

use crate::app::AppState;
use crate::domain::ids::DriverId;
use crate::errors::ApiError;

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
    let id = Path::<i64>::from_request_parts(parts, app)
        .await
        .ok()
        .map(|Path(id)| id)
        .filter(|id| *id > 0);
    id.map(DriverId)
        .ok_or_else(|| ApiError::BadRequest("a driver's id is a whole number from 1".to_owned()))
}

/// A JSON body.
pub struct JsonBody<T>(pub T);

impl<T: DeserializeOwned> FromRequest<AppState> for JsonBody<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, app: &AppState) -> Result<Self, ApiError> {
        match Json::<T>::from_request(request, app).await {
            Ok(Json(body)) => Ok(Self(body)),
            Err(rejection) => Err(refusal(&rejection)),
        }
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
