//! What holds for all requests of a workload: version of HTTP, streams, cookies, credentials.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use toml::Spanned;

use crate::source::Findings;
use crate::template::{Form, Piece, Template, pieces};
use crate::vars::{ENVIRONMENT, Known, Scope};

/// More streams on one connection than any server grants by default (nginx: 128, nghttp2: 100).
const MAX_STREAMS: u32 = 1_000;

/// Version of HTTP that is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
pub enum HttpVersion {
    /// Over TLS what the server chooses of HTTP/2 and HTTP/1.1 (ALPN); HTTP/1.1 in plain text.
    #[default]
    #[serde(rename = "auto")]
    Auto,
    /// HTTP/1.1.
    #[serde(rename = "1.1")]
    One,
    /// HTTP/2; in plain text by prior knowledge.
    #[serde(rename = "2")]
    Two,
}

/// What holds for all requests of a workload.
#[derive(Debug, Clone, PartialEq)]
pub struct Http {
    /// Version of HTTP.
    pub version: HttpVersion,
    /// Most requests in flight on one connection; HTTP/2 only.
    pub streams: u32,
    /// Whether each user keeps the cookies that it is given, and sends them back.
    pub cookies: bool,
}

impl Default for Http {
    fn default() -> Self {
        Self {
            version: HttpVersion::Auto,
            streams: 1,
            cookies: false,
        }
    }
}

/// The table `[http]` as it is written.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawHttp {
    version: Option<HttpVersion>,
    streams: Option<Spanned<u32>>,
    cookies: Option<bool>,
    basic: Option<Spanned<RawBasic>>,
    bearer: Option<Spanned<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawBasic {
    user: Spanned<String>,
    password: Spanned<String>,
}

impl RawHttp {
    pub(crate) fn check(&self, findings: &mut Findings<'_>) -> Http {
        if let (Some(_), Some(bearer)) = (&self.basic, &self.bearer) {
            findings.add(
                &bearer.span(),
                "`bearer` and `basic` both give the header `authorization`",
                Some("give one of them".to_owned()),
            );
        }
        Http {
            version: self.version.unwrap_or_default(),
            streams: self.streams.as_ref().map_or(1, |streams| {
                findings.require(*streams.get_ref() <= MAX_STREAMS, &streams.span(), || {
                    format!("`streams` is {streams}: it must be at most {MAX_STREAMS}")
                });
                findings.at_least_one("streams", streams)
            }),
            cookies: self.cookies.unwrap_or(false),
        }
    }

    /// The header `authorization` of requests that have none of their own; `None` where there are no credentials.
    pub(crate) fn authorization(&self, scope: &mut Scope<'_, '_>) -> Option<Template> {
        if let Some(bearer) = &self.bearer {
            let mut header = Template::literal("Bearer ");
            header.append(Template::compile(bearer, Form::Plain, scope));
            return Some(header);
        }
        let basic = self.basic.as_ref()?.get_ref();
        let user = fixed(&basic.user, scope);
        scope.findings.require(!user.contains(':'), &basic.user.span(), || {
            "a user of basic credentials cannot have a colon in its name".to_owned()
        });
        let encoded = STANDARD.encode(format!("{user}:{}", fixed(&basic.password, scope)));
        scope.findings.keep_secret("http.basic", &encoded);
        Some(Template::literal(&format!("Basic {encoded}")))
    }

    /// Whether the credentials can be written with what is known so far: a setup request that fetches a token is sent
    /// without it.
    pub(crate) fn is_known(&self, defines: impl Fn(&str) -> bool) -> bool {
        let basic = self.basic.as_ref().map(Spanned::get_ref);
        let basic = basic.into_iter().flat_map(|basic| [&basic.user, &basic.password]);
        let texts = basic.chain(&self.bearer).map(|text| text.get_ref().as_str());
        let mut names = texts.flat_map(names);
        names.all(|name| name.starts_with(ENVIRONMENT) || defines(name))
    }
}

/// Names of the variables in a text; whether its braces are balanced is for others.
fn names(text: &str) -> impl Iterator<Item = &str> {
    let inside = text.split('{').skip(1);
    inside.filter_map(|rest| rest.split_once('}')).map(|(name, _)| name)
}

/// A text whose variables are all of the environment.
fn fixed(text: &Spanned<String>, scope: &mut Scope<'_, '_>) -> String {
    let at = text.span();
    let mut whole = String::new();
    for piece in pieces(text.get_ref(), &at, scope) {
        match piece {
            Piece::Text(text) => whole.push_str(&text),
            Piece::Var(name) => match scope.find(name, &at) {
                Some(Known::Fixed(value)) => whole.push_str(&value),
                Some(Known::Slot(_)) => scope.findings.add(
                    &at,
                    format!("`{name}` is not known before the load: basic credentials are fixed"),
                    Some("write the text, `{env.NAME}`, or an `authorization` header of the request".to_owned()),
                ),
                None => {}
            },
        }
    }
    whole
}

/// Values that must stand in no record, by the name that stands for them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Secrets {
    by_value: BTreeMap<String, String>,
}

/// A shorter text is no secret, and would be found in every second message.
const SHORTEST_SECRET: usize = 4;

impl Secrets {
    /// Keeps `value` out of every text, where `{name}` stands instead.
    pub(crate) fn add(&mut self, name: &str, value: &str) {
        if value.len() >= SHORTEST_SECRET {
            self.by_value.insert(value.to_owned(), format!("{{{name}}}"));
        }
    }

    /// `text` without the values; longer ones go first, since one may be a part of another.
    pub fn conceal(&self, text: String) -> String {
        let mut values: Vec<(&String, &String)> = self.by_value.iter().collect();
        values.sort_by_key(|(value, _)| std::cmp::Reverse(value.len()));
        values.into_iter().fold(text, |text, (value, name)| {
            if text.contains(value.as_str()) {
                text.replace(value.as_str(), name)
            } else {
                text
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_taken_out_of_texts_the_longer_ones_first() {
        let mut secrets = Secrets::default();
        for (name, value) in [
            ("env.SHORT", "abc"),
            ("env.TOKEN", "s3cret"),
            ("env.LONG", "s3cret-and-more"),
        ] {
            secrets.add(name, value);
        }
        assert_eq!(
            secrets.conceal("abc s3cret s3cret-and-more".to_owned()),
            "abc {env.TOKEN} {env.LONG}"
        );
    }
}
