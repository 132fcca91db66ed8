//! Users that may log in.

use std::collections::HashMap;
use std::time::Duration;

use sqlx::{FromRow, PgPool};

use super::StoreError;
use super::ask::Ask as _;
use super::cache_outbox::interval;
use crate::domain::ids::{DriverId, UserRole};

/// A user with the hash to check a password against.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct UserRow {
    /// Number.
    pub id: i64,
    /// Name, unique.
    pub username: String,
    /// PHC string of the password's argon2id hash.
    pub password_hash: String,
    /// Rights of the user.
    pub role: UserRole,
    /// The driver that a user of role [`UserRole::Driver`] is.
    pub driver_id: Option<DriverId>,
}

/// Since when tokens count, in seconds since 1970, of those users whose rights changed within the last `age`; older
/// changes are forgotten.
pub async fn revocations(pool: &PgPool, age: Duration) -> Result<HashMap<String, u64>, StoreError> {
    // One statement: what is removed is not needed in the answer.
    let rows: Vec<(String, i64)> = sqlx::query(
        "WITH old AS (DELETE FROM token_revocations WHERE revoked_at < now() - $1)
         SELECT username, floor(extract(epoch FROM revoked_at))::bigint + 1 FROM token_revocations
          WHERE revoked_at >= now() - $1",
    )
    .bind(interval(age))
    .all(pool, "read whose tokens are revoked")
    .await?;
    let rows = rows.into_iter();
    Ok(rows
        .map(|(name, since)| (name, u64::try_from(since).unwrap_or_default()))
        .collect())
}

/// The user of that name, if there is one.
pub async fn find_by_name(pool: &PgPool, username: &str) -> Result<Option<UserRow>, StoreError> {
    sqlx::query("SELECT id, username, password_hash, role, driver_id FROM users WHERE username = $1")
        .bind(username)
        .find(pool, "look up a user")
        .await
}
