//! One input file: its bytes, hash and lines, and the collection of what is wrong in it.
//!
//! The other files of this crate declare the structures that a file is read into, each beside the type that it is
//! checked into. Every value that can be wrong by itself or refer to something is [`Spanned`], so that a mistake can
//! name its line; things with a name are a [`Named`] table.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};

use serde::de::{Deserialize, DeserializeOwned, Deserializer};
use sha2::{Digest, Sha256};
use toml::Spanned;
use toml::de::DeTable;

use crate::error::{InputError, Mistake};
use crate::http::Secrets;
use crate::mend::{Mender, is_mended};
use crate::names::did_you_mean;

/// Things by name, in the order of the file. TOML itself refuses a second one of the same name.
pub(crate) type Named<T> = Vec<(Spanned<String>, T)>;

/// Reads a table whose keys are names.
pub(crate) fn named<'de, D: Deserializer<'de>, T: Deserialize<'de>>(table: D) -> Result<Named<T>, D::Error> {
    let mut entries: Named<T> = BTreeMap::deserialize(table)?.into_iter().collect();
    entries.sort_by_key(|(name, _)| name.span().start);
    Ok(entries)
}

/// The longest that any phase, ramp or time-out may be, seconds: a day. The harness keeps counters for every second.
pub const MAX_SECONDS: f64 = 86_400.0;
/// The highest rate, per second: several times what a generator on one machine can send.
pub const MAX_PER_S: f64 = 1_000_000.0;

/// A file that has been read.
pub(crate) struct Source {
    file: PathBuf,
    text: String,
}

impl Source {
    /// Reads `file`.
    pub(crate) fn read(file: &Path) -> Result<Self, InputError> {
        let text = std::fs::read_to_string(file).map_err(|error| InputError {
            file: file.to_owned(),
            mistakes: vec![Mistake {
                line: None,
                what: format!("cannot be read: {error}"),
                hint: None,
            }],
        })?;
        Ok(Self::from_text(file, text))
    }

    /// Takes `text` as the content of `file`.
    pub(crate) fn from_text(file: &Path, text: String) -> Self {
        Self {
            file: file.to_owned(),
            text,
        }
    }

    /// The file's name without its folder and ending.
    pub(crate) fn stem(&self) -> String {
        let stem = self.file.file_stem().unwrap_or_default();
        stem.to_string_lossy().into_owned()
    }

    /// Hash of the file's bytes, and of those of the files it names, hexadecimal.
    pub(crate) fn sha256_with<'f>(&self, files: impl IntoIterator<Item = &'f [u8]>) -> String {
        let mut hash = Sha256::new_with_prefix(&self.text);
        for file in files {
            hash.update(file);
        }
        hex::encode(hash.finalize())
    }

    /// A file that is named relative to this one.
    pub(crate) fn beside(&self, name: &str) -> PathBuf {
        self.file.parent().unwrap_or(Path::new("")).join(name)
    }

    /// The line of a byte offset, from 1.
    fn line(&self, offset: usize) -> usize {
        let before = &self.text.as_bytes()[..offset.min(self.text.len())];
        before.split(|byte| *byte == b'\n').count()
    }

    /// Reads the TOML into `T`, or says everything that is wrong with its structure.
    pub(crate) fn parse<T: DeserializeOwned>(&self) -> Result<T, InputError> {
        let (value, findings) = self.read_into()?;
        findings.finish(value)
    }

    /// Reads the TOML into `T`, with what is wrong with its structure so far: for callers who look for more.
    ///
    /// serde stops at the first thing that does not fit. So that all of them are reported, each is noted and mended in
    /// the parsed tree (what is not known is taken out, what is missing or of a wrong type gets something that fits),
    /// and the reading starts again. What is mended stands nowhere in the file: what is said of it is no mistake of its
    /// own.
    pub(crate) fn read_into<T: DeserializeOwned>(&self) -> Result<(T, Findings<'_>), InputError> {
        let mut findings = Findings::new(self);
        let mut table = self.syntax()?;
        let mut mender = Mender::default();
        loop {
            match T::deserialize(toml::de::Deserializer::from(table.clone())) {
                Ok(_) if mender.has_removed_names => return Err(findings.into_error()),
                Ok(value) => return Ok((value, findings)),
                Err(error) => {
                    let span = error.span().unwrap_or_default();
                    if !is_mended(&span) {
                        findings.schema(&span, error.message());
                    }
                    if !mender.mend(&mut table, &span, error.message()) {
                        return Err(findings.into_error());
                    }
                }
            }
        }
    }

    /// Parses the TOML. One mistake is reported per table: what follows it there is mostly its consequence (each key of
    /// a table that stands there twice, say).
    fn syntax(&self) -> Result<Spanned<DeTable<'_>>, InputError> {
        let mut findings = Findings::new(self);
        let (table, mut errors) = DeTable::parse_recoverable(&self.text);
        errors.dedup_by_key(|error| self.tables_before(error.span().unwrap_or_default().end));
        for error in &errors {
            let span = error.span().unwrap_or_default();
            let culprit = self
                .text
                .get(span.clone())
                .filter(|_| error.message() == "duplicate key");
            let name = culprit.map(|text| format!(" `{text}`")).unwrap_or_default();
            findings.add(&span, format!("{}{name}", error.message()), None);
        }
        findings.finish(table)
    }

    /// How many table headers begin before a byte offset.
    fn tables_before(&self, offset: usize) -> usize {
        let before = self.text.get(..offset).unwrap_or_default();
        before.lines().filter(|line| line.starts_with('[')).count()
    }
}

/// serde's wording for a key that a structure does not have.
pub(crate) const UNKNOWN_FIELD: &str = "unknown field";
/// toml's wording for keys that a kind (one variant of an enumeration) does not have.
pub(crate) const UNEXPECTED_KEYS: &str = "unexpected keys in table: ";
/// serde's wording for a name that an enumeration does not have.
pub(crate) const UNKNOWN_VARIANT: &str = "unknown variant";
/// serde's wording for a key that must be there.
pub(crate) const MISSING_FIELD: &str = "missing field";

/// Everything found wrong in one file so far.
pub(crate) struct Findings<'s> {
    source: &'s Source,
    mistakes: Vec<Mistake>,
    /// Values that were found on the way and must stand in no record.
    secrets: Secrets,
}

impl<'s> Findings<'s> {
    pub(crate) fn new(source: &'s Source) -> Self {
        Self {
            source,
            mistakes: Vec::new(),
            secrets: Secrets::default(),
        }
    }

    /// A file that is named relative to this one, read whole; `None` where it cannot be, which is noted.
    pub(crate) fn file_beside(&mut self, name: &Spanned<String>, most_bytes: u64) -> Option<Vec<u8>> {
        let path = self.source.beside(name.get_ref());
        let length = std::fs::metadata(&path).map(|metadata| metadata.len());
        let read = match length {
            Ok(length) if length > most_bytes => {
                let what = format!("{} has {length} bytes: at most {most_bytes} are sent", path.display());
                self.add(&name.span(), what, None);
                return None;
            }
            _ => std::fs::read(&path),
        };
        read.map_err(|error| {
            let what = format!("cannot read {}: {error}", path.display());
            self.add(&name.span(), what, Some("the path is relative to this file".to_owned()));
        })
        .ok()
    }

    /// Keeps a value out of records, where `{name}` stands for it.
    pub(crate) fn keep_secret(&mut self, name: &str, value: &str) {
        self.secrets.add(name, value);
    }

    /// The values to be kept out of records.
    pub(crate) fn take_secrets(&mut self) -> Secrets {
        std::mem::take(&mut self.secrets)
    }

    /// Notes a mistake at a byte range of the file; one of a mended place has been noted already.
    pub(crate) fn add(&mut self, at: &Range<usize>, what: impl Into<String>, hint: Option<String>) {
        if is_mended(at) {
            return;
        }
        let line = Some(self.source.line(at.start));
        self.mistakes.push(Mistake {
            line,
            what: what.into(),
            hint,
        });
    }

    /// Notes a name that is not one of `valid`, with the nearest that is.
    pub(crate) fn unknown<'v>(
        &mut self,
        kind: &str,
        name: &str,
        at: &Range<usize>,
        valid: impl IntoIterator<Item = &'v str>,
    ) {
        let hint = did_you_mean(name, valid).or_else(|| Some(format!("no {kind} is defined")));
        self.add(at, format!("unknown {kind} `{name}`"), hint);
    }

    /// The position of a name among those that are defined. One that is not is noted, with the nearest.
    pub(crate) fn find<'v, N: Iterator<Item = &'v str>>(
        &mut self,
        kind: &str,
        name: &Spanned<String>,
        defined: impl Fn() -> N,
    ) -> Option<usize> {
        let position = defined().position(|defined| defined == name.get_ref());
        if position.is_none() {
            self.unknown(kind, name.get_ref(), &name.span(), defined());
        }
        position
    }

    /// Notes `what` unless `holds`.
    pub(crate) fn require(&mut self, holds: bool, at: &Range<usize>, what: impl FnOnce() -> String) {
        if !holds {
            self.add(at, what(), None);
        }
    }

    /// A number that must be finite and above zero.
    pub(crate) fn positive(&mut self, key: &str, number: &Spanned<f64>) -> f64 {
        self.number(key, number, |value| value > 0.0, "above 0")
    }

    /// A number that must be finite and not below zero.
    pub(crate) fn not_negative(&mut self, key: &str, number: &Spanned<f64>) -> f64 {
        self.number(key, number, |value| value >= 0.0, "0 or more")
    }

    /// A time that must be above zero, and not longer than a day.
    pub(crate) fn seconds(&mut self, key: &str, number: &Spanned<f64>) -> f64 {
        self.number_up_to(MAX_SECONDS, key, number, |value| value > 0.0, "above 0")
    }

    /// A time that may be zero, and not longer than a day.
    pub(crate) fn seconds_or_none(&mut self, key: &str, number: &Spanned<f64>) -> f64 {
        self.number_up_to(MAX_SECONDS, key, number, |value| value >= 0.0, "0 or more")
    }

    /// A rate that must be above zero, and not more than anything here could send.
    pub(crate) fn rate(&mut self, key: &str, number: &Spanned<f64>) -> f64 {
        self.number_up_to(MAX_PER_S, key, number, |value| value > 0.0, "above 0")
    }

    /// A rate that may be zero, and not more than anything here could send.
    pub(crate) fn rate_or_none(&mut self, key: &str, number: &Spanned<f64>) -> f64 {
        self.number_up_to(MAX_PER_S, key, number, |value| value >= 0.0, "0 or more")
    }

    fn number_up_to(
        &mut self,
        most: f64,
        key: &str,
        number: &Spanned<f64>,
        holds: fn(f64) -> bool,
        range: &str,
    ) -> f64 {
        let value = self.number(key, number, holds, range);
        self.require(!value.is_finite() || value <= most, &number.span(), || {
            // The digits of what is far beyond say nothing.
            let shown = if value < 1e15 {
                value.to_string()
            } else {
                format!("{value:e}")
            };
            format!("`{key}` is {shown}: it must be at most {most}")
        });
        value
    }

    fn number(&mut self, key: &str, number: &Spanned<f64>, holds: fn(f64) -> bool, range: &str) -> f64 {
        let value = *number.get_ref();
        self.require(value.is_finite() && holds(value), &number.span(), || {
            format!("`{key}` is {value}: it must be {range}")
        });
        value
    }

    /// A count that must be at least one.
    pub(crate) fn at_least_one<T: Copy + Default + PartialEq>(&mut self, key: &str, number: &Spanned<T>) -> T {
        let value = *number.get_ref();
        self.require(value != T::default(), &number.span(), || {
            format!("`{key}` is 0: it must be 1 or more")
        });
        value
    }

    /// A number of connections: at least one, and no more than any machine can hold.
    pub(crate) fn connections(&mut self, key: &str, number: &Spanned<u32>) -> u32 {
        const MOST: u32 = 1_000_000;
        self.require(*number.get_ref() <= MOST, &number.span(), || {
            format!("`{key}` is {number}: it must be at most {MOST}")
        });
        self.at_least_one(key, number)
    }

    /// A text that must not be empty.
    pub(crate) fn not_empty(&mut self, key: &str, text: &Spanned<String>) -> String {
        self.require(!text.get_ref().trim().is_empty(), &text.span(), || {
            format!("`{key}` is empty")
        });
        text.get_ref().clone()
    }

    /// Notes what serde or toml said, in the words of these files.
    fn schema(&mut self, at: &Range<usize>, message: &str) {
        if let Some((unknown, valid)) = unexpected_keys(message) {
            return self.add(at, format!("unknown key `{unknown}`"), did_you_mean(unknown, valid));
        }
        let quoted: Vec<&str> = message.split('`').skip(1).step_by(2).collect();
        let Some((&name, valid)) = quoted.split_first() else {
            return self.add(at, plain(message), None);
        };
        let hint = did_you_mean(name, valid.iter().copied());
        if message.starts_with(UNKNOWN_FIELD) {
            self.add(at, format!("unknown key `{name}`"), hint);
        } else if message.starts_with(UNKNOWN_VARIANT) {
            self.add(at, format!("unknown name `{name}`"), hint);
        } else if !message.starts_with(MISSING_FIELD) {
            self.add(at, plain(message), None);
        } else if !self.already_suggested(name) {
            self.add(at, format!("missing key `{name}`"), None);
        }
    }

    /// A missing key that stands there misspelt has been reported as the misspelling.
    fn already_suggested(&self, key: &str) -> bool {
        let suggestion = format!("did you mean `{key}`?");
        self.mistakes
            .iter()
            .any(|mistake| mistake.hint.as_deref() == Some(&suggestion))
    }

    /// The text of the file at a byte range.
    pub(crate) fn text_at(&self, at: &Range<usize>) -> &'s str {
        self.source.text.get(at.clone()).unwrap_or_default()
    }

    /// `value`, if nothing is wrong.
    pub(crate) fn finish<T>(self, value: T) -> Result<T, InputError> {
        if self.mistakes.is_empty() {
            Ok(value)
        } else {
            Err(self.into_error())
        }
    }

    fn into_error(mut self) -> InputError {
        self.mistakes.sort_by_key(|mistake| mistake.line);
        // What several requests share is checked for each of them.
        let mut said = Vec::new();
        self.mistakes.retain(|mistake| {
            let is_new = !said.contains(mistake);
            said.extend(is_new.then(|| mistake.clone()));
            is_new
        });
        InputError {
            file: self.source.file.clone(),
            mistakes: self.mistakes,
        }
    }
}

/// The first key that toml did not expect, and those that are valid there.
fn unexpected_keys(message: &str) -> Option<(&str, impl Iterator<Item = &str>)> {
    let (unknown, valid) = message
        .strip_prefix(UNEXPECTED_KEYS)?
        .split_once(", available keys: ")?;
    Some((unknown.split(", ").next()?, valid.split(", ")))
}

/// serde's and toml's own wording where it would puzzle a reader of the file.
fn plain(message: &str) -> String {
    if message.starts_with("wanted exactly 1 element") {
        return "exactly one kind must be given here".to_owned();
    }
    let Some((what, rust_type)) = message.rsplit_once(", expected ") else {
        return message.to_owned();
    };
    let wanted = match rust_type {
        "u16" => "a whole number from 0 to 65535",
        "u32" => "a whole number from 0 to 4294967295",
        "u64" => "a whole number of 0 or more",
        "i64" => "a whole number",
        "f64" => "a number",
        "a sequence" => "a list in brackets",
        "a boolean" => "true or false",
        "a borrowed string" | "a string" | "string" => "a text in quotes",
        "a map" => "a table",
        other if other.starts_with("struct ") => "a table",
        other if other.starts_with("enum ") => "a table with one kind",
        other if other.starts_with("struct variant ") || other.starts_with("newtype variant ") => "a table",
        other => other,
    };
    format!("{what}, expected {wanted}")
}
