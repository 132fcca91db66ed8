//! How Postgres is started and reached by each provider: a fresh cluster, durable as a real one, thrown away
//! afterwards; or a server that somebody else runs, which is left as it was found.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use url::Url;

use super::admin::{self, Client};
use crate::dir::ServerDir;
use crate::error::StackError;
use crate::info::Server;
use crate::kind::{Facts, Kind, Spec, Started};
use crate::native;
use crate::options::{External, StackOptions};
use crate::ports::Ports;
use crate::process::Signal;
use crate::programs;
use crate::urls;

/// Durability as in production, because a load test with `fsync=off` measures something else; memory and connections
/// enough for the reference service and small enough for a laptop; statements counted at the top level only, so that
/// one call counts once, and without utility commands, which are not queries of the service.
const SETTINGS: [&str; 11] = [
    "fsync=on",
    "synchronous_commit=on",
    "full_page_writes=on",
    "shared_preload_libraries=pg_stat_statements",
    "pg_stat_statements.track=top",
    "pg_stat_statements.track_utility=off",
    "track_io_timing=off",
    "shared_buffers=256MB",
    "max_connections=200",
    "max_wal_size=2GB",
    "timezone=UTC",
];
/// A native server is reached by TCP on this machine alone.
const NATIVE_SETTINGS: [&str; 2] = ["listen_addresses=127.0.0.1", "unix_socket_directories="];
/// Where it listens inside a container.
const PORT: u16 = 5432;
/// Where Debian and its relatives keep one directory per version.
const VERSIONS: &str = "/usr/lib/postgresql";
const PROGRAMS: [&str; 2] = ["initdb", "postgres"];
/// The native cluster's directory inside the server's.
const DATA: &str = "data";
/// SQLSTATE class of a refused login (28000, 28P01).
const AUTHORIZATION_CLASS: &str = "28";
/// SQLSTATE of a database that does not exist.
const UNKNOWN_DATABASE: &str = "3D000";

/// One start of Postgres.
pub(crate) struct PostgresKind {
    /// Other users of the machine can reach the port. A stranger on it would not know the password, so whoever lets us
    /// in is our server.
    password: String,
}

impl Kind for PostgresKind {
    const SERVER: Server = Server::Postgres;
    const USER: &'static str = "postgres";
    /// Immediate shutdown: no checkpoint for data that is about to be removed.
    const STOP: Signal = Signal::SIGQUIT;
    type Client = Client;
    /// The directory of the programs.
    type Programs = PathBuf;

    fn new(_: &StackOptions) -> Self {
        // As hexadecimal digits, 128 random bits need no escaping.
        let password = format!("{:032x}", rand::random::<u128>());
        Self { password }
    }

    async fn connect(external: &External) -> Started<Client> {
        let url = urls::external(Self::SERVER, external, &["postgres", "postgresql"])?;
        admin::facts(url.clone()).await.map_err(|error| StackError::External {
            server: Self::SERVER,
            place: urls::redacted(&url),
            problem: error.to_string(),
            advice: advice(&error),
        })
    }

    /// Goes on after a failure, and reports the first.
    async fn remove(client: Client, names: BTreeSet<String>) -> Result<(), StackError> {
        let mut outcome = Ok(());
        for name in names {
            outcome = outcome.and(client.drop_database(&name).await);
        }
        outcome
    }

    /// While the image fills the new cluster it listens on no port, so that whoever answers is the final server.
    fn spec(&self, [port, ..]: Ports) -> Spec {
        let environment = [
            ("POSTGRES_USER", "postgres"),
            ("POSTGRES_PASSWORD", &self.password),
            ("POSTGRES_DB", "postgres"),
            // As for the native cluster; not synced, because what is written before the server starts need not survive.
            ("POSTGRES_INITDB_ARGS", "--encoding=UTF8 --locale=C.UTF-8 --no-sync"),
        ];
        let settings = SETTINGS.into_iter().flat_map(|setting| ["-c", setting]);
        Spec {
            ports: vec![(PORT, port)],
            environment: environment
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .to_vec(),
            command: ["postgres"].into_iter().chain(settings).map(str::to_owned).collect(),
        }
    }

    async fn programs(options: &StackOptions, _: &mut impl FnMut(&str)) -> Result<PathBuf, StackError> {
        find_bin(options.postgres_bin.as_deref())
    }

    fn source(options: &StackOptions) -> Result<String, StackError> {
        find_bin(options.postgres_bin.as_deref()).map(|bin| bin.join("postgres").display().to_string())
    }

    /// Not synced to disk: what initdb writes need not survive a crash of the machine. The server does sync. What a
    /// failed initdb wrote stays until the directory goes, so that a full disk can be told from other failures.
    async fn prepare(&self, bin: &PathBuf, dir: &ServerDir) -> Result<(), StackError> {
        let password_file = dir.write_secret("password", &self.password)?;
        let mut initdb = Command::new(bin.join("initdb"));
        initdb
            .args([
                "-D",
                DATA,
                "--username=postgres",
                "--auth=scram-sha-256",
                "--encoding=UTF8",
            ])
            .args(["--locale=C.UTF-8", "--no-sync", "--no-clean"])
            .arg(format!("--pwfile={}", password_file.display()));
        native::run_to_end(Self::SERVER, initdb, dir).await?;
        std::fs::remove_file(&password_file).map_err(StackError::file("remove", &password_file))
    }

    fn command(&self, bin: &PathBuf, _: &ServerDir, [port, ..]: Ports) -> Result<Command, StackError> {
        let mut postgres = Command::new(bin.join("postgres"));
        postgres.args(["-D", DATA, "-p", &port.to_string()]);
        for setting in SETTINGS.into_iter().chain(NATIVE_SETTINGS) {
            postgres.args(["-c", setting]);
        }
        Ok(postgres)
    }

    async fn ask(&self, [port, ..]: Ports, _: Option<u32>) -> Result<(Client, Facts), String> {
        let admin = format!("postgres://postgres:{}@127.0.0.1:{port}/postgres", self.password);
        let admin = Url::parse(&admin).map_err(|error| error.to_string())?;
        let asked = async {
            admin::prepare(&admin).await?;
            admin::facts(admin).await
        };
        asked.await.map_err(|error: sqlx::Error| error.to_string())
    }
}

fn advice(error: &sqlx::Error) -> &'static str {
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
    match code.as_deref() {
        Some(code) if code.starts_with(AUTHORIZATION_CLASS) => "check the user and the password in DATABASE_URL",
        Some(UNKNOWN_DATABASE) => "name a database that exists, for example /postgres",
        Some(_) => "the user in DATABASE_URL must be able to log in and to create databases",
        None => "check that the server runs and that DATABASE_URL has its host and port",
    }
}

/// The directory of the programs that would be taken.
fn find_bin(chosen: Option<&Path>) -> Result<PathBuf, StackError> {
    let missing = |searched| StackError::NotInstalled {
        server: Server::Postgres,
        searched,
        install: "apt-get install -y postgresql",
    };
    if let Some(bin) = chosen {
        let there = programs::holds_all(bin, &PROGRAMS);
        let searched = || format!("there are no programs initdb and postgres in {}", bin.display());
        return there
            .then(|| programs::absolute(bin))
            .ok_or_else(|| missing(searched()));
    }
    programs::newest_bin(Path::new(VERSIONS), &PROGRAMS)
        .or_else(|| programs::directory_on_path(&PROGRAMS))
        .ok_or_else(|| missing(format!("no initdb and postgres under {VERSIONS}/*/bin or on PATH")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_port_that_is_taken_is_noticed() {
        let bin = find_bin(None).unwrap_or_else(|error| panic!("{error}"));
        native::assert_taken_port_is_noticed(&PostgresKind::new(&StackOptions::default()), &bin).await;
    }

    #[test]
    fn a_directory_without_the_programs_is_named_with_the_remedy() {
        let empty = tempfile::tempdir().unwrap();
        let error = find_bin(Some(empty.path())).unwrap_err().to_string();
        let place = empty.path().display().to_string();
        assert!(
            error.contains(&place) && error.contains("apt-get install -y postgresql"),
            "{error}"
        );
    }
}
