//! A server that does as little as one can: 600 bytes, always the same, over keep-alive HTTP/1.1. What the cost of
//! generators is measured against (`loadtest/examples/cost.py`).
//!
//! It prints `listening on http://127.0.0.1:PORT` and serves until it is killed.

use std::convert::Infallible;

use bytes::Bytes;
use http_body_util::Full;
use hyper::{Response, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};

const BODY: Bytes = Bytes::from_static(&[b'x'; 600]);

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("listening on http://{}", listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept().await?;
        tokio::spawn(serve(stream));
    }
}

/// A connection that breaks is the generator's business.
async fn serve(stream: TcpStream) {
    let answer = service_fn(|_| async { Ok::<_, Infallible>(Response::new(Full::new(BODY))) });
    let _ = stream.set_nodelay(true);
    let _ = http1::Builder::new()
        .serve_connection(TokioIo::new(stream), answer)
        .await;
}
