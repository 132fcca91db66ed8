//! The closed model: goose starts the users, we walk the journeys and take the times.
//!
//! Each goose user runs one transaction, a whole [`User::live`]: goose's own run time is in whole seconds, is checked
//! between transactions only, and leaves requests in flight uncounted, so phases are cut by our clock instead. A user
//! lives on one of our threads, and goose's own metrics are off: keeping them is work at every request, and nobody
//! reads them.

use std::sync::Arc;

use goose::{
    GooseAttack,
    client::GooseClientBuilder,
    config::GooseConfiguration,
    goose::{GooseUser, Scenario, Transaction, TransactionFunction},
};
use scenarios::ClosedModel;
use tokio::{
    runtime::Handle,
    sync::oneshot::{self, Receiver},
};
use tokio_util::sync::CancellationToken;

use crate::{
    LoadError, Shared,
    sender::{on_own_thread, raise_priority},
    user::User,
};

/// Runs the users to the end of the drain; the priority of the threads that they lived on.
///
/// # Errors
/// When goose refuses to run.
pub(crate) async fn run(shared: Arc<Shared>, model: ClosedModel) -> Result<Option<i32>, LoadError> {
    let configuration = configuration(&shared, model)?;
    let senders = Senders::start(&shared).await?;
    let scenario = Scenario::new("mix").register_transaction(Transaction::new(transaction(shared, &senders)));
    // One client for all: a user has its own connection of ours, and goose's, with a TLS set-up each, would cost more
    // than a second's load and start the users late.
    let unused_client = GooseClientBuilder::new().without_cookies();
    let attack = GooseAttack::initialize_with_config(configuration)
        .map_err(LoadError::internal)?
        .set_client_builder_without_cookies(unused_client)
        .map_err(LoadError::internal)?
        .register_scenario(scenario);
    // Boxed: goose's state is 20 KB, too much for the stack of every future around it.
    let executed = Box::pin(attack.execute()).await;
    let priority = senders.priority;
    senders.stop().await?;
    executed.map(|_| priority).map_err(LoadError::internal)
}

/// One iteration of one transaction is a user's whole life; goose is quiet, since we draw the progress.
fn configuration(shared: &Shared, model: ClosedModel) -> Result<GooseConfiguration, LoadError> {
    let ClosedModel { users, ramp_s } = model;
    let (host, users_text) = (format!("http://{}", shared.target.address()), users.to_string());
    let rate = (f64::from(users) / ramp_s.max(0.001)).ceil().to_string();
    let arguments = [
        "--host",
        &host,
        "--users",
        &users_text,
        "--increase-rate",
        &rate,
        "--iterations",
        "1",
        "--quiet",
        "--quiet",
        "--no-metrics",
        "--no-telnet",
    ];
    GooseConfiguration::parse_args_default(&arguments).map_err(LoadError::internal)
}

fn transaction(shared: Arc<Shared>, senders: &Senders) -> TransactionFunction {
    let handles: Arc<[Handle]> = Arc::from(&senders.handles[..]);
    Arc::new(move |goose_user: &mut GooseUser| {
        let (shared, index) = (Arc::clone(&shared), goose_user.weighted_users_index);
        let handle = handles[shared.shard_of(index)].clone();
        Box::pin(async move {
            live(shared, index, &handle).await;
            Ok(())
        })
    })
}

/// A user's life on the thread of its shard. What is still in flight when the round gives up ends with it.
async fn live(shared: Arc<Shared>, index: usize, handle: &Handle) {
    let of_user = Arc::clone(&shared);
    let mut life = handle.spawn(async move { User::new(of_user, index).live().await });
    tokio::select! {
        _ = &mut life => {}
        () = shared.given_up() => life.abort(),
    }
}

/// The threads that users live on, one per shard.
struct Senders {
    handles: Vec<Handle>,
    /// Their priority, as the kernel counts it.
    priority: Option<i32>,
    stop: CancellationToken,
    ends: Vec<Receiver<std::io::Result<()>>>,
}

impl Senders {
    async fn start(shared: &Shared) -> Result<Self, LoadError> {
        let stop = CancellationToken::new();
        let (mut handles, mut ends, mut priority) = (Vec::new(), Vec::new(), None);
        for index in 0..shared.shards.len() {
            let (here, handle) = oneshot::channel();
            let stopped = stop.clone();
            let wait = move || async move {
                // It waits for it, below.
                let _ = here.send((Handle::current(), raise_priority()));
                stopped.cancelled().await;
            };
            let end = on_own_thread(&format!("users-{index}"), shared.lag.clone(), wait);
            ends.push(end.map_err(LoadError::internal)?);
            let (handle, its_priority) = handle.await.map_err(LoadError::internal)?;
            handles.push(handle);
            priority = its_priority;
        }
        Ok(Self {
            handles,
            priority,
            stop,
            ends,
        })
    }

    /// Ends the threads, and with them what still lives there.
    async fn stop(mut self) -> Result<(), LoadError> {
        self.stop.cancel();
        for end in std::mem::take(&mut self.ends) {
            end.await.map_err(LoadError::internal)?.map_err(LoadError::internal)?;
        }
        Ok(())
    }
}

impl Drop for Senders {
    /// Also when goose never ran.
    fn drop(&mut self) {
        self.stop.cancel();
    }
}
