//! What Redis says about itself, and the commands of operators: memory, scans, samples, and the planned strategy's own
//! entries. Nothing here is part of the protocol.

use std::time::Duration;

use bytes::Bytes;
use redis::{RedisResult, aio::MultiplexedConnection};

use super::{L2, Operation, within};
use crate::{error::RedisFailure, key::Key, stats::Memory};

/// Keys that one SCAN looks at: some tens of microseconds of Redis' time, and as much for freeing them, so that others
/// are served in between. With 500, they waited more than a millisecond at p99 (`cargo bench -p benches --bench
/// cache`).
const SCAN_COUNT: usize = 100;

/// How long one step of an operator's command may take; clients do not wait for it.
const STEP_LIMIT: Duration = Duration::from_secs(2);

/// What `INFO memory` and `INFO stats` say.
fn parse_memory(info: &str) -> Memory {
    let number = |name| field(info, name).and_then(|text| text.parse().ok()).unwrap_or(0);
    Memory {
        used_bytes: number("used_memory"),
        max_bytes: Some(number("maxmemory")).filter(|&max| max > 0),
        evicted_keys: number("evicted_keys"),
    }
}

/// The name that the server gave itself when it was started.
pub(super) async fn run_id(connection: &mut MultiplexedConnection) -> RedisResult<String> {
    let info: String = redis::cmd("INFO").arg("server").query_async(connection).await?;
    Ok(field(&info, "run_id").unwrap_or_default().to_owned())
}

/// The value of a `name:value` line.
fn field<'a>(info: &'a str, name: &str) -> Option<&'a str> {
    info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
}

impl L2 {
    /// How full Redis is.
    pub(crate) async fn memory(&self) -> Result<Memory, RedisFailure> {
        let mut pipeline = redis::pipe();
        pipeline.cmd("INFO").arg("memory").cmd("INFO").arg("stats");
        let (memory, stats): (String, String) = self
            .run(Operation::aside("memory"), |mut connection| async move {
                pipeline.query_async(&mut connection).await
            })
            .await?;
        Ok(parse_memory(&(memory + &stats)))
    }

    /// Frees the entries of an endpoint (all of them if none is named), some hundred keys at a time. Returns how many.
    pub(crate) async fn unlink_entries(&self, endpoint: Option<&str>) -> Result<u64, RedisFailure> {
        let prefix = endpoint.map_or_else(String::new, |endpoint| glob_escape(&Key::prefix_of(endpoint)));
        let pattern = format!("{}:e:{prefix}*", glob_escape(&self.names.namespace));
        self.scan_and("UNLINK", &pattern).await
    }

    /// Deletes the planned strategy's entries whose name matches `pattern`, as the plan does.
    pub(crate) async fn delete_planned(&self, pattern: &str) -> Result<u64, RedisFailure> {
        self.scan_and("DEL", &self.names.planned(pattern)).await
    }

    async fn scan_and(&self, command: &'static str, pattern: &str) -> Result<u64, RedisFailure> {
        let (mut cursor, mut removed) = (0_u64, 0);
        loop {
            let (next, names) = self.scan(cursor, pattern).await?;
            if !names.is_empty() {
                removed += self.remove(command, &names).await?;
            }
            if next == 0 {
                return Ok(removed);
            }
            cursor = next;
        }
    }

    async fn scan(&self, cursor: u64, pattern: &str) -> Result<(u64, Vec<Bytes>), RedisFailure> {
        let mut scan = redis::cmd("SCAN");
        scan.arg(cursor).arg("MATCH").arg(pattern).arg("COUNT").arg(SCAN_COUNT);
        self.step(scan).await
    }

    async fn remove(&self, command: &str, names: &[Bytes]) -> Result<u64, RedisFailure> {
        let mut remove = redis::cmd(command);
        for name in names {
            remove.arg(&name[..]);
        }
        self.step(remove).await
    }

    /// One step of an operator's command: not through the breaker, because its slowness says nothing about clients'.
    async fn step<T: redis::FromRedisValue>(&self, command: redis::Cmd) -> Result<T, RedisFailure> {
        let live = self.link.current().ok_or(RedisFailure::NotConnected)?;
        let mut connection = live.connection;
        connection.set_response_timeout(STEP_LIMIT);
        within(STEP_LIMIT, command.query_async(&mut connection)).await
    }

    /// The planned strategy's entry of this name.
    pub(crate) async fn read_planned(&self, name: &str) -> Result<Option<Bytes>, RedisFailure> {
        let name = self.names.planned(name);
        self.run(Operation::need("planned_read"), |mut connection| async move {
            redis::cmd("GET").arg(name).query_async(&mut connection).await
        })
        .await
    }

    /// Stores an entry of the planned strategy for whole seconds, whatever happened since it was loaded.
    pub(crate) async fn store_planned(&self, name: &str, text: Vec<u8>, ttl: Duration) -> Result<(), RedisFailure> {
        let name = self.names.planned(name);
        let seconds = ttl.as_secs().max(1);
        self.run(Operation::need("planned_store"), |mut connection| async move {
            let mut store = redis::cmd("SETEX");
            store
                .arg(name)
                .arg(seconds)
                .arg(text)
                .query_async(&mut connection)
                .await
        })
        .await
    }

    /// Keys of entries that Redis picks at random, the planned strategy's included, up to `count`. Only those whose
    /// endpoint is one of `endpoints` can be read back.
    pub(crate) async fn random_keys(&self, count: usize, endpoints: &[&'static str]) -> Result<Vec<Key>, RedisFailure> {
        let mut pipeline = redis::pipe();
        for _ in 0..count {
            pipeline.cmd("RANDOMKEY");
        }
        let names: Vec<Option<Bytes>> = self
            .run(Operation::aside("random_keys"), |mut connection| async move {
                pipeline.query_async(&mut connection).await
            })
            .await?;
        let key_of = |name: Bytes| {
            let name = std::str::from_utf8(&name).ok()?.strip_prefix(&self.names.namespace)?;
            match name.strip_prefix(":e:") {
                Some(text) => Key::parse(text, endpoints),
                None => Key::from_readable(name.strip_prefix(":p:")?, endpoints),
            }
        };
        Ok(names.into_iter().flatten().filter_map(key_of).collect())
    }
}

/// `text` as a glob that matches it alone.
fn glob_escape(text: &str) -> String {
    let mut glob = String::with_capacity(text.len());
    for character in text.chars() {
        if matches!(character, '*' | '?' | '[' | ']' | '\\' | '^' | '-') {
            glob.push('\\');
        }
        glob.push(character);
    }
    glob
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_read_out_of_info_and_zero_is_no_limit() {
        let info = "used_memory:900\r\nused_memory_rss:2000\r\nmaxmemory:1000\r\nevicted_keys:7\r\n";
        let memory = parse_memory(info);
        assert_eq!(memory.share(), Some(0.9));
        assert_eq!(memory.evicted_keys, 7);
        assert_eq!(parse_memory("used_memory:900\r\nmaxmemory:0\r\n").share(), None);
    }

    #[test]
    fn a_name_with_wildcards_matches_itself_alone() {
        assert_eq!(glob_escape("4:a*b?,"), "4:a\\*b\\?,");
    }
}
