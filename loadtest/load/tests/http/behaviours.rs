//! Behaviours of servers, good and bad, over raw sockets, plain and encrypted, under both load models: each request
//! counts once, in the class of what became of it.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use load::{LoadReport, Target};
use measure::record::{FailureClass, FailureGroup, Failures};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use socket2::SockRef;

use crate::{
    kit::{self, Counted, MODELS, connections, counted},
    pki::Pki,
};

/// Encryption of a server; none in plain text.
type Encryption = Option<Arc<ServerConfig>>;

/// The behaviour of a server towards a request that it has read to the empty line.
#[derive(Clone, Copy)]
enum Act {
    /// Writes it, and waits for the next request.
    Answer(&'static str),
    /// Writes it, and closes the connection.
    Last(&'static str),
    /// Resets the connection.
    Reset,
    /// Writes it, and nothing more for as long as the test runs.
    Stall(&'static str),
    /// Writes it byte by byte.
    Drip(&'static str),
    /// Answers the first request of a connection; closes it at the second, which it has read, without a byte.
    ClosesAtSecond,
}

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nx-kind: shop\r\n\r\n{}";

struct Server {
    address: SocketAddr,
    /// Requests that were read.
    requests: Arc<AtomicU64>,
}

impl Server {
    /// `acts` in turn, over all connections.
    fn start(acts: &'static [Act]) -> Self {
        Self::encrypted(acts, None)
    }

    /// As [`Self::start`], with encryption.
    fn encrypted(acts: &'static [Act], encryption: Encryption) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = Self {
            address: listener.local_addr().unwrap(),
            requests: Arc::default(),
        };
        let requests = Arc::clone(&server.requests);
        std::thread::spawn(move || {
            // Connections that say nothing more stay open for as long as the test runs.
            let stalled = Arc::new(Mutex::new(Vec::new()));
            for stream in listener.incoming().flatten() {
                let (requests, stalled) = (Arc::clone(&requests), Arc::clone(&stalled));
                let wire = Wire::accept(stream, encryption.as_ref());
                std::thread::spawn(move || {
                    if let Some(stream) = serve(wire, acts, &requests) {
                        stalled.lock().unwrap().push(stream);
                    }
                });
            }
        });
        server
    }
}

/// The server's end of a connection.
enum Wire {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ServerConnection, TcpStream>>),
}

impl Wire {
    fn accept(stream: TcpStream, encryption: Option<&Arc<ServerConfig>>) -> Self {
        stream.set_nodelay(true).unwrap();
        match encryption {
            Some(config) => {
                let session = ServerConnection::new(Arc::clone(config)).unwrap();
                Self::Tls(Box::new(StreamOwned::new(session, stream)))
            }
            None => Self::Plain(stream),
        }
    }

    fn tcp(&self) -> &TcpStream {
        match self {
            Self::Plain(tcp) => tcp,
            Self::Tls(tls) => tls.get_ref(),
        }
    }

    /// Ends it, with the farewell that TLS has.
    fn close(mut self) {
        if let Self::Tls(tls) = &mut self {
            tls.conn.send_close_notify();
            let _ = tls.flush();
        }
    }
}

impl Read for Wire {
    fn read(&mut self, space: &mut [u8]) -> std::io::Result<usize> {
        match self {
            Self::Plain(tcp) => tcp.read(space),
            Self::Tls(tls) => tls.read(space),
        }
    }
}

impl Write for Wire {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        match self {
            Self::Plain(tcp) => tcp.write(bytes),
            Self::Tls(tls) => tls.write(bytes),
        }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        match self {
            Self::Plain(tcp) => tcp.flush(),
            Self::Tls(tls) => tls.flush(),
        }
    }
}

/// Serves one connection; one that is to be left open is given back.
fn serve(stream: Wire, acts: &[Act], requests: &AtomicU64) -> Option<Wire> {
    let mut stream = BufReader::new(stream);
    for served in 0.. {
        read_request(&mut stream)?;
        let number = requests.fetch_add(1, Ordering::SeqCst);
        let act = acts[usize::try_from(number).unwrap() % acts.len()];
        let mut write = |text: &str| {
            let wire = stream.get_mut();
            wire.write_all(text.as_bytes()).and_then(|()| wire.flush()).ok()
        };
        match act {
            Act::Answer(text) => write(text)?,
            Act::Last(text) => {
                write(text)?;
                stream.into_inner().close();
                return None;
            }
            Act::Reset => {
                SockRef::from(stream.get_ref().tcp())
                    .set_linger(Some(Duration::ZERO))
                    .unwrap();
                return None;
            }
            Act::Stall(text) => {
                write(text)?;
                return Some(stream.into_inner());
            }
            Act::Drip(text) => text.chars().try_for_each(|c| write(c.encode_utf8(&mut [0; 4])))?,
            Act::ClosesAtSecond if served == 0 => write(OK)?,
            Act::ClosesAtSecond => {
                stream.into_inner().close();
                return None;
            }
        }
    }
    None
}

/// Reads a request with its body; `None` when the peer has gone.
fn read_request(stream: &mut BufReader<Wire>) -> Option<()> {
    let mut length = 0;
    loop {
        let mut line = String::new();
        match stream.read_line(&mut line) {
            Ok(0) | Err(_) => return None,
            Ok(_) if line == "\r\n" => break,
            Ok(_) => {}
        }
        if let Some(value) = line.strip_prefix("content-length: ") {
            length = value.trim().parse().unwrap();
        }
    }
    std::io::copy(&mut stream.take(length), &mut std::io::sink()).ok()?;
    Some(())
}

/// A server's behaviour, and what must become of every request to it.
struct Behaviour {
    name: &'static str,
    acts: &'static [Act],
    /// Keys of the endpoint beside its path.
    endpoint: &'static str,
    /// In turn, as the acts; none is an answer as expected.
    expected: &'static [Option<FailureClass>],
}

const fn fine(name: &'static str, acts: &'static [Act]) -> Behaviour {
    Behaviour {
        name,
        acts,
        endpoint: "",
        expected: &[None],
    }
}

const fn fails(
    name: &'static str,
    acts: &'static [Act],
    endpoint: &'static str,
    expected: &'static [Option<FailureClass>],
) -> Behaviour {
    Behaviour {
        name,
        acts,
        endpoint,
        expected,
    }
}

const STATUS: &[Option<FailureClass>] = &[Some(FailureClass::Status)];
const TIME_OUT: &[Option<FailureClass>] = &[Some(FailureClass::TimeOut)];
const RESET: &[Option<FailureClass>] = &[Some(FailureClass::Reset)];
const TRUNCATED: &[Option<FailureClass>] = &[Some(FailureClass::Truncated)];
const UNEXPECTED: &[Option<FailureClass>] = &[Some(FailureClass::Unexpected)];
const SHORT: &str = "timeout_ms = 40";

const BEHAVIOURS: &[Behaviour] = &[
    fine("answers and keeps the connection", &[Act::Answer(OK)]),
    fine(
        "answers in chunks",
        &[Act::Answer(
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
        )],
    ),
    fine(
        "quotes in its chunk extensions",
        &[Act::Answer(
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2;a=\"b;c\\\"\"\r\n{}\r\n0;x\r\nt: 1\r\n\r\n",
        )],
    ),
    fine(
        "ends its body with the connection",
        &[Act::Last("HTTP/1.1 200 OK\r\n\r\n{}")],
    ),
    fine("has no content", &[Act::Answer("HTTP/1.1 204 None\r\n\r\n")]),
    fine(
        "made something",
        &[Act::Answer("HTTP/1.1 201 Made\r\ncontent-length: 0\r\n\r\n")],
    ),
    fine(
        "says that it closes",
        &[Act::Last(
            "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\n{}",
        )],
    ),
    fine(
        "closes after each answer without a word",
        &[Act::Last("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}")],
    ),
    fine(
        "announces its answer",
        &[Act::Answer(
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Hints\r\nlink: x\r\n\r\n\
             HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}",
        )],
    ),
    fine("speaks 1.0", &[Act::Last("HTTP/1.0 200 OK\r\n\r\n{}")]),
    fine(
        "speaks 1.0 and stays",
        &[Act::Answer(
            "HTTP/1.0 200 OK\r\nconnection: keep-alive\r\ncontent-length: 2\r\n\r\n{}",
        )],
    ),
    fine(
        "puts tabs around its length",
        &[Act::Answer("HTTP/1.1 200 OK\r\ncontent-length:\t2\t\r\n\r\n{}")],
    ),
    fine(
        "repeats its length in a list",
        &[Act::Answer("HTTP/1.1 200 OK\r\ncontent-length: 2, 2\r\n\r\n{}")],
    ),
    fine("sends byte by byte", &[Act::Drip(OK)]),
    fine(
        "sends more than its answer",
        &[Act::Answer("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}garbage")],
    ),
    fails(
        "holds what is expected of it",
        &[Act::Answer(OK)],
        "expect_headers = { x-kind = \"shop\" }",
        &[None],
    ),
    fails(
        "cannot",
        &[Act::Answer(
            "HTTP/1.1 500 No\r\ncontent-length: 12\r\n\r\n\u{1b}[31mred\u{7}\u{7}\u{7}\u{7}",
        )],
        "",
        STATUS,
    ),
    fails(
        "redirects",
        &[Act::Answer(
            "HTTP/1.1 302 Go\r\nlocation: /x\r\ncontent-length: 0\r\n\r\n",
        )],
        "",
        STATUS,
    ),
    fails(
        "has too many",
        &[Act::Last(
            "HTTP/1.1 429 Wait\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
        )],
        "method = \"POST\"\nbody = { a = 1 }",
        STATUS,
    ),
    fails(
        "cannot every other time",
        &[
            Act::Answer(OK),
            Act::Answer("HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n"),
        ],
        "",
        &[None, Some(FailureClass::Status)],
    ),
    fails("says nothing", &[Act::Stall("")], SHORT, TIME_OUT),
    fails("stops in its head", &[Act::Stall("HTTP/1.1 200 O")], SHORT, TIME_OUT),
    fails(
        "stops in its body",
        &[Act::Stall("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhe")],
        SHORT,
        TIME_OUT,
    ),
    fails("reads and closes", &[Act::Last("")], "", TRUNCATED),
    fails(
        "reads and closes what must not be repeated",
        &[Act::Last("")],
        "method = \"POST\"",
        TRUNCATED,
    ),
    fails(
        "closes in its head",
        &[Act::Last("HTTP/1.1 200 OK\r\nx:")],
        "",
        TRUNCATED,
    ),
    fails(
        "closes in its body",
        &[Act::Last("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhe")],
        "",
        TRUNCATED,
    ),
    fails(
        "closes in a chunk",
        &[Act::Last(
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhe",
        )],
        "",
        TRUNCATED,
    ),
    fails(
        "closes before the last chunk",
        &[Act::Last(
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n",
        )],
        "",
        TRUNCATED,
    ),
    fails("resets", &[Act::Reset], "", RESET),
    fails("speaks no HTTP", &[Act::Answer("SSH-2.0-x\r\n\r\n")], "", UNEXPECTED),
    fails(
        "has no usable length",
        &[Act::Answer("HTTP/1.1 200 OK\r\ncontent-length: two\r\n\r\n{}")],
        "",
        UNEXPECTED,
    ),
    fails(
        "has two lengths",
        &[Act::Answer(
            "HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\n{}",
        )],
        "",
        UNEXPECTED,
    ),
    fails(
        "breaks a chunk",
        &[Act::Answer(
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n{}\r\n",
        )],
        "",
        UNEXPECTED,
    ),
    fails(
        "lacks a header",
        &[Act::Answer(OK)],
        "expect_headers = { x-other = \"*\" }",
        UNEXPECTED,
    ),
    fails(
        "lacks a field",
        &[Act::Answer(OK)],
        "expect_json = { \"/a\" = 1 }",
        UNEXPECTED,
    ),
    fails(
        "sends no JSON",
        &[Act::Answer("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n<>")],
        "expect_json = { \"/a\" = 1 }",
        UNEXPECTED,
    ),
];

async fn drive(endpoint: &str, model: &str, target: Target) -> LoadReport {
    let page = kit::page(&format!("path = \"/\"\n{endpoint}"));
    kit::drive(kit::workload(&page), model, target).await
}

/// The counts that so many requests must give.
fn expected(behaviour: &Behaviour, requests: u64) -> Counted {
    let mut sum = Counted::default();
    for number in 0..requests {
        let turn = usize::try_from(number).unwrap() % behaviour.expected.len();
        match behaviour.expected[turn] {
            Some(class) => sum.failures.add(class),
            None => sum.answers += 1,
        }
    }
    sum
}

/// Everything that failed has a group, with examples that act on no terminal.
fn assert_explained(groups: &[FailureGroup], failures: &Failures, name: &str) {
    let total: u64 = groups.iter().map(|group| group.count).sum();
    assert_eq!(total, failures.errors(), "{name}: {groups:?}");
    for group in groups {
        assert!(!group.examples.is_empty(), "{name}: {group:?}");
        let acts = group.examples.iter().any(|text| text.chars().any(char::is_control));
        assert!(!acts, "{name}: {group:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_request_is_counted_once_in_the_class_of_its_end() {
    for behaviour in BEHAVIOURS {
        for model in MODELS {
            let name = format!("a server that {}, {model} model", behaviour.name);
            let server = Server::start(behaviour.acts);
            let report = drive(behaviour.endpoint, model, Target::at(server.address)).await;
            assert_each_is_counted(behaviour, &name, &server, &report);
        }
    }
}

/// What TLS holds back or adds (tickets, a farewell) changes nothing of what becomes of a request.
#[tokio::test(flavor = "multi_thread")]
async fn encrypted_requests_end_as_plain_ones_do() {
    let pki = Pki::new();
    // Time-outs as short as theirs would end handshakes, of which the server knows nothing.
    let behaviours = BEHAVIOURS.iter().filter(|behaviour| behaviour.endpoint != SHORT);
    for (number, behaviour) in behaviours.enumerate() {
        let model = MODELS[number % MODELS.len()];
        let name = format!("a server that {}, encrypted, {model} model", behaviour.name);
        let server = Server::encrypted(behaviour.acts, Some(pki.server(&[])));
        let target = pki.encrypted(Target::at(server.address));
        let report = drive(behaviour.endpoint, model, target).await;
        assert_each_is_counted(behaviour, &name, &server, &report);
        let made = connections(&report);
        assert!(
            made.opened > 0 && made.full_handshakes + made.resumed_handshakes == made.opened,
            "{name}: {made:?}"
        );
    }
}

/// Every request that the server read was counted once, in its class, with an explanation where it failed.
#[track_caller]
fn assert_each_is_counted(behaviour: &Behaviour, name: &str, server: &Server, report: &LoadReport) {
    let (found, requests) = (counted(report), server.requests.load(Ordering::SeqCst));
    assert!(requests >= 4, "{name}: {requests} requests");
    let expected = Counted {
        // On a connection that was closed before it was read: the server does not know of it.
        repeated: found.repeated,
        ..expected(behaviour, requests)
    };
    assert_eq!(found, expected, "{name}: {:?}", report.failures);
    assert_explained(&report.failures, &found.failures, name);
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_nobody_answers_are_counted_as_that() {
    for model in MODELS {
        let server = Server::start(&[Act::Stall("")]);
        let found = counted(&drive("", model, Target::at(server.address)).await);
        let unanswered = server.requests.load(Ordering::SeqCst);
        let expected = Failures {
            unanswered,
            ..Failures::default()
        };
        assert_eq!((found.answers, found.failures), (0, expected), "{model}");
        assert!(unanswered >= 2, "{model}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_nobody_accepts_are_refused() {
    // Bound, so that nobody else is given the port, and never listening.
    let held = tokio::net::TcpSocket::new_v4().unwrap();
    held.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    for model in MODELS {
        let report = drive("", model, Target::at(held.local_addr().unwrap())).await;
        let found = counted(&report);
        assert_eq!(
            (found.answers, found.failures.errors()),
            (0, found.failures.refused),
            "{model}"
        );
        assert!(found.failures.refused >= 4, "{model}: {found:?}");
        assert_eq!(report.failures.len(), 1, "{model}: {:?}", report.failures);
    }
}

/// The kernel takes the connection, and nobody says a word on it.
#[tokio::test(flavor = "multi_thread")]
async fn a_handshake_that_nobody_answers_is_a_time_out() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let target = Pki::new().encrypted(Target::at(listener.local_addr().unwrap()));
    for model in MODELS {
        let found = counted(&drive(SHORT, model, target.clone()).await);
        assert_eq!(
            (found.answers, found.failures.errors()),
            (0, found.failures.time_out),
            "{model}"
        );
        assert!(found.failures.time_out >= 4, "{model}: {found:?}");
    }
}

/// A request that is sent twice is one request, and as good as its second answer.
#[tokio::test(flavor = "multi_thread")]
async fn requests_that_are_sent_twice_are_counted_apart() {
    for model in MODELS {
        let server = Server::start(&[Act::ClosesAtSecond]);
        let found = counted(&drive("", model, Target::at(server.address)).await);
        let requests = server.requests.load(Ordering::SeqCst);
        assert!(found.repeated >= 2 && found.failures.is_empty(), "{model}: {found:?}");
        assert_eq!(found.answers + found.repeated, requests, "{model}");
        // What must not be repeated fails instead.
        let server = Server::start(&[Act::ClosesAtSecond]);
        let found = counted(&drive("method = \"POST\"", model, Target::at(server.address)).await);
        let requests = server.requests.load(Ordering::SeqCst);
        assert_eq!(
            (found.repeated, found.answers + found.failures.truncated),
            (0, requests),
            "{model}"
        );
        assert!(found.failures.truncated >= 2, "{model}: {found:?}");
    }
}
