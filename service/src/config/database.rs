//! Postgres: where it is, how many connections the service holds, and how long their statements may take.

use std::time::Duration;

use super::address;
use super::reader::{Reader, Secret, whole_from_1};

const DEFAULT_POOL_SIZE: u32 = 20;
/// A fifth of the default pool; more of them would only wait for each other in Postgres.
const SHARE_OF_EVENTS_MAX: usize = 4;
const DEFAULT_LOCK_TIMEOUT_MS: u64 = 2_000;
const DEFAULT_STATEMENT_TIMEOUT_MS: u64 = 8_000;

/// The database side.
#[derive(Debug, Clone)]
pub struct DatabaseConfig {
    /// `DATABASE_URL`, `postgres://user:password@host:port/database`, no default. Secret because of the password, whose
    /// special characters are percent-encoded (`#` as `%23`), or which stands in `DATABASE_PASSWORD`.
    pub url: Secret,
    /// `DATABASE_PASSWORD`, text as it is, default none: the password, instead of the one in `DATABASE_URL`.
    pub password: Option<Secret>,
    /// `DATABASE_POOL_SIZE`, connections, default 20: enough to keep Postgres busy on a few cores, few enough that its
    /// processes do not fight each other.
    pub pool_size: u32,
    /// `DATABASE_LOCK_TIMEOUT_MS`, milliseconds, default 2000: a statement that has waited for a lock for so long is
    /// given up and answered with 503. Longer than any healthy transaction holds a row.
    pub lock_timeout: Duration,
    /// `DATABASE_STATEMENT_TIMEOUT_MS`, milliseconds, default 8000: the same for one that takes so long. Below
    /// `HTTP_TIMEOUT_MS`, after which nobody waits for it.
    pub statement_timeout: Duration,
}

impl DatabaseConfig {
    /// Connections that one role of events may hold at once: a fifth of the pool and four at most, so that requests
    /// keep the rest however small it is.
    pub fn share_of_events(&self) -> usize {
        usize::try_from(self.pool_size / 5).map_or(SHARE_OF_EVENTS_MAX, |fifth| fifth.clamp(1, SHARE_OF_EVENTS_MAX))
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        let url = reader.required("DATABASE_URL", "postgres://user:password@127.0.0.1:5432/insurance");
        if let Some(problem) = url_problem(&url) {
            reader.refuse("DATABASE_URL", problem);
        }
        let milliseconds = |reader: &mut Reader<'_>, variable, default_ms| {
            Duration::from_millis(reader.or(variable, default_ms, whole_from_1(600_000)))
        };
        Self {
            url: Secret::new(url),
            password: reader.secret("DATABASE_PASSWORD"),
            pool_size: reader.or("DATABASE_POOL_SIZE", DEFAULT_POOL_SIZE, whole_from_1(1_000)),
            lock_timeout: milliseconds(reader, "DATABASE_LOCK_TIMEOUT_MS", DEFAULT_LOCK_TIMEOUT_MS),
            statement_timeout: milliseconds(reader, "DATABASE_STATEMENT_TIMEOUT_MS", DEFAULT_STATEMENT_TIMEOUT_MS),
        }
    }
}

/// The value is never repeated: it may hold a password.
fn url_problem(url: &str) -> Option<String> {
    if url.is_empty() {
        // That it is not set has been said.
        return None;
    }
    let rest = url
        .strip_prefix("postgres://")
        .or_else(|| url.strip_prefix("postgresql://"));
    let Some(rest) = rest else {
        return Some("does not start with postgres://".to_owned());
    };
    address::problem(rest, "DATABASE_PASSWORD").or_else(|| tls_problem(rest))
}

/// Without TLS in this build, these would be refused at each connection, long after the start.
fn tls_problem(rest: &str) -> Option<String> {
    let (_, parameters) = rest.split_once('?')?;
    let mode = parameters.split('&').find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        (name == "sslmode" || name == "ssl-mode").then_some(value)
    })?;
    let is_asked_for = ["require", "verify-ca", "verify-full"].contains(&mode);
    is_asked_for.then(|| {
        format!(
            "asks for TLS (sslmode={mode}), which this build does not have; reach Postgres by a private network or a \
             local TLS proxy (stunnel, a sidecar), with sslmode=disable"
        )
    })
}
