//! Single flight: one load for all who miss together, and what happens when its clients or its loader fail.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tiered_cache::{Entry, Key, LoadError, Tier, TieredCache};
use tokio::{sync::Notify, task::JoinSet, time::timeout};

use crate::clock::ManualClock;
use crate::support::{DEADLINE, Server, Source, eventually, from, policy, read};

const CLIENTS: usize = 200;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_concurrent_misses_run_the_loader_once() {
    let (server, clock, row) = (Server::start().await, Arc::new(ManualClock::new()), Source::new(1));
    let replica = server.replica(&clock).await;
    row.shut_door();
    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS {
        let (cache, row) = (replica.cache.clone(), Arc::clone(&row));
        clients.spawn(async move { read(&cache, &row).await });
    }
    let joined = || replica.cache.stats().joined == CLIENTS as u64 - 1;
    eventually("all clients but one share the flight", joined).await;
    row.open_door();
    for answer in clients.join_all().await {
        assert_eq!(answer.expect("loads").entry, Some(Entry::new("1:v1", 1)));
    }
    assert_eq!(row.loads(), 1);
    assert_eq!(
        replica.seen.lookups(),
        [("rows", Tier::Db); CLIENTS],
        "every waiter counts its own miss"
    );
    eventually("the flight leaves the map", || replica.cache.stats().flights == 0).await;
}

/// Without a door: clients come at any moment of the flight, also between its end and their look at the map.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn misses_at_any_moment_of_a_flight_run_the_loader_once() {
    let (server, clock) = (Server::start().await, Arc::new(ManualClock::new()));
    let replica = server.replica(&clock).await;
    for id in 0..50 {
        let row = Source::new(id);
        let mut clients = JoinSet::new();
        for _ in 0..20 {
            let (cache, row) = (replica.cache.clone(), Arc::clone(&row));
            clients.spawn(async move { read(&cache, &row).await });
        }
        clients.join_all().await;
        assert_eq!(row.loads(), 1, "row {id}");
    }
}

#[tokio::test]
async fn a_client_that_goes_away_does_not_cancel_the_load_of_the_others() {
    let (server, clock, row) = (Server::start().await, Arc::new(ManualClock::new()), Source::new(1));
    let replica = server.replica(&clock).await;
    row.shut_door();
    let client = |cache: TieredCache, row: Arc<Source>| tokio::spawn(async move { read(&cache, &row).await });
    let first = client(replica.cache.clone(), Arc::clone(&row));
    row.loads_reach(1).await;
    let second = client(replica.cache.clone(), Arc::clone(&row));
    eventually("the second client waits", || replica.cache.stats().joined == 1).await;
    first.abort();
    assert!(first.await.expect_err("aborted").is_cancelled());
    row.open_door();
    let answer = second.await.expect("not aborted").expect("loads");
    assert_eq!(answer.entry, Some(Entry::new("1:v1", 1)));
    assert_eq!(row.loads(), 1);
}

#[tokio::test]
async fn a_load_that_nobody_waits_for_any_more_still_fills_the_cache() {
    let (server, clock, row) = (Server::start().await, Arc::new(ManualClock::new()), Source::new(1));
    let replica = server.replica(&clock).await;
    row.shut_door();
    let (cache, source) = (replica.cache.clone(), Arc::clone(&row));
    let client = tokio::spawn(async move { read(&cache, &source).await });
    row.loads_reach(1).await;
    client.abort();
    assert!(client.await.expect_err("aborted").is_cancelled());
    row.open_door();
    eventually("the flight ends", || replica.cache.stats().flights == 0).await;
    assert_eq!(replica.read(&row).await, from(Tier::L1, "1:v1"));
}

#[tokio::test]
async fn a_loaders_error_reaches_all_waiters_and_is_not_cached() {
    let (server, clock) = (Server::start().await, Arc::new(ManualClock::new()));
    let replica = server.replica(&clock).await;
    let (door, runs) = (Arc::new(Notify::new()), Arc::new(AtomicUsize::new(0)));
    let mut clients = JoinSet::new();
    for _ in 0..10 {
        let (cache, door, runs) = (replica.cache.clone(), Arc::clone(&door), Arc::clone(&runs));
        let load = move || async move {
            runs.fetch_add(1, Ordering::SeqCst);
            door.notified().await;
            Err::<Option<Entry>, _>(String::from("no connection"))
        };
        clients.spawn(async move { cache.get_or_load(&Key::new("rows"), &[], &policy(), load).await });
    }
    eventually("all clients wait", || replica.cache.stats().joined == 9).await;
    door.notify_one();
    let mut errors = Vec::new();
    for result in clients.join_all().await {
        match result.expect_err("the loader fails") {
            LoadError::Loader(error) => errors.push(error),
            other => panic!("the loader was not aborted: {other}"),
        }
    }
    assert_eq!(*errors[0], "no connection");
    assert!(
        errors.iter().all(|error| Arc::ptr_eq(error, &errors[0])),
        "one error, shared"
    );
    assert_eq!(runs.load(Ordering::SeqCst), 1);

    let load = || async { Ok::<_, String>(Some(Entry::new("back", 1))) };
    let answer = replica
        .cache
        .get_or_load(&Key::new("rows"), &[], &policy(), load)
        .await
        .expect("loads");
    assert_eq!(answer.tier, Tier::Db);
}

#[tokio::test]
async fn a_loader_that_panics_fails_its_clients_and_leaves_nothing_behind() {
    let (server, clock, row) = (Server::start().await, Arc::new(ManualClock::new()), Source::new(1));
    let replica = server.replica(&clock).await;
    let load = || async { panic!("a fault in the loader") };
    let (key, tags, policy) = (row.key(), row.tags(), policy());
    let read = replica
        .cache
        .get_or_load::<String, Option<Entry>, _, _>(&key, &tags, &policy, load);
    let result = timeout(DEADLINE, read).await.expect("the client does not hang");
    assert!(matches!(result, Err(LoadError::Aborted)), "{result:?}");
    assert_eq!(replica.cache.stats().flights, 0);
    assert_eq!(replica.read(&row).await.1, Tier::Db);
}

/// 1. Invalidations cannot arrive here. 2. A client's load reads version 1 and takes long. 3. Version 2 is committed
/// elsewhere. 4. More than a second later another client asks: the running flight is as old as what L1 holds, which it
/// must not be served either.
#[tokio::test]
async fn a_flight_that_began_long_ago_is_not_joined_while_nobody_tells() {
    let (server, clock, row) = (Server::start().await, Arc::new(ManualClock::new()), Source::new(1));
    let replica = server.replica(&clock).await;
    server.stop();
    replica.seen.wait(|seen| seen.gate.last() == Some(&false)).await;
    row.shut_door();
    let (cache, source) = (replica.cache.clone(), Arc::clone(&row));
    let early = tokio::spawn(async move { read(&cache, &source).await });
    row.loads_reach(1).await;
    row.write();
    let (cache, source) = (replica.cache.clone(), Arc::clone(&row));
    let soon = tokio::spawn(async move { read(&cache, &source).await });
    eventually("it joins", || replica.cache.stats().joined == 1).await;
    clock.advance(Duration::from_secs(1));
    let (cache, source) = (replica.cache.clone(), Arc::clone(&row));
    let late = tokio::spawn(async move { read(&cache, &source).await });
    row.loads_reach(2).await;
    row.open_door();
    for (client, version) in [(early, 1), (soon, 1), (late, 2)] {
        let answer = client.await.expect("runs").expect("loads");
        assert_eq!(answer.entry.expect("a row").version, version);
    }
}

/// Two call sites with different error types and one key: each gets its own type, at the price of a second load.
#[tokio::test]
async fn callers_with_another_error_type_load_for_themselves() {
    let (server, clock) = (Server::start().await, Arc::new(ManualClock::new()));
    let replica = server.replica(&clock).await;
    let key = Key::new("rows");
    let policy = policy();
    let texts = replica.cache.get_or_load(&key, &[], &policy, || async {
        Err::<Option<Entry>, _>(String::from("text"))
    });
    let numbers = replica
        .cache
        .get_or_load(&key, &[], &policy, || async { Err::<Option<Entry>, _>(7_u8) });
    let (text, number) = tokio::join!(texts, numbers);
    assert!(matches!(text, Err(LoadError::Loader(error)) if *error == "text"));
    assert!(matches!(number, Err(LoadError::Loader(error)) if *error == 7));
}

#[tokio::test]
async fn different_keys_do_not_wait_for_each_other() {
    let (server, clock) = (Server::start().await, Arc::new(ManualClock::new()));
    let replica = server.replica(&clock).await;
    let (slow, quick) = (Source::new(1), Source::new(2));
    slow.shut_door();
    let (cache, source) = (replica.cache.clone(), Arc::clone(&slow));
    let waiting = tokio::spawn(async move { read(&cache, &source).await });
    slow.loads_reach(1).await;
    let answer = timeout(Duration::from_secs(10), replica.read(&quick)).await;
    assert_eq!(answer, Ok(from(Tier::Db, "2:v1")));
    slow.open_door();
    waiting.await.expect("runs").expect("loads");
}
