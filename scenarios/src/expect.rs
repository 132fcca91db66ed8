//! Expectations of an answer: its status, its headers, fields of its JSON body.
//!
//! What belongs here: deciding, in words, why an answer is not as expected. What does not: connections and time-outs.

use std::borrow::Cow;

use serde_json::Value;
use toml::Spanned;

use crate::body::{NULL, RawJson};
use crate::number;
use crate::source::{Findings, Named};
use crate::syntax::{check_header_name, check_json_pointer};
use crate::template::{Piece, pieces};
use crate::vars::{Scope, Vars};

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
    fn holds(&self, found: Option<&Value>, vars: &Vars) -> bool {
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
        places.filter_map(|(_, expected)| match expected {
            Expected::Var(slot) => Some(*slot),
            Expected::Present | Expected::Is(_) => None,
        })
    }

    /// Whether the body must be read as JSON to decide.
    pub fn reads_body(&self) -> bool {
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
            [Piece::Var(name)] => return scope.slot(name, &at).map(Expected::Var),
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
            headers: Vec::new(),
            json: json
                .into_iter()
                .map(|(pointer, expected)| (pointer.to_owned(), expected))
                .collect(),
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
