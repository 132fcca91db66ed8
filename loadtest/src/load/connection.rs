//! One keep-alive HTTP/1.1 connection of one user or slot, driven by hyper directly: half the CPU of a pooled client per
//! request.

use std::net::SocketAddr;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{
    HeaderMap, Request, Response,
    body::Incoming,
    client::conn::http1::{SendRequest, handshake},
    header::{HOST, HeaderValue},
};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// Bytes of an unexpected answer's body that are kept for the error message.
const EXCERPT_BYTES: usize = 300;
/// Bytes of a body that are kept to look into: more than any answer that a user waits for, small beside 256 connections.
const MAX_KEPT_BYTES: usize = 1024 * 1024;

/// Where requests go.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    pub(crate) address: SocketAddr,
    /// What stands in the `host` header.
    pub(crate) host: HeaderValue,
}

impl Target {
    /// The address itself is the host.
    pub(crate) fn at(address: SocketAddr) -> Self {
        let host = HeaderValue::try_from(address.to_string()).expect("an address is a valid header");
        Self { address, host }
    }
}

/// An answer, read to the last byte of its body.
pub(crate) struct Answer {
    /// HTTP status.
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    /// Length of the body.
    pub(crate) bytes: u64,
    /// What was kept of the body.
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// A header as text; `None` when it is not there or no text.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// Whether the whole body was kept.
    pub(crate) fn is_whole(&self) -> bool {
        self.bytes == self.body.len() as u64
    }

    /// The beginning of the body, for a message.
    pub(crate) fn excerpt(&self) -> String {
        let cut = &self.body[..self.body.len().min(EXCERPT_BYTES)];
        String::from_utf8_lossy(cut).trim().to_owned()
    }
}

/// Why there was no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SendError {
    #[error("cannot connect: {0}")]
    Connect(std::io::Error),
    #[error("connection failed: {0}")]
    Http(#[from] hyper::Error),
    #[error("no answer within {0} ms")]
    Timeout(u64),
}

/// A connection that is opened when first needed, and again after an error.
pub(crate) struct Connection {
    target: Target,
    sender: Option<SendRequest<Full<Bytes>>>,
}

impl Connection {
    /// No connection is made yet.
    pub(crate) fn new(target: Target) -> Self {
        Self { target, sender: None }
    }

    /// Sends a request and reads the answer to its last byte; the time that a reconnect takes is part of it, as it is
    /// for the user. With `keep_body` the body is kept whole, up to [`MAX_KEPT_BYTES`].
    ///
    /// The future may be dropped half way: the connection is then made anew.
    pub(crate) async fn send(
        &mut self,
        mut request: Request<Full<Bytes>>,
        keep_body: bool,
    ) -> Result<Answer, SendError> {
        request.headers_mut().insert(HOST, self.target.host.clone());
        // Taken out and put back only after a whole answer: a request that fails or is dropped half way leaves the
        // connection in an unknown state.
        let mut sender = match self.sender.take().filter(|sender| !sender.is_closed()) {
            Some(sender) => sender,
            None => connect(self.target.address).await?,
        };
        sender.ready().await?;
        let answer = read(sender.send_request(request).await?, keep_body).await?;
        self.sender = Some(sender);
        Ok(answer)
    }
}

async fn connect(address: SocketAddr) -> Result<SendRequest<Full<Bytes>>, SendError> {
    let stream = TcpStream::connect(address).await.map_err(SendError::Connect)?;
    stream.set_nodelay(true).map_err(SendError::Connect)?;
    let (sender, connection) = handshake(TokioIo::new(stream)).await?;
    // The connection's own task ends when the sender is dropped or the peer closes; its error reaches the sender too.
    tokio::spawn(connection);
    Ok(sender)
}

async fn read(response: Response<Incoming>, keep_body: bool) -> Result<Answer, SendError> {
    let (head, mut body) = response.into_parts();
    let room = match (keep_body, head.status.is_success()) {
        (true, _) => MAX_KEPT_BYTES,
        (false, true) => 0,
        (false, false) => EXCERPT_BYTES,
    };
    let mut answer = Answer {
        status: head.status.as_u16(),
        headers: head.headers,
        bytes: 0,
        body: Vec::new(),
    };
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame?.into_data() {
            answer.bytes += data.len() as u64;
            let left = room.saturating_sub(answer.body.len());
            answer.body.extend_from_slice(&data[..data.len().min(left)]);
        }
    }
    Ok(answer)
}
