//! Who may ask for what.

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
    app.stop().await;
    scene.end().await;
}

/// The routes that need a token.
#[derive(Debug, Clone, Copy)]
enum Route {
    Summary,
    Details,
    Risk,
    Trips,
}

const ROUTES: [Route; 4] = [Route::Summary, Route::Details, Route::Risk, Route::Trips];

impl Route {
    /// Asks about driver 1.
    async fn ask(self, client: &Client) -> u16 {
        let trip = json!({"duration_s": 600, "distance_m": 5_000, "night_share_pct": 0, "events": {}});
        let answer = match self {
            Self::Summary => client.get("/admin/dashboard/summary").await,
            Self::Details => client.get("/admin/drivers/1").await,
            Self::Risk => client.get("/risk/1/current").await,
            Self::Trips => client.post("/drivers/1/trips", &trip).await,
        };
        if answer.status >= 400 {
            answer.problem(answer.status);
        }
        answer.status
    }

    fn open_to_admin(self) -> u16 {
        if matches!(self, Self::Trips) { 201 } else { 200 }
    }

    fn open_to_its_driver(self) -> u16 {
        match self {
            Self::Summary | Self::Details => 403,
            Self::Risk => 200,
            Self::Trips => 201,
        }
    }
}

/// Every route with every kind of token. The admin goes first, so that the others meet a warm cache: an answer that is
/// cached must not be served to somebody who may not see it.
async fn matrix(app: &App) {
    for route in ROUTES {
        assert_eq!(
            route.ask(&app.admin()).await,
            route.open_to_admin(),
            "{route:?} as admin"
        );
        assert_eq!(
            route.ask(&app.driver(1)).await,
            route.open_to_its_driver(),
            "{route:?} as its driver"
        );
        assert_eq!(route.ask(&app.driver(2)).await, 403, "{route:?} as another driver");
        assert_eq!(route.ask(&app.nobody()).await, 401, "{route:?} without a token");
        let bad = [
            Token::expired(),
            Token::forged(),
            Token::unsigned(),
            Token("no token at all".to_owned()),
        ];
        for token in bad {
            assert_eq!(route.ask(&app.client(&token)).await, 401, "{route:?} with {token:?}");
        }
    }
}

#[tokio::test]
async fn every_route_with_every_kind_of_token() {
    let scene = Scene::new().await;
    for profile in ["phase1", "phase2"] {
        let app = scene.app().profile(profile).start().await;
        matrix(&app).await;
        app.stop().await;
    }
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
