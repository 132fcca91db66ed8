//! A Postgres server and the databases on it. SQL here administers; schemas and rows belong to whoever uses the
//! database.

use crate::error::StackError;
use crate::info::Server;
use crate::made::Made;
use crate::options::StackOptions;
use crate::server::{self, Running};
use crate::urls;

mod admin;
mod kind;

use admin::Client;
pub(crate) use kind::PostgresKind;

/// SQLSTATE of a database that is there already.
const DUPLICATE_DATABASE: &str = "42P04";

/// A Postgres server that answers. Dropping it stops what was started here, or drops the databases that were made
/// through it on an external server.
pub type Postgres = Running<Client>;

impl Running<Client> {
    /// Takes the provider that the options lead to and waits until the server answers.
    pub async fn start(options: &StackOptions) -> Result<Self, StackError> {
        server::start::<PostgresKind>(options, &mut |_: &str| ()).await
    }

    /// The URL of a database on this server, user and password included. The database need not exist.
    pub fn url(&self, database: &str) -> String {
        urls::with_database(&self.client.admin, database).into()
    }

    /// The URL of the maintenance database, where `pg_stat_statements` is read and databases are created from.
    pub fn admin_url(&self) -> String {
        self.client.admin.as_str().to_owned()
    }

    /// Creates an empty database. It is an error if there is one of that name.
    pub async fn create_database(&self, name: &str) -> Result<(), StackError> {
        self.create(name, admin::create_sql(name)).await
    }

    /// Creates a database as a copy of another, file by file rather than through the log. Sessions on the
    /// template are ended first, because Postgres copies no database that is in use.
    pub async fn clone_database(&self, template: &str, name: &str) -> Result<(), StackError> {
        self.client.end_sessions(template).await?;
        self.create(name, self.client.clone_sql(template, name)).await
    }

    /// Drops a database with all sessions on it. It is no error if there is none of that name.
    pub async fn drop_database(&self, name: &str) -> Result<(), StackError> {
        self.client.drop_database(name).await?;
        if let Some(made) = self.made() {
            made.forget(name);
        }
        Ok(())
    }

    async fn create(&self, name: &str, sql: String) -> Result<(), StackError> {
        admin::check_name(name)?;
        let created = match self.made() {
            Some(made) => create_and_remember(&self.client, made, name, sql).await,
            None => self.client.execute(sql).await,
        };
        created.map_err(StackError::request(
            Server::Postgres,
            format!("create database `{name}`"),
        ))
    }
}

/// On a server of somebody else's. The name is remembered before the database is there, so that it is dropped even if
/// this future is cancelled half-way; and only when it was not there before, so that no database of theirs is ever
/// dropped.
async fn create_and_remember(client: &Client, made: &Made, name: &str, sql: String) -> Result<(), sqlx::Error> {
    if client.has_database(name).await? {
        return Err(sqlx::Error::Configuration(
            "it exists already, and is not ours to replace".into(),
        ));
    }
    made.remember(name);
    let created = client.execute(sql).await;
    if created.as_ref().is_err_and(is_duplicate) {
        made.forget(name);
    }
    created
}

fn is_duplicate(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
    code.as_deref() == Some(DUPLICATE_DATABASE)
}
