//! A load without a workload file: one request, given on the command line as people know it from curl and from other
//! generators. It becomes the text of a workload, so that the same checks hold for it.

use std::{fs, path::Path, str::FromStr};

use clap::Args;
use measure::{
    figures::us_to_ms,
    histogram::MAX_US,
    record::{ALL_ENDPOINTS, Limit, Priority},
    targets::TargetSpec,
};
use scenarios::{Workload, toml_text};
use serde_json::Value;
use url::Url;

use crate::{
    arguments::positive,
    error::HarnessError,
    import::{literal, literal_json, toml_value},
    subject::SubjectSpec,
};

/// Stands for the file in messages.
const NO_FILE: &str = "the command line";
/// Name of the request in records.
const NAME: &str = "request";

/// One request instead of a workload file.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "One request instead of a workload file")]
pub(crate) struct RequestArgs {
    /// Path of the request, with its query; that of the URL where one is given
    #[arg(long, value_name = "PATH", conflicts_with = "workload")]
    path: Option<String>,
    /// A header; may be repeated
    #[arg(short = 'H', long, value_name = "NAME: VALUE", conflicts_with = "workload")]
    header: Vec<Header>,
    /// Method [default: GET, with a body POST]
    #[arg(short = 'X', long, value_name = "METHOD", conflicts_with = "workload")]
    method: Option<String>,
    /// A JSON body, or @FILE to read it from a file
    #[arg(long, value_name = "JSON", conflicts_with_all = ["workload", "body"])]
    json: Option<String>,
    /// Any other body, or @FILE for the bytes of a file; its content type is a header [default: text/plain, of a file
    /// application/octet-stream]
    #[arg(long, value_name = "TEXT", conflicts_with = "workload")]
    body: Option<String>,
    /// Statuses that are as expected, separated by commas [default: 200 to 299]
    #[arg(long, value_name = "STATUS", value_delimiter = ',', conflicts_with = "workload")]
    expect_status: Vec<u16>,
}

/// Targets instead of a targets file, on the whole mix.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct LimitArgs {
    /// Instead of a targets file: p95 of all requests below so many milliseconds, at most 60,000
    #[arg(long, value_name = "MS", value_parser = told_apart, conflicts_with = "targets")]
    p95_ms: Option<f64>,
    /// Instead of a targets file: fewer failed requests than this share, e.g. 0.1%
    #[arg(long, value_name = "SHARE", value_parser = share, conflicts_with = "targets")]
    error_rate: Option<f64>,
}

/// `NAME: VALUE`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Header {
    name: String,
    value: String,
}

impl FromStr for Header {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, value) = text
            .split_once(':')
            .ok_or_else(|| format!("`{text}` is no header; write \"NAME: VALUE\""))?;
        Ok(Self {
            name: name.trim().to_owned(),
            value: value.trim().to_owned(),
        })
    }
}

/// A subject as named on the command line, and the path of its address, where it was given as people copy it from a
/// browser.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Addressed {
    pub(crate) spec: SubjectSpec,
    pub(crate) path: Option<String>,
}

impl FromStr for Addressed {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if !["http://", "https://"].iter().any(|scheme| text.starts_with(scheme)) {
            return text.parse().map(|spec| Self { spec, path: None });
        }
        let url = Url::parse(text).map_err(|error| format!("`{text}` is no address: {error}"))?;
        let path = url
            .query()
            .map_or_else(|| url.path().to_owned(), |query| format!("{}?{query}", url.path()));
        let mut origin = url;
        origin.set_path("");
        origin.set_query(None);
        origin.set_fragment(None);
        let spec = format!("url:{}", origin.as_str().trim_end_matches('/')).parse()?;
        Ok(Self { spec, path: Some(path) })
    }
}

impl RequestArgs {
    /// The workload that the command line stands for; `path` is that of an address.
    ///
    /// # Errors
    /// [`HarnessError::Usage`] without a path, and for what no workload could say.
    pub(crate) fn workload(&self, path: Option<&str>, blocks: u32) -> Result<Workload, HarnessError> {
        let Some(path) = self.path.as_deref().or(path) else {
            return Err(HarnessError::usage(
                "nothing says which requests to send: give --workload FILE, --path PATH, or the URL of the request",
            ));
        };
        let text = self.text(path, blocks)?;
        Workload::parse(Path::new(NO_FILE), &text).map_err(HarnessError::usage)
    }

    fn text(&self, path: &str, blocks: u32) -> Result<String, HarnessError> {
        let body = self.body_line()?;
        let method = self.method.as_deref().map(str::to_uppercase);
        let method = method.unwrap_or_else(|| if body.is_some() { "POST" } else { "GET" }.to_owned());
        let headers = self
            .header
            .iter()
            .map(|Header { name, value }| format!("{} = {}", toml_text(name), toml_text(&literal(value))));
        let headers: Vec<String> = headers.collect();
        let mut text = format!(
            "name = {}\nblocks = {blocks}\nwarm_up = {{ duration_s = 2 }}\n\
             [endpoints.{NAME}]\nmethod = {}\npath = {}\nheaders = {{ {} }}\n",
            toml_text(&format!("{method} {path}")),
            toml_text(&method),
            toml_text(&literal(path)),
            headers.join(", ")
        );
        if !self.expect_status.is_empty() {
            text.extend([format!("expect_status = {:?}\n", self.expect_status)]);
        }
        if let Some(body) = body {
            text += &body;
        }
        Ok(text)
    }

    fn body_line(&self) -> Result<Option<String>, HarnessError> {
        if let Some(body) = &self.body {
            return Ok(Some(match body.strip_prefix('@') {
                Some(file) => format!("body_file = {}\n", toml_text(file)),
                None => format!("body_text = {}\n", toml_text(&literal(body))),
            }));
        }
        let json = self.json()?;
        Ok(json.map(|json| format!("body = {}\n", toml_value(&literal_json(&json)))))
    }

    fn json(&self) -> Result<Option<Value>, HarnessError> {
        let Some(json) = &self.json else { return Ok(None) };
        let text = match json.strip_prefix('@') {
            Some(file) => {
                fs::read_to_string(file).map_err(|error| HarnessError::Usage(format!("--json: {file}: {error}")))?
            }
            None => json.clone(),
        };
        let body = serde_json::from_str(&text);
        body.map(Some)
            .map_err(|error| HarnessError::Usage(format!("--json: this is no JSON: {error}")))
    }
}

impl LimitArgs {
    /// The targets that the arguments stand for.
    pub(crate) fn targets(&self) -> Vec<TargetSpec> {
        let target = |id: &str, metric: &str, limit: f64| TargetSpec {
            id: id.to_owned(),
            priority: Priority::P0,
            metric: metric.to_owned(),
            endpoint: Some(ALL_ENDPOINTS.to_owned()),
            limit: Limit::Below(limit),
            source: format!("--{}", if id == "p95" { "p95-ms" } else { id }),
            not_yet: None,
        };
        let p95 = self.p95_ms.map(|limit_ms| target("p95", "http.p95_ms", limit_ms));
        let errors = self
            .error_rate
            .map(|share| target("error-rate", "http.error_rate", share));
        p95.into_iter().chain(errors).collect()
    }
}

/// Milliseconds that histograms tell apart.
fn told_apart(text: &str) -> Result<f64, String> {
    let ms = positive(text)?;
    let most_ms = us_to_ms(MAX_US);
    if ms > most_ms {
        return Err(format!("times above {most_ms} ms are not told apart"));
    }
    Ok(ms)
}

/// `0.1%` or `0.001`.
fn share(text: &str) -> Result<f64, String> {
    let (number, unit) = text.strip_suffix('%').map_or((text, 1.0), |percent| (percent, 100.0));
    let share = positive(number.trim())? / unit;
    if share > 1.0 {
        return Err("it must be a share up to 1, or up to 100%".to_owned());
    }
    Ok(share)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        request: RequestArgs,
        #[command(flatten)]
        limits: LimitArgs,
        #[arg(long)]
        workload: Option<String>,
        #[arg(long)]
        targets: Option<String>,
    }

    fn line(words: &[&str]) -> Line {
        Line::try_parse_from([&["x"], words].concat()).unwrap_or_else(|error| panic!("{error}"))
    }

    fn workload(words: &[&str]) -> Workload {
        line(words)
            .request
            .workload(None, 1)
            .unwrap_or_else(|error| panic!("{error}"))
    }

    fn refused(words: &[&str]) -> String {
        line(words).request.workload(None, 1).unwrap_err().to_string()
    }

    #[test]
    fn a_request_is_what_the_command_line_says() {
        let words = [
            "--path",
            "/items?q={x}",
            "-H",
            "Authorization: Bearer a:b",
            "-H",
            "x-empty:",
            "--json",
            r#"{"name": "a \"b\" {c}", "tags": [1.50, null, true], "deep": {"é": []}}"#,
            "--expect-status",
            "200,201",
        ];
        let workload = workload(&words);
        let [request] = &workload.endpoints[..] else {
            panic!("one request")
        };
        assert_eq!(
            (request.method.as_str(), request.expect.status.as_slice()),
            ("POST", &[200, 201][..])
        );
        let vars = workload.new_vars();
        let rendered = |template: &scenarios::Template| {
            let mut text = String::new();
            template.render(&vars, &mut text);
            text
        };
        assert_eq!(rendered(&request.path), "/items?q={x}");
        let headers: Vec<(String, String)> = request
            .headers
            .iter()
            .map(|(name, value)| (name.clone(), rendered(value)))
            .collect();
        assert!(
            headers.contains(&("authorization".to_owned(), "Bearer a:b".to_owned())),
            "{headers:?}"
        );
        assert_eq!(
            (workload.name.as_str(), workload.schedule(false).blocks),
            ("POST /items?q={x}", 1)
        );
        assert_eq!(workload.journeys.len(), 1);
        assert!(request.body.is_some());
    }

    #[test]
    fn the_method_is_that_of_the_body_or_the_one_that_is_given() {
        let method = |words: &[&str]| workload(words).endpoints[0].method.as_str();
        assert_eq!(method(&["--path", "/"]), "GET");
        assert_eq!(method(&["--path", "/", "--json", "{}"]), "POST");
        assert_eq!(method(&["--path", "/", "--json", "{}", "-X", "put"]), "PUT");
    }

    #[test]
    fn a_body_is_a_text_or_a_file() {
        let sent = |words: &[&str]| {
            let workload = workload(&[&["--path", "/"], words].concat());
            let request = &workload.endpoints[0];
            let (mut scratch, mut bytes) = (String::new(), Vec::new());
            let body = request.body.as_ref().unwrap();
            body.render(&workload.new_vars(), &mut scratch, &mut bytes);
            let named = request.headers.iter().find(|(name, _)| name == "content-type");
            let mut shown = String::new();
            named.unwrap().1.render(&workload.new_vars(), &mut shown);
            (request.method.as_str().to_owned(), shown, bytes)
        };
        let post = |kind: &str, bytes: &[u8]| ("POST".to_owned(), kind.to_owned(), bytes.to_vec());
        assert_eq!(
            sent(&["--body", "a {b}\n\"c\""]),
            post("text/plain; charset=utf-8", b"a {b}\n\"c\"")
        );
        let place = tempfile::tempdir().unwrap();
        let file = place.path().join("cat.png");
        fs::write(&file, [0x89, 0xff, 0]).unwrap();
        let file = format!("@{}", file.display());
        assert_eq!(
            sent(&["--body", &file, "-H", "Content-Type: image/png"]),
            post("image/png", &[0x89, 0xff, 0])
        );
    }

    #[test]
    fn what_is_wrong_with_a_request_is_said() {
        assert!(refused(&[]).contains("--path PATH, or the URL"));
        assert!(refused(&["--path", "items"]).contains("path `items` must start with a slash"));
        assert!(refused(&["--path", "/", "-X", "GTE"]).contains("unknown name `GTE`; did you mean `GET`?"));
        assert!(refused(&["--path", "/", "-H", "a b: c"]).contains("is no header name"));
        assert!(refused(&["--path", "/", "--json", "{a"]).contains("--json: this is no JSON"));
        assert!(refused(&["--path", "/", "--json", "@/nonexistent"]).contains("--json: /nonexistent: "));
        assert!(refused(&["--path", "/", "--body", "@/nonexistent"]).contains("cannot read /nonexistent"));
        assert!(Line::try_parse_from(["x", "--path", "/", "--json", "1", "--body", "1"]).is_err());
        assert!(Line::try_parse_from(["x", "--path", "/", "--workload", "w"]).is_err());
        assert!(Line::try_parse_from(["x", "-H", "no colon"]).is_err());
    }

    #[test]
    fn an_address_has_its_path_apart() {
        let addressed = |text: &str| text.parse::<Addressed>().unwrap();
        let items = addressed("http://127.0.0.1:8080/items?limit=5#top");
        assert_eq!(items.spec.to_string(), "url:http://127.0.0.1:8080");
        assert_eq!(items.path.as_deref(), Some("/items?limit=5"));
        assert_eq!(addressed("http://shop.test").path.as_deref(), Some("/"));
        assert_eq!(addressed("git:main:fast").path, None);
        assert!("http://".parse::<Addressed>().is_err());
    }

    #[test]
    fn limits_are_targets_on_all_requests() {
        let targets = line(&["--p95-ms", "20", "--error-rate", "0.1%"]).limits.targets();
        let limits: Vec<(&str, Limit)> = targets
            .iter()
            .map(|target| (target.id.as_str(), target.limit))
            .collect();
        assert_eq!(
            limits,
            [("p95", Limit::Below(20.0)), ("error-rate", Limit::Below(0.001))]
        );
        assert!(LimitArgs::default().targets().is_empty());
        assert_eq!((share("0.5"), share("100 %")), (Ok(0.5), Ok(1.0)));
        for wrong in ["101%", "2", "0", "x%", "-1%"] {
            assert!(share(wrong).is_err(), "{wrong}");
        }
        assert!(told_apart("60001").unwrap_err().contains("not told apart"));
    }
}
