//! A Redis server. Keys and channels belong to whoever uses it.

use std::fmt;
use std::path::Path;

use url::Url;

use crate::choose::choose;
use crate::error::StackError;
use crate::info::{Provider, Server, ServerInfo};
use crate::options::StackOptions;
use crate::process::NativeServer;

mod admin;
mod external;
mod native;

/// A Redis server that answers. Dropping it stops what was started here; an external server is left as it is.
pub struct Redis {
    info: ServerInfo,
    url: Url,
    /// `None` for an external server.
    native: Option<NativeServer>,
}

// By hand, because the URL may carry a password.
impl fmt::Debug for Redis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redis")
            .field("info", &self.info)
            .finish_non_exhaustive()
    }
}

impl Redis {
    /// Takes the provider that the options lead to and waits until the server answers.
    pub async fn start(options: &StackOptions) -> Result<Self, StackError> {
        let taken = choose(Server::Redis, options)?;
        let (url, facts, native) = match taken.provider {
            Provider::External => {
                let (url, facts) = external::connect(&options.external).await?;
                (url, facts, None)
            }
            Provider::Native | Provider::Embedded => {
                let (server, url, facts) = native::start(options).await?;
                (url, facts, Some(server))
            }
        };
        let note = facts.note();
        let admin::Facts { version, settings, .. } = facts;
        let info = ServerInfo {
            provider: taken.provider,
            reason: taken.reason,
            version,
            settings,
            note,
        };
        Ok(Self { info, url, native })
    }

    /// Provider, version and settings.
    pub fn info(&self) -> &ServerInfo {
        &self.info
    }

    /// The server's URL, with the password if it has one.
    pub fn url(&self) -> String {
        self.url.as_str().to_owned()
    }

    /// The server's process id, if it was started here.
    pub fn pid(&self) -> Option<u32> {
        self.native.as_ref().map(|server| server.process.pid())
    }

    /// Where its data and log are, if it was started here.
    pub fn directory(&self) -> Option<&Path> {
        self.native.as_ref().map(|server| server.dir.path())
    }

    /// Removes all keys of a server that was started here. An external server is not touched: it may hold other people's
    /// keys.
    pub async fn flush(&self) -> Result<(), StackError> {
        if self.native.is_none() {
            return Ok(());
        }
        admin::flush(&self.url)
            .await
            .map_err(StackError::request(Server::Redis, "remove all keys"))
    }

    /// Stops what was started here and reports failures.
    pub async fn stop(self) -> Result<(), StackError> {
        match self.native {
            Some(server) => server.stop().await,
            None => Ok(()),
        }
    }
}
