//! The administrative commands: facts about the server, and emptying it. Each call opens a connection of its own.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use ::redis::aio::MultiplexedConnection;
use ::redis::{AsyncConnectionConfig, RedisError, RedisResult};
use url::Url;

use crate::info::join_notes;
use crate::kind::Facts;

/// A server that accepts the connection but does not answer must not be waited for until TCP gives up.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);
/// Removing half a gigabyte of keys takes a moment; anything beyond this is a server that hangs.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);
/// The settings that a reader of the record needs to know.
const RECORDED_SETTINGS: [&str; 4] = ["maxmemory", "maxmemory-policy", "appendonly", "save"];

/// Where a server is.
#[derive(Clone)]
pub struct Client {
    /// With its password, if it has one.
    pub(super) url: Url,
}

impl Client {
    pub(super) async fn flush(&self) -> RedisResult<()> {
        let mut connection = connect(&self.url).await?;
        ::redis::cmd("FLUSHALL").arg("SYNC").query_async(&mut connection).await
    }
}

/// Facts, and by what the server can be told from others.
pub(super) struct Found {
    pub(super) facts: Facts,
    /// The server's own process id, on its machine.
    pub(super) process_id: Option<u32>,
}

/// Asks for everything that goes into the record.
pub(super) async fn facts(url: &Url) -> RedisResult<Found> {
    let mut connection = connect(url).await?;
    let info: String = ::redis::cmd("INFO").arg("server").query_async(&mut connection).await?;
    let version = field(&info, "redis_version").unwrap_or("unknown").to_owned();
    let process_id = field(&info, "process_id").and_then(|id| id.parse().ok());
    let settings = settings(&mut connection).await?;
    let facts = Facts {
        version,
        note: note(&settings),
        settings,
    };
    Ok(Found { facts, process_id })
}

/// Note for a server whose settings make its figures incomplete or not comparable. The settings are empty where
/// `CONFIG` is not permitted.
fn note(settings: &BTreeMap<String, String>) -> Option<String> {
    let mut notes = Vec::new();
    if settings.is_empty() {
        notes.push("its settings are unknown: CONFIG GET was refused".to_owned());
    }
    if settings.get("maxmemory").is_some_and(|bytes| bytes == "0") {
        notes.push("maxmemory is 0, so the cache grows without a bound and nothing is evicted".to_owned());
    }
    join_notes(&notes)
}

async fn connect(url: &Url) -> RedisResult<MultiplexedConnection> {
    let client = ::redis::Client::open(url.as_str())?;
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(CONNECT_LIMIT))
        .set_response_timeout(Some(ANSWER_LIMIT));
    client.get_multiplexed_async_connection_with_config(&config).await
}

/// Managed servers rename or forbid `CONFIG`; that costs the settings, not the run.
async fn settings(connection: &mut MultiplexedConnection) -> RedisResult<BTreeMap<String, String>> {
    let mut settings = BTreeMap::new();
    for name in RECORDED_SETTINGS {
        let answer: RedisResult<HashMap<String, String>> = ::redis::cmd("CONFIG")
            .arg("GET")
            .arg(name)
            .query_async(connection)
            .await;
        match answer {
            Ok(found) => settings.extend(found),
            Err(error) if is_refusal(&error) => break,
            Err(error) => return Err(error),
        }
    }
    Ok(settings)
}

/// The server answered, and the answer was no.
fn is_refusal(error: &RedisError) -> bool {
    error.code().is_some()
}

/// The value of a `name:value` line.
fn field<'a>(info: &'a str, name: &str) -> Option<&'a str> {
    info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_by_their_whole_name() {
        let info = "# Server\r\nredis_version_long:x\r\nredis_version:7.0.15\r\nprocess_id:42\r\n";
        assert_eq!(field(info, "redis_version"), Some("7.0.15"));
        assert_eq!(field(info, "process_id"), Some("42"));
        assert_eq!(field(info, "redis"), None);
    }

    #[test]
    fn a_server_without_a_memory_bound_is_noted() {
        let settings = BTreeMap::from([("maxmemory".to_owned(), "0".to_owned())]);
        assert!(note(&settings).is_some_and(|note| note.contains("maxmemory is 0")));
    }

    #[test]
    fn unknown_settings_are_noted() {
        assert!(note(&BTreeMap::new()).is_some_and(|note| note.contains("CONFIG GET was refused")));
    }
}
