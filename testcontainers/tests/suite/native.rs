//! Postgres and Redis from local binaries: that they are what the plan asks for, asked from the servers themselves.

use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use sqlx::{Connection, Executor};
use stack::{Postgres, Provider, Redis, Server, Servers, StackOptions};

use crate::support::{Room, connect, ok, redis_command};

/// Value of a setting as a client is told it.
async fn shown(url: &str, setting: &str) -> String {
    let mut connection = connect(url).await;
    sqlx::query_scalar("SELECT current_setting($1)")
        .bind(setting)
        .fetch_one(&mut connection)
        .await
        .unwrap()
}

/// A service that needs no server starts none, not even for a moment.
#[tokio::test]
async fn only_what_is_needed_is_started() {
    let room = Room::new();
    let mut lines = Vec::new();
    let mut announce = |line: &str| lines.push(line.to_owned());
    let none = ok(Servers::start(&[], &room.native(), &mut announce).await);
    assert_eq!((none.infos().count(), room.directories().len()), (0, 0));
    let redis = ok(Servers::start(&[Server::Redis], &room.native(), &mut announce).await);
    let names: Vec<Server> = redis.infos().map(|(server, _)| server).collect();
    assert_eq!((names, room.directories().len()), (vec![Server::Redis], 1));
    assert!(redis.postgres.is_none() && redis.kafka.is_none());
    ok(redis.stop().await);
    ok(none.stop().await);
    room.assert_nothing_left();
    assert!(lines.len() == 1 && lines[0].starts_with("redis "), "{lines:?}");
}

#[tokio::test]
async fn postgres_is_durable_and_says_so() {
    let room = Room::new();
    let postgres = ok(Postgres::start(&room.native()).await);
    let info = postgres.info();
    assert_eq!(info.provider, Provider::Native);
    assert_eq!(info.version, shown(&postgres.admin_url(), "server_version").await);
    assert_eq!(info.note, None);
    let durable = [
        ("fsync", "on"),
        ("synchronous_commit", "on"),
        ("full_page_writes", "on"),
    ];
    for (name, value) in durable
        .into_iter()
        .chain([("shared_buffers", "256MB"), ("max_connections", "200")])
    {
        assert_eq!(info.settings[name], value, "{name}");
        assert_eq!(shown(&postgres.admin_url(), name).await, value, "{name}");
    }
    for (name, value) in [
        ("listen_addresses", "127.0.0.1"),
        ("unix_socket_directories", ""),
        ("track_io_timing", "off"),
    ] {
        assert_eq!(shown(&postgres.admin_url(), name).await, value, "{name}");
    }
    ok(postgres.stop().await);
}

#[tokio::test]
async fn postgres_counts_statements() {
    let room = Room::new();
    let postgres = ok(Postgres::start(&room.native()).await);
    assert_ne!(postgres.info().settings["pg_stat_statements"], "missing");
    ok(postgres.create_database("counted").await);
    let mut counted = connect(&postgres.url("counted")).await;
    for _ in 0..3 {
        counted.execute("SELECT 'a statement to count'").await.unwrap();
    }
    let calls: i64 = sqlx::query_scalar(
        "SELECT calls FROM pg_stat_statements JOIN pg_database d ON d.oid = dbid WHERE d.datname = 'counted'",
    )
    .fetch_one(&mut connect(&postgres.admin_url()).await)
    .await
    .unwrap();
    assert_eq!(calls, 3);
    ok(postgres.stop().await);
}

#[tokio::test]
async fn a_clone_has_the_rows_of_its_template_and_a_life_of_its_own() {
    let room = Room::new();
    let postgres = ok(Postgres::start(&room.native()).await);
    ok(postgres.create_database("seed-1").await);
    // This session stays open on the template: it must not be in the way.
    let mut template = connect(&postgres.url("seed-1")).await;
    template
        .execute("CREATE TABLE drivers AS SELECT generate_series(1, 1000) AS id")
        .await
        .unwrap();
    ok(postgres.clone_database("seed-1", "Clone \"of\" seed").await);

    let mut clone = connect(&postgres.url("Clone \"of\" seed")).await;
    let rows: i64 = sqlx::query_scalar("SELECT count(*) FROM drivers")
        .fetch_one(&mut clone)
        .await
        .unwrap();
    assert_eq!(rows, 1000);
    clone.execute("DELETE FROM drivers").await.unwrap();
    let mut template = connect(&postgres.url("seed-1")).await;
    let rows: i64 = sqlx::query_scalar("SELECT count(*) FROM drivers")
        .fetch_one(&mut template)
        .await
        .unwrap();
    assert_eq!(rows, 1000);

    ok(postgres.drop_database("Clone \"of\" seed").await);
    assert!(clone.ping().await.is_err(), "the session on a dropped database goes on");
    ok(postgres.drop_database("Clone \"of\" seed").await);
    let error = postgres.clone_database("absent", "x").await.unwrap_err().to_string();
    assert!(
        error.starts_with("postgres: cannot create database `x`: ") && error.contains("\"absent\""),
        "{error}"
    );
    ok(postgres.stop().await);
}

#[tokio::test]
async fn redis_is_bounded_and_persistent_as_the_plan_says() {
    let room = Room::new();
    let redis = ok(Redis::start(&room.native()).await);
    let info = redis.info();
    assert_eq!((info.provider, info.note.as_deref()), (Provider::Native, None));
    let half_a_gigabyte = (500 * 1024 * 1024).to_string();
    for (name, value) in [
        ("maxmemory", &*half_a_gigabyte),
        ("maxmemory-policy", "allkeys-lru"),
        ("appendonly", "yes"),
    ] {
        assert_eq!(info.settings[name], value, "{name}");
        let told: Vec<String> = redis_command(&redis.url(), &["CONFIG", "GET", name]).await;
        assert_eq!(told, [name, value]);
    }
    assert_ne!(info.settings["save"], "", "snapshots are off");
    let server: String = redis_command(&redis.url(), &["INFO", "server"]).await;
    assert!(
        server.contains(&format!("redis_version:{}\r\n", info.version)),
        "{server}"
    );
    ok(redis.stop().await);
}

#[tokio::test]
async fn flush_removes_every_key() {
    let room = Room::new();
    let redis = ok(Redis::start(&room.native()).await);
    let () = redis_command(&redis.url(), &["SET", "key", "value"]).await;
    ok(redis.flush().await);
    let keys: i64 = redis_command(&redis.url(), &["DBSIZE"]).await;
    assert_eq!(keys, 0);
    ok(redis.stop().await);
}

#[tokio::test]
async fn missing_programs_are_named_with_the_command_that_installs_them() {
    let room = Room::new();
    let absent = PathBuf::from("/no/such/place");
    let options = StackOptions {
        postgres_bin: Some(absent.clone()),
        redis_server: Some(absent.join("redis-server")),
        ..room.native()
    };
    let postgres = Postgres::start(&options).await.unwrap_err().to_string();
    assert_eq!(
        postgres,
        "postgres: there are no programs initdb and postgres in /no/such/place; install it with `apt-get install -y \
         postgresql`, or set DATABASE_URL to a running server"
    );
    let redis = Redis::start(&options).await.unwrap_err().to_string();
    assert_eq!(
        redis,
        "redis: there is no program /no/such/place/redis-server; install it with `apt-get install -y redis-server`, or \
         set REDIS_URL to a running server"
    );
    room.assert_nothing_left();
}

#[tokio::test]
async fn a_program_that_fails_at_once_is_not_waited_for() {
    let room = Room::new();
    // `false` is a program that is no Redis.
    let options = StackOptions {
        redis_server: Some(PathBuf::from("/bin/false")),
        ..room.native()
    };
    let error = Redis::start(&options).await.unwrap_err().to_string();
    assert_eq!(
        error,
        format!("{} did not start: false ended with exit status: 1", Server::Redis)
    );
    room.assert_nothing_left();
}

/// Own group: Ctrl-C in a terminal must not reach a server before our orderly stop does.
#[tokio::test]
async fn servers_run_in_a_group_of_their_own_and_never_as_root() {
    let room = Room::new();
    let postgres = ok(Postgres::start(&room.native()).await);
    let redis = ok(Redis::start(&room.native()).await);
    for pid in [postgres.pid().unwrap(), redis.pid().unwrap()] {
        let process = nix::unistd::Pid::from_raw(i32::try_from(pid).unwrap());
        assert_eq!(nix::unistd::getpgid(Some(process)).unwrap(), process);
        assert_ne!(
            std::fs::metadata(format!("/proc/{pid}")).unwrap().uid(),
            0,
            "process {pid} runs as root"
        );
    }
    ok(redis.stop().await);
    ok(postgres.stop().await);
}
