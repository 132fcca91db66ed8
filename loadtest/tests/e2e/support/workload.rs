//! Workload and target files for tests: load models and requests that several tests share, for the text of `scenarios`.

pub(crate) use scenarios::testing::{WorkloadText, edited};

/// Users of the closed model, all there at once.
pub(crate) fn closed(users: u32) -> String {
    format!("[model.closed]\nusers = {users}\nramp_s = 0\n")
}

/// The open model, evenly spaced, at a constant rate.
pub(crate) fn even(per_s: f64, connections: u32) -> String {
    even_at(&format!("{{ constant = {{ per_s = {per_s} }} }}"), connections)
}

/// The open model, evenly spaced, at a rate of any shape.
pub(crate) fn even_at(rate: &str, connections: u32) -> String {
    format!("[model.open]\nspacing = \"even\"\nrate = {rate}\nconnections = {connections}\n")
}

/// Requests for `/`, as endpoint `page`, with a pause after each.
pub(crate) fn page(pause_ms: u32) -> String {
    format!(
        "[think_times]\npause = {{ constant = {{ ms = {pause_ms} }} }}\n[endpoints.page]\npath = \"/\"\n\
         [journeys.look]\nweight = 1\nsteps = [{{ endpoint = \"page\", think = \"pause\" }}]\n"
    )
}

/// A targets file with the one target `fast` (P0); `lines` say what it asks.
pub(crate) fn target_text(lines: &str) -> String {
    format!("name = \"t\"\n[targets.fast]\npriority = \"P0\"\nsource = \"a test\"\n{lines}\n")
}

/// A targets file with the target `fast`: the p95 of an endpoint below so many milliseconds.
pub(crate) fn p95_text(endpoint: &str, below_ms: f64) -> String {
    target_text(&format!(
        "metric = \"http.p95_ms\"\nendpoint = \"{endpoint}\"\nbelow = {below_ms}"
    ))
}
