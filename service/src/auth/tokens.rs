//! Access tokens: JWT with HS256 or `EdDSA`, carrying the role and, for a driver, the driver's id.

use std::collections::{HashMap, HashSet};
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use aws_lc_rs::hmac;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
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
/// Bytes of a key's name: enough to tell the keys of a service apart.
const NAME_BYTES: usize = 6;

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
    /// It names a key that this service does not have.
    #[error("the token names an unknown key")]
    UnknownKey,
    /// It has extensions that must be understood.
    #[error("the token has critical extensions")]
    Critical,
    /// The user's rights changed after it was issued.
    #[error("the token was revoked")]
    Revoked,
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
    /// The key that signs first, then those of before.
    verifying: Vec<NamedKey>,
    validation: Validation,
    ttl: Duration,
    /// By the whole token: what differs in one character is another token, and is verified.
    verified: Cache<Box<str>, Verified>,
    /// Held for a look-up; never across an await, and never by a request whose token is remembered.
    revoked: RwLock<Revocations>,
}

/// Since when tokens of a user count, in seconds since 1970, by the user's name: those that are not younger do not.
pub type Revocations = HashMap<String, u64>;

/// A key to verify by, and its name in the head of the tokens that it has signed (`kid`).
struct NamedKey {
    name: String,
    key: DecodingKey,
}

impl NamedKey {
    /// Named after `identity`, which tells one key from another: the name tells nothing about it.
    fn new(identity: &[u8], key: DecodingKey) -> Self {
        let root = hmac::Key::new(hmac::HMAC_SHA256, identity);
        let name = hmac::sign(&root, b"name of a token key");
        Self {
            name: URL_SAFE_NO_PAD.encode(&name.as_ref()[..NAME_BYTES]),
            key,
        }
    }
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
        self.exp.saturating_add(LEEWAY_S) >= now_s
    }
}

/// A key that the configuration should not have let through.
#[derive(Debug, thiserror::Error)]
#[error("the token key cannot be used (check JWT_ED25519_KEY)")]
pub struct TokenKeyError;

/// The halves of a key.
type KeyPair = (EncodingKey, NamedKey);

impl TokenKeys {
    /// Keys as configured; with HS256 and no secret, from a random one.
    pub fn new(config: &AuthConfig) -> Result<Self, TokenKeyError> {
        let ttl = config.token_ttl;
        match (config.algorithm, &config.jwt_secret) {
            (TokenAlgorithm::EdDsa, _) => {
                let key = config.ed25519_key.as_ref().ok_or(TokenKeyError)?;
                let previous = config.previous_ed25519_keys.iter();
                let previous = previous.map(|key| Ok(ed25519(key.reveal())?.1));
                let previous = previous.collect::<Result<_, TokenKeyError>>()?;
                Ok(Self::with(Algorithm::EdDSA, ed25519(key.reveal())?, previous, ttl))
            }
            (TokenAlgorithm::Hs256, Some(secret)) => {
                let previous = config.previous_secrets.iter();
                let previous = previous.map(|secret| shared(secret.reveal().as_bytes()).1);
                let pair = shared(secret.reveal().as_bytes());
                Ok(Self::with(Algorithm::HS256, pair, previous.collect(), ttl))
            }
            (TokenAlgorithm::Hs256, None) => {
                tracing::warn!("JWT_SECRET is not set: signing with a random key, so tokens end with this process");
                let pair = shared(&rand::random::<[u8; 32]>());
                Ok(Self::with(Algorithm::HS256, pair, Vec::new(), ttl))
            }
        }
    }

    fn with(algorithm: Algorithm, (signing, current): KeyPair, previous: Vec<NamedKey>, ttl: Duration) -> Self {
        // Exactly one algorithm: a token that names another (or `none`) is refused before its signature is looked at.
        let mut validation = Validation::new(algorithm);
        validation.leeway = LEEWAY_S;
        validation.validate_nbf = true;
        validation.required_spec_claims = HashSet::from(["exp".to_owned(), "sub".to_owned()]);
        Self {
            algorithm,
            signing,
            verifying: std::iter::once(current).chain(previous).collect(),
            validation,
            ttl,
            verified: Cache::new(REMEMBERED),
            revoked: RwLock::default(),
        }
    }

    /// A token for a user who has proven to be one.
    pub fn issue(&self, username: &str, caller: Caller) -> Result<IssuedToken, TokenError> {
        let (role, driver_id) = match caller {
            Caller::Admin => ("admin", None),
            Caller::Driver(id) => ("driver", Some(id.0)),
        };
        // Whose tokens were revoked within this second gets one of the next: what is revoked is told by the second.
        let revoked = self.revoked.read().unwrap_or_else(PoisonError::into_inner);
        let counts_since = revoked.get(username).copied().unwrap_or_default();
        drop(revoked);
        let iat = get_current_timestamp().max(counts_since);
        let exp = iat + self.ttl.as_secs();
        let claims = Claims {
            sub: username.to_owned(),
            role: role.to_owned(),
            driver_id,
            iat,
            exp,
        };
        let mut header = Header::new(self.algorithm);
        header.kid = self.verifying.first().map(|key| key.name.clone());
        let token = jsonwebtoken::encode(&header, &claims, &self.signing)?;
        Ok(IssuedToken { token, ttl: self.ttl })
    }

    /// Who a token stands for.
    pub fn verify(&self, token: &str) -> Result<Caller, TokenError> {
        let known = self.verified.get(token);
        if let Some(known) = known.filter(|known| known.is_accepted_at(get_current_timestamp())) {
            return Ok(known.caller);
        }
        // Held until it is remembered: what is revoked meanwhile is not remembered after.
        let revoked = self.revoked.read().unwrap_or_else(PoisonError::into_inner);
        let verified = self.read(token, &revoked)?;
        self.verified.insert(token.into(), verified);
        Ok(verified.caller)
    }

    /// From now on, whose tokens are revoked. What was remembered is forgotten, if this is news.
    pub fn revoke(&self, revocations: Revocations) {
        let mut revoked = self.revoked.write().unwrap_or_else(PoisonError::into_inner);
        if *revoked != revocations {
            *revoked = revocations;
            self.verified.clear();
        }
    }

    fn read(&self, token: &str, revoked: &Revocations) -> Result<Verified, TokenError> {
        let header = jsonwebtoken::decode_header(token)?;
        // Whoever signs with an extension that must be understood means something else than what is understood here
        // (RFC 7515, section 4.1.11).
        if header.crit.is_some() {
            return Err(TokenError::Critical);
        }
        let claims = self.claims(token, header.kid.as_deref())?;
        if revoked.get(&claims.sub).is_some_and(|since| claims.iat < *since) {
            return Err(TokenError::Revoked);
        }
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

    /// Content of a token that one of the keys has signed: the one that it names, or any if it names none.
    fn claims(&self, token: &str, name: Option<&str>) -> Result<Claims, TokenError> {
        let keys = self.verifying.iter();
        let named = keys.filter(|key| name.is_none_or(|name| key.name == name));
        let mut refusal = TokenError::UnknownKey;
        for NamedKey { key, .. } in named {
            match jsonwebtoken::decode::<Claims>(token, key, &self.validation) {
                Ok(token) => return Ok(token.claims),
                Err(error) => refusal = error.into(),
            }
        }
        Err(refusal)
    }
}

fn shared(secret: &[u8]) -> KeyPair {
    let verifying = NamedKey::new(secret, DecodingKey::from_secret(secret));
    (EncodingKey::from_secret(secret), verifying)
}

fn ed25519(base64: &str) -> Result<KeyPair, TokenKeyError> {
    let der = STANDARD.decode(base64).map_err(|_| TokenKeyError)?;
    let pair = Ed25519KeyPair::from_pkcs8(&der).map_err(|_| TokenKeyError)?;
    let public = pair.public_key().as_ref();
    let verifying = NamedKey::new(public, DecodingKey::from_ed_der(public));
    Ok((EncodingKey::from_ed_der(&der), verifying))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_hours(1);

    fn keys(secret: u8) -> TokenKeys {
        with_previous(secret, &[])
    }

    fn with_previous(secret: u8, previous: &[u8]) -> TokenKeys {
        let previous = previous.iter().map(|secret| shared(&[*secret; 32]).1);
        TokenKeys::with(Algorithm::HS256, shared(&[secret; 32]), previous.collect(), HOUR)
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

    fn ed25519_keys() -> (String, TokenKeys) {
        let der = Ed25519KeyPair::generate_pkcs8(&aws_lc_rs::rand::SystemRandom::new()).expect("a key");
        let base64 = STANDARD.encode(der);
        let pair = ed25519(&base64).expect("a pair");
        let keys = TokenKeys::with(Algorithm::EdDSA, pair, Vec::new(), HOUR);
        (base64, keys)
    }

    #[test]
    fn eddsa_tokens_come_back_and_other_keys_and_algorithms_are_refused() {
        let (base64, keys) = ed25519_keys();
        let issued = keys.issue("someone", Caller::Admin).expect("signs");
        assert_eq!(keys.verify(&issued.token).expect("verifies"), Caller::Admin);
        assert!(ed25519_keys().1.verify(&issued.token).is_err());
        assert!(super::tests::keys(1).verify(&issued.token).is_err());
        // The public key taken for an HMAC secret: the attack that a list of several algorithms would allow.
        let public = Ed25519KeyPair::from_pkcs8(&STANDARD.decode(base64).expect("base64")).expect("a key");
        let confused = TokenKeys::with(Algorithm::HS256, shared(public.public_key().as_ref()), Vec::new(), HOUR);
        let forged = confused.issue("someone", Caller::Admin).expect("signs");
        assert!(keys.verify(&forged.token).is_err());
    }

    #[test]
    fn another_key_is_refused() {
        let token = keys(2).issue("someone", Caller::Admin).expect("signs").token;
        assert!(matches!(keys(1).verify(&token), Err(TokenError::UnknownKey)));
        // Not even when it names the right one.
        let claims = serde_json::json!({"sub": "x", "role": "admin", "iat": 0, "exp": in_an_hour()});
        let mut header = Header::new(Algorithm::HS256);
        header.kid = Some(shared(&[2; 32]).1.name);
        let forged = jsonwebtoken::encode(&header, &claims, &EncodingKey::from_secret(&[1; 32])).expect("signs");
        assert!(matches!(keys(2).verify(&forged), Err(TokenError::Invalid(_))));
    }

    #[test]
    fn a_key_of_before_verifies_and_does_not_sign() {
        let old = keys(1).issue("someone", Caller::Admin).expect("signs").token;
        let rotated = with_previous(2, &[1]);
        assert_eq!(rotated.verify(&old).expect("verifies"), Caller::Admin);
        let new = rotated.issue("someone", Caller::Admin).expect("signs").token;
        assert!(keys(1).verify(&new).is_err() && keys(2).verify(&new).is_ok());
        assert!(with_previous(3, &[2]).verify(&old).is_err());
        // Tokens of before there were names.
        let nameless = serde_json::json!({"sub": "x", "role": "admin", "iat": 0, "exp": in_an_hour()});
        assert!(rotated.verify(&signed(&nameless, Algorithm::HS256)).is_ok());
    }

    #[test]
    fn a_token_that_does_not_count_yet_or_must_be_understood_is_refused() {
        let claims =
            |nbf: u64| serde_json::json!({"sub": "x", "role": "admin", "iat": 0, "exp": in_an_hour(), "nbf": nbf});
        assert!(
            keys(1)
                .verify(&signed(&claims(in_an_hour()), Algorithm::HS256))
                .is_err()
        );
        assert!(keys(1).verify(&signed(&claims(1), Algorithm::HS256)).is_ok());
        let mut header = Header::new(Algorithm::HS256);
        header.crit = Some(vec!["b64".to_owned()]);
        let critical = jsonwebtoken::encode(&header, &claims(1), &EncodingKey::from_secret(&[1; 32])).expect("signs");
        assert!(keys(1).verify(&critical).is_err());
    }

    #[test]
    fn what_was_issued_before_a_revocation_ends_even_if_it_is_remembered() {
        let keys = keys(1);
        let token = keys.issue("ada", Caller::Admin).expect("signs").token;
        let other = keys.issue("ben", Caller::Admin).expect("signs").token;
        assert!(keys.verify(&token).is_ok() && keys.verify(&other).is_ok());
        keys.revoke(Revocations::from([("ada".to_owned(), get_current_timestamp() + 1)]));
        assert!(matches!(keys.verify(&token), Err(TokenError::Revoked)));
        assert!(keys.verify(&other).is_ok());
        let fresh = keys.issue("ada", Caller::Driver(DriverId(7))).expect("signs").token;
        assert_eq!(keys.verify(&fresh).expect("verifies"), Caller::Driver(DriverId(7)));
    }

    #[test]
    fn the_largest_age_is_no_overflow() {
        let claims = serde_json::json!({"sub": "x", "role": "admin", "iat": 0, "exp": u64::MAX});
        let (keys, token) = (keys(1), signed(&claims, Algorithm::HS256));
        let _twice = (keys.verify(&token), keys.verify(&token));
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
