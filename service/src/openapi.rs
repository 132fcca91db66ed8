//! The OpenAPI document: what the handlers say of themselves, and what the layers around them add.
//!
//! A handler's annotation tells its own answers. Refusals follow from its shape (a guarded route refuses without a
//! token, a route with a body refuses what is no JSON), so they are added here by rule, not repeated by hand.

use std::collections::BTreeMap;

use axum::http::StatusCode;
use utoipa::openapi::path::{Operation, Parameter, ParameterBuilder, ParameterIn, PathItem};
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{
    ComponentsBuilder, ContentBuilder, InfoBuilder, OpenApi, OpenApiBuilder, Ref, RefOr, Response, ResponseBuilder,
};
use utoipa::{PartialSchema as _, ToSchema as _};

use crate::errors::Problem;
use crate::usecases::Endpoint;

const PROBLEM_JSON: &str = "application/problem+json";
const DESCRIPTION: &str = "A cached auto-insurance backend. Amounts are in cents, distances in metres, moments in UTC. \
    Answers of cached routes say in `x-cache` where they come from (l1, l2, db, stale, off) and in `x-version` how new \
    they are; a write tells the place of its invalidation in `x-cache-seq`. Nothing is to be stored on the way \
    (`Cache-Control: no-store`); a client that keeps an answer asks with its `ETag`. Refusals are problem documents \
    (RFC 9457).";

/// The document without any route.
pub fn base() -> OpenApi {
    let token = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .bearer_format("JWT")
        .description(Some(
            "From POST /auth/token. /admin needs the role admin; a driver's token reaches its own rows.",
        ))
        .build();
    let components = ComponentsBuilder::new()
        .security_scheme("token", SecurityScheme::Http(token))
        .schema(Problem::name(), Problem::schema())
        .build();
    let info = InfoBuilder::new()
        .title("Insurance service")
        .description(Some(DESCRIPTION))
        .version(env!("CARGO_PKG_VERSION"))
        .build();
    OpenApiBuilder::new().info(info).components(Some(components)).build()
}

/// Adds what the layers around the handlers can answer.
pub fn finish(document: &mut OpenApi) {
    for item in document.paths.paths.values_mut() {
        for operation in operations(item) {
            if is_cached(operation) {
                let parameters = operation.parameters.get_or_insert_default();
                parameters.extend([known_write().into(), known_answer().into()]);
                let same = Response::new("The answer is the one that the client has");
                let responses = &mut operation.responses.responses;
                responses.insert(StatusCode::NOT_MODIFIED.as_str().to_owned(), RefOr::T(same));
            }
            add_refusals(operation);
        }
    }
}

/// The operations of a path; the methods that this service has.
pub fn operations(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    let PathItem { get, post, patch, .. } = item;
    [get, post, patch].into_iter().flatten()
}

fn is_cached(operation: &Operation) -> bool {
    let name = operation.operation_id.as_deref();
    Endpoint::ALL.into_iter().any(|endpoint| Some(endpoint.name()) == name)
}

/// The header that every cached route takes; its extractor is [`Ask`](crate::routes::extract::Ask).
fn known_write() -> Parameter {
    let place = ObjectBuilder::new()
        .schema_type(Type::String)
        .min_length(Some(18))
        .max_length(Some(36))
        .pattern(Some("^[0-9a-f]{16}-[0-9]{1,19}$"));
    ParameterBuilder::new()
        .name("x-cache-seq")
        .parameter_in(ParameterIn::Header)
        .description(Some(
            "The x-cache-seq of a write, on any replica: the answer is not older than it.",
        ))
        .schema(Some(place))
        .build()
}

/// The header by which a client says which answers it has; `encoding` reads it.
fn known_answer() -> Parameter {
    let tags = ObjectBuilder::new()
        .schema_type(Type::String)
        .pattern(Some(r#"^(\*|(W/)?"[!#-~]*"( *, *(W/)?"[!#-~]*")*)$"#));
    ParameterBuilder::new()
        .name("if-none-match")
        .parameter_in(ParameterIn::Header)
        .description(Some(
            "The etags of answers that the client has: 304 without a body if the answer is one of them.",
        ))
        .schema(Some(tags))
        .build()
}

fn add_refusals(operation: &mut Operation) {
    let statuses = refusals(operation);
    let responses = &mut operation.responses.responses;
    for status in statuses {
        responses
            .entry(status.as_str().to_owned())
            .or_insert_with(|| RefOr::T(Response::new(reason(status))));
    }
    give_problems_their_form(responses);
}

/// Refusals before a handler is reached, and around it.
fn refusals(operation: &Operation) -> Vec<StatusCode> {
    let mut statuses = vec![
        StatusCode::URI_TOO_LONG,
        StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
        StatusCode::SERVICE_UNAVAILABLE,
    ];
    if operation.security.is_some() {
        let too_many = StatusCode::TOO_MANY_REQUESTS;
        statuses.extend([StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN, too_many]);
    }
    let parameters = operation.parameters.iter().flatten();
    for parameter in parameters {
        statuses.push(StatusCode::BAD_REQUEST);
        if matches!(parameter, RefOr::T(parameter) if parameter.parameter_in == ParameterIn::Path) {
            statuses.push(StatusCode::NOT_FOUND);
        }
    }
    if operation.request_body.is_some() {
        statuses.extend([
            StatusCode::BAD_REQUEST,
            StatusCode::REQUEST_TIMEOUT,
            StatusCode::PAYLOAD_TOO_LARGE,
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            StatusCode::UNPROCESSABLE_ENTITY,
        ]);
    }
    statuses
}

fn reason(status: StatusCode) -> &'static str {
    status.canonical_reason().unwrap_or("Refused")
}

/// Every refusal that has no body of its own is a problem document.
fn give_problems_their_form(responses: &mut BTreeMap<String, RefOr<Response>>) {
    for (status, response) in responses {
        let refused = status.starts_with(['4', '5']);
        if let RefOr::T(response) = response
            && refused
            && response.content.is_empty()
        {
            *response = problem(&response.description);
        }
    }
}

fn problem(description: &str) -> Response {
    let schema = Ref::from_schema_name(Problem::name());
    let content = ContentBuilder::new().schema(Some(schema)).build();
    ResponseBuilder::new()
        .description(description)
        .content(PROBLEM_JSON, content)
        .build()
}
