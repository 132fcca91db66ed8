//! A Redis server. Keys and channels belong to whoever uses it.

use std::fmt;
use std::path::Path;

use url::Url;

use crate::choose::{Way, choose, native_reason};
use crate::container::Container;
use crate::error::StackError;
use crate::info::{Provider, Server, ServerInfo};
use crate::options::StackOptions;
use crate::native::NativeServer;

mod admin;
mod container;
mod external;
mod native;

/// As the plan says: an append-only file beside the default snapshots (no `--save`, so Redis keeps its own), half a
/// gigabyte, and the least recently used key goes first.
const SETTINGS: [&str; 6] = [
    "--appendonly",
    "yes",
    "--maxmemory",
    "500mb",
    "--maxmemory-policy",
    "allkeys-lru",
];

/// A Redis server that answers. Dropping it stops what was started here; an external server is left as it is.
pub struct Redis {
    info: ServerInfo,
    url: Url,
    backend: Backend,
}

#[derive(Debug)]
enum Backend {
    External,
    Container(Container),
    Native(NativeServer),
}

impl Backend {
    fn provider(&self) -> Provider {
        match self {
            Self::External => Provider::External,
            Self::Container(_) => Provider::Containers,
            Self::Native(_) => Provider::Native,
        }
    }
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
        Self::start_announced(options, &mut |_: &str| ()).await
    }

    pub(crate) async fn start_announced(
        options: &StackOptions,
        announce: &mut impl FnMut(&str),
    ) -> Result<Self, StackError> {
        let taken = choose(Server::Redis, options, announce).await?;
        let mut reason = taken.reason;
        let (url, facts, backend) = match taken.way {
            Way::External => {
                let (url, facts) = external::connect(&options.external).await?;
                (url, facts, Backend::External)
            }
            Way::Container(image) => {
                let (container, url, facts) = container::start(&image).await?;
                (url, facts, Backend::Container(container))
            }
            Way::Own => {
                reason = native_reason(Server::Redis, options.choice, reason);
                let (server, url, facts) = native::start(options).await?;
                (url, facts, Backend::Native(server))
            }
        };
        let info = ServerInfo {
            provider: backend.provider(),
            reason,
            note: facts.note(),
            version: facts.version,
            settings: facts.settings,
        };
        Ok(Self { info, url, backend })
    }

    /// Provider, version and settings.
    pub fn info(&self) -> &ServerInfo {
        &self.info
    }

    /// The server's URL, with the password if it has one.
    pub fn url(&self) -> String {
        self.url.as_str().to_owned()
    }

    /// The server's process id, if it is a local process that was started here.
    pub fn pid(&self) -> Option<u32> {
        match &self.backend {
            Backend::Native(server) => Some(server.process.pid()),
            Backend::External | Backend::Container(_) => None,
        }
    }

    /// Where its data and log are, if it was started here natively.
    pub fn directory(&self) -> Option<&Path> {
        match &self.backend {
            Backend::Native(server) => Some(server.dir.path()),
            Backend::External | Backend::Container(_) => None,
        }
    }

    /// Removes all keys of a server that was started here. An external server is not touched: it may hold other people's
    /// keys.
    pub async fn flush(&self) -> Result<(), StackError> {
        if matches!(self.backend, Backend::External) {
            return Ok(());
        }
        admin::flush(&self.url)
            .await
            .map_err(StackError::request(Server::Redis, "remove all keys"))
    }

    /// Stops what was started here and reports failures.
    pub async fn stop(self) -> Result<(), StackError> {
        match self.backend {
            Backend::External => Ok(()),
            Backend::Container(container) => container.stop().await,
            Backend::Native(server) => server.stop().await,
        }
    }
}

/// Where the native provider would take Redis from.
pub(crate) fn native_source(options: &StackOptions) -> Result<String, StackError> {
    native::find_program(options.redis_server.as_deref()).map(|program| program.display().to_string())
}
