//! One client's socket: reads what it asks for, writes what waits for it.

use std::sync::Arc;

use axum::extract::ws::{CloseFrame, Message, WebSocket};
use bytes::Bytes;
use chrono::Utc;
use futures_util::SinkExt as _;
use tokio::time::{Duration, timeout};

use super::hub::Admission;
use super::protocol::{Close, FromClient, ToClient};
use super::queue::{ClientQueue, Frame, Next};
use super::shard::{ShardHandle, Subscribing};
use super::subscription::{Refused, Scope, Subscription, Wish};
use crate::auth::TokenKeys;
use crate::metrics::LiveMetrics;

/// How long a client has to take the last frame.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// Refused messages of one client in a row: a person's mistakes, and no endless loop of a program's.
const MISTAKES_MAX: u32 = 16;

/// A client as its session and its shard know it.
pub(super) struct Session {
    pub(super) admission: Admission,
    pub(super) scope: Scope,
    /// Whether the client gets what it asks for, or everything within its scope.
    pub(super) filtering: bool,
    /// Checked again at each ping.
    pub(super) token: Box<str>,
    pub(super) tokens: Arc<TokenKeys>,
    pub(super) queue: Arc<ClientQueue>,
    pub(super) shard: ShardHandle,
    pub(super) metrics: LiveMetrics,
}

/// The socket has failed, or the client has closed it.
struct Gone;

impl Session {
    /// Runs until either side ends the connection.
    pub(super) async fn run(self, mut socket: WebSocket) {
        let ended = self.serve(&mut socket).await;
        self.shard.leave(self.admission.client).await;
        if let Ok(why) = ended {
            self.metrics.closed(why.name());
            let frame = CloseFrame {
                code: why.code(),
                reason: why.reason().into(),
            };
            let said = socket.send(Message::Close(Some(frame)));
            // A client that takes nothing does not take this either.
            let _said = timeout(LAST_WORDS, said).await;
        }
    }

    async fn serve(&self, socket: &mut WebSocket) -> Result<Close, Gone> {
        let mut mistakes = 0;
        loop {
            tokio::select! {
                message = socket.recv() => {
                    let Some(Ok(message)) = message else {
                        return Err(Gone);
                    };
                    self.queue.heard();
                    mistakes = match self.hear(message).await {
                        Ok(()) => 0,
                        Err(()) if mistakes < MISTAKES_MAX => mistakes + 1,
                        Err(()) => return Ok(Close::Protocol),
                    };
                }
                next = self.queue.next() => match next {
                    Next::Close(why) => return Ok(why),
                    Next::Ping if self.tokens.verify(&self.token).is_err() => return Ok(Close::Token),
                    Next::Ping => self.send(socket, vec![Message::Ping(Bytes::new())]).await?,
                    Next::Frames(frames) => {
                        let messages = frames.iter().map(|frame| Message::Text(frame.text.clone())).collect();
                        self.send(socket, messages).await?;
                        self.count(&frames);
                    }
                },
            }
        }
    }

    /// Messages go out together. Gives up when the connection has to end at once.
    async fn send(&self, socket: &mut WebSocket, messages: Vec<Message>) -> Result<(), Gone> {
        let sent = async {
            for message in messages {
                socket.feed(message).await.map_err(|_| Gone)?;
            }
            socket.flush().await.map_err(|_| Gone)
        };
        tokio::select! {
            sent = sent => sent,
            // What is left of a frame on the wire cannot be followed by a close: the socket just ends.
            why = self.queue.forced() => {
                self.metrics.closed(why.name());
                Err(Gone)
            }
        }
    }

    fn count(&self, frames: &[Frame]) {
        let now_ms = Utc::now().timestamp_millis();
        for frame in frames {
            self.metrics.frames.inc();
            self.metrics.bytes.inc_by(frame.text.len() as u64);
            self.metrics.events.inc_by(frame.events);
            if let Some(at_ms) = frame.at_ms {
                self.metrics.latency.observe((now_ms - at_ms).max(0) as f64 / 1e3);
            }
        }
    }

    /// Errors: the message was refused, which the client is told.
    async fn hear(&self, message: Message) -> Result<(), ()> {
        let text = match message {
            Message::Text(text) => text,
            // A close is answered by the library, and the next read ends.
            Message::Ping(_) | Message::Pong(_) | Message::Close(_) => return Ok(()),
            Message::Binary(_) => return self.refuse("send text, not binary"),
        };
        match serde_json::from_str(&text) {
            Ok(FromClient::Unsubscribe {}) => {
                self.shard.leave_class(self.admission.client).await;
                Ok(())
            }
            Ok(FromClient::Subscribe(wish)) => {
                let granted = self.grant(&wish);
                let position = wish.position.as_deref().map(str::parse).transpose();
                match (granted, position) {
                    (Err(refused), _) => self.refuse(&refused),
                    (_, Err(_)) => self.refuse("position is none that this service has given"),
                    (Ok(subscription), Ok(position)) => {
                        let client = self.admission.client;
                        let wish = Subscribing {
                            client,
                            subscription,
                            position,
                        };
                        self.shard.subscribe(wish).await;
                        Ok(())
                    }
                }
            }
            Err(error) => self.refuse(&error.to_string()),
        }
    }

    fn grant(&self, wish: &Wish) -> Result<Subscription, Refused> {
        let granted = Subscription::of(wish, self.scope)?;
        Ok(if self.filtering {
            granted
        } else {
            Subscription::everything(self.scope)
        })
    }

    fn refuse(&self, detail: &str) -> Result<(), ()> {
        self.queue.push(Frame::notice(ToClient::Error { detail }.text()));
        Err(())
    }
}
