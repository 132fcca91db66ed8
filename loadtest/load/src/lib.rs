//! The load path: who sends requests and when, the journeys they walk, the connection they walk on, and the clock that
//! times them.
//!
//! What belongs here: everything between a workload and recorded times. What does not: what is done with the times
//! (`measure`), and anything that talks to the subject outside the load (`probes` and `subject` of `loadtest`).
//!
//! The way of a load: a [`LoadModel`] is chosen, [`fetch_globals`] sends the setup requests, and an [`Attack`] drives a
//! round to its [`LoadReport`], or [`drive_slice`] a slice of a gate to its [`SliceReport`].

mod alarm;
mod answer;
mod arrivals;
mod attack;
mod caller;
mod clock;
mod closed;
mod connection;
mod cookies;
mod dial;
mod encoding;
mod error;
mod failures;
mod get;
mod globals;
mod hop;
mod kafka;
mod lag;
mod ledger;
mod live;
mod model;
mod multiplex;
mod open;
mod owed;
mod pacer;
mod reasons;
mod request;
mod sender;
mod slice;
mod stream;
mod target;
mod timeline;
mod tls;
mod user;
mod versions;
mod wire;

use std::sync::{
    Arc, Mutex, MutexGuard,
    atomic::{AtomicU64, Ordering},
};

use measure::recorder::Shard;
use scenarios::{Mix, Sequences, Vars, Workload};
use tokio::time::sleep_until;
use tokio_util::sync::CancellationToken;

pub use attack::{Attack, AttackSpec, LoadReport, SliceRules, SoFar, Stop};
pub use clock::Clock;
pub use error::LoadError;
pub use failures::printable;
pub use get::Pages;
pub use globals::fetch_globals;
pub use kafka::{BacklogReport, EffectReport, ProducedReport, TopicPlace, TopicReport, WatchedTopic};
use lag::Lag;
pub use ledger::Account;
pub use live::{StreamReport, Watched};
pub use model::{LoadModel, Wanted};
pub use sender::priority_here;
pub use slice::{SliceLoad, SliceReport, SliceTiming, drive as drive_slice};
pub use target::{Protocol, Target};
pub use timeline::Timeline;
pub use tls::{Tls, TlsError, TlsSettings};
pub use versions::Followed;

/// What everybody who sends requests in a round shares.
struct Shared {
    workload: Arc<Workload>,
    target: Target,
    /// Variables that everybody starts with: the setup left them.
    globals: Vars,
    /// Seed of every random choice of the round.
    seed: u64,
    journeys: Mix,
    endpoints: Mix,
    sequences: Arc<Sequences>,
    timeline: Timeline,
    clock: Clock,
    failures: failures::FailureExamples,
    /// Present when the workload follows versions.
    versions: Option<versions::Versions>,
    /// Live streams on which clients watch what is written.
    streams: Vec<Watched>,
    /// Topics of Kafka in which records of what is written are looked for.
    topics: Vec<Arc<WatchedTopic>>,
    /// Connections that users share, where HTTP/2 has several streams on each.
    connections: wire::SharedConnections,
    /// Requests of the measured phase that may still be sent; absent where nothing bounds their number.
    requests_left: Option<AtomicU64>,
    /// One per thread that sends; whoever sends always writes into the same one.
    shards: Vec<Mutex<Shard>>,
    /// How late the timers of these threads fire.
    lag: Lag,
    /// No new requests.
    stop: CancellationToken,
    /// Abandon the requests in flight.
    abort: CancellationToken,
}

impl Shared {
    fn shard(&self, index: usize) -> MutexGuard<'_, Shard> {
        self.shards[index].lock().expect("nothing panics while holding it")
    }

    /// Users or slots that share a connection at most.
    fn streams(&self) -> usize {
        match self.target.protocol {
            Protocol::Http1 => 1,
            Protocol::Http2 => usize::try_from(self.workload.http.streams).unwrap_or(usize::MAX),
        }
    }

    /// The shard, and the thread, of user or slot `index`.
    fn shard_of(&self, index: usize) -> usize {
        index % self.shards.len()
    }

    /// Completes when nobody waits any more for what is in flight: at the end of the drain, a drain's length after the
    /// load was stopped, or at the second interrupt.
    async fn given_up(&self) {
        tokio::select! {
            () = sleep_until(self.clock.instant(self.timeline.drain_end_us)) => (),
            () = self.drained_after_stop() => (),
            () = self.abort.cancelled() => (),
        }
    }

    /// A load that is stopped in its measured phase drains then. One that drains already is over at once: what is still
    /// in flight is censored, whether it ends or not.
    async fn drained_after_stop(&self) {
        self.stop.cancelled().await;
        let (now_us, end_us) = (self.clock.now_us(), self.timeline.windows.measure_end_us);
        if now_us < end_us {
            let drain_us = self.timeline.drain_end_us - end_us;
            sleep_until(self.clock.instant(now_us + drain_us)).await;
        }
    }

    /// Whether another request may be sent; it is counted among those of the measured phase.
    fn may_start(&self) -> bool {
        let now_us = self.clock.now_us();
        !self.stop.is_cancelled() && now_us < self.timeline.windows.measure_end_us && self.takes_one(now_us)
    }

    /// Takes one of the requests that may be sent in the measured phase; the last of them ends it.
    fn takes_one(&self, due_us: u64) -> bool {
        let Some(left) = &self.requests_left else { return true };
        if due_us < self.timeline.windows.warm_up_end_us {
            return true;
        }
        let taken = left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
        if !matches!(taken, Ok(2..)) {
            self.stop.cancel();
        }
        taken.is_ok()
    }
}
