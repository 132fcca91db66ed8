//! A Postgres server that somebody else runs. It is left as it was found: databases made through the handle are dropped
//! at the end, nothing else is touched.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use url::Url;

use super::admin::{self, Facts};
use crate::choose::address;
use crate::cleanup;
use crate::error::StackError;
use crate::info::Server;
use crate::options::External;
use crate::urls;

const SERVER: Server = Server::Postgres;
/// SQLSTATE of a database that is there already.
const DUPLICATE_DATABASE: &str = "42P04";
/// SQLSTATE class of a refused login (28000, 28P01).
const AUTHORIZATION_CLASS: &str = "28";
/// SQLSTATE of a database that does not exist.
const UNKNOWN_DATABASE: &str = "3D000";

/// Connects once and asks for the facts. There is no waiting for a server that does not run: whoever gave the address
/// says that it does.
pub(super) async fn connect(external: &External) -> Result<(Url, Facts), StackError> {
    let text = address(SERVER, external).ok_or(StackError::MissingUrl { server: SERVER })?;
    let url = urls::parse(SERVER, text, &["postgres", "postgresql"])?;
    let facts = admin::facts(&url).await.map_err(|error| StackError::External {
        server: SERVER,
        place: urls::redacted(&url),
        problem: error.to_string(),
        advice: advice(&error),
    })?;
    Ok((url, facts))
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

/// The databases that must go again.
pub(super) struct MadeDatabases {
    admin: Url,
    version_num: i32,
    // Never held across an await: only names go in and out.
    names: Mutex<BTreeSet<String>>,
}

impl MadeDatabases {
    pub(super) fn new(admin: Url, version_num: i32) -> Self {
        Self {
            admin,
            version_num,
            names: Mutex::default(),
        }
    }

    /// Creates one and remembers it. Remembered before it is there, so that it is dropped even if this future is cancelled
    /// half-way; and only when it was not there before, so that no database of somebody else is ever dropped.
    pub(super) async fn create(&self, name: &str, sql: String) -> Result<(), sqlx::Error> {
        if admin::exists(&self.admin, name).await? {
            return Err(sqlx::Error::Configuration(
                "it exists already, and is not ours to replace".into(),
            ));
        }
        self.names().insert(name.to_owned());
        let created = admin::execute(&self.admin, sql).await;
        if created.as_ref().is_err_and(is_duplicate) {
            self.forget(name);
        }
        created
    }

    pub(super) fn forget(&self, name: &str) {
        self.names().remove(name);
    }

    /// Drops them all, going on after a failure, and reports the first.
    pub(super) async fn drop_all(self) -> Result<(), StackError> {
        let mut outcome = Ok(());
        for name in self.snapshot() {
            let dropped = admin::drop_database(&self.admin, &name, self.version_num).await;
            if dropped.is_ok() {
                self.forget(&name);
            }
            outcome = outcome.and(dropped);
        }
        outcome
    }

    fn snapshot(&self) -> Vec<String> {
        self.names().iter().cloned().collect()
    }

    /// A panic elsewhere leaves the set whole: each change is one call.
    fn names(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for MadeDatabases {
    fn drop(&mut self) {
        let names = std::mem::take(&mut *self.names());
        if names.is_empty() {
            return;
        }
        let (admin, version_num) = (self.admin.clone(), self.version_num);
        let dropped = cleanup::run_to_end(SERVER, async move {
            for name in names {
                admin::drop_database(&admin, &name, version_num).await?;
            }
            Ok(())
        });
        if let Err(error) = dropped {
            tracing::warn!(%error, "databases are left on an external server");
        }
    }
}

fn is_duplicate(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
    code.as_deref() == Some(DUPLICATE_DATABASE)
}
