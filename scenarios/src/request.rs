//! Requests: those of the setup and the endpoints of the journeys, with what must come back.

use measure::record::ALL_ENDPOINTS;
use serde::Deserialize;
use toml::Spanned;

use crate::body::{self, RawJson};
use crate::expect::{self, Expect, RawStatus};
use crate::extract::Extract;
use crate::feeder::Feeder;
use crate::source::{Findings, Named, named};
use crate::syntax::{check_header_name, check_path};
use crate::template::{Form, Template};
use crate::vars::{Scope, VarNames};

/// Long enough for any answer that is worth waiting for, short enough to end within a phase.
const DEFAULT_TIMEOUT_MS: u64 = 10_000;

/// Nobody waits longer for an answer.
const MAX_TIMEOUT_MS: u64 = 3_600_000;

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
    /// Headers by lower-case name. With a body, `content-type: application/json` is among them unless the file gives
    /// its own.
    pub headers: Vec<(String, Template)>,
    /// JSON body.
    pub body: Option<Template>,
    /// Expectations of the answer.
    pub expect: Expect,
    /// Whether it changes data.
    pub write: bool,
    /// Which entity's version the answer carries, e.g. `driver:42`; only with [`crate::Workload::consistency`].
    pub entity: Option<Template>,
    /// Milliseconds after which the request counts as an error.
    pub timeout_ms: u64,
    /// Feeders (by index) whose variables it uses, in the order of the file.
    pub feeders: Vec<usize>,
}

impl Endpoint {
    /// The variables it uses.
    pub(crate) fn slots(&self) -> impl Iterator<Item = usize> {
        let headers = self.headers.iter().map(|(_, value)| value);
        let templates = headers.chain([&self.path]).chain(&self.body).chain(&self.entity);
        templates.flat_map(Template::slots).chain(self.expect.slots())
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
    expect_status: RawStatus,
    #[serde(default, deserialize_with = "named")]
    expect_headers: Named<Spanned<RawJson>>,
    #[serde(default, deserialize_with = "named")]
    expect_json: Named<Spanned<RawJson>>,
    timeout_ms: Option<Spanned<u64>>,
    /// Of the journeys' requests alone.
    write: Option<Spanned<bool>>,
    /// Of the journeys' requests alone.
    entity: Option<Spanned<String>>,
    /// Of the setup's requests alone.
    #[serde(default, deserialize_with = "named")]
    extract: Named<Spanned<String>>,
}

pub(crate) fn check_setup(
    raw: Named<RawRequest>,
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
        let request = raw.check(&name, &mut Scope { names, findings });
        let extract = extract.iter().map(|(var, pointer)| {
            let slot = names.define(var, findings);
            Extract::check(var, pointer, slot, findings)
        });
        let extract = extract.collect();
        requests.push(SetupRequest { request, extract });
    }
    requests
}

/// Only where versions are followed (`versioned`) can an endpoint say which entity it is about.
pub(crate) fn check_endpoints(
    raw: Named<RawRequest>,
    names: &VarNames,
    feeders: &[Feeder],
    versioned: bool,
    findings: &mut Findings<'_>,
) -> Vec<Endpoint> {
    let check = |(name, raw): (Spanned<String>, RawRequest)| {
        findings.require(name.get_ref() != ALL_ENDPOINTS, &name.span(), || {
            format!("an endpoint cannot be called `{ALL_ENDPOINTS}`: that name stands for the whole mix")
        });
        if let Some((var, _)) = raw.extract.first() {
            let hint = "write it at the step of the journey".to_owned();
            findings.add(&var.span(), "an endpoint has no `extract`", Some(hint));
        }
        if let Some(entity) = raw.entity.as_ref().filter(|_| !versioned) {
            let what = "`entity` says whose versions to follow, but nothing follows them";
            let hint = "add a table `[consistency]` with `bound_ms`".to_owned();
            findings.add(&entity.span(), what, Some(hint));
        }
        let mut endpoint = raw.check(&name, &mut Scope { names, findings });
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
    let used: Vec<usize> = endpoint.slots().collect();
    let is_used = |feeder: &Feeder| feeder.slots.iter().any(|slot| used.contains(slot));
    let drawn = feeders.iter().enumerate();
    drawn
        .filter(|(_, feeder)| is_used(feeder))
        .map(|(index, _)| index)
        .collect()
}

impl RawRequest {
    /// The request without its feeders.
    fn check(self, name: &Spanned<String>, scope: &mut Scope<'_, '_>) -> Endpoint {
        check_path(&self.path, scope.findings);
        let timeout_ms = self.timeout_ms.as_ref();
        Endpoint {
            name: scope.findings.not_empty("name", name),
            method: self.method,
            path: Template::compile_path(&self.path, scope),
            headers: headers(self.headers, self.body.is_some(), scope),
            body: self.body.map(|body| body::compile(&body, scope)),
            expect: Expect {
                status: expect::check_status(self.expect_status, scope.findings),
                headers: expect::check_headers(self.expect_headers, scope),
                json: expect::check_json(self.expect_json, scope),
            },
            write: self.write.is_some_and(Spanned::into_inner),
            entity: self.entity.map(|entity| Template::compile(&entity, Form::Plain, scope)),
            timeout_ms: timeout_ms.map_or(DEFAULT_TIMEOUT_MS, |timeout_ms| {
                check_timeout(timeout_ms, scope.findings)
            }),
            feeders: Vec::new(),
        }
    }
}

fn check_timeout(timeout_ms: &Spanned<u64>, findings: &mut Findings<'_>) -> u64 {
    findings.require(*timeout_ms.get_ref() <= MAX_TIMEOUT_MS, &timeout_ms.span(), || {
        format!("`timeout_ms` is {timeout_ms}: it must be at most {MAX_TIMEOUT_MS} (an hour)")
    });
    findings.at_least_one("timeout_ms", timeout_ms)
}

/// Headers that delimit the message: they follow from the body, so a workload cannot give them.
const OF_THE_MESSAGE: [&str; 2] = ["content-length", "transfer-encoding"];

fn headers(raw: Named<Spanned<String>>, has_body: bool, scope: &mut Scope<'_, '_>) -> Vec<(String, Template)> {
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
    if has_body && headers.iter().all(|(name, _)| name != "content-type") {
        headers.push(("content-type".to_owned(), Template::literal("application/json")));
    }
    headers
}
