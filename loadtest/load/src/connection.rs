//! One keep-alive HTTP/1.1 connection of one user or slot: a socket, written and read by the task that waits for the
//! answer.
//!
//! Nothing stands between: no task or channel of its own, and no request or header types (docs/COSTS.md, "What
//! generators cost").

use std::{
    future::poll_fn,
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use scenarios::Endpoint;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::{
    answer::{Answer, Expecting, Malformed},
    dial::{DialError, Dialer, Made},
    request::Written,
    stream::Stream,
    target::Target,
};

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

/// What happened on the way of a request, beside its outcome: noted as it happens, so that one that is given up half
/// way has it, too.
#[derive(Debug, Default)]
pub(crate) struct Trace {
    /// It was sent a second time.
    pub(crate) repeated: bool,
    /// A connection was made for it.
    pub(crate) made: Option<Made>,
    /// How long it waited on our side for a stream of a shared connection, where it had to.
    pub(crate) stream_wait_us: Option<u64>,
    /// Times of the requests of which it consists, where redirects are followed; no more than its endpoint allows.
    pub(crate) hops_us: Vec<u64>,
    /// Bytes of its answer as they came and unpacked, where they came compressed.
    pub(crate) unpacked: Option<(u64, u64)>,
}

/// Why there was no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SendError {
    #[error(transparent)]
    Dial(#[from] DialError),
    #[error("connection failed: {0}")]
    Broken(#[from] io::Error),
    #[error("connection failed: {0}")]
    Malformed(#[from] Malformed),
    #[error("connection failed: {0}")]
    Stream(#[from] h2::Error),
    #[error("redirected: {0}")]
    Astray(String),
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
    dialer: Dialer,
    stream: Option<Stream>,
    answer: Answer,
}

impl Connection {
    /// Connection `number` of its round. None is made yet.
    pub(crate) fn new(target: &Target, number: usize) -> Self {
        Self {
            dialer: Dialer::new(target, number),
            stream: None,
            answer: Answer::new(),
        }
    }

    /// Sends a request and reads the answer to its last byte; the time that a reconnect takes is part of it, as it is
    /// for the user. Redirects are answers like others.
    ///
    /// A server may close an idle connection at the very moment at which a request is sent on it. Where nothing came
    /// back and the method allows it, the request goes out once more on a new connection, and `trace` says so.
    ///
    /// The future may be dropped half way: the connection is then made anew.
    pub(crate) async fn send(
        &mut self,
        request: Outgoing<'_>,
        expecting: Expecting,
        trace: &mut Trace,
    ) -> Result<(), SendError> {
        if request.is_spoilt {
            return Err(SendError::Spoilt);
        }
        // Taken out and put back only after a whole answer: a request that fails or is dropped half way leaves the
        // connection in an unknown state.
        let idle = match self.stream.take() {
            Some(mut stream) => stream.is_quiet(request.is_rested).await.then_some(stream),
            None => None,
        };
        if let Some(stream) = idle {
            match self.exchange(stream, request, expecting).await {
                Err(error) if request.is_repeatable && error.is_end() && self.answer.is_untouched() => {
                    trace.repeated = true;
                }
                outcome => return outcome,
            }
        }
        let (stream, made) = self.dialer.dial().await?;
        trace.made = Some(made);
        self.exchange(stream, request, expecting).await
    }

    /// The answer to the last request.
    pub(crate) fn answer(&mut self) -> &mut Answer {
        &mut self.answer
    }

    async fn exchange(
        &mut self,
        mut stream: Stream,
        request: Outgoing<'_>,
        expecting: Expecting,
    ) -> Result<(), SendError> {
        self.answer.expect(expecting);
        let mut exchange = Exchange {
            stream: Pin::new(&mut stream),
            unsent: request.text,
            is_flushed: false,
            not_sent: None,
            answer: &mut self.answer,
        };
        poll_fn(|context| exchange.poll(context)).await?;
        let is_sent = exchange.is_flushed && exchange.not_sent.is_none();
        let is_reusable = is_sent && !request.closes && self.answer.is_reusable();
        self.stream = is_reusable.then_some(stream);
        Ok(())
    }
}

/// One request and its answer on a connection. Both go on at the same time: a server may answer before it has read a
/// long body, and then reads no more of it.
struct Exchange<'e> {
    stream: Pin<&'e mut Stream>,
    unsent: &'e [u8],
    /// Whether all of it has gone to the socket: TLS may hold back what it has taken.
    is_flushed: bool,
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
                // TLS that ends without a word of farewell: nobody knows whether that was all.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                    Err(SendError::Malformed(self.answer.add(0).err().unwrap_or(Malformed::Cut)))
                }
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
        if !self.is_flushed && self.not_sent.is_none() {
            match self.stream.as_mut().poll_flush(context) {
                Poll::Ready(Ok(())) => self.is_flushed = true,
                Poll::Ready(Err(error)) => self.not_sent = Some(error),
                Poll::Pending => {}
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

#[cfg(test)]
mod tests;
