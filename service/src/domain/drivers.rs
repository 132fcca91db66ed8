//! Drivers as the insurer knows them, and what the back office may change about them.

use serde::{Deserialize, Serialize};

use super::ids::DriverId;

/// Longest name, in characters.
pub const NAME_MAX: usize = 100;
/// Longest part of a mail address before the `@`, in characters: RFC 5321, section 4.5.3.1. The part after it may have
/// what the 254 of the whole leave.
pub const EMAIL_LOCAL_MAX: usize = 64;
/// Longest part of a mail address after the `@`, in characters; see [`EMAIL_LOCAL_MAX`].
pub const EMAIL_DOMAIN_MAX: usize = 189;

text_enum! {
    /// Status of a driver's contract.
    pub enum DriverStatus {
        /// Insured.
        Active => "active",
        /// Cover is paused, for example for an unpaid premium.
        Suspended => "suspended",
        /// The contract has ended.
        Lapsed => "lapsed",
    }
}

/// Change of a driver; `None` leaves a field as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DriverChange {
    /// Given and family name.
    pub name: Option<String>,
    /// Address for mail.
    pub email: Option<String>,
    /// Status of the contract.
    pub status: Option<DriverStatus>,
}

/// Why a change of a driver is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DriverError {
    /// Nothing is to change.
    #[error("the change is empty: give at least one of name, email and status")]
    Empty,
    /// `name` empty, too long, blank, or with characters that make it look like another.
    #[error(
        "name must have 1 to {NAME_MAX} characters, one of them visible, and no control character or mark of direction"
    )]
    Name,
    /// `email` is no address.
    #[error(
        "email must be NAME@DOMAIN with at most {EMAIL_LOCAL_MAX} and {EMAIL_DOMAIN_MAX} letters, digits and `.`, `-` \
         (before the @ also `_`, `%`, `+`)"
    )]
    Email,
}

impl DriverChange {
    /// Checks the fields that are given.
    pub fn validate(&self) -> Result<(), DriverError> {
        if *self == Self::default() {
            return Err(DriverError::Empty);
        }
        if self.name.as_deref().is_some_and(|name| !is_name(name)) {
            return Err(DriverError::Name);
        }
        if self.email.as_deref().is_some_and(|email| !is_email(email)) {
            return Err(DriverError::Email);
        }
        Ok(())
    }
}

fn is_name(text: &str) -> bool {
    (1..=NAME_MAX).contains(&text.chars().count())
        && text.chars().any(|character| !is_blank(character))
        && !text.chars().any(is_misleading)
}

/// Shows nothing: blanks, fillers, and the joiners that some scripts have between letters.
fn is_blank(character: char) -> bool {
    let fillers = [
        '\u{ad}', '\u{34f}', '\u{115f}', '\u{1160}', '\u{17b4}', '\u{17b5}', '\u{180e}', '\u{200c}', '\u{200d}',
        '\u{2800}', '\u{3164}', '\u{ffa0}',
    ];
    character.is_whitespace() || fillers.contains(&character)
}

/// Makes a text look like another: control characters, marks that turn the direction of what follows (UAX #9), breaks
/// of lines, and what takes no room but lies between letters.
fn is_misleading(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{61c}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{feff}')
        || matches!(character, '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{fff9}'..='\u{fffb}')
}

/// Plain addresses only: no quoting, no internationalised parts. Whether mail arrives, only mail can tell.
fn is_email(text: &str) -> bool {
    let within = |part: &str, longest: usize, others: &str| {
        (1..=longest).contains(&part.len())
            && part
                .chars()
                .all(|character| character.is_ascii_alphanumeric() || others.contains(character))
    };
    text.split_once('@').is_some_and(|(local, domain)| {
        within(local, EMAIL_LOCAL_MAX, "._%+-") && within(domain, EMAIL_DOMAIN_MAX, ".-")
    })
}

/// The event that tells that a driver's own data have changed; what stands in the outbox.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DriverUpdated {
    /// Number of the driver.
    pub driver_id: DriverId,
    /// The driver's version that the change made.
    pub version: i64,
    /// Status of the contract after the change.
    pub status: DriverStatus,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(name: Option<&str>, email: Option<&str>) -> Result<(), DriverError> {
        DriverChange {
            name: name.map(str::to_owned),
            email: email.map(str::to_owned),
            status: None,
        }
        .validate()
    }

    #[test]
    fn names_and_addresses_are_checked_when_they_are_given() {
        assert_eq!(change(None, None), Err(DriverError::Empty));
        assert_eq!(change(Some("Zoë Özil"), None), Ok(()));
        assert_eq!(change(Some(&"x".repeat(NAME_MAX)), None), Ok(()));
        for name in ["O'Neill-Søren", "علی\u{200c}رضا", "李 四", "x"] {
            assert_eq!(change(Some(name), None), Ok(()), "{name:?}");
        }
        let long = "x".repeat(NAME_MAX + 1);
        let blank = [" ", "\u{3000}\u{a0}", "\u{200d}", "\u{3164}", "\u{2800} "];
        let misleading = [
            "Ada \u{202e}lebA",
            "\u{2066}Ada\u{2069}",
            "A\u{200b}da",
            "\u{feff}Ada",
            "A\u{2028}B",
        ];
        let others = ["", "a\0b", "tab\tbed", &long];
        for name in blank.into_iter().chain(misleading).chain(others) {
            assert_eq!(change(Some(name), None), Err(DriverError::Name), "{name:?}");
        }
        assert_eq!(change(None, Some("Ada.Abel+1@mail.example.com")), Ok(()));
        let long = format!("{}@example.com", "x".repeat(EMAIL_LOCAL_MAX + 1));
        for email in [
            "",
            "ada",
            "@example.com",
            "ada@",
            "a b@example.com",
            "a@b@c",
            "ü@example.com",
            &long,
        ] {
            assert_eq!(change(None, Some(email)), Err(DriverError::Email), "{email:?}");
        }
    }
}
