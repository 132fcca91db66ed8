//! One keep-alive HTTP/1.1 connection of one user or slot: a socket, written and read by the task that waits for the
//! answer.
//!
//! Nothing stands between: no task or channel of its own, and no request or header types (docs/COSTS.md, "What
//! generators cost").

use std::{io, net::SocketAddr};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::answer::{Answer, Expecting, Malformed};

/// Where requests go.
#[derive(Debug, Clone)]
pub struct Target {
    /// The address to connect to.
    pub address: SocketAddr,
    /// What stands in the `host` header.
    pub host: String,
}

impl Target {
    /// The address itself is the host.
    pub fn at(address: SocketAddr) -> Self {
        Self {
            address,
            host: address.to_string(),
        }
    }
}

/// Why there was no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SendError {
    #[error("cannot connect: {0}")]
    Connect(io::Error),
    #[error("connection failed: {0}")]
    Broken(#[from] io::Error),
    #[error("connection failed: {0}")]
    Malformed(#[from] Malformed),
    #[error("no answer within {0} ms")]
    Timeout(u64),
}

/// A connection that is opened when first needed, and again after an error.
pub(crate) struct Connection {
    address: SocketAddr,
    stream: Option<TcpStream>,
    answer: Answer,
}

impl Connection {
    /// No connection is made yet.
    pub(crate) fn new(target: &Target) -> Self {
        Self {
            address: target.address,
            stream: None,
            answer: Answer::new(),
        }
    }

    /// Sends a request and reads the answer to its last byte; the time that a reconnect takes is part of it, as it is
    /// for the user. Redirects are answers like others.
    ///
    /// The future may be dropped half way: the connection is then made anew.
    pub(crate) async fn send(&mut self, request: &[u8], expecting: Expecting) -> Result<&Answer, SendError> {
        // Taken out and put back only after a whole answer: a request that fails or is dropped half way leaves the
        // connection in an unknown state.
        let mut stream = match self.stream.take().filter(is_quiet) {
            Some(stream) => stream,
            None => connect(self.address).await.map_err(SendError::Connect)?,
        };
        stream.write_all(request).await?;
        self.answer.expect(expecting);
        loop {
            let count = stream.read(self.answer.space()).await?;
            if self.answer.add(count)? {
                break;
            }
        }
        self.stream = self.answer.is_reusable().then_some(stream);
        Ok(&self.answer)
    }
}

/// Whether nothing came on an idle connection: what may come there is its end, or bytes that belong to no request. Asks
/// the kernel only when it has said that there is something.
fn is_quiet(stream: &TcpStream) -> bool {
    let nothing = stream.try_read(&mut [0]);
    nothing.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
}

async fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

#[cfg(test)]
mod tests;
