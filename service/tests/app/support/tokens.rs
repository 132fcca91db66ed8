//! Tokens, good and bad, signed with the secret that the kit gives to every service.

use jsonwebtoken::{Algorithm, EncodingKey, Header, get_current_timestamp};
use serde_json::{Value, json};

/// The secret of every service of the kit.
pub(crate) const JWT_SECRET: &str = "a secret of the tests, longer than 32 bytes";
/// `{"alg":"none","typ":"JWT"}`
const ALG_NONE: &str = "eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0";
const HOUR_S: u64 = 3_600;

/// A token as it goes over the wire.
#[derive(Debug, Clone)]
pub(crate) struct Token(pub(crate) String);

impl Token {
    pub(crate) fn admin() -> Self {
        Self::signed(&claims("admin", None, get_current_timestamp() + HOUR_S), JWT_SECRET)
    }

    pub(crate) fn driver(id: i64) -> Self {
        Self::signed(
            &claims("driver", Some(id), get_current_timestamp() + HOUR_S),
            JWT_SECRET,
        )
    }

    /// An administrator's token of an hour ago.
    pub(crate) fn expired() -> Self {
        Self::signed(&claims("admin", None, get_current_timestamp() - HOUR_S), JWT_SECRET)
    }

    /// An administrator's token by somebody who does not know the secret.
    pub(crate) fn forged() -> Self {
        let claims = claims("admin", None, get_current_timestamp() + HOUR_S);
        Self::signed(&claims, "another secret that is longer than 32 bytes")
    }

    /// An administrator's token that says it needs no signature.
    pub(crate) fn unsigned() -> Self {
        let Self(signed) = Self::admin();
        let claims = signed.split('.').nth(1).expect("three parts").to_owned();
        Self(format!("{ALG_NONE}.{claims}."))
    }

    fn signed(claims: &Value, secret: &str) -> Self {
        let key = EncodingKey::from_secret(secret.as_bytes());
        Self(jsonwebtoken::encode(&Header::new(Algorithm::HS256), claims, &key).expect("signs"))
    }
}

fn claims(role: &str, driver_id: Option<i64>, exp: u64) -> Value {
    json!({"sub": "someone", "role": role, "driver_id": driver_id, "iat": 0, "exp": exp})
}
