//! One request from template to record: rendered, sent, judged, looked into, counted. Users of the closed model and
//! slots of the open one both do it here.

use std::{sync::Arc, time::Duration};

use measure::{
    record::FailureClass,
    recorder::{Request, RequestEnd, Unfinished},
};
use scenarios::{Endpoint, Extract, Method, Vars};

use crate::{
    Shared,
    alarm::Alarm,
    answer::{Answer, Expecting},
    connection::{Connection, Outgoing, SendError},
    failures::{Kind, Wrong, class_of},
    request::RequestText,
    timeline::micros,
    versions::Versions,
};

/// A request to be sent.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Due<'a> {
    /// Index into the workload's endpoints.
    pub(crate) endpoint: usize,
    /// Values to take from the answer.
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

/// A connection that was idle for this long is looked at before it is used again: a server may have closed it. Sooner,
/// the look would cost more than it finds.
const RESTED_US: u64 = 100;

/// Someone with a connection and variables of its own.
pub(crate) struct Caller {
    shared: Arc<Shared>,
    own_shard: usize,
    pub(crate) vars: Vars,
    connection: Connection,
    alarm: Alarm,
    request: RequestText,
    /// When its last request ended.
    ended_us: u64,
    /// Reused for every entity.
    entity: String,
}

impl Caller {
    /// Number `index` of its round; it starts with what the setup left.
    pub(crate) fn new(shared: Arc<Shared>, index: usize) -> Self {
        Self {
            own_shard: shared.shard_of(index),
            vars: shared.globals.clone(),
            connection: Connection::new(&shared.target, index),
            alarm: Alarm::default(),
            request: RequestText::default(),
            ended_us: 0,
            entity: String::new(),
            shared,
        }
    }

    /// Sends one request and records it. Dropped half way, as at the end of the drain, it is recorded as unfinished.
    pub(crate) async fn call(&mut self, due: Due<'_>) -> Ended {
        let shared = &*self.shared;
        let endpoint = &shared.workload.endpoints[due.endpoint];
        let written = self.request.write(endpoint, &shared.target.host, &self.vars);
        let expecting = expecting(endpoint, due.extract);
        let in_flight = InFlight::begin(shared, self.own_shard, due);
        let sent_us = in_flight.request.sent_us;
        let deadline = shared
            .clock
            .instant(sent_us + micros(Duration::from_millis(endpoint.timeout_ms)));
        let outgoing = Outgoing {
            is_rested: sent_us.saturating_sub(self.ended_us) >= RESTED_US,
            ..Outgoing::of(endpoint, written)
        };
        let mut repeated = false;
        let sending = self.connection.send(outgoing, expecting, &mut repeated);
        let outcome = self.alarm.before(deadline, sending).await;
        let outcome = outcome.unwrap_or(Err(SendError::Timeout(endpoint.timeout_ms)));
        let at_us = shared.clock.now_us();
        self.ended_us = at_us;
        let judged = judge(endpoint, due.extract, outcome.as_ref().copied(), &mut self.vars);
        in_flight.end(at_us, repeated, counted(&outcome, judged.as_ref().err()));
        if let (Ok(answer), Ok(()), Some(versions)) = (&outcome, &judged, &shared.versions) {
            let entity = rendered_entity(&mut self.entity, endpoint, &self.vars);
            follow_version(versions, endpoint, entity, answer, (sent_us, at_us));
        }
        let as_expected = judged.is_ok();
        if let Err(why) = &judged {
            why.keep(shared, due.endpoint, outcome.as_ref().ok().copied());
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

    fn end(mut self, ended_us: u64, repeated: bool, outcome: RequestEnd) {
        self.has_ended = true;
        let Unfinished {
            endpoint,
            intended_us,
            sent_us,
            ..
        } = self.request;
        let mut shard = self.shared.shard(self.own_shard);
        if repeated {
            shard.repeated(endpoint, intended_us);
        }
        shard.ended(Request {
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

/// The parts of the answer that will be looked into.
pub(crate) fn expecting(endpoint: &Endpoint, extract: &[Extract]) -> Expecting {
    Expecting {
        head_only: endpoint.method == Method::Head,
        body: endpoint.expect.reads_body() || !extract.is_empty(),
    }
}

/// Why a request counts as a failure.
enum Failure<'a> {
    /// No whole answer.
    Send(&'a SendError),
    Answer(Wrong),
}

impl Failure<'_> {
    fn class(&self) -> FailureClass {
        match self {
            Self::Send(error) => class_of(error),
            Self::Answer(Wrong::Status(_)) => FailureClass::Status,
            Self::Answer(Wrong::Content(_)) => FailureClass::Unexpected,
        }
    }

    /// Counts it among the kinds of its round, with the text where examples are still wanted.
    fn keep(&self, shared: &Shared, index: usize, answer: Option<&Answer>) {
        let status = match self {
            Self::Answer(Wrong::Status(status)) => Some(*status),
            _ => None,
        };
        let kind = Kind {
            endpoint: index,
            class: self.class(),
            status,
        };
        let endpoint = &shared.workload.endpoints[index];
        shared.failures.add(kind, || {
            let why = match self {
                Self::Send(error) => error.to_string(),
                Self::Answer(wrong) => wrong.describe(endpoint, answer),
            };
            format!("{} {}: {why}", endpoint.method.as_str(), endpoint.name)
        });
    }
}

impl Wrong {
    /// In words: the expectation, and the answer that came instead.
    pub(crate) fn describe(&self, endpoint: &Endpoint, answer: Option<&Answer>) -> String {
        match self {
            Self::Status(status) => {
                let excerpt = answer.map(Answer::excerpt).unwrap_or_default();
                let why = endpoint.expect.check_status(*status).err().unwrap_or_default();
                format!("{why} {excerpt}").trim_end().to_owned()
            }
            Self::Content(why) => why.clone(),
        }
    }
}

/// Keeps what the workload extracts; what was not as it expects.
fn judge<'a>(
    endpoint: &Endpoint,
    extract: &[Extract],
    outcome: Result<&Answer, &'a SendError>,
    vars: &mut Vars,
) -> Result<(), Failure<'a>> {
    let answer = outcome.map_err(Failure::Send)?;
    look_into(endpoint, extract, answer, vars).map_err(Failure::Answer)
}

fn counted(outcome: &Result<&Answer, SendError>, failure: Option<&Failure<'_>>) -> RequestEnd {
    match (outcome, failure) {
        (Ok(answer), None) => RequestEnd::Ok { bytes: answer.bytes() },
        (Err(error), None) => RequestEnd::Failed(class_of(error)),
        (_, Some(failure)) => RequestEnd::Failed(failure.class()),
    }
}

/// Whether an answer is as its endpoint expects; keeps what is to be extracted.
pub(crate) fn look_into(
    endpoint: &Endpoint,
    extract: &[Extract],
    answer: &Answer,
    vars: &mut Vars,
) -> Result<(), Wrong> {
    let expect = &endpoint.expect;
    if !expect.allows_status(answer.status()) {
        return Err(Wrong::Status(answer.status()));
    }
    look_inside(endpoint, extract, answer, vars).map_err(Wrong::Content)
}

/// As [`look_into`], behind the status.
fn look_inside(endpoint: &Endpoint, extract: &[Extract], answer: &Answer, vars: &mut Vars) -> Result<(), String> {
    let expect = &endpoint.expect;
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
