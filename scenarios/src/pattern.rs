//! Regular expressions that are held against answers.

use regex::bytes::Regex;
use toml::Spanned;

use crate::source::Findings;

/// A regular expression; two are equal when they are written the same.
#[derive(Debug, Clone)]
pub struct Pattern(Regex);

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for Pattern {}

impl Pattern {
    /// Compiles what a file says; what is no expression is noted.
    pub(crate) fn check(text: &Spanned<String>, findings: &mut Findings<'_>) -> Option<Self> {
        match Regex::new(text.get_ref()) {
            Ok(regex) => Some(Self(regex)),
            Err(error) => {
                // The last line says what is wrong; those before draw the place.
                let error = error.to_string();
                let why = error.lines().last().unwrap_or_default().trim_start_matches("error: ");
                let what = format!("`{text}` is no regular expression: {why}");
                findings.add(&text.span(), what, None);
                None
            }
        }
    }

    /// As it is written.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// Whether it is found in `text`.
    pub(crate) fn is_in(&self, text: &[u8]) -> bool {
        self.0.is_match(text)
    }

    /// Its first group in `text`, or all of it where it has none.
    pub(crate) fn find<'t>(&self, text: &'t [u8]) -> Option<&'t [u8]> {
        let found = self.0.captures(text)?;
        found.get(1).or_else(|| found.get(0)).map(|part| part.as_bytes())
    }
}
