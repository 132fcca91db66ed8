//! Reads variables through a lookup function and gathers every mistake.
//!
//! What belongs here: parsing and complaining. What a variable means stands in the file of its concern.

use std::ffi::OsString;
use std::fmt;
use std::str::FromStr;

use crate::nearest::nearest;

/// Where variables come from: the process environment in `main`, a map in tests.
pub type Lookup<'a> = &'a dyn Fn(&str) -> Option<OsString>;

/// One mistake in the environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigProblem {
    /// The variable to correct.
    pub variable: &'static str,
    /// The mistake and its correction.
    pub message: String,
}

/// Every mistake in the environment, so that one start shows them all.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct ConfigError(pub Vec<ConfigProblem>);

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the environment has {} mistake(s):", self.0.len())?;
        self.0
            .iter()
            .try_for_each(|problem| write!(f, "\n  {}: {}", problem.variable, problem.message))
    }
}

/// Collects values and problems. A method that meets a problem returns a stand-in, so that reading goes on; the
/// stand-in is never used, because [`Reader::finish`] then refuses the whole.
pub(super) struct Reader<'a> {
    lookup: Lookup<'a>,
    problems: Vec<ConfigProblem>,
}

impl<'a> Reader<'a> {
    /// A reader over `lookup`.
    pub(super) fn new(lookup: Lookup<'a>) -> Self {
        Self {
            lookup,
            problems: Vec::new(),
        }
    }

    /// The variable's text without the blanks around it; unset and empty are the same, because compose files cannot
    /// unset a variable.
    pub(super) fn text(&mut self, variable: &'static str) -> Option<String> {
        let text = self.raw(variable)?;
        Some(text.trim().to_owned()).filter(|text| !text.is_empty())
    }

    /// A password: as it is, blanks included.
    pub(super) fn secret(&mut self, variable: &'static str) -> Option<Secret> {
        self.raw(variable).filter(|text| !text.is_empty()).map(Secret::new)
    }

    /// What is no text is a mistake and not unset: a secret of random bytes would silently be none.
    fn raw(&mut self, variable: &'static str) -> Option<String> {
        let Ok(text) = (self.lookup)(variable)?.into_string() else {
            let problem = "is not UTF-8 text; give random bytes in hex or base64";
            self.refuse(variable, problem.to_owned());
            return None;
        };
        Some(text)
    }

    /// The parsed value, or `None` when the variable is unset or wrong (then it is on the list of problems).
    pub(super) fn optional<T>(
        &mut self,
        variable: &'static str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        let text = self.text(variable)?;
        parse(&text).map_err(|message| self.refuse(variable, message)).ok()
    }

    /// The parsed value, or `default` when the variable is unset.
    pub(super) fn or<T>(
        &mut self,
        variable: &'static str,
        default: T,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> T {
        self.optional(variable, parse).unwrap_or(default)
    }

    /// The text of a variable that must be set; `example` shows what to write.
    pub(super) fn required(&mut self, variable: &'static str, example: &str) -> String {
        let known = self.problems.len();
        self.text(variable).unwrap_or_else(|| {
            if self.problems.len() == known {
                self.refuse(variable, format!("is not set; give for example {example}"));
            }
            String::new()
        })
    }

    /// Puts a problem on the list.
    pub(super) fn refuse(&mut self, variable: &'static str, message: String) {
        self.problems.push(ConfigProblem { variable, message });
    }

    /// `value` when nothing was wrong.
    pub(super) fn finish<T>(self, value: T) -> Result<T, ConfigError> {
        if self.problems.is_empty() {
            Ok(value)
        } else {
            Err(ConfigError(self.problems))
        }
    }
}

/// `true|false` (also `on|off`, `1|0`, `yes|no`).
pub(super) fn switch(text: &str) -> Result<bool, String> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "on" | "1" | "yes" => Ok(true),
        "false" | "off" | "0" | "no" => Ok(false),
        _ => Err(format!("`{text}` is neither true nor false (on and off will do too)")),
    }
}

/// A whole number from 1 to `max`.
pub(super) fn whole_from_1<N: Whole>(max: N) -> impl FnOnce(&str) -> Result<N, String> {
    move |text| whole(text, &N::from(1), &max)
}

/// A whole number from 0 to `max`.
pub(super) fn whole_from_0<N: Whole>(max: N) -> impl FnOnce(&str) -> Result<N, String> {
    move |text| whole(text, &N::from(0), &max)
}

/// A type of whole numbers.
pub(super) trait Whole: FromStr + PartialOrd + From<u8> + fmt::Display {}

impl<N: FromStr + PartialOrd + From<u8> + fmt::Display> Whole for N {}

fn whole<N: Whole>(text: &str, min: &N, max: &N) -> Result<N, String> {
    match text.parse() {
        Ok(number) if *min <= number && number <= *max => Ok(number),
        _ => Err(format!("`{text}` is not a whole number from {min} to {max}")),
    }
}

/// One of the named values; a wrong name is answered with the valid ones and the nearest.
pub(super) fn one_of<T: Copy>(choices: &'static [(&'static str, T)]) -> impl FnOnce(&str) -> Result<T, String> {
    move |text| match choices.iter().find(|(name, _)| name.eq_ignore_ascii_case(text)) {
        Some((_, value)) => Ok(*value),
        None => Err(unknown_name(text, choices.iter().map(|(name, _)| *name).collect())),
    }
}

fn unknown_name(text: &str, names: Vec<&'static str>) -> String {
    let valid = names.join(", ");
    format!(
        "`{text}` is unknown; valid are {valid}; did you mean `{}`?",
        nearest(text, names)
    )
}

/// A value that logs and debug output must not show.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a value.
    pub fn new(value: impl Into<String>) -> Self {
        Self(value.into())
    }

    /// The value itself, for the one place that uses it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}
