//! The users that every seeded database has: an administrator, and the first driver.

use argon2::Argon2;
use argon2::password_hash::PasswordHasher as _;
use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use serde::Serialize;

use super::SeedError;
use crate::domain::ids::{DriverId, UserRole};

/// Stream of the salts: drivers have those from 1.
const STREAM: u64 = 0;
/// Length of a salt, as RFC 9106 recommends for argon2.
const SALT_BYTES: usize = 16;

/// A user, in the order of the table's columns.
#[derive(Debug, Serialize)]
pub(super) struct UserRow {
    username: &'static str,
    password_hash: String,
    role: UserRole,
    driver_id: Option<DriverId>,
}

/// The users, their salts from the seed: the same options give the same rows. (Salts that anybody can work out are no
/// loss for passwords that anybody can read.)
pub(super) fn rows(seed: u64) -> Result<Vec<UserRow>, SeedError> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(STREAM);
    let mut user = |username, password, role, driver_id| {
        hash(password, &mut rng).map(|password_hash| UserRow {
            username,
            password_hash,
            role,
            driver_id,
        })
    };
    Ok(vec![
        user("admin", "admin-password", UserRole::Admin, None)?,
        user("driver1", "driver1-password", UserRole::Driver, Some(DriverId(1)))?,
    ])
}

fn hash(password: &str, rng: &mut ChaCha8Rng) -> Result<String, SeedError> {
    let mut salt = [0; SALT_BYTES];
    rng.fill_bytes(&mut salt);
    let hash = Argon2::default()
        .hash_password_with_salt(password.as_bytes(), &salt)
        .map_err(SeedError::Password)?;
    Ok(hash.to_string())
}

#[cfg(test)]
mod tests {
    use argon2::password_hash::PasswordVerifier as _;
    use argon2::password_hash::phc::PasswordHash;

    use super::*;

    #[test]
    fn the_passwords_are_the_documented_ones_under_argon2id() {
        let rows = rows(42).unwrap();
        for (row, password) in rows.iter().zip(["admin-password", "driver1-password"]) {
            let hash = PasswordHash::new(&row.password_hash).unwrap();
            assert_eq!(hash.algorithm.as_str(), "argon2id");
            Argon2::default().verify_password(password.as_bytes(), &hash).unwrap();
        }
    }

    #[test]
    fn the_hashes_follow_the_seed() {
        let hashes = |seed| {
            rows(seed)
                .unwrap()
                .into_iter()
                .map(|row| row.password_hash)
                .collect::<Vec<_>>()
        };
        assert_eq!(hashes(1), hashes(1));
        assert_ne!(hashes(1), hashes(2));
    }
}
