//! The subscriber: applies other replicas' invalidations, and keeps L1 closed whenever one may have been missed.
//!
//! The rule is that every doubt ends everything: a gap in the numbers, a message that cannot be read, a lost connection. L1
//! opens after Redis confirmed the subscription, because every invalidation from then on arrives here.

use std::{convert::Infallible, sync::Arc, sync::atomic::Ordering, time::Duration};

use futures_util::StreamExt as _;
use redis::aio::{PubSubSink, PubSubStream};
use tokio::{
    sync::oneshot,
    time::{MissedTickBehavior, interval, sleep, timeout},
};

use crate::{
    error::RedisFailure,
    l2::{L2, message},
    state::Core,
};

/// Pause between two attempts to subscribe; with it, L1 is back well within a second after Redis is.
const RETRY_PAUSE: Duration = Duration::from_millis(100);

/// How often the connection is asked for a sign of life.
const PULSE_PERIOD: Duration = Duration::from_millis(250);

/// How long it may take to answer. Together with the period it bounds to one second how long a connection that is dead
/// without saying so can hide invalidations.
const PULSE_TIMEOUT: Duration = Duration::from_millis(750);

/// Subscribes again and again, until the task is aborted. `first` is told when L1 opened for the first time.
pub(crate) async fn run(core: Arc<Core>, first: oneshot::Sender<()>) {
    let Some(l2) = &core.l2 else { return };
    let mut first = Some(first);
    let mut reported = false;
    loop {
        let mut was_open = false;
        let Err(failure) = session(&core, l2, || {
            was_open = true;
            first.take().map(|first| first.send(()));
        })
        .await;
        if was_open || !reported {
            tracing::warn!(
                error = &failure as &dyn std::error::Error,
                "cache invalidations cannot be received; L1 is not served"
            );
        }
        reported = true;
        sleep(RETRY_PAUSE).await;
    }
}

/// One subscription, from connecting to its loss.
async fn session(core: &Core, l2: &L2, opened: impl FnOnce()) -> Result<Infallible, RedisFailure> {
    let limit = l2.connect_timeout();
    let (mut sink, stream) = within(limit, l2.client().get_async_pubsub()).await?.split();
    within(limit, sink.subscribe(l2.channel())).await?;
    // From here on nothing is missed. Messages that came before this answer look like a gap later: harmless.
    core.last_seq.store(l2.newest_seq().await?, Ordering::Release);
    let _gate = Gate::open(core);
    opened();
    tokio::select! {
        failure = receive(core, l2, stream) => Err(failure),
        failure = feel_pulse(sink, l2.channel()) => Err(failure),
    }
}

async fn within<T>(limit: Duration, operation: impl Future<Output = redis::RedisResult<T>>) -> Result<T, RedisFailure> {
    match timeout(limit, operation).await {
        Ok(result) => Ok(result?),
        Err(_) => Err(RedisFailure::TimedOut(limit)),
    }
}

/// L1 is open while this lives; it closes also when the task is aborted or panics.
struct Gate<'a>(&'a Core);

impl<'a> Gate<'a> {
    fn open(core: &'a Core) -> Self {
        core.l1.open();
        core.context.observe(|observer| observer.l1_gate(true));
        Self(core)
    }
}

impl Drop for Gate<'_> {
    fn drop(&mut self) {
        self.0.l1.close();
        self.0.context.observe(|observer| observer.l1_gate(false));
    }
}

async fn receive(core: &Core, l2: &L2, mut stream: PubSubStream) -> RedisFailure {
    while let Some(message) = stream.next().await {
        apply(core, l2, message.get_payload_bytes());
    }
    let lost = std::io::Error::new(
        std::io::ErrorKind::ConnectionReset,
        "the subscriber's connection was closed",
    );
    RedisFailure::Redis(lost.into())
}

fn apply(core: &Core, l2: &L2, payload: &[u8]) {
    let Some(message) = message::parse(payload) else {
        tracing::warn!(
            bytes = payload.len(),
            "a cache invalidation cannot be read; everything in L1 is given up"
        );
        core.l1.stamps().bump_epoch();
        return;
    };
    let is_next = message.seq == core.last_seq.load(Ordering::Relaxed).wrapping_add(1);
    let is_own = message.origin == l2.origin();
    if !is_next {
        core.l1.stamps().bump_epoch();
    } else if !is_own {
        core.l1.stamps().bump(&message.tags);
    }
    // After the stamps: who sees the number sees its effect. Own messages take effect when `invalidate` returns.
    core.last_seq.store(message.seq, Ordering::Release);
    if !is_own {
        let lag_ms = core.context.clock.wall_ms().saturating_sub(message.sent_ms);
        core.context
            .observe(|observer| observer.received(message.tags.len(), lag_ms));
    }
}

/// Subscribes again at each period, which Redis confirms without any other effect: an answer means that everything sent
/// before it has arrived.
async fn feel_pulse(mut sink: PubSubSink, channel: &str) -> RedisFailure {
    let mut timer = interval(PULSE_PERIOD);
    timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        timer.tick().await;
        if let Err(failure) = within(PULSE_TIMEOUT, sink.subscribe(channel)).await {
            return failure;
        }
    }
}
