//! Access tokens.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::extract::{ClientAddress, JsonBody};
use crate::app::AppState;
use crate::auth::PasswordError;
use crate::errors::{ApiError, Cause};
use crate::usecases::LoginError;

/// Name and password.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Credentials {
    /// Name of the user.
    username: String,
    /// The password in clear.
    password: String,
}

/// A token, in the words of RFC 6750 and with the unit in the name.
#[derive(Serialize, ToSchema)]
pub struct TokenBody {
    /// Send it as `Authorization: Bearer TOKEN`.
    access_token: String,
    /// `Bearer`.
    token_type: &'static str,
    /// How long it is accepted, in seconds.
    expires_in_s: u64,
}

/// A token for a name and a password.
#[utoipa::path(post, path = "/auth/token", operation_id = "token", tag = "auth", request_body = Credentials,
    responses(
        (status = 200, body = TokenBody, description = "The token"),
        (status = 401, description = "Name and password do not belong together"),
        (status = 429, description = "This name, or this address, has tried too often")))]
pub async fn token(
    State(app): State<AppState>,
    ClientAddress(from): ClientAddress,
    JsonBody(credentials): JsonBody<Credentials>,
) -> Result<Json<TokenBody>, ApiError> {
    let issued = app.login.run(from, &credentials.username, credentials.password).await?;
    // One answer for an unknown name and for a wrong password: which names exist is nobody's business.
    let issued = issued.ok_or(ApiError::Unauthorized("name and password do not belong together"))?;
    Ok(Json(TokenBody {
        access_token: issued.token,
        token_type: "Bearer",
        expires_in_s: issued.ttl.as_secs(),
    }))
}

impl From<LoginError> for ApiError {
    fn from(error: LoginError) -> Self {
        match error {
            LoginError::Password(PasswordError::Busy) => Self::Busy,
            LoginError::Throttled { wait } => Self::TooManyRequests {
                detail: "too many wrong passwords for this name or from this address: wait for the Retry-After",
                retry_after_s: wait.as_secs() + 1,
            },
            LoginError::Store(store) if store.is_unavailable() => Self::Unavailable(Cause::new(store)),
            error => Self::Internal(Cause::new(error)),
        }
    }
}
