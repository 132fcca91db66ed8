//! A TCP proxy that puts faults between a client and a server, switched while connections are open.
//!
//! What belongs here: what can happen to a connection on the way. What does not: faults of a server itself (stop it
//! instead). Both directions have the same fault. A crate was looked for; the kept ones are clients of a proxy in
//! another language that must be installed beside it.
//!
//! ```no_run
//! # async fn example(redis: &stack::Redis) -> Result<(), Box<dyn std::error::Error>> {
//! use stack::proxy::{Fault, FaultProxy};
//! let proxy = FaultProxy::before_url(&redis.url()).await?;
//! let url = proxy.url(&redis.url())?; // what the client is given
//! proxy.set(Fault::Stall); // silence
//! proxy.set(Fault::None); // and on it goes, from where it was
//! # drop(url);
//! # Ok(())
//! # }
//! ```

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::Instant;
use url::Url;

/// One read. Small enough that a bandwidth limit is felt in steps, large enough not to cost much without one.
const CHUNK_BYTES: usize = 16 * 1024;
/// Chunks on their way in one direction of one connection. More would hide backpressure from the sender; fewer would
/// make a delay limit the bandwidth (64 chunks of 16 KiB in 100 ms are 10 MB/s).
const CHUNKS_IN_FLIGHT: usize = 64;
/// A bandwidth is shaped in this many steps a second: fine enough to look like a slow line.
const PIECES_PER_S: u32 = 20;
/// Far more than the pools of a service under test.
const CONNECTIONS: usize = 1024;

/// Faults on the way between client and server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Fault {
    /// Nothing: bytes pass as they come.
    #[default]
    None,
    /// Open connections are reset, and new ones as soon as they are made.
    Cut,
    /// Nothing passes, connections stay open; what was sent arrives when the fault ends.
    Stall,
    /// Every byte arrives this much later; a round trip takes twice that longer.
    Delay(Duration),
    /// No more than this many bytes pass in a second, per direction of each connection; at least 1.
    Bandwidth {
        /// Bytes per second.
        bytes_per_s: u32,
    },
}

/// A listener on a free port of 127.0.0.1 that forwards to one server. Dropping it ends all its connections.
#[derive(Debug)]
pub struct FaultProxy {
    address: SocketAddr,
    upstream: watch::Sender<Option<String>>,
    fault: watch::Sender<Fault>,
    // Ends the connections with it: they live in a set that belongs to the task.
    accepting: JoinHandle<()>,
}

impl FaultProxy {
    /// Listens without a server behind it; connections wait for [`FaultProxy::forward_to`]. For servers that must know
    /// the proxy's address before they start (`StackOptions::kafka_advertised`).
    pub async fn bind() -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let (upstream, upstream_seen) = watch::channel(None);
        let (fault, fault_seen) = watch::channel(Fault::None);
        let accepting = tokio::spawn(accept(listener, upstream_seen, fault_seen));
        Ok(Self {
            address,
            upstream,
            fault,
            accepting,
        })
    }

    /// Listens and forwards to `host:port`.
    pub async fn before(upstream: &str) -> io::Result<Self> {
        let proxy = Self::bind().await?;
        proxy.forward_to(upstream);
        Ok(proxy)
    }

    /// Listens and forwards to the host and port of a URL with a port, such as [`crate::Redis::url`].
    pub async fn before_url(url: &str) -> io::Result<Self> {
        Self::before(&upstream_of(url)?).await
    }

    /// Sets the server behind it, `host:port`, for connections that come or wait.
    pub fn forward_to(&self, upstream: &str) {
        self.upstream.send_replace(Some(upstream.to_owned()));
    }

    /// Sets the server behind it, as [`FaultProxy::before_url`] names it.
    pub fn forward_to_url(&self, url: &str) -> io::Result<()> {
        self.forward_to(&upstream_of(url)?);
        Ok(())
    }

    /// Where clients connect.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The URL with the proxy's host and port instead of the server's.
    pub fn url(&self, url: &str) -> io::Result<String> {
        let mut url = Url::parse(url).map_err(io::Error::other)?;
        url.set_ip_host(self.address.ip())
            .and_then(|()| url.set_port(Some(self.address.port())))
            .map_err(|()| io::Error::other("the form of the URL has no place for a host and port"))?;
        Ok(url.into())
    }

    /// Switches, for open connections and for new ones.
    pub fn set(&self, fault: Fault) {
        self.fault.send_replace(fault);
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// `host:port` of a URL that names both.
fn upstream_of(url: &str) -> io::Result<String> {
    let url = Url::parse(url).map_err(io::Error::other)?;
    let (Some(host), Some(port)) = (url.host_str(), url.port()) else {
        return Err(io::Error::other("the URL names no host and port to forward to"));
    };
    Ok(format!("{host}:{port}"))
}

async fn accept(listener: TcpListener, upstream: watch::Receiver<Option<String>>, fault: watch::Receiver<Fault>) {
    let slots = Arc::new(Semaphore::new(CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        let Ok(slot) = Arc::clone(&slots).acquire_owned().await else {
            return;
        };
        // Reaped one by one as new ones come, so that the set stays as small as what is open.
        while connections.try_join_next().is_some() {}
        match listener.accept().await {
            Ok((client, _)) => {
                let connection = connection(client, upstream.clone(), fault.clone());
                connections.spawn(async move {
                    if let Err(error) = connection.await {
                        tracing::debug!(%error, "a connection through the fault proxy ended");
                    }
                    drop(slot);
                });
            }
            // Out of file descriptors, for example: the next moment may be better.
            Err(error) => tracing::warn!(%error, "the fault proxy cannot accept a connection"),
        }
    }
}

/// From the first byte to the last, or to the cut.
async fn connection(
    mut client: TcpStream,
    mut upstream: watch::Receiver<Option<String>>,
    fault: watch::Receiver<Fault>,
) -> io::Result<()> {
    // What comes in one piece must not wait here for the acknowledgement of the piece before, in neither direction.
    client.set_nodelay(true)?;
    let mut cut = fault.clone();
    let connected = unless_cut(&mut cut, connect(&mut upstream)).await;
    let Some(server) = connected else {
        return client.set_zero_linger();
    };
    let mut server = server?;
    let carried = {
        let (from_client, to_client) = client.split();
        let (from_server, to_server) = server.split();
        let up = carry(from_client, to_server, fault.clone());
        let down = carry(from_server, to_client, fault);
        unless_cut(&mut cut, async { tokio::try_join!(up, down) }).await
    };
    match carried {
        Some(carried) => carried.map(drop),
        // Without lingering, closing sends a reset.
        None => client.set_zero_linger().and(server.set_zero_linger()),
    }
}

/// `None` when the connection is cut first.
async fn unless_cut<T>(fault: &mut watch::Receiver<Fault>, work: impl Future<Output = T>) -> Option<T> {
    tokio::select! {
        biased;
        // An error means that the proxy is gone, and that is a cut, too.
        _ = fault.wait_for(|fault| *fault == Fault::Cut) => None,
        done = work => Some(done),
    }
}

async fn connect(upstream: &mut watch::Receiver<Option<String>>) -> io::Result<TcpStream> {
    let known = upstream.wait_for(Option::is_some).await;
    // Copied out before the next wait: the channel's guard holds a lock.
    let place = known.map_err(io::Error::other)?.clone().unwrap_or_default();
    let server = TcpStream::connect(place).await?;
    server.set_nodelay(true)?;
    Ok(server)
}

/// One direction, to its end: read at once, so that each chunk knows when it came, and written when the fault lets it
/// pass.
async fn carry(mut from: ReadHalf<'_>, mut to: WriteHalf<'_>, mut fault: watch::Receiver<Fault>) -> io::Result<()> {
    let (came, mut comes) = mpsc::channel::<(Instant, Vec<u8>)>(CHUNKS_IN_FLIGHT);
    let reading = async move {
        loop {
            let mut chunk = vec![0; CHUNK_BYTES];
            let length = from.read(&mut chunk).await?;
            chunk.truncate(length);
            if length == 0 || came.send((Instant::now(), chunk)).await.is_err() {
                return io::Result::Ok(());
            }
        }
    };
    let writing = async move {
        while let Some((at, chunk)) = comes.recv().await {
            write(&mut to, &chunk, at, &mut fault).await?;
        }
        to.shutdown().await
    };
    tokio::try_join!(reading, writing).map(drop)
}

/// Piece by piece, each as the fault of that moment has it.
async fn write(
    to: &mut WriteHalf<'_>,
    mut chunk: &[u8],
    came: Instant,
    fault: &mut watch::Receiver<Fault>,
) -> io::Result<()> {
    while !chunk.is_empty() {
        let (piece, pause) = passes(fault, came, chunk.len()).await;
        to.write_all(&chunk[..piece]).await?;
        chunk = &chunk[piece..];
        pause_unless_changed(fault, pause).await;
    }
    Ok(())
}

/// Waits until something may pass: how many bytes, and how long nothing may after them.
async fn passes(fault: &mut watch::Receiver<Fault>, came: Instant, length: usize) -> (usize, Duration) {
    loop {
        let now = *fault.borrow_and_update();
        match now {
            Fault::None => return (length, Duration::ZERO),
            Fault::Delay(delay) => {
                let left = (came + delay).saturating_duration_since(Instant::now());
                if left.is_zero() {
                    return (length, Duration::ZERO);
                }
                pause_unless_changed(fault, left).await;
            }
            Fault::Bandwidth { bytes_per_s } => {
                let bytes_per_s = bytes_per_s.max(1);
                let piece = length.min((bytes_per_s / PIECES_PER_S).max(1) as usize);
                return (piece, Duration::from_secs_f64(piece as f64 / f64::from(bytes_per_s)));
            }
            // A cut ends the connection from outside; until then nothing passes.
            Fault::Stall | Fault::Cut => changed(fault).await,
        }
    }
}

async fn pause_unless_changed(fault: &mut watch::Receiver<Fault>, pause: Duration) {
    tokio::select! {
        () = tokio::time::sleep(pause) => (),
        () = changed(fault) => (),
    }
}

/// Without a proxy there is no further change; whoever waits is about to be ended.
async fn changed(fault: &mut watch::Receiver<Fault>) {
    if fault.changed().await.is_err() {
        std::future::pending::<()>().await;
    }
}
