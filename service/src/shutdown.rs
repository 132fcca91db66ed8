//! Stop and drain: one token stops everything, and nothing is waited for without a bound.

use std::io;

use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

/// A token that is cancelled by SIGTERM or SIGINT.
pub fn on_signals() -> io::Result<CancellationToken> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let stop = CancellationToken::new();
    let stopper = stop.clone();
    tokio::spawn(async move {
        let name = tokio::select! {
            _ = terminate.recv() => "SIGTERM",
            _ = interrupt.recv() => "SIGINT",
        };
        tracing::info!(signal = name, "stopping");
        stopper.cancel();
    });
    Ok(stop)
}

/// Waits for `work` to end, until `deadline`. Gives `None`, and says so in the log, when it did not.
pub async fn drain<F: Future>(what: &'static str, deadline: Instant, work: F) -> Option<F::Output> {
    let ended = timeout_at(deadline, work).await.ok();
    if ended.is_none() {
        tracing::warn!(what, "did not end in time and is let go");
    }
    ended
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_ends_in_time_gives_its_result() {
        let deadline = Instant::now() + Duration::from_secs(1);
        assert_eq!(drain("work", deadline, async { 7 }).await, Some(7));
    }

    #[tokio::test(start_paused = true)]
    async fn what_does_not_end_is_let_go() {
        let deadline = Instant::now() + Duration::from_secs(1);
        assert_eq!(drain("work", deadline, std::future::pending::<()>()).await, None);
    }
}
