//! Connections against sockets that do what servers do, good and bad.

use std::{
    io::{BufRead, BufReader, Write},
    net::{SocketAddr, TcpListener},
    sync::mpsc::{Receiver, sync_channel},
};

use super::*;
use crate::stream::is_empty;

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nhost: h\r\n\r\n";
const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
/// An address where connections are refused for as long as the socket is held: bound, and never listening.
fn silent() -> (tokio::net::TcpSocket, SocketAddr) {
    let held = tokio::net::TcpSocket::new_v4().unwrap();
    held.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = held.local_addr().unwrap();
    (held, address)
}

/// More than any test here sends.
const MOST_REQUESTS: usize = 10;
const PLAIN: Expecting = Expecting {
    head_only: false,
    body: false,
};

/// Answers the requests of each connection with its texts, one each, and closes it after the last; one without texts
/// reads a request and stays open. The number of the connection of each request is told on the channel.
fn serve(connections: Vec<Vec<&'static str>>) -> (Connection, Receiver<usize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let target = Target::at(listener.local_addr().unwrap());
    let (read, requests) = sync_channel(MOST_REQUESTS);
    std::thread::spawn(move || {
        let mut open = Vec::new();
        for (number, texts) in connections.into_iter().enumerate() {
            let mut stream = BufReader::new(listener.accept().unwrap().0);
            for text in &texts {
                if read_request(&mut stream).is_none() {
                    break;
                }
                read.send(number).unwrap();
                stream.get_mut().write_all(text.as_bytes()).unwrap();
            }
            if texts.is_empty() && read_request(&mut stream).is_some() {
                read.send(number).unwrap();
                open.push(stream);
            }
        }
    });
    (Connection::new(&target, 0), requests)
}

/// To the empty line; `None` when the peer has gone.
fn read_request(stream: &mut impl BufRead) -> Option<()> {
    loop {
        let mut line = String::new();
        match stream.read_line(&mut line) {
            Ok(0) | Err(_) => return None,
            Ok(_) if line == "\r\n" => return Some(()),
            Ok(_) => {}
        }
    }
}

/// A GET, after a pause.
const GET: Outgoing<'_> = Outgoing {
    text: REQUEST,
    closes: false,
    is_spoilt: false,
    is_repeatable: true,
    is_rested: true,
};

async fn status(connection: &mut Connection) -> Result<u16, SendError> {
    send(connection, GET).await.0
}

/// The status, and whether it was sent twice.
async fn send(connection: &mut Connection, request: Outgoing<'_>) -> (Result<u16, SendError>, bool) {
    let mut trace = Trace::default();
    let sent = connection.send(request, PLAIN, &mut trace).await;
    (sent.map(|()| connection.answer.status()), trace.repeated)
}

#[tokio::test]
async fn one_connection_serves_one_request_after_the_other() {
    let (mut connection, requests) = serve(vec![vec![OK, OK, OK]]);
    for _ in 0..3 {
        assert_eq!(status(&mut connection).await.unwrap(), 200);
    }
    assert_eq!(requests.iter().collect::<Vec<_>>(), [0, 0, 0]);
}

#[tokio::test]
async fn a_connection_that_the_answer_closes_is_made_anew() {
    let closing = "HTTP/1.1 302 Go\r\nlocation: /x\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
    let (mut connection, _requests) = serve(vec![vec![closing, OK], vec![OK]]);
    assert_eq!(status(&mut connection).await.unwrap(), 302, "a redirect is an answer");
    assert!(connection.stream.is_none());
    assert_eq!(status(&mut connection).await.unwrap(), 200);
}

/// A server may close an idle connection without a word: the user sees no error, as with any client.
#[tokio::test]
async fn a_connection_that_was_closed_while_idle_is_made_anew() {
    let (mut connection, _requests) = serve(vec![vec![OK], vec![OK]]);
    assert_eq!(status(&mut connection).await.unwrap(), 200);
    connection.stream.as_ref().unwrap().tcp().readable().await.unwrap();
    assert_eq!(status(&mut connection).await.unwrap(), 200);
}

#[tokio::test]
async fn what_breaks_is_an_error_and_the_next_request_begins_anew() {
    let half = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhe";
    let (mut connection, _requests) = serve(vec![vec![half], vec![""], vec!["nonsense\r\n\r\n"], vec![OK]]);
    for said in [
        "closed before the answer was complete",
        "closed before an answer came",
        "not HTTP/1.1",
    ] {
        let error = status(&mut connection).await.unwrap_err();
        assert!(error.to_string().contains(said), "{error}");
    }
    assert_eq!(status(&mut connection).await.unwrap(), 200);
}

/// The answer to the request that was given up must never be taken for that to the next one.
#[tokio::test]
async fn a_request_that_was_given_up_takes_its_connection_with_it() {
    let (mut connection, requests) = serve(vec![vec![], vec![OK]]);
    let arrived = tokio::task::spawn_blocking(move || requests.recv().map(|number| (number, requests)));
    let (number, requests) = tokio::select! {
        answered = status(&mut connection) => panic!("{answered:?}"),
        arrived = arrived => arrived.unwrap().unwrap(),
    };
    assert_eq!((number, connection.stream.is_none()), (0, true));
    assert_eq!(status(&mut connection).await.unwrap(), 200);
    assert_eq!(requests.recv(), Ok(1));
}

#[tokio::test]
async fn nobody_there_is_an_error_with_its_reason() {
    let (_held, silent) = silent();
    let error = status(&mut Connection::new(&Target::at(silent), 0)).await.unwrap_err();
    assert!(error.to_string().starts_with("cannot connect: "), "{error}");
}

/// RFC 9112, section 9.6: who said that it closes must not send another request.
#[tokio::test]
async fn a_request_that_closes_its_connection_is_the_last_on_it() {
    let (mut connection, requests) = serve(vec![vec![OK, OK], vec![OK]]);
    let closing = Outgoing { closes: true, ..GET };
    assert_eq!(send(&mut connection, closing).await.0.unwrap(), 200);
    assert!(connection.stream.is_none());
    assert_eq!(status(&mut connection).await.unwrap(), 200);
    drop(connection);
    assert_eq!(requests.iter().take(2).collect::<Vec<_>>(), [0, 1]);
}

/// 1. The server answers and keeps the connection. 2. It closes it while it is idle; the runtime has not looked since.
/// 3. The next request goes out on a new connection, whatever its method: nothing was sent on the old one.
#[tokio::test]
async fn an_end_that_only_the_kernel_knows_of_is_seen_before_the_next_request() {
    for is_repeatable in [true, false] {
        let (mut connection, requests) = serve(vec![vec![OK], vec![OK]]);
        let request = Outgoing { is_repeatable, ..GET };
        assert_eq!(send(&mut connection, request).await.0.unwrap(), 200);
        let stream = connection.stream.as_ref().unwrap();
        // The end has come, and no await has let the runtime know.
        while is_empty(stream.tcp()) {
            std::thread::yield_now();
        }
        let (answered, repeated) = send(&mut connection, request).await;
        assert_eq!((answered.unwrap(), repeated), (200, false));
        assert_eq!(requests.iter().take(2).collect::<Vec<_>>(), [0, 1]);
    }
}

/// The server reads the second request of a connection and closes it without a byte.
#[tokio::test]
async fn a_request_without_any_answer_is_sent_once_more_where_its_method_allows_it() {
    let closes_at_second = || serve(vec![vec![OK, ""], vec![OK]]);
    let (mut connection, requests) = closes_at_second();
    assert_eq!(status(&mut connection).await.unwrap(), 200);
    let (answered, repeated) = send(&mut connection, GET).await;
    assert_eq!((answered.unwrap(), repeated), (200, true));
    assert_eq!(requests.iter().take(3).collect::<Vec<_>>(), [0, 0, 1]);

    let (mut connection, _requests) = closes_at_second();
    assert_eq!(status(&mut connection).await.unwrap(), 200);
    let post = Outgoing {
        is_repeatable: false,
        ..GET
    };
    let (answered, repeated) = send(&mut connection, post).await;
    assert!(answered.is_err() && !repeated);
}

/// Neither on a connection that was just made, nor after a part of an answer, nor a third time.
#[tokio::test]
async fn nothing_else_is_sent_twice() {
    let (mut connection, _requests) = serve(vec![vec![""], vec![OK]]);
    let (answered, repeated) = send(&mut connection, GET).await;
    assert!(answered.is_err() && !repeated, "the connection was new");

    let (mut connection, _requests) = serve(vec![vec![OK, "HTTP/1.1 200 OK\r\n"], vec![OK]]);
    assert_eq!(status(&mut connection).await.unwrap(), 200);
    let (answered, repeated) = send(&mut connection, GET).await;
    assert!(answered.is_err() && !repeated, "an answer had begun");

    let (mut connection, requests) = serve(vec![vec![OK, ""], vec![""], vec![OK]]);
    assert_eq!(status(&mut connection).await.unwrap(), 200);
    let (answered, repeated) = send(&mut connection, GET).await;
    assert!(answered.is_err() && repeated, "both were closed");
    assert_eq!(requests.iter().take(3).collect::<Vec<_>>(), [0, 0, 1]);
}

/// The server answers after the head of the request and reads nothing of a body that fits into no buffer.
#[tokio::test]
async fn an_answer_that_comes_before_the_body_is_sent_is_read() {
    let too_large = "HTTP/1.1 413 Too Large\r\ncontent-length: 0\r\n\r\n";
    for closes in [false, true] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let target = Target::at(listener.local_addr().unwrap());
        let (done, until) = sync_channel::<()>(1);
        let server = std::thread::spawn(move || {
            let mut stream = BufReader::new(listener.accept().unwrap().0);
            read_request(&mut stream).unwrap();
            stream.get_mut().write_all(too_large.as_bytes()).unwrap();
            if closes {
                stream.get_mut().shutdown(std::net::Shutdown::Write).unwrap();
            }
            let _ = until.recv();
        });
        let body = vec![b'x'; 64 * 1024 * 1024];
        let head = format!("POST / HTTP/1.1\r\nhost: h\r\ncontent-length: {}\r\n\r\n", body.len());
        let text = [head.as_bytes(), &body].concat();
        let mut connection = Connection::new(&target, 0);
        let post = Outgoing {
            text: &text,
            is_repeatable: false,
            ..GET
        };
        assert_eq!(send(&mut connection, post).await.0.unwrap(), 413);
        assert!(connection.stream.is_none(), "half a request was sent on it");
        done.send(()).unwrap();
        server.join().unwrap();
    }
}

/// A name may stand for several addresses, not all of which answer.
#[tokio::test]
async fn all_addresses_of_a_name_are_used_and_a_silent_one_is_passed_over() {
    let listeners = [(); 2].map(|()| tokio::net::TcpListener::bind("127.0.0.1:0"));
    let [one, other] = listeners;
    let (one, other) = (one.await.unwrap(), other.await.unwrap());
    let (_held, silent) = silent();
    let addresses = vec![silent, one.local_addr().unwrap(), other.local_addr().unwrap()];
    let target = Target::named(addresses, "shop".to_owned());
    // Each begins at its own address; the first finds nobody there and goes on to the next.
    for (number, listener) in [(0, &one), (1, &one), (2, &other), (3, &one)] {
        let dialer = Dialer::new(&target, number);
        let (connected, accepted) = tokio::join!(dialer.connect(), listener.accept());
        assert!(connected.is_ok() && accepted.is_ok(), "{number}");
    }
}
