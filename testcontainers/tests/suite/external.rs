//! Servers that somebody else runs; here, ones that the test started natively.

use std::time::Duration;

use sqlx::Executor;
use stack::{External, Kafka, Postgres, Provider, Redis, StackError, StackOptions};
use tokio::net::TcpSocket;
use url::Url;

use crate::support::{Room, connect, embedded, external, ok, redis_command};

fn postgres_at(url: impl Into<String>) -> StackOptions {
    external(External {
        database_url: Some(url.into()),
        ..External::default()
    })
}

fn redis_at(url: String, password: Option<&str>) -> StackOptions {
    let redis_password = password.map(str::to_owned);
    external(External {
        redis_url: Some(url),
        redis_password,
        ..External::default()
    })
}

async fn databases(server: &Postgres) -> Vec<String> {
    let names = sqlx::query_scalar("SELECT datname FROM pg_database WHERE NOT datistemplate ORDER BY datname");
    names.fetch_all(&mut connect(&server.admin_url()).await).await.unwrap()
}

#[tokio::test]
async fn postgres_is_left_as_it_was_found() {
    let room = Room::new();
    let server = ok(Postgres::start(&room.native()).await);
    ok(server.create_database("theirs").await);
    let guest = ok(Postgres::start(&postgres_at(server.admin_url())).await);
    assert_eq!(guest.info().provider, Provider::External);
    assert_eq!(guest.info().settings, server.info().settings);
    assert_eq!((guest.pid(), guest.directory()), (None, None));

    ok(guest.create_database("seed").await);
    let mut session = connect(&guest.url("seed")).await;
    session.execute("CREATE TABLE t AS SELECT 7 AS n").await.unwrap();
    ok(guest.clone_database("seed", "copy").await);
    let mut copy = connect(&guest.url("copy")).await;
    let n: i32 = sqlx::query_scalar("SELECT n FROM t")
        .fetch_one(&mut copy)
        .await
        .unwrap();
    assert_eq!(n, 7);
    let error = guest.create_database("theirs").await.unwrap_err().to_string();
    assert!(
        error.contains("cannot create database `theirs`") && error.contains("exists already"),
        "{error}"
    );

    assert_eq!(databases(&server).await, ["copy", "postgres", "seed", "theirs"]);
    ok(guest.stop().await);
    assert_eq!(databases(&server).await, ["postgres", "theirs"]);
    ok(server.stop().await);
}

#[tokio::test]
async fn what_was_made_goes_after_a_panic_too() {
    let room = Room::new();
    let server = ok(Postgres::start(&room.native()).await);
    let guest = ok(Postgres::start(&postgres_at(server.admin_url())).await);
    ok(guest.create_database("seed").await);
    let task = tokio::spawn(async move {
        let _alive_until_the_panic = guest;
        panic!("on purpose");
    });
    assert!(task.await.unwrap_err().is_panic());
    assert_eq!(databases(&server).await, ["postgres"]);
    ok(server.stop().await);
}

#[tokio::test]
async fn a_wrong_postgres_password_is_said_without_showing_it() {
    let room = Room::new();
    let server = ok(Postgres::start(&room.native()).await);
    let mut url = Url::parse(&server.admin_url()).unwrap();
    url.set_password(Some("not-the-password")).unwrap();
    let error = Postgres::start(&postgres_at(url)).await.unwrap_err();
    assert!(matches!(error, StackError::External { .. }), "{error}");
    let text = error.to_string();
    assert!(text.contains("password authentication failed"), "{text}");
    assert!(
        text.contains("check the user and the password in DATABASE_URL"),
        "{text}"
    );
    assert!(
        text.contains("postgres://postgres:***@127.0.0.1:") && !text.contains("not-the-password"),
        "{text}"
    );
    ok(server.stop().await);
}

#[tokio::test]
async fn a_postgres_that_cannot_count_statements_is_noted() {
    let room = Room::new();
    let server = ok(Postgres::start(&room.native()).await);
    ok(server.create_database("bare").await);
    let guest = ok(Postgres::start(&postgres_at(server.url("bare"))).await);
    assert_eq!(guest.info().settings["pg_stat_statements"], "missing");
    let note = guest.info().note.clone().unwrap();
    assert!(note.contains("CREATE EXTENSION pg_stat_statements"), "{note}");
    ok(guest.stop().await);
    ok(server.stop().await);
}

#[tokio::test]
async fn a_redis_password_is_used_and_a_wrong_one_is_said() {
    let room = Room::new();
    let server = ok(Redis::start(&room.native()).await);
    let () = redis_command(&server.url(), &["CONFIG", "SET", "requirepass", "p@ss/word"]).await;
    for password in [None, Some("not-the-password")] {
        let error = Redis::start(&redis_at(server.url(), password)).await.unwrap_err();
        assert!(matches!(error, StackError::External { .. }), "{error}");
        let text = error.to_string();
        assert!(
            text.contains("check REDIS_PASSWORD") && text.contains("(from REDIS_URL)"),
            "{text}"
        );
        assert!(!text.contains("not-the-password"), "{text}");
    }
    let guest = ok(Redis::start(&redis_at(server.url(), Some("p@ss/word"))).await);
    let pong: String = redis_command(&guest.url(), &["PING"]).await;
    assert_eq!(pong, "PONG");
    ok(guest.stop().await);
    ok(server.stop().await);
}

#[tokio::test]
async fn an_external_redis_keeps_its_keys() {
    let room = Room::new();
    let server = ok(Redis::start(&room.native()).await);
    let () = redis_command(&server.url(), &["SET", "theirs", "1"]).await;
    let guest = ok(Redis::start(&redis_at(server.url(), None)).await);
    assert_eq!(guest.info().provider, Provider::External);
    assert_eq!(guest.info().settings, server.info().settings);
    ok(guest.flush().await);
    ok(guest.stop().await);
    let keys: i64 = redis_command(&server.url(), &["DBSIZE"]).await;
    assert_eq!(keys, 1);
    ok(server.stop().await);
}

#[tokio::test]
async fn a_redis_that_forbids_config_costs_its_settings_only() {
    let room = Room::new();
    let server = ok(Redis::start(&room.native()).await);
    let rules = ["ACL", "SETUSER", "guest", "on", ">secret", "~*", "+@all", "-config"];
    let () = redis_command(&server.url(), &rules).await;
    let mut url = Url::parse(&server.url()).unwrap();
    url.set_username("guest").unwrap();
    let guest = ok(Redis::start(&redis_at(url.into(), Some("secret"))).await);
    assert!(guest.info().settings.is_empty());
    assert!(
        guest
            .info()
            .note
            .as_deref()
            .is_some_and(|note| note.contains("CONFIG GET was refused"))
    );
    ok(server.stop().await);
}

#[tokio::test]
async fn kafka_brokers_are_asked_who_they_are() {
    let server = ok(Kafka::start(&embedded()).await);
    let kafka_brokers = Some(server.brokers());
    let guest = ok(Kafka::start(&external(External {
        kafka_brokers,
        ..External::default()
    }))
    .await);
    assert_eq!(guest.info().provider, Provider::External);
    assert_eq!(guest.info().settings["brokers"], "1");
    assert_eq!(guest.brokers(), server.brokers());
    ok(guest.stop().await);
    ok(server.stop().await);
}

/// A place where connections are refused for as long as the socket is held: bound, so that nobody else is given the
/// port, and never listening.
fn silent_place() -> (TcpSocket, String) {
    let held = TcpSocket::new_v4().unwrap();
    held.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let place = held.local_addr().unwrap().to_string();
    (held, place)
}

#[tokio::test]
async fn a_server_that_is_not_there_is_said_with_its_variable_and_soon() {
    let (_held, place) = silent_place();
    let options = external(External {
        database_url: Some(format!("postgres://u:p@{place}/postgres")),
        redis_url: Some(format!("redis://{place}")),
        kafka_brokers: Some(place.clone()),
        ..External::default()
    });
    let errors = tokio::time::timeout(Duration::from_secs(30), async {
        let postgres = Postgres::start(&options).await.unwrap_err();
        let redis = Redis::start(&options).await.unwrap_err();
        [
            ("DATABASE_URL", postgres),
            ("REDIS_URL", redis),
            ("KAFKA_BROKERS", Kafka::start(&options).await.unwrap_err()),
        ]
    });
    for (variable, error) in errors.await.unwrap() {
        let text = error.to_string();
        assert!(
            text.contains(&format!("(from {variable}): ")) && text.contains(&place),
            "{text}"
        );
        assert!(text.contains("check that "), "{text}");
    }
}
