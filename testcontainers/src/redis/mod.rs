//! A Redis server. Keys and channels belong to whoever uses it.

use crate::error::StackError;
use crate::info::{Provider, Server};
use crate::options::StackOptions;
use crate::server::{self, Running};

mod admin;
mod kind;

use admin::Client;
pub(crate) use kind::RedisKind;

/// A Redis server that answers. Dropping it stops what was started here; an external server is left as it is.
pub type Redis = Running<Client>;

impl Running<Client> {
    /// Takes the provider that the options lead to and waits until the server answers.
    pub async fn start(options: &StackOptions) -> Result<Self, StackError> {
        server::start::<RedisKind>(options, &mut |_: &str| ()).await
    }

    /// The server's URL, with the password if it has one.
    pub fn url(&self) -> String {
        self.client.url.as_str().to_owned()
    }

    /// Removes all keys of a server that was started here. An external server is not touched: it may hold other
    /// people's keys.
    pub async fn flush(&self) -> Result<(), StackError> {
        if self.info().provider == Provider::External {
            return Ok(());
        }
        let flushed = self.client.flush().await;
        flushed.map_err(StackError::request(Server::Redis, "remove all keys"))
    }
}
