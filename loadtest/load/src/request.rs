//! A request as it goes over the wire, written into memory that is reused.

use std::fmt::Write as _;

use scenarios::{Endpoint, Method, Vars};

/// A request as it was written.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Written<'t> {
    pub(crate) text: &'t [u8],
    /// It says `connection: close`.
    pub(crate) closes: bool,
    /// Whether a value was left out that no header can hold: then it must not be sent.
    pub(crate) is_spoilt: bool,
}

/// The text of one request at a time.
#[derive(Debug, Default)]
pub(crate) struct RequestText {
    text: String,
    body: String,
}

impl RequestText {
    /// The request of `endpoint` to `host` with the values of `vars`. Allocates only while its memory still grows.
    pub(crate) fn write(&mut self, endpoint: &Endpoint, host: &str, vars: &Vars) -> Written<'_> {
        let Self { text, body } = self;
        let (mut closes, mut is_spoilt) = (false, false);
        text.clear();
        text.push_str(endpoint.method.as_str());
        text.push(' ');
        endpoint.path.render(vars, text);
        text.push_str(" HTTP/1.1\r\n");
        if endpoint.headers.iter().all(|(name, _)| name != "host") {
            push_all(text, ["host: ", host, "\r\n"]);
        }
        for (name, template) in &endpoint.headers {
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
        body.clear();
        if let Some(template) = &endpoint.body {
            template.render(vars, body);
        }
        if endpoint.body.is_some() || announces_length(endpoint.method) {
            // Writing to a String cannot fail.
            let _ = write!(text, "content-length: {}\r\n", body.len());
        }
        push_all(text, ["\r\n", body]);
        Written {
            text: text.as_bytes(),
            closes,
            is_spoilt,
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
        request.write(&workload.endpoints[0], "h:1", &vars);
        let again = request.write(&workload.endpoints[0], "h:1", &vars);
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
