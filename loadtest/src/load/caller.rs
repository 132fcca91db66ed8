//! One request from template to record: rendered, sent, judged, looked into, counted. Users of the closed model and slots
//! of the open one both do it here.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{Request as HttpRequest, header::HeaderValue};
use measure::recorder::{Outcome, Request, Unfinished};
use scenarios::{Endpoint, Extract, Vars};
use tokio::time::timeout_at;

use super::{
    Shared,
    connection::{Answer, Connection, SendError},
    timeline::micros,
};

/// A request to be sent.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Due<'a> {
    /// Index into the workload's endpoints.
    pub(crate) endpoint: usize,
    /// What to take from the answer.
    pub(crate) extract: &'a [Extract],
    /// When the schedule wanted it sent; absent in the closed model, where nobody but the user decides.
    pub(crate) intended_us: Option<u64>,
}

/// One request that came to an end.
pub(crate) struct Sent {
    /// Index into the workload's endpoints.
    pub(crate) endpoint: usize,
    /// From the send to the last byte.
    pub(crate) took: Duration,
    /// When the last byte came, or the failure.
    pub(crate) ended_us: u64,
    pub(crate) status: Option<u16>,
    pub(crate) error: Option<String>,
}

/// Someone with a connection and variables of its own.
pub(crate) struct Caller {
    pub(crate) shared: Arc<Shared>,
    own_shard: usize,
    pub(crate) vars: Vars,
    connection: Connection,
    /// Reused for every path, header, body and entity.
    text: String,
}

impl Caller {
    /// Number `index` of its round; it starts with what the setup left.
    pub(crate) fn new(shared: Arc<Shared>, index: usize) -> Self {
        Self {
            own_shard: index % shared.shards.len(),
            vars: shared.globals.clone(),
            connection: Connection::new(shared.target.clone()),
            text: String::new(),
            shared,
        }
    }

    /// Sends one request and records it; `None` when it was still in flight at the end of the drain, or given up.
    pub(crate) async fn call(&mut self, due: Due<'_>) -> Option<Sent> {
        let shared = Arc::clone(&self.shared);
        let endpoint = &shared.workload.endpoints[due.endpoint];
        let request = build(endpoint, &self.vars, &mut self.text);
        let keeps_body = endpoint.expect.reads_body() || !due.extract.is_empty();
        let sent_us = shared.clock.now_us();
        let outcome = self.exchange(endpoint, request, keeps_body, sent_us).await;
        let ended_us = shared.clock.now_us();
        let intended_us = due.intended_us.unwrap_or(sent_us);
        let Some(outcome) = outcome else {
            shared.shard(self.own_shard).unfinished(Unfinished {
                endpoint: due.endpoint,
                intended_us,
                sent_us,
                given_up_us: ended_us,
            });
            return None;
        };
        let judged = self.judge(endpoint, due.extract, &outcome);
        shared.shard(self.own_shard).ended(Request {
            endpoint: due.endpoint,
            intended_us,
            sent_us,
            ended_us,
            outcome: counted(&outcome, judged.is_ok()),
        });
        if let (Ok(answer), Ok(())) = (&outcome, &judged) {
            self.follow_version(endpoint, answer, sent_us, ended_us);
        }
        Some(Sent {
            endpoint: due.endpoint,
            took: Duration::from_micros(ended_us - sent_us),
            ended_us,
            status: outcome.ok().map(|answer| answer.status),
            error: judged.err().inspect(|message| shared.errors.add(message.clone())),
        })
    }

    /// `None` when the round gives up on it before the endpoint's own time-out.
    async fn exchange(
        &mut self,
        endpoint: &Endpoint,
        request: HttpRequest<Full<Bytes>>,
        keeps_body: bool,
        sent_us: u64,
    ) -> Option<Result<Answer, SendError>> {
        let shared = Arc::clone(&self.shared);
        let timed_out_us = sent_us + micros(Duration::from_millis(endpoint.timeout_ms));
        let drain_end_us = shared.timeline.drain_end_us;
        let deadline = shared.clock.instant(timed_out_us.min(drain_end_us));
        tokio::select! {
            biased;
            outcome = timeout_at(deadline, self.connection.send(request, keeps_body)) => match outcome {
                Ok(outcome) => Some(outcome),
                Err(_) if drain_end_us < timed_out_us => None,
                Err(_) => Some(Err(SendError::Timeout(endpoint.timeout_ms))),
            },
            () = shared.abort.cancelled() => None,
        }
    }

    /// `Err` says in words what was not as the workload expects. What it extracts is kept.
    fn judge(
        &mut self,
        endpoint: &Endpoint,
        extract: &[Extract],
        outcome: &Result<Answer, SendError>,
    ) -> Result<(), String> {
        let judged = match outcome {
            Err(error) => Err(error.to_string()),
            Ok(answer) => look_into(endpoint, extract, answer, &mut self.vars),
        };
        judged.map_err(|why| format!("{} {}: {why}", endpoint.method.as_str(), endpoint.name))
    }

    fn follow_version(&mut self, endpoint: &Endpoint, answer: &Answer, sent_us: u64, ended_us: u64) {
        let shared = Arc::clone(&self.shared);
        let (Some(versions), Some(entity)) = (&shared.versions, &endpoint.entity) else {
            return;
        };
        let Some(version) = versions.version_of(answer) else {
            return;
        };
        let entity = rendered(&mut self.text, |out| entity.render(&self.vars, out));
        if endpoint.write {
            versions.wrote(entity, version, ended_us);
        } else {
            versions.read(&endpoint.name, entity, version, sent_us);
        }
    }
}

/// The request of an endpoint with the values of `vars`; `text` is a buffer to reuse.
pub(super) fn build(endpoint: &Endpoint, vars: &Vars, text: &mut String) -> HttpRequest<Full<Bytes>> {
    let path = rendered(text, |out| endpoint.path.render(vars, out));
    let mut request = HttpRequest::builder().method(endpoint.method.as_str()).uri(path);
    for (name, template) in &endpoint.headers {
        request = request.header(name, header_value(rendered(text, |out| template.render(vars, out))));
    }
    let body = endpoint.body.as_ref().map_or_else(Full::default, |body| {
        let text = rendered(text, |out| body.render(vars, out));
        Full::new(Bytes::copy_from_slice(text.as_bytes()))
    });
    request
        .body(body)
        .expect("paths and header names were checked when the workload was read")
}

fn rendered(text: &mut String, write: impl FnOnce(&mut String)) -> &str {
    text.clear();
    write(text);
    text
}

/// Values from answers or files may hold what no header can: it is left out, and the service says what it thinks of that.
fn header_value(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).unwrap_or_else(|_| HeaderValue::from_static(""))
}

fn counted(outcome: &Result<Answer, SendError>, as_expected: bool) -> Outcome {
    match outcome {
        Ok(answer) if as_expected => Outcome::Ok { bytes: answer.bytes },
        _ => Outcome::Error,
    }
}

/// Whether an answer is as its endpoint expects; keeps what is to be extracted.
pub(super) fn look_into(
    endpoint: &Endpoint,
    extract: &[Extract],
    answer: &Answer,
    vars: &mut Vars,
) -> Result<(), String> {
    let expect = &endpoint.expect;
    expect
        .check_status(answer.status)
        .map_err(|why| format!("{why} {}", answer.excerpt()))?;
    expect.check_headers(|name| answer.header(name), vars)?;
    if !expect.reads_body() && extract.is_empty() {
        return Ok(());
    }
    if !answer.is_whole() {
        return Err(format!("the body is too long to look into: {} bytes", answer.bytes));
    }
    let body = serde_json::from_slice(&answer.body)
        .map_err(|error| format!("expected JSON, got ({error}) {}", answer.excerpt()))?;
    expect.check_json(&body, vars)?;
    scenarios::keep(extract, &body, vars).map_err(|what| format!("the answer has {what}"))
}
