//! A replica that dies between its commit and its invalidation.

use serde_json::json;
use stack::proxy::Fault;

use crate::support::{Client, Process, Scene, Token, eventually};

/// Trips of the recent days: an answer that only the writer's own invalidation ends. (The score that follows a trip by
/// way of Kafka ends the answers about the driver, and would hide a lost invalidation of those.)
async fn recent_trips(client: &Client) -> i64 {
    let answer = client.get("/admin/dashboard/trip-activity").await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let days = answer.json()["days"].as_array().expect("days").clone();
    days.iter().map(|day| day["trips"].as_i64().expect("a number")).sum()
}

/// Interleaving:
/// 1. a replica is cut off from Redis; another has the answer in memory, valid for a minute;
/// 2. the first commits a trip and cannot invalidate; it would go on trying, but is killed;
/// 3. the other must see the trip: it finds the invalidation in the outbox, where the transaction has left it.
#[tokio::test]
async fn an_invalidation_outlives_the_replica_that_committed_it() {
    let scene = Scene::new().await;
    let proxy = scene.proxy_before_redis().await;
    let doomed = Process::serve(scene.environment_behind(&proxy)).await;
    let survivor = scene.app().start().await;
    let reader = survivor.admin();
    let before = recent_trips(&reader).await;

    proxy.set(Fault::Cut);
    let trip = json!({"duration_s": 600, "distance_m": 5_000, "night_share_pct": 0, "events": {}});
    let recorded = doomed
        .client(Some(&Token::driver(5)))
        .post("/drivers/5/trips", &trip)
        .await;
    assert_eq!(
        (recorded.status, recorded.header("x-cache-seq")),
        (201, None),
        "{recorded:?}"
    );
    doomed.signal("KILL").await;
    let (status, _) = doomed.ended().await;
    assert_eq!(status.code(), None, "ended by the signal");

    eventually("the survivor sees the trip", async || {
        (recent_trips(&reader).await == before + 1).then_some(())
    })
    .await;
    Box::pin(eventually("the invalidation is marked as done", async || {
        let open = scene
            .number("SELECT count(*) FROM cache_outbox WHERE done_at IS NULL")
            .await;
        (open == 0).then_some(())
    }))
    .await;
    drop(proxy);
    survivor.stop().await;
    scene.end().await;
}

#[tokio::test]
async fn invalidations_that_went_well_are_marked_and_a_cache_that_is_off_has_none() {
    let scene = Scene::new().await;
    let trip = json!({"duration_s": 600, "distance_m": 5_000, "night_share_pct": 0, "events": {}});
    for (profile, rows) in [("phase1", 0), ("planned", 0), ("phase2", 1)] {
        let app = scene.app().profile(profile).start().await;
        assert_eq!(app.driver(5).post("/drivers/5/trips", &trip).await.status, 201);
        Box::pin(eventually("every row is marked as done", async || {
            let done = scene
                .number("SELECT count(*) FROM cache_outbox WHERE done_at IS NOT NULL")
                .await;
            (done == rows).then_some(())
        }))
        .await;
        assert_eq!(
            scene.number("SELECT count(*) FROM cache_outbox").await,
            rows,
            "{profile}"
        );
        app.stop().await;
    }
    scene.end().await;
}
