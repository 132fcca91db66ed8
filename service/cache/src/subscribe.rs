//! The subscriber: applies other replicas' invalidations, and keeps the lease on L1 only while none can have been
//! missed.
//!
//! Messages carry consecutive numbers. A gap is filled from the log; what cannot be filled (a trimmed log, a number
//! that went back, another life of the row, bytes that cannot be read) ends everything in L1. Messages that are lost
//! without a gap, because none follows, are the heartbeats' business: every 250 ms this replica sends itself the newest
//! number, over the same connection that brings the invalidations. When it arrives and nothing is missing, L1 may be
//! served for one second from the moment it was *sent*. So a connection that is dead without saying so costs at most
//! that second. A heartbeat writes as an invalidation does before it is published: where Redis would refuse the one, it
//! refuses the other, and there is no lease.

use std::{convert::Infallible, sync::Arc, time::Duration};

use futures_util::StreamExt as _;
use redis::{
    Msg,
    aio::{PubSubSink, PubSubStream},
};
use tokio::{
    sync::{oneshot, watch},
    time::{Instant, sleep},
};

use crate::{
    clock::as_nanos,
    context::Step,
    error::RedisFailure,
    l2::{L2, message, within},
    state::Core,
    upkeep::timer,
};

/// Pause between two attempts to subscribe; with it, L1 is back well within a second after Redis is.
const RETRY_PAUSE: Duration = Duration::from_millis(100);

/// How often the newest number is asked for: three may be lost before the lease ends.
const HEARTBEAT_PERIOD: Duration = Duration::from_millis(250);

/// How long L1 may be served after the newest number was asked for, and how long a connection may bring nothing before
/// it is given up: the bound of what silently lost messages can do.
pub(crate) const LEASE: Duration = Duration::from_secs(1);

/// By how much the time that hits are judged by may lag: the lease ends so much earlier.
const COARSE_LAG: Duration = Duration::from_millis(20);

/// Subscribes again and again, until the task is aborted. `first` is told when L1 was leased for the first time.
pub(crate) async fn run(core: Arc<Core>, first: oneshot::Sender<()>) {
    let Some(l2) = &core.l2 else { return };
    let mut first = Some(first);
    let mut reported = false;
    loop {
        let mut was_leased = false;
        let Err(failure) = session(&core, l2, &mut || {
            was_leased = true;
            first.take().map(|first| first.send(()));
        })
        .await;
        if was_leased || !reported {
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
async fn session(core: &Core, l2: &L2, on_lease: &mut (dyn FnMut() + Send)) -> Result<Infallible, RedisFailure> {
    let limit = l2.connect_timeout;
    let (mut sink, stream) = within(limit, l2.client.get_async_pubsub()).await?.split();
    let channels = [&l2.names.channel, &l2.names.own_channel];
    within(limit, sink.subscribe(&channels[..])).await?;
    // From here on nothing is missed; what was missed before is made up for now.
    l2.wait_until_linked(true).await;
    catch_up(core, l2).await?;
    let _end = LeaseEnd(core);
    let pulse = Pulse::new(Instant::now());
    tokio::select! {
        result = receive(core, l2, stream, &pulse, on_lease) => result,
        failure = beat(core, l2, sink, &pulse) => Err(failure),
    }
}

/// Applies what happened since the last message that was applied.
async fn catch_up(core: &Core, l2: &L2) -> Result<(), RedisFailure> {
    let news = l2.news_since(core.cursor.place()).await?;
    match news.missed {
        Some(missed) => {
            for envelope in &missed {
                core.l1.stamps().bump(&envelope.tags);
            }
            core.context.counters.replayed.add(missed.len() as u64);
        }
        None => core.l1.stamps().bump_epoch(),
    }
    core.cursor.move_to(news.place);
    Ok(())
}

/// Ends the lease when the subscription does, also when the task is aborted or panics.
struct LeaseEnd<'a>(&'a Core);

impl Drop for LeaseEnd<'_> {
    fn drop(&mut self) {
        end_lease(self.0);
    }
}

fn end_lease(core: &Core) {
    if core.l1.end_lease() {
        core.context.observe(|observer| observer.l1_gate(false));
    }
}

/// When this replica last heard itself.
type Pulse = watch::Sender<Instant>;

async fn receive(
    core: &Core,
    l2: &L2,
    mut stream: PubSubStream,
    pulse: &Pulse,
    on_lease: &mut (dyn FnMut() + Send),
) -> Result<Infallible, RedisFailure> {
    while let Some(message) = stream.next().await {
        if message.get_channel_name() == l2.names.own_channel {
            hear_itself(core, l2, &message, on_lease).await?;
            pulse.send_replace(Instant::now());
        } else {
            core.context.reach(Step::MessageArrived).await;
            apply(core, l2, message.get_payload_bytes()).await?;
        }
    }
    let lost = std::io::Error::new(
        std::io::ErrorKind::ConnectionReset,
        "the subscriber's connection was closed",
    );
    Err(RedisFailure::Redis(lost.into()))
}

/// One heartbeat came back: everything that was sent before it has arrived, unless its number says otherwise.
async fn hear_itself(
    core: &Core,
    l2: &L2,
    message: &Msg,
    on_lease: &mut (dyn FnMut() + Send),
) -> Result<(), RedisFailure> {
    // Nobody else writes to this channel; what cannot be read proves nothing, and gives no lease.
    let Some((place, sent_ns)) = message::parse_heartbeat(message.get_payload_bytes()) else {
        return Ok(());
    };
    if place != core.cursor.place() {
        catch_up(core, l2).await?;
    }
    if core
        .l1
        .renew_lease(Duration::from_nanos(sent_ns) + LEASE.saturating_sub(COARSE_LAG))
    {
        core.context.observe(|observer| observer.l1_gate(true));
        on_lease();
    }
    Ok(())
}

async fn apply(core: &Core, l2: &L2, payload: &[u8]) -> Result<(), RedisFailure> {
    let Some(message) = message::parse(payload) else {
        tracing::warn!(
            bytes = payload.len(),
            "a cache invalidation cannot be read; everything in L1 is given up"
        );
        core.l1.stamps().bump_epoch();
        return Ok(());
    };
    let (seen, envelope) = (core.cursor.place(), message.envelope);
    let is_own = envelope.origin == l2.origin;
    if message.place.follows(seen) {
        // Own messages take effect when `invalidate` returns.
        if !is_own {
            core.l1.stamps().bump(&envelope.tags);
        }
        core.cursor.move_to(message.place);
    } else if !message.place.is_at_or_before(seen) {
        catch_up(core, l2).await?;
    }
    if !is_own {
        let lag_ms = core.context.clock.wall_ms().saturating_sub(envelope.sent_ms);
        core.context
            .observe(|observer| observer.received(envelope.tags.len(), lag_ms));
    }
    Ok(())
}

/// Sends heartbeats until none came back for too long.
async fn beat(core: &Core, l2: &L2, sink: PubSubSink, pulse: &Pulse) -> RedisFailure {
    // Dropped, it would close the subscription.
    let _sink = sink;
    let mut timer = timer(HEARTBEAT_PERIOD);
    loop {
        timer.tick().await;
        if pulse.borrow().elapsed() > LEASE {
            return RedisFailure::TimedOut(LEASE);
        }
        // Before it is sent: the lease must not count from later. What times out shows as an echo that does not come.
        let sent_ns = as_nanos(core.context.now());
        let sent = l2.send_heartbeat(sent_ns).await;
        if sent.is_err() && !l2.is_linked() {
            // Redis refused it, or is away: invalidations cannot be stored, so that none may come from the others.
            end_lease(core);
        }
    }
}
