//! Bodies of requests that are no JSON: forms, text, files, and several of them in one (multipart).

use std::fmt;
use std::sync::Arc;

use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, MapAccess, Visitor};
use toml::Spanned;

use crate::body::{self, RawJson};
use crate::source::{Named, named};
use crate::template::{Form, Template};
use crate::vars::{Scope, Vars};

/// The largest file that is sent as a body, or as a part of one: it is held in memory.
const MAX_FILE_BYTES: u64 = 64 * 1024 * 1024;
/// Separates the parts of a multipart body; made longer where a file has it, too.
const BOUNDARY: &str = "loadtest-2f6c1b7de4a94d0f";

/// The body of a request.
#[derive(Debug, Clone, PartialEq)]
pub enum Body {
    /// One text with variables: JSON, a form or anything else.
    Text(Template),
    /// Texts and files, one behind the other.
    Parts(Vec<BodyPart>),
}

/// A stretch of a body.
#[derive(Debug, Clone, PartialEq)]
pub enum BodyPart {
    /// A text with variables.
    Text(Template),
    /// The bytes of a file.
    File(Arc<[u8]>),
}

impl Body {
    /// The variables it uses.
    pub(crate) fn slots(&self) -> Vec<usize> {
        match self {
            Self::Text(text) => text.slots().collect(),
            Self::Parts(parts) => parts
                .iter()
                .flat_map(|part| match part {
                    BodyPart::Text(text) => text.slots().collect(),
                    BodyPart::File(_) => Vec::new(),
                })
                .collect(),
        }
    }

    /// The files that it sends.
    pub(crate) fn files(&self) -> impl Iterator<Item = &[u8]> {
        let parts = match self {
            Self::Text(_) => &[],
            Self::Parts(parts) => parts.as_slice(),
        };
        parts.iter().filter_map(|part| match part {
            BodyPart::Text(_) => None,
            BodyPart::File(bytes) => Some(&**bytes),
        })
    }

    /// Appends the body with the values of `vars`; texts are written into `scratch` on their way.
    pub fn render(&self, vars: &Vars, scratch: &mut String, out: &mut Vec<u8>) {
        let mut text = |template: &Template, out: &mut Vec<u8>| {
            scratch.clear();
            template.render(vars, scratch);
            out.extend_from_slice(scratch.as_bytes());
        };
        match self {
            Self::Text(template) => text(template, out),
            Self::Parts(parts) => {
                for part in parts {
                    match part {
                        BodyPart::Text(template) => text(template, out),
                        BodyPart::File(bytes) => out.extend_from_slice(bytes),
                    }
                }
            }
        }
    }
}

/// The body of a request as it is written: at most one of these.
pub(crate) struct RawBody {
    pub(crate) json: Option<Spanned<RawJson>>,
    pub(crate) form: Option<Spanned<RawForm>>,
    pub(crate) text: Option<Spanned<String>>,
    pub(crate) file: Option<Spanned<String>>,
    pub(crate) multipart: Option<Spanned<RawMultipart>>,
}

/// Fields of a form.
#[derive(Deserialize)]
#[serde(transparent)]
pub(crate) struct RawForm(#[serde(deserialize_with = "named")] Named<Spanned<RawJson>>);

/// Parts of a multipart body.
#[derive(Deserialize)]
#[serde(transparent)]
pub(crate) struct RawMultipart(#[serde(deserialize_with = "named")] Named<RawPart>);

/// A field, or a file.
enum RawPart {
    Field(String),
    File(RawFile),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawFile {
    file: Spanned<String>,
    /// Its name for the server; that of the file when absent.
    name: Option<Spanned<String>>,
    /// `application/octet-stream` when absent.
    r#type: Option<Spanned<String>>,
}

impl<'de> Deserialize<'de> for RawPart {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RawPartVisitor)
    }
}

struct RawPartVisitor;

impl<'de> Visitor<'de> for RawPartVisitor {
    type Value = RawPart;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text in quotes, or a table with `file`")
    }

    fn visit_str<E>(self, text: &str) -> Result<RawPart, E> {
        Ok(RawPart::Field(text.to_owned()))
    }

    fn visit_map<A: MapAccess<'de>>(self, table: A) -> Result<RawPart, A::Error> {
        RawFile::deserialize(MapAccessDeserializer::new(table)).map(RawPart::File)
    }
}

/// A body and its content type.
pub(crate) type Typed = (Body, String);

impl RawBody {
    /// The body, if there is one; several are a mistake.
    pub(crate) fn check(self, scope: &mut Scope<'_, '_>) -> Option<Typed> {
        let given = [
            self.json.as_ref().map(|body| ("body", body.span())),
            self.form.as_ref().map(|body| ("body_form", body.span())),
            self.text.as_ref().map(|body| ("body_text", body.span())),
            self.file.as_ref().map(|body| ("body_file", body.span())),
            self.multipart.as_ref().map(|body| ("body_multipart", body.span())),
        ];
        let mut given = given.into_iter().flatten();
        if let (Some((first, _)), Some((second, at))) = (given.next(), given.next()) {
            let what = format!("`{second}` and `{first}`: a request has one body");
            scope.findings.add(&at, what, None);
        }
        let json = self
            .json
            .map(|body| (Body::Text(body::compile(&body, scope)), "application/json".to_owned()));
        let form = self.form.map(|fields| {
            let form = form(fields.into_inner().0, scope);
            (Body::Text(form), "application/x-www-form-urlencoded".to_owned())
        });
        let text = self.text.map(|text| {
            let text = Template::compile(&text, Form::Plain, scope);
            (Body::Text(text), "text/plain; charset=utf-8".to_owned())
        });
        let file = self.file.map(|file| {
            let parts = read(&file, scope).map(BodyPart::File).into_iter().collect();
            (Body::Parts(parts), OCTETS.to_owned())
        });
        let multipart = self.multipart.map(|parts| multipart(parts.into_inner().0, scope));
        json.or(form).or(text).or(file).or(multipart)
    }
}

/// The type of bytes of which nothing is known.
const OCTETS: &str = "application/octet-stream";

fn read(file: &Spanned<String>, scope: &mut Scope<'_, '_>) -> Option<Arc<[u8]>> {
    scope.findings.file_beside(file, MAX_FILE_BYTES).map(Arc::from)
}

/// `a=1&b=x%20y`: names and values percent-encoded.
fn form(fields: Named<Spanned<RawJson>>, scope: &mut Scope<'_, '_>) -> Template {
    let mut form = Template::default();
    for (index, (name, value)) in fields.into_iter().enumerate() {
        if index > 0 {
            form.push("&");
        }
        form.push_value(&name.into_inner().into(), Form::Path);
        form.push("=");
        let at = value.span();
        match value.into_inner() {
            RawJson::Text(text) => form.append(Template::compile_form_value(&Spanned::new(at, text), scope)),
            RawJson::Number(digits) => form.push(&digits),
            RawJson::Scalar(value) => form.push_value(&value, Form::Path),
            RawJson::List(_) | RawJson::Table(_) => {
                let hint = "write its parts as fields of their own".to_owned();
                scope
                    .findings
                    .add(&at, "a field of a form is a text, number or boolean", Some(hint));
            }
        }
    }
    form
}

/// A part before its boundary is known.
enum Part {
    Field { name: String, value: Template },
    File { head: String, bytes: Arc<[u8]> },
}

fn multipart(raw: Named<RawPart>, scope: &mut Scope<'_, '_>) -> Typed {
    let mut parts = Vec::new();
    for (name, part) in raw {
        let (at, name) = (name.span(), quoted(name.get_ref()));
        match part {
            RawPart::Field(text) => parts.push(Part::Field {
                name,
                value: Template::compile(&Spanned::new(at, text), Form::Plain, scope),
            }),
            RawPart::File(file) => {
                let Some(bytes) = read(&file.file, scope) else { continue };
                let own_name = file.file.get_ref().rsplit('/').next().unwrap_or_default();
                let shown = quoted(file.name.as_ref().map_or(own_name, |name| name.get_ref()));
                let r#type = file.r#type.as_ref().map_or(OCTETS, |r#type| r#type.get_ref());
                if let Some(r#type) = &file.r#type {
                    scope
                        .findings
                        .require(!r#type.get_ref().contains(char::is_control), &r#type.span(), || {
                            "`type` has a line break or a control character, which no header can hold".to_owned()
                        });
                }
                let head = format!(
                    "content-disposition: form-data; name=\"{name}\"; filename=\"{shown}\"\r\n\
                     content-type: {type}\r\n\r\n"
                );
                parts.push(Part::File { head, bytes });
            }
        }
    }
    let boundary = boundary(&parts);
    (
        Body::Parts(joined(parts, &boundary)),
        format!("multipart/form-data; boundary={boundary}"),
    )
}

/// One that no file contains.
fn boundary(parts: &[Part]) -> String {
    let mut boundary = BOUNDARY.to_owned();
    let is_in = |boundary: &str| {
        parts.iter().any(|part| match part {
            Part::Field { .. } => false,
            Part::File { bytes, .. } => bytes.windows(boundary.len()).any(|bytes| bytes == boundary.as_bytes()),
        })
    };
    while is_in(&boundary) {
        boundary.push('0');
    }
    boundary
}

/// RFC 7578: each part behind a line with the boundary, and a last one with two dashes more.
fn joined(parts: Vec<Part>, boundary: &str) -> Vec<BodyPart> {
    let mut body = Vec::new();
    let mut text = Template::default();
    for part in parts {
        text.push(&format!("--{boundary}\r\n"));
        match part {
            Part::Field { name, value } => {
                text.push(&format!("content-disposition: form-data; name=\"{name}\"\r\n\r\n"));
                text.append(value);
            }
            Part::File { head, bytes } => {
                text.push(&head);
                body.extend([BodyPart::Text(std::mem::take(&mut text)), BodyPart::File(bytes)]);
            }
        }
        text.push("\r\n");
    }
    text.push(&format!("--{boundary}--\r\n"));
    body.push(BodyPart::Text(text));
    body
}

/// As a name stands in quotes there (the WHATWG's form of RFC 7578).
fn quoted(name: &str) -> String {
    name.replace('"', "%22").replace('\r', "%0D").replace('\n', "%0A")
}
