//! A page of a target, beside the load: read over the same protocol, encryption and base path.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, Uri};
use tokio::time::timeout;

use crate::{
    answer::{Answer, Expecting},
    connection::{Connection, Outgoing, SendError, Trace},
    multiplex::{Multiplexed, SharedConnection},
    request::Framed,
    target::{Protocol, Target},
};

/// Longer than any page takes that can be read once a second.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Reads pages of one target, one after the other on one connection.
pub struct Pages {
    target: Target,
    connection: PageConnection,
}

enum PageConnection {
    Http1(Connection),
    Http2(Multiplexed),
}

impl Pages {
    /// Pages of `target`; no connection is made yet.
    pub fn of(target: Target) -> Self {
        let connection = match target.protocol {
            Protocol::Http1 => PageConnection::Http1(Connection::new(&target, 0)),
            Protocol::Http2 => {
                let shared = SharedConnection::new(&target, 0);
                PageConnection::Http2(Multiplexed::new(shared.into()))
            }
        };
        Self { target, connection }
    }

    /// The address of a page, for messages.
    pub fn address(&self, path: &str) -> String {
        let Target { host, base_path, .. } = &self.target;
        format!("{}://{host}{base_path}{path}", self.target.scheme())
    }

    /// The text at `path`.
    ///
    /// # Errors
    /// In words, when there is none within 10 s, or none that can be read.
    pub async fn get(&mut self, path: &str) -> Result<String, String> {
        let answered = timeout(TIMEOUT, self.ask(path)).await;
        let answered = answered.map_err(|_| format!("no answer within {} s", TIMEOUT.as_secs()))?;
        let answer = answered.map_err(|error| error.to_string())?;
        answer.unpack()?;
        if answer.status() != 200 {
            return Err(format!("status {} {}", answer.status(), answer.excerpt()));
        }
        if !answer.is_whole() {
            return Err(format!("it is too long: {} bytes", answer.bytes()));
        }
        let text = std::str::from_utf8(answer.body()).map_err(|error| format!("it is no text: {error}"))?;
        Ok(text.to_owned())
    }

    async fn ask(&mut self, path: &str) -> Result<&mut Answer, SendError> {
        let expecting = Expecting {
            head_only: false,
            body: true,
        };
        let address = self.address(path);
        let mut trace = Trace::default();
        match &mut self.connection {
            PageConnection::Http1(connection) => {
                let Target { host, base_path, .. } = &self.target;
                let text = format!("GET {base_path}{path} HTTP/1.1\r\nhost: {host}\r\n\r\n");
                let request = Outgoing {
                    text: text.as_bytes(),
                    closes: false,
                    is_spoilt: false,
                    is_repeatable: true,
                    is_rested: true,
                };
                connection.send(request, expecting, &mut trace).await?;
                Ok(connection.answer())
            }
            PageConnection::Http2(connection) => {
                let mut head = Request::new(());
                *head.uri_mut() = address.parse::<Uri>().map_err(|_| SendError::Spoilt)?;
                let request = Framed {
                    head,
                    body: Bytes::new(),
                    closes: false,
                    is_repeatable: true,
                };
                connection.send(&request, true, expecting, &mut trace).await?;
                Ok(connection.answer())
            }
        }
    }
}
