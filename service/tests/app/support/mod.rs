//! The test kit: servers, a builder for the service, named clients, and an end that checks that nothing is left.
//!
//! ```ignore
//! let scene = Scene::new().await;             // a database of 200 drivers, a topic, a namespace: all of its own
//! let app = scene.app().start().await;        // phase2 by default, in this process, on a free port
//! let answer = app.admin().get("/admin/drivers/1").await;
//! app.stop().await;
//! scene.end().await;
//! ```

mod app;
mod client;
mod kafka;
mod live;
mod metrics;
mod process;
mod programs;
mod python;
mod servers;
mod tokens;

pub(crate) use app::{App, AppBuilder};
pub(crate) use client::{Answer, Client};
pub(crate) use kafka::{TopicReader, messages, publish};
pub(crate) use live::LiveClient;
pub(crate) use metrics::Metrics;
pub(crate) use process::{Process, executable};
pub(crate) use programs::promtool;
pub(crate) use python::python_program;
pub(crate) use servers::{DRIVERS, Scene};
pub(crate) use tokens::{JWT_SECRET, Token};

use std::time::Duration;

use stack::wait::Patience;

/// How long a test waits for what must come: far beyond what it takes on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(40);

/// Asks until there is an answer; fails the test when none has come in time. The question stands on the heap: one that
/// opens a pool of connections holds some 19 KiB, which would be part of every future above it.
pub(crate) async fn eventually<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let mut patience = Patience::new(PATIENCE);
    loop {
        let asked = patience
            .bound(Box::pin(ask()))
            .await
            .unwrap_or_else(|late| panic!("{what}: {late}"));
        if let Some(answer) = asked {
            return answer;
        }
        patience.pause().await.unwrap_or_else(|late| panic!("{what}: {late}"));
    }
}
