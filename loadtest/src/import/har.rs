//! A HAR file: what a browser recorded of a session.

use std::{borrow::Cow, collections::BTreeMap};

use base64::{Engine, engine::general_purpose::STANDARD};
use serde::Deserialize;
use serde_json::Value;
use url::{Url, form_urlencoded};

use super::{Imported, Request, body::FORM, literal, sessions, split};

/// Headers that belong to the browser or the connection and not to the request.
const OF_THE_BROWSER: [&str; 18] = [
    "accept-encoding",
    "accept-language",
    "cache-control",
    "connection",
    "content-length",
    "cookie",
    "dnt",
    "host",
    "if-modified-since",
    "if-none-match",
    "keep-alive",
    "origin",
    "pragma",
    "priority",
    "referer",
    "te",
    "upgrade-insecure-requests",
    "user-agent",
];
/// Beginnings of the types of files that a page is drawn from.
const FILES: [&str; 7] = [
    "image/",
    "font/",
    "text/css",
    "text/javascript",
    "application/javascript",
    "application/x-javascript",
    "application/font",
];

#[derive(Deserialize)]
struct Har {
    log: Log,
}

#[derive(Deserialize)]
struct Log {
    entries: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    request: Sent,
    response: Answer,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Sent {
    method: String,
    url: String,
    #[serde(default)]
    headers: Vec<Pair>,
    post_data: Option<PostData>,
}

#[derive(Deserialize)]
struct Pair {
    name: String,
    value: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PostData {
    #[serde(default)]
    mime_type: String,
    #[serde(default)]
    text: String,
    /// Fields of a form, which some browsers write instead of the text.
    #[serde(default)]
    params: Vec<Field>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Field {
    name: String,
    #[serde(default)]
    value: String,
    file_name: Option<String>,
}

#[derive(Deserialize)]
struct Answer {
    status: u16,
    #[serde(default)]
    content: Content,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Content {
    #[serde(default)]
    mime_type: String,
    text: Option<String>,
    encoding: Option<String>,
}

/// The requests of a session to the origin that most of them went to, in their order, with variables for values that
/// come back.
///
/// # Errors
/// In words, for what is no HAR file, and for one without a request.
pub(crate) fn from_har(text: &str) -> Result<Imported, String> {
    let har: Har = serde_json::from_str(text).map_err(|error| format!("this is no HAR file: {error}"))?;
    let mut imported = Imported {
        is_session: true,
        ..Imported::default()
    };
    let Some(origin) = main_origin(&har.log.entries) else {
        return Err("the HAR file has no request over HTTP".to_owned());
    };
    let (mut answers, mut elsewhere, mut files) = (Vec::new(), BTreeMap::new(), 0_u32);
    for entry in har.log.entries {
        let Some((at, path)) = address(&entry.request.url) else {
            continue;
        };
        if at != origin {
            *elsewhere.entry(at).or_insert(0_u32) += 1;
        } else if is_file(&entry) {
            files += 1;
        } else if entry.response.status == 0 {
            imported
                .left_out
                .push(format!("{} {path}, which was not answered", entry.request.method));
        } else {
            answers.push(entry.response.content.json());
            imported.requests.push(request(entry, &path, &mut imported.left_out));
        }
    }
    let others = elsewhere
        .into_iter()
        .map(|(origin, count)| format!("{count} requests to {origin}"));
    imported.left_out.extend(others);
    if files > 0 {
        imported
            .left_out
            .push(format!("{files} requests for scripts, styles, images and fonts"));
    }
    if answers.iter().all(Option::is_none) {
        let why = "values that come back: the file has no JSON answers (save it with their content)";
        imported.left_out.push(why.to_owned());
    }
    imported.origin = Some(origin);
    let mut imported = imported.named();
    sessions::propose(&mut imported.requests, &answers);
    Ok(imported)
}

fn address(url: &str) -> Option<(String, String)> {
    let url = Url::parse(url).ok()?;
    matches!(url.scheme(), "http" | "https").then(|| split(&url))
}

/// The origin of most requests; of several the one that was asked first.
fn main_origin(entries: &[Entry]) -> Option<String> {
    let mut counts: Vec<(String, usize)> = Vec::new();
    for (origin, _) in entries.iter().filter_map(|entry| address(&entry.request.url)) {
        match counts.iter_mut().find(|(other, _)| *other == origin) {
            Some((_, count)) => *count += 1,
            None => counts.push((origin, 1)),
        }
    }
    let most = counts.iter().map(|(_, count)| *count).max()?;
    counts
        .into_iter()
        .find(|(_, count)| *count == most)
        .map(|(origin, _)| origin)
}

fn is_file(entry: &Entry) -> bool {
    let kind = entry.response.content.mime_type.to_lowercase();
    FILES.iter().any(|files| kind.starts_with(files))
}

fn request(entry: Entry, path: &str, left_out: &mut Vec<String>) -> Request {
    let Entry {
        request: sent,
        response,
    } = entry;
    let mut headers = Vec::new();
    for Pair { name, value } in sent.headers {
        let name = name.to_lowercase();
        if name == "cookie" {
            left_out.push(format!("the cookies of {} {path}", sent.method));
        }
        let is_own = name.starts_with(':') || name.starts_with("sec-") || OF_THE_BROWSER.contains(&name.as_str());
        if !is_own {
            headers.push((name, literal(&value)));
        }
    }
    let mut request = Request {
        method: sent.method.to_uppercase(),
        path: literal(path),
        headers,
        status: (!(200..=299).contains(&response.status)).then_some(response.status),
        ..Request::default()
    };
    if let Some(data) = sent.post_data {
        match data.as_sent() {
            Some(text) if !text.is_empty() => request.carry(&text, &data.mime_type),
            Some(_) => {}
            None => left_out.push(format!(
                "the body of {} {path}, whose files the HAR file does not have",
                sent.method
            )),
        }
    }
    request
}

impl PostData {
    /// The text of the body; of a form in several parts, which has files, only where it was written down.
    fn as_sent(&self) -> Option<Cow<'_, str>> {
        if !self.text.is_empty() || self.params.is_empty() {
            return Some(Cow::Borrowed(&self.text));
        }
        if !self.mime_type.starts_with(FORM) || self.params.iter().any(|field| field.file_name.is_some()) {
            return None;
        }
        let mut form = form_urlencoded::Serializer::new(String::new());
        for Field { name, value, .. } in &self.params {
            form.append_pair(name, value);
        }
        Some(Cow::Owned(form.finish()))
    }
}

impl Content {
    fn json(&self) -> Option<Value> {
        let text = self.text.as_deref()?;
        match self.encoding.as_deref() {
            Some("base64") => serde_json::from_slice(&STANDARD.decode(text).ok()?).ok(),
            _ => serde_json::from_str(text).ok(),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{super::Body, super::tests::read_back, *};

    fn entry(method: &str, url: &str, body: Option<&str>, mime: &str, answer: &str) -> Value {
        json!({
            "request": {
                "method": method,
                "url": url,
                "headers": [
                    {"name": ":authority", "value": "shop.test"},
                    {"name": "User-Agent", "value": "Mozilla/5.0"},
                    {"name": "Accept", "value": "application/json"},
                    {"name": "Cookie", "value": "s=1"},
                    {"name": "Authorization", "value": "Bearer token-of-ada"},
                ],
                "postData": body.map(|text| json!({"mimeType": "application/json", "text": text})),
            },
            "response": {"status": 200, "content": {"mimeType": mime, "text": answer}},
        })
    }

    /// Log in, look at the page's files, fill a cart and look at it.
    fn shop() -> String {
        let mut login = entry(
            "POST",
            "http://shop.test/login",
            Some(r#"{"user":"ada"}"#),
            "application/json",
            "",
        );
        login["request"]["headers"] = json!([]);
        // {"token":"token-of-ada"}, as Chromium writes what it takes for bytes.
        let answer = STANDARD.encode(r#"{"token":"token-of-ada"}"#);
        let content = json!({"mimeType": "application/json", "encoding": "base64", "text": answer});
        login["response"]["content"] = content;
        let entries = vec![
            login,
            entry(
                "GET",
                "http://shop.test/app.js",
                None,
                "text/javascript; charset=utf-8",
                "x",
            ),
            entry("GET", "https://counter.test/hit", None, "text/plain", ""),
            entry(
                "POST",
                "http://shop.test/carts",
                Some(r#"{"item":"pear"}"#),
                "application/json",
                r#"{"id":1234}"#,
            ),
            entry(
                "GET",
                "http://shop.test/carts/1234?full=1",
                None,
                "application/json",
                "{}",
            ),
            entry("POST", "http://shop.test/form", Some("a=1"), "application/json", "{}"),
        ];
        json!({"log": {"version": "1.2", "entries": entries}}).to_string()
    }

    #[test]
    fn a_session_keeps_its_order_and_what_comes_back_is_a_variable() {
        let imported = from_har(&shop()).unwrap();
        assert_eq!(imported.origin.as_deref(), Some("http://shop.test"));
        let workload = read_back(&imported);
        assert_eq!(
            workload.endpoint_names(),
            ["post_login", "post_carts", "get_carts_1234", "post_form"]
        );
        assert_eq!(workload.journeys.len(), 1);
        let [login, carts, cart, _] = &imported.requests[..] else {
            panic!("four requests")
        };
        assert_eq!(login.extract, [("token".to_owned(), "/token".to_owned())]);
        assert!(
            carts
                .headers
                .contains(&("authorization".to_owned(), "Bearer {token}".to_owned())),
            "{carts:?}"
        );
        assert_eq!(cart.path, "/carts/{post_carts_id}?full=1");
        let names: Vec<&str> = cart.headers.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["accept", "authorization"]);
    }

    /// Bodies as the browsers write them: the text, or the fields alone.
    #[test]
    fn forms_and_texts_are_sent_as_they_were() {
        let post = |path: &str, data: Value| {
            let mut entry = entry("POST", &format!("http://shop.test{path}"), None, "text/html", "");
            entry["request"]["postData"] = data;
            entry
        };
        let params = json!([{"name": "a", "value": "1 2"}, {"name": "b"}]);
        let file = json!([{"name": "a", "fileName": "cat.png"}]);
        let entries = [
            post("/text", json!({"mimeType": FORM, "text": "a=1+2&b=", "params": params})),
            post("/fields", json!({"mimeType": FORM, "params": params})),
            post("/xml", json!({"mimeType": "text/xml", "text": "<a>{b}</a>"})),
            post(
                "/file",
                json!({"mimeType": "multipart/form-data; boundary=x", "params": file}),
            ),
        ];
        let imported = from_har(&json!({"log": {"entries": entries}}).to_string()).unwrap();
        read_back(&imported);
        let bodies: Vec<String> = imported
            .requests
            .iter()
            .map(|request| request.body.as_ref().map_or_else(String::new, Body::line))
            .collect();
        let form = "body_form = { \"a\" = \"1 2\", \"b\" = \"\" }\n";
        assert_eq!(bodies, [form, form, "body_text = \"<a>{{b}}</a>\"\n", ""]);
        let kept = ("content-type".to_owned(), "text/xml".to_owned());
        assert!(imported.requests[2].headers.contains(&kept));
        let left_out = imported.left_out.join("\n");
        assert!(left_out.contains("the body of POST /file, whose files"), "{left_out}");
    }

    #[test]
    fn what_is_left_out_is_named() {
        let left_out = from_har(&shop()).unwrap().left_out.join("\n");
        for part in [
            "1 requests to https://counter.test",
            "1 requests for scripts",
            "the cookies of POST /carts",
        ] {
            assert!(left_out.contains(part), "{part}: {left_out}");
        }
    }

    #[test]
    fn what_is_no_har_file_is_said() {
        assert!(from_har("{}").unwrap_err().contains("this is no HAR file"));
        assert!(
            from_har(r#"{"log":{"entries":[]}}"#)
                .unwrap_err()
                .contains("no request")
        );
    }
}
