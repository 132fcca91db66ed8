//! Access tokens: the key that signs them, how long they live, and how often somebody may try to get one.

use std::time::Duration;

use aws_lc_rs::signature::Ed25519KeyPair;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::reader::{Reader, Secret, one_of, whole_from_1};

/// RFC 7518, section 3.2: an HS256 key has at least the size of the hash.
const MIN_SECRET_BYTES: usize = 32;
const DEFAULT_TOKEN_TTL_S: u64 = 3_600;
/// A person who has forgotten which of three passwords it was needs fewer; a program that guesses needs millions.
const DEFAULT_LOGIN_ATTEMPTS: u32 = 20;

/// An office behind one address, on the day after the holidays; at some 25 ms a check, four seconds of a core a minute.
const DEFAULT_LOGIN_ATTEMPTS_PER_ADDRESS: u32 = 100;

/// How tokens are signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenAlgorithm {
    /// One secret signs and verifies: for a service that does both itself.
    Hs256,
    /// A private key signs, its public half verifies: others may verify without being able to sign.
    EdDsa,
}

const ALGORITHMS: &[(&str, TokenAlgorithm)] = &[("HS256", TokenAlgorithm::Hs256), ("EdDSA", TokenAlgorithm::EdDsa)];

/// The auth side.
#[derive(Debug, Clone)]
pub struct AuthConfig {
    /// `JWT_ALGORITHM`, `HS256` or `EdDSA`, default `HS256`.
    pub algorithm: TokenAlgorithm,
    /// `JWT_SECRET`, at least 32 bytes, default none: then a random key is made at each start, tokens and page cursors
    /// do not survive a restart and other replicas refuse them. With `EdDSA` it signs the page cursors only.
    pub jwt_secret: Option<Secret>,
    /// `JWT_ED25519_KEY`, an Ed25519 private key, PKCS #8 in DER, written in base64; needed with `EdDSA`.
    pub ed25519_key: Option<Secret>,
    /// `JWT_SECRET_PREVIOUS`, secrets as in `JWT_SECRET`, separated by blanks, default none: still verify tokens and
    /// sign none, so that a new `JWT_SECRET` ends nobody's token. Drop each once `JWT_TTL_S` has passed.
    pub previous_secrets: Vec<Secret>,
    /// `JWT_ED25519_KEY_PREVIOUS`, keys as in `JWT_ED25519_KEY`, separated by blanks, default none: as
    /// `JWT_SECRET_PREVIOUS`.
    pub previous_ed25519_keys: Vec<Secret>,
    /// `JWT_TTL_S`, seconds, default 3600: the lifetime of a token.
    pub token_ttl: Duration,
    /// `LOGIN_ATTEMPTS_PER_MINUTE`, attempts, default 20: how often a minute one name may be tried with a wrong
    /// password.
    pub login_attempts_per_minute: u32,
    /// `LOGIN_ATTEMPTS_PER_MINUTE_PER_ADDRESS`, attempts, default 100: the same for one address, whatever the names
    /// (see `HTTP_CLIENT_ADDRESS_HEADER` behind a proxy).
    pub login_attempts_per_minute_per_address: u32,
}

impl AuthConfig {
    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        let algorithm = reader.or("JWT_ALGORITHM", TokenAlgorithm::Hs256, one_of(ALGORITHMS));
        let ed25519_key = reader.optional("JWT_ED25519_KEY", ed25519_key);
        if algorithm == TokenAlgorithm::EdDsa && ed25519_key.is_none() {
            reader.required("JWT_ED25519_KEY", MAKE_KEY);
        }
        Self {
            algorithm,
            jwt_secret: reader.optional("JWT_SECRET", secret),
            ed25519_key,
            previous_secrets: several(reader, "JWT_SECRET_PREVIOUS", secret),
            previous_ed25519_keys: several(reader, "JWT_ED25519_KEY_PREVIOUS", self::ed25519_key),
            token_ttl: Duration::from_secs(reader.or("JWT_TTL_S", DEFAULT_TOKEN_TTL_S, whole_from_1(86_400))),
            login_attempts_per_minute: reader.or(
                "LOGIN_ATTEMPTS_PER_MINUTE",
                DEFAULT_LOGIN_ATTEMPTS,
                whole_from_1(1_000_000),
            ),
            login_attempts_per_minute_per_address: reader.or(
                "LOGIN_ATTEMPTS_PER_MINUTE_PER_ADDRESS",
                DEFAULT_LOGIN_ATTEMPTS_PER_ADDRESS,
                whole_from_1(1_000_000),
            ),
        }
    }

    /// The secret that the replicas of one service share and nobody else knows, if there is one.
    pub fn secret_bytes(&self) -> Option<Vec<u8>> {
        let secret = self.jwt_secret.as_ref().or(self.ed25519_key.as_ref())?;
        Some(secret.reveal().as_bytes().to_vec())
    }
}

const MAKE_KEY: &str = "the output of `openssl genpkey -algorithm ed25519 -outform DER | base64 -w0`";

fn several(reader: &mut Reader<'_>, variable: &'static str, read: fn(&str) -> Result<Secret, String>) -> Vec<Secret> {
    let list = |text: &str| text.split_whitespace().map(read).collect();
    reader.or(variable, Vec::new(), list)
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

fn ed25519_key(text: &str) -> Result<Secret, String> {
    let der = STANDARD
        .decode(text)
        .map_err(|_| format!("is not base64; give {MAKE_KEY}"))?;
    match Ed25519KeyPair::from_pkcs8(&der) {
        Ok(_) => Ok(Secret::new(text)),
        Err(_) => Err(format!("is no Ed25519 key in PKCS #8; give {MAKE_KEY}")),
    }
}
