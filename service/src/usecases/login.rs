//! Logging in: a name and a password become an access token.

use std::sync::Arc;

use sqlx::PgPool;

use crate::auth::{Caller, IssuedToken, PasswordError, PasswordGate, TokenError, TokenKeys};
use crate::domain::ids::UserRole;
use crate::store::StoreError;
use crate::store::users::{self, UserRow};

/// Why a login could not be decided (wrong credentials are no error).
#[derive(Debug, thiserror::Error)]
pub enum LoginError {
    /// The users could not be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The password could not be checked.
    #[error(transparent)]
    Password(#[from] PasswordError),
    /// The token could not be signed.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// The user's row contradicts itself.
    #[error("user {user} has the role driver, but no driver")]
    DriverMissing {
        /// The user's id.
        user: i64,
    },
}

/// Checks credentials and issues tokens.
pub struct Login {
    pool: PgPool,
    passwords: PasswordGate,
    tokens: Arc<TokenKeys>,
}

impl Login {
    /// Over the users of this database.
    pub fn new(pool: PgPool, passwords: PasswordGate, tokens: Arc<TokenKeys>) -> Self {
        Self {
            pool,
            passwords,
            tokens,
        }
    }

    /// A token, or `None` when name and password do not belong together. It takes as long for a name that does not exist.
    pub async fn run(&self, username: &str, password: String) -> Result<Option<IssuedToken>, LoginError> {
        let user = users::find_by_name(&self.pool, username).await?;
        let hash = user.as_ref().map(|user| user.password_hash.clone());
        let accepted = self.passwords.verify(password, hash).await?;
        match user.filter(|_| accepted) {
            Some(user) => Ok(Some(self.tokens.issue(&user.username, caller(&user)?)?)),
            None => Ok(None),
        }
    }
}

fn caller(user: &UserRow) -> Result<Caller, LoginError> {
    match (user.role, user.driver_id) {
        (UserRole::Admin, _) => Ok(Caller::Admin),
        (UserRole::Driver, Some(driver)) => Ok(Caller::Driver(driver)),
        (UserRole::Driver, None) => Err(LoginError::DriverMissing { user: user.id }),
    }
}
