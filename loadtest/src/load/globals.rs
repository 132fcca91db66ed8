//! Setup requests of a workload: sent once before the load, their answers become variables (tokens, mostly).

use std::net::SocketAddr;

use scenarios::{Endpoint, SetupRequest, Vars, Workload};

use crate::error::HarnessError;

/// Sends the workload's setup requests in their order; returns the variables that every user starts with.
pub(crate) async fn fetch_globals(workload: &Workload, address: SocketAddr) -> Result<Vars, HarnessError> {
    let client = reqwest::Client::new();
    let mut vars = workload.new_vars();
    for setup in &workload.setup {
        let answer = send(&client, setup, address, &vars)
            .await
            .map_err(|error| HarnessError::Unavailable(format!("setup request `{}`: {error}", setup.request.name)))?;
        setup
            .keep(&answer, &mut vars)
            .map_err(|error| HarnessError::Unavailable(error.to_string()))?;
    }
    Ok(vars)
}

async fn send(
    client: &reqwest::Client,
    setup: &SetupRequest,
    address: SocketAddr,
    vars: &Vars,
) -> anyhow::Result<serde_json::Value> {
    let endpoint = &setup.request;
    let mut url = format!("http://{address}");
    endpoint.path.render(vars, &mut url);
    let mut request = client.request(endpoint.method.as_str().parse()?, &url);
    for (name, value) in headers(endpoint, vars) {
        request = request.header(name, value);
    }
    if let Some(body) = &endpoint.body {
        let mut text = String::new();
        body.render(vars, &mut text);
        request = request.header("content-type", "application/json").body(text);
    }
    let answer = request.send().await?;
    let status = answer.status();
    let text = answer.text().await?;
    anyhow::ensure!(
        endpoint.expect_status.contains(&status.as_u16()),
        "{url} answered {status}: {text}"
    );
    Ok(serde_json::from_str(&text)?)
}

fn headers(endpoint: &Endpoint, vars: &Vars) -> Vec<(String, String)> {
    let render = |(name, template): &(String, scenarios::Template)| {
        let mut value = String::new();
        template.render(vars, &mut value);
        (name.clone(), value)
    };
    endpoint.headers.iter().map(render).collect()
}
