//! Behaviours of servers of HTTP/2, good and bad: each request counts once, in the class of what became of it.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use h2::{Reason, server};
use http::{HeaderMap, Response};
use load::{LoadReport, Target};
use measure::record::FailureClass;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use crate::kit::{self, Counted, MODELS, connections, counted};

/// The behaviour of a server towards a request.
#[derive(Debug, Clone, Copy)]
enum Act {
    Answer(u16, &'static str),
    /// An answer whose body comes in pieces, with trailers behind it.
    Pieces,
    /// Gives the stream up.
    Reset(Reason),
    /// Gives the connection up.
    GoAway(Reason),
    /// Keeps the stream, and says nothing.
    Stall,
}

/// Speaks HTTP/2 to whoever connects, and counts the requests.
struct Server {
    address: SocketAddr,
    requests: Arc<AtomicU64>,
}

impl Server {
    async fn start(act: Act) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, requests) = (listener.local_addr().unwrap(), Arc::new(AtomicU64::new(0)));
        let counter = Arc::clone(&requests);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, act, Arc::clone(&counter)));
            }
        });
        Self { address, requests }
    }
}

async fn serve(stream: TcpStream, act: Act, requests: Arc<AtomicU64>) {
    let Ok(mut connection) = server::handshake(stream).await else {
        return;
    };
    let mut kept = Vec::new();
    while let Some(Ok((_, mut respond))) = connection.accept().await {
        requests.fetch_add(1, Ordering::SeqCst);
        match act {
            Act::Answer(status, body) => {
                let head = Response::builder()
                    .status(status)
                    .header("x-kind", "shop")
                    .body(())
                    .unwrap();
                // The client may have gone.
                if let Ok(mut stream) = respond.send_response(head, body.is_empty())
                    && !body.is_empty()
                {
                    let _ = stream.send_data(Bytes::from_static(body.as_bytes()), true);
                }
            }
            Act::Pieces => {
                if let Ok(mut stream) = respond.send_response(Response::new(()), false) {
                    let _ = stream.send_data(Bytes::from_static(b"{"), false);
                    let _ = stream.send_data(Bytes::from_static(b"}"), false);
                    let _ = stream.send_trailers(HeaderMap::new());
                }
            }
            Act::Reset(reason) => respond.send_reset(reason),
            Act::GoAway(reason) => connection.abrupt_shutdown(reason),
            Act::Stall => kept.push(respond),
        }
    }
}

async fn drive(endpoint: &str, model: &str, address: SocketAddr) -> LoadReport {
    let page = kit::page(&format!("path = \"/\"\n{endpoint}"));
    let workload = kit::workload(&format!("[http]\nversion = \"2\"\n{page}"));
    kit::drive(workload, model, Target::at(address)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn every_request_in_frames_is_counted_once_in_the_class_of_its_end() {
    let behaviours = [
        (Act::Answer(200, "{}"), "expect_json = { \"\" = \"*\" }", None),
        (Act::Answer(200, "{}"), "expect_headers = { x-kind = \"shop\" }", None),
        (Act::Answer(204, ""), "", None),
        (Act::Answer(200, ""), "method = \"HEAD\"", None),
        (Act::Answer(200, "{}"), "method = \"POST\"\nbody = { a = 1 }", None),
        (Act::Pieces, "expect_text = \"{{}}\"", None),
        (Act::Answer(500, "no"), "", Some(FailureClass::Status)),
        (
            Act::Answer(200, "{}"),
            "expect_headers = { x-other = \"*\" }",
            Some(FailureClass::Unexpected),
        ),
        (
            Act::Answer(200, "<>"),
            "expect_json = { \"/a\" = 1 }",
            Some(FailureClass::Unexpected),
        ),
        (Act::Reset(Reason::INTERNAL_ERROR), "", Some(FailureClass::Reset)),
        (Act::Stall, "timeout_ms = 40", Some(FailureClass::TimeOut)),
    ];
    for (act, endpoint, class) in behaviours {
        for model in MODELS {
            let name = format!("{act:?}, {endpoint}, {model}");
            let server = Server::start(act).await;
            let report = drive(endpoint, model, server.address).await;
            let (found, requests) = (counted(&report), server.requests.load(Ordering::SeqCst));
            let mut expected = Counted::default();
            for _ in 0..requests {
                match class {
                    Some(class) => expected.failures.add(class),
                    None => expected.answers += 1,
                }
            }
            assert_eq!(found, expected, "{name}: {:?}", report.failures);
            assert!(requests >= 4, "{name}: {requests}");
        }
    }
}

/// A stream that is given up leaves its connection as it was.
#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_fails_does_not_cost_its_connection() {
    for act in [Act::Stall, Act::Reset(Reason::INTERNAL_ERROR)] {
        let server = Server::start(act).await;
        let report = drive("timeout_ms = 40", "closed", server.address).await;
        assert_eq!(connections(&report).opened, 2, "{act:?}: {:?}", report.failures);
    }
}

/// What the server did not look at may be sent again, whatever the method, but not for ever.
#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_is_refused_is_tried_once_more() {
    let server = Server::start(Act::Reset(Reason::REFUSED_STREAM)).await;
    let report = drive("method = \"POST\"", "closed", server.address).await;
    let (found, requests) = (counted(&report), server.requests.load(Ordering::SeqCst));
    assert_eq!(
        (found.answers, found.failures.errors()),
        (0, found.failures.reset),
        "{found:?}"
    );
    assert!(found.repeated > 0, "{found:?}");
    assert_eq!(found.requests() + found.repeated, requests);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_the_server_gives_up_is_made_anew() {
    let server = Server::start(Act::GoAway(Reason::ENHANCE_YOUR_CALM)).await;
    let report = drive("", "closed", server.address).await;
    let found = counted(&report);
    // The connection ends with the word of the server, and its streams with it.
    let ended = found.failures.truncated + found.failures.reset;
    assert_eq!(
        (found.answers, found.failures.errors()),
        (0, ended),
        "{:?}",
        report.failures
    );
    assert!(connections(&report).opened >= 4, "{found:?}");
}

/// The frame with which a server's side of a connection begins: settings, none.
const SETTINGS: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];

/// 1. A client connects. 2. The server says what it is to say. 3. It reads for as long as a request takes, and closes.
async fn say_and_close(listener: TcpListener, said: &'static [u8]) {
    while let Ok((mut stream, _)) = listener.accept().await {
        tokio::spawn(async move {
            let mut read = [0; 1024];
            let _ = stream.write_all(said).await;
            // The preface, then settings and a request.
            let mut count = 0;
            while count < 60 {
                match stream.read(&mut read).await {
                    Ok(0) | Err(_) => return,
                    Ok(more) => count += more,
                }
            }
            let _ = stream.shutdown().await;
        });
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_breaks_below_the_frames_is_told_apart() {
    for (said, class) in [
        (SETTINGS, FailureClass::Truncated),
        (
            b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\n\r\n",
            FailureClass::Unexpected,
        ),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = tokio::spawn(say_and_close(listener, said));
        let report = drive("method = \"POST\"", "closed", address).await;
        let found = counted(&report);
        assert_eq!(
            (found.answers, found.failures.errors()),
            (0, found.failures.of(class)),
            "{class:?}: {:?}",
            report.failures
        );
        assert!(found.failures.errors() >= 2, "{class:?}");
        server.abort();
    }
}
