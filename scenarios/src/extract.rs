//! Variables that are taken from answers, for later requests: from a header, a cookie, the text or JSON of the body.

use std::fmt;

use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::Value;
use toml::Spanned;

use crate::number;
use crate::pattern::Pattern;
use crate::source::{Findings, Named};
use crate::syntax::{check_header_name, check_json_pointer};
use crate::vars::{VarNames, Vars};

/// A variable taken from an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Extract {
    /// The variable's name.
    pub var: String,
    /// The place of its value in [`Vars`].
    pub slot: usize,
    /// Where in the answer the value stands.
    pub from: Place,
    /// The part of it that is taken: its first group, or all of what it matches. The whole value without it.
    pub pattern: Option<Pattern>,
}

/// A place in an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A JSON pointer (RFC 6901) into the body.
    Json(String),
    /// A header, by its name in lower case.
    Header(String),
    /// A cookie that the answer sets.
    Cookie(String),
    /// The body as text.
    Text,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Json(pointer) => write!(f, "`{pointer}`"),
            Self::Header(name) => write!(f, "header `{name}`"),
            Self::Cookie(name) => write!(f, "cookie `{name}`"),
            Self::Text => f.write_str("the text of the body"),
        }
    }
}

/// An answer as values are taken from it.
pub trait Answered {
    /// The first header of a name in lower case.
    fn header(&self, name: &str) -> Option<&str>;
    /// The value of a cookie that the answer sets.
    fn cookie(&self, name: &str) -> Option<&str>;
    /// The body.
    fn body(&self) -> &[u8];
    /// The body as JSON, where an [`Extract::reads_json`].
    fn json(&self) -> Option<&Value>;
}

/// What a file says of where a value comes from: a JSON pointer, or a table.
#[derive(Debug)]
pub(crate) enum RawExtract {
    Pointer(String),
    Table(RawPlace),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawPlace {
    json: Option<Spanned<String>>,
    header: Option<Spanned<String>>,
    cookie: Option<Spanned<String>>,
    regex: Option<Spanned<String>>,
}

impl<'de> Deserialize<'de> for RawExtract {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RawExtractVisitor)
    }
}

struct RawExtractVisitor;

impl<'de> Visitor<'de> for RawExtractVisitor {
    type Value = RawExtract;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON pointer, or a table with `json`, `header`, `cookie` or `regex`")
    }

    fn visit_str<E>(self, pointer: &str) -> Result<RawExtract, E> {
        Ok(RawExtract::Pointer(pointer.to_owned()))
    }

    fn visit_map<A: MapAccess<'de>>(self, table: A) -> Result<RawExtract, A::Error> {
        RawPlace::deserialize(MapAccessDeserializer::new(table)).map(RawExtract::Table)
    }
}

/// What is taken from answers into variables that are defined.
pub(crate) fn of_answers(
    raw: &Named<Spanned<RawExtract>>,
    names: &VarNames,
    findings: &mut Findings<'_>,
) -> Vec<Extract> {
    let defined = raw
        .iter()
        .filter_map(|(var, place)| Some((var, place, names.slot(var.get_ref())?)));
    defined
        .map(|(var, place, slot)| Extract::check(var, place, slot, findings))
        .collect()
}

impl Extract {
    /// Checks what a file says of a variable whose slot is known.
    pub(crate) fn check(
        var: &Spanned<String>,
        raw: &Spanned<RawExtract>,
        slot: usize,
        findings: &mut Findings<'_>,
    ) -> Self {
        let (from, pattern) = match raw.get_ref() {
            RawExtract::Pointer(pointer) => {
                let pointer = Spanned::new(raw.span(), pointer.clone());
                check_json_pointer(&pointer, findings);
                (Place::Json(pointer.into_inner()), None)
            }
            RawExtract::Table(place) => place.check(var, &raw.span(), findings),
        };
        Self {
            var: var.get_ref().clone(),
            slot,
            from,
            pattern,
        }
    }

    /// Whether the body must be kept for it.
    pub fn reads_body(&self) -> bool {
        matches!(self.from, Place::Json(_) | Place::Text)
    }

    /// Whether the body must be parsed for it.
    pub fn reads_json(&self) -> bool {
        matches!(self.from, Place::Json(_))
    }

    fn value(&self, answer: &impl Answered) -> Result<Value, String> {
        let Self { var, from, .. } = self;
        let text = match from {
            Place::Json(pointer) => return self.json_value(pointer, answer.json()),
            Place::Header(name) => answer.header(name).map(str::as_bytes),
            Place::Cookie(name) => answer.cookie(name).map(str::as_bytes),
            Place::Text => Some(answer.body()),
        };
        let nothing = || format!("nothing at {from}, which `{var}` is taken from");
        self.part(text.ok_or_else(nothing)?).map(Value::String)
    }

    fn json_value(&self, pointer: &str, body: Option<&Value>) -> Result<Value, String> {
        let var = &self.var;
        let found = body.and_then(|body| body.pointer(pointer));
        if found.is_some_and(number::may_be_rounded) {
            return Err(format!(
                "a number of more digits than can be handed on exactly at `{pointer}`, which `{var}` is taken from"
            ));
        }
        let scalar = found.filter(|value| value.is_string() || value.is_number() || value.is_boolean());
        let value = scalar.ok_or_else(|| {
            let what = if found.is_some() {
                "something that is no text, number or boolean"
            } else {
                "nothing"
            };
            format!("{what} at `{pointer}`, which `{var}` is taken from")
        })?;
        match (&self.pattern, value) {
            (None, value) => Ok(value.clone()),
            (Some(_), Value::String(text)) => self.part(text.as_bytes()).map(Value::String),
            (Some(_), other) => self.part(other.to_string().as_bytes()).map(Value::String),
        }
    }

    /// The part of a text that is taken.
    fn part(&self, text: &[u8]) -> Result<String, String> {
        let Self { var, from, pattern, .. } = self;
        let part = match pattern {
            None => text,
            Some(pattern) => pattern.find(text).ok_or_else(|| {
                format!(
                    "nothing that `{}` matches in {from}, which `{var}` is taken from",
                    pattern.as_str()
                )
            })?,
        };
        let part = std::str::from_utf8(part);
        part.map(str::to_owned)
            .map_err(|_| format!("no UTF-8 in {from}, which `{var}` is taken from"))
    }
}

impl RawPlace {
    fn check(
        &self,
        var: &Spanned<String>,
        at: &std::ops::Range<usize>,
        findings: &mut Findings<'_>,
    ) -> (Place, Option<Pattern>) {
        let places: Vec<Place> = [
            self.json.as_ref().map(|pointer| {
                check_json_pointer(pointer, findings);
                Place::Json(pointer.get_ref().clone())
            }),
            self.header
                .as_ref()
                .map(|name| Place::Header(check_header_name(name, findings))),
            self.cookie
                .as_ref()
                .map(|name| Place::Cookie(findings.not_empty("cookie", name))),
        ]
        .into_iter()
        .flatten()
        .collect();
        if places.len() > 1 || (places.is_empty() && self.regex.is_none()) {
            let hint = "give one of `json`, `header` and `cookie`, a `regex`, or one of them with a `regex`";
            let what = format!("variable `{var}` must come from one place");
            findings.add(at, what, Some(hint.to_owned()));
        }
        let pattern = self.regex.as_ref().and_then(|regex| Pattern::check(regex, findings));
        (places.into_iter().next().unwrap_or(Place::Text), pattern)
    }
}

/// Sets the variables that are taken from an answer.
///
/// # Errors
/// In words, when there is nothing that can be taken at one of the places.
pub fn keep<'a>(
    extract: impl IntoIterator<Item = &'a Extract>,
    answer: &impl Answered,
    vars: &mut Vars,
) -> Result<(), String> {
    for one in extract {
        let value = one.value(answer)?;
        vars.set(one.slot, value);
    }
    Ok(())
}
