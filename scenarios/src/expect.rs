//! Expectations of an answer: its status, its headers, fields of its JSON body, its text and its size.
//!
//! What belongs here: deciding, in words, why an answer is not as expected. What does not: connections and time-outs.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::Value;
use toml::Spanned;

use crate::body::{NULL, RawJson};
use crate::number;
use crate::pattern::Pattern;
use crate::source::{Findings, Named};
use crate::syntax::{check_header_name, check_json_pointer};
use crate::template::{Piece, Template, pieces};
use crate::vars::{Known, Scope, Vars};

/// Stands for "anything" where a value is expected.
const ANYTHING: &str = "*";

/// Everything that is expected of an answer.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Expect {
    /// Status codes that count as an answer as expected; without any, all from 200 to 299 do.
    pub status: Vec<u16>,
    /// Header, by its name in lower case, and its expected content.
    pub headers: Vec<(String, Expected)>,
    /// Field of the body, by its JSON pointer (RFC 6901), and its expected content.
    pub json: Vec<(String, Expected)>,
    /// A text that must stand in the body.
    pub text: Option<Template>,
    /// A regular expression that must be found in the body.
    pub pattern: Option<Pattern>,
    /// Length of the body in bytes, of its content where it came compressed.
    pub bytes: Option<Size>,
}

/// Bounds of a length, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// At least.
    pub min: u64,
    /// At most.
    pub max: u64,
}

/// Expected content of a header or of a field.
#[derive(Debug, Clone, PartialEq)]
pub enum Expected {
    /// Any content, but not `null`.
    Present,
    /// This value.
    Is(Value),
    /// The value of a variable.
    Var(usize),
}

impl Expected {
    /// Whether what was found is as expected.
    pub fn holds(&self, found: Option<&Value>, vars: &Vars) -> bool {
        match self {
            Self::Present => found.is_some_and(|value| !value.is_null()),
            Self::Is(wanted) => found.is_some_and(|value| same(value, wanted)),
            Self::Var(slot) => found.is_some_and(|value| same(value, vars.get(*slot))),
        }
    }

    fn wanted<'a>(&'a self, vars: &'a Vars) -> Cow<'a, str> {
        match self {
            Self::Present => "anything".into(),
            Self::Is(value) => value.to_string().into(),
            Self::Var(slot) => vars.get(*slot).to_string().into(),
        }
    }
}

/// Equal, where numbers are equal by value (`1` and `1.0`) and a text equals the number it spells: a header and a CSV
/// column know no numbers.
fn same(found: &Value, wanted: &Value) -> bool {
    match (found, wanted) {
        (Value::Number(a), Value::Number(b)) => number::same(a, b),
        (Value::String(text), Value::Number(wanted)) | (Value::Number(wanted), Value::String(text)) => {
            number::exact(text).is_some_and(|spelt| number::same(&spelt, wanted))
        }
        (a, b) => a == b,
    }
}

impl Expect {
    /// The variables it uses.
    pub(crate) fn slots(&self) -> impl Iterator<Item = usize> {
        let places = self.headers.iter().chain(&self.json);
        let values = places.filter_map(|(_, expected)| match expected {
            Expected::Var(slot) => Some(*slot),
            Expected::Present | Expected::Is(_) => None,
        });
        values.chain(self.text.iter().flat_map(Template::slots))
    }

    /// Whether the body must be kept to decide.
    pub fn reads_body(&self) -> bool {
        self.reads_json() || self.text.is_some() || self.pattern.is_some()
    }

    /// Whether the body must be parsed to decide.
    pub fn reads_json(&self) -> bool {
        !self.json.is_empty()
    }

    /// Whether a status is as expected.
    pub fn allows_status(&self, status: u16) -> bool {
        if self.status.is_empty() {
            (200..300).contains(&status)
        } else {
            self.status.contains(&status)
        }
    }

    /// `Err` says in words why the status is not as expected.
    pub fn check_status(&self, status: u16) -> Result<(), String> {
        if self.allows_status(status) {
            Ok(())
        } else {
            let wanted = if self.status.is_empty() {
                "200 to 299".to_owned()
            } else {
                format!("{:?}", self.status)
            };
            Err(format!("expected status {wanted}, got {status}"))
        }
    }

    /// `Err` says in words which header is not as expected.
    pub fn check_headers<'h>(&self, header: impl Fn(&str) -> Option<&'h str>, vars: &Vars) -> Result<(), String> {
        for (name, expected) in &self.headers {
            let found = header(name).map(|text| Value::String(text.to_owned()));
            if !expected.holds(found.as_ref(), vars) {
                return Err(different(&format!("header `{name}`"), expected, found.as_ref(), vars));
            }
        }
        Ok(())
    }

    /// `Err` says in words which field of the body is not as expected.
    pub fn check_json(&self, body: &Value, vars: &Vars) -> Result<(), String> {
        for (pointer, expected) in &self.json {
            let found = body.pointer(pointer);
            if !expected.holds(found, vars) {
                return Err(different(&format!("`{pointer}` of the body"), expected, found, vars));
            }
        }
        Ok(())
    }
}

impl Expect {
    /// `Err` says in words why the length of the body is not as expected.
    pub fn check_bytes(&self, found: u64) -> Result<(), String> {
        match self.bytes {
            Some(Size { min, max }) if !(min..=max).contains(&found) => {
                let wanted = match (min, max) {
                    (min, u64::MAX) => format!("at least {min}"),
                    (0, max) => format!("at most {max}"),
                    (min, max) if min == max => min.to_string(),
                    (min, max) => format!("{min} to {max}"),
                };
                Err(format!("expected {wanted} bytes of body, got {found}"))
            }
            _ => Ok(()),
        }
    }

    /// `Err` says in words what the body does not contain.
    pub fn check_text(&self, body: &[u8], vars: &Vars) -> Result<(), String> {
        if let Some(template) = &self.text {
            let mut wanted = String::new();
            template.render(vars, &mut wanted);
            if !contains(body, wanted.as_bytes()) {
                return Err(format!("expected {wanted:?} in the body, got {}", beginning(body)));
            }
        }
        match &self.pattern {
            Some(pattern) if !pattern.is_in(body) => Err(format!(
                "expected the body to match `{}`, got {}",
                pattern.as_str(),
                beginning(body)
            )),
            _ => Ok(()),
        }
    }
}

fn contains(body: &[u8], wanted: &[u8]) -> bool {
    wanted.is_empty() || body.windows(wanted.len()).any(|part| part == wanted)
}

/// The first characters of a body, for a message.
fn beginning(body: &[u8]) -> String {
    let shown = body.get(..4 * SHOWN).unwrap_or(body);
    String::from_utf8_lossy(shown).chars().take(SHOWN).collect()
}

/// Characters of a found value that a message shows.
const SHOWN: usize = 80;

fn different(place: &str, expected: &Expected, found: Option<&Value>, vars: &Vars) -> String {
    let found = found.map_or_else(|| "nothing".to_owned(), ToString::to_string);
    let shown: String = found.chars().take(SHOWN).collect();
    format!("expected {} as {place}, got {shown}", expected.wanted(vars))
}

/// Status codes as they are written; any success when absent.
pub(crate) type RawStatus = Option<Spanned<Vec<Spanned<u16>>>>;

pub(crate) fn check_status(raw: RawStatus, findings: &mut Findings<'_>) -> Vec<u16> {
    let Some(codes) = raw else { return Vec::new() };
    findings.require(!codes.get_ref().is_empty(), &codes.span(), || {
        "`expect_status` is empty: every answer would count as an error".to_owned()
    });
    for code in codes.get_ref() {
        findings.require((100..=599).contains(code.get_ref()), &code.span(), || {
            format!("{code} is no HTTP status: they go from 100 to 599")
        });
    }
    codes.into_inner().into_iter().map(Spanned::into_inner).collect()
}

/// A length as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawSize {
    min: Option<u64>,
    max: Option<u64>,
}

pub(crate) fn check_size(raw: &Spanned<RawSize>, findings: &mut Findings<'_>) -> Size {
    let RawSize { min, max } = raw.get_ref();
    let size = Size {
        min: min.unwrap_or(0),
        max: max.unwrap_or(u64::MAX),
    };
    findings.require(min.is_some() || max.is_some(), &raw.span(), || {
        "`expect_bytes` asks for nothing: give `min`, `max` or both".to_owned()
    });
    findings.require(size.min <= size.max, &raw.span(), || {
        format!(
            "`expect_bytes` asks for at least {} and at most {} bytes",
            size.min, size.max
        )
    });
    size
}

pub(crate) fn check_headers(raw: Named<Spanned<RawJson>>, scope: &mut Scope<'_, '_>) -> Vec<(String, Expected)> {
    let check = |(name, value): (Spanned<String>, _)| {
        let name = check_header_name(&name, scope.findings);
        Some((name, expected(&value, scope)?))
    };
    raw.into_iter().filter_map(check).collect()
}

pub(crate) fn check_json(raw: Named<Spanned<RawJson>>, scope: &mut Scope<'_, '_>) -> Vec<(String, Expected)> {
    let check = |(pointer, value): (Spanned<String>, _)| {
        check_json_pointer(&pointer, scope.findings);
        Some((pointer.into_inner(), expected(&value, scope)?))
    };
    raw.into_iter().filter_map(check).collect()
}

/// `"*"` is anything, `"{null}"` is null, `"{var}"` the value of a variable, everything else itself.
fn expected(raw: &Spanned<RawJson>, scope: &mut Scope<'_, '_>) -> Option<Expected> {
    let at = raw.span();
    let (what, hint) = match raw.get_ref() {
        RawJson::Scalar(value) => return Some(Expected::Is(value.clone())),
        RawJson::Number(written) => match number::exact(written) {
            Some(number) => return Some(Expected::Is(number.into())),
            None => (
                "a number of so many digits cannot be compared exactly",
                "expect `\"*\"`, or fewer digits",
            ),
        },
        RawJson::Text(text) if text == ANYTHING => return Some(Expected::Present),
        RawJson::Text(text) => match &pieces(text, &at, scope)[..] {
            [Piece::Var(NULL)] => return Some(Expected::Is(Value::Null)),
            [Piece::Var(name)] => {
                return scope.find(name, &at).map(|known| match known {
                    Known::Slot(slot) => Expected::Var(slot),
                    Known::Fixed(text) => Expected::Is(Value::String(text)),
                });
            }
            [Piece::Text(text)] => return Some(Expected::Is(Value::String(text.clone()))),
            [] => return Some(Expected::Is(Value::String(String::new()))),
            _ => (
                "a variable inside a longer text cannot be expected",
                "write the whole value, or `\"{var}\"`",
            ),
        },
        RawJson::List(_) | RawJson::Table(_) => (
            "only a text, number or boolean can be expected",
            "point at a field inside it",
        ),
    };
    scope.findings.add(&at, what, Some(hint.to_owned()));
    None
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn expect(json: Vec<(&str, Expected)>) -> Expect {
        Expect {
            status: vec![200],
            json: json
                .into_iter()
                .map(|(pointer, expected)| (pointer.to_owned(), expected))
                .collect(),
            ..Expect::default()
        }
    }

    #[test]
    fn fields_of_the_body_are_compared_by_value() {
        let mut vars = Vars::new(1);
        vars.set(0, json!("7"));
        let body = json!({ "ok": true, "id": 7, "none": null });
        let holds = expect(vec![
            ("/ok", Expected::Is(json!(true))),
            ("/id", Expected::Is(json!(7.0))),
            ("/id", Expected::Var(0)),
            ("/none", Expected::Is(Value::Null)),
            ("/id", Expected::Present),
        ]);
        assert_eq!(holds.check_json(&body, &vars), Ok(()));
        let said = |pointer, expected| expect(vec![(pointer, expected)]).check_json(&body, &vars).unwrap_err();
        insta::assert_snapshot!(
            said("/none", Expected::Present),
            @"expected anything as `/none` of the body, got null"
        );
        insta::assert_snapshot!(
            said("/gone", Expected::Present),
            @"expected anything as `/gone` of the body, got nothing"
        );
        insta::assert_snapshot!(said("/id", Expected::Is(json!("8"))), @r#"expected "8" as `/id` of the body, got 7"#);
    }

    #[test]
    fn status_and_headers_say_what_came_instead() {
        let mut expect = expect(Vec::new());
        expect.headers = vec![("x-cache".to_owned(), Expected::Is(json!("l1")))];
        let vars = Vars::new(0);
        insta::assert_snapshot!(expect.check_status(503).unwrap_err(), @"expected status [200], got 503");
        assert_eq!(
            expect.check_headers(|name| (name == "x-cache").then_some("l1"), &vars),
            Ok(())
        );
        insta::assert_snapshot!(
            expect.check_headers(|_| Some("db"), &vars).unwrap_err(),
            @r#"expected "l1" as header `x-cache`, got "db""#
        );
    }
}
