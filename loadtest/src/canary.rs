//! The canary of a gate: a frozen, tiny HTTP server that gets a tenth of the rate in all slices. What slows it down is
//! the machine, so it is the ruler for noise that both subjects share.
//!
//! It runs in a process of its own (`loadtest canary`, not for people), as the subjects do. It ends when its standard
//! input does, so that it never outlives a harness that was killed.

use std::{
    convert::Infallible,
    path::Path,
    process::{Command, Stdio},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{Response, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use load::{SliceLoad, Target};
use scenarios::{OpenModel, Workload};
use stack::{
    process::{Ending, Output, Supervised},
    wait::Patience,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::oneshot,
};

use crate::{error::HarnessError, say};

/// Name of the hidden subcommand.
pub(crate) const COMMAND: &str = "canary";
/// Its share of the subject's rate.
const SHARE: f64 = 0.1;
/// It listens within milliseconds.
const START_LIMIT: Duration = Duration::from_mins(1);
/// Connections: it answers within a millisecond, so that even a stall of the machine leaves some free.
pub(crate) const CONNECTIONS: u32 = 64;
const LISTENING: &str = "listening on http://";
const BODY: Bytes = Bytes::from_static(&[b'x'; 600]);
/// Its requests, in the form of every workload. Only the endpoint matters: a gate gives rate and durations.
const WORKLOAD: &str = r#"
name = "canary"
measure_s = 1
drain_s = 1
blocks = 1
[model.open]
rate = { constant = { per_s = 1 } }
[warm_up]
duration_s = 1
think_time_scale = 1
[quick]
warm_up_s = 1
measure_s = 1
blocks = 1
[think_times]
none = { constant = { ms = 1 } }
[endpoints.canary]
path = "/"
[journeys.song]
weight = 1
steps = [{ endpoint = "canary", think = "none" }]
"#;

/// Running canary process.
pub(crate) struct Canary {
    target: Target,
    process: Supervised,
}

/// The load that a canary gets in every slice.
pub(crate) struct CanaryLoad {
    workload: Arc<Workload>,
    model: OpenModel,
    target: Target,
}

impl Canary {
    /// Starts one.
    ///
    /// # Errors
    /// When this binary cannot be started again.
    pub(crate) async fn start() -> Result<Self, HarnessError> {
        let mut command = Command::new(std::env::current_exe().map_err(HarnessError::internal)?);
        // Its standard input is open as long as the canary is to live.
        command.arg(COMMAND).env_clear().stdin(Stdio::piped());
        let output = Output::Lines { errors: None };
        let mut process = Supervised::spawn(command, output, Ending::default()).map_err(HarnessError::internal)?;
        let listens_at = |line: &str| line.strip_prefix(LISTENING)?.parse().ok();
        let address = process.line(&Patience::new(START_LIMIT), listens_at).await;
        Ok(Self {
            target: Target::at(address.map_err(HarnessError::internal)?),
            process,
        })
    }

    /// Ends it.
    ///
    /// # Errors
    /// When it had ended before, or does not end.
    pub(crate) async fn stop(self) -> Result<(), HarnessError> {
        self.process.stop().await.map_err(HarnessError::internal)
    }
}

impl CanaryLoad {
    /// The load beside a subject that gets `model`.
    ///
    /// # Errors
    /// When the canary's own workload is not valid.
    pub(crate) fn new(canary: &Canary, model: &OpenModel) -> Result<Self, HarnessError> {
        let workload = workload()?;
        Ok(Self {
            model: beside(&workload, model.rate.first_per_s()),
            workload: Arc::new(workload),
            target: canary.target.clone(),
        })
    }

    /// The load of one slice.
    pub(crate) fn slice(&self) -> SliceLoad<'_> {
        SliceLoad {
            workload: &self.workload,
            model: &self.model,
            target: self.target.clone(),
            globals: self.workload.new_vars(),
            sequences: Arc::new(self.workload.new_sequences()),
        }
    }
}

fn workload() -> Result<Workload, HarnessError> {
    Workload::parse(Path::new("canary.toml"), WORKLOAD).map_err(HarnessError::internal)
}

/// Arrivals beside a subject that gets `rate_per_s`.
fn beside(workload: &Workload, rate_per_s: f64) -> OpenModel {
    OpenModel {
        connections: CONNECTIONS,
        ..workload.open_model_at(rate_per_s * SHARE)
    }
}

/// Serves until standard input ends.
pub(crate) async fn serve() -> Result<u8, HarnessError> {
    let listener = TcpListener::bind("127.0.0.1:0").await.map_err(HarnessError::internal)?;
    say::out(format_args!(
        "{LISTENING}{}",
        listener.local_addr().map_err(HarnessError::internal)?
    ));
    let mut over = std::pin::pin!(end_of_input());
    loop {
        tokio::select! {
            accepted = listener.accept() => drop(tokio::spawn(answer(accepted.map_err(HarnessError::internal)?.0))),
            () = &mut over => return Ok(0),
        }
    }
}

/// Completes when standard input ends, which a thread of its own waits for.
async fn end_of_input() {
    let (over, ended) = oneshot::channel::<()>();
    std::thread::spawn(move || {
        // Whatever is written there means nothing, and an error is an end too.
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        drop(over);
    });
    let _ = ended.await;
}

/// A connection that breaks is the generator's business.
async fn answer(stream: TcpStream) {
    let fixed = service_fn(|_| async { Ok::<_, Infallible>(Response::new(Full::new(BODY))) });
    let _ = stream.set_nodelay(true);
    let _ = http1::Builder::new()
        .serve_connection(TokioIo::new(stream), fixed)
        .await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_workload_is_valid_and_has_one_endpoint() {
        let workload = workload().unwrap();
        assert_eq!(workload.endpoint_names(), [measure::record::CANARY]);
        let model = beside(&workload, 1000.0);
        assert_eq!(model.rate.describe(), "100/s");
    }
}
