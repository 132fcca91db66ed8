//! The administrative SQL: facts about the server, databases made and dropped. Each call opens one connection and
//! closes it, so that no session of ours is in the way of a clone or a shutdown.

use std::collections::BTreeMap;
use std::str::FromStr;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Executor};
use url::Url;

use crate::error::StackError;
use crate::info::{Server, join_notes};
use crate::kind::Facts;
use crate::wait::Patience;

/// A server that accepts the connection but does not answer must not be waited for until TCP gives up.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);
/// Longer names are cut off by Postgres, and then two of them can be one database.
const LONGEST_NAME_BYTES: usize = 63;
/// The first version with `DROP DATABASE .. WITH (FORCE)`.
const VERSION_WITH_FORCE: i32 = 130_000;
/// The first version where a copy goes through the write-ahead log unless told otherwise.
const VERSION_WITH_STRATEGY: i32 = 150_000;
/// The settings that a reader of the record needs to know.
const RECORDED_SETTINGS: [&str; 5] = [
    "fsync",
    "synchronous_commit",
    "full_page_writes",
    "shared_buffers",
    "max_connections",
];
/// Under this key the settings say which version of the extension is there.
const STATEMENTS: &str = "pg_stat_statements";
const MISSING: &str = "missing";
/// Without these, a commit is not durable and writes look faster than they are.
const DURABILITY: [&str; 3] = ["fsync", "synchronous_commit", "full_page_writes"];

/// The maintenance database of a server, by which the others are made and dropped.
#[derive(Clone)]
pub struct Client {
    /// With user and password.
    pub(super) admin: Url,
    /// `server_version_num`, which decides on the SQL that may be used.
    pub(super) version_num: i32,
}

/// Note for a server whose settings make its figures incomplete or too good.
fn note(settings: &BTreeMap<String, String>) -> Option<String> {
    let is = |name: &str, value: &str| settings.get(name).is_some_and(|found| found == value);
    let mut notes = Vec::new();
    if is(STATEMENTS, MISSING) {
        notes.push(
            "statements cannot be counted: load pg_stat_statements (shared_preload_libraries) and run CREATE EXTENSION \
             pg_stat_statements in the database that DATABASE_URL names"
                .to_owned(),
        );
    }
    let off = DURABILITY.into_iter().filter(|name| is(name, "off"));
    notes.extend(off.map(|name| format!("{name} is off, so writes look faster than durable ones")));
    join_notes(&notes)
}

async fn connect(url: &Url) -> Result<PgConnection, sqlx::Error> {
    let options = PgConnectOptions::from_str(url.as_str())?;
    let patience = Patience::new(CONNECT_LIMIT);
    let connected = patience.bound(options.connect()).await;
    connected.unwrap_or_else(|timed_out| Err(sqlx::Error::Io(std::io::Error::other(timed_out))))
}

/// The first statement that a server started here answers.
pub(super) async fn prepare(url: &Url) -> Result<(), sqlx::Error> {
    execute(url, "CREATE EXTENSION IF NOT EXISTS pg_stat_statements".to_owned()).await
}

/// Runs one statement on a connection of its own.
async fn execute(url: &Url, sql: String) -> Result<(), sqlx::Error> {
    let mut connection = connect(url).await?;
    connection.execute(sqlx::raw_sql(AssertSqlSafe(sql))).await?;
    connection.close().await
}

/// Asks for everything that goes into the record.
pub(super) async fn facts(admin: Url) -> Result<(Client, Facts), sqlx::Error> {
    let mut connection = connect(&admin).await?;
    let version = setting(&mut connection, "server_version").await?;
    let version_num = setting(&mut connection, "server_version_num").await?;
    let version_num = version_num
        .parse()
        .map_err(|error| sqlx::Error::Decode(Box::new(error)))?;
    let mut settings = BTreeMap::new();
    for name in RECORDED_SETTINGS {
        settings.insert(name.to_owned(), setting(&mut connection, name).await?);
    }
    settings.insert(STATEMENTS.to_owned(), statements_version(&mut connection).await?);
    connection.close().await?;
    let facts = Facts {
        version,
        note: note(&settings),
        settings,
    };
    Ok((Client { admin, version_num }, facts))
}

async fn setting(connection: &mut PgConnection, name: &str) -> Result<String, sqlx::Error> {
    sqlx::query_scalar("SELECT current_setting($1)")
        .bind(name)
        .fetch_one(connection)
        .await
}

/// The extension counts as present when it is installed in this database and its library is loaded; the setting exists
/// only in the second case, and unlike `shared_preload_libraries` it may be read by everybody.
async fn statements_version(connection: &mut PgConnection) -> Result<String, sqlx::Error> {
    let version: Option<String> = sqlx::query_scalar(
        "SELECT extversion FROM pg_extension WHERE extname = 'pg_stat_statements' \
         AND current_setting('pg_stat_statements.max', true) IS NOT NULL",
    )
    .fetch_optional(connection)
    .await?;
    Ok(version.unwrap_or_else(|| MISSING.to_owned()))
}

pub(super) fn check_name(name: &str) -> Result<(), StackError> {
    let problem = match name.len() {
        0 => "the name is empty".to_owned(),
        1..=LONGEST_NAME_BYTES => return Ok(()),
        bytes => format!("the name has {bytes} bytes, and Postgres keeps {LONGEST_NAME_BYTES}; take a shorter one"),
    };
    Err(StackError::request(
        Server::Postgres,
        format!("create database `{name}`"),
    )(problem))
}

pub(super) fn create_sql(name: &str) -> String {
    format!("CREATE DATABASE {}", quoted(name))
}

impl Client {
    pub(super) async fn execute(&self, sql: String) -> Result<(), sqlx::Error> {
        execute(&self.admin, sql).await
    }

    /// Copying files beats logging every page of a large template (the default since version 15).
    pub(super) fn clone_sql(&self, template: &str, name: &str) -> String {
        let strategy = if self.version_num >= VERSION_WITH_STRATEGY {
            " STRATEGY FILE_COPY"
        } else {
            ""
        };
        format!(
            "CREATE DATABASE {} TEMPLATE {}{strategy}",
            quoted(name),
            quoted(template)
        )
    }

    /// Asks the other sessions on a database to end. `CREATE DATABASE` and `DROP DATABASE` wait a few seconds for them.
    pub(super) async fn end_sessions(&self, database: &str) -> Result<(), StackError> {
        let ended = async {
            let mut connection = connect(&self.admin).await?;
            sqlx::query(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1 AND pid <> pg_backend_pid()",
            )
            .bind(database)
            .execute(&mut connection)
            .await?;
            connection.close().await
        };
        ended.await.map_err(StackError::request(
            Server::Postgres,
            format!("end the sessions on database `{database}`"),
        ))
    }

    /// Drops a database with all sessions on it, if there is one of that name.
    pub(super) async fn drop_database(&self, name: &str) -> Result<(), StackError> {
        let mut sql = format!("DROP DATABASE IF EXISTS {}", quoted(name));
        if self.version_num >= VERSION_WITH_FORCE {
            sql.push_str(" WITH (FORCE)");
        } else {
            self.end_sessions(name).await?;
        }
        self.execute(sql)
            .await
            .map_err(StackError::request(Server::Postgres, format!("drop database `{name}`")))
    }

    pub(super) async fn has_database(&self, name: &str) -> Result<bool, sqlx::Error> {
        let mut connection = connect(&self.admin).await?;
        let found = sqlx::query_scalar("SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)").bind(name);
        let found = found.fetch_one(&mut connection).await?;
        connection.close().await?;
        Ok(found)
    }
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_quoted() {
        assert_eq!(
            create_sql("a\"; DROP TABLE x; --"),
            "CREATE DATABASE \"a\"\"; DROP TABLE x; --\""
        );
    }

    #[test]
    fn only_new_servers_are_given_a_strategy() {
        let clone_sql = |version_num| {
            let admin = Url::parse("postgres://host").unwrap();
            Client { admin, version_num }.clone_sql("t", "n")
        };
        assert_eq!(
            clone_sql(150_000),
            "CREATE DATABASE \"n\" TEMPLATE \"t\" STRATEGY FILE_COPY"
        );
        assert_eq!(clone_sql(140_011), "CREATE DATABASE \"n\" TEMPLATE \"t\"");
    }

    #[test]
    fn names_that_postgres_would_change_are_refused() {
        assert!(check_name(&"x".repeat(63)).is_ok());
        let error = check_name(&"x".repeat(64)).unwrap_err().to_string();
        assert!(error.contains("64 bytes"), "{error}");
        assert!(check_name("").is_err());
    }

    #[test]
    fn a_server_that_is_not_durable_is_noted() {
        let settings = [("fsync", "off"), ("synchronous_commit", "on"), (STATEMENTS, "1.10")];
        let settings = settings.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        assert_eq!(
            note(&settings).as_deref(),
            Some("fsync is off, so writes look faster than durable ones")
        );
    }
}
