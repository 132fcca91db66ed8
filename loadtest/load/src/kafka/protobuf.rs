//! Fields of Protobuf by their numbers, read without a schema: the wire format says where each one ends.

/// A field as the wire has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Field<'a> {
    Number(u64),
    /// A text, bytes, or a message.
    Bytes(&'a [u8]),
}

/// The field at `path`: the number of a field, behind those of the messages around it. Of several the last one counts.
/// None where there is none, or where these bytes are no Protobuf.
pub(super) fn field<'a>(message: &'a [u8], path: &[u32]) -> Option<Field<'a>> {
    let (number, rest) = path.split_first()?;
    let mut found = None;
    let mut bytes = message;
    while !bytes.is_empty() {
        let (at, field) = next(&mut bytes)?;
        if at == u64::from(*number) && field.is_some() {
            found = field;
        }
    }
    match (found?, rest) {
        (field, []) => Some(field),
        (Field::Bytes(inner), rest) => self::field(inner, rest),
        (Field::Number(_), _) => None,
    }
}

/// Takes one field off; those of a fixed width are passed over.
fn next<'a>(bytes: &mut &'a [u8]) -> Option<(u64, Option<Field<'a>>)> {
    let tag = varint(bytes)?;
    let field = match tag & 7 {
        0 => Some(Field::Number(varint(bytes)?)),
        1 => take(bytes, 8).map(|_| None)?,
        2 => {
            let length = usize::try_from(varint(bytes)?).ok()?;
            Some(Field::Bytes(take(bytes, length)?))
        }
        5 => take(bytes, 4).map(|_| None)?,
        _ => return None,
    };
    Some((tag >> 3, field))
}

fn take<'a>(bytes: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (taken, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    Some(taken)
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let (first, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(first & 0x7f) << shift;
        if first & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// `1: 150`, `2: "testing"` and `3: { 1: 150 }` are the examples of the format's own page.
    const EXAMPLES: &[u8] = &[
        0x08, 0x96, 0x01, 0x12, 0x07, b't', b'e', b's', b't', b'i', b'n', b'g', 0x1a, 0x03, 0x08, 0x96, 0x01,
    ];

    #[test]
    fn fields_are_found_by_their_numbers() {
        assert_eq!(field(EXAMPLES, &[1]), Some(Field::Number(150)));
        assert_eq!(field(EXAMPLES, &[2]), Some(Field::Bytes(b"testing")));
        assert_eq!(field(EXAMPLES, &[3, 1]), Some(Field::Number(150)));
        for absent in [&[4][..], &[3, 2], &[1, 1], &[]] {
            assert_eq!(field(EXAMPLES, absent), None, "{absent:?}");
        }
    }

    #[test]
    fn fields_of_fixed_width_are_passed_over_and_the_last_of_several_counts() {
        let bytes = [0x0d, 0, 0, 0, 0, 0x11, 0, 0, 0, 0, 0, 0, 0, 0, 0x08, 1, 0x08, 2];
        assert_eq!(field(&bytes, &[1]), Some(Field::Number(2)));
        assert_eq!(field(&bytes, &[2]), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes: Vec<u8>, path in proptest::collection::vec(1_u32..20, 0..4)) {
            let _found = field(&bytes, &path);
        }
    }
}
