//! The HTTP server: accepts connections, bounds how long the head of a request may take, and lets what is in flight end
//! at a stop.
//!
//! `axum::serve` knows no bound for heads: a client that sends its headers one byte at a time would
//! hold its connection for ever.

use std::time::Duration;

use axum::Router;
use axum::serve::{Listener, ListenerExt};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

/// Serves `routes` until `stop`, then until every request in flight is answered. A connection whose next request has
/// not sent its whole head within `head_timeout` is closed.
pub async fn serve(listener: TcpListener, routes: Router, head_timeout: Duration, stop: CancellationToken) {
    let mut listener = listener.tap_io(without_delay);
    // Without this the router would be finished anew for each request.
    let service = TowerToHyperService::new(routes.with_state(()));
    let http = protocol(head_timeout);
    let connections = GracefulShutdown::new();
    while let Some((stream, _)) = stop.run_until_cancelled(listener.accept()).await {
        let connection = http.serve_connection(TokioIo::new(stream), service.clone());
        let connection = connections.watch(connection);
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection ended early");
            }
        });
    }
    drop(listener);
    connections.shutdown().await;
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
