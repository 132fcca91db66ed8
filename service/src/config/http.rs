//! Where the service listens and how it stops.

use std::net::SocketAddr;
use std::time::Duration;

use axum::http::HeaderName;

use super::reader::{Reader, whole_from_0, whole_from_1};

const DEFAULT_BIND: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 8080);
const DEFAULT_DRAIN_MS: u64 = 10_000;
const DEFAULT_TIMEOUT_MS: u64 = 10_000;
/// A body of 16 KiB takes a second by a modem.
const DEFAULT_BODY_TIMEOUT_MS: u64 = 5_000;
/// Longer than balancers keep an idle connection (60 s is usual): one that the service closed first could be given a
/// request.
const DEFAULT_HEAD_TIMEOUT_MS: u64 = 75_000;
/// Twenty-five times the database pool: at some 10 ms a statement the last of them waits a quarter of a second.
const DEFAULT_MAX_IN_FLIGHT: usize = 512;
/// More than a proxy or a load generator keeps, at some 20 KB each.
const DEFAULT_MAX_CONNECTIONS_PER_ADDRESS: usize = 4_096;
/// A device and an app with a few requests each; less than half of the database pool.
const DEFAULT_MAX_IN_FLIGHT_PER_DRIVER: usize = 8;
/// A device that was offline for a month sends all of its trips at once; none drives more than a trip a second.
const DEFAULT_WRITES_PER_MINUTE_PER_DRIVER: u32 = 120;

/// The HTTP side.
#[derive(Debug, Clone)]
pub struct HttpConfig {
    /// `BIND_ADDR`, address and port, default `127.0.0.1:8080`; port 0 lets the system choose a free one.
    pub bind: SocketAddr,
    /// `SHUTDOWN_DRAIN_MS`, milliseconds, default 10000: how long a stop waits for requests in flight and for the roles
    /// before it lets go of them. Below the 30 s after which container runtimes kill.
    pub drain: Duration,
    /// `SHUTDOWN_LAME_DUCK_MS`, milliseconds, default 0: how long the service goes on taking requests after SIGTERM
    /// while `/health/ready` tells balancers that it stops (503). Give it twice the period of their probes; it is spent
    /// before `SHUTDOWN_DRAIN_MS` begins.
    pub lame_duck: Duration,
    /// `HTTP_TIMEOUT_MS`, milliseconds, default 10000: a request that is not answered by then is answered with 503.
    pub timeout: Duration,
    /// `HTTP_HEAD_TIMEOUT_MS`, milliseconds, default 75000: a connection is closed when the head of its next request
    /// has not come as a whole by then, be it idle or slow.
    pub head_timeout: Duration,
    /// `HTTP_BODY_TIMEOUT_MS`, milliseconds, default 5000: a request whose body has not come as a whole by then is
    /// answered with 408. It takes no place among `HTTP_MAX_IN_FLIGHT` before.
    pub body_timeout: Duration,
    /// `HTTP_CLIENT_ADDRESS_HEADER`, name of a header, default none: the address of a client is the last one in this
    /// header (`x-forwarded-for`), which the proxy in front MUST set; without it, the address that has connected.
    pub client_address_header: Option<HeaderName>,
    /// `HTTP_MAX_CONNECTIONS_PER_ADDRESS`, connections, default 4096: beyond it new ones of the address that connects
    /// (a proxy's, behind one) are closed at once. Below the process's limit of open files (`ulimit -n`), or one client
    /// can take them all.
    pub max_connections_per_address: usize,
    /// `HTTP_MAX_IN_FLIGHT_PER_DRIVER`, requests, default 8: beyond it requests with a driver's token about that driver
    /// are refused with 429, so that no single driver takes the places of all.
    pub max_in_flight_per_driver: usize,
    /// `HTTP_WRITES_PER_MINUTE_PER_DRIVER`, requests, default 120: beyond it writes with a driver's token are refused
    /// with 429 until the minute is over. Each of them makes stale what others ask for, the dashboards.
    pub writes_per_minute_per_driver: u32,
    /// `HTTP_MAX_IN_FLIGHT`, requests, default 512: beyond it requests are refused with 503 and `Retry-After`, rather
    /// than queued for longer and longer. Health and metrics are always answered.
    pub max_in_flight: usize,
}

impl HttpConfig {
    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        Self {
            bind: reader.or("BIND_ADDR", DEFAULT_BIND, address),
            drain: milliseconds(reader, "SHUTDOWN_DRAIN_MS", DEFAULT_DRAIN_MS),
            lame_duck: Duration::from_millis(reader.or("SHUTDOWN_LAME_DUCK_MS", 0, whole_from_0(600_000))),
            body_timeout: milliseconds(reader, "HTTP_BODY_TIMEOUT_MS", DEFAULT_BODY_TIMEOUT_MS),
            client_address_header: reader.optional("HTTP_CLIENT_ADDRESS_HEADER", header),
            max_connections_per_address: reader.or(
                "HTTP_MAX_CONNECTIONS_PER_ADDRESS",
                DEFAULT_MAX_CONNECTIONS_PER_ADDRESS,
                whole_from_1(1_000_000),
            ),
            max_in_flight_per_driver: reader.or(
                "HTTP_MAX_IN_FLIGHT_PER_DRIVER",
                DEFAULT_MAX_IN_FLIGHT_PER_DRIVER,
                whole_from_1(1_000_000),
            ),
            writes_per_minute_per_driver: reader.or(
                "HTTP_WRITES_PER_MINUTE_PER_DRIVER",
                DEFAULT_WRITES_PER_MINUTE_PER_DRIVER,
                whole_from_1(1_000_000),
            ),
            timeout: milliseconds(reader, "HTTP_TIMEOUT_MS", DEFAULT_TIMEOUT_MS),
            head_timeout: milliseconds(reader, "HTTP_HEAD_TIMEOUT_MS", DEFAULT_HEAD_TIMEOUT_MS),
            max_in_flight: reader.or("HTTP_MAX_IN_FLIGHT", DEFAULT_MAX_IN_FLIGHT, whole_from_1(1_000_000)),
        }
    }
}

fn milliseconds(reader: &mut Reader<'_>, variable: &'static str, default_ms: u64) -> Duration {
    Duration::from_millis(reader.or(variable, default_ms, whole_from_1(600_000)))
}

fn header(text: &str) -> Result<HeaderName, String> {
    text.parse()
        .map_err(|_| format!("`{text}` is not the name of a header; give for example x-forwarded-for"))
}

fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse()
        .map_err(|_| format!("`{text}` is not an address with a port; give for example 127.0.0.1:8080"))
}
