//! Invalidation messages: what replicas tell each other on the channel and in the log, and what each tells itself.
//!
//! Text: `SEQ LIFE FORMAT ORIGIN SENT_MS TAG...`, where life and origin are 16 hex digits and each tag a netstring
//! (`9:driver:42,`). The sender writes the part from FORMAT on (the envelope), which is also what the log holds; Redis
//! puts number and life in front. A heartbeat is `SEQ LIFE SENT`.

use std::fmt::Write as _;

use crate::{
    key::split as netstrings,
    place::{Place, Token},
    tag::Tag,
};

const FORMAT: &str = "2";

/// What the sender of an invalidation says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Envelope {
    pub(crate) origin: Token,
    /// When it was sent, by the sender's wall clock; for metrics only.
    pub(crate) sent_ms: u64,
    pub(crate) tags: Vec<Tag>,
}

/// A message as received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) place: Place,
    pub(crate) envelope: Envelope,
}

/// The part of a message that the sender knows.
pub(crate) fn envelope(origin: Token, sent_ms: u64, tags: &[Tag]) -> String {
    let mut text = format!("{FORMAT} {origin} {sent_ms} ");
    for tag in tags {
        // Writing into a String cannot fail.
        let _ = write!(text, "{}:{tag},", tag.name().len());
    }
    text
}

/// The message in `payload`; `None` if it is none of ours.
pub(crate) fn parse(payload: &[u8]) -> Option<Message> {
    let (place, rest) = parse_place(payload)?;
    Some(Message {
        place,
        envelope: parse_envelope(rest)?,
    })
}

/// What a replica told itself: the place of the newest invalidation then, and what it wanted to read back.
pub(crate) fn parse_heartbeat(payload: &[u8]) -> Option<(Place, u64)> {
    let (place, rest) = parse_place(payload)?;
    Some((place, rest.parse().ok()?))
}

fn parse_place(payload: &[u8]) -> Option<(Place, &str)> {
    let mut fields = std::str::from_utf8(payload).ok()?.splitn(3, ' ');
    let seq = fields.next()?.parse().ok()?;
    let life = Token::parse(fields.next()?)?;
    Some((Place { life, seq }, fields.next()?))
}

/// An envelope from a message or from the log.
pub(crate) fn parse_envelope(text: &str) -> Option<Envelope> {
    let mut fields = text.splitn(4, ' ');
    if fields.next()? != FORMAT {
        return None;
    }
    Some(Envelope {
        origin: Token::parse(fields.next()?)?,
        sent_ms: fields.next()?.parse().ok()?,
        tags: netstrings(fields.next()?)
            .filter(|names| !names.is_empty())?
            .into_iter()
            .map(Tag::new)
            .collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn token(name: u64) -> Token {
        Token::parse(&format!("{name:x}")).expect("hexadecimal")
    }

    proptest! {
        #[test]
        fn what_was_sent_is_received(seq: u64, life: u64, sent_ms: u64, origin: u64,
                                     names in prop::collection::vec(".{0,12}", 1..5)) {
            let tags: Vec<Tag> = names.into_iter().map(Tag::new).collect();
            let place = Place { life: token(life), seq };
            let text = envelope(token(origin), sent_ms, &tags);
            let expected = Envelope { origin: token(origin), sent_ms, tags };
            prop_assert_eq!(parse_envelope(&text), Some(expected.clone()));
            let payload = format!("{seq} {} {text}", place.life);
            prop_assert_eq!(parse(payload.as_bytes()), Some(Message { place, envelope: expected }));
            let heartbeat = format!("{seq} {} {sent_ms}", place.life);
            prop_assert_eq!(parse_heartbeat(heartbeat.as_bytes()), Some((place, sent_ms)));
        }

        #[test]
        fn arbitrary_bytes_do_not_panic(payload in prop::collection::vec(any::<u8>(), 0..60)) {
            prop_assert!(parse(&payload).is_none());
            prop_assert!(parse_heartbeat(&payload).is_none());
        }
    }

    #[test]
    fn truncations_are_no_messages() {
        let payload = format!("12 {} {}", token(7), envelope(token(1), 5, &[Tag::new("driver:42")]));
        for length in 0..payload.len() {
            assert_eq!(parse(&payload.as_bytes()[..length]), None, "{length} bytes");
        }
    }
}
