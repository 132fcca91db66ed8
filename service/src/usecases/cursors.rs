//! Cursors: positions in a list as a client sees them, opaque and signed.
//!
//! A cursor is the position in bytes and an HMAC over it and the *scope*, the list that it belongs to; written in
//! base64url. A client can neither read a meaning into it that we would have to keep, nor make one up, nor use one
//! list's cursor on another: the database is only asked for places that this service has named.

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::DateTime;
use uuid::Uuid;

use crate::config::AuthConfig;
use crate::domain::ids::{DriverId, TripId};
use crate::store::page::Position;
use crate::store::{DriverKey, TripKey};

/// Bytes of the signature that are sent: 128 bits, half of the hash, as RFC 2104 (section 5) allows.
const TAG_BYTES: usize = 16;
/// Bytes of the key's name: enough to tell the keys of a fleet apart.
const NAME_BYTES: usize = 4;

/// Signs and checks cursors.
pub struct CursorKey {
    key: hmac::Key,
    name: String,
}

impl CursorKey {
    /// The key that follows from the configured secret, so that replicas take each other's cursors; a random one when
    /// there is none.
    pub fn new(config: &AuthConfig) -> Self {
        config.secret_bytes().map_or_else(
            || Self::from_secret(&rand::random::<[u8; 32]>()),
            |secret| Self::from_secret(&secret),
        )
    }

    fn from_secret(secret: &[u8]) -> Self {
        // A key of its own: what signs tokens signs nothing else.
        let root = hmac::Key::new(hmac::HMAC_SHA256, secret);
        let derived = hmac::sign(&root, b"page cursors");
        let key = hmac::Key::new(hmac::HMAC_SHA256, derived.as_ref());
        let name = hmac::sign(&key, b"name");
        let name = URL_SAFE_NO_PAD.encode(&name.as_ref()[..NAME_BYTES]);
        Self { key, name }
    }

    /// A name of the key that tells nothing about it. Answers with cursors of different keys must not be mixed up.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A cursor of the list `scope`.
    pub fn seal<K: CursorForm>(&self, scope: &str, position: &Position<K>) -> String {
        let mut bytes = position.rows_before.to_be_bytes().to_vec();
        position.after.put(&mut bytes);
        let tag = self.tag(scope, &bytes);
        bytes.extend(&tag.as_ref()[..TAG_BYTES]);
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// The position of a cursor; `None` when this service has not made it for this list.
    pub fn open<K: CursorForm>(&self, scope: &str, cursor: &str) -> Option<Position<K>> {
        let bytes = URL_SAFE_NO_PAD.decode(cursor).ok()?;
        let (payload, sent) = bytes.split_last_chunk::<TAG_BYTES>()?;
        let tag = self.tag(scope, payload);
        aws_lc_rs::constant_time::verify_slices_are_equal(&tag.as_ref()[..TAG_BYTES], sent).ok()?;
        let (rows_before, key) = payload.split_first_chunk()?;
        Some(Position {
            after: K::take(key)?,
            rows_before: i64::from_be_bytes(*rows_before),
        })
    }

    /// The scope's length stands before it, so that scope and payload cannot trade bytes.
    fn tag(&self, scope: &str, payload: &[u8]) -> hmac::Tag {
        let mut signed = hmac::Context::with_key(&self.key);
        signed.update(&scope.len().to_be_bytes());
        signed.update(scope.as_bytes());
        signed.update(payload);
        signed.sign()
    }
}

/// The scope of the list of drivers.
pub const DRIVERS: &str = "drivers";

/// The scope of one driver's trips.
pub fn trips_of(id: DriverId) -> String {
    format!("trips:{id}")
}

/// A key in bytes.
pub trait CursorForm: Sized {
    /// Appends it.
    fn put(&self, bytes: &mut Vec<u8>);
    /// Reads what [`put`](Self::put) has appended.
    fn take(bytes: &[u8]) -> Option<Self>;
}

impl CursorForm for DriverKey {
    fn put(&self, bytes: &mut Vec<u8>) {
        bytes.extend(self.0.to_be_bytes());
    }

    fn take(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(i64::from_be_bytes).map(DriverId)
    }
}

impl CursorForm for TripKey {
    fn put(&self, bytes: &mut Vec<u8>) {
        bytes.extend(self.started_at.timestamp_micros().to_be_bytes());
        bytes.extend(self.id.0.as_bytes());
    }

    fn take(bytes: &[u8]) -> Option<Self> {
        let (micros, id) = bytes.split_first_chunk()?;
        Some(Self {
            started_at: DateTime::from_timestamp_micros(i64::from_be_bytes(*micros))?,
            id: TripId(Uuid::from_slice(id).ok()?),
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn key(secret: u8) -> CursorKey {
        CursorKey::from_secret(&[secret; 32])
    }

    fn trip_position() -> impl Strategy<Value = Position<TripKey>> {
        (0..4_102_444_800_000_000_i64, any::<u128>(), 0..i64::MAX).prop_map(|(micros, id, rows_before)| Position {
            after: TripKey {
                started_at: DateTime::from_timestamp_micros(micros).unwrap(),
                id: TripId(Uuid::from_u128(id)),
            },
            rows_before,
        })
    }

    proptest! {
        #[test]
        fn a_cursor_leads_back_to_its_position(id in 1..i64::MAX, rows_before in 0..i64::MAX, trip in trip_position()) {
            let driver = Position { after: DriverId(id), rows_before };
            prop_assert_eq!(key(1).open(DRIVERS, &key(1).seal(DRIVERS, &driver)), Some(driver));
            prop_assert_eq!(key(1).open("trips:7", &key(1).seal("trips:7", &trip)), Some(trip));
        }

        #[test]
        fn one_changed_character_is_refused(id in 1..i64::MAX, at in any::<prop::sample::Index>(), by in 1..64_usize) {
            const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
            let cursor = key(1).seal(DRIVERS, &Position { after: DriverId(id), rows_before: 50 });
            let mut changed = cursor.into_bytes();
            let at = at.index(changed.len());
            let was = ALPHABET.iter().position(|letter| *letter == changed[at]).unwrap();
            changed[at] = ALPHABET[(was + by) % 64];
            let changed = String::from_utf8(changed).unwrap();
            prop_assert_eq!(key(1).open::<DriverKey>(DRIVERS, &changed), None);
        }

        #[test]
        fn what_was_never_sealed_is_refused(text in ".{0,80}") {
            prop_assert_eq!(key(1).open::<DriverKey>(DRIVERS, &text), None);
        }
    }

    #[test]
    fn another_list_and_another_key_are_refused() {
        let position = Position {
            after: DriverId(7),
            rows_before: 50,
        };
        let cursor = key(1).seal("trips:1", &position);
        assert_eq!(key(1).open("trips:1", &cursor), Some(position));
        assert_eq!(key(1).open::<DriverKey>("trips:2", &cursor), None);
        assert_eq!(key(2).open::<DriverKey>("trips:1", &cursor), None);
        assert_ne!(key(1).name(), key(2).name());
    }
}
