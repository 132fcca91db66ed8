//! Live clients (`GET /live`): how many, how fast they may come, what each may hold. What they get, and how, are
//! profile switches.

use std::time::Duration;

use super::reader::{Reader, whole_from_0, whole_from_1};

/// Some 8 KB each, and the limit of open files of a process is usually above.
const DEFAULT_MAX_CONNECTIONS: u64 = 20_000;
/// All clients of a full replica are back five seconds after its restart, and reads go on meanwhile.
const DEFAULT_CONNECTS_PER_S: u64 = 4_000;
/// Some 1,500 events, seconds at full write load. Frames are shared, so that a slow client costs less than this.
const DEFAULT_QUEUE_KIB: u64 = 512;
/// A phone that changes cells is back within.
const DEFAULT_SLOW_MS: u64 = 10_000;
/// Events of one instant reach a screen together; far below what a person sees.
const DEFAULT_BATCH_MS: u64 = 2;
/// Below the minute after which proxies close what is idle.
const DEFAULT_PING_S: u64 = 25;
/// Minutes of a full write load; some 500 bytes each.
const DEFAULT_HISTORY_EVENTS: u64 = 20_000;

/// The live side.
#[derive(Debug, Clone)]
pub struct LiveConfig {
    /// `LIVE_MAX_CONNECTIONS`, connections, default 20000: beyond it new ones are refused with 503.
    pub max_connections: usize,
    /// `LIVE_CONNECTS_PER_S`, connections a second, default 4000: beyond it new ones are refused with 503.
    pub connects_per_s: u64,
    /// `LIVE_QUEUE_KIB`, KiB, default 512: what may wait for one client, and what one that comes back is sent at once.
    /// What finds no room is dropped, and the client is told how many events it has missed.
    pub queue_bytes: usize,
    /// `LIVE_SLOW_MS`, milliseconds, default 10000: a client that has taken nothing for so long while something is
    /// waiting is disconnected (code 4008).
    pub slow: Duration,
    /// `LIVE_BATCH_MS`, milliseconds, default 2, 0 = no wait: frames of a client are so far apart, while
    /// `LIVE_BATCHING` is on: events that come meanwhile share one, and one that comes alone waits for nothing.
    pub batch: Duration,
    /// `LIVE_PING_S`, seconds, default 25: each client is asked so often whether it is there; one that has said nothing
    /// for twice as long is disconnected.
    pub ping: Duration,
    /// `LIVE_HISTORY_EVENTS`, events, default 20000: how many are kept for clients that come back. One that has missed
    /// more is told to load anew.
    pub history_events: usize,
}

impl LiveConfig {
    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        let kib = reader.or("LIVE_QUEUE_KIB", DEFAULT_QUEUE_KIB, whole_from_1(1_048_576));
        Self {
            max_connections: count(reader, "LIVE_MAX_CONNECTIONS", DEFAULT_MAX_CONNECTIONS),
            connects_per_s: reader.or("LIVE_CONNECTS_PER_S", DEFAULT_CONNECTS_PER_S, whole_from_1(1_000_000)),
            queue_bytes: usize::try_from(kib * 1_024).unwrap_or(usize::MAX),
            slow: Duration::from_millis(reader.or("LIVE_SLOW_MS", DEFAULT_SLOW_MS, whole_from_1(3_600_000))),
            batch: Duration::from_millis(reader.or("LIVE_BATCH_MS", DEFAULT_BATCH_MS, whole_from_0(10_000))),
            ping: Duration::from_secs(reader.or("LIVE_PING_S", DEFAULT_PING_S, whole_from_1(3_600))),
            history_events: count(reader, "LIVE_HISTORY_EVENTS", DEFAULT_HISTORY_EVENTS),
        }
    }
}

fn count(reader: &mut Reader<'_>, variable: &'static str, default: u64) -> usize {
    let count = reader.or(variable, default, whole_from_1(1_000_000));
    usize::try_from(count).unwrap_or(usize::MAX)
}
