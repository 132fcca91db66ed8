//! Logging in: a name and a password become an access token.

use std::sync::Arc;
use std::time::{Duration, Instant};

use sqlx::PgPool;

use crate::auth::{Caller, IssuedToken, PasswordError, PasswordGate, Throttle, TokenError, TokenKeys};
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
    /// The name was tried too often.
    #[error("too many wrong passwords for one name")]
    Throttled {
        /// How long to wait.
        wait: Duration,
    },
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
    throttle: Throttle,
    tokens: Arc<TokenKeys>,
}

impl Login {
    /// Over the users of this database.
    pub fn new(pool: PgPool, passwords: PasswordGate, throttle: Throttle, tokens: Arc<TokenKeys>) -> Self {
        Self {
            pool,
            passwords,
            throttle,
            tokens,
        }
    }

    /// A token, or `None` when name and password do not belong together. It takes as long for a name that does not
    /// exist.
    pub async fn run(&self, username: &str, password: String) -> Result<Option<IssuedToken>, LoginError> {
        if let Some(wait) = self.throttle.wait(username, Instant::now()) {
            return Err(LoginError::Throttled { wait });
        }
        let user = self.find(username).await?;
        let hash = user.as_ref().map(|user| user.password_hash.clone());
        let accepted = self.passwords.verify(password, hash).await?;
        let Some(user) = user.filter(|_| accepted) else {
            self.throttle.failed(username, Instant::now());
            return Ok(None);
        };
        Ok(Some(self.tokens.issue(&user.username, caller(&user)?)?))
    }
}

impl Login {
    /// A name with a NUL belongs to nobody: Postgres' texts cannot hold it.
    async fn find(&self, username: &str) -> Result<Option<UserRow>, StoreError> {
        if username.contains('\0') {
            return Ok(None);
        }
        users::find_by_name(&self.pool, username).await
    }
}

fn caller(user: &UserRow) -> Result<Caller, LoginError> {
    match (user.role, user.driver_id) {
        (UserRole::Admin, _) => Ok(Caller::Admin),
        (UserRole::Driver, Some(driver)) => Ok(Caller::Driver(driver)),
        (UserRole::Driver, None) => Err(LoginError::DriverMissing { user: user.id }),
    }
}
