//! Text with variables, `/risk/{driver}/current`, compiled once and rendered into the caller's buffer.
//!
//! `{{` and `}}` stand for the braces themselves. JSON bodies are in [`crate::body`].

use std::fmt::Write as _;
use std::ops::Range;

use serde_json::Value;
use toml::Spanned;

use crate::vars::{Known, Scope, Vars};

/// A text with variables: a path, a header or a JSON body.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Template {
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Value(usize, Form),
}

/// Form in which a value is written into the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// As it is: headers.
    Plain,
    /// Percent-encoded, so that a value can neither end a path segment nor start a query.
    Path,
    /// A whole path with its query, as an answer may give for the next page; sent as it is.
    WholePath,
    /// As JSON.
    Json,
    /// As a part of a JSON string: a text is escaped and has no quotes of its own.
    InJsonString,
}

impl Template {
    /// Compiles `text`, whose values are written in one form; mistakes go to the scope.
    pub(crate) fn compile(text: &Spanned<String>, form: Form, scope: &mut Scope<'_, '_>) -> Self {
        let at = text.span();
        let mut template = Self::default();
        for piece in pieces(text.get_ref(), &at, scope) {
            match piece {
                Piece::Text(text) => template.push(&text),
                Piece::Var(name) => template.push_variable(scope.find(name, &at), form),
            }
        }
        template
    }

    /// Compiles a value of a form: the text itself is percent-encoded, too.
    pub(crate) fn compile_form_value(text: &Spanned<String>, scope: &mut Scope<'_, '_>) -> Self {
        let at = text.span();
        let mut template = Self::default();
        for piece in pieces(text.get_ref(), &at, scope) {
            match piece {
                Piece::Text(text) => template.push_value(&Value::String(text), Form::Path),
                Piece::Var(name) => template.push_variable(scope.find(name, &at), Form::Path),
            }
        }
        template
    }

    /// Compiles a path; one that is nothing but a variable may be given a whole path.
    pub(crate) fn compile_path(text: &Spanned<String>, scope: &mut Scope<'_, '_>) -> Self {
        let at = text.span();
        let pieces = pieces(text.get_ref(), &at, scope);
        let name = match &pieces[..] {
            [Piece::Var(name)] => name,
            [Piece::Text(slash), Piece::Var(name)] if slash == "/" => name,
            _ => return Self::compile(text, Form::Path, scope),
        };
        let mut template = Self::default();
        template.push_variable(scope.find(name, &at), Form::WholePath);
        template
    }

    /// Whether it is nothing but a variable that gives a whole path.
    pub fn is_whole_path(&self) -> bool {
        matches!(self.parts[..], [Part::Value(_, Form::WholePath)])
    }

    /// Adds all parts of another template.
    pub(crate) fn append(&mut self, other: Self) {
        for part in other.parts {
            match part {
                Part::Text(text) => self.push(&text),
                value @ Part::Value(..) => self.parts.push(value),
            }
        }
    }

    /// A text without variables.
    pub(crate) fn literal(text: &str) -> Self {
        Self {
            parts: vec![Part::Text(text.to_owned())],
        }
    }

    /// Adds text.
    pub(crate) fn push(&mut self, text: &str) {
        match self.parts.last_mut() {
            Some(Part::Text(before)) => before.push_str(text),
            _ => self.parts.push(Part::Text(text.to_owned())),
        }
    }

    /// Adds a value that is known already.
    pub(crate) fn push_value(&mut self, value: &Value, form: Form) {
        let mut text = String::new();
        form.write(value, &mut text);
        self.push(&text);
    }

    /// Adds a variable; one that does not exist has been noted and is left out.
    pub(crate) fn push_variable(&mut self, known: Option<Known>, form: Form) {
        match known {
            Some(Known::Slot(slot)) => self.parts.push(Part::Value(slot, form)),
            Some(Known::Fixed(text)) => self.push_value(&Value::String(text), form),
            None => {}
        }
    }

    /// Appends the text with the values of `vars`. Allocates only when `out` must grow.
    pub fn render(&self, vars: &Vars, out: &mut String) {
        for part in &self.parts {
            match part {
                Part::Text(text) => out.push_str(text),
                Part::Value(slot, form) => form.write(vars.get(*slot), out),
            }
        }
    }

    /// The variables it uses.
    pub(crate) fn slots(&self) -> impl Iterator<Item = usize> {
        self.parts.iter().filter_map(|part| match part {
            Part::Value(slot, _) => Some(*slot),
            Part::Text(_) => None,
        })
    }
}

impl Form {
    fn write(self, value: &Value, out: &mut String) {
        match (value, self) {
            (Value::String(text), Self::Plain) => out.push_str(text),
            (Value::String(text), Self::Path) => push_percent_encoded(text, out),
            (Value::String(text), Self::WholePath) => push_whole_path(text, out),
            (_, Self::WholePath) => {
                out.push('/');
                push_json(value, out);
            }
            (Value::String(_), Self::InJsonString) => {
                let start = out.len();
                push_json(value, out);
                out.pop();
                out.remove(start);
            }
            _ => push_json(value, out),
        }
    }
}

/// One stretch of a template's source.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Piece<'t> {
    Text(String),
    Var(&'t str),
}

/// Splits `text` at its variables. An unbalanced brace is noted and ends the splitting.
pub(crate) fn pieces<'t>(text: &'t str, at: &Range<usize>, scope: &mut Scope<'_, '_>) -> Vec<Piece<'t>> {
    let mut pieces = Vec::new();
    let mut literal = String::new();
    let mut rest = text;
    while let Some(brace) = rest.find(['{', '}']) {
        literal.push_str(&rest[..brace]);
        rest = &rest[brace..];
        if let Some(doubled) = ["{{", "}}"].into_iter().find(|doubled| rest.starts_with(doubled)) {
            literal.push_str(&doubled[1..]);
            rest = &rest[2..];
        } else if let Some((name, after)) = rest.strip_prefix('{').and_then(|inner| inner.split_once('}')) {
            push_literal(&mut literal, &mut pieces);
            pieces.push(Piece::Var(name));
            rest = after;
        } else {
            let hint = "write `{{` or `}}` for a brace that is meant as text".to_owned();
            scope
                .findings
                .add(at, format!("unbalanced brace in `{text}`"), Some(hint));
            return pieces;
        }
    }
    literal.push_str(rest);
    push_literal(&mut literal, &mut pieces);
    pieces
}

fn push_literal(literal: &mut String, pieces: &mut Vec<Piece<'_>>) {
    if !literal.is_empty() {
        pieces.push(Piece::Text(std::mem::take(literal)));
    }
}

/// Appends the JSON text of a value, which for numbers and booleans is their plain text.
fn push_json(value: &Value, out: &mut String) {
    // Writing to a String cannot fail.
    let _ = write!(out, "{value}");
}

/// A path with its query as it is, but for what no request line can hold. Of a whole address the path is taken; what
/// does not begin with a slash is no path, and becomes the only segment of one.
fn push_whole_path(text: &str, out: &mut String) {
    let without_scheme = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://"));
    let path = match without_scheme {
        Some(rest) => rest.find('/').map_or("/", |slash| &rest[slash..]),
        None => text,
    };
    if !path.starts_with('/') {
        out.push('/');
        return push_percent_encoded(text, out);
    }
    for byte in path.split('#').next().unwrap_or_default().bytes() {
        if byte.is_ascii_graphic() {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
}

/// RFC 3986: everything but unreserved characters becomes %XX.
fn push_percent_encoded(text: &str, out: &mut String) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::source::{Findings, Source};
    use crate::vars::VarNames;

    /// Compiles `text` with the variables `a` and `b` defined; returns the mistakes as text.
    fn compile(text: &str, form: Form) -> Result<Template, String> {
        let source = Source::from_text(Path::new("t.toml"), String::new());
        let (mut names, mut findings) = (VarNames::default(), Findings::new(&source));
        for name in ["a", "b"] {
            names.define(&Spanned::new(0..0, name.to_owned()), &mut findings);
        }
        let mut scope = Scope {
            names: &names,
            findings: &mut findings,
        };
        let template = Template::compile(&Spanned::new(0..0, text.to_owned()), form, &mut scope);
        findings.finish(template).map_err(|error| error.to_string())
    }

    fn render(template: &Template, a: Value, b: Value) -> String {
        let mut vars = Vars::new(2);
        vars.set(0, a);
        vars.set(1, b);
        let mut out = String::new();
        template.render(&vars, &mut out);
        out
    }

    #[test]
    fn values_are_written_as_text_and_escaped_in_paths() {
        let path = compile("/x/{a}/y?z={b}", Form::Path).unwrap();
        assert_eq!(
            render(&path, json!(42), json!("a b/c?d=é")),
            "/x/42/y?z=a%20b%2Fc%3Fd%3D%C3%A9"
        );
        let header = compile("Bearer {a}", Form::Plain).unwrap();
        assert_eq!(render(&header, json!("a b/c"), json!(1)), "Bearer a b/c");
    }

    #[test]
    fn a_path_that_is_a_variable_takes_a_whole_path() {
        let next = |value: Value, text: &str| {
            let source = Source::from_text(Path::new("t.toml"), String::new());
            let (mut names, mut findings) = (VarNames::default(), Findings::new(&source));
            names.define(&Spanned::new(0..0, "next".to_owned()), &mut findings);
            let mut scope = Scope {
                names: &names,
                findings: &mut findings,
            };
            let template = Template::compile_path(&Spanned::new(0..0, text.to_owned()), &mut scope);
            let mut vars = Vars::new(1);
            vars.set(0, value);
            let mut out = String::new();
            template.render(&vars, &mut out);
            out
        };
        for template in ["{next}", "/{next}"] {
            assert_eq!(next(json!("/items?page=2&q=a%20b"), template), "/items?page=2&q=a%20b");
            assert_eq!(next(json!("http://shop/items?page=2#top"), template), "/items?page=2");
            assert_eq!(next(json!("https://shop"), template), "/");
            assert_eq!(next(json!("a b/c"), template), "/a%20b%2Fc");
            assert_eq!(next(json!("/a b\r\nx: 1"), template), "/a%20b%0D%0Ax:%201");
            assert_eq!(next(json!(7), template), "/7");
        }
        assert_eq!(next(json!("/items?page=2"), "/x/{next}"), "/x/%2Fitems%3Fpage%3D2");
    }

    #[test]
    fn mistakes_name_the_variable_or_the_brace() {
        insta::assert_snapshot!(
            compile("/{aa}", Form::Path).unwrap_err(),
            @"t.toml:1: unknown variable `aa`; did you mean `a`?"
        );
        insta::assert_snapshot!(
            compile("/{a", Form::Path).unwrap_err(),
            @"t.toml:1: unbalanced brace in `/{a`; write `{{` or `}}` for a brace that is meant as text"
        );
        assert!(compile("/a}", Form::Path).unwrap_err().contains("unbalanced brace"));
    }

    #[derive(Debug, Clone)]
    enum Chunk {
        Text(String),
        A,
        B,
    }

    fn chunks() -> impl Strategy<Value = Vec<Chunk>> {
        let chunk = prop_oneof![".*".prop_map(Chunk::Text), Just(Chunk::A), Just(Chunk::B)];
        proptest::collection::vec(chunk, 0..8)
    }

    proptest! {
        #[test]
        fn any_text_and_variables_come_out_as_they_went_in(chunks in chunks(), a: i64, b in ".*") {
            let source: String = chunks.iter().map(|chunk| match chunk {
                Chunk::Text(text) => text.replace('{', "{{").replace('}', "}}"),
                Chunk::A => "{a}".to_owned(),
                Chunk::B => "{b}".to_owned(),
            }).collect();
            let expected: String = chunks.iter().map(|chunk| match chunk {
                Chunk::Text(text) => text.clone(),
                Chunk::A => a.to_string(),
                Chunk::B => b.clone(),
            }).collect();
            let template = compile(&source, Form::Plain).expect("every variable is defined");
            prop_assert_eq!(render(&template, json!(a), json!(b)), expected);
        }

        #[test]
        fn a_value_in_a_path_stays_one_segment(b in ".*") {
            let template = compile("/p/{b}/q", Form::Path).unwrap();
            let rendered = render(&template, json!(0), json!(b));
            prop_assert_eq!(rendered.matches('/').count(), 3);
            prop_assert!(!rendered.contains(['?', '#', ' ']));
        }
    }

    #[test]
    fn rendering_does_not_allocate_beyond_the_buffer() {
        let template = compile("/x/{a}/y/{b}", Form::Path).unwrap();
        let mut vars = Vars::new(2);
        vars.set(0, json!(i64::MIN));
        vars.set(1, json!("some text"));
        let mut out = String::with_capacity(256);
        let before = (out.as_ptr(), out.capacity());
        template.render(&vars, &mut out);
        assert_eq!((out.as_ptr(), out.capacity()), before);
    }
}
