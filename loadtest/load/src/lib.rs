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
mod error;
mod failures;
mod globals;
mod lag;
mod model;
mod open;
mod pacer;
mod request;
mod sender;
mod slice;
mod timeline;
mod user;
mod versions;

use std::sync::{Arc, Mutex, MutexGuard};

use measure::recorder::Shard;
use scenarios::{Mix, Sequences, Vars, Workload};
use tokio::time::sleep_until;
use tokio_util::sync::CancellationToken;

pub use attack::{Attack, AttackSpec, LoadReport, SliceRules, SoFar, Stop};
pub use clock::Clock;
pub use connection::Target;
pub use error::LoadError;
pub use failures::printable;
pub use globals::fetch_globals;
use lag::Lag;
pub use model::{LoadModel, Wanted};
pub use sender::priority_here;
pub use slice::{SliceLoad, SliceReport, SliceTiming, drive as drive_slice};
pub use timeline::Timeline;
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

    /// Whether new requests may be sent.
    fn may_start(&self) -> bool {
        !self.stop.is_cancelled() && self.clock.now_us() < self.timeline.windows.measure_end_us
    }
}
