//! A fresh deployment comes up by itself, and what is around the service is as the documents say.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::json;
use sqlx::AssertSqlSafe;

use crate::support::{App, Process, Scene, eventually, executable};

/// Nobody has written to the topic, and the broker makes none by itself: without a place in its group a replica gets no
/// traffic that could.
#[tokio::test]
async fn a_replica_gets_ready_though_there_is_no_topic_yet() {
    let scene = Scene::without_topic().await;
    let app = scene.app().start_ready().await;
    let trip = json!({"duration_s": 600, "distance_m": 9_000, "night_share_pct": 0, "events": {"speeding": 2}});
    let recorded = app.driver(1).post("/drivers/1/trips", &trip).await.version();
    let client = app.admin();
    eventually("the score follows the trip", async || {
        (client.get("/risk/1/current").await.version() > recorded).then_some(())
    })
    .await;
    app.stop().await;
    scene.end().await;
}

async fn drivers_shown(app: &App) -> i64 {
    let summary = app.admin().get("/admin/dashboard/summary").await.json();
    summary["drivers"].as_i64().unwrap_or_else(|| panic!("{summary}"))
}

async fn until_shown(app: &App) {
    eventually("the portfolio is shown", async || {
        (drivers_shown(app).await == 20).then_some(())
    })
    .await;
}

async fn seed(scene: &Scene, variables: &[(&str, String)]) {
    let mut command = executable();
    command
        .args(["seed", "--drivers", "20", "--seed", "1"])
        .env("DATABASE_URL", scene.database_url());
    let output = command.envs(variables.iter().cloned()).output().await.expect("runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// 1. The service starts on an empty database, and shows so. 2. The database is seeded. 3. The service shows that long
/// before its answers of 1 would end by themselves.
#[tokio::test]
async fn seeding_ends_what_was_cached_of_the_empty_database() {
    let scene = Scene::empty().await;
    let app = scene.app().set("CACHE_TTL_DASHBOARD", "3600").start().await;
    assert_eq!(drivers_shown(&app).await, 0);
    seed(&scene, &[]).await;
    until_shown(&app).await;
    app.stop().await;
    scene.end().await;
}

/// 1. A service answers out of the empty database, and stops. 2. The database is seeded. 3. The service starts again,
///    with its old answers in Redis.
#[tokio::test]
async fn seeding_ends_what_a_service_has_left_in_redis() {
    let scene = Scene::empty().await;
    let app = scene.app().set("CACHE_TTL_DASHBOARD", "3600").start().await;
    assert_eq!(drivers_shown(&app).await, 0);
    app.stop().await;
    seed(&scene, &[("REDIS_URL", scene.redis_url())]).await;
    let app = scene.app().set("CACHE_TTL_DASHBOARD", "3600").start().await;
    until_shown(&app).await;
    app.stop().await;
    scene.end().await;
}

/// What is measured starts from a seeded database, on which nothing must be left to do.
#[tokio::test]
async fn a_database_that_no_service_knows_is_seeded_without_a_note() {
    let scene = Scene::empty().await;
    seed(&scene, &[]).await;
    assert_eq!(scene.number("SELECT count(*) FROM cache_outbox").await, 0);
    scene.end().await;
}

#[tokio::test]
async fn a_password_may_have_every_character_in_a_variable_of_its_own() {
    const PASSWORD: &str = " p@ss/w:rd?#%23[&]= ";
    let scene = Scene::new().await;
    let (pool, role) = (scene.pool(1).await, format!("role_{}", std::process::id()));
    let run = async |sql: String| sqlx::raw_sql(AssertSqlSafe(sql)).execute(&pool).await.expect("done");
    run(format!("CREATE ROLE {role} LOGIN SUPERUSER PASSWORD '{PASSWORD}'")).await;
    let mut url: String = scene.database_url();
    let at = url.find('@').expect("a user");
    url.replace_range("postgres://".len()..at, &role);
    let app = scene
        .app()
        .set("DATABASE_URL", &url)
        .set("DATABASE_PASSWORD", PASSWORD)
        .start()
        .await;
    assert_eq!(app.admin().get("/admin/drivers/1").await.status, 200);
    app.stop().await;
    run(format!("DROP ROLE {role}")).await;
    pool.close().await;
    scene.end().await;
}

#[tokio::test]
async fn a_health_check_tells_a_ready_service_from_one_that_is_not_there() {
    let scene = Scene::new().await;
    let process = Process::serve(scene.environment()).await;
    let check = async |address: &str| {
        let output = executable()
            .arg("health")
            .env("BIND_ADDR", address)
            .output()
            .await
            .expect("runs");
        (output.status.code(), String::from_utf8(output.stderr).expect("text"))
    };
    let address = process.address().to_owned();
    eventually("the check passes", async || {
        (check(&address).await.0 == Some(0)).then_some(())
    })
    .await;
    // As it is configured in a container.
    let everywhere = address.replace("127.0.0.1", "0.0.0.0");
    assert_eq!(check(&everywhere).await.0, Some(0));
    process.signal("TERM").await;
    process.ended().await;
    let (code, told) = check(&address).await;
    assert!(code == Some(1) && told.contains(&address), "{code:?} {told}");
    scene.end().await;
}

fn compose() -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docker-compose.yml");
    std::fs::read_to_string(path).expect("the compose file")
}

/// The lines of each service in the compose file.
fn services(compose: &str) -> BTreeMap<String, Vec<String>> {
    let mut services = BTreeMap::<String, Vec<String>>::new();
    let within = compose.lines().skip_while(|line| *line != "services:").skip(1);
    let mut current = String::new();
    for line in within.take_while(|line| line.is_empty() || line.starts_with([' ', '#'])) {
        match line.strip_prefix("  ").and_then(|name| name.strip_suffix(':')) {
            Some(name) if !name.starts_with([' ', '#']) => name.clone_into(&mut current),
            _ => services
                .entry(current.clone())
                .or_default()
                .push(line.trim().to_owned()),
        }
    }
    services
}

#[test]
fn every_service_of_the_compose_file_comes_back_and_says_how_it_is() {
    let compose = compose();
    let services = services(&compose);
    assert_eq!(services.len(), 6, "{services:?}");
    for (name, lines) in services {
        let has = |start: &str| lines.iter().any(|line| line.starts_with(start));
        assert!(has("restart:"), "{name} has no restart policy");
        assert!(has("healthcheck:") && has("test:"), "{name} has no health check");
    }
}

/// A password with an `@` or a `#` breaks an address, one with a blank a command line.
#[test]
fn the_compose_file_puts_passwords_into_no_address_and_no_command_line() {
    for line in compose().lines().filter(|line| line.contains("PASSWORD")) {
        let line = line.trim();
        assert!(!line.contains("://"), "a password in an address: {line}");
        let is_alone = line.starts_with('#')
            || line
                .split_once(": ")
                .is_some_and(|(_, value)| value.starts_with("${") && value.ends_with('}'))
            || line.starts_with("- ${")
            || line.contains("$$");
        assert!(is_alone, "a password among other words: {line}");
    }
}
