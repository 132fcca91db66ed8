//! Requests: those of the setup and the endpoints of the journeys, with what must come back.

use measure::record::ALL_ENDPOINTS;
use serde_json::Value;
use toml::Spanned;

use super::not_empty;
use crate::body::{BodyTemplate, RawJson};
use crate::expect::{Expect, Expected};
use crate::feeder::Feeder;
use crate::raw::{Named, RawRequest, RawSetup, in_file_order};
use crate::source::Findings;
use crate::template::{Escape, Piece, Template, pieces};
use crate::vars::{Scope, VarNames};
use crate::workload::{Endpoint, Extract, SetupRequest};

/// Long enough for any answer that is worth waiting for, short enough to end within a phase.
const DEFAULT_TIMEOUT_MS: u64 = 10_000;

/// Stands for "anything" where a value is expected.
const ANYTHING: &str = "*";

pub(super) fn setup_requests(
    raw: Named<RawSetup>,
    names: &mut VarNames,
    findings: &mut Findings<'_>,
) -> Vec<SetupRequest> {
    let mut requests = Vec::new();
    for (name, setup) in in_file_order(raw) {
        let (request, extract) = setup.split();
        let request = endpoint(&name, request, &mut Scope { names, findings });
        let extract = in_file_order(extract)
            .iter()
            .map(|(var, pointer)| extracted(var, pointer, names.define(var, findings), findings))
            .collect();
        requests.push(SetupRequest { request, extract });
    }
    requests
}

/// A variable taken from an answer.
pub(super) fn extracted(
    var: &Spanned<String>,
    pointer: &Spanned<String>,
    slot: usize,
    findings: &mut Findings<'_>,
) -> Extract {
    check_pointer(pointer, findings);
    Extract {
        var: var.get_ref().clone(),
        slot,
        pointer: pointer.get_ref().clone(),
    }
}

fn check_pointer(pointer: &Spanned<String>, findings: &mut Findings<'_>) {
    let text = pointer.get_ref();
    findings.require(text.is_empty() || text.starts_with('/'), &pointer.span(), || {
        format!("`{text}` is no JSON pointer: it must start with a slash, like `/{text}`")
    });
}

/// The endpoints of the journeys. Only where versions are followed (`versioned`) can one say which entity it is about.
pub(super) fn endpoints(
    raw: Named<RawRequest>,
    names: &VarNames,
    feeders: &[Feeder],
    versioned: bool,
    findings: &mut Findings<'_>,
) -> Vec<Endpoint> {
    let mut endpoints = Vec::new();
    for (name, request) in in_file_order(raw) {
        findings.require(name.get_ref() != ALL_ENDPOINTS, &name.span(), || {
            format!("an endpoint cannot be called `{ALL_ENDPOINTS}`: that name stands for the whole mix")
        });
        if let Some(entity) = request.entity.as_ref().filter(|_| !versioned) {
            let hint = "add a table `[consistency]` with `bound_ms`".to_owned();
            findings.add(
                &entity.span(),
                "`entity` says whose versions to follow, but nothing follows them",
                Some(hint),
            );
        }
        let mut endpoint = endpoint(&name, request, &mut Scope { names, findings });
        endpoint.feeders = used_feeders(&endpoint, feeders);
        endpoints.push(endpoint);
    }
    endpoints
}

/// Feeders (by index) of which the endpoint uses a variable.
fn used_feeders(endpoint: &Endpoint, feeders: &[Feeder]) -> Vec<usize> {
    let used: Vec<usize> = endpoint.slots().collect();
    let drawn = feeders.iter().enumerate();
    drawn
        .filter(|(_, feeder)| feeder.slots.iter().any(|slot| used.contains(slot)))
        .map(|(index, _)| index)
        .collect()
}

fn endpoint(name: &Spanned<String>, raw: RawRequest, scope: &mut Scope<'_, '_>) -> Endpoint {
    Endpoint {
        name: not_empty("name", name, scope.findings),
        method: raw.method,
        path: path(&raw.path, scope),
        headers: headers(raw.headers, raw.body.is_some(), scope),
        body: raw.body.map(|body| BodyTemplate::compile(&body, scope)),
        expect: Expect {
            status: expect_status(raw.expect_status, scope.findings),
            headers: expect_headers(raw.expect_headers, scope),
            json: expect_json(raw.expect_json, scope),
        },
        write: raw.write,
        entity: raw
            .entity
            .map(|entity| Template::compile(&entity, Escape::Nothing, scope)),
        timeout_ms: timeout_ms(raw.timeout_ms.as_ref(), scope.findings),
        feeders: Vec::new(),
    }
}

fn expect_headers(raw: Named<Spanned<RawJson>>, scope: &mut Scope<'_, '_>) -> Vec<(String, Expected)> {
    let entries = in_file_order(raw).into_iter();
    entries
        .filter_map(|(name, value)| {
            scope.findings.require(is_token(name.get_ref()), &name.span(), || {
                format!("`{name}` is no header name")
            });
            Some((name.get_ref().to_ascii_lowercase(), expected(&value, scope)?))
        })
        .collect()
}

fn expect_json(raw: Named<Spanned<RawJson>>, scope: &mut Scope<'_, '_>) -> Vec<(String, Expected)> {
    let entries = in_file_order(raw).into_iter();
    entries
        .filter_map(|(pointer, value)| {
            check_pointer(&pointer, scope.findings);
            Some((pointer.into_inner(), expected(&value, scope)?))
        })
        .collect()
}

/// `"*"` is anything, `"{var}"` the value of a variable, everything else itself.
fn expected(raw: &Spanned<RawJson>, scope: &mut Scope<'_, '_>) -> Option<Expected> {
    let at = raw.span();
    match raw.get_ref() {
        RawJson::Scalar(value) => Some(Expected::Is(value.clone())),
        RawJson::Text(text) if text == ANYTHING => Some(Expected::Present),
        RawJson::Text(text) => match &pieces(text, &at, scope)[..] {
            [Piece::Var(name)] => scope.slot(name, &at).map(Expected::Var),
            [Piece::Text(text)] => Some(Expected::Is(Value::String(text.clone()))),
            [] => Some(Expected::Is(Value::String(String::new()))),
            _ => {
                let hint = "write the whole value, or `\"{var}\"`".to_owned();
                scope
                    .findings
                    .add(&at, "a variable inside a longer text cannot be expected", Some(hint));
                None
            }
        },
        RawJson::List(_) | RawJson::Table(_) => {
            let hint = "point at a field inside it".to_owned();
            scope
                .findings
                .add(&at, "only a text, number or boolean can be expected", Some(hint));
            None
        }
    }
}

fn path(raw: &Spanned<String>, scope: &mut Scope<'_, '_>) -> Template {
    check_path(raw, scope.findings);
    Template::compile(raw, Escape::Path, scope)
}

/// What can stand in the first line of a request.
pub(super) fn check_path(raw: &Spanned<String>, findings: &mut Findings<'_>) {
    let text = raw.get_ref();
    findings.require(text.starts_with('/'), &raw.span(), || {
        format!("path `{text}` must start with a slash")
    });
    let printable = text.chars().all(|c| c.is_ascii_graphic());
    findings.require(printable, &raw.span(), || {
        format!("path `{text}` must be printable ASCII without spaces: percent-encode everything else")
    });
}

/// How the message is delimited is not a workload's to say.
const OF_THE_MESSAGE: [&str; 2] = ["content-length", "transfer-encoding"];

fn headers(raw: Named<Spanned<String>>, has_body: bool, scope: &mut Scope<'_, '_>) -> Vec<(String, Template)> {
    let mut headers: Vec<(String, Template)> = Vec::new();
    for (name, value) in in_file_order(raw) {
        let lower = name.get_ref().to_ascii_lowercase();
        let given_before = headers.iter().any(|(given, _)| *given == lower);
        scope.findings.require(!given_before, &name.span(), || {
            format!("header `{lower}` is given twice")
        });
        scope
            .findings
            .require(is_token(&lower), &name.span(), || format!("`{name}` is no header name"));
        scope
            .findings
            .require(!OF_THE_MESSAGE.contains(&lower.as_str()), &name.span(), || {
                format!("header `{lower}` follows from the body: leave it out")
            });
        headers.push((lower, Template::compile(&value, Escape::Nothing, scope)));
    }
    if has_body && headers.iter().all(|(name, _)| name != "content-type") {
        headers.push(("content-type".to_owned(), Template::literal("application/json")));
    }
    headers
}

/// RFC 9110, section 5.6.2.
pub(super) fn is_token(name: &str) -> bool {
    !name.is_empty()
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}

fn expect_status(raw: Option<Spanned<Vec<Spanned<u16>>>>, findings: &mut Findings<'_>) -> Vec<u16> {
    let Some(codes) = raw else { return vec![200] };
    findings.require(!codes.get_ref().is_empty(), &codes.span(), || {
        "`expect_status` is empty: every answer would count as an error".to_owned()
    });
    for code in codes.get_ref() {
        findings.require((100..=599).contains(code.get_ref()), &code.span(), || {
            format!("{code} is no HTTP status: they go from 100 to 599")
        });
    }
    codes.into_inner().into_iter().map(Spanned::into_inner).collect()
}

fn timeout_ms(raw: Option<&Spanned<u64>>, findings: &mut Findings<'_>) -> u64 {
    let Some(timeout_ms) = raw else {
        return DEFAULT_TIMEOUT_MS;
    };
    findings.require(*timeout_ms.get_ref() > 0, &timeout_ms.span(), || {
        "`timeout_ms` is 0: it must be 1 or more".to_owned()
    });
    *timeout_ms.get_ref()
}
