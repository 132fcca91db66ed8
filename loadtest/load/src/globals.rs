//! Setup requests of a workload: sent once before the load, their answers become variables (tokens, mostly).

use std::time::Duration;

use scenarios::{SetupRequest, Vars, Workload};
use tokio::time::timeout;

use crate::{
    LoadError,
    caller::{expecting, look_into},
    connection::Trace,
    failures::printable,
    request::{More, RequestText},
    target::Target,
    wire::Wire,
};

/// Sends the workload's setup requests in their order; returns the variables that every user starts with.
///
/// # Errors
/// When the subject does not answer one of them as the workload expects.
pub async fn fetch_globals(workload: &Workload, target: &Target) -> Result<Vars, LoadError> {
    let target = &target.clone().in_plain_text(workload.http.version);
    let mut wire = Wire::alone(target, 0);
    let mut vars = workload.new_vars();
    for setup in &workload.setup {
        send(&mut wire, target, setup, &mut vars).await.map_err(|error| {
            let error = printable(&workload.secrets.conceal(error)).into_owned();
            LoadError::Setup(format!("setup request `{}`: {error}", setup.request.name))
        })?;
    }
    Ok(vars)
}

async fn send(wire: &mut Wire, target: &Target, setup: &SetupRequest, vars: &mut Vars) -> Result<(), String> {
    let endpoint = &setup.request;
    let mut request = RequestText::default();
    let rendered = wire.render(&mut request, endpoint, target, vars, &More::default());
    let mut trace = Trace::default();
    let expecting = expecting(endpoint, &setup.extract);
    let sending = wire.send(rendered, (endpoint, true), expecting, &mut trace);
    timeout(Duration::from_millis(endpoint.timeout_ms), sending)
        .await
        .map_err(|_| format!("no answer within {} ms", endpoint.timeout_ms))?
        .map_err(|error| error.to_string())?;
    wire.answer().unpack()?;
    let answer = &*wire.answer();
    let looked_into = look_into(endpoint, &setup.extract, answer, vars);
    looked_into.map_err(|wrong| wrong.describe(endpoint, Some(answer)))
}
