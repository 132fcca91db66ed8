//! A Redis server that somebody else runs. It is asked what it is, and otherwise left alone.

use ::redis::{ErrorKind, RedisError};
use url::Url;

use super::admin::{self, Facts};
use crate::choose::address;
use crate::error::StackError;
use crate::info::Server;
use crate::options::External;
use crate::urls;

const SERVER: Server = Server::Redis;
/// Error codes by which Redis asks for a password or refuses one.
const AUTHENTICATION_CODES: [&str; 3] = ["NOAUTH", "WRONGPASS", "NOPERM"];

/// Connects once and asks for the facts.
pub(super) async fn connect(external: &External) -> Result<(Url, Facts), StackError> {
    let text = address(SERVER, external).ok_or(StackError::MissingUrl { server: SERVER })?;
    let mut url = urls::parse(SERVER, text, &["redis", "rediss", "redis+unix", "unix"])?;
    if let Some(password) = external.redis_password.as_deref() {
        url.set_password(Some(password)).map_err(|()| no_room_for_password())?;
    }
    let facts = admin::facts(&url).await.map_err(|error| StackError::External {
        server: SERVER,
        place: urls::redacted(&url),
        problem: error.to_string(),
        advice: advice(&error),
    })?;
    Ok((url, facts))
}

fn no_room_for_password() -> StackError {
    StackError::Option {
        name: "REDIS_PASSWORD",
        problem: "the form of REDIS_URL has no place for a password".to_owned(),
        advice: "write REDIS_URL like redis://host:6379, or put the password into it (unix:///path?pass=...)"
            .to_owned(),
    }
}

fn advice(error: &RedisError) -> &'static str {
    let code = error.code().unwrap_or_default();
    if error.kind() == ErrorKind::AuthenticationFailed || AUTHENTICATION_CODES.contains(&code) {
        return "check REDIS_PASSWORD, or the user and password in REDIS_URL";
    }
    "check that the server runs and that REDIS_URL has its host and port"
}
