//! The closed model: goose starts the users and counts for its own console, we walk the journeys and take the times.
//!
//! Each goose user runs one endless transaction, the loop over [`User::next`]: goose's own run time is in whole seconds, is checked
//! between transactions only, and leaves requests in flight uncounted, so phases are cut by our clock instead.

use std::sync::Arc;

use goose::{
    GooseAttack,
    config::GooseConfiguration,
    goose::{GooseUser, Scenario, Transaction, TransactionFunction},
};
use scenarios::ClosedModel;

use super::{Shared, user::User};
use crate::error::HarnessError;

/// Runs the users to the end of the drain.
///
/// # Errors
/// When goose refuses to run.
pub(super) async fn run(shared: Arc<Shared>, model: ClosedModel) -> Result<(), HarnessError> {
    let configuration = configuration(&shared, model)?;
    let scenario = Scenario::new("mix").register_transaction(Transaction::new(transaction(shared)));
    let attack = GooseAttack::initialize_with_config(configuration)
        .map_err(HarnessError::internal)?
        .register_scenario(scenario);
    // Boxed: goose's state is 20 KB, too much for the stack of every future around it.
    Box::pin(attack.execute()).await.map_err(HarnessError::internal)?;
    Ok(())
}

/// One iteration of one transaction is a user's whole life; goose is quiet, since we draw the progress.
fn configuration(shared: &Shared, model: ClosedModel) -> Result<GooseConfiguration, HarnessError> {
    let ClosedModel { users, ramp_s } = model;
    let (host, users_text) = (format!("http://{}", shared.target.address), users.to_string());
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
        "--no-print-metrics",
        "--no-telnet",
        "--no-error-summary",
    ];
    GooseConfiguration::parse_args_default(&arguments).map_err(HarnessError::internal)
}

fn transaction(shared: Arc<Shared>) -> TransactionFunction {
    Arc::new(move |goose_user: &mut GooseUser| {
        let shared = Arc::clone(&shared);
        Box::pin(async move {
            live(shared, goose_user).await;
            Ok(())
        })
    })
}

/// A user's life, each request told to goose too.
async fn live(shared: Arc<Shared>, goose_user: &mut GooseUser) {
    let mut user = User::new(Arc::clone(&shared), goose_user.weighted_users_index);
    while let Some(sent) = user.next().await {
        let endpoint = &shared.workload.endpoints[sent.endpoint];
        // Goose's channel is closed only when the attack is over, and then nobody reads the figure.
        let _ = goose_user
            .record_custom_request_duration(
                endpoint.method.as_str(),
                &endpoint.name,
                sent.took,
                sent.error.is_none(),
                sent.status,
                sent.error.as_deref(),
            )
            .await;
    }
}
