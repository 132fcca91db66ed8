//! Asks a running service whether it is ready, for health checks of containers: the image has no program that speaks
//! HTTP but the service itself.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Beyond what readiness itself waits for the servers behind it.
const PATIENCE: Duration = Duration::from_secs(3);
/// More than a status line has.
const LINE_BYTES: u64 = 64;

/// The status of `/health/ready` of the service that listens at `bind`.
pub async fn ask(bind: SocketAddr) -> io::Result<u16> {
    timeout(PATIENCE, status(reachable(bind))).await?
}

async fn status(address: SocketAddr) -> io::Result<u16> {
    let mut connection = TcpStream::connect(address).await?;
    let request = format!("GET /health/ready HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    connection.write_all(request.as_bytes()).await?;
    let mut line = Vec::new();
    connection.take(LINE_BYTES).read_to_end(&mut line).await?;
    let line = String::from_utf8_lossy(&line);
    let status = line.split(' ').nth(1).and_then(|status| status.parse().ok());
    status.ok_or_else(|| io::Error::other(format!("not HTTP: {line:?}")))
}

/// Whoever listens on all addresses is reached by that of this machine.
fn reachable(bind: SocketAddr) -> SocketAddr {
    let loopback = match bind.ip() {
        address if !address.is_unspecified() => address,
        IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
    };
    SocketAddr::new(loopback, bind.port())
}
