//! Logging in: a name and a password become an access token.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sqlx::PgPool;

use crate::auth::{Caller, IssuedToken, PasswordError, PasswordGate, Throttle, TokenError, TokenKeys};
use crate::config::AuthConfig;
use crate::domain::ids::UserRole;
use crate::shares::Shares;
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
    /// The name was tried too often, or the address has tried too often.
    #[error("too many wrong passwords for one name or from one address")]
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
    limits: LoginLimits,
    tokens: Arc<TokenKeys>,
}

/// What one name and one address may do.
pub struct LoginLimits {
    /// Wrong passwords of one name.
    pub by_name: Throttle,
    /// Wrong passwords from one address.
    pub by_address: Throttle,
    /// Attempts from one address at a time.
    pub at_once: Shares<IpAddr>,
}

impl LoginLimits {
    /// As configured.
    pub fn new(config: &AuthConfig) -> Self {
        Self {
            by_name: Throttle::new(config.login_attempts_per_minute),
            by_address: Throttle::new(config.login_attempts_per_minute_per_address),
            at_once: Shares::new(PasswordGate::MAX_PER_CLIENT),
        }
    }
}

/// How long a client with too many attempts at once is asked to wait.
const SOON: Duration = Duration::ZERO;

impl Login {
    /// Over the users of this database.
    pub fn new(pool: PgPool, passwords: PasswordGate, limits: LoginLimits, tokens: Arc<TokenKeys>) -> Self {
        Self {
            pool,
            passwords,
            limits,
            tokens,
        }
    }

    /// A token, or `None` when name and password do not belong together. It takes as long for a name that does not
    /// exist.
    pub async fn run(&self, from: IpAddr, username: &str, password: String) -> Result<Option<IssuedToken>, LoginError> {
        let throttled = |wait| LoginError::Throttled { wait };
        let from = network(from);
        let _share = self.limits.at_once.take(from).ok_or(throttled(SOON))?;
        let now = Instant::now();
        let by_address = self.limits.by_address.begin(from, now).map_err(throttled)?;
        let by_name = self.limits.by_name.begin(username, now);
        let checked = match &by_name {
            Ok(_) => self.check(username, password).await,
            Err(wait) => Err(throttled(*wait)),
        };
        // Only a wrong password counts: not a right one, and none that was not looked at.
        if !matches!(checked, Ok(None)) {
            self.limits.by_address.take_back(&by_address);
            if let Ok(attempt) = &by_name {
                self.limits.by_name.take_back(attempt);
            }
        }
        checked
    }

    async fn check(&self, username: &str, password: String) -> Result<Option<IssuedToken>, LoginError> {
        let user = self.find(username).await?;
        let hash = user.as_ref().map(|user| user.password_hash.clone());
        let accepted = self.passwords.verify(password, hash).await?;
        let Some(user) = user.filter(|_| accepted) else {
            return Ok(None);
        };
        Ok(Some(self.tokens.issue(&user.username, caller(&user)?)?))
    }

    /// A name with a NUL belongs to nobody: Postgres' texts cannot hold it.
    async fn find(&self, username: &str) -> Result<Option<UserRow>, StoreError> {
        if username.contains('\0') {
            return Ok(None);
        }
        users::find_by_name(&self.pool, username).await
    }
}

/// Whoever has one address of IPv6 has the other 2^64 of its network.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6((address.to_bits() >> 64 << 64).into()),
        address @ IpAddr::V4(_) => address,
    }
}

fn caller(user: &UserRow) -> Result<Caller, LoginError> {
    match (user.role, user.driver_id) {
        (UserRole::Admin, _) => Ok(Caller::Admin),
        (UserRole::Driver, Some(driver)) => Ok(Caller::Driver(driver)),
        (UserRole::Driver, None) => Err(LoginError::DriverMissing { user: user.id }),
    }
}
