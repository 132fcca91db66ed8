//! A Postgres server and the databases on it. SQL here administers; schemas and rows belong to whoever uses the database.

use std::fmt;
use std::path::Path;

use url::Url;

use crate::choose::choose;
use crate::error::StackError;
use crate::info::{Provider, Server, ServerInfo};
use crate::options::StackOptions;
use crate::urls;

mod admin;
mod external;
mod native;

use external::MadeDatabases;
use native::NativePostgres;

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
    Native(NativePostgres),
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
        let taken = choose(Server::Postgres, options)?;
        let (admin, facts, backend) = match taken.provider {
            Provider::External => {
                let (admin, facts) = external::connect(&options.external).await?;
                let made = MadeDatabases::new(admin.clone(), facts.version_num);
                (admin, facts, Backend::External(made))
            }
            Provider::Native | Provider::Embedded => {
                let (server, facts) = native::start(options).await?;
                (server.admin.clone(), facts, Backend::Native(server))
            }
        };
        let note = facts.note();
        let admin::Facts {
            version,
            version_num,
            settings,
        } = facts;
        let info = ServerInfo {
            provider: taken.provider,
            reason: taken.reason,
            version,
            settings,
            note,
        };
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

    /// The postmaster's process id, if it was started here; its children are the backends.
    pub fn pid(&self) -> Option<u32> {
        match &self.backend {
            Backend::External(_) => None,
            Backend::Native(server) => Some(server.native.process.pid()),
        }
    }

    /// Where its data and log are, if it was started here.
    pub fn directory(&self) -> Option<&Path> {
        match &self.backend {
            Backend::External(_) => None,
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
            Backend::Native(server) => server.native.stop().await,
        }
    }

    async fn create(&self, name: &str, sql: String) -> Result<(), StackError> {
        admin::check_name(name)?;
        match &self.backend {
            Backend::External(made) => made.create(name, sql).await,
            Backend::Native(_) => admin::execute(&self.admin, sql).await,
        }
        .map_err(StackError::request(
            Server::Postgres,
            format!("create database `{name}`"),
        ))
    }
}
