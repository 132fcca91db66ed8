//! The HTTP server: accepts connections, bounds how long the head of a request may take, and lets what is in flight end
//! at a stop.
//!
//! `axum::serve` knows no bound for heads: a client that sends its headers one byte at a time would
//! hold its connection for ever.

use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::header::UPGRADE;
use axum::http::{Method, Request, Response};
use axum::serve::{Listener, ListenerExt};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::HttpConfig;
use crate::shares::{Share, Shares};

/// How long a connection on which nothing is being answered may go on at a stop: for a head that is on its way, and for
/// the rest of an answer. A head that does not come must not hold the stop.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// The address that has connected; with requests that write, since nobody else asks for it.
#[derive(Debug, Clone, Copy)]
pub struct PeerAddress(pub IpAddr);

/// The client's share of connections, with requests for another protocol: whoever goes on with the socket keeps it.
#[derive(Clone)]
pub struct ConnectionShare(
    #[expect(dead_code, reason = "held for what it gives back when it is dropped")] Arc<Share<IpAddr>>,
);

/// Serves `routes` until `stop`, then until every request in flight is answered. A connection whose next request has
/// not sent its whole head within the configured time is closed, and so is a new one of an address that has as many as
/// it may have.
pub async fn serve(listener: TcpListener, routes: Router, config: HttpConfig, stop: CancellationToken) {
    let mut listener = listener.tap_io(without_delay);
    // Without this the router would be finished anew for each request.
    let service = TowerToHyperService::new(routes.with_state(()));
    let http = protocol(config.head_timeout);
    let shares = Shares::new(config.max_connections_per_address);
    let connections = TaskTracker::new();
    while let Some((stream, peer)) = stop.run_until_cancelled(listener.accept()).await {
        let Some(share) = shares.take(peer.ip()) else {
            tracing::debug!(%peer, "one connection too many of its address");
            continue;
        };
        let service = service.clone();
        let call = move |request| service.call(request);
        let client = Client {
            address: peer.ip(),
            share: ConnectionShare(Arc::new(share)),
        };
        connections.spawn(answer(http.clone(), stream, client, call, stop.clone()));
    }
    drop(listener);
    connections.close();
    connections.wait().await;
}

/// Whose connection it is.
struct Client {
    address: IpAddr,
    share: ConnectionShare,
}

/// Answers the requests of one connection until it is closed, or until `stop`.
async fn answer<F>(
    http: http1::Builder,
    stream: TcpStream,
    client: Client,
    call: impl Fn(Request<Incoming>) -> F + Send + 'static,
    stop: CancellationToken,
) where
    F: Future<Output = Result<Response<Body>, std::convert::Infallible>> + Send + 'static,
{
    let answering = Arc::new(AtomicUsize::new(0));
    let service = service_fn(|mut request: Request<Incoming>| {
        if request.method() == Method::POST {
            request.extensions_mut().insert(PeerAddress(client.address));
        }
        if request.headers().contains_key(UPGRADE) {
            request.extensions_mut().insert(client.share.clone());
        }
        let (answering, answer) = (Answering::begin(&answering), call(request));
        async move {
            let _answering = answering;
            answer.await
        }
    });
    let mut connection = pin!(http.serve_connection(TokioIo::new(stream), service).with_upgrades());
    let ended = tokio::select! {
        ended = connection.as_mut() => Some(ended),
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            // Asked before each wait: a request that arrives with the last words is answered, too.
            loop {
                if let Ok(ended) = timeout(LAST_WORDS, connection.as_mut()).await {
                    break Some(ended);
                }
                if answering.load(Ordering::Relaxed) == 0 {
                    break None;
                }
            }
        }
    };
    if let Some(Err(error)) = ended {
        tracing::debug!(%error, "a connection ended early");
    }
}

/// A request that is being answered. Relaxed: asked by the task that counts.
struct Answering(Arc<AtomicUsize>);

impl Answering {
    fn begin(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(count))
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

fn protocol(head_timeout: Duration) -> http1::Builder {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(head_timeout);
    http
}

/// Small answers must not wait for the acknowledgement of the packet before (Nagle's algorithm).
fn without_delay(stream: &mut TcpStream) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "a connection keeps Nagle's algorithm");
    }
}
