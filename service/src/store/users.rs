//! Users that may log in.

use sqlx::{FromRow, PgPool};

use super::StoreError;
use super::ask::Ask as _;
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

/// The user of that name, if there is one.
pub async fn find_by_name(pool: &PgPool, username: &str) -> Result<Option<UserRow>, StoreError> {
    sqlx::query("SELECT id, username, password_hash, role, driver_id FROM users WHERE username = $1")
        .bind(username)
        .find(pool, "look up a user")
        .await
}
