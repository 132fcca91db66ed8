//! HTTP/2: a connection that several users or slots may share, each with one request in flight.
//!
//! What belongs here: streams and their frames, by h2. What does not: how a connection comes about (`dial`), and what
//! an answer is worth (`caller`).

use std::{future::poll_fn, sync::Arc, task::Poll};

use bytes::Bytes;
use h2::{
    Reason,
    client::{Builder, SendRequest},
};
use tokio::{sync::Mutex, task::yield_now, time::Instant};

use crate::{
    answer::{Answer, Expecting},
    connection::{SendError, Trace},
    dial::Dialer,
    request::Framed,
    target::Target,
    timeline::micros,
};

/// What a server may send of one answer before we have read it: more than most answers have, so that their time is not
/// one of asking for more.
const STREAM_WINDOW_BYTES: u32 = 1024 * 1024;
/// The same for all streams of a connection together.
const CONNECTION_WINDOW_BYTES: u32 = 16 * 1024 * 1024;

/// A connection whose streams several users share; made when first needed, and again after its end. All of them live on
/// one thread: h2 keeps the streams of a connection behind one lock.
pub(crate) struct SharedConnection {
    dialer: Dialer,
    /// Held while a connection is made: whoever else needs it waits for that one.
    present: Mutex<Present>,
}

#[derive(Default)]
struct Present {
    /// How many connections were made.
    number: u64,
    streams: Option<SendRequest<Bytes>>,
}

impl SharedConnection {
    /// Connection `number` of its round. None is made yet.
    pub(crate) fn new(target: &Target, number: usize) -> Self {
        Self {
            dialer: Dialer::new(target, number),
            present: Mutex::default(),
        }
    }

    /// Where streams are opened on the present connection, made now where there is none.
    async fn lane(&self, trace: &mut Trace) -> Result<Lane, SendError> {
        let mut present = self.present.lock().await;
        if let Some(streams) = &present.streams {
            return Ok(Lane {
                streams: streams.clone(),
                number: present.number,
                is_new: false,
            });
        }
        let (stream, made) = self.dialer.dial().await?;
        let (streams, connection) = Builder::new()
            .initial_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .enable_push(false)
            .handshake(stream)
            .await?;
        trace.made = Some(made);
        // It ends with its connection, or when nobody opens streams on it any more. What broke it is told to them.
        tokio::spawn(async move {
            let _ = connection.await;
        });
        present.number += 1;
        present.streams = Some(streams.clone());
        Ok(Lane {
            streams,
            number: present.number,
            is_new: true,
        })
    }

    /// Opens no more streams on connection `number`.
    async fn forget(&self, number: u64) {
        let mut present = self.present.lock().await;
        if present.number == number {
            present.streams = None;
        }
    }
}

/// Where one user or slot opens its streams.
struct Lane {
    streams: SendRequest<Bytes>,
    /// Number of the connection.
    number: u64,
    /// Whether the connection was made for the request that is to be sent.
    is_new: bool,
}

/// The part that one user or slot has in a connection.
pub(crate) struct Multiplexed {
    shared: Arc<SharedConnection>,
    /// Kept from one request to the next, so that they need not ask for it.
    lane: Option<Lane>,
    answer: Answer,
}

impl Multiplexed {
    pub(crate) fn new(shared: Arc<SharedConnection>) -> Self {
        Self {
            shared,
            lane: None,
            answer: Answer::new(),
        }
    }

    /// Sends a request and reads the answer to its last byte, as [`crate::connection::Connection::send`] does.
    ///
    /// The future may be dropped half way: the server is told that its stream is given up, and the connection stays.
    pub(crate) async fn send(
        &mut self,
        request: &Framed,
        is_rested: bool,
        expecting: Expecting,
        trace: &mut Trace,
    ) -> Result<(), SendError> {
        if is_rested {
            // Whoever reads the connection hears first of an end that came meanwhile.
            yield_now().await;
        }
        self.answer.expect(expecting);
        // Put back only after a whole answer.
        let lane = match self.lane.take() {
            Some(lane) => lane,
            None => self.shared.lane(trace).await?,
        };
        let (number, is_new) = (lane.number, lane.is_new);
        let Err(error) = self.exchange(lane, request, trace).await else {
            return Ok(());
        };
        if error.is_of_connection() {
            self.shared.forget(number).await;
        }
        if is_new || !error.may_repeat(request.is_repeatable) || !self.answer.is_untouched() {
            return Err(error.into());
        }
        trace.repeated = matches!(error, StreamError::Sent(_));
        let lane = self.shared.lane(trace).await?;
        Ok(self.exchange(lane, request, trace).await?)
    }

    /// The answer to the last request.
    pub(crate) fn answer(&mut self) -> &mut Answer {
        &mut self.answer
    }

    async fn exchange(&mut self, mut lane: Lane, request: &Framed, trace: &mut Trace) -> Result<(), StreamError> {
        let streams = &mut lane.streams;
        poll_fn(|context| streams.poll_ready(context))
            .await
            .map_err(StreamError::Unsent)?;
        let has_body = !request.body.is_empty();
        let (answer, mut body) = streams
            .send_request(request.head.clone(), !has_body)
            .map_err(StreamError::Unsent)?;
        if has_body {
            body.send_data(request.body.clone(), true).map_err(StreamError::Sent)?;
        }
        wait_for_stream(streams, trace).await?;
        let (head, mut body) = answer.await.map_err(StreamError::Sent)?.into_parts();
        self.answer.begin_content(head.status.as_u16(), head.headers);
        while let Some(data) = body.data().await {
            let data = data.map_err(StreamError::Sent)?;
            self.answer.add_content(&data);
            // It was read: the server may send as much again. Fails only for a stream that is over.
            let _ = body.flow_control().release_capacity(data.len());
        }
        self.answer.end_content();
        if request.closes {
            self.shared.forget(lane.number).await;
        } else {
            lane.is_new = false;
            self.lane = Some(lane);
        }
        Ok(())
    }
}

/// Waits until the stream of the last request is open: the server allows only so many at once.
async fn wait_for_stream(streams: &mut SendRequest<Bytes>, trace: &mut Trace) -> Result<(), StreamError> {
    if let Poll::Ready(ready) = poll_fn(|context| Poll::Ready(streams.poll_ready(context))).await {
        return ready.map_err(StreamError::Unsent);
    }
    let began = Instant::now();
    let opened = poll_fn(|context| streams.poll_ready(context)).await;
    trace.stream_wait_us = Some(micros(began.elapsed()));
    // It may have been opened just before the connection broke.
    opened.map_err(StreamError::Sent)
}

/// Why there was no answer on a stream.
enum StreamError {
    /// The request never left.
    Unsent(h2::Error),
    /// It may have been read.
    Sent(h2::Error),
}

impl StreamError {
    fn cause(&self) -> &h2::Error {
        match self {
            Self::Unsent(cause) | Self::Sent(cause) => cause,
        }
    }

    /// Whether no stream can be opened on its connection any more.
    fn is_of_connection(&self) -> bool {
        !self.cause().is_reset()
    }

    /// Whether the request may go out once more: the server did nothing with it (RFC 9113, section 8.7), or the
    /// connection ended and nothing else went wrong.
    fn may_repeat(&self, is_repeatable: bool) -> bool {
        match self {
            Self::Unsent(_) => true,
            Self::Sent(cause) if cause.reason() == Some(Reason::REFUSED_STREAM) => true,
            Self::Sent(cause) => is_repeatable && (cause.is_io() || cause.reason() == Some(Reason::NO_ERROR)),
        }
    }
}

impl From<StreamError> for SendError {
    fn from(error: StreamError) -> Self {
        let (StreamError::Unsent(cause) | StreamError::Sent(cause)) = error;
        Self::Stream(cause)
    }
}
