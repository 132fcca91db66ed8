//! Requests: those of the setup and the endpoints of the journeys, with what must come back.

use measure::record::ALL_ENDPOINTS;
use serde::Deserialize;
use toml::Spanned;

use crate::body::RawJson;
use crate::expect::{self, Expect, RawSize, RawStatus};
use crate::extract::{self, Extract, RawExtract};
use crate::feeder::Feeder;
use crate::http::RawHttp;
use crate::pattern::Pattern;
use crate::payload::{Body, RawBody, RawForm, RawMultipart};
use crate::source::{Findings, Named, named};
use crate::syntax::{check_header_name, check_path};
use crate::template::{Form, Template};
use crate::vars::{Scope, VarNames};

/// Long enough for any answer that is worth waiting for, short enough to end within a phase.
const DEFAULT_TIMEOUT_MS: u64 = 10_000;

/// Nobody waits longer for an answer.
const MAX_TIMEOUT_MS: u64 = 3_600_000;

/// As many as browsers follow: more lead in a circle.
const MAX_REDIRECTS: u32 = 20;

/// HTTP method.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Method {
    /// The default.
    #[default]
    Get,
    /// `HEAD`
    Head,
    /// `POST`
    Post,
    /// `PUT`
    Put,
    /// `PATCH`
    Patch,
    /// `DELETE`
    Delete,
}

impl Method {
    /// As it stands on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
        }
    }

    /// Whether sending it twice is meant to have the effect of sending it once (RFC 9110, section 9.2.2).
    pub fn is_idempotent(self) -> bool {
        !matches!(self, Self::Post | Self::Patch)
    }
}

/// A request by name, and the expectations of its answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Endpoint {
    /// The name under which it is counted.
    pub name: String,
    /// Method.
    pub method: Method,
    /// Path and query, percent-encoded when rendered; starts with a slash.
    pub path: Template,
    /// Headers by lower-case name. The content type of a body is among them unless the file gives its own, and so are
    /// the workload's credentials.
    pub headers: Vec<(String, Template)>,
    /// Body.
    pub body: Option<Body>,
    /// Expectations of the answer.
    pub expect: Expect,
    /// Whether it changes data.
    pub write: bool,
    /// Which entity's version the answer carries, e.g. `driver:42`; only with [`crate::Workload::consistency`].
    pub entity: Option<Template>,
    /// Redirects that are followed at most; with none a redirect is an answer like others.
    pub redirects: u32,
    /// Milliseconds after which the request counts as an error.
    pub timeout_ms: u64,
    /// Variables taken from each answer, wherever it is requested, for who follows its writes: no request uses them.
    pub extract: Vec<Extract>,
    /// Feeders (by index) whose variables it uses, in the order of the file.
    pub feeders: Vec<usize>,
}

impl Endpoint {
    /// The variables it uses.
    pub(crate) fn slots(&self) -> impl Iterator<Item = usize> {
        let headers = self.headers.iter().map(|(_, value)| value);
        let templates = headers.chain([&self.path]).chain(&self.entity);
        let in_body = self.body.iter().flat_map(Body::slots);
        templates
            .flat_map(Template::slots)
            .chain(in_body)
            .chain(self.expect.slots())
    }
}

/// A request that is sent once before the load, and what is kept of its answer.
#[derive(Debug, Clone, PartialEq)]
pub struct SetupRequest {
    /// The request. It may use what earlier setup requests extracted, but no feeder.
    pub request: Endpoint,
    /// Variables taken from the answer, for all users.
    pub extract: Vec<Extract>,
}

/// A request as it is written, of the setup or of the journeys: serde cannot both share fields and deny unknown keys.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawRequest {
    #[serde(default)]
    method: Method,
    path: Spanned<String>,
    #[serde(default, deserialize_with = "named")]
    headers: Named<Spanned<String>>,
    body: Option<Spanned<RawJson>>,
    body_form: Option<Spanned<RawForm>>,
    body_text: Option<Spanned<String>>,
    body_file: Option<Spanned<String>>,
    body_multipart: Option<Spanned<RawMultipart>>,
    expect_status: RawStatus,
    #[serde(default, deserialize_with = "named")]
    expect_headers: Named<Spanned<RawJson>>,
    #[serde(default, deserialize_with = "named")]
    expect_json: Named<Spanned<RawJson>>,
    expect_text: Option<Spanned<String>>,
    expect_regex: Option<Spanned<String>>,
    expect_bytes: Option<Spanned<RawSize>>,
    /// None are followed when absent.
    redirects: Option<Spanned<u32>>,
    timeout_ms: Option<Spanned<u64>>,
    /// Of the journeys' requests alone.
    write: Option<Spanned<bool>>,
    /// Of the journeys' requests alone.
    entity: Option<Spanned<String>>,
    /// Of an endpoint, for who follows its writes.
    #[serde(default, deserialize_with = "named")]
    extract: Named<Spanned<RawExtract>>,
}

pub(crate) fn check_setup(
    raw: Named<RawRequest>,
    http: &RawHttp,
    names: &mut VarNames,
    findings: &mut Findings<'_>,
) -> Vec<SetupRequest> {
    let mut requests = Vec::new();
    for (name, mut raw) in raw {
        let write = raw.write.as_ref().map(|write| ("write", write.span()));
        let entity = raw.entity.as_ref().map(|entity| ("entity", entity.span()));
        for (key, at) in write.into_iter().chain(entity) {
            findings.add(
                &at,
                format!("`{key}` is for endpoints: a setup request is not counted"),
                None,
            );
        }
        let extract = std::mem::take(&mut raw.extract);
        let known = http.is_known(|var| names.slot(var).is_some());
        let request = raw.check(&name, Some(http).filter(|_| known), &mut Scope { names, findings });
        let extract = extract.iter().map(|(var, place)| {
            let slot = names.define(var, findings);
            Extract::check(var, place, slot, findings)
        });
        let extract = extract.collect();
        requests.push(SetupRequest { request, extract });
    }
    requests
}

/// Only where versions are followed (`versioned`) can an endpoint say which entity it is about.
pub(crate) fn check_endpoints(
    raw: Named<RawRequest>,
    http: &RawHttp,
    names: &VarNames,
    feeders: &[Feeder],
    versioned: bool,
    findings: &mut Findings<'_>,
) -> Vec<Endpoint> {
    let check = |(name, mut raw): (Spanned<String>, RawRequest)| {
        findings.require(name.get_ref() != ALL_ENDPOINTS, &name.span(), || {
            format!("an endpoint cannot be called `{ALL_ENDPOINTS}`: that name stands for the whole mix")
        });
        if let Some(entity) = raw.entity.as_ref().filter(|_| !versioned) {
            let what = "`entity` says whose versions to follow, but nothing follows them";
            let hint = "add a table `[consistency]` with `bound_ms`".to_owned();
            findings.add(&entity.span(), what, Some(hint));
        }
        let extract = std::mem::take(&mut raw.extract);
        let mut endpoint = raw.check(&name, Some(http), &mut Scope { names, findings });
        endpoint.extract = extract::of_answers(&extract, names, findings);
        endpoint.feeders = used_feeders(&endpoint, feeders);
        check_header_values(&endpoint, &name, feeders, findings);
        endpoint
    };
    raw.into_iter().map(check).collect()
}

/// What no header can hold (RFC 9110, section 5.5).
fn is_unfit(c: char) -> bool {
    c.is_control() && c != '\t'
}

/// Rows of files may hold what no header can.
fn check_header_values(endpoint: &Endpoint, name: &Spanned<String>, feeders: &[Feeder], findings: &mut Findings<'_>) {
    for (header, value) in &endpoint.headers {
        let used = value
            .slots()
            .flat_map(|slot| feeders.iter().map(move |feeder| (slot, feeder)));
        for row in used.filter_map(|(slot, feeder)| feeder.row_with(slot, is_unfit)) {
            let what = format!(
                "header `{header}`: row {row} of its file has a line break or a control character, which no header can \
                 hold"
            );
            findings.add(&name.span(), what, None);
        }
    }
}

/// Feeders (by index) of which the endpoint uses a variable.
fn used_feeders(endpoint: &Endpoint, feeders: &[Feeder]) -> Vec<usize> {
    feeders_of(&endpoint.slots().collect::<Vec<_>>(), feeders)
}

/// Feeders (by index) that set one of `used`.
pub(crate) fn feeders_of(used: &[usize], feeders: &[Feeder]) -> Vec<usize> {
    let is_used = |feeder: &Feeder| feeder.slots.iter().any(|slot| used.contains(slot));
    let drawn = feeders.iter().enumerate();
    drawn
        .filter(|(_, feeder)| is_used(feeder))
        .map(|(index, _)| index)
        .collect()
}

impl RawRequest {
    /// Variables that are taken from its answers.
    pub(crate) fn extracted(&self) -> impl Iterator<Item = &Spanned<String>> {
        self.extract.iter().map(|(var, _)| var)
    }

    /// The request without its feeders, with the credentials of `http`.
    fn check(self, name: &Spanned<String>, http: Option<&RawHttp>, scope: &mut Scope<'_, '_>) -> Endpoint {
        check_path(&self.path, scope.findings);
        let timeout_ms = self.timeout_ms.as_ref();
        let body = RawBody {
            json: self.body,
            form: self.body_form,
            text: self.body_text,
            file: self.body_file,
            multipart: self.body_multipart,
        };
        let (body, content_type) = body.check(scope).unzip();
        let mut headers = headers(self.headers, content_type.as_deref(), scope);
        if headers.iter().all(|(name, _)| name != "authorization") {
            let credentials = http.and_then(|http| http.authorization(scope));
            headers.extend(credentials.map(|value| ("authorization".to_owned(), value)));
        }
        Endpoint {
            name: scope.findings.not_empty("name", name),
            method: self.method,
            path: Template::compile_path(&self.path, scope),
            headers,
            body,
            expect: Expect {
                status: expect::check_status(self.expect_status, scope.findings),
                headers: expect::check_headers(self.expect_headers, scope),
                json: expect::check_json(self.expect_json, scope),
                text: self
                    .expect_text
                    .map(|text| Template::compile(&text, Form::Plain, scope)),
                pattern: self
                    .expect_regex
                    .and_then(|regex| Pattern::check(&regex, scope.findings)),
                bytes: self.expect_bytes.map(|size| expect::check_size(&size, scope.findings)),
            },
            write: self.write.is_some_and(Spanned::into_inner),
            entity: self.entity.map(|entity| Template::compile(&entity, Form::Plain, scope)),
            redirects: self.redirects.map_or(0, |redirects| {
                scope
                    .findings
                    .require(*redirects.get_ref() <= MAX_REDIRECTS, &redirects.span(), || {
                        format!("`redirects` is {redirects}: it must be at most {MAX_REDIRECTS}")
                    });
                redirects.into_inner()
            }),
            timeout_ms: timeout_ms.map_or(DEFAULT_TIMEOUT_MS, |timeout_ms| {
                check_timeout("timeout_ms", timeout_ms, scope.findings)
            }),
            extract: Vec::new(),
            feeders: Vec::new(),
        }
    }
}

/// A time under the name `key` that must be above 0, and not longer than an hour.
pub(crate) fn check_timeout(key: &str, timeout_ms: &Spanned<u64>, findings: &mut Findings<'_>) -> u64 {
    findings.require(*timeout_ms.get_ref() <= MAX_TIMEOUT_MS, &timeout_ms.span(), || {
        format!("`{key}` is {timeout_ms}: it must be at most {MAX_TIMEOUT_MS} (an hour)")
    });
    findings.at_least_one(key, timeout_ms)
}

/// Headers that delimit the message: they follow from the body, so a workload cannot give them.
const OF_THE_MESSAGE: [&str; 2] = ["content-length", "transfer-encoding"];

pub(crate) fn headers(
    raw: Named<Spanned<String>>,
    content_type: Option<&str>,
    scope: &mut Scope<'_, '_>,
) -> Vec<(String, Template)> {
    let mut headers: Vec<(String, Template)> = Vec::new();
    for (name, value) in raw {
        let (lower, at) = (check_header_name(&name, scope.findings), name.span());
        let given_before = headers.iter().any(|(given, _)| *given == lower);
        scope
            .findings
            .require(!given_before, &at, || format!("header `{lower}` is given twice"));
        let of_the_message = OF_THE_MESSAGE.contains(&lower.as_str());
        scope.findings.require(!of_the_message, &at, || {
            format!("header `{lower}` follows from the body: leave it out")
        });
        scope
            .findings
            .require(!value.get_ref().contains(is_unfit), &value.span(), || {
                format!("header `{lower}` has a line break or a control character, which no header can hold")
            });
        headers.push((lower, Template::compile(&value, Form::Plain, scope)));
    }
    if headers.iter().all(|(name, _)| name != "content-type") {
        let content_type = content_type.map(Template::literal);
        headers.extend(content_type.map(|value| ("content-type".to_owned(), value)));
    }
    headers
}
