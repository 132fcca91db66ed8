//! Access tokens.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};

use super::extract::JsonBody;
use crate::app::AppState;
use crate::auth::PasswordError;
use crate::errors::{ApiError, Cause};
use crate::usecases::LoginError;

/// Name and password.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Credentials {
    username: String,
    password: String,
}

/// A token, in the words of RFC 6750 and with the unit in the name.
#[derive(Serialize)]
pub struct TokenBody {
    access_token: String,
    token_type: &'static str,
    expires_in_s: u64,
}

/// `POST /auth/token`: a token for a name and a password.
pub async fn token(
    State(app): State<AppState>,
    JsonBody(credentials): JsonBody<Credentials>,
) -> Result<Json<TokenBody>, ApiError> {
    let issued = app.login.run(&credentials.username, credentials.password).await?;
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
            LoginError::Store(store) if store.is_unavailable() => Self::Unavailable(Cause::new(store)),
            error => Self::Internal(Cause::new(error)),
        }
    }
}
