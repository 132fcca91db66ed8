//! Who may ask for what.

use std::collections::BTreeSet;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::Ed25519KeyPair;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::support::{App, Client, Scene, Token};

fn credentials(username: &str, password: &str) -> Value {
    json!({"username": username, "password": password})
}

#[tokio::test]
async fn the_seeded_users_get_tokens_that_work() {
    let scene = Scene::new().await;
    let app = scene.app().start().await;
    for (name, password, path) in [
        ("admin", "admin-password", "/admin/dashboard/summary"),
        ("driver1", "driver1-password", "/risk/1/current"),
    ] {
        let answer = app.nobody().post("/auth/token", &credentials(name, password)).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let body = answer.json();
        assert_eq!(
            (&body["token_type"], &body["expires_in_s"]),
            (&json!("Bearer"), &json!(3_600))
        );
        let token = Token(body["access_token"].as_str().expect("a token").to_owned());
        assert_eq!(app.client(&token).get(path).await.status, 200);
    }
    app.stop().await;
    scene.end().await;
}

#[tokio::test]
async fn an_unknown_name_and_a_wrong_password_get_the_same_answer() {
    let scene = Scene::new().await;
    let app = scene.app().start().await;
    let wrong = app
        .nobody()
        .post("/auth/token", &credentials("admin", "guess"))
        .await
        .problem(401);
    let unknown = app
        .nobody()
        .post("/auth/token", &credentials("nobody", "admin-password"))
        .await
        .problem(401);
    assert_eq!(wrong, unknown);
    let impossible = app
        .nobody()
        .post("/auth/token", &credentials("adm\0in", "admin-password"))
        .await
        .problem(401);
    assert_eq!(wrong, impossible);
    app.stop().await;
    scene.end().await;
}

/// A guarded route, asked about driver 1, and what it answers to whom.
struct Route {
    operation: &'static str,
    method: &'static str,
    path: String,
    body: Option<Value>,
    to_admin: u16,
    to_its_driver: u16,
    to_another: u16,
}

fn route(operation: &'static str, method: &'static str, path: &str, to_admin: u16, to_its_driver: u16) -> Route {
    Route {
        operation,
        method,
        path: path.to_owned(),
        body: None,
        to_admin,
        to_its_driver,
        to_another: 403,
    }
}

impl Route {
    /// Open to every driver: what each may see is decided later.
    fn for_all_drivers(self) -> Self {
        Self {
            to_another: self.to_its_driver,
            ..self
        }
    }

    fn with(self, body: Value) -> Self {
        Self {
            body: Some(body),
            ..self
        }
    }

    async fn ask(&self, client: &Client) -> u16 {
        let answer = client.request(self.method, &self.path, self.body.as_ref()).await;
        if answer.status >= 400 {
            answer.problem(answer.status);
        }
        answer.status
    }
}

/// Every guarded route. `claim` is an open claim of driver 1.
fn routes(claim: i64) -> Vec<Route> {
    let trip = json!({"duration_s": 600, "distance_m": 5_000, "night_share_pct": 0, "events": {}});
    let new_claim = json!({"amount_cents": 5_000, "occurred_on": "2026-01-01"});
    vec![
        route("dashboard_summary", "GET", "/admin/dashboard/summary", 200, 403),
        route("trip_activity", "GET", "/admin/dashboard/trip-activity", 200, 403),
        route(
            "risk_distribution",
            "GET",
            "/admin/dashboard/risk-distribution",
            200,
            403,
        ),
        route("safety_events", "GET", "/admin/dashboard/safety-events", 200, 403),
        route("claims_overview", "GET", "/admin/dashboard/claims-overview", 200, 403),
        route("resource_metrics", "GET", "/admin/resources/metrics", 200, 403),
        route("driver_list", "GET", "/admin/drivers", 200, 403),
        route("driver_details", "GET", "/admin/drivers/1", 200, 403),
        route("driver_update", "PATCH", "/admin/drivers/1", 200, 403).with(json!({"name": "Ada Abel"})),
        route("driver_statistics", "GET", "/drivers/1/statistics", 200, 200),
        route("risk_current", "GET", "/risk/1/current", 200, 200),
        route("premium", "GET", "/pricing/1/premium", 200, 200),
        route("driver_trips", "GET", "/drivers/1/trips", 200, 200),
        route("trip_upload", "POST", "/drivers/1/trips", 201, 201).with(trip),
        route("claim_report", "POST", "/drivers/1/claims", 201, 201).with(new_claim),
        route("claim_update", "PATCH", &format!("/claims/{claim}"), 200, 403).with(json!({"amount_cents": 7_000})),
        // A plain request: the handshake is what is missing.
        route("live_events", "GET", "/live", 426, 426).for_all_drivers(),
        route("cache_stats", "GET", "/admin/cache/stats", 200, 403),
        route("cache_flush", "POST", "/admin/cache/flush", 200, 403).with(json!({"driver": 2})),
        route("cache_warm", "POST", "/admin/cache/warm", 202, 403).with(json!({"drivers": 1})),
        route("cache_verify", "POST", "/admin/cache/verify", 200, 403).with(json!({"answers": 1})),
    ]
}

/// What the OpenAPI document says needs a token.
async fn guarded(app: &App) -> BTreeSet<String> {
    let document = app.nobody().get("/openapi.json").await.json();
    let paths = document["paths"].as_object().expect("paths").values();
    paths
        .flat_map(|item| item.as_object().expect("operations").values())
        .filter(|operation| operation.get("security").is_some())
        .map(|operation| operation["operationId"].as_str().expect("a name").to_owned())
        .collect()
}

async fn open_claim(app: &App) -> i64 {
    let claim = json!({"amount_cents": 5_000, "occurred_on": "2026-01-01"});
    let filed = app.driver(1).post("/drivers/1/claims", &claim).await;
    assert_eq!(filed.status, 201, "{filed:?}");
    filed.json()["id"].as_i64().expect("a number")
}

/// Every route with every kind of token. The admin goes first, so that the others meet a warm cache: an answer that is
/// cached must not be served to somebody who may not see it.
async fn matrix(app: &App) {
    let routes = routes(open_claim(app).await);
    let listed: BTreeSet<String> = routes.iter().map(|route| route.operation.to_owned()).collect();
    assert_eq!(
        listed,
        guarded(app).await,
        "the matrix and the OpenAPI document list the same routes"
    );
    for route in &routes {
        let name = route.operation;
        assert_eq!(route.ask(&app.admin()).await, route.to_admin, "{name} as admin");
        assert_eq!(
            route.ask(&app.driver(1)).await,
            route.to_its_driver,
            "{name} as its driver"
        );
        assert_eq!(
            route.ask(&app.driver(2)).await,
            route.to_another,
            "{name} as another driver"
        );
        assert_eq!(route.ask(&app.nobody()).await, 401, "{name} without a token");
        let bad = [
            Token::expired(),
            Token::forged(),
            Token::unsigned(),
            Token("no token at all".to_owned()),
        ];
        for token in bad {
            assert_eq!(route.ask(&app.client(&token)).await, 401, "{name} with {token:?}");
        }
    }
}

#[tokio::test]
async fn every_route_with_every_kind_of_token() {
    let scene = Scene::new().await;
    let app = scene.app().start().await;
    matrix(&app).await;
    app.stop().await;
    scene.end().await;
}

#[tokio::test]
async fn the_same_without_a_cache() {
    let scene = Scene::new().await;
    let app = scene.app().profile("phase1").start().await;
    for route in routes(open_claim(&app).await) {
        // What orders something of a cache that is off is told so, but only by an administrator.
        let orders = route.operation.starts_with("cache_") && route.operation != "cache_stats";
        let to_admin = if orders { 409 } else { route.to_admin };
        assert_eq!(route.ask(&app.admin()).await, to_admin, "{}", route.operation);
        assert_eq!(
            route.ask(&app.driver(1)).await,
            route.to_its_driver,
            "{}",
            route.operation
        );
        assert_eq!(route.ask(&app.driver(2)).await, route.to_another, "{}", route.operation);
        assert_eq!(route.ask(&app.nobody()).await, 401, "{}", route.operation);
    }
    app.stop().await;
    scene.end().await;
}

#[tokio::test]
async fn with_eddsa_its_own_tokens_are_taken_and_those_of_hs256_are_not() {
    let scene = Scene::new().await;
    let der = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).expect("a key");
    let key = STANDARD.encode(der);
    let eddsa = || scene.app().set("JWT_ALGORITHM", "EdDSA").set("JWT_ED25519_KEY", &key);
    let (app, replica) = (eddsa().start().await, eddsa().start().await);
    let answer = app
        .nobody()
        .post("/auth/token", &credentials("admin", "admin-password"))
        .await
        .json();
    let token = Token(answer["access_token"].as_str().expect("a token").to_owned());
    for app in [&app, &replica] {
        assert_eq!(app.client(&token).get("/admin/drivers").await.status, 200);
        for refused in [Token::admin(), Token::forged(), Token::unsigned()] {
            app.client(&refused).get("/admin/drivers").await.problem(401);
        }
    }
    app.stop().await;
    replica.stop().await;
    scene.end().await;
}

#[tokio::test]
async fn a_name_that_was_tried_too_often_has_to_wait_and_others_have_not() {
    let scene = Scene::new().await;
    let app = scene.app().set("LOGIN_ATTEMPTS_PER_MINUTE", "2").start().await;
    let try_as =
        async |name: &str, password: &str| app.nobody().post("/auth/token", &credentials(name, password)).await;
    for _ in 0..2 {
        try_as("driver1", "guess").await.problem(401);
    }
    let refused = try_as("driver1", "driver1-password").await;
    refused.problem(429);
    let wait: u64 = refused.header("retry-after").expect("a hint").parse().expect("seconds");
    assert!((1..=61).contains(&wait), "{wait}");
    assert_eq!(try_as("admin", "admin-password").await.status, 200);
    app.stop().await;
    scene.end().await;
}

#[tokio::test]
async fn without_a_configured_secret_each_start_signs_with_its_own() {
    let scene = Scene::new().await;
    let first = scene.app().set("JWT_SECRET", "").start().await;
    let second = scene.app().set("JWT_SECRET", "").start().await;
    let answer = first
        .nobody()
        .post("/auth/token", &credentials("admin", "admin-password"))
        .await
        .json();
    let token = Token(answer["access_token"].as_str().expect("a token").to_owned());
    assert_eq!(first.client(&token).get("/risk/1/current").await.status, 200);
    second.client(&token).get("/risk/1/current").await.problem(401);
    first.stop().await;
    second.stop().await;
    scene.end().await;
}
