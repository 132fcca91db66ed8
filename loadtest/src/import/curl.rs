//! A curl line, as a browser's network view copies it.

use std::{fs, path::Path};

use base64::{Engine, engine::general_purpose::STANDARD};
use url::{Url, form_urlencoded};

use super::{Imported, Request, body::FORM, literal, split};

/// Redirects that are followed, if any are: as many as a workload allows.
const REDIRECTS: u32 = 20;
/// Flags with a value that say nothing about the request.
const WITH_VALUE: [&str; 12] = [
    "-o",
    "--output",
    "-w",
    "--write-out",
    "-c",
    "--cookie-jar",
    "--connect-timeout",
    "--retry",
    "--retry-delay",
    "--limit-rate",
    "-D",
    "--dump-header",
];
/// Flags without a value that say nothing about the request.
const ALONE: [&str; 22] = [
    "-s",
    "--silent",
    "-S",
    "--show-error",
    "-v",
    "--verbose",
    "-i",
    "--include",
    "-f",
    "--fail",
    "-#",
    "--progress-bar",
    "-N",
    "--no-buffer",
    "--http1.1",
    "-0",
    "--http1.0",
    "-4",
    "-6",
    "--ipv4",
    "--ipv6",
    "--no-progress-meter",
];

/// The request of a line, which may be several lines that end in a backslash.
///
/// # Errors
/// In words, for a line without an address, a quote without its other half, and a flag that is not known.
pub(crate) fn from_curl(line: &str) -> Result<Imported, String> {
    let joined = line.replace("\\\n", " ");
    let words = shlex::split(&joined).ok_or("the curl line has a quote without its other half")?;
    let mut read = Line::default();
    let mut words = words.into_iter().peekable();
    words.next_if(|word| word == "curl");
    while let Some(word) = words.next() {
        read.word(&word, &mut words)?;
    }
    read.finish()
}

#[derive(Default)]
struct Line {
    url: Option<String>,
    method: Option<String>,
    headers: Vec<(String, String)>,
    data: Vec<String>,
    data_in_query: bool,
    timeout_ms: Option<u64>,
    redirects: u32,
    left_out: Vec<String>,
}

impl Line {
    fn word(&mut self, word: &str, rest: &mut impl Iterator<Item = String>) -> Result<(), String> {
        if !word.starts_with('-') {
            self.url = Some(word.to_owned());
            return Ok(());
        }
        // Short flags may stand together, the last of them with its value attached.
        if !word.starts_with("--") && word.len() > 2 {
            let flag = &word[..2];
            if ALONE.contains(&flag) || matches!(flag, "-L" | "-k" | "-G" | "-I") {
                self.flag(flag, &mut std::iter::empty())?;
                return self.word(&format!("-{}", &word[2..]), rest);
            }
            return self.flag(flag, &mut std::iter::once(word[2..].to_owned()).chain(rest));
        }
        match word.split_once('=') {
            Some((flag, value)) => self.flag(flag, &mut std::iter::once(value.to_owned()).chain(rest)),
            None => self.flag(word, rest),
        }
    }

    fn flag(&mut self, flag: &str, rest: &mut dyn Iterator<Item = String>) -> Result<(), String> {
        let mut value = || rest.next().ok_or_else(|| format!("{flag} has no value"));
        match flag {
            "-X" | "--request" => self.method = Some(value()?),
            "--url" => self.url = Some(value()?),
            "-H" | "--header" => self.header(&value()?),
            "-A" | "--user-agent" => self.headers.push(("user-agent".to_owned(), value()?)),
            "-e" | "--referer" => self.headers.push(("referer".to_owned(), value()?)),
            "-b" | "--cookie" => self.headers.push(("cookie".to_owned(), value()?)),
            "-u" | "--user" => {
                let basic = format!("Basic {}", STANDARD.encode(value()?));
                self.headers.push(("authorization".to_owned(), basic));
            }
            "--data-raw" => self.data.push(value()?),
            "-d" | "--data" | "--data-ascii" => {
                // As curl does, which takes a file for lines of a form.
                let text = data(&value()?)?.replace(['\r', '\n', '\0'], "");
                self.data.push(text);
            }
            "--data-binary" => {
                let text = data(&value()?)?;
                self.data.push(text);
            }
            "--json" => {
                let text = data(&value()?)?;
                self.data.push(text);
                self.header("content-type: application/json");
                self.header("accept: application/json");
            }
            "--data-urlencode" => {
                let data = encoded(&value()?);
                self.data.push(data);
            }
            "-G" | "--get" => self.data_in_query = true,
            "-I" | "--head" => self.method = Some("HEAD".to_owned()),
            "-m" | "--max-time" => {
                let text = value()?;
                let seconds: f64 = text
                    .parse()
                    .map_err(|_| format!("{flag} {text}: this is no number of seconds"))?;
                self.timeout_ms = Some(std::time::Duration::try_from_secs_f64(seconds).map_or(0, millis));
            }
            "--compressed" => self.header("accept-encoding: gzip"),
            "-L" | "--location" => self.redirects = REDIRECTS,
            "-k" | "--insecure" => self
                .left_out
                .push(format!("{flag}: whom to trust is said when the load is driven")),
            "-F" | "--form" => {
                let part = value()?;
                self.left_out
                    .push(format!("{flag} {part}: a part of a form with several parts"));
            }
            _ if ALONE.contains(&flag) => {}
            _ if WITH_VALUE.contains(&flag) => drop(value()?),
            _ => {
                return Err(format!(
                    "the curl line has {flag}, which is not known here: leave it out"
                ));
            }
        }
        Ok(())
    }

    fn header(&mut self, text: &str) {
        let (name, value) = text.split_once(':').unwrap_or((text.trim_end_matches(';'), ""));
        let name = name.trim().to_lowercase();
        if self.headers.iter().all(|(given, _)| *given != name) {
            self.headers.push((name, value.trim().to_owned()));
        }
    }

    fn finish(mut self) -> Result<Imported, String> {
        let url = self.url.take().ok_or("the curl line has no address")?;
        let with_scheme = if url.contains("://") {
            url
        } else {
            format!("http://{url}")
        };
        let mut url = Url::parse(&with_scheme).map_err(|error| format!("`{with_scheme}` is no address: {error}"))?;
        let data = (!self.data.is_empty()).then(|| self.data.join("&"));
        let (query, body) = if self.data_in_query { (data, None) } else { (None, data) };
        if let Some(data) = query {
            let query = url
                .query()
                .map_or_else(|| data.clone(), |query| format!("{query}&{data}"));
            url.set_query(Some(&query));
        }
        let method = self
            .method
            .take()
            .unwrap_or_else(|| if body.is_some() { "POST" } else { "GET" }.to_owned());
        let (origin, path) = split(&url);
        let headers = self
            .headers
            .into_iter()
            .filter(|(name, _)| name != "content-length" && name != "host");
        let mut request = Request {
            method: method.to_uppercase(),
            path: literal(&path),
            headers: headers.map(|(name, value)| (name, literal(&value))).collect(),
            timeout_ms: self.timeout_ms.filter(|ms| *ms > 0),
            redirects: self.redirects,
            ..Request::default()
        };
        if let Some(text) = body {
            request.carry(&text, FORM);
        }
        let imported = Imported {
            origin: Some(origin),
            requests: vec![request],
            left_out: self.left_out,
            ..Imported::default()
        };
        Ok(imported.named())
    }
}

/// What is sent for a value of `--data`: itself, or what the file behind an `@` holds.
fn data(value: &str) -> Result<String, String> {
    let Some(file) = value.strip_prefix('@') else {
        return Ok(value.to_owned());
    };
    fs::read_to_string(Path::new(file)).map_err(|error| {
        format!("the body in the file {file}: {error}; a body that is no text is said in the workload, as `body_file`")
    })
}

fn millis(time: std::time::Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// `name=value` with the value encoded; without a name all of it.
fn encoded(text: &str) -> String {
    let encode = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    match text.split_once('=') {
        Some(("", value)) => encode(value),
        Some((name, value)) => format!("{name}={}", encode(value)),
        None => encode(text),
    }
}

#[cfg(test)]
mod tests {
    use super::{super::Body, super::tests::read_back, *};

    fn request(line: &str) -> Request {
        let imported = from_curl(line).unwrap();
        assert_eq!(read_back(&imported).endpoints.len(), 1);
        imported.requests.into_iter().next().unwrap()
    }

    fn header<'r>(request: &'r Request, name: &str) -> Option<&'r str> {
        let found = request.headers.iter().find(|(given, _)| given == name);
        found.map(|(_, value)| value.as_str())
    }

    #[test]
    fn a_line_as_a_browser_copies_it() {
        let line = "curl 'http://shop.test:8080/api/carts?x=1' \\\n  -X 'PUT' \\\n  \
                    -H 'Accept: application/json' -H 'Content-Type: application/json' \\\n  \
                    --data-raw '{\"item\":\"pe{ar}\",\"count\":2}' --compressed";
        let put = request(line);
        assert_eq!((put.method.as_str(), put.path.as_str()), ("PUT", "/api/carts?x=1"));
        let sent = serde_json::json!({"item": "pe{{ar}}", "count": 2});
        assert_eq!(put.body, Some(Body::Json(sent)));
        assert_eq!(header(&put, "accept"), Some("application/json"));
        assert_eq!(
            from_curl(line).unwrap().origin.as_deref(),
            Some("http://shop.test:8080")
        );
    }

    #[test]
    fn every_common_flag_is_understood() {
        assert_eq!(request("curl shop.test/a").method, "GET");
        assert_eq!(request("curl -I shop.test/a").method, "HEAD");
        assert_eq!(request("curl -sSL -XDELETE shop.test/a").method, "DELETE");
        assert_eq!(request("curl --request=patch shop.test").method, "PATCH");
        let json = request("curl --json '{}' shop.test");
        assert_eq!(
            (json.method.as_str(), header(&json, "content-type")),
            ("POST", Some("application/json"))
        );
        assert_eq!(
            header(&request("curl -u ann:secret shop.test"), "authorization"),
            Some("Basic YW5uOnNlY3JldA==")
        );
        assert_eq!(
            header(&request("curl -b a=1 -A me -e there shop.test"), "cookie"),
            Some("a=1")
        );
        assert_eq!(header(&request("curl -A me shop.test"), "user-agent"), Some("me"));
        assert_eq!(
            request("curl -G -d a=1 --data-urlencode 'b=x y' shop.test/s").path,
            "/s?a=1&b=x+y"
        );
        assert_eq!(
            request("curl -m 1.5 -o /dev/null -w '%{http_code}' shop.test").timeout_ms,
            Some(1500)
        );
        assert_eq!(request("curl -L shop.test").redirects, REDIRECTS);
        assert_eq!(header(&request("curl -HX-A:b -H 'X-A: c' shop.test"), "x-a"), Some("b"));
    }

    #[test]
    fn a_body_is_sent_as_curl_sends_it() {
        let form = |line: &str| match request(line).body {
            Some(Body::Form(fields)) => fields,
            other => panic!("{line}: {other:?}"),
        };
        let field = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let login = "curl -d user=ada --data-urlencode 'word=a b&c' shop.test/login";
        assert_eq!(form(login), [field("user", "ada"), field("word", "a b&c")]);
        let text = request("curl --data-binary plain shop.test");
        assert_eq!(
            (text.method.as_str(), header(&text, "content-type")),
            ("POST", Some(FORM))
        );
        assert_eq!(text.body, Some(Body::Text("plain".to_owned())));
    }

    #[test]
    fn a_body_in_a_file_is_read_as_curl_reads_it() {
        let place = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            let path = place.path().join(name);
            fs::write(&path, text).unwrap();
            path.display().to_string()
        };
        let lines = file("lines", "one\ntwo\n");
        let body = |flag: &str| request(&format!("curl {flag} @{lines} -H 'content-type: text/plain' shop.test")).body;
        assert_eq!(body("-d"), Some(Body::Text("onetwo".to_owned())));
        assert_eq!(body("--data-binary"), Some(Body::Text("one\ntwo\n".to_owned())));
        assert_eq!(body("--data-raw"), Some(Body::Text(format!("@{lines}"))));
        let json = file("cart.json", "{\"item\": 1}");
        let sent = request(&format!("curl -d @{json} shop.test")).body;
        assert_eq!(sent, Some(Body::Json(serde_json::json!({"item": 1}))));
    }

    #[test]
    fn what_cannot_be_taken_over_is_named() {
        let left_out = |line: &str| from_curl(line).unwrap().left_out;
        assert!(left_out("curl -k shop.test")[0].contains("whom to trust"));
        assert!(left_out("curl -F a=@b shop.test")[0].contains("a part of a form"));
        for (line, says) in [
            ("curl", "no address"),
            ("curl 'shop.test", "without its other half"),
            ("curl shop.test -H", "-H has no value"),
            ("curl -d @/nonexistent shop.test", "the body in the file /nonexistent: "),
            ("curl --proxy x shop.test", "--proxy, which is not known"),
        ] {
            assert!(from_curl(line).unwrap_err().contains(says), "{line}");
        }
    }
}
