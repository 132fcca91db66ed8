//! Access tokens: JWT with HS256 or `EdDSA`, carrying the role and, for a driver, the driver's id.

use std::collections::HashSet;
use std::time::Duration;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, get_current_timestamp};
use quick_cache::sync::Cache;
use serde::{Deserialize, Serialize};

use crate::config::{AuthConfig, TokenAlgorithm};
use crate::domain::ids::DriverId;

/// Seconds by which the clocks of two replicas may differ before a token counts as expired.
const LEEWAY_S: u64 = 5;

/// Verified tokens that are remembered, at some 300 bytes each: a token serves many requests, and reading it anew at
/// each of them costs a hit in memory a good part of its time. More users than that cost a verification now and then,
/// nothing else.
const REMEMBERED: usize = 16_384;

/// Who a verified token says is asking.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Caller {
    /// May see everything.
    Admin,
    /// May see this driver's rows only.
    Driver(DriverId),
}

/// Why a token is not accepted. The client learns only that it is not; the log of a proxy may learn more.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// Wrong shape, signature, algorithm or age.
    #[error("the token is not valid: {0}")]
    Invalid(#[from] jsonwebtoken::errors::Error),
    /// Well signed, but its role and driver do not go together.
    #[error("the token's role `{role}` does not go with its driver")]
    Role {
        /// The role it names.
        role: String,
    },
}

/// A token and its age.
#[derive(Debug)]
pub struct IssuedToken {
    /// The token itself.
    pub token: String,
    /// How long it is accepted from now on.
    pub ttl: Duration,
}

#[derive(Serialize, Deserialize)]
struct Claims {
    /// The user's name.
    sub: String,
    role: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    driver_id: Option<i64>,
    iat: u64,
    exp: u64,
}

/// Signs and verifies. Made once per start: building the keys per request would cost more than the check.
pub struct TokenKeys {
    algorithm: Algorithm,
    signing: EncodingKey,
    verifying: DecodingKey,
    validation: Validation,
    ttl: Duration,
    /// By the whole token: what differs in one character is another token, and is verified.
    verified: Cache<Box<str>, Verified>,
}

/// Content of a token whose signature is right.
#[derive(Clone, Copy)]
struct Verified {
    caller: Caller,
    /// Until when it is accepted, in seconds since 1970.
    exp: u64,
}

impl Verified {
    /// Applies the rule by which jsonwebtoken itself judges the age of a token.
    fn is_accepted_at(&self, now_s: u64) -> bool {
        self.exp + LEEWAY_S >= now_s
    }
}

/// A key that the configuration should not have let through.
#[derive(Debug, thiserror::Error)]
#[error("the token key cannot be used (check JWT_ED25519_KEY)")]
pub struct TokenKeyError;

impl TokenKeys {
    /// Keys as configured; with HS256 and no secret, from a random one.
    pub fn new(config: &AuthConfig) -> Result<Self, TokenKeyError> {
        match (config.algorithm, &config.jwt_secret) {
            (TokenAlgorithm::EdDsa, _) => {
                let key = config.ed25519_key.as_ref().ok_or(TokenKeyError)?;
                Self::from_ed25519(key.reveal(), config.token_ttl)
            }
            (TokenAlgorithm::Hs256, Some(secret)) => {
                Ok(Self::from_secret(secret.reveal().as_bytes(), config.token_ttl))
            }
            (TokenAlgorithm::Hs256, None) => {
                tracing::warn!("JWT_SECRET is not set: signing with a random key, so tokens end with this process");
                Ok(Self::from_secret(&rand::random::<[u8; 32]>(), config.token_ttl))
            }
        }
    }

    fn from_secret(secret: &[u8], ttl: Duration) -> Self {
        let (signing, verifying) = (EncodingKey::from_secret(secret), DecodingKey::from_secret(secret));
        Self::with(Algorithm::HS256, signing, verifying, ttl)
    }

    fn from_ed25519(base64: &str, ttl: Duration) -> Result<Self, TokenKeyError> {
        let der = STANDARD.decode(base64).map_err(|_| TokenKeyError)?;
        let pair = Ed25519KeyPair::from_pkcs8(&der).map_err(|_| TokenKeyError)?;
        let verifying = DecodingKey::from_ed_der(pair.public_key().as_ref());
        Ok(Self::with(
            Algorithm::EdDSA,
            EncodingKey::from_ed_der(&der),
            verifying,
            ttl,
        ))
    }

    fn with(algorithm: Algorithm, signing: EncodingKey, verifying: DecodingKey, ttl: Duration) -> Self {
        // Exactly one algorithm: a token that names another (or `none`) is refused before its signature is looked at.
        let mut validation = Validation::new(algorithm);
        validation.leeway = LEEWAY_S;
        validation.required_spec_claims = HashSet::from(["exp".to_owned(), "sub".to_owned()]);
        Self {
            algorithm,
            signing,
            verifying,
            validation,
            ttl,
            verified: Cache::new(REMEMBERED),
        }
    }

    /// A token for a user who has proven to be one.
    pub fn issue(&self, username: &str, caller: Caller) -> Result<IssuedToken, TokenError> {
        let (role, driver_id) = match caller {
            Caller::Admin => ("admin", None),
            Caller::Driver(id) => ("driver", Some(id.0)),
        };
        let iat = get_current_timestamp();
        let exp = iat + self.ttl.as_secs();
        let claims = Claims {
            sub: username.to_owned(),
            role: role.to_owned(),
            driver_id,
            iat,
            exp,
        };
        let token = jsonwebtoken::encode(&Header::new(self.algorithm), &claims, &self.signing)?;
        Ok(IssuedToken { token, ttl: self.ttl })
    }

    /// Who a token stands for.
    pub fn verify(&self, token: &str) -> Result<Caller, TokenError> {
        let known = self.verified.get(token);
        if let Some(known) = known.filter(|known| known.is_accepted_at(get_current_timestamp())) {
            return Ok(known.caller);
        }
        let verified = self.read(token)?;
        self.verified.insert(token.into(), verified);
        Ok(verified.caller)
    }

    fn read(&self, token: &str) -> Result<Verified, TokenError> {
        let claims = jsonwebtoken::decode::<Claims>(token, &self.verifying, &self.validation)?.claims;
        let caller = match (claims.role.as_str(), claims.driver_id) {
            ("admin", None) => Caller::Admin,
            ("driver", Some(id)) => Caller::Driver(DriverId(id)),
            _ => return Err(TokenError::Role { role: claims.role }),
        };
        Ok(Verified {
            caller,
            exp: claims.exp,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_hours(1);

    fn keys(secret: u8) -> TokenKeys {
        TokenKeys::from_secret(&[secret; 32], HOUR)
    }

    fn signed(claims: &serde_json::Value, algorithm: Algorithm) -> String {
        let key = EncodingKey::from_secret(&[1; 32]);
        jsonwebtoken::encode(&Header::new(algorithm), claims, &key).expect("signs")
    }

    fn in_an_hour() -> u64 {
        get_current_timestamp() + HOUR.as_secs()
    }

    #[test]
    fn a_token_comes_back_as_its_caller() {
        for caller in [Caller::Admin, Caller::Driver(DriverId(7))] {
            let issued = keys(1).issue("someone", caller).expect("signs");
            assert_eq!(keys(1).verify(&issued.token).expect("verifies"), caller);
            assert_eq!(issued.ttl, HOUR);
        }
    }

    fn ed25519() -> (String, TokenKeys) {
        let der = Ed25519KeyPair::generate_pkcs8(&aws_lc_rs::rand::SystemRandom::new()).expect("a key");
        let base64 = STANDARD.encode(der);
        let keys = TokenKeys::from_ed25519(&base64, HOUR).expect("keys");
        (base64, keys)
    }

    #[test]
    fn eddsa_tokens_come_back_and_other_keys_and_algorithms_are_refused() {
        let (base64, keys) = ed25519();
        let issued = keys.issue("someone", Caller::Admin).expect("signs");
        assert_eq!(keys.verify(&issued.token).expect("verifies"), Caller::Admin);
        assert!(ed25519().1.verify(&issued.token).is_err());
        assert!(super::tests::keys(1).verify(&issued.token).is_err());
        // The public key taken for an HMAC secret: the attack that a list of several algorithms would allow.
        let public = Ed25519KeyPair::from_pkcs8(&STANDARD.decode(base64).expect("base64")).expect("a key");
        let confused = TokenKeys::from_secret(public.public_key().as_ref(), HOUR);
        let forged = confused.issue("someone", Caller::Admin).expect("signs");
        assert!(keys.verify(&forged.token).is_err());
    }

    #[test]
    fn another_key_is_refused() {
        let token = keys(2).issue("someone", Caller::Admin).expect("signs").token;
        assert!(matches!(keys(1).verify(&token), Err(TokenError::Invalid(_))));
    }

    #[test]
    fn another_algorithm_is_refused_even_with_the_right_key() {
        let claims = serde_json::json!({"sub": "x", "role": "admin", "iat": 0, "exp": in_an_hour()});
        assert!(keys(1).verify(&signed(&claims, Algorithm::HS256)).is_ok());
        assert!(keys(1).verify(&signed(&claims, Algorithm::HS384)).is_err());
    }

    #[test]
    fn an_expired_token_is_refused() {
        let exp = get_current_timestamp() - LEEWAY_S - 1;
        let claims = serde_json::json!({"sub": "x", "role": "admin", "iat": 0, "exp": exp});
        assert!(keys(1).verify(&signed(&claims, Algorithm::HS256)).is_err());
    }

    #[test]
    fn a_remembered_token_expires_as_any_other_and_what_resembles_it_is_refused() {
        let keys = keys(1);
        let token = keys.issue("someone", Caller::Admin).expect("signs").token;
        for _ in 0..2 {
            assert_eq!(keys.verify(&token).expect("verifies"), Caller::Admin);
        }
        let mut forged = token.clone();
        forged.replace_range(token.len() - 4.., "AAAA");
        assert!(keys.verify(&forged).is_err() && keys.verify(&forged).is_err());
        let old = Verified {
            caller: Caller::Admin,
            exp: get_current_timestamp() - LEEWAY_S - 1,
        };
        keys.verified.insert("remembered for too long".into(), old);
        assert!(keys.verify("remembered for too long").is_err());
    }

    #[test]
    fn a_role_that_does_not_go_with_its_driver_is_refused() {
        for (role, driver_id) in [("admin", Some(7)), ("driver", None), ("root", None)] {
            let claims =
                serde_json::json!({"sub": "x", "role": role, "driver_id": driver_id, "iat": 0, "exp": in_an_hour()});
            let verified = keys(1).verify(&signed(&claims, Algorithm::HS256));
            assert!(
                matches!(verified, Err(TokenError::Role { .. })),
                "{role} {driver_id:?}: {verified:?}"
            );
        }
    }
}
