//! goose with its own client and metrics, as its documentation shows it: the comparison of `loadtest/examples/cost.py`.
//!
//! `goose_as_shipped HOST USERS SECONDS` requests `/` without pauses, reads each answer, and prints how many there
//! were.

use std::time::Duration;

use goose::{config::GooseConfiguration, prelude::*};

async fn page(user: &mut GooseUser) -> TransactionResult {
    let answer = user.get("/").await?;
    if let Ok(response) = answer.response {
        // Unread, the body would cost the connection.
        let _ = response.bytes().await;
    }
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let [host, users, seconds] = &std::env::args().skip(1).collect::<Vec<_>>()[..] else {
        return Err("usage: goose_as_shipped HOST USERS SECONDS".into());
    };
    let arguments = [
        "--host",
        host,
        "--users",
        users,
        "--increase-rate",
        "10000",
        "--run-time",
        seconds,
        "--no-telnet",
        "--no-websocket",
        "--no-print-metrics",
        "--no-error-summary",
        "--quiet",
        "--quiet",
    ];
    let configuration = GooseConfiguration::parse_args_default(&arguments)?;
    let look = scenario!("look")
        .register_transaction(transaction!(page))
        .set_wait_time(Duration::ZERO, Duration::ZERO)?;
    let attack = GooseAttack::initialize_with_config(configuration)?.register_scenario(look);
    let metrics = Box::pin(attack.execute()).await?;
    let requests: usize = metrics
        .requests
        .values()
        .map(|request| request.success_count + request.fail_count)
        .sum();
    println!("{requests} requests");
    Ok(())
}
