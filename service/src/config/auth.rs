//! Access tokens: the key that signs them and how long they live.

use std::time::Duration;

use super::reader::{Reader, Secret, whole_from_1};

/// RFC 7518, section 3.2: an HS256 key has at least the size of the hash.
const MIN_SECRET_BYTES: usize = 32;
const DEFAULT_TOKEN_TTL_S: u64 = 3_600;

/// The auth side.
#[derive(Debug, Clone)]
pub struct AuthConfig {
    /// `JWT_SECRET`, at least 32 bytes, default none: then a random key is made at each start, tokens do not survive a
    /// restart and other replicas refuse them.
    pub jwt_secret: Option<Secret>,
    /// `JWT_TTL_S`, seconds, default 3600: the lifetime of a token.
    pub token_ttl: Duration,
}

impl AuthConfig {
    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        Self {
            jwt_secret: reader.optional("JWT_SECRET", secret),
            token_ttl: Duration::from_secs(reader.or("JWT_TTL_S", DEFAULT_TOKEN_TTL_S, whole_from_1(86_400))),
        }
    }
}

fn secret(text: &str) -> Result<Secret, String> {
    if text.len() >= MIN_SECRET_BYTES {
        Ok(Secret::new(text))
    } else {
        Err(format!(
            "has {} bytes; HS256 needs at least {MIN_SECRET_BYTES} (`openssl rand -hex 32` makes one)",
            text.len()
        ))
    }
}
