//! Large bodies in Redis, compressed: less of everybody's connection and of Redis' memory, for some CPU time of whoever
//! loads and of whoever misses L1. In L1 they are as they are sent. Only with the feature `compression`; without it,
//! what others have compressed is a miss.

/// The compressed form of `body`, if it is worth it: from `from_bytes` on, and if it is smaller.
#[cfg(feature = "compression")]
pub(super) fn pack(body: &[u8], from_bytes: usize) -> Option<Vec<u8>> {
    use std::io::Write as _;

    if body.len() < from_bytes {
        return None;
    }
    let mut packed = u32::try_from(body.len()).ok()?.to_le_bytes().to_vec();
    // The fastest level: a body is written once and read by every replica, but its clients wait for the writing.
    let mut encoder = flate2::write::DeflateEncoder::new(&mut packed, flate2::Compression::fast());
    encoder.write_all(body).ok()?;
    encoder.finish().ok()?;
    (packed.len() < body.len()).then_some(packed)
}

/// The body of a compressed form; `None` if it is none.
#[cfg(feature = "compression")]
pub(super) fn unpack(packed: &[u8]) -> Option<Vec<u8>> {
    use std::io::Read as _;

    let (length, packed) = packed.split_first_chunk::<4>()?;
    let length = u64::from(u32::from_le_bytes(*length));
    // Not by the length that it names: what is damaged must not reserve memory.
    let mut body = Vec::with_capacity(4 * packed.len());
    let mut decoder = flate2::read::DeflateDecoder::new(packed).take(length + 1);
    decoder.read_to_end(&mut body).ok()?;
    (body.len() as u64 == length).then_some(body)
}

#[cfg(not(feature = "compression"))]
pub(super) fn pack(_body: &[u8], _from_bytes: usize) -> Option<Vec<u8>> {
    None
}

#[cfg(not(feature = "compression"))]
pub(super) fn unpack(_packed: &[u8]) -> Option<Vec<u8>> {
    None
}

#[cfg(all(test, feature = "compression"))]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_was_packed_is_unpacked(text in "[a-c]{0,400}") {
            let packed = pack(text.as_bytes(), 1);
            prop_assert!(packed.is_some() || text.len() < 40, "{} bytes of three letters", text.len());
            if let Some(packed) = packed {
                prop_assert!(packed.len() < text.len());
                prop_assert_eq!(unpack(&packed), Some(text.into_bytes()));
            }
        }

        #[test]
        fn arbitrary_bytes_do_not_panic(packed in prop::collection::vec(any::<u8>(), 0..100)) {
            let _ = unpack(&packed);
        }
    }

    #[test]
    fn small_bodies_and_noise_stay_as_they_are() {
        assert_eq!(pack(&[b'x'; 99], 100), None);
        assert!(pack(&[b'x'; 100], 100).is_some());
        let noise: Vec<u8> = (0..1_000).map(|_| rand::random()).collect();
        assert_eq!(pack(&noise, 100), None);
    }

    #[test]
    fn another_length_than_it_names_is_damage() {
        let mut packed = pack(&[b'x'; 100], 1).expect("smaller");
        packed[0] = 99;
        assert_eq!(unpack(&packed), None);
        packed[0] = 101;
        assert_eq!(unpack(&packed), None);
    }
}
