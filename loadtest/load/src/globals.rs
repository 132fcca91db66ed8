//! Setup requests of a workload: sent once before the load, their answers become variables (tokens, mostly).

use std::time::Duration;

use scenarios::{SetupRequest, Vars, Workload};
use tokio::time::timeout;

use crate::{
    LoadError,
    caller::{expecting, look_into},
    connection::{Connection, Outgoing, Target},
    failures::printable,
    request::RequestText,
};

/// Sends the workload's setup requests in their order; returns the variables that every user starts with.
///
/// # Errors
/// When the subject does not answer one of them as the workload expects.
pub async fn fetch_globals(workload: &Workload, target: &Target) -> Result<Vars, LoadError> {
    let mut connection = Connection::new(target, 0);
    let mut vars = workload.new_vars();
    for setup in &workload.setup {
        send(&mut connection, &target.host, setup, &mut vars)
            .await
            .map_err(|error| {
                let error = printable(&error).into_owned();
                LoadError::Setup(format!("setup request `{}`: {error}", setup.request.name))
            })?;
    }
    Ok(vars)
}

async fn send(connection: &mut Connection, host: &str, setup: &SetupRequest, vars: &mut Vars) -> Result<(), String> {
    let endpoint = &setup.request;
    let mut request = RequestText::default();
    let outgoing = Outgoing::of(endpoint, request.write(endpoint, host, vars));
    let mut repeated = false;
    let sending = connection.send(outgoing, expecting(endpoint, &setup.extract), &mut repeated);
    let answer = timeout(Duration::from_millis(endpoint.timeout_ms), sending)
        .await
        .map_err(|_| format!("no answer within {} ms", endpoint.timeout_ms))?
        .map_err(|error| error.to_string())?;
    let looked_into = look_into(endpoint, &setup.extract, answer, vars);
    looked_into.map_err(|wrong| wrong.describe(endpoint, Some(answer)))
}
