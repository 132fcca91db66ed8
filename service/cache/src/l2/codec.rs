//! The bytes of an L2 entry: a small header and the body. Reading checks everything and trusts nothing: what is
//! damaged, of another format, of another key, or of older tag generations is not an entry.
//!
//! Layout, little-endian: `"TC"`, format `u8`, flags `u8` (1: there is no such thing; 2: the body is compressed, see
//! `packing`), CRC-32 of the flags and of all
//! that follows `u32`, key length `u32` and key, tag count `u32`, for each tag length `u32`, name and nonce (8 bytes),
//! created `u64` (ms since 1970), load time `u64` (µs), soft and hard TTL `u64` (ms), version `i64`, body length `u32`
//! and body, end.

use bytes::{Buf as _, Bytes};

use super::packing;
use crate::{entry::Entry, policy::Lifetime, tag::Tag};

const MAGIC: [u8; 2] = *b"TC";
/// Raised with every change of the layout: replicas of two releases read each other's entries as misses.
const FORMAT: u8 = 2;
/// An answer.
const POSITIVE: u8 = 0;
/// There is no such thing: the body is empty and the version 0.
const NEGATIVE: u8 = 1;
/// An answer whose body is compressed.
const PACKED: u8 = 2;
/// Where the bytes that the checksum covers begin.
const CHECKED_FROM: usize = 8;

/// A tag's generation: changes with every invalidation, never comes again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Nonce([u8; 8]);

impl Nonce {
    pub(crate) fn random() -> Self {
        Self(rand::random::<u64>().to_be_bytes())
    }

    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    pub(crate) fn as_bytes(&self) -> &[u8; 8] {
        &self.0
    }
}

/// An entry with what readers need to judge its age.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stored {
    /// `None`: there is no such thing.
    pub(crate) entry: Option<Entry>,
    /// When the load ended, by the loading replica's wall clock.
    pub(crate) created_ms: u64,
    /// How long the load took.
    pub(crate) load_us: u64,
    pub(crate) lifetime: Lifetime,
}

/// What an entry belongs to: readers compare all of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Identity<'a> {
    pub(crate) key: &'a str,
    pub(crate) tags: &'a [Tag],
    /// One for each tag, in the same order.
    pub(crate) nonces: &'a [Nonce],
}

/// Why bytes are not the entry that was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rejected {
    /// Not an entry, damaged, or of another format or key.
    Damaged,
    /// A whole entry, but one of its tags has another generation now.
    Outdated,
}

/// The bytes of an entry, whose body is compressed from `pack_from` bytes on; `None` if a part is too long for the
/// format (4 GiB), which Redis would refuse too.
pub(crate) fn encode(identity: Identity<'_>, stored: &Stored, pack_from: usize) -> Option<Vec<u8>> {
    let packed = stored
        .entry
        .as_ref()
        .and_then(|entry| packing::pack(&entry.body, pack_from));
    let (flags, version, body) = match (&stored.entry, &packed) {
        (Some(entry), Some(packed)) => (PACKED, entry.version, &packed[..]),
        (Some(entry), None) => (POSITIVE, entry.version, &entry.body[..]),
        (None, _) => (NEGATIVE, 0, &[][..]),
    };
    let mut out = Vec::with_capacity(body.len() + identity.key.len() + 32 * identity.tags.len() + 96);
    out.extend_from_slice(&[MAGIC[0], MAGIC[1], FORMAT, flags, 0, 0, 0, 0]);
    put_bytes(&mut out, identity.key.as_bytes())?;
    out.extend_from_slice(&u32::try_from(identity.tags.len()).ok()?.to_le_bytes());
    for (tag, nonce) in identity.tags.iter().zip(identity.nonces) {
        put_bytes(&mut out, tag.name().as_bytes())?;
        out.extend_from_slice(nonce.as_bytes());
    }
    let lifetime = stored.lifetime;
    for number in [stored.created_ms, stored.load_us, lifetime.soft_ms, lifetime.hard_ms] {
        out.extend_from_slice(&number.to_le_bytes());
    }
    out.extend_from_slice(&version.to_le_bytes());
    put_bytes(&mut out, body)?;
    let sum = checksum(flags, &out[CHECKED_FROM..]);
    out[4..CHECKED_FROM].copy_from_slice(&sum.to_le_bytes());
    Some(out)
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) -> Option<()> {
    out.extend_from_slice(&u32::try_from(bytes.len()).ok()?.to_le_bytes());
    out.extend_from_slice(bytes);
    Some(())
}

/// The entry in `raw`, if it is whole and has this identity. The body is a part of `raw`, not a copy.
pub(crate) fn decode(raw: &Bytes, identity: Identity<'_>) -> Result<Stored, Rejected> {
    match parse(raw, identity) {
        Some((stored, true)) => Ok(stored),
        Some((_, false)) => Err(Rejected::Outdated),
        None => Err(Rejected::Damaged),
    }
}

/// The entry, and whether its tags have their current nonces; `None` if it is damaged, or an entry of something else.
fn parse(raw: &Bytes, identity: Identity<'_>) -> Option<(Stored, bool)> {
    let mut rest: &[u8] = raw;
    let &[magic_0, magic_1, format, flags] = rest.split_off(..4)? else {
        return None;
    };
    let sum = rest.try_get_u32_le().ok()?;
    let is_ours = [magic_0, magic_1] == MAGIC && format == FORMAT && matches!(flags, POSITIVE | NEGATIVE | PACKED);
    if !is_ours || sum != checksum(flags, rest) || sized(&mut rest)? != identity.key.as_bytes() {
        return None;
    }
    let is_current = has_current_nonces(&mut rest, identity)?;
    let mut number = || rest.try_get_u64_le().ok();
    let (created_ms, load_us, soft_ms, hard_ms) = (number()?, number()?, number()?, number()?);
    let version = rest.try_get_i64_le().ok()?;
    let body = raw.slice_ref(sized(&mut rest)?);
    let body = if flags == PACKED {
        packing::unpack(&body)?.into()
    } else {
        body
    };
    let stored = Stored {
        entry: (flags != NEGATIVE).then_some(Entry { body, version }),
        created_ms,
        load_us,
        lifetime: Lifetime { soft_ms, hard_ms },
    };
    rest.is_empty().then_some((stored, is_current))
}

fn checksum(flags: u8, rest: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&[flags]);
    hasher.update(rest);
    hasher.finalize()
}

/// Whether the tags have their current nonces; `None` if they are other tags.
fn has_current_nonces(rest: &mut &[u8], identity: Identity<'_>) -> Option<bool> {
    if rest.try_get_u32_le().ok()? as usize != identity.tags.len() {
        return None;
    }
    let mut is_current = identity.nonces.len() == identity.tags.len();
    for (tag, nonce) in identity.tags.iter().zip(identity.nonces) {
        if sized(rest)? != tag.name().as_bytes() {
            return None;
        }
        is_current &= rest.split_off(..nonce.0.len())? == nonce.0;
    }
    Some(is_current)
}

/// A length and so many bytes.
fn sized<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = rest.try_get_u32_le().ok()?;
    rest.split_off(..usize::try_from(length).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn stored(body: Vec<u8>, version: i64) -> Stored {
        Stored {
            entry: Some(Entry::new(body, version)),
            created_ms: 1_767_225_600_000,
            load_us: 1_234,
            lifetime: Lifetime {
                soft_ms: 60_000,
                hard_ms: 120_000,
            },
        }
    }

    /// Owned parts of an identity.
    struct Owner {
        key: String,
        tags: Vec<Tag>,
        nonces: Vec<Nonce>,
    }

    impl Owner {
        fn new(key: &str, tags: &[(&str, u64)]) -> Self {
            Self {
                key: key.to_owned(),
                tags: tags.iter().map(|&(name, _)| Tag::new(name)).collect(),
                nonces: tags.iter().map(|&(_, nonce)| Nonce(nonce.to_be_bytes())).collect(),
            }
        }

        fn identity(&self) -> Identity<'_> {
            Identity {
                key: &self.key,
                tags: &self.tags,
                nonces: &self.nonces,
            }
        }
    }

    fn sample() -> (Owner, Bytes) {
        let owner = Owner::new("4:risk,2:42,", &[("driver:42", 7), ("all", 9)]);
        let raw = encode(owner.identity(), &stored(b"{\"points\":12.5}".to_vec(), 3), usize::MAX).expect("encodes");
        (owner, raw.into())
    }

    fn decode_with(raw: &Bytes, key: &str, tags: &[(&str, u64)]) -> Result<Stored, Rejected> {
        decode(raw, Owner::new(key, tags).identity())
    }

    proptest! {
        #[test]
        fn what_was_written_is_read(body in prop::collection::vec(any::<u8>(), 0..300), version: i64,
                                    key in ".{0,40}", names in prop::collection::vec(".{0,12}", 0..4)) {
            let tags: Vec<(&str, u64)> = names.iter().map(|name| (name.as_str(), 5)).collect();
            let owner = Owner::new(&key, &tags);
            let stored = stored(body, version);
            let raw = Bytes::from(encode(owner.identity(), &stored, usize::MAX).expect("encodes"));
            prop_assert_eq!(decode(&raw, owner.identity()), Ok(stored));
        }

        #[test]
        fn arbitrary_bytes_are_damaged(raw in prop::collection::vec(any::<u8>(), 0..200)) {
            let (owner, _) = sample();
            prop_assert_eq!(decode(&raw.into(), owner.identity()), Err(Rejected::Damaged));
        }
    }

    #[test]
    fn every_truncation_and_every_extension_is_damaged() {
        let (owner, raw) = sample();
        for length in 0..raw.len() {
            assert_eq!(
                decode(&raw.slice(..length), owner.identity()),
                Err(Rejected::Damaged),
                "{length} bytes"
            );
        }
        let longer = Bytes::from([&raw[..], b"x"].concat());
        assert_eq!(decode(&longer, owner.identity()), Err(Rejected::Damaged));
    }

    #[test]
    fn every_flipped_bit_is_damaged() {
        let (owner, raw) = sample();
        for bit in 0..raw.len() * 8 {
            let mut flipped = raw.to_vec();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(
                decode(&flipped.into(), owner.identity()),
                Err(Rejected::Damaged),
                "bit {bit}"
            );
        }
    }

    #[test]
    fn another_key_or_other_tags_are_foreign() {
        let (_, raw) = sample();
        let tags = [("driver:42", 7), ("all", 9)];
        assert!(decode_with(&raw, "4:risk,2:42,", &tags).is_ok());
        assert_eq!(decode_with(&raw, "4:risk,2:43,", &tags), Err(Rejected::Damaged));
        assert_eq!(
            decode_with(&raw, "4:risk,2:42,", &[("driver:42", 7)]),
            Err(Rejected::Damaged)
        );
        assert_eq!(
            decode_with(&raw, "4:risk,2:42,", &[("driver:43", 7), ("all", 9)]),
            Err(Rejected::Damaged)
        );
    }

    #[test]
    fn another_generation_of_any_tag_is_outdated() {
        let (_, raw) = sample();
        for tags in [[("driver:42", 8), ("all", 9)], [("driver:42", 7), ("all", 8)]] {
            assert_eq!(decode_with(&raw, "4:risk,2:42,", &tags), Err(Rejected::Outdated));
        }
    }

    #[cfg(feature = "compression")]
    #[test]
    fn a_large_body_is_compressed_and_read_back() {
        let (owner, _) = sample();
        let stored = stored(vec![b'x'; 10_000], 3);
        let raw = Bytes::from(encode(owner.identity(), &stored, 1_000).expect("encodes"));
        assert!(raw.len() < 1_000, "{} bytes", raw.len());
        assert_eq!(decode(&raw, owner.identity()), Ok(stored));
    }

    #[test]
    fn that_there_is_no_such_thing_is_an_entry_too() {
        let (owner, _) = sample();
        let stored = Stored {
            entry: None,
            ..stored(Vec::new(), 0)
        };
        let raw = Bytes::from(encode(owner.identity(), &stored, usize::MAX).expect("encodes"));
        assert_eq!(decode(&raw, owner.identity()), Ok(stored));
    }

    #[test]
    fn the_body_is_not_copied() {
        let (owner, raw) = sample();
        let body = decode(&raw, owner.identity())
            .expect("decodes")
            .entry
            .expect("positive")
            .body;
        assert!(raw.as_ptr_range().contains(&body.as_ptr()));
    }
}
