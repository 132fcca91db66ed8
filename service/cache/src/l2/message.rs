//! Invalidation messages: what replicas tell each other on the channel and in the log.
//!
//! Text: `SEQ FORMAT ORIGIN SENT_MS TAG...`, where origin is 16 hex digits and each tag a netstring (`9:driver:42,`). The
//! sender writes the part from FORMAT on (the envelope); Redis puts the number in front.

use std::fmt::Write as _;

use crate::tag::Tag;

const FORMAT: &str = "1";

/// Names one cache instance, so that it knows its own messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Origin(u64);

impl Origin {
    pub(crate) fn random() -> Self {
        Self(rand::random())
    }
}

/// A message as received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Message {
    /// Place in the order of all invalidations of the namespace.
    pub(crate) seq: u64,
    pub(crate) origin: Origin,
    /// When it was sent, by the sender's wall clock; for metrics only.
    pub(crate) sent_ms: u64,
    pub(crate) tags: Vec<Tag>,
}

/// The part of a message that the sender knows.
pub(crate) fn envelope(origin: Origin, sent_ms: u64, tags: &[Tag]) -> String {
    let mut text = format!("{FORMAT} {:016x} {sent_ms} ", origin.0);
    for tag in tags {
        // Writing into a String cannot fail.
        let _ = write!(text, "{}:{tag},", tag.name().len());
    }
    text
}

/// The message in `payload`; `None` if it is none of ours.
pub(crate) fn parse(payload: &[u8]) -> Option<Message> {
    let text = std::str::from_utf8(payload).ok()?;
    let mut fields = text.splitn(5, ' ');
    let seq = fields.next()?.parse().ok()?;
    if fields.next()? != FORMAT {
        return None;
    }
    Some(Message {
        seq,
        origin: Origin(u64::from_str_radix(fields.next()?, 16).ok()?),
        sent_ms: fields.next()?.parse().ok()?,
        tags: parse_tags(fields.next()?).filter(|tags| !tags.is_empty())?,
    })
}

fn parse_tags(mut rest: &str) -> Option<Vec<Tag>> {
    let mut tags = Vec::new();
    while !rest.is_empty() {
        let (length, after) = rest.split_once(':')?;
        let (name, after) = after.split_at_checked(length.parse().ok()?)?;
        rest = after.strip_prefix(',')?;
        tags.push(Tag::new(name));
    }
    Some(tags)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_was_sent_is_received(seq: u64, sent_ms: u64, origin: u64, names in prop::collection::vec(".{0,12}", 1..5)) {
            let tags: Vec<Tag> = names.into_iter().map(Tag::new).collect();
            let payload = format!("{seq} {}", envelope(Origin(origin), sent_ms, &tags));
            let expected = Message { seq, origin: Origin(origin), sent_ms, tags };
            prop_assert_eq!(parse(payload.as_bytes()), Some(expected));
        }

        #[test]
        fn arbitrary_bytes_do_not_panic(payload in prop::collection::vec(any::<u8>(), 0..60)) {
            prop_assert!(parse(&payload).is_none());
        }
    }

    #[test]
    fn truncations_are_no_messages() {
        let payload = format!("12 {}", envelope(Origin(1), 5, &[Tag::new("driver:42")]));
        for length in 0..payload.len() {
            assert_eq!(parse(&payload.as_bytes()[..length]), None, "{length} bytes");
        }
    }
}
