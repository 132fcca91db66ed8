//! JSON bodies with variables.
//!
//! A body is written as a TOML table. A string that is exactly `"{var}"` becomes the variable's value as it is (a
//! number stays a number); a variable inside a longer string is written into that string, escaped. `"{null}"` is
//! `null`, which TOML does not have. Numbers are sent digit for digit as they stand in the file.

use std::fmt;
use std::ops::Range;

use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use toml::Spanned;

use crate::template::{Form, Piece, Template, pieces};
use crate::vars::Scope;

/// The name that stands for `null` where a variable could.
pub(crate) const NULL: &str = "null";

/// Compiles a body; mistakes go to the scope.
pub(crate) fn compile(body: &Spanned<RawJson>, scope: &mut Scope<'_, '_>) -> Template {
    let mut json = Template::default();
    node(body, &mut json, scope);
    json
}

/// Compiles what is sent as a text where it is a string, and as JSON where it is anything else.
pub(crate) fn compile_text_or_json(said: &Spanned<RawJson>, scope: &mut Scope<'_, '_>) -> Template {
    match said.get_ref() {
        RawJson::Text(text) => Template::compile(&Spanned::new(said.span(), text.clone()), Form::Plain, scope),
        _ => compile(said, scope),
    }
}

fn node(node: &Spanned<RawJson>, json: &mut Template, scope: &mut Scope<'_, '_>) {
    match node.get_ref() {
        RawJson::Scalar(value) => json.push_value(value, Form::Json),
        RawJson::Number(written) => json.push(&digits(written, scope.findings.text_at(&node.span()))),
        RawJson::Text(text) => self::text(text, &node.span(), json, scope),
        RawJson::List(items) => list(items, json, scope),
        RawJson::Table(entries) => table(entries, json, scope),
    }
}

/// The digits of a number: of a fraction those of the file, which has more of them than its value may keep. TOML allows
/// a plus sign and underscores, JSON does not.
fn digits(value: &str, in_file: &str) -> String {
    let plain = in_file.trim_start_matches('+').replace('_', "");
    let is_same = plain
        .parse::<f64>()
        .is_ok_and(|written| Ok(written) == value.parse::<f64>());
    if value.contains(['.', 'e']) && is_same {
        plain
    } else {
        value.to_owned()
    }
}

fn text(text: &str, at: &Range<usize>, json: &mut Template, scope: &mut Scope<'_, '_>) {
    let pieces = pieces(text, at, scope);
    if let [Piece::Var(name)] = pieces[..] {
        if name == NULL {
            return json.push(NULL);
        }
        return json.push_variable(scope.find(name, at), Form::Json);
    }
    json.push("\"");
    for piece in pieces {
        match piece {
            Piece::Text(text) => json.push_value(&Value::String(text), Form::InJsonString),
            Piece::Var(name) => json.push_variable(scope.find(name, at), Form::InJsonString),
        }
    }
    json.push("\"");
}

fn list(items: &[Spanned<RawJson>], json: &mut Template, scope: &mut Scope<'_, '_>) {
    json.push("[");
    for (index, item) in items.iter().enumerate() {
        comma(index, json);
        node(item, json, scope);
    }
    json.push("]");
}

fn table(entries: &[(String, Spanned<RawJson>)], json: &mut Template, scope: &mut Scope<'_, '_>) {
    json.push("{");
    for (index, (key, value)) in entries.iter().enumerate() {
        comma(index, json);
        json.push_value(&Value::String(key.clone()), Form::Json);
        json.push(":");
        node(value, json, scope);
    }
    json.push("}");
}

fn comma(index: usize, json: &mut Template) {
    if index > 0 {
        json.push(",");
    }
}

/// JSON as it stands in a TOML file, each value with its place.
#[derive(Debug)]
pub(crate) enum RawJson {
    /// A boolean.
    Scalar(Value),
    /// Its digits: whole ones as they are, those of a fraction as short as its value allows.
    Number(String),
    Text(String),
    List(Vec<Spanned<RawJson>>),
    Table(Vec<(String, Spanned<RawJson>)>),
}

impl<'de> Deserialize<'de> for RawJson {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RawJsonVisitor)
    }
}

struct RawJsonVisitor;

impl<'de> Visitor<'de> for RawJsonVisitor {
    type Value = RawJson;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<RawJson, E> {
        Ok(RawJson::Scalar(value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<RawJson, E> {
        Ok(RawJson::Number(value.to_string()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<RawJson, E> {
        Ok(RawJson::Number(value.to_string()))
    }

    fn visit_i128<E>(self, value: i128) -> Result<RawJson, E> {
        Ok(RawJson::Number(value.to_string()))
    }

    fn visit_u128<E>(self, value: u128) -> Result<RawJson, E> {
        Ok(RawJson::Number(value.to_string()))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<RawJson, E> {
        let number = serde_json::Number::from_f64(value).ok_or_else(|| E::custom("JSON has no inf and no nan"))?;
        Ok(RawJson::Number(number.to_string()))
    }

    fn visit_str<E>(self, value: &str) -> Result<RawJson, E> {
        Ok(RawJson::Text(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<RawJson, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(RawJson::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<RawJson, A::Error> {
        let mut table: Vec<(String, Spanned<RawJson>)> = Vec::new();
        while let Some(key) = entries.next_key::<String>()? {
            // toml presents a date as a table with one key of its own.
            if key.starts_with("$__toml_private") {
                return Err(de::Error::custom("JSON has no dates: put it in quotes"));
            }
            table.push((key, entries.next_value()?));
        }
        table.sort_by_key(|(_, value)| value.span().start);
        Ok(RawJson::Table(table))
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use proptest::prelude::*;
    use serde::Deserialize;
    use serde_json::json;

    use super::*;
    use crate::source::{Findings, Source};
    use crate::vars::{VarNames, Vars};

    #[derive(Deserialize)]
    struct File {
        body: Spanned<RawJson>,
    }

    /// Compiles `body = ...` with the variables `a` and `b` and renders it with their values.
    fn render(text: &str, a: Value, b: Value) -> Result<String, String> {
        let source = Source::from_text(Path::new("t.toml"), text.to_owned());
        let file: File = source.parse().map_err(|error| error.to_string())?;
        let (mut names, mut findings) = (VarNames::default(), Findings::new(&source));
        for name in ["a", "b"] {
            names.define(&Spanned::new(0..0, name.to_owned()), &mut findings);
        }
        let template = compile(
            &file.body,
            &mut Scope {
                names: &names,
                findings: &mut findings,
            },
        );
        let template = findings.finish(template).map_err(|error| error.to_string())?;
        let mut vars = Vars::new(2);
        vars.set(0, a);
        vars.set(1, b);
        let mut out = String::new();
        template.render(&vars, &mut out);
        Ok(out)
    }

    #[test]
    fn a_variable_alone_keeps_its_type_and_one_inside_a_string_becomes_text() {
        let text = r#"
            [body]
            n = "{a}"
            s = "{b}"
            mixed = "<{a}|{b}>"
            fixed = [1, 2.5, true, "x"]
            deep = { braces = "{{}}" }
        "#;
        insta::assert_snapshot!(
            render(text, json!(7), json!("q\"\n")).unwrap(),
            @r#"{"n":7,"s":"q\"\n","mixed":"<7|q\"\n>","fixed":[1,2.5,true,"x"],"deep":{"braces":"{}"}}"#
        );
    }

    #[test]
    fn numbers_are_sent_digit_for_digit_and_null_can_be_written() {
        let text = "[body]\nwhole = 18446744073709551615\nlong = 27333820000000000490001\nlow = -9223372036854775809\n\
                    hex = 0xFF\nspaced = +1_000\nfraction = 2.50\ndigits = 0.12345678901234567890\npower = 1e06\n\
                    none = \"{null}\"\nin_list = [\"{null}\", 1_0.5]";
        let expected = [
            r#"{"whole":18446744073709551615,"long":27333820000000000490001,"low":-9223372036854775809,"hex":255,"#,
            r#""spaced":1000,"fraction":2.50,"digits":0.12345678901234567890,"power":1e06,"none":null,"#,
            r#""in_list":[null,10.5]}"#,
        ];
        assert_eq!(render(text, json!(1), json!(2)).unwrap(), expected.concat());
        let endless = format!("body = {{ x = {} }}", "9".repeat(60));
        assert!(
            render(&endless, json!(1), json!(2))
                .unwrap_err()
                .starts_with("t.toml:1: ")
        );
    }

    #[test]
    fn mistakes_stand_at_the_line_of_the_value() {
        let unknown = "body = { x = [\n  1,\n  \"{bb}\",\n] }";
        insta::assert_snapshot!(
            render(unknown, json!(1), json!(2)).unwrap_err(),
            @"t.toml:3: unknown variable `bb`; did you mean `b`?"
        );
        let date = "\nbody = { at = 2026-01-01 }";
        insta::assert_snapshot!(
            render(date, json!(1), json!(2)).unwrap_err(),
            @"t.toml:2: JSON has no dates: put it in quotes"
        );
        let infinite = "body = { x = inf }";
        insta::assert_snapshot!(
            render(infinite, json!(1), json!(2)).unwrap_err(),
            @"t.toml:1: JSON has no inf and no nan"
        );
    }

    proptest! {
        #[test]
        fn whatever_the_values_the_body_is_json_that_carries_them(a: i64, b in ".*") {
            let text = r#"body = { a = "{a}", b = "{b}", both = "{a}-{b}" }"#;
            let rendered = render(text, json!(a), json!(b)).unwrap();
            let parsed: Value = serde_json::from_str(&rendered).expect("valid JSON");
            prop_assert_eq!(parsed, json!({ "a": a, "b": b, "both": format!("{a}-{b}") }));
        }
    }
}
