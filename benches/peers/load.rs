//! A closed load on one peer: connections that each ask again as soon as they are answered, every answer read to its
//! end and checked. It counts from send to last byte.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use hdrhistogram::Histogram;
use http_body_util::{BodyExt as _, Empty};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{AUTHORIZATION, HOST, HeaderValue};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::Failure;

/// The longest answer that is told apart from a longer one, in microseconds: a minute.
const MAX_US: u64 = 60_000_000;

/// More answers of another tier than one in so many, and the slice measures something else.
const STRAYS_ONE_IN: u64 = 1_000;

/// Who is asked, for what, by how many.
#[derive(Clone)]
pub(crate) struct Load {
    pub(crate) address: SocketAddr,
    pub(crate) authorization: HeaderValue,
    pub(crate) connections: usize,
    /// `GET /admin/drivers/{id}` for each id from 1 to this, in turn.
    pub(crate) drivers: u32,
    /// The `x-cache` that answers must have; `None` for peers without it.
    pub(crate) expected_tier: Option<&'static str>,
}

/// Result of a load.
pub(crate) struct Slice {
    pub(crate) requests: u64,
    pub(crate) elapsed: Duration,
    pub(crate) latency_us: Histogram<u64>,
    /// CPU time of the peer's process meanwhile, in seconds.
    pub(crate) cpu_s: f64,
}

impl Slice {
    pub(crate) fn per_second(&self) -> f64 {
        self.requests as f64 / self.elapsed.as_secs_f64()
    }

    pub(crate) fn cpu_s_per_100k(&self) -> f64 {
        self.cpu_s / self.requests as f64 * 1e5
    }

    pub(crate) fn p95_ms(&self) -> f64 {
        self.latency_us.value_at_quantile(0.95) as f64 / 1e3
    }
}

impl Load {
    /// Asks for `time`. Fails at the first answer that is none, and when more than one in [`STRAYS_ONE_IN`] is of
    /// another tier: on a busy machine Redis may be late now and then, and the service does not wait for it.
    pub(crate) async fn run(&self, time: Duration) -> Result<Slice, Failure> {
        let started = Instant::now();
        let mut connections = JoinSet::new();
        for index in 0..self.connections {
            connections.spawn(self.clone().ask(index, started + time));
        }
        let (mut latency_us, mut strays) = (Histogram::new_with_max(MAX_US, 3)?, 0);
        while let Some(asked) = connections.join_next().await {
            let (answers, strayed) = asked??;
            latency_us.add(answers)?;
            strays += strayed;
        }
        if strays * STRAYS_ONE_IN > latency_us.len() {
            return Err(format!(
                "{}: {strays} of {} answers are of another tier",
                self.address,
                latency_us.len()
            )
            .into());
        }
        Ok(Slice {
            requests: latency_us.len(),
            elapsed: started.elapsed(),
            latency_us,
            cpu_s: 0.0,
        })
    }

    /// One connection, until `deadline`. Each begins elsewhere, so that no two ask for the same in step.
    async fn ask(self, index: usize, deadline: Instant) -> Result<(Histogram<u64>, u64), Failure> {
        let (mut latency_us, mut strays) = (Histogram::new_with_max(MAX_US, 3)?, 0);
        let mut sender = self.connect().await?;
        let mut id = u32::try_from(index)? * self.drivers / u32::try_from(self.connections)?;
        while Instant::now() < deadline {
            id = id % self.drivers + 1;
            let sent = Instant::now();
            sender.ready().await?;
            let answer = sender.send_request(self.request(id)?).await?;
            strays += u64::from(!self.is_of_tier(&answer)?);
            answer.into_body().collect().await?;
            latency_us.record(u64::try_from(sent.elapsed().as_micros())?)?;
        }
        Ok((latency_us, strays))
    }

    async fn connect(&self) -> Result<SendRequest<Empty<Bytes>>, Failure> {
        let stream = TcpStream::connect(self.address).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        Ok(sender)
    }

    fn request(&self, id: u32) -> Result<Request<Empty<Bytes>>, Failure> {
        let request = Request::get(format!("/admin/drivers/{id}"))
            .header(HOST, "peer")
            .header(AUTHORIZATION, &self.authorization);
        Ok(request.body(Empty::new())?)
    }

    /// Whether the answer came from where it should; an error is no answer at all.
    fn is_of_tier<B>(&self, answer: &Response<B>) -> Result<bool, Failure> {
        if answer.status() != StatusCode::OK {
            return Err(format!("{}: status {}", self.address, answer.status()).into());
        }
        let tier = answer.headers().get("x-cache").and_then(|tier| tier.to_str().ok());
        Ok(tier == self.expected_tier)
    }
}
