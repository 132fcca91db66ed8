//! Events as they happen.

use axum::extract::FromRequestParts;
use axum::extract::State;
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::http::request::Parts;
use axum::response::Response;

use crate::app::AppState;
use crate::auth::{Caller, LiveToken};
use crate::errors::{ApiError, Cause};
use crate::live::{READ_BUFFER_BYTES, Refusal, SUBPROTOCOL, Scope, WRITE_BUFFER_BYTES};
use crate::server::ConnectionShare;

/// A client's message, at most: a subscription with a thousand drivers.
const MESSAGE_MAX_BYTES: usize = 16 * 1024;
/// What the library may hold of frames that the socket does not take: the client's queue is where they wait.
const WRITE_MAX_BYTES: usize = 1024 * 1024;

/// Events about drivers as they happen, over a WebSocket; docs/SERVICE.md has the messages. An administrator may watch
/// everything, a driver that driver. A browser, which cannot send the header, names the subprotocols `live.v1` and
/// `bearer.TOKEN`.
#[utoipa::path(get, path = "/live", operation_id = "live_events", tag = "live", security(("token" = [])),
    responses((status = 101, description = "The WebSocket"),
        (status = 426, description = "Not a WebSocket handshake")))]
pub async fn watch(
    LiveToken(caller, token): LiveToken,
    State(app): State<AppState>,
    Handshake(upgrade, share): Handshake,
) -> Result<Response, ApiError> {
    let admission = app.live.admit().map_err(ApiError::from)?;
    let (hub, scope) = (app.live.clone(), scope(caller));
    let upgrade = upgrade
        .protocols([SUBPROTOCOL])
        .read_buffer_size(READ_BUFFER_BYTES)
        .write_buffer_size(WRITE_BUFFER_BYTES)
        .max_write_buffer_size(WRITE_MAX_BYTES)
        .max_message_size(MESSAGE_MAX_BYTES)
        .max_frame_size(MESSAGE_MAX_BYTES);
    Ok(upgrade.on_upgrade(move |socket| async move {
        let _share = share;
        hub.serve(admission, scope, token, socket).await;
    }))
}

fn scope(caller: Caller) -> Scope {
    match caller {
        Caller::Admin => Scope::All,
        Caller::Driver(id) => Scope::Driver(id),
    }
}

impl From<Refusal> for ApiError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Full | Refusal::TooFast => Self::Busy,
            Refusal::Closed => Self::Unavailable(Cause::new(refusal)),
        }
    }
}

/// The request is a handshake; with the client's share of connections, which the socket keeps.
pub struct Handshake(WebSocketUpgrade, Option<ConnectionShare>);

impl FromRequestParts<AppState> for Handshake {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &AppState) -> Result<Self, ApiError> {
        let share = parts.extensions.remove::<ConnectionShare>();
        match WebSocketUpgrade::from_request_parts(parts, app).await {
            Ok(upgrade) => Ok(Self(upgrade, share)),
            Err(WebSocketUpgradeRejection::WebSocketKeyHeaderMissing(_)) => {
                Err(ApiError::BadRequest("Sec-WebSocket-Key is missing".to_owned()))
            }
            Err(_) => Err(ApiError::UpgradeRequired),
        }
    }
}
