//! Connections against sockets that do what servers do, good and bad.

use std::{
    io::{BufRead, BufReader, Write},
    net::TcpListener,
    sync::mpsc::{Receiver, sync_channel},
};

use super::*;

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nhost: h\r\n\r\n";
const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
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
    (Connection::new(&target), requests)
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

async fn status(connection: &mut Connection) -> Result<u16, SendError> {
    connection.send(REQUEST, PLAIN).await.map(Answer::status)
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
    connection.stream.as_ref().unwrap().readable().await.unwrap();
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
        answered = connection.send(REQUEST, PLAIN) => panic!("{:?}", answered.map(Answer::status)),
        arrived = arrived => arrived.unwrap().unwrap(),
    };
    assert_eq!((number, connection.stream.is_none()), (0, true));
    assert_eq!(status(&mut connection).await.unwrap(), 200);
    assert_eq!(requests.recv(), Ok(1));
}

#[tokio::test]
async fn nobody_there_is_an_error_with_its_reason() {
    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let error = status(&mut Connection::new(&Target::at(gone))).await.unwrap_err();
    assert!(error.to_string().starts_with("cannot connect: "), "{error}");
}
