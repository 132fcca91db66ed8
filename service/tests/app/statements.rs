//! SQL statements per request over all routes, before and after, by the server's own count: the plan's "database
//! queries reduced by half", and what the cache adds to it.
//!
//! Three services take turns with the same requests, in blocks, so that whatever happens on the machine happens to all.

use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution as _, Zipf};
use serde_json::{Value, json};

use crate::support::{App, Client, DRIVERS, Scene, eventually};

const BLOCKS: usize = 6;
const REQUESTS_PER_BLOCK: usize = 100;
/// Popularity of drivers, as in scenarios/workloads.
const ZIPF_EXPONENT: f64 = 0.99;

/// One request: method, path, body.
type Request = (&'static str, String, Option<Value>);

/// The shares of phase2-mix (5 % writes, mostly reads of one driver), with every other route among them.
fn request(rng: &mut ChaCha8Rng) -> Request {
    let popular = Zipf::new(f64::from(DRIVERS), ZIPF_EXPONENT).expect("a distribution");
    let id = popular.sample(rng).round();
    let get = |path: String| ("GET", path, None);
    match rng.random_range(0..100) {
        0..3 => get("/admin/dashboard/summary".to_owned()),
        3..6 => get("/admin/dashboard/trip-activity".to_owned()),
        6..9 => get("/admin/dashboard/risk-distribution".to_owned()),
        9..11 => get("/admin/dashboard/safety-events".to_owned()),
        11..13 => get("/admin/dashboard/claims-overview".to_owned()),
        13..14 => get("/admin/resources/metrics".to_owned()),
        14..18 => get("/admin/drivers?limit=20".to_owned()),
        18..35 => get(format!("/admin/drivers/{id}")),
        35..70 => get(format!("/risk/{id}/current")),
        70..80 => get(format!("/pricing/{id}/premium")),
        80..88 => get(format!("/drivers/{id}/statistics")),
        88..95 => get(format!("/drivers/{id}/trips?limit=20")),
        95..98 => (
            "POST",
            format!("/drivers/{id}/trips"),
            Some(json!({"duration_s": 900, "distance_m": 9_000, "night_share_pct": 5, "events": {"speeding": 1}})),
        ),
        98..99 => (
            "POST",
            format!("/drivers/{id}/claims"),
            Some(json!({"amount_cents": 90_000, "occurred_on": "2026-01-15"})),
        ),
        _ => (
            "PATCH",
            format!("/admin/drivers/{id}"),
            Some(json!({"status": "active"})),
        ),
    }
}

async fn send_all(client: &Client, requests: &[Request]) {
    for (method, path, body) in requests {
        let answer = client.request(method, path, body.as_ref()).await;
        assert!(answer.status < 300, "{method} {path}: {answer:?}");
    }
}

/// A service on a database of its own.
struct Subject {
    name: &'static str,
    scene: Scene,
    app: App,
    before: i64,
}

impl Subject {
    async fn start(name: &'static str, profile: &str, cache: &str) -> Self {
        let scene = Scene::new().await;
        let app = scene
            .app()
            .profile(profile)
            .set("CACHE_ENABLED", cache)
            .start_ready()
            .await;
        let before = scene.statements().await;
        Self {
            name,
            scene,
            app,
            before,
        }
    }

    /// Statements per request, once every event of a write is worked off.
    async fn stop(self, requests: usize, writes: u64) -> (f64, Scene) {
        eventually("all events are worked off", async || {
            let consumed = self.app.metrics().await.count("trip_events_consumed_total", &[]);
            (consumed >= writes).then_some(())
        })
        .await;
        let statements = self.scene.statements().await - self.before;
        self.app.stop().await;
        let per_request = f64::from(u32::try_from(statements).expect("a count")) / requests as f64;
        println!("{}: {per_request:.2} statements per request", self.name);
        (per_request, self.scene)
    }
}

#[tokio::test]
async fn phase2_sends_at_most_half_of_the_statements_and_a_fifth_with_the_cache() {
    let subjects = [
        Subject::start("phase1", "phase1", "false").await,
        Subject::start("phase2, cache off", "phase2", "false").await,
        Subject::start("phase2", "phase2", "true").await,
    ];
    let mut rng = ChaCha8Rng::seed_from_u64(9);
    let mut writes = 0;
    for _ in 0..BLOCKS {
        let requests: Vec<Request> = (0..REQUESTS_PER_BLOCK).map(|_| request(&mut rng)).collect();
        writes += requests.iter().filter(|(method, ..)| *method != "GET").count() as u64;
        for subject in &subjects {
            send_all(&subject.app.admin(), &requests).await;
        }
    }
    let (mut per_request, mut scenes) = (Vec::new(), Vec::new());
    for subject in subjects {
        let (figure, scene) = subject.stop(BLOCKS * REQUESTS_PER_BLOCK, writes).await;
        per_request.push(figure);
        scenes.push(scene);
    }
    for scene in scenes {
        scene.end().await;
    }
    let share = |index: usize| per_request[index] / per_request[0];
    assert!(share(1) <= 0.5, "queries alone: {per_request:?}");
    assert!(share(2) <= 0.2, "with the cache: {per_request:?}");
}
