//! A client that keeps what came back.

use reqwest::header::HeaderMap;
use serde_json::Value;

use super::Token;

/// Sends requests as somebody.
pub(crate) struct Client {
    http: reqwest::Client,
    url: String,
    token: Option<String>,
}

/// A whole answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl Client {
    pub(crate) fn new(url: &str, token: Option<&Token>) -> Self {
        // No pool: an idle connection would be one more thing to end at a stop.
        let http = reqwest::Client::builder()
            .pool_max_idle_per_host(0)
            // Another package of the workspace switches it on: answers are to be seen as they come.
            .no_gzip()
            .build()
            .expect("a client");
        Self {
            http,
            url: url.to_owned(),
            token: token.map(|token| token.0.clone()),
        }
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(self.http.get(format!("{}{path}", self.url))).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answer {
        self.send(self.http.post(format!("{}{path}", self.url)).json(body))
            .await
    }

    /// With one more header.
    pub(crate) async fn post_with(&self, path: &str, body: &Value, header: &str, value: &str) -> Answer {
        let request = self.http.post(format!("{}{path}", self.url)).json(body);
        self.send(request.header(header, value)).await
    }

    /// A body as it is, under a content type (none when that is empty).
    pub(crate) async fn post_raw(&self, path: &str, content_type: &str, body: impl Into<reqwest::Body>) -> Answer {
        let request = self.http.post(format!("{}{path}", self.url)).body(body);
        let request = if content_type.is_empty() {
            request
        } else {
            request.header("content-type", content_type)
        };
        self.send(request).await
    }

    pub(crate) async fn patch(&self, path: &str, body: &Value) -> Answer {
        self.send(self.http.patch(format!("{}{path}", self.url)).json(body))
            .await
    }

    /// Any method, with or without a body.
    pub(crate) async fn request(&self, method: &str, path: &str, body: Option<&Value>) -> Answer {
        let method = method.parse().expect("a method");
        let request = self.http.request(method, format!("{}{path}", self.url));
        let request = match body {
            Some(body) => request.json(body),
            None => request,
        };
        self.send(request).await
    }

    /// With one more header.
    pub(crate) async fn get_with(&self, path: &str, header: &str, value: &str) -> Answer {
        self.send(self.http.get(format!("{}{path}", self.url)).header(header, value))
            .await
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        self.send(self.http.delete(format!("{}{path}", self.url))).await
    }

    /// As [`Client::post`], to a service that may die meanwhile: then `None`.
    pub(crate) async fn try_post(&self, path: &str, body: &Value) -> Option<Answer> {
        let request = self.http.post(format!("{}{path}", self.url)).json(body);
        self.try_send(request).await.ok()
    }

    async fn send(&self, request: reqwest::RequestBuilder) -> Answer {
        self.try_send(request).await.expect("an answer")
    }

    async fn try_send(&self, request: reqwest::RequestBuilder) -> reqwest::Result<Answer> {
        let request = match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        };
        let response = request.send().await?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Ok(Answer {
            status,
            headers,
            body: response.bytes().await?.into(),
        })
    }
}

impl Answer {
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("text")
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.body
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("not JSON ({error}): {self:?}"))
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .get(name)
            .map(|value| value.to_str().expect("a readable header"))
    }

    /// The `x-cache` header.
    pub(crate) fn tier(&self) -> &str {
        self.header("x-cache").unwrap_or_else(|| panic!("no x-cache: {self:?}"))
    }

    /// The `x-version` header.
    pub(crate) fn version(&self) -> i64 {
        let header = self
            .header("x-version")
            .unwrap_or_else(|| panic!("no x-version: {self:?}"));
        header.parse().expect("a number")
    }

    /// Checks status and form of a problem document (RFC 9457) and gives its detail.
    pub(crate) fn problem(&self, status: u16) -> String {
        assert_eq!(self.status, status, "{self:?}");
        assert_eq!(
            self.header("content-type"),
            Some("application/problem+json"),
            "{self:?}"
        );
        let document = self.json();
        assert_eq!(document["status"], status, "{self:?}");
        assert_eq!(document["request_id"].as_str(), self.header("x-request-id"), "{self:?}");
        let kind = document["type"].as_str().expect("a type");
        assert!(kind.starts_with("urn:insurance-service:problem:"), "{self:?}");
        document["detail"].as_str().expect("a detail").to_owned()
    }
}
