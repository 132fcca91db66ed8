//! One request from template to record: rendered, sent, judged, looked into, counted. Users of the closed model and
//! slots of the open one both do it here.

use std::{sync::Arc, time::Duration};

use measure::recorder::{Request, RequestEnd, Unfinished};
use scenarios::{Endpoint, Extract, Method, Vars};

use crate::{
    Shared,
    alarm::Alarm,
    answer::{Answer, Expecting},
    connection::{Connection, SendError},
    request::RequestText,
    timeline::micros,
    versions::Versions,
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

/// A request that has ended, with its answer or without.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ended {
    /// When the last byte came, or the failure.
    pub(crate) at_us: u64,
    /// Whether the answer was as expected.
    pub(crate) as_expected: bool,
}

/// Someone with a connection and variables of its own.
pub(crate) struct Caller {
    shared: Arc<Shared>,
    own_shard: usize,
    pub(crate) vars: Vars,
    connection: Connection,
    alarm: Alarm,
    request: RequestText,
    /// Reused for every entity.
    entity: String,
}

impl Caller {
    /// Number `index` of its round; it starts with what the setup left.
    pub(crate) fn new(shared: Arc<Shared>, index: usize) -> Self {
        Self {
            own_shard: shared.shard_of(index),
            vars: shared.globals.clone(),
            connection: Connection::new(&shared.target),
            alarm: Alarm::default(),
            request: RequestText::default(),
            entity: String::new(),
            shared,
        }
    }

    /// Sends one request and records it. Dropped half way, as at the end of the drain, it is recorded as unfinished.
    pub(crate) async fn call(&mut self, due: Due<'_>) -> Ended {
        let shared = &*self.shared;
        let endpoint = &shared.workload.endpoints[due.endpoint];
        let text = self.request.write(endpoint, &shared.target.host, &self.vars);
        let expecting = expecting(endpoint, due.extract);
        let in_flight = InFlight::begin(shared, self.own_shard, due);
        let sent_us = in_flight.request.sent_us;
        let deadline = shared
            .clock
            .instant(sent_us + micros(Duration::from_millis(endpoint.timeout_ms)));
        let outcome = self.alarm.before(deadline, self.connection.send(text, expecting)).await;
        let outcome = outcome.unwrap_or(Err(SendError::Timeout(endpoint.timeout_ms)));
        let at_us = shared.clock.now_us();
        let judged = judge(endpoint, due.extract, outcome.as_ref().copied(), &mut self.vars);
        in_flight.end(at_us, counted(&outcome, judged.is_ok()));
        if let (Ok(answer), Ok(()), Some(versions)) = (&outcome, &judged, &shared.versions) {
            let entity = rendered_entity(&mut self.entity, endpoint, &self.vars);
            follow_version(versions, endpoint, entity, answer, (sent_us, at_us));
        }
        let as_expected = judged.is_ok();
        if let Err(why) = judged {
            shared.errors.add(why);
        }
        Ended { at_us, as_expected }
    }
}

/// A request that is on its way. Whatever ends the wait for its answer, it is counted (invariant 8).
struct InFlight<'s> {
    shared: &'s Shared,
    own_shard: usize,
    request: Unfinished,
    has_ended: bool,
}

impl<'s> InFlight<'s> {
    /// Sent now.
    fn begin(shared: &'s Shared, own_shard: usize, due: Due<'_>) -> Self {
        let sent_us = shared.clock.now_us();
        let request = Unfinished {
            endpoint: due.endpoint,
            intended_us: due.intended_us.unwrap_or(sent_us),
            sent_us,
            given_up_us: sent_us,
        };
        Self {
            shared,
            own_shard,
            request,
            has_ended: false,
        }
    }

    fn end(mut self, ended_us: u64, outcome: RequestEnd) {
        self.has_ended = true;
        let Unfinished {
            endpoint,
            intended_us,
            sent_us,
            ..
        } = self.request;
        self.shared.shard(self.own_shard).ended(Request {
            endpoint,
            intended_us,
            sent_us,
            ended_us,
            outcome,
        });
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        if !self.has_ended {
            self.request.given_up_us = self.shared.clock.now_us();
            self.shared.shard(self.own_shard).unfinished(self.request);
        }
    }
}

/// What of the answer will be looked into.
pub(crate) fn expecting(endpoint: &Endpoint, extract: &[Extract]) -> Expecting {
    Expecting {
        head_only: endpoint.method == Method::Head,
        body: endpoint.expect.reads_body() || !extract.is_empty(),
    }
}

/// Keeps what the workload extracts. `Err` says in words what was not as it expects.
fn judge(
    endpoint: &Endpoint,
    extract: &[Extract],
    outcome: Result<&Answer, &SendError>,
    vars: &mut Vars,
) -> Result<(), String> {
    let judged = match outcome {
        Err(error) => Err(error.to_string()),
        Ok(answer) => look_into(endpoint, extract, answer, vars),
    };
    judged.map_err(|why| format!("{} {}: {why}", endpoint.method.as_str(), endpoint.name))
}

fn counted(outcome: &Result<&Answer, SendError>, as_expected: bool) -> RequestEnd {
    match outcome {
        Ok(answer) if as_expected => RequestEnd::Ok { bytes: answer.bytes() },
        _ => RequestEnd::Error,
    }
}

/// Whether an answer is as its endpoint expects; keeps what is to be extracted.
pub(crate) fn look_into(
    endpoint: &Endpoint,
    extract: &[Extract],
    answer: &Answer,
    vars: &mut Vars,
) -> Result<(), String> {
    let expect = &endpoint.expect;
    expect
        .check_status(answer.status())
        .map_err(|why| format!("{why} {}", answer.excerpt()))?;
    expect.check_headers(|name| answer.header(name), vars)?;
    if !expect.reads_body() && extract.is_empty() {
        return Ok(());
    }
    if !answer.is_whole() {
        return Err(format!("the body is too long to look into: {} bytes", answer.bytes()));
    }
    let body = serde_json::from_slice(answer.body())
        .map_err(|error| format!("expected JSON, got ({error}) {}", answer.excerpt()))?;
    expect.check_json(&body, vars)?;
    scenarios::keep(extract, &body, vars).map_err(|what| format!("the answer has {what}"))
}

/// The entity whose version the endpoint's answers carry.
fn rendered_entity<'t>(text: &'t mut String, endpoint: &Endpoint, vars: &Vars) -> Option<&'t str> {
    let template = endpoint.entity.as_ref()?;
    text.clear();
    template.render(vars, text);
    Some(text)
}

fn follow_version(
    versions: &Versions,
    endpoint: &Endpoint,
    entity: Option<&str>,
    answer: &Answer,
    (sent_us, ended_us): (u64, u64),
) {
    let (Some(entity), Some(version)) = (entity, versions.version_of(answer)) else {
        return;
    };
    if endpoint.write {
        versions.wrote(entity, version, ended_us);
    } else {
        versions.read(&endpoint.name, entity, version, sent_us);
    }
}
