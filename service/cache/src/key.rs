//! Keys: what is asked for. A key is the endpoint and every input that changes the answer, written so that no two
//! different inputs give the same text. What an answer depends on is not here (see [`Tag`](crate::Tag)).

use std::fmt::{self, Display, Write as _};

use crate::tag::{Tag, endpoint_stripe};

/// Names one cached answer.
///
/// The text is a row of netstrings (`length:bytes,`), the endpoint first: `12:risk_current,2:42,`. Each part carries
/// its length, so `("ab", "c")` and `("a", "bc")` never meet.
///
/// ```
/// use tiered_cache::Key;
/// let key = Key::new("driver_trips").part(42).part("2026-01");
/// assert_eq!(key.as_str(), "12:driver_trips,2:42,7:2026-01,");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    endpoint: &'static str,
    /// The stripe of the endpoint's tag, so that no hit has to hash the name.
    endpoint_stripe: u16,
    text: String,
}

impl Key {
    /// A key for `endpoint`, which is also the label of its metrics; a fixed name, so that labels stay few.
    pub fn new(endpoint: &'static str) -> Self {
        let mut key = Self {
            endpoint,
            endpoint_stripe: endpoint_stripe(endpoint),
            // Endpoint plus one or two short parts: one allocation for the usual key.
            text: String::with_capacity(endpoint.len() + 48),
        };
        key.append(&endpoint);
        key
    }

    /// Adds an input that changes the answer. The order of parts matters.
    ///
    /// # Panics
    /// If the `Display` implementation of `value` returns an error, as `to_string` does.
    #[must_use]
    pub fn part(mut self, value: impl Display) -> Self {
        self.append(&value);
        self
    }

    /// The endpoint given to [`Key::new`].
    pub fn endpoint(&self) -> &'static str {
        self.endpoint
    }

    /// The whole key as text; different keys have different texts.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The inputs, as they were given to [`Key::part`].
    pub fn parts(&self) -> Vec<&str> {
        split(&self.text).map_or_else(Vec::new, |parts| parts.into_iter().skip(1).collect())
    }

    /// The key with this text, if its endpoint is one of `endpoints`.
    pub(crate) fn parse(text: &str, endpoints: &[&'static str]) -> Option<Self> {
        let parts = split(text)?;
        let (first, rest) = parts.split_first()?;
        let endpoint = endpoints.iter().find(|endpoint| *endpoint == first)?;
        Some(rest.iter().fold(Self::new(endpoint), Self::part))
    }

    /// The key that [reads](Key::readable) like this, if its endpoint is one of `endpoints` and no part holds a colon.
    pub(crate) fn from_readable(text: &str, endpoints: &[&'static str]) -> Option<Self> {
        let (first, rest) = text
            .split_once(':')
            .map_or((text, None), |(first, rest)| (first, Some(rest)));
        let endpoint = endpoints.iter().find(|endpoint| **endpoint == first)?;
        Some(
            rest.into_iter()
                .flat_map(|rest| rest.split(':'))
                .fold(Self::new(endpoint), Self::part),
        )
    }

    /// What the texts of all keys of an endpoint begin with.
    pub(crate) fn prefix_of(endpoint: &str) -> String {
        format!("{}:{endpoint},", endpoint.len())
    }

    /// The endpoint and its parts with colons between; for people, because different keys may read the same.
    pub(crate) fn readable(&self) -> String {
        split(&self.text).map_or_else(|| self.text.clone(), |parts| parts.join(":"))
    }

    /// The tag that all answers of this endpoint carry without being told to.
    pub(crate) fn endpoint_tag(&self) -> Tag {
        Tag::endpoint(self.endpoint)
    }

    pub(crate) fn endpoint_stripe(&self) -> u16 {
        self.endpoint_stripe
    }

    fn append(&mut self, value: &dyn Display) {
        let start = self.text.len();
        write!(self.text, "{value}").expect("a Display implementation returned an error");
        let length = self.text.len() - start;
        self.text.insert_str(start, &format!("{length}:"));
        self.text.push(',');
    }
}

impl Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// The parts of a row of netstrings.
pub(crate) fn split(mut rest: &str) -> Option<Vec<&str>> {
    let mut parts = Vec::new();
    while !rest.is_empty() {
        let (length, after) = rest.split_once(':')?;
        let (part, after) = after.split_at_checked(length.parse().ok()?)?;
        rest = after.strip_prefix(',')?;
        parts.push(part);
    }
    Some(parts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn key_of(parts: &[String]) -> Key {
        parts.iter().fold(Key::new("endpoint"), Key::part)
    }

    /// Parts made of the characters that a careless encoding would confuse with its own.
    fn parts() -> impl Strategy<Value = Vec<String>> {
        prop::collection::vec("[0-9a:,]{0,4}", 0..4)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn different_parts_give_different_keys(left in parts(), right in parts()) {
            prop_assert_eq!(left == right, key_of(&left) == key_of(&right));
            prop_assert_eq!(left == right, key_of(&left).as_str() == key_of(&right).as_str());
        }

        #[test]
        fn moving_a_border_between_parts_changes_the_key(text in "[0-9a:,]{2,8}", at in 0usize..8, other in 0usize..8) {
            let (at, other) = (at.min(text.len()), other.min(text.len()));
            let cut = |i: usize| key_of(&[text[..i].to_owned(), text[i..].to_owned()]);
            prop_assert_eq!(at == other, cut(at) == cut(other));
        }
    }

    #[test]
    fn a_key_is_read_back_from_its_text() {
        let key = Key::new("trips").part("a:b,").part("").part(7);
        assert_eq!(key.parts(), ["a:b,", "", "7"]);
        assert_eq!(Key::parse(key.as_str(), &["risk", "trips"]), Some(key.clone()));
        assert_eq!(Key::parse(key.as_str(), &["risk"]), None);
        assert_eq!(Key::parse("5:trips", &["trips"]), None);
        assert!(key.as_str().starts_with(&Key::prefix_of("trips")));
        assert_eq!(key.readable(), "trips:a:b,::7");
        let plain = Key::new("trips").part(7).part("");
        assert_eq!(Key::from_readable(&plain.readable(), &["trips"]), Some(plain));
        assert_eq!(Key::from_readable("trips", &["trips"]), Some(Key::new("trips")));
        assert_eq!(Key::from_readable("trips:7", &["risk"]), None);
    }

    #[test]
    fn endpoint_and_part_do_not_mix() {
        assert_ne!(Key::new("ab").part("c"), Key::new("a").part("bc"));
        assert_ne!(Key::new("a"), Key::new("a").part(""));
        assert_eq!(Key::new("a").part(1).endpoint(), "a");
    }
}
