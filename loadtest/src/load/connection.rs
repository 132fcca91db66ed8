//! One keep-alive HTTP/1.1 connection of one user, driven by hyper directly: half the CPU of a pooled client per request.

use std::{net::SocketAddr, time::Duration};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{
    Request, Response,
    body::Incoming,
    client::conn::http1::{SendRequest, handshake},
    header::{HOST, HeaderValue},
};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, time::timeout};

/// Bytes of an unexpected answer's body that are kept for the error message.
const EXCERPT_BYTES: usize = 300;

/// An answer, read to the last byte of its body.
pub(crate) struct Answer {
    /// HTTP status.
    pub(crate) status: u16,
    /// Length of the body.
    pub(crate) bytes: u64,
    /// The beginning of the body.
    pub(crate) excerpt: Vec<u8>,
}

/// Why there was no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SendError {
    #[error("cannot connect: {0}")]
    Connect(std::io::Error),
    #[error("connection failed: {0}")]
    Http(#[from] hyper::Error),
    #[error("no answer within {0} ms")]
    Timeout(u128),
}

/// A connection that is opened when first needed, and again after an error.
pub(crate) struct Connection {
    address: SocketAddr,
    host: HeaderValue,
    sender: Option<SendRequest<Full<Bytes>>>,
}

impl Connection {
    /// No connection is made yet.
    pub(crate) fn new(address: SocketAddr, host: HeaderValue) -> Self {
        Self {
            address,
            host,
            sender: None,
        }
    }

    /// Sends a request and reads the answer to its last byte; the time that a reconnect takes is part of it, as it is
    /// for the user.
    pub(crate) async fn send(&mut self, request: Request<Full<Bytes>>, limit: Duration) -> Result<Answer, SendError> {
        // Taken out and put back only after a whole answer: a request that fails or is dropped half way leaves the
        // connection in an unknown state.
        let sender = self.sender.take();
        let outcome = timeout(limit, exchange(sender, self.address, with_host(request, &self.host))).await;
        let (sender, answer) = outcome.map_err(|_| SendError::Timeout(limit.as_millis()))??;
        self.sender = Some(sender);
        Ok(answer)
    }
}

fn with_host(mut request: Request<Full<Bytes>>, host: &HeaderValue) -> Request<Full<Bytes>> {
    request.headers_mut().insert(HOST, host.clone());
    request
}

async fn exchange(
    sender: Option<SendRequest<Full<Bytes>>>,
    address: SocketAddr,
    request: Request<Full<Bytes>>,
) -> Result<(SendRequest<Full<Bytes>>, Answer), SendError> {
    let mut sender = match sender.filter(|sender| !sender.is_closed()) {
        Some(sender) => sender,
        None => connect(address).await?,
    };
    sender.ready().await?;
    let answer = read(sender.send_request(request).await?).await?;
    Ok((sender, answer))
}

async fn connect(address: SocketAddr) -> Result<SendRequest<Full<Bytes>>, SendError> {
    let stream = TcpStream::connect(address).await.map_err(SendError::Connect)?;
    stream.set_nodelay(true).map_err(SendError::Connect)?;
    let (sender, connection) = handshake(TokioIo::new(stream)).await?;
    // The connection's own task ends when the sender is dropped or the peer closes; its error reaches the sender too.
    tokio::spawn(connection);
    Ok(sender)
}

async fn read(response: Response<Incoming>) -> Result<Answer, SendError> {
    let mut answer = Answer {
        status: response.status().as_u16(),
        bytes: 0,
        excerpt: Vec::new(),
    };
    let keep_excerpt = !response.status().is_success();
    let mut body = response.into_body();
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame?.into_data() {
            answer.bytes += data.len() as u64;
            if keep_excerpt {
                let room = EXCERPT_BYTES.saturating_sub(answer.excerpt.len());
                answer.excerpt.extend_from_slice(&data[..data.len().min(room)]);
            }
        }
    }
    Ok(answer)
}
