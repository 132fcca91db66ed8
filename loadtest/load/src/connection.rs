//! One keep-alive HTTP/1.1 connection of one user or slot: a socket, written and read by the task that waits for the
//! answer.
//!
//! Nothing stands between: no task or channel of its own, and no request or header types (docs/COSTS.md, "What
//! generators cost").

use std::{
    future::poll_fn,
    io,
    mem::MaybeUninit,
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll, ready},
};

use scenarios::Endpoint;
use socket2::SockRef;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};

use crate::{
    answer::{Answer, Expecting, Malformed},
    request::Written,
};

/// Where requests go.
#[derive(Debug, Clone)]
pub struct Target {
    /// The addresses that its name stands for, at least one. Connections begin at them in turn, and go on to the next
    /// where one refuses.
    pub addresses: Vec<SocketAddr>,
    /// The `host` header.
    pub host: String,
}

impl Target {
    /// The address itself is the host.
    pub fn at(address: SocketAddr) -> Self {
        Self {
            addresses: vec![address],
            host: address.to_string(),
        }
    }

    /// The first of its addresses, for whoever needs just one.
    ///
    /// # Panics
    /// If it has none.
    pub fn address(&self) -> SocketAddr {
        self.addresses[0]
    }
}

/// A request that is to be sent.
#[derive(Debug, Clone, Copy)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "four facts that have nothing to do with each other"
)]
pub(crate) struct Outgoing<'a> {
    pub(crate) text: &'a [u8],
    /// It says `connection: close`: no other request may follow it (RFC 9112, section 9.6).
    pub(crate) closes: bool,
    /// A value of it could not be written: it is not sent at all.
    pub(crate) is_spoilt: bool,
    /// Whether it may be sent again where no byte of an answer came (RFC 9110, section 9.2.2).
    pub(crate) is_repeatable: bool,
    /// Whether the connection was idle for a while, so that it is looked at before it is used again.
    pub(crate) is_rested: bool,
}

impl<'a> Outgoing<'a> {
    /// A request of `endpoint`.
    pub(crate) fn of(endpoint: &Endpoint, written: Written<'a>) -> Self {
        Self {
            text: written.text,
            closes: written.closes,
            is_spoilt: written.is_spoilt,
            is_repeatable: endpoint.method.is_idempotent(),
            is_rested: true,
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
    #[error("not sent: a variable has a line break or a control character, which no header can hold")]
    Spoilt,
    #[error("no answer within {0} ms")]
    Timeout(u64),
}

impl SendError {
    /// Whether the connection ended, and nothing else went wrong.
    fn is_end(&self) -> bool {
        matches!(self, Self::Broken(_) | Self::Malformed(Malformed::Nothing))
    }
}

/// A connection that is opened when first needed, and again after an error.
pub(crate) struct Connection {
    addresses: Vec<SocketAddr>,
    /// The one that a connection begins at.
    first: usize,
    stream: Option<TcpStream>,
    answer: Answer,
}

impl Connection {
    /// Connection `number` of its round. None is made yet.
    pub(crate) fn new(target: &Target, number: usize) -> Self {
        Self {
            first: number % target.addresses.len(),
            addresses: target.addresses.clone(),
            stream: None,
            answer: Answer::new(),
        }
    }

    /// Sends a request and reads the answer to its last byte; the time that a reconnect takes is part of it, as it is
    /// for the user. Redirects are answers like others.
    ///
    /// A server may close an idle connection at the very moment at which a request is sent on it. Where nothing came
    /// back and the method allows it, the request goes out once more on a new connection, and `repeated` says so.
    ///
    /// The future may be dropped half way: the connection is then made anew.
    pub(crate) async fn send(
        &mut self,
        request: Outgoing<'_>,
        expecting: Expecting,
        repeated: &mut bool,
    ) -> Result<&Answer, SendError> {
        if request.is_spoilt {
            return Err(SendError::Spoilt);
        }
        // Taken out and put back only after a whole answer: a request that fails or is dropped half way leaves the
        // connection in an unknown state.
        let idle = self.stream.take().filter(|stream| is_quiet(stream, request.is_rested));
        if let Some(stream) = idle {
            match self.exchange(stream, request, expecting).await {
                Err(error) if request.is_repeatable && error.is_end() && self.answer.is_untouched() => *repeated = true,
                outcome => return outcome.map(|()| &self.answer),
            }
        }
        let stream = self.connect().await.map_err(SendError::Connect)?;
        self.exchange(stream, request, expecting).await?;
        Ok(&self.answer)
    }

    async fn exchange(
        &mut self,
        mut stream: TcpStream,
        request: Outgoing<'_>,
        expecting: Expecting,
    ) -> Result<(), SendError> {
        self.answer.expect(expecting);
        let mut exchange = Exchange {
            stream: Pin::new(&mut stream),
            unsent: request.text,
            not_sent: None,
            answer: &mut self.answer,
        };
        poll_fn(|context| exchange.poll(context)).await?;
        let is_sent = exchange.unsent.is_empty() && exchange.not_sent.is_none();
        let is_reusable = is_sent && !request.closes && self.answer.is_reusable();
        self.stream = is_reusable.then_some(stream);
        Ok(())
    }

    /// Tries the addresses in turn; the error is that of the last one.
    async fn connect(&self) -> io::Result<TcpStream> {
        let mut outcome = Err(io::Error::other("the name stands for no address"));
        for number in 0..self.addresses.len() {
            outcome = connect(self.addresses[(self.first + number) % self.addresses.len()]).await;
            if outcome.is_ok() {
                break;
            }
        }
        outcome
    }
}

/// One request and its answer on a connection. Both go on at the same time: a server may answer before it has read a
/// long body, and then reads no more of it.
struct Exchange<'e> {
    stream: Pin<&'e mut TcpStream>,
    unsent: &'e [u8],
    /// Why the rest could not be sent. The answer may be there all the same.
    not_sent: Option<io::Error>,
    answer: &'e mut Answer,
}

impl Exchange<'_> {
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Result<(), SendError>> {
        self.write(context);
        loop {
            let mut space = ReadBuf::new(self.answer.space());
            let read = ready!(self.stream.as_mut().poll_read(context, &mut space));
            let count = space.filled().len();
            let added = match read {
                Ok(()) => self.answer.add(count).map_err(SendError::Malformed),
                Err(error) => Err(SendError::Broken(error)),
            };
            match added {
                Ok(false) => {}
                Ok(true) => return Poll::Ready(Ok(())),
                Err(error) => return Poll::Ready(Err(self.cause(error))),
            }
        }
    }

    /// Writes what the socket takes.
    fn write(&mut self, context: &mut Context<'_>) {
        while !self.unsent.is_empty() && self.not_sent.is_none() {
            match self.stream.as_mut().poll_write(context, self.unsent) {
                Poll::Ready(Ok(0)) => self.not_sent = Some(io::ErrorKind::WriteZero.into()),
                Poll::Ready(Ok(count)) => self.unsent = &self.unsent[count..],
                Poll::Ready(Err(error)) => self.not_sent = Some(error),
                Poll::Pending => return,
            }
        }
    }

    /// The first cause of `error`: a request that could not be sent, where no byte of an answer came back.
    fn cause(&mut self, error: SendError) -> SendError {
        match self.not_sent.take().filter(|_| self.answer.is_untouched()) {
            Some(not_sent) => SendError::Broken(not_sent),
            None => error,
        }
    }
}

/// Whether nothing came on an idle connection: what may come there is its end, or bytes that belong to no request. One
/// that rested is asked for in the kernel; else what the runtime knows is new enough, and costs nothing.
fn is_quiet(stream: &TcpStream, is_rested: bool) -> bool {
    let nothing = if is_rested {
        SockRef::from(stream).peek(&mut [MaybeUninit::uninit()])
    } else {
        stream.try_read(&mut [0])
    };
    nothing.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
}

async fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

#[cfg(test)]
mod tests;
