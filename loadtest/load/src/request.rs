//! A request as it goes over the wire, written into memory that is reused.

use std::fmt::Write as _;

use bytes::Bytes;
use http::{
    HeaderName, HeaderValue, Request, Uri,
    header::{CONTENT_LENGTH, COOKIE},
    uri::{Authority, PathAndQuery, Scheme},
};
use scenarios::{Body, Endpoint, Method, Template, Vars};

use crate::{hop::Hop, target::Target};

/// A request as it was written.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Written<'t> {
    pub(crate) text: &'t [u8],
    /// It says `connection: close`.
    pub(crate) closes: bool,
    /// Whether a value was left out that no header can hold: then it must not be sent.
    pub(crate) is_spoilt: bool,
}

/// A request as HTTP/2 sends it.
#[derive(Debug)]
pub(crate) struct Framed {
    pub(crate) head: Request<()>,
    pub(crate) body: Bytes,
    /// It says `connection: close`, which has no place in a frame: the connection is left behind it.
    pub(crate) closes: bool,
    /// Whether it may be sent again where no byte of an answer came (RFC 9110, section 9.2.2).
    pub(crate) is_repeatable: bool,
}

/// Headers that speak of the connection, which HTTP/2 has other means for (RFC 9113, section 8.2.2), and the name of
/// the server, which stands in the address.
const NOT_FRAMED: [&str; 6] = [
    "connection",
    "host",
    "keep-alive",
    "proxy-connection",
    "transfer-encoding",
    "upgrade",
];

/// What a request has beside what its endpoint says.
#[derive(Debug, Default)]
pub(crate) struct More<'a> {
    /// Where an answer sent it on to.
    pub(crate) hop: Option<&'a Hop>,
    /// The user's cookies; mostly empty.
    pub(crate) cookies: &'a str,
}

impl More<'_> {
    fn method(&self, endpoint: &Endpoint) -> Method {
        self.hop.map_or(endpoint.method, |hop| hop.method)
    }

    fn body<'e>(&self, endpoint: &'e Endpoint) -> Option<&'e Body> {
        endpoint
            .body
            .as_ref()
            .filter(|_| self.hop.is_none_or(|hop| hop.has_body))
    }

    /// Whether a header of the endpoint goes along: the type of a body that does not go has no place.
    fn takes(&self, header: &str) -> bool {
        header != "content-type" || self.hop.is_none_or(|hop| hop.has_body)
    }

    /// The cookies, unless the endpoint has its own.
    fn cookies(&self, endpoint: &Endpoint) -> Option<&str> {
        let has_own = || endpoint.headers.iter().any(|(name, _)| name == "cookie");
        (!self.cookies.is_empty() && !has_own()).then_some(self.cookies)
    }
}

/// The text of one request at a time.
#[derive(Debug, Default)]
pub(crate) struct RequestText {
    text: String,
    body: String,
    /// The whole of a request with a body that is no text.
    bytes: Vec<u8>,
}

impl RequestText {
    /// The request of `endpoint` to `target` with the values of `vars`. Allocates only while its memory still grows.
    pub(crate) fn write(&mut self, endpoint: &Endpoint, target: &Target, vars: &Vars, more: &More<'_>) -> Written<'_> {
        let Self { text, body, bytes } = self;
        let (mut closes, mut is_spoilt) = (false, false);
        text.clear();
        text.push_str(more.method(endpoint).as_str());
        text.push(' ');
        match more.hop {
            Some(hop) => text.push_str(&hop.path),
            None => write_path(endpoint, target, vars, text),
        }
        text.push_str(" HTTP/1.1\r\n");
        if endpoint.headers.iter().all(|(name, _)| name != "host") {
            push_all(text, ["host: ", &target.host, "\r\n"]);
        }
        for (name, template) in endpoint.headers.iter().filter(|(name, _)| more.takes(name)) {
            push_all(text, [name, ": "]);
            let begins = text.len();
            template.render(vars, text);
            // Values from answers may hold what no header can; those of files were looked at before.
            if !text.as_bytes()[begins..].iter().all(|byte| is_visible(*byte)) {
                text.truncate(begins);
                is_spoilt = true;
            }
            closes |= name == "connection" && says_close(&text[begins..]);
            text.push_str("\r\n");
        }
        if let Some(cookies) = more.cookies(endpoint) {
            push_all(text, ["cookie: ", cookies, "\r\n"]);
        }
        body.clear();
        let content = more.body(endpoint);
        let is_bytes = match content {
            Some(Body::Text(template)) => {
                template.render(vars, body);
                false
            }
            Some(parts @ Body::Parts(_)) => {
                bytes.clear();
                parts.render(vars, body, bytes);
                body.clear();
                true
            }
            None => false,
        };
        let length = if is_bytes { bytes.len() } else { body.len() };
        if content.is_some() || announces_length(more.method(endpoint)) {
            // Writing to a String cannot fail.
            let _ = write!(text, "content-length: {length}\r\n");
        }
        push_all(text, ["\r\n", body]);
        if is_bytes {
            bytes.splice(..0, text.bytes());
        }
        Written {
            text: if is_bytes { bytes } else { text.as_bytes() },
            closes,
            is_spoilt,
        }
    }
}

impl RequestText {
    /// The request of `endpoint` to `target` with the values of `vars`, for frames; `None` where a value of it cannot
    /// be written.
    pub(crate) fn frame(
        &mut self,
        endpoint: &Endpoint,
        target: &Target,
        vars: &Vars,
        more: &More<'_>,
    ) -> Option<Framed> {
        let Self { text, body, bytes } = self;
        let rendered = |template: &Template, text: &mut String| {
            text.clear();
            template.render(vars, text);
        };
        let mut head = Request::new(());
        *head.method_mut() = method(more.method(endpoint));
        let (mut authority, mut closes) = (None, false);
        for (name, template) in endpoint.headers.iter().filter(|(name, _)| more.takes(name)) {
            rendered(template, text);
            if NOT_FRAMED.contains(&name.as_str()) {
                closes |= name == "connection" && says_close(text);
                if name == "host" {
                    authority = Some(text.parse::<Authority>().ok()?);
                }
                continue;
            }
            let value = HeaderValue::from_bytes(text.as_bytes()).ok()?;
            head.headers_mut()
                .append(HeaderName::from_bytes(name.as_bytes()).ok()?, value);
        }
        if let Some(cookies) = more.cookies(endpoint) {
            head.headers_mut().append(COOKIE, HeaderValue::from_str(cookies).ok()?);
        }
        text.clear();
        match more.hop {
            Some(hop) => text.push_str(&hop.path),
            None => write_path(endpoint, target, vars, text),
        }
        let mut address = http::uri::Parts::default();
        address.scheme = Some(if target.tls.is_some() {
            Scheme::HTTPS
        } else {
            Scheme::HTTP
        });
        address.authority = match authority {
            Some(authority) => Some(authority),
            None => Some(target.host.parse().ok()?),
        };
        address.path_and_query = Some(PathAndQuery::from_maybe_shared(Bytes::copy_from_slice(text.as_bytes())).ok()?);
        *head.uri_mut() = Uri::from_parts(address).ok()?;
        bytes.clear();
        let content = more.body(endpoint);
        if let Some(content) = content {
            content.render(vars, body, bytes);
        }
        if content.is_some() || announces_length(more.method(endpoint)) {
            head.headers_mut()
                .insert(CONTENT_LENGTH, HeaderValue::from(bytes.len()));
        }
        Some(Framed {
            head,
            body: Bytes::copy_from_slice(bytes),
            closes,
            is_repeatable: more.method(endpoint).is_idempotent(),
        })
    }
}

fn method(method: Method) -> http::Method {
    match method {
        Method::Get => http::Method::GET,
        Method::Head => http::Method::HEAD,
        Method::Post => http::Method::POST,
        Method::Put => http::Method::PUT,
        Method::Patch => http::Method::PATCH,
        Method::Delete => http::Method::DELETE,
    }
}

/// Path and query, behind the target's base path. What an answer gave as a whole path may have that already.
pub(crate) fn write_path(endpoint: &Endpoint, target: &Target, vars: &Vars, text: &mut String) {
    let base = &target.base_path;
    let begins = text.len();
    text.push_str(base);
    endpoint.path.render(vars, text);
    if !base.is_empty() && endpoint.path.is_whole_path() {
        let rest = text[begins + base.len()..].strip_prefix(base.as_str());
        if rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', '?'])) {
            text.replace_range(begins..begins + base.len(), "");
        }
    }
}

fn push_all<const N: usize>(text: &mut String, parts: [&str; N]) {
    for part in parts {
        text.push_str(part);
    }
}

/// Whether a header value may have this byte: no control character but a tab, and so no line's end. Beyond ASCII it
/// goes out as UTF-8 (the `obs-text` of RFC 9110, section 5.5).
fn is_visible(byte: u8) -> bool {
    matches!(byte, b' '..=b'~' | b'\t' | 0x80..)
}

/// Whether a `connection` header ends the connection.
fn says_close(value: &str) -> bool {
    value.split(',').any(|token| token.trim().eq_ignore_ascii_case("close"))
}

/// Methods whose length is given also when there is no body (RFC 9110, section 8.6).
fn announces_length(method: Method) -> bool {
    matches!(method, Method::Post | Method::Put | Method::Patch)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use scenarios::Workload;
    use serde_json::json;

    use super::*;

    /// The text of the only endpoint of a workload, with the variable `id` set.
    fn written(endpoint: &str, id: &serde_json::Value) -> String {
        written_behind("", endpoint, id)
    }

    /// As [`written`], to a target with a base path.
    fn written_behind(base_path: &str, endpoint: &str, id: &serde_json::Value) -> String {
        let text = format!(
            r#"
name = "w"
measure_s = 1
drain_s = 1
blocks = 1
[model.closed]
users = 1
ramp_s = 0
[warm_up]
duration_s = 1
think_time_scale = 1
[quick]
warm_up_s = 1
measure_s = 1
blocks = 1
[feeders.id]
uniform = {{ min = 1, max = 2 }}
[endpoints.one]
{endpoint}
[journeys.j]
weight = 1
steps = [{{ endpoint = "one" }}]
"#
        );
        let workload = Workload::parse(Path::new("w.toml"), &text).unwrap();
        let mut vars = workload.new_vars();
        vars.set(0, id.clone());
        let mut request = RequestText::default();
        let target = Target {
            base_path: base_path.to_owned(),
            ..Target::named(Vec::new(), "h:1".to_owned())
        };
        let more = More::default();
        request.write(&workload.endpoints[0], &target, &vars, &more);
        let again = request.write(&workload.endpoints[0], &target, &vars, &more);
        String::from_utf8(again.text.to_vec()).unwrap()
    }

    #[test]
    fn a_request_without_a_body_has_no_length_unless_its_method_asks_for_one() {
        assert_eq!(
            written("path = '/x/{id}?a=b'", &json!(7)),
            "GET /x/7?a=b HTTP/1.1\r\nhost: h:1\r\n\r\n"
        );
        assert_eq!(
            written("path = '/'\nmethod = 'POST'", &json!(7)),
            "POST / HTTP/1.1\r\nhost: h:1\r\ncontent-length: 0\r\n\r\n"
        );
    }

    #[test]
    fn a_base_path_stands_before_every_path_and_never_twice() {
        let line = |endpoint: &str, id: &serde_json::Value| {
            let text = written_behind("/api", endpoint, id);
            text.lines().next().unwrap().to_owned()
        };
        assert_eq!(line("path = '/x/{id}'", &json!(7)), "GET /api/x/7 HTTP/1.1");
        for (given, sent) in [
            ("/x?page=2", "/api/x?page=2"),
            ("/api/x?page=2", "/api/x?page=2"),
            ("https://shop/api?page=2", "/api?page=2"),
            ("/apiary", "/api/apiary"),
        ] {
            assert_eq!(line("path = '{id}'", &json!(given)), format!("GET {sent} HTTP/1.1"));
        }
    }

    #[test]
    fn forms_and_texts_come_with_their_type() {
        assert_eq!(
            written(
                "path = '/'\nmethod = 'POST'\nbody_form = { 'a b' = 'x&{id}', n = 2 }",
                &json!("é=1")
            ),
            "POST / HTTP/1.1\r\nhost: h:1\r\ncontent-type: application/x-www-form-urlencoded\r\n\
             content-length: 24\r\n\r\na%20b=x%26%C3%A9%3D1&n=2"
        );
        assert_eq!(
            written("path = '/'\nmethod = 'POST'\nbody_text = '<{id}>'", &json!(1)),
            "POST / HTTP/1.1\r\nhost: h:1\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: 3\r\n\r\n<1>"
        );
    }

    #[test]
    fn a_body_comes_with_its_length_in_bytes() {
        assert_eq!(
            written("path = '/'\nmethod = 'PUT'\nbody = { name = 'é{id}' }", &json!(1)),
            "PUT / HTTP/1.1\r\nhost: h:1\r\ncontent-type: application/json\r\ncontent-length: 14\r\n\r\n\
             {\"name\":\"é1\"}"
        );
    }

    #[test]
    fn a_value_cannot_end_its_header_and_a_host_of_the_file_stands_alone() {
        let endpoint = "path = '/'\nheaders = { x-id = '{id}', host = 'shop' }";
        let expected = |value: &str| format!("GET / HTTP/1.1\r\nx-id: {value}\r\nhost: shop\r\n\r\n");
        let sorted = |text: String| {
            let mut lines: Vec<String> = text.split("\r\n").map(str::to_owned).collect();
            lines.sort();
            lines
        };
        assert_eq!(sorted(written(endpoint, &json!("a b"))), sorted(expected("a b")));
        assert_eq!(
            sorted(written(endpoint, &json!("a\r\nx-evil: 1"))),
            sorted(expected(""))
        );
        assert_eq!(sorted(written(endpoint, &json!("Zoë"))), sorted(expected("Zoë")));
        assert_eq!(sorted(written(endpoint, &json!("a\u{7f}"))), sorted(expected("")));
    }
}
