//! Who may log in.

use sqlx::{FromRow, PgPool};

use super::StoreError;
use super::error::Doing;
use crate::domain::ids::{DriverId, UserRole};

/// A user with the hash to check a password against.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserRow {
    /// Number.
    pub id: i64,
    /// Name, unique.
    pub username: String,
    /// PHC string of the password's argon2id hash.
    pub password_hash: String,
    /// What the user may do.
    pub role: UserRole,
    /// The driver that a user of role [`UserRole::Driver`] is.
    pub driver_id: Option<DriverId>,
}

#[derive(FromRow)]
struct Columns {
    id: i64,
    username: String,
    password_hash: String,
    #[sqlx(try_from = "String")]
    role: UserRole,
    driver_id: Option<i64>,
}

impl From<Columns> for UserRow {
    fn from(row: Columns) -> Self {
        let Columns {
            id,
            username,
            password_hash,
            role,
            driver_id,
        } = row;
        Self {
            id,
            username,
            password_hash,
            role,
            driver_id: driver_id.map(DriverId),
        }
    }
}

/// The user of that name, if there is one.
pub async fn find_by_name(pool: &PgPool, username: &str) -> Result<Option<UserRow>, StoreError> {
    let row: Option<Columns> =
        sqlx::query_as("SELECT id, username, password_hash, role, driver_id FROM users WHERE username = $1")
            .bind(username)
            .fetch_optional(pool)
            .await
            .doing("look up a user")?;
    Ok(row.map(UserRow::from))
}
