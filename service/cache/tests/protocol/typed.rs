//! Typed values, and what a loader may choose for the answer it brings.

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use serde::{Deserialize, Serialize};
use tiered_cache::{Entry, Json, Key, LoadError, Loaded, Policy, Tag, Tier, TieredCache, Typed, TypedError};

use crate::clock::ManualClock;
use crate::support::{Replica, Server, TTL, advance, policy};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Lamp {
    id: u32,
    name: String,
}

fn lamp(name: &str) -> Lamp {
    Lamp {
        id: 42,
        name: name.to_owned(),
    }
}

fn lamps(replica: &Replica) -> Typed<Lamp, Json> {
    replica.cache.typed(policy(), Json)
}

fn key() -> Key {
    Key::new("lamps").part(42)
}

/// A loader that counts how often it runs.
fn load(loads: &Arc<AtomicUsize>, loaded: Loaded<Lamp>) -> impl FnOnce() -> Load + Send + use<> {
    let loads = Arc::clone(loads);
    move || {
        loads.fetch_add(1, Ordering::SeqCst);
        std::future::ready(Ok(loaded))
    }
}

type Load = std::future::Ready<Result<Loaded<Lamp>, Infallible>>;

#[tokio::test]
async fn a_value_is_loaded_once_and_read_in_both_tiers() {
    let (server, clock) = (Server::start().await, Arc::new(ManualClock::new()));
    let (a, b) = (server.replica(&clock).await, server.replica(&clock).await);
    let loads = Arc::new(AtomicUsize::new(0));
    for replica in [&a, &a, &b] {
        let read = lamps(replica)
            .get_or_load(&key(), &[], load(&loads, Loaded::new(lamp("old"))))
            .await;
        assert_eq!(read.expect("loads"), Some(lamp("old")));
    }
    assert_eq!(loads.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_value_is_removed_by_its_key_and_by_its_tags_everywhere() {
    let (server, clock) = (Server::start().await, Arc::new(ManualClock::new()));
    let (a, b) = (server.replica(&clock).await, server.replica(&clock).await);
    let (loads, tags) = (Arc::new(AtomicUsize::new(0)), [Tag::new("prices")]);
    let fill = async |replica: &Replica| {
        let read = lamps(replica)
            .get_or_load(&key(), &tags, load(&loads, Loaded::new(lamp("x"))))
            .await;
        read.expect("loads");
    };
    let cached = async |replica: &Replica| lamps(replica).get(&key(), &tags).await.expect("readable").is_some();
    fill(&a).await;
    fill(&b).await;
    lamps(&a).remove(&key()).await.expect("Redis takes it");
    assert!(!cached(&a).await);
    b.seen.wait(|seen| seen.received == 1).await;
    assert!(!cached(&b).await);
    fill(&b).await;
    assert!(cached(&a).await, "found in Redis, nothing is loaded");
    b.cache.invalidate(&tags).await.expect("Redis takes it");
    assert!(!cached(&b).await);
    assert_eq!(loads.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_value_that_is_set_takes_the_place_of_what_was_there_everywhere() {
    let (server, clock) = (Server::start().await, Arc::new(ManualClock::new()));
    let (a, b) = (server.replica(&clock).await, server.replica(&clock).await);
    let get = async |replica: &Replica| lamps(replica).get(&key(), &[]).await.expect("readable").flatten();
    assert_eq!(get(&a).await, None);
    lamps(&a).set(&key(), &[], lamp("first")).await.expect("Redis takes it");
    assert_eq!(get(&a).await, Some(lamp("first")));
    assert_eq!(get(&b).await, Some(lamp("first")));
    lamps(&b)
        .set(&key(), &[], lamp("second"))
        .await
        .expect("Redis takes it");
    assert_eq!(get(&b).await, Some(lamp("second")));
    a.seen.wait(|seen| seen.received == 1).await;
    assert_eq!(get(&a).await, Some(lamp("second")));
}

/// A release changes the type: what the one before kept is loaded anew, and no reader sees an error.
#[tokio::test]
async fn a_value_of_another_form_is_loaded_anew() {
    let (server, clock) = (Server::start().await, Arc::new(ManualClock::new()));
    let replica = server.replica(&clock).await;
    let before = replica.cache.typed::<u32, _>(policy(), Json);
    let number = || async { Ok::<_, Infallible>(Some(7)) };
    before.get_or_load(&key(), &[], number).await.expect("loads");
    let loads = Arc::new(AtomicUsize::new(0));
    lamps(&replica).get(&key(), &[]).await.expect_err("a number is no lamp");
    let read = lamps(&replica)
        .get_or_load(&key(), &[], load(&loads, Loaded::new(lamp("new"))))
        .await;
    assert_eq!(read.expect("loads"), Some(lamp("new")));
    assert_eq!(loads.load(Ordering::SeqCst), 1);
    assert_eq!(
        lamps(&replica).get(&key(), &[]).await.expect("readable"),
        Some(Some(lamp("new")))
    );
}

#[tokio::test]
async fn the_loaders_error_comes_through() {
    let replica = Replica::build(TieredCache::builder("test"), &Arc::new(ManualClock::new())).await;
    let fail = || async { Err::<Option<Lamp>, _>("no database") };
    let error = lamps(&replica)
        .get_or_load(&key(), &[], fail)
        .await
        .expect_err("it fails");
    assert!(matches!(error, LoadError::Loader(error) if matches!(*error, TypedError::Loader("no database"))));
}

fn text(loaded: Loaded) -> impl FnOnce() -> std::future::Ready<Result<Loaded, Infallible>> + Send {
    move || std::future::ready(Ok(loaded))
}

async fn tiers(replicas: [&Replica; 2], policy: &Policy, loaded: &Loaded) -> [Tier; 3] {
    let [a, b] = replicas;
    let key = Key::new("texts");
    let read = async |replica: &Replica| {
        let served = replica.cache.get_or_load(&key, &[], policy, text(loaded.clone())).await;
        served.expect("loads").tier
    };
    [read(a).await, read(a).await, read(b).await]
}

#[tokio::test]
async fn what_a_loader_does_not_want_kept_is_answered_and_kept_nowhere() {
    let (server, clock) = (Server::start().await, Arc::new(ManualClock::new()));
    let (a, b) = (server.replica(&clock).await, server.replica(&clock).await);
    let loaded = Loaded::new(Entry::new("half", 1)).do_not_keep();
    assert_eq!(tiers([&a, &b], &policy(), &loaded).await, [Tier::Db; 3]);
    assert_eq!(
        server.command::<Vec<String>>("KEYS test:l:*").await,
        [""; 0],
        "the lock is given back"
    );
    let kept = Loaded::new(Entry::new("whole", 1));
    assert_eq!(tiers([&a, &b], &policy(), &kept).await, [Tier::Db, Tier::L1, Tier::L2]);
}

#[tokio::test]
async fn an_answer_lives_as_long_as_its_loader_says() {
    let (server, clock) = (Server::start().await, Arc::new(ManualClock::new()));
    let (a, b) = (server.replica(&clock).await, server.replica(&clock).await);
    let short = Loaded::new(Entry::new("short", 1)).with_ttl(TTL / 10);
    assert_eq!(tiers([&a, &b], &policy(), &short).await, [Tier::Db, Tier::L1, Tier::L2]);
    advance(&clock, TTL / 9, &[&a, &b]).await;
    assert_eq!(
        tiers([&a, &b], &policy(), &short).await[0],
        Tier::Db,
        "its own TTL is over"
    );
    // "There is no such thing" is kept for as long as the loader says, though the policy would not keep it.
    let nothing = Loaded::nothing().with_ttl(Duration::from_secs(5));
    advance(&clock, TTL, &[&a, &b]).await;
    assert_eq!(
        tiers([&a, &b], &policy(), &nothing).await,
        [Tier::Db, Tier::L1, Tier::L2]
    );
}

#[tokio::test]
async fn an_answer_that_is_too_large_is_kept_nowhere() {
    let (server, clock) = (Server::start().await, Arc::new(ManualClock::new()));
    let build = async || Replica::build(server.builder("test").max_entry_bytes(1_000), &clock).await;
    let (a, b) = (build().await, build().await);
    let large = Loaded::new(Entry::new(vec![b'x'; 1_001], 1));
    assert_eq!(tiers([&a, &b], &policy(), &large).await, [Tier::Db; 3]);
    assert_eq!((a.cache.stats().entries_too_large, a.cache.stats().l1_entries), (2, 0));
    assert_eq!(server.command::<Vec<String>>("KEYS test:e:*").await, [""; 0]);
    let fits = Loaded::new(Entry::new(vec![b'x'; 1_000], 1));
    assert_eq!(tiers([&a, &b], &policy(), &fits).await, [Tier::Db, Tier::L1, Tier::L2]);
}
