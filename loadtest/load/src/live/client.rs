//! One client of a live stream: connects, subscribes, notes what it is shown, and comes back when it is cut off.

use std::{
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use futures_util::{SinkExt as _, StreamExt as _};
use http::{Request, Response};
use scenarios::Vars;
use serde_json::Value;
use tokio::time::{Instant, sleep, timeout};
use tokio_tungstenite::{
    WebSocketStream, client_async_with_config,
    tungstenite::{
        self, Message,
        client::IntoClientRequest as _,
        protocol::{CloseFrame, WebSocketConfig, frame::coding::CloseCode},
    },
};

use super::{Hub, frame::Frame};
use crate::{
    dial::{DialError, Dialer},
    ledger::Seen,
    owed::text,
    stream::Stream,
};

/// From the first byte of TCP to the answer of the handshake, and from there to the subscription.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Between two attempts of one client, doubled from try to try: a service that restarts is back in seconds.
const FIRST_BACK_OFF: Duration = Duration::from_millis(100);
const LONGEST_BACK_OFF: Duration = Duration::from_secs(2);
/// For the last words of a connection that ends.
const CLOSING: Duration = Duration::from_millis(500);
/// tungstenite fills its buffer with zeros before every read: 128 KiB, its default, for each of ten thousand sockets.
const READ_BUFFER_BYTES: usize = 4 * 1024;
/// Nobody sends more in one message to a screen.
const MAX_MESSAGE_BYTES: usize = 16 * 1024 * 1024;
/// Messages kept per client: 1 GB of a thousand clients at the very most.
const MAX_SEEN: usize = 65_536;

type Socket = WebSocketStream<Stream>;

/// Why a client is not connected, or not any more.
#[derive(Debug, thiserror::Error)]
pub(super) enum Lost {
    #[error(transparent)]
    Dial(#[from] DialError),
    #[error("status {status} instead of a WebSocket{said}")]
    Refused { status: u16, said: String },
    #[error("{0}")]
    Protocol(String),
    #[error("closed with code {code}{reason}")]
    Closed { code: u16, reason: String },
    #[error("no subscription within {} s", CONNECT_TIMEOUT.as_secs())]
    NotInTime,
}

impl From<tungstenite::Error> for Lost {
    fn from(error: tungstenite::Error) -> Self {
        match error {
            tungstenite::Error::Http(answer) => Self::Refused {
                status: answer.status().as_u16(),
                said: said(&answer),
            },
            other => Self::Protocol(other.to_string()),
        }
    }
}

fn said(answer: &Response<Option<Vec<u8>>>) -> String {
    let body = answer.body().as_deref().unwrap_or_default();
    let text = String::from_utf8_lossy(&body[..body.len().min(200)]);
    if text.is_empty() {
        String::new()
    } else {
        format!(": {text}")
    }
}

/// A client of a stream, and what it was shown.
pub(super) struct Client {
    hub: Arc<Hub>,
    dialer: Dialer,
    vars: Mutex<Vars>,
    seen: Mutex<Seen>,
}

impl Client {
    /// Number `number` of its hub, with the variables that it drew.
    pub(super) fn new(hub: &Arc<Hub>, number: usize, vars: Vars) -> Self {
        let watches = hub
            .stream
            .watches
            .as_ref()
            .map(|watches| hub.reader.names().hash(&text(watches, &vars)));
        Self {
            dialer: Dialer::offering(&hub.target, number, &[crate::Protocol::Http1]),
            vars: Mutex::new(vars),
            seen: Mutex::new(Seen::watching(watches, MAX_SEEN)),
            hub: Arc::clone(hub),
        }
    }

    pub(super) fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().expect("nothing panics while holding it")
    }

    /// Connects and stays until the hub closes; connects again whenever it is cut off. The first connection is told to
    /// `arrived`, or why there is none.
    pub(super) async fn stay(&self, arrived: impl FnOnce(Result<(), Lost>)) {
        let mut socket = match self.subscribe(false).await {
            Ok(socket) => {
                arrived(Ok(()));
                socket
            }
            Err(error) => return arrived(Err(error)),
        };
        loop {
            let ended = tokio::select! {
                lost = self.watch(&mut socket) => Some(lost),
                () = self.hub.closing.cancelled() => None,
            };
            let Some(lost) = ended else { return close(socket).await };
            self.seen().ends(self.hub.now_us());
            self.hub.lost(&lost);
            let Some(again) = self.come_back().await else { return };
            socket = again;
        }
    }

    /// A new connection in place of one that was cut off; none when the hub closes first.
    async fn come_back(&self) -> Option<Socket> {
        let mut back_off = FIRST_BACK_OFF;
        loop {
            tokio::select! {
                () = sleep(back_off) => (),
                () = self.hub.closing.cancelled() => return None,
            }
            let attempt = tokio::select! {
                attempt = self.subscribe(true) => attempt,
                () = self.hub.closing.cancelled() => return None,
            };
            match attempt {
                Ok(socket) => {
                    self.hub.came_back();
                    return Some(socket);
                }
                Err(error) => self.hub.lost(&error),
            }
            back_off = (back_off * 2).min(LONGEST_BACK_OFF);
        }
    }

    async fn subscribe(&self, again: bool) -> Result<Socket, Lost> {
        timeout(CONNECT_TIMEOUT, self.try_subscribe(again))
            .await
            .unwrap_or(Err(Lost::NotInTime))
    }

    async fn try_subscribe(&self, again: bool) -> Result<Socket, Lost> {
        let (stream, _) = self.dialer.dial().await?;
        let request = self.handshake()?;
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER_BYTES)
            .max_message_size(Some(MAX_MESSAGE_BYTES));
        let (mut socket, _) = client_async_with_config(request, stream, Some(config)).await?;
        for text in self.first_words(again) {
            socket.send(Message::text(text)).await?;
        }
        let spec = &self.hub.stream;
        if spec.ready.is_empty() {
            self.seen().begins(self.hub.now_us());
            return Ok(socket);
        }
        loop {
            let (text, at_us) = self.next(&mut socket).await?;
            if self.says_ready(&text) {
                // What follows is owed, what came before it is shown already.
                self.seen().begins(at_us);
                self.note(&self.hub.reader.read(&text), at_us);
                return Ok(socket);
            }
            self.note(&self.hub.reader.read(&text), at_us);
        }
    }

    fn handshake(&self) -> Result<Request<()>, Lost> {
        let (target, spec) = (&self.hub.target, &self.hub.stream);
        let vars = self.vars();
        let path = text(&spec.path, &vars);
        let scheme = if target.tls.is_some() { "wss" } else { "ws" };
        let mut request = format!("{scheme}://{}{}{path}", target.host, target.base_path).into_client_request()?;
        for (name, value) in &spec.headers {
            let name = name.parse::<http::HeaderName>();
            let value = text(value, &vars).parse::<http::HeaderValue>();
            let (Ok(name), Ok(value)) = (name, value) else {
                return Err(Lost::Protocol(
                    "a header of the handshake has a value that none can hold".to_owned(),
                ));
            };
            request.headers_mut().insert(name, value);
        }
        Ok(request)
    }

    /// Of a client that comes back and knows where it was, the words for that.
    fn first_words(&self, again: bool) -> Vec<String> {
        let (spec, vars) = (&self.hub.stream, self.vars());
        let knows_where = spec.position_slot.is_some_and(|slot| !vars.get(slot).is_null());
        let words = if again && knows_where && !spec.send_again.is_empty() {
            &spec.send_again
        } else {
            &spec.send
        };
        words.iter().map(|template| text(template, &vars)).collect()
    }

    fn says_ready(&self, text: &str) -> bool {
        let Ok(frame) = serde_json::from_str::<Value>(text) else {
            return false;
        };
        let vars = self.vars();
        let ready = &self.hub.stream.ready;
        ready
            .iter()
            .all(|(pointer, expected)| expected.holds(frame.pointer(pointer), &vars))
    }

    /// Notes what it is shown until the connection is over.
    async fn watch(&self, socket: &mut Socket) -> Lost {
        loop {
            match self.next(socket).await {
                Ok((text, at_us)) => self.note(&self.hub.reader.read(&text), at_us),
                Err(lost) => return lost,
            }
        }
    }

    /// The next text and when it came. Pings are answered on the way.
    async fn next(&self, socket: &mut Socket) -> Result<(tungstenite::Utf8Bytes, u64), Lost> {
        loop {
            let message = socket.next().await;
            let at_us = self.hub.now_us();
            match message {
                Some(Ok(Message::Text(text))) => return Ok((text, at_us)),
                Some(Ok(Message::Close(frame))) => return Err(closed(frame)),
                // Reading goes on, and with it what tungstenite answers to pings.
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(error.into()),
                None => return Err(Lost::Protocol("the connection was closed".to_owned())),
            }
        }
    }

    fn note(&self, frame: &Frame, at_us: u64) {
        let mut seen = self.seen();
        for message in &frame.messages {
            seen.shows(*message, at_us);
        }
        drop(seen);
        if let (Some(position), Some(slot)) = (&frame.position, self.hub.stream.position_slot) {
            self.vars().set(slot, Value::String(position.clone()));
        }
    }

    fn vars(&self) -> MutexGuard<'_, Vars> {
        self.vars.lock().expect("nothing panics while holding it")
    }
}

fn closed(frame: Option<CloseFrame>) -> Lost {
    let (code, reason) = frame.map_or((CloseCode::Status, String::new()), |frame| {
        (frame.code, frame.reason.as_str().to_owned())
    });
    Lost::Closed {
        code: code.into(),
        reason: if reason.is_empty() {
            reason
        } else {
            format!(": {reason}")
        },
    }
}

/// Says goodbye; a server that does not answer is left.
async fn close(mut socket: Socket) {
    let until = Instant::now() + CLOSING;
    let goodbye = async {
        if socket.close(None).await.is_ok() {
            while let Some(Ok(_)) = socket.next().await {}
        }
    };
    let _in_time = tokio::time::timeout_at(until, goodbye).await;
}
