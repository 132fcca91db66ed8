//! Password checks: argon2id, off the runtime's threads, on half of the cores at most, so that those who are logged in
//! already keep the others.

use std::sync::Arc;

use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{Error as HashError, PasswordHasher, PasswordVerifier};
use tokio::sync::{Semaphore, TryAcquireError};

/// Checks that may wait for their turn. At some 25 ms each the last one waits a second or two, which
/// is what a person at a login form bears; more would only grow a queue of answers that nobody waits for.
const MAX_WAITING: usize = 64;

/// Why a password could not be checked (a wrong password is no error).
#[derive(Debug, thiserror::Error)]
pub enum PasswordError {
    /// Too many checks are waiting; try again in a second.
    #[error("too many logins at once")]
    Busy,
    /// The stored hash is not a PHC string, or hashing failed.
    #[error("the stored password hash cannot be used: {0}")]
    Hash(#[from] HashError),
    /// The checking thread ended without an answer.
    #[error("the password check was abandoned: {0}")]
    Abandoned(#[from] tokio::task::JoinError),
}

/// Bounds the checks: each takes 19 MiB and a core for a while, so an unbounded number would be an attack.
pub struct PasswordGate {
    admitted: Semaphore,
    running: Arc<Semaphore>,
    /// Verified against when there is no such user, so that the answer takes as long as for one that exists.
    dummy_hash: String,
}

impl PasswordGate {
    /// A gate for half of this machine's cores. Hashes one random password, which takes some 25 ms.
    pub fn new() -> Result<Self, PasswordError> {
        let cores = std::thread::available_parallelism()
            .map_or(1, std::num::NonZero::get)
            .div_ceil(2);
        let dummy = rand::random::<[u8; 16]>();
        Ok(Self {
            admitted: Semaphore::new(cores + MAX_WAITING),
            running: Arc::new(Semaphore::new(cores)),
            dummy_hash: Argon2::default().hash_password(&dummy)?.to_string(),
        })
    }

    /// Most checks that one client may have at a time: half of all, so that nobody else is refused.
    pub const MAX_PER_CLIENT: usize = MAX_WAITING / 2;

    /// Whether `password` belongs to `hash`; with no hash (no such user) the same work is done and the answer is no.
    pub async fn verify(&self, password: String, hash: Option<String>) -> Result<bool, PasswordError> {
        let _admitted = self
            .admitted
            .try_acquire()
            .map_err(|_: TryAcquireError| PasswordError::Busy)?;
        // The semaphore is never closed, so waiting ends with a permit. It moves into the thread: a client that goes
        // away must not free the core's permit while the core is still at work.
        let permit = Arc::clone(&self.running)
            .acquire_owned()
            .await
            .map_err(|_| PasswordError::Busy)?;
        let known = hash.is_some();
        let hash = hash.unwrap_or_else(|| self.dummy_hash.clone());
        let matches = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            matches(&password, &hash)
        });
        Ok(matches.await?? && known)
    }
}

fn matches(password: &str, hash: &str) -> Result<bool, PasswordError> {
    match Argon2::default().verify_password(password.as_bytes(), &PasswordHash::new(hash).map_err(HashError::from)?) {
        Ok(()) => Ok(true),
        Err(HashError::PasswordInvalid) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(password: &str) -> String {
        Argon2::default()
            .hash_password(password.as_bytes())
            .expect("hashes")
            .to_string()
    }

    #[tokio::test]
    async fn only_the_right_password_of_a_known_user_is_accepted() {
        let gate = PasswordGate::new().expect("a gate");
        let verify = |password: &str, hash| gate.verify(password.to_owned(), hash);
        assert!(verify("right", Some(hash("right"))).await.expect("checked"));
        assert!(!verify("wrong", Some(hash("right"))).await.expect("checked"));
        assert!(!verify("right", None).await.expect("checked"));
    }

    #[tokio::test]
    async fn a_broken_hash_is_an_error_and_not_a_wrong_password() {
        let gate = PasswordGate::new().expect("a gate");
        let result = gate.verify("any".to_owned(), Some("plain text".to_owned())).await;
        assert!(matches!(result, Err(PasswordError::Hash(_))), "{result:?}");
    }

    #[tokio::test]
    async fn beyond_the_bound_a_check_is_refused_instead_of_queued() {
        let gate = PasswordGate::new().expect("a gate");
        let _all = gate
            .admitted
            .acquire_many(u32::try_from(gate.admitted.available_permits()).expect("small"))
            .await;
        let result = gate.verify("any".to_owned(), None).await;
        assert!(matches!(result, Err(PasswordError::Busy)), "{result:?}");
    }
}
