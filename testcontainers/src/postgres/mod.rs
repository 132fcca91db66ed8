//! A Postgres server and the databases on it. SQL here administers; schemas and rows belong to whoever uses the database.

use std::fmt;
use std::path::Path;

use url::Url;

use crate::choose::{Way, choose, native_reason};
use crate::container::Container;
use crate::error::StackError;
use crate::info::{Provider, Server, ServerInfo};
use crate::options::StackOptions;
use crate::urls;

mod admin;
mod container;
mod external;
mod native;

use external::MadeDatabases;
use native::NativePostgres;

/// Durability as in production, because a load test with `fsync=off` measures something else; memory and connections
/// enough for the reference service and small enough for a laptop; statements counted at the top level only, so that one
/// call counts once, and without utility commands, which are not queries of the service.
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

/// A Postgres server that answers. Dropping it stops what was started here, or drops the databases that were made through
/// it on an external server.
pub struct Postgres {
    info: ServerInfo,
    admin: Url,
    /// `server_version_num`, which decides on the SQL that may be used.
    version_num: i32,
    backend: Backend,
}

enum Backend {
    External(MadeDatabases),
    Container(Container),
    Native(NativePostgres),
}

impl Backend {
    fn provider(&self) -> Provider {
        match self {
            Self::External(_) => Provider::External,
            Self::Container(_) => Provider::Containers,
            Self::Native(_) => Provider::Native,
        }
    }
}

// By hand, because the URL carries the password.
impl fmt::Debug for Postgres {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Postgres")
            .field("info", &self.info)
            .finish_non_exhaustive()
    }
}

impl Postgres {
    /// Takes the provider that the options lead to and waits until the server answers.
    pub async fn start(options: &StackOptions) -> Result<Self, StackError> {
        Self::start_announced(options, &mut |_: &str| ()).await
    }

    pub(crate) async fn start_announced(
        options: &StackOptions,
        announce: &mut impl FnMut(&str),
    ) -> Result<Self, StackError> {
        let taken = choose(Server::Postgres, options, announce).await?;
        let mut reason = taken.reason;
        let (admin, mut facts, backend) = match taken.way {
            Way::External => {
                let (admin, facts) = external::connect(&options.external).await?;
                let made = MadeDatabases::new(admin.clone(), facts.version_num);
                (admin, facts, Backend::External(made))
            }
            Way::Container(image) => {
                let (container, admin, facts) = container::start(&image).await?;
                (admin, facts, Backend::Container(container))
            }
            Way::Own => {
                reason = native_reason(Server::Postgres, options.choice, reason);
                let (server, facts) = native::start(options).await?;
                (server.admin.clone(), facts, Backend::Native(server))
            }
        };
        let info = ServerInfo {
            provider: backend.provider(),
            reason,
            note: facts.note(),
            settings: std::mem::take(&mut facts.settings),
            version: facts.version,
        };
        let version_num = facts.version_num;
        Ok(Self {
            info,
            admin,
            version_num,
            backend,
        })
    }

    /// Provider, version and settings.
    pub fn info(&self) -> &ServerInfo {
        &self.info
    }

    /// The URL of a database on this server, user and password included. The database need not exist.
    pub fn url(&self, database: &str) -> String {
        urls::with_database(&self.admin, database).into()
    }

    /// The URL of the maintenance database, where `pg_stat_statements` is read and databases are created from.
    pub fn admin_url(&self) -> String {
        self.admin.as_str().to_owned()
    }

    /// The postmaster's process id, if it is a local process that was started here; its children are the backends.
    pub fn pid(&self) -> Option<u32> {
        match &self.backend {
            Backend::External(_) | Backend::Container(_) => None,
            Backend::Native(server) => Some(server.native.process.pid()),
        }
    }

    /// Where its data and log are, if it was started here natively.
    pub fn directory(&self) -> Option<&Path> {
        match &self.backend {
            Backend::External(_) | Backend::Container(_) => None,
            Backend::Native(server) => Some(server.native.dir.path()),
        }
    }

    /// Creates an empty database. It is an error if there is one of that name.
    pub async fn create_database(&self, name: &str) -> Result<(), StackError> {
        self.create(name, admin::create_sql(name)).await
    }

    /// Creates a database as a copy of another, file by file rather than through the log. Sessions on the
    /// template are ended first, because Postgres copies no database that is in use.
    pub async fn clone_database(&self, template: &str, name: &str) -> Result<(), StackError> {
        admin::end_sessions(&self.admin, template).await?;
        self.create(name, admin::clone_sql(template, name, self.version_num))
            .await
    }

    /// Drops a database with all sessions on it. It is no error if there is none of that name.
    pub async fn drop_database(&self, name: &str) -> Result<(), StackError> {
        admin::drop_database(&self.admin, name, self.version_num).await?;
        if let Backend::External(made) = &self.backend {
            made.forget(name);
        }
        Ok(())
    }

    /// Stops what was started here, or drops what was made on an external server, and reports failures.
    pub async fn stop(self) -> Result<(), StackError> {
        match self.backend {
            Backend::External(made) => made.drop_all().await,
            Backend::Container(container) => container.stop().await,
            Backend::Native(server) => server.native.stop().await,
        }
    }

    async fn create(&self, name: &str, sql: String) -> Result<(), StackError> {
        admin::check_name(name)?;
        match &self.backend {
            Backend::External(made) => made.create(name, sql).await,
            Backend::Container(_) | Backend::Native(_) => admin::execute(&self.admin, sql).await,
        }
        .map_err(StackError::request(
            Server::Postgres,
            format!("create database `{name}`"),
        ))
    }
}

/// Other users of the machine can reach the port, so the server has a password; 128 random bits need no escaping as hex.
fn random_password() -> String {
    format!("{:032x}", rand::random::<u128>())
}

/// Where the native provider would take Postgres from.
pub(crate) fn native_source(options: &StackOptions) -> Result<String, StackError> {
    native::find_bin(options.postgres_bin.as_deref()).map(|bin| bin.join("postgres").display().to_string())
}
