//! Databases and topics made on a server that somebody else runs. They are removed at the end; nothing else there is
//! touched.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use futures_util::future::BoxFuture;

use crate::cleanup;
use crate::error::StackError;
use crate::info::Server;

type Remove = dyn Fn(BTreeSet<String>) -> BoxFuture<'static, Result<(), StackError>> + Send + Sync;

/// Names of databases or topics. Dropping it removes them, within a bound.
pub(crate) struct Made {
    server: Server,
    remove: Box<Remove>,
    // Never held across an await: only names go in and out.
    names: Mutex<BTreeSet<String>>,
}

impl Made {
    pub(crate) fn new(
        server: Server,
        remove: impl Fn(BTreeSet<String>) -> BoxFuture<'static, Result<(), StackError>> + Send + Sync + 'static,
    ) -> Self {
        Self {
            server,
            remove: Box::new(remove),
            names: Mutex::default(),
        }
    }

    pub(crate) fn remember(&self, name: &str) {
        self.names().insert(name.to_owned());
    }

    pub(crate) fn forget(&self, name: &str) {
        self.names().remove(name);
    }

    /// Removes everything and reports the first failure; after one, dropping this tries once more.
    pub(crate) async fn remove_all(self) -> Result<(), StackError> {
        let names = self.names().clone();
        if !names.is_empty() {
            (self.remove)(names).await?;
            self.names().clear();
        }
        Ok(())
    }

    /// A panic elsewhere leaves the set whole: each change is one call.
    fn names(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        let names = std::mem::take(&mut *self.names());
        if names.is_empty() {
            return;
        }
        if let Err(error) = cleanup::run_to_end(self.server, (self.remove)(names)) {
            tracing::warn!(%error, "databases or topics are left on an external server");
        }
    }
}
