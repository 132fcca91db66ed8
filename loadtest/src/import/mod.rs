//! Requests that are written down elsewhere (an OpenAPI document, a HAR file, a curl line, a list of addresses), as a
//! workload.
//!
//! What belongs here: what all of them become, and its text. Each form has a file of its own. What a form says and a
//! workload cannot is never dropped in silence: it stands among what was left out.

mod body;
mod curl;
mod har;
mod openapi;
mod sessions;
mod urls;

use scenarios::toml_text;
use serde_json::Value;
use url::Url;

use body::Body;
pub(crate) use curl::from_curl;
pub(crate) use har::from_har;
pub(crate) use openapi::from_openapi;
pub(crate) use urls::from_urls;

const CONTENT_TYPE: &str = "content-type";

/// Requests from elsewhere.
#[derive(Debug, Default)]
pub(crate) struct Imported {
    /// Scheme, host and port that they went to, where that is known.
    pub(crate) origin: Option<String>,
    pub(crate) requests: Vec<Request>,
    /// Whether they are one user's, in their order: one journey instead of one each.
    pub(crate) is_session: bool,
    /// What could not be taken over, in words.
    pub(crate) left_out: Vec<String>,
}

/// A request. Its texts are as a workload writes them: braces stand for variables.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Request {
    pub(crate) name: String,
    pub(crate) method: String,
    /// With its query.
    pub(crate) path: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Option<Body>,
    /// The status that is expected, where it is not any of 200 to 299.
    pub(crate) status: Option<u16>,
    pub(crate) timeout_ms: Option<u64>,
    /// How many redirects are followed.
    pub(crate) redirects: u32,
    /// Variables that later requests take from its answer, each with its JSON pointer.
    pub(crate) extract: Vec<(String, String)>,
}

impl Imported {
    /// Gives every request a name that no other has.
    fn named(mut self) -> Self {
        let mut names: Vec<String> = Vec::new();
        for request in &mut self.requests {
            let plain = name(&request.method, &request.path);
            let mut unique = plain.clone();
            let mut number = 2;
            while names.contains(&unique) {
                unique = format!("{plain}_{number}");
                number += 1;
            }
            names.push(unique.clone());
            request.name = unique;
        }
        self
    }

    /// The text of a workload that sends these requests.
    pub(crate) fn workload(&self, name: &str, load: &str) -> String {
        let mut text = format!(
            "# Written by `loadtest init`. docs/WORKLOADS.md describes the format: weights, think times, variables\n\
             # that are drawn anew for each request, what answers must hold.\nname = {}\n\n{load}",
            toml_text(name)
        );
        for line in &self.left_out {
            text.extend([format!("\n# Left out: {}", line.replace('\n', " "))]);
        }
        if !self.left_out.is_empty() {
            text.push('\n');
        }
        for request in &self.requests {
            text += &request.endpoint();
        }
        text + &self.journeys()
    }

    fn journeys(&self) -> String {
        let steps: Vec<(&str, String)> = self
            .requests
            .iter()
            .map(|request| (request.name.as_str(), request.step()))
            .collect();
        if self.is_session {
            let steps: Vec<String> = steps.into_iter().map(|(_, step)| format!("    {step},\n")).collect();
            return format!("\n[journeys.session]\nsteps = [\n{}]\n", steps.concat());
        }
        let journeys = steps
            .into_iter()
            .map(|(name, step)| format!("\n[journeys.{name}]\nsteps = [{step}]\n"));
        journeys.collect()
    }
}

impl Request {
    /// Gives it the body that was sent; `default_type` is its type where no header says one.
    fn carry(&mut self, text: &str, default_type: &str) {
        let said = self.headers.iter().find(|(name, _)| name == CONTENT_TYPE);
        let is_said = said.is_some();
        let body = Body::of(text, said.map_or(default_type, |(_, value)| value));
        // What is neither JSON nor a form would be sent as plain text.
        if !is_said && !default_type.is_empty() && matches!(body, Body::Text(_)) {
            self.headers.push((CONTENT_TYPE.to_owned(), literal(default_type)));
        }
        self.body = Some(body);
    }

    fn endpoint(&self) -> String {
        let mut text = format!("\n[endpoints.{}]\n", self.name);
        if self.method != "GET" {
            text.extend([format!("method = {}\n", toml_text(&self.method))]);
        }
        text.extend([format!("path = {}\n", toml_text(&self.path))]);
        if !self.headers.is_empty() {
            let headers = self.headers.iter();
            let headers: Vec<String> = headers
                .map(|(name, value)| format!("{} = {}", toml_text(name), toml_text(value)))
                .collect();
            text.extend([format!("headers = {{ {} }}\n", headers.join(", "))]);
        }
        if let Some(body) = &self.body {
            text += &body.line();
        }
        if let Some(status) = self.status {
            text.extend([format!("expect_status = [{status}]\n")]);
        }
        if let Some(timeout_ms) = self.timeout_ms {
            text.extend([format!("timeout_ms = {timeout_ms}\n")]);
        }
        if self.redirects > 0 {
            text.extend([format!("redirects = {}\n", self.redirects)]);
        }
        if !matches!(self.method.as_str(), "GET" | "HEAD") {
            text += "write = true\n";
        }
        text
    }

    fn step(&self) -> String {
        let extract: Vec<String> = self
            .extract
            .iter()
            .map(|(var, pointer)| format!("{var} = {}", toml_text(pointer)))
            .collect();
        if extract.is_empty() {
            return format!("{{ endpoint = \"{}\" }}", self.name);
        }
        format!(
            "{{ endpoint = \"{}\", extract = {{ {} }} }}",
            self.name,
            extract.join(", ")
        )
    }
}

/// `get_items_id` of `GET /items/{id}?q=1`.
fn name(method: &str, path: &str) -> String {
    let path = path.split('?').next().unwrap_or_default();
    let words = path
        .split(|c: char| !c.is_ascii_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_lowercase);
    let mut name: Vec<String> = vec![method.to_lowercase()];
    name.extend(words);
    if name.len() == 1 {
        name.push("root".to_owned());
    }
    name.join("_")
}

/// A text in which nothing is a variable.
pub(crate) fn literal(text: &str) -> String {
    text.replace('{', "{{").replace('}', "}}")
}

/// A JSON value in which nothing is a variable.
pub(crate) fn literal_json(value: &Value) -> Value {
    match value {
        Value::String(text) => literal(text).into(),
        Value::Array(items) => items.iter().map(literal_json).collect(),
        Value::Object(entries) => {
            let entries = entries.iter().map(|(key, value)| (key.clone(), literal_json(value)));
            Value::Object(entries.collect())
        }
        other => other.clone(),
    }
}

/// A JSON value as workloads write it; its texts may have variables.
pub(crate) fn toml_value(value: &Value) -> String {
    match value {
        Value::Null => "\"{null}\"".to_owned(),
        Value::Bool(_) | Value::Number(_) => value.to_string(),
        Value::String(text) => toml_text(text),
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(toml_value).collect();
            format!("[{}]", items.join(", "))
        }
        Value::Object(entries) => {
            let entries: Vec<String> = entries
                .iter()
                .map(|(key, value)| format!("{} = {}", toml_text(key), toml_value(value)))
                .collect();
            format!("{{ {} }}", entries.join(", "))
        }
    }
}

/// Scheme, host and port of an address, and its path with the query.
fn split(url: &Url) -> (String, String) {
    let path = url
        .query()
        .map_or_else(|| url.path().to_owned(), |query| format!("{}?{query}", url.path()));
    let mut origin = url.clone();
    origin.set_path("");
    origin.set_query(None);
    origin.set_fragment(None);
    (origin.as_str().trim_end_matches('/').to_owned(), path)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use scenarios::Workload;

    use super::*;

    /// The workload that was written, read back: what it says must be valid.
    pub(super) fn read_back(imported: &Imported) -> Workload {
        let text = imported.workload("imported", "[model.open]\nrate = { constant = { per_s = 10 } }\n");
        Workload::parse(Path::new("w.toml"), &text).unwrap_or_else(|error| panic!("{error}\n{text}"))
    }

    #[test]
    fn names_are_words_of_the_path_and_told_apart() {
        assert_eq!(name("GET", "/items/{id}?q=1"), "get_items_id");
        assert_eq!(name("POST", "/"), "post_root");
        let request = |path: &str| Request {
            method: "GET".to_owned(),
            path: path.to_owned(),
            ..Request::default()
        };
        let imported = Imported {
            requests: vec![request("/a-b"), request("/a/b"), request("/a_b?x")],
            ..Imported::default()
        };
        let imported = imported.named();
        let names: Vec<&str> = imported.requests.iter().map(|request| request.name.as_str()).collect();
        assert_eq!(names, ["get_a_b", "get_a_b_2", "get_a_b_3"]);
        assert_eq!(read_back(&imported).endpoints.len(), 3);
    }

    #[test]
    fn json_is_written_as_workloads_write_it() {
        let value = serde_json::json!({"a": "x {y} \"z\"\n", "b": [1, 2.5, null, true], "c d": {}});
        assert_eq!(
            toml_value(&literal_json(&value)),
            "{ \"a\" = \"x {{y}} \\\"z\\\"\\n\", \"b\" = [1, 2.5, \"{null}\", true], \"c d\" = {  } }"
        );
    }

    #[test]
    fn everything_of_a_request_is_in_the_workload() {
        let imported = Imported {
            requests: vec![Request {
                method: "POST".to_owned(),
                path: "/a?x=1".to_owned(),
                headers: vec![("x-a".to_owned(), "b \"c\"".to_owned())],
                body: Some(Body::Json(serde_json::json!({"n": 1}))),
                status: Some(201),
                timeout_ms: Some(500),
                redirects: 3,
                ..Request::default()
            }],
            left_out: vec!["something".to_owned()],
            ..Imported::default()
        };
        let imported = imported.named();
        let workload = read_back(&imported);
        let endpoint = &workload.endpoints[0];
        assert_eq!(
            (endpoint.method.as_str(), endpoint.write, endpoint.timeout_ms),
            ("POST", true, 500)
        );
        assert_eq!((endpoint.expect.status.as_slice(), endpoint.redirects), (&[201][..], 3));
        assert!(endpoint.body.is_some() && endpoint.headers.iter().any(|(name, _)| name == "x-a"));
        assert!(imported.workload("n", "").contains("# Left out: something"));
    }
}
