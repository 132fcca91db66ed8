//! The only list of routes, and of what the OpenAPI document tells about them.
//!
//! Around each of them stands one layer ([`guard`]), with handles that are resolved here, at start-up.

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::handler::Handler;
use axum::middleware::from_fn_with_state;
use utoipa::openapi::path::{Operation, PathItem, Paths};
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouter};
use utoipa_axum::routes;

use crate::app::AppState;
use crate::errors::ApiError;
use crate::guard::{RouteGuard, guard};
use crate::openapi;
use crate::routes::{
    auth, cache_admin, claims, dashboard, drivers, health, live, metrics, openapi as document_routes, pricing, risk,
    trips,
};

/// The `route` label of what is on no list, and of methods that a route does not take.
const UNMATCHED: &str = "unmatched";

/// One line per route: each has one method, which its handler's annotation tells with its path.
fn listed() -> Vec<UtoipaMethodRouter<AppState>> {
    vec![
        routes!(auth::token),
        routes!(dashboard::summary),
        routes!(dashboard::trip_activity),
        routes!(dashboard::risk_distribution),
        routes!(dashboard::safety_events),
        routes!(dashboard::claims_overview),
        routes!(dashboard::resource_metrics),
        routes!(drivers::list),
        routes!(drivers::details),
        routes!(drivers::update),
        routes!(drivers::statistics),
        routes!(risk::current),
        routes!(pricing::premium),
        routes!(trips::list),
        routes!(trips::record),
        routes!(claims::report),
        routes!(claims::update),
        routes!(live::watch),
        routes!(cache_admin::stats),
        routes!(cache_admin::flush),
        routes!(cache_admin::warm),
        routes!(cache_admin::verify),
        routes!(health::live),
        routes!(health::ready),
        routes!(metrics::render),
        routes!(document_routes::json),
        routes!(document_routes::page),
    ]
}

/// A route's annotation, as far as its guard needs it.
struct Label {
    method: &'static str,
    path: String,
    operation: String,
    /// For operators: must answer when the service is full.
    is_operational: bool,
}

impl Label {
    fn of(paths: &Paths) -> Option<Self> {
        let (path, item) = paths.paths.iter().next()?;
        let (method, operation) = only_operation(item)?;
        Some(Self {
            method,
            path: path.clone(),
            operation: operation.operation_id.clone().unwrap_or_default(),
            is_operational: operation.tags.iter().flatten().any(|tag| tag == "operations"),
        })
    }
}

fn only_operation(item: &PathItem) -> Option<(&'static str, &Operation)> {
    let methods = [("GET", &item.get), ("POST", &item.post), ("PATCH", &item.patch)];
    methods
        .into_iter()
        .find_map(|(method, operation)| operation.as_ref().map(|operation| (method, operation)))
}

/// The service as axum serves it.
pub fn router(app: AppState) -> Router {
    let guarded = |label: &Label| from_fn_with_state(route_guard(&app, label), guard);
    let mut routes = OpenApiRouter::with_openapi(openapi::base());
    for (schemas, paths, handler) in listed() {
        let handler = match Label::of(&paths) {
            Some(label) => handler.route_layer(guarded(&label)),
            None => handler,
        };
        routes = routes.routes((schemas, paths, handler));
    }
    let (listed, _) = routes.split_for_parts();
    let unmatched = Label {
        method: "any",
        path: UNMATCHED.to_owned(),
        operation: UNMATCHED.to_owned(),
        is_operational: false,
    };
    listed
        .fallback(not_found.layer(guarded(&unmatched)))
        .method_not_allowed_fallback(method_not_allowed.layer(guarded(&unmatched)))
        .with_state(app)
}

fn route_guard(app: &AppState, label: &Label) -> Arc<RouteGuard> {
    let in_flight = if label.is_operational {
        &app.operations_in_flight
    } else {
        &app.in_flight
    };
    Arc::new(RouteGuard {
        metrics: app.metrics.http.route(label.method, &label.path),
        in_flight: Arc::clone(in_flight),
        body_timeout: app.body_timeout,
        timeout: app.request_timeout,
        faults: app.faults.of(&label.operation),
    })
}

/// The OpenAPI document of all routes, as JSON.
pub fn document() -> Bytes {
    let routes = listed()
        .into_iter()
        .fold(OpenApiRouter::with_openapi(openapi::base()), OpenApiRouter::routes);
    let mut document = routes.into_openapi();
    openapi::finish(&mut document);
    // Made of plain values, which always have a JSON form; an empty document would fail every test of it.
    document.to_json().map(Bytes::from).unwrap_or_default()
}

/// The operation ids of all routes, in order of the list.
pub fn operations() -> Vec<String> {
    listed()
        .iter()
        .filter_map(|(_, paths, _)| Label::of(paths))
        .map(|label| label.operation)
        .collect()
}

async fn not_found() -> ApiError {
    ApiError::NotFound("there is no such route")
}

async fn method_not_allowed() -> ApiError {
    ApiError::MethodNotAllowed
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::usecases::Endpoint;

    #[test]
    fn every_route_has_a_method_and_a_name_of_its_own() {
        let operations = operations();
        assert_eq!(operations.len(), listed().len());
        let distinct: HashSet<_> = operations.iter().collect();
        assert_eq!(distinct.len(), operations.len(), "{operations:?}");
    }

    #[test]
    fn cached_endpoints_are_called_as_their_routes() {
        let operations = operations();
        for endpoint in Endpoint::ALL {
            assert!(operations.iter().any(|name| name == endpoint.name()), "{endpoint:?}");
        }
    }
}
