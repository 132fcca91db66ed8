//! The guards of the routes. A handler that takes one of these cannot run for anybody else, and since an extractor runs
//! before the handler, authorisation comes before the cache.

use std::time::Instant;

use axum::extract::FromRequestParts;
use axum::http::header::{AUTHORIZATION, SEC_WEBSOCKET_PROTOCOL};
use axum::http::request::Parts;

use super::Caller;
use crate::app::AppState;
use crate::domain::ids::DriverId;
use crate::errors::ApiError;
use crate::routes::extract::DriverPath;
use crate::shares::Share;

/// The caller is an administrator.
#[derive(Debug, Clone, Copy)]
pub struct Admin;

/// The caller may see the driver named by `{id}` in the path: an administrator, or that driver, who holds one of the
/// driver's shares while this lives.
pub struct DriverScope(pub DriverId, pub Option<Share<DriverId>>);

/// Who opens a WebSocket, and the token, which is looked at again while it is open.
pub struct LiveToken(pub Caller, pub Box<str>);

impl FromRequestParts<AppState> for Admin {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &AppState) -> Result<Self, ApiError> {
        match caller(parts, app)? {
            Caller::Admin => Ok(Self),
            Caller::Driver(_) => Err(ApiError::Forbidden),
        }
    }
}

impl FromRequestParts<AppState> for DriverScope {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &AppState) -> Result<Self, ApiError> {
        let caller = caller(parts, app)?;
        let DriverPath(wanted) = DriverPath::from_request_parts(parts, app).await?;
        match caller {
            Caller::Admin => Ok(Self(wanted, None)),
            Caller::Driver(own) if own == wanted => {
                let share = app.shares.take(own).ok_or(ApiError::TooManyRequests {
                    detail: "this driver has too many requests in flight: wait for one of them",
                    retry_after_s: 1,
                })?;
                if !parts.method.is_safe() {
                    count_write(app, own)?;
                }
                Ok(Self(wanted, Some(share)))
            }
            Caller::Driver(_) => Err(ApiError::Forbidden),
        }
    }
}

fn count_write(app: &AppState, driver: DriverId) -> Result<(), ApiError> {
    match app.writes_by_driver.begin(driver, Instant::now()) {
        // Whether it is refused later or not: that costs, too.
        Ok(_counted) => Ok(()),
        Err(wait) => Err(ApiError::TooManyRequests {
            detail: "this driver has sent too many writes in a minute: wait for the Retry-After",
            retry_after_s: wait.as_secs() + 1,
        }),
    }
}

fn caller(parts: &Parts, app: &AppState) -> Result<Caller, ApiError> {
    let header = parts
        .headers
        .get(AUTHORIZATION)
        .ok_or(ApiError::Unauthorized("no access token was sent"))?;
    let token = header
        .to_str()
        .ok()
        .and_then(bearer)
        .ok_or(ApiError::Unauthorized("not a bearer token"))?;
    verified(token, app)
}

fn verified(token: &str, app: &AppState) -> Result<Caller, ApiError> {
    app.tokens.verify(token).map_err(|error| {
        tracing::debug!(%error, "refused a token");
        ApiError::Unauthorized("the access token is not valid")
    })
}

/// What the name of the subprotocol begins with by which a browser tells its token.
const BEARER_SUBPROTOCOL: &str = "bearer.";

impl FromRequestParts<AppState> for LiveToken {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &AppState) -> Result<Self, ApiError> {
        let header = parts
            .headers
            .get(AUTHORIZATION)
            .and_then(|header| bearer(header.to_str().ok()?));
        let named = parts.headers.get_all(SEC_WEBSOCKET_PROTOCOL).into_iter();
        let named = named
            .filter_map(|names| names.to_str().ok())
            .flat_map(|names| names.split(','));
        let mut named = named.filter_map(|name| name.trim().strip_prefix(BEARER_SUBPROTOCOL));
        let token = header
            .or_else(|| named.next())
            .ok_or(ApiError::Unauthorized("no access token was sent"))?;
        Ok(Self(verified(token, app)?, token.into()))
    }
}

/// The token of `Bearer TOKEN`; the scheme's case does not matter (RFC 9110, section 11.1).
fn bearer(header: &str) -> Option<&str> {
    let (scheme, token) = header.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bearer_token_is_found_whatever_the_case_of_its_scheme() {
        assert_eq!(bearer("Bearer abc"), Some("abc"));
        assert_eq!(bearer("bearer  abc "), Some("abc"));
        assert_eq!(bearer("Basic abc"), None);
        assert_eq!(bearer("Bearer"), None);
    }
}
