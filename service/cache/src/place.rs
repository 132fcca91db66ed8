//! Places in the row of invalidations. How the row is written and read is not here (see `l2`).

use std::{fmt, str::FromStr};

/// A random name: of a cache instance, so that it knows its own messages, or of a life of the row of invalidations,
/// since numbers of two lives say nothing about each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Token(u64);

impl Token {
    /// Its length as text.
    const DIGITS: usize = 16;

    pub(crate) fn random() -> Self {
        Self(rand::random())
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        u64::from_str_radix(text, 16).ok().map(Self)
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// A place in the row of all invalidations of a namespace: a number, and the life of the row that it belongs to. An
/// emptied or restarted Redis begins another life, whose numbers say nothing about those of the one before.
///
/// Its text is `LIFE-NUMBER`, as in `9f86d081884c7d65-17`: a client that wrote on one replica carries it to the others
/// ([`TieredCache::get_or_load_after`](crate::TieredCache::get_or_load_after)).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    pub(crate) life: Token,
    pub(crate) seq: u64,
}

/// A text that is no place.
#[derive(Debug, thiserror::Error)]
#[error("a place among invalidations is LIFE-NUMBER, as in 9f86d081884c7d65-17")]
pub struct NoPlace;

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.life, self.seq)
    }
}

impl FromStr for Place {
    type Err = NoPlace;

    fn from_str(text: &str) -> Result<Self, NoPlace> {
        let (life, seq) = text.split_once('-').ok_or(NoPlace)?;
        let is_plain = life.len() == Token::DIGITS
            && life.bytes().all(|byte| byte.is_ascii_hexdigit())
            && seq.bytes().all(|byte| byte.is_ascii_digit());
        if !is_plain {
            return Err(NoPlace);
        }
        let life = Token::parse(life).ok_or(NoPlace)?;
        let seq = seq.parse().map_err(|_| NoPlace)?;
        Ok(Self { life, seq })
    }
}

impl Place {
    /// The number alone, for display: it can be compared within one life only.
    pub const fn number(self) -> u64 {
        self.seq
    }

    pub(crate) fn follows(self, other: Self) -> bool {
        self.life == other.life && self.seq == other.seq.wrapping_add(1)
    }

    pub(crate) fn is_at_or_before(self, other: Self) -> bool {
        self.life == other.life && self.seq <= other.seq
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_read_back_from_its_text_and_nothing_else_is_one() {
        let place = Place {
            life: Token(0xab),
            seq: 17,
        };
        assert_eq!(place.to_string(), "00000000000000ab-17");
        assert_eq!("00000000000000ab-17".parse::<Place>().ok(), Some(place));
        for text in [
            "",
            "17",
            "-17",
            "ab-17",
            "00000000000000ab-",
            "00000000000000ab-+1",
            "+0000000000000ab-1",
            "00000000000000ag-1",
            "00000000000000ab-18446744073709551616",
            "00000000000000ab-1-1",
            " 00000000000000ab-1",
        ] {
            assert!(text.parse::<Place>().is_err(), "`{text}`");
        }
    }

    #[test]
    fn numbers_of_another_life_neither_follow_nor_precede() {
        let (five, six) = (Place { life: Token(1), seq: 5 }, Place { life: Token(1), seq: 6 });
        assert!(six.follows(five) && five.is_at_or_before(six) && !six.is_at_or_before(five));
        let elsewhere = Place { life: Token(2), seq: 6 };
        assert!(!elsewhere.follows(five) && !five.is_at_or_before(elsewhere));
    }
}
