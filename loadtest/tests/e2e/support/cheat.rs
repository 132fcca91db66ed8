//! A server that cheats on demand: what a service does that ought not to pass, each kind of it (docs/STATISTICS.md, the
//! battery). An honest one answers `ok` after two milliseconds.

use std::{
    io::{BufReader, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use super::{http, pause};

/// What an honest answer takes.
const USUAL: Duration = Duration::from_millis(2);

/// What it does to some of the requests. `one_in: 10` is every tenth.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Trick {
    /// Nothing.
    Honest,
    /// Never answers them.
    Hang { one_in: u64 },
    /// Answers them at once, with a 500.
    FailFast { one_in: u64 },
    /// Ends the connection half way through their bodies.
    Truncate { one_in: u64 },
    /// Resets the connection instead of an answer.
    Reset { one_in: u64 },
    /// Sends their heads at once and their bodies so much later.
    SlowBody { one_in: u64, by: Duration },
    /// Takes so much longer for every request but each fourth: the median moves, and a percentile in the tail where
    /// slow requests were before does not.
    MedianShift { by: Duration },
    /// Takes so much longer in the last quarter of each period.
    SlowQuarter { period: Duration, by: Duration },
    /// Stands still so long at the beginning of each period.
    RarePause { period: Duration, lasting: Duration },
    /// Answers `/other` with a 500, one in so many, and all others honestly.
    ErrorOnRoute { one_in: u64 },
    /// Answers 429 beyond so many requests a second.
    RateLimit { per_s: u64 },
    /// Serves one request at a time, each so long.
    OneAtATime { each: Duration },
    /// Takes so much longer for every request.
    Slower { by: Duration },
}

/// A cheating server on a free port, until it is dropped.
pub(crate) struct Cheat {
    pub(crate) address: SocketAddr,
    stopping: Arc<AtomicBool>,
}

struct State {
    trick: Trick,
    began: Instant,
    /// Requests that came, and those that were read, over all connections.
    due: AtomicU64,
    seen: AtomicU64,
    /// The second that requests are counted in, and how many came in it.
    second: Mutex<(u64, u64)>,
    free: Mutex<bool>,
    freed: Condvar,
}

impl Cheat {
    pub(crate) fn start(trick: Trick) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let stopping = Arc::new(AtomicBool::new(false));
        let stop = Arc::clone(&stopping);
        let state = Arc::new(State {
            trick,
            began: Instant::now(),
            due: AtomicU64::new(0),
            seen: AtomicU64::new(0),
            second: Mutex::default(),
            free: Mutex::new(true),
            freed: Condvar::new(),
        });
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if stop.load(Ordering::SeqCst) {
                    return;
                }
                let state = Arc::clone(&state);
                std::thread::spawn(move || state.serve(stream.unwrap()));
            }
        });
        Self { address, stopping }
    }

    /// As a subject of the command line.
    pub(crate) fn subject(&self) -> String {
        format!("url:http://{}", self.address)
    }
}

impl Drop for Cheat {
    /// Connections end when the harness closes them.
    fn drop(&mut self) {
        self.stopping.store(true, Ordering::SeqCst);
        // Wakes the listener.
        let _ = TcpStream::connect(self.address);
    }
}

impl State {
    /// Ends when the peer closes the connection, or when the trick does.
    fn serve(&self, stream: TcpStream) {
        stream.set_nodelay(true).unwrap();
        let mut reader = BufReader::new(stream);
        while !self.resets(reader.get_ref()) {
            let Some(request) = http::read(&mut reader) else { return };
            if self.answer(&request.path, reader.get_mut()).is_none() {
                return;
            }
        }
    }

    /// Whether the next request of a connection is to be left unread: closing it then is a reset.
    fn resets(&self, stream: &TcpStream) -> bool {
        let Trick::Reset { one_in } = self.trick else {
            return false;
        };
        let arrived = stream.peek(&mut [0]).is_ok_and(|bytes| bytes > 0);
        !arrived || self.due.fetch_add(1, Ordering::SeqCst) % one_in == one_in - 1
    }

    /// None when the connection is over.
    fn answer(&self, path: &str, stream: &mut TcpStream) -> Option<()> {
        let number = self.seen.fetch_add(1, Ordering::SeqCst);
        let hits = |one_in: u64| number % one_in == one_in - 1;
        match self.trick {
            Trick::Hang { one_in } if hits(one_in) => {
                // Until the harness gives up and closes.
                let _ = http::read(&mut BufReader::new(stream.try_clone().ok()?));
                None
            }
            Trick::FailFast { one_in } if hits(one_in) => send(stream, 500, "no"),
            Trick::Truncate { one_in } if hits(one_in) => {
                let _ = stream.write_all(b"HTTP/1.1 200 X\r\ncontent-length: 100\r\n\r\nhalf of");
                let _ = stream.shutdown(Shutdown::Both);
                None
            }
            Trick::SlowBody { one_in, by } if hits(one_in) => {
                stream.write_all(b"HTTP/1.1 200 X\r\ncontent-length: 2\r\n\r\no").ok()?;
                pause(by);
                stream.write_all(b"k").ok()
            }
            Trick::ErrorOnRoute { one_in } if path == "/other" && hits(one_in) => send(stream, 500, "no"),
            Trick::RateLimit { per_s } if self.is_over(per_s) => send(stream, 429, "slow down"),
            Trick::OneAtATime { each } => {
                self.alone(each);
                send(stream, 200, "ok")
            }
            trick => {
                pause(USUAL + self.longer(trick, number));
                send(stream, 200, "ok")
            }
        }
    }

    /// How much longer than usual an answer takes.
    fn longer(&self, trick: Trick, number: u64) -> Duration {
        let phase = |period: Duration| {
            let us = self.began.elapsed().as_micros() % period.as_micros();
            Duration::from_micros(u64::try_from(us).unwrap())
        };
        match trick {
            Trick::MedianShift { by } if number % 4 != 3 => by,
            Trick::SlowQuarter { period, by } if phase(period) >= period.mul_f64(0.75) => by,
            Trick::RarePause { period, lasting } => lasting.saturating_sub(phase(period)),
            Trick::Slower { by } => by,
            _ => Duration::ZERO,
        }
    }

    fn is_over(&self, per_s: u64) -> bool {
        let now = self.began.elapsed().as_secs();
        let mut second = self.second.lock().unwrap();
        if second.0 != now {
            *second = (now, 0);
        }
        second.1 += 1;
        second.1 > per_s
    }

    fn alone(&self, each: Duration) {
        let free = self.free.lock().unwrap();
        let mut free = self.freed.wait_while(free, |free| !*free).unwrap();
        *free = false;
        drop(free);
        pause(each);
        *self.free.lock().unwrap() = true;
        self.freed.notify_one();
    }
}

fn send(stream: &mut TcpStream, status: u16, body: &str) -> Option<()> {
    let text = format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    stream.write_all(text.as_bytes()).ok()
}
