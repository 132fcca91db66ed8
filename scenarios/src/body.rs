//! JSON bodies with variables.
//!
//! A body is written as a TOML table. A string that is exactly `"{var}"` becomes the variable's value as it is (a
//! number stays a number); a variable inside a longer string is written into that string, escaped.

use std::fmt;
use std::ops::Range;

use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use toml::Spanned;

use crate::template::{Form, Piece, Template, pieces};
use crate::vars::Scope;

/// Compiles a body; mistakes go to the scope.
pub(crate) fn compile(body: &Spanned<RawJson>, scope: &mut Scope<'_, '_>) -> Template {
    let mut json = Template::default();
    node(body, &mut json, scope);
    json
}

fn node(node: &Spanned<RawJson>, json: &mut Template, scope: &mut Scope<'_, '_>) {
    match node.get_ref() {
        RawJson::Scalar(value) => json.push_value(value, Form::Json),
        RawJson::Text(text) => self::text(text, &node.span(), json, scope),
        RawJson::List(items) => list(items, json, scope),
        RawJson::Table(entries) => table(entries, json, scope),
    }
}

fn text(text: &str, at: &Range<usize>, json: &mut Template, scope: &mut Scope<'_, '_>) {
    let pieces = pieces(text, at, scope);
    if let [Piece::Var(name)] = pieces[..] {
        return json.push_variable(scope.slot(name, at), Form::Json);
    }
    json.push("\"");
    for piece in pieces {
        match piece {
            Piece::Text(text) => json.push_value(&Value::String(text), Form::InJsonString),
            Piece::Var(name) => json.push_variable(scope.slot(name, at), Form::InJsonString),
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
    /// Number or boolean.
    Scalar(Value),
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
        Ok(RawJson::Scalar(value.into()))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<RawJson, E> {
        let number = serde_json::Number::from_f64(value).ok_or_else(|| E::custom("JSON has no inf and no nan"))?;
        Ok(RawJson::Scalar(number.into()))
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
