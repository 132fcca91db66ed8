//! How long servers take to start and to stop, by the provider that `STACK_PROVIDER` names: the median of five, or of
//! as many as the first argument says.
//!
//! ```sh
//! STACK_PROVIDER=native cargo run --release -p stack --example startup
//! ```

use std::time::{Duration, Instant};

use stack::{Kafka, Postgres, Provider, Redis, Server, StackError, StackOptions};

/// One start and one stop.
struct Timing {
    provider: Provider,
    start: Duration,
    stop: Duration,
}

#[tokio::main]
async fn main() -> Result<(), StackError> {
    let rounds = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(5);
    let options = StackOptions::from_env()?;
    println!(
        "{:<10}{:<12}{:>9}{:>9}   median of {rounds}",
        "server", "provider", "start s", "stop s"
    );
    for server in [Server::Postgres, Server::Redis, Server::Kafka] {
        let mut timings = Vec::new();
        for _ in 0..rounds {
            timings.push(time(server, &options).await?);
        }
        if let Some(provider) = timings.first().map(|timing| timing.provider) {
            let start = median(timings.iter().map(|timing| timing.start).collect());
            let stop = median(timings.iter().map(|timing| timing.stop).collect());
            println!(
                "{:<10}{:<12}{start:>9.2}{stop:>9.2}",
                server.to_string(),
                provider.to_string()
            );
        }
    }
    Ok(())
}

async fn time(server: Server, options: &StackOptions) -> Result<Timing, StackError> {
    let began = Instant::now();
    match server {
        Server::Postgres => {
            let up = Postgres::start(options).await?;
            timing(began, up.info().provider, up.stop()).await
        }
        Server::Redis => {
            let up = Redis::start(options).await?;
            timing(began, up.info().provider, up.stop()).await
        }
        Server::Kafka => {
            let up = Kafka::start(options).await?;
            timing(began, up.info().provider, up.stop()).await
        }
    }
}

/// Stops the server that has just come up, and takes both times.
async fn timing(
    began: Instant,
    provider: Provider,
    stop: impl Future<Output = Result<(), StackError>>,
) -> Result<Timing, StackError> {
    let start = began.elapsed();
    let stopping = Instant::now();
    stop.await?;
    let stop = stopping.elapsed();
    Ok(Timing { provider, start, stop })
}

/// Seconds.
fn median(mut times: Vec<Duration>) -> f64 {
    times.sort();
    times.get(times.len() / 2).map_or(0.0, Duration::as_secs_f64)
}
