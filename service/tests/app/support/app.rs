//! A service in this process.

use std::collections::HashMap;

use insurance_service::boot::{self, Running};
use insurance_service::config::Config;
use tokio_util::sync::CancellationToken;

use super::{Client, JWT_SECRET, Metrics, Token, eventually};

/// Collects the environment of a service.
pub(crate) struct AppBuilder {
    variables: HashMap<String, String>,
}

impl AppBuilder {
    pub(crate) fn new(environment: Vec<(String, String)>) -> Self {
        // No warming by default: most tests want to see the first read miss.
        let builder = Self {
            variables: environment.into_iter().collect(),
        };
        builder
            .set("BIND_ADDR", "127.0.0.1:0")
            .set("JWT_SECRET", JWT_SECRET)
            .set("CACHE_WARM_DRIVERS", "0")
    }

    /// Sets one variable.
    pub(crate) fn set(mut self, variable: &str, value: &str) -> Self {
        self.variables.insert(variable.to_owned(), value.to_owned());
        self
    }

    /// Chooses the profile.
    pub(crate) fn profile(self, profile: &str) -> Self {
        self.set("PROFILE", profile)
    }

    /// Starts the service and waits until it is ready, its place in the Kafka group included: for tests about events.
    pub(crate) async fn start_ready(self) -> App {
        let app = self.start().await;
        let nobody = app.nobody();
        eventually("the service is ready", async || {
            (nobody.get("/health/ready").await.status == 200).then_some(())
        })
        .await;
        app
    }

    /// Starts the service. It answers requests, and joins its Kafka group in the background.
    pub(crate) async fn start(self) -> App {
        let config = Config::read(&|name| self.variables.get(name).map(Into::into)).expect("a valid environment");
        let stop = CancellationToken::new();
        let listener = boot::bind(&config.http).await.expect("a free port");
        let running = boot::start(&config, listener, stop.clone()).await.expect("a service");
        App {
            url: format!("http://{}", running.address()),
            running: Some(running),
            stop,
        }
    }
}

/// A running service. Ends by [`App::stop`]; to forget that fails the test.
pub(crate) struct App {
    url: String,
    running: Option<Running>,
    stop: CancellationToken,
}

impl App {
    /// `host:port`.
    pub(crate) fn address(&self) -> &str {
        self.url.trim_start_matches("http://")
    }

    /// A client without a token.
    pub(crate) fn nobody(&self) -> Client {
        Client::new(&self.url, None)
    }

    /// A client with an administrator's token.
    pub(crate) fn admin(&self) -> Client {
        self.client(&Token::admin())
    }

    /// A client with the token of one driver.
    pub(crate) fn driver(&self, id: i64) -> Client {
        self.client(&Token::driver(id))
    }

    /// A client with any token.
    pub(crate) fn client(&self, token: &Token) -> Client {
        Client::new(&self.url, Some(token))
    }

    /// What the service has counted so far.
    pub(crate) async fn metrics(&self) -> Metrics {
        let answer = self.nobody().get("/metrics").await;
        assert_eq!(answer.status, 200, "{answer:?}");
        Metrics::new(answer.text())
    }

    /// Begins to stop, without waiting for the end.
    pub(crate) fn begin_stop(&self) {
        self.stop.cancel();
    }

    /// Stops the service, and checks that it ended well and its listener is gone. Whether its port is free says
    /// nothing: another test may have been given it already.
    pub(crate) async fn stop(mut self) {
        let listener = listener_at(self.address()).expect("it listens");
        self.stop.cancel();
        let running = self.running.take().expect("runs");
        running.finished().await.expect("an orderly end");
        let now = listener_at(self.address());
        assert_ne!(now, Some(listener), "it still listens on {}", self.url);
    }
}

/// The number of the socket that listens at `host:port`, which no other socket ever has while it is open (the inode in
/// proc(5), `net/tcp`).
fn listener_at(address: &str) -> Option<u64> {
    const LISTENS: &str = "0A";
    let port: u16 = address.rsplit(':').next()?.parse().ok()?;
    let place = format!(":{port:04X}");
    let sockets = std::fs::read_to_string("/proc/self/net/tcp").expect("the kernel's list of sockets");
    let mut found = sockets.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let of_port = found.find(|line| line.len() > 9 && line[1].ends_with(&place) && line[3] == LISTENS)?;
    of_port[9].parse().ok()
}

impl Drop for App {
    fn drop(&mut self) {
        let ended = self.running.is_none() || std::thread::panicking();
        assert!(
            ended,
            "the test has not stopped its service: end it with `app.stop().await`"
        );
    }
}
