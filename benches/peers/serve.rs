//! The plain peers: handlers that do as little as their kind allows, served by axum as anybody would.
//!
//! Run by [`peer`](crate::peer) in a process of its own: `serve KIND` with what it needs in the environment. Prints
//! `listening on http://ADDRESS`, as the service does.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::http::header::{CONTENT_TYPE, HeaderName};
use axum::routing::get;
use bytes::Bytes;
use redis::AsyncCommands as _;
use redis::aio::MultiplexedConnection;
use tokio::net::TcpListener;

use crate::Failure;

/// The word on the command line that makes this executable a peer.
pub(crate) const COMMAND: &str = "serve-peer";
/// Names the file with the body that every driver has.
pub(crate) const BODY_FILE: &str = "PEER_BODY_FILE";
/// How many drivers there are.
pub(crate) const DRIVERS: &str = "PEER_DRIVERS";
/// Where Redis is.
pub(crate) const REDIS_URL: &str = "REDIS_URL";

const ROUTE: &str = "/admin/drivers/{id}";
const JSON: [(HeaderName, &str); 1] = [(CONTENT_TYPE, "application/json")];

type Answer = Result<([(HeaderName, &'static str); 1], Bytes), StatusCode>;

/// Serves until it is killed.
pub(crate) fn run(arguments: &[String]) -> Result<(), Failure> {
    let kind = arguments.first().map(String::as_str).unwrap_or_default();
    tokio::runtime::Runtime::new()?.block_on(async {
        let routes = match kind {
            "static" => one_answer()?,
            "moka" => a_map()?,
            "redis" => one_get().await?,
            other => return Err(format!("there is no peer `{other}`").into()),
        };
        serve(routes).await
    })
}

async fn serve(routes: Router) -> Result<(), Failure> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("listening on http://{}", listener.local_addr()?);
    axum::serve(
        axum::serve::ListenerExt::tap_io(listener, |stream| {
            // As the service does; a failure would only cost time.
            let _ = stream.set_nodelay(true);
        }),
        routes,
    )
    .await?;
    Ok(())
}

fn variable(name: &str) -> Result<String, Failure> {
    std::env::var(name).map_err(|_| format!("{name} is not set").into())
}

fn body() -> Result<Bytes, Failure> {
    Ok(std::fs::read(variable(BODY_FILE)?)?.into())
}

/// Answers everybody with one body.
fn one_answer() -> Result<Router, Failure> {
    let body = body()?;
    Ok(Router::new().route(ROUTE, get(move || std::future::ready((JSON, body.clone())))))
}

/// A lookup in moka.
fn a_map() -> Result<Router, Failure> {
    let (body, drivers) = (body()?, variable(DRIVERS)?.parse::<u32>()?);
    let map = moka::sync::Cache::new(u64::from(drivers) * 2);
    for id in 1..=drivers {
        map.insert(id, body.clone());
    }
    let look = |State(map): State<Arc<moka::sync::Cache<u32, Bytes>>>, Path(id): Path<u32>| {
        let answer: Answer = map.get(&id).map(|body| (JSON, body)).ok_or(StatusCode::NOT_FOUND);
        std::future::ready(answer)
    };
    Ok(Router::new().route(ROUTE, get(look)).with_state(Arc::new(map)))
}

/// One GET over a shared connection.
async fn one_get() -> Result<Router, Failure> {
    let client = redis::Client::open(variable(REDIS_URL)?)?;
    let connection = client.get_multiplexed_async_connection().await?;
    Ok(Router::new().route(ROUTE, get(fetch)).with_state(connection))
}

/// The name under which [`peer`](crate::peer) has stored a driver.
pub(crate) fn redis_key(id: u32) -> String {
    format!("peer:driver:{id}")
}

async fn fetch(State(mut connection): State<MultiplexedConnection>, Path(id): Path<u32>) -> Answer {
    let body: Option<Vec<u8>> = connection
        .get(redis_key(id))
        .await
        .map_err(|_| StatusCode::BAD_GATEWAY)?;
    body.map(|body| (JSON, body.into())).ok_or(StatusCode::NOT_FOUND)
}
