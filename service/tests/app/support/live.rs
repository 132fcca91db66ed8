//! A live client.

use std::collections::BTreeMap;

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use socket2::SockRef;
use tokio::net::{TcpSocket, TcpStream};
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::handshake::client::Request;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, client_async, connect_async};

use super::{PATIENCE, Token, eventually};

/// A WebSocket to a service.
pub(crate) struct LiveClient {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    /// Events that were received, by name: how often.
    pub(crate) seen: BTreeMap<String, u32>,
    /// The last position.
    pub(crate) position: Option<String>,
}

impl LiveClient {
    /// Connects, or gives the status of the refusal.
    pub(crate) async fn try_connect(address: &str, token: Option<&Token>) -> Result<Self, u16> {
        match connect_async(Self::request(address, token)).await {
            Ok((socket, _)) => Ok(Self::on(socket)),
            Err(tungstenite::Error::Http(refused)) => Err(refused.status().as_u16()),
            Err(error) => panic!("no answer: {error}"),
        }
    }

    /// Connects to a service that may be gone, or die meanwhile: then `None`.
    pub(crate) async fn reach(address: &str, token: &Token) -> Option<Self> {
        let (socket, _) = connect_async(Self::request(address, Some(token))).await.ok()?;
        Some(Self::on(socket))
    }

    /// Connects as a browser does, which names its token as a subprotocol.
    pub(crate) async fn connect_as_browser(address: &str, token: &Token) -> Self {
        let mut request = format!("ws://{address}/live").into_client_request().expect("a request");
        let protocols = HeaderValue::try_from(format!("live.v1, bearer.{}", token.0)).expect("a header");
        request.headers_mut().insert("sec-websocket-protocol", protocols);
        eventually("browsers are let in", async || {
            let (socket, answer) = connect_async(request.clone()).await.ok()?;
            assert_eq!(answer.headers()["sec-websocket-protocol"], "live.v1");
            Some(Self::on(socket))
        })
        .await
    }

    /// Subscribes, and leaves everything unread, of which the system keeps little.
    pub(crate) async fn subscribed_with_small_window(address: &str, token: &Token, wish: Value) -> Self {
        let mut client = eventually("live clients are let in", async || {
            let socket = TcpSocket::new_v4().expect("a socket");
            socket.set_recv_buffer_size(4_096).expect("a small buffer");
            // The sender's buffer is made for some segments, and those of the loopback device have 64 KiB.
            SockRef::from(&socket).set_tcp_mss(1_400).expect("small segments");
            let stream = socket.connect(address.parse().expect("an address")).await.ok()?;
            let request = Self::request(address, Some(token));
            let (socket, _) = client_async(request, MaybeTlsStream::Plain(stream)).await.ok()?;
            Some(Self::on(socket))
        })
        .await;
        client.subscribe(wish).await;
        client
    }

    fn request(address: &str, token: Option<&Token>) -> Request {
        let mut request = format!("ws://{address}/live").into_client_request().expect("a request");
        if let Some(token) = token {
            let header = HeaderValue::try_from(format!("Bearer {}", token.0)).expect("a header");
            request.headers_mut().insert("authorization", header);
        }
        request
    }

    fn on(socket: WebSocketStream<MaybeTlsStream<TcpStream>>) -> Self {
        Self {
            socket,
            seen: BTreeMap::new(),
            position: None,
        }
    }

    /// Connects once the service shows events.
    pub(crate) async fn connect(address: &str, token: &Token) -> Self {
        eventually("live clients are let in", async || {
            Self::try_connect(address, Some(token)).await.ok()
        })
        .await
    }

    /// Connects and subscribes to `wish`, an object.
    pub(crate) async fn subscribed(address: &str, token: &Token, wish: Value) -> Self {
        let mut client = Self::connect(address, token).await;
        client.subscribe(wish).await;
        client
    }

    pub(crate) async fn say(&mut self, text: &str) {
        assert!(self.try_say(text).await, "not sent: {text}");
    }

    /// Whether it was sent.
    pub(crate) async fn try_say(&mut self, text: &str) -> bool {
        self.socket.send(Message::text(text)).await.is_ok()
    }

    /// Subscribes, and gives what came before the answer.
    pub(crate) async fn subscribe(&mut self, mut wish: Value) -> Vec<Value> {
        wish["type"] = json!("subscribe");
        self.say(&wish.to_string()).await;
        let mut before = Vec::new();
        loop {
            let message = self.message().await;
            if message["type"] == "subscribed" {
                return before;
            }
            before.push(message);
        }
    }

    /// The next message, whatever it is; fails the test when none comes, or the connection ends.
    pub(crate) async fn message(&mut self) -> Value {
        match self.frame().await {
            Ok(message) => message,
            Err(code) => panic!("closed with {code}"),
        }
    }

    /// The next message, or the code with which the connection has ended; 1006: without one.
    pub(crate) async fn frame(&mut self) -> Result<Value, u16> {
        loop {
            let next = tokio::time::timeout(PATIENCE, self.socket.next())
                .await
                .expect("a message in time");
            match next {
                Some(Ok(Message::Text(text))) => return Ok(self.note(&text)),
                Some(Ok(Message::Close(frame))) => return Err(frame.map_or(1005, |frame| frame.code.into())),
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Err(1006),
            }
        }
    }

    fn note(&mut self, text: &str) -> Value {
        let message: Value = serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"));
        if let Some(position) = message["position"].as_str() {
            self.position = Some(position.to_owned());
        }
        for event in message["events"].as_array().into_iter().flatten() {
            let name = event["event_id"].as_str().expect("a name").to_owned();
            *self.seen.entry(name).or_default() += 1;
        }
        message
    }

    /// The next event of this kind, passing over other messages.
    pub(crate) async fn event(&mut self, kind: &str) -> Value {
        loop {
            let message = self.message().await;
            let events = message["events"].as_array().cloned().unwrap_or_default();
            if let Some(event) = events.into_iter().find(|event| event["kind"] == kind) {
                return event;
            }
        }
    }

    /// The code with which the connection ends, passing over what comes before.
    pub(crate) async fn close_code(&mut self) -> u16 {
        loop {
            if let Err(code) = self.frame().await {
                return code;
            }
        }
    }

    /// Ends the connection from this side.
    pub(crate) async fn leave(mut self) {
        // Whatever is left unread ends with it.
        let _closed = self.socket.close(None).await;
        while let Some(Ok(_)) = self.socket.next().await {}
    }
}
