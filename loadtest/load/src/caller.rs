//! One request from template to record: rendered, sent, judged, looked into, counted. Users of the closed model and
//! slots of the open one both do it here.

use std::{sync::Arc, time::Duration};

use measure::{
    record::FailureClass,
    recorder::{Request, RequestEnd, Shard, Unfinished},
};
use scenarios::{Answered, Endpoint, Extract, Method, Vars};
use serde_json::Value;

use crate::{
    Shared,
    alarm::Alarm,
    answer::{Answer, Expecting},
    connection::{SendError, Trace},
    cookies::Cookies,
    failures::{Kind, Wrong, class_of},
    hop::{self, Hop},
    request::{More, RequestText, write_path},
    timeline::micros,
    versions::Versions,
    wire::Wire,
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
    wire: Wire,
    alarm: Alarm,
    request: RequestText,
    /// Present where users keep cookies.
    cookies: Option<Cookies>,
    /// Path of the last request; kept only where cookies or redirects depend on it.
    path: String,
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
            wire: Wire::of(&shared, index),
            alarm: Alarm::default(),
            request: RequestText::default(),
            cookies: if shared.workload.http.cookies {
                Cookies::new(&shared.target)
            } else {
                None
            },
            path: String::new(),
            ended_us: 0,
            entity: String::new(),
            shared,
        }
    }

    /// A user that begins anew: nobody knows it.
    pub(crate) fn begin_anew(&mut self) {
        self.vars.clone_from(&self.shared.globals);
        if let Some(cookies) = &mut self.cookies {
            cookies.forget();
        }
    }

    /// Sends one request and records it. Dropped half way, as at the end of the drain, it is recorded as unfinished.
    pub(crate) async fn call(&mut self, due: Due<'_>) -> Ended {
        let shared = &*self.shared;
        let endpoint = &shared.workload.endpoints[due.endpoint];
        let goes_on = endpoint.redirects > 0 || self.cookies.is_some();
        let mut cookies = "";
        if goes_on {
            self.path.clear();
            write_path(endpoint, &shared.target, &self.vars, &mut self.path);
            cookies = self.cookies.as_mut().map_or("", |kept| kept.header(&self.path));
        }
        let more = More { hop: None, cookies };
        let rendered = self
            .wire
            .render(&mut self.request, endpoint, &shared.target, &self.vars, &more);
        let expecting = expecting(endpoint, due.extract);
        let mut in_flight = InFlight::begin(shared, self.own_shard, due);
        let sent_us = in_flight.request.sent_us;
        let deadline = shared
            .clock
            .instant(sent_us + micros(Duration::from_millis(endpoint.timeout_ms)));
        let is_rested = sent_us.saturating_sub(self.ended_us) >= RESTED_US;
        let sending = self
            .wire
            .send(rendered, (endpoint, is_rested), expecting, &mut in_flight.trace);
        let timed_out = || Err(SendError::Timeout(endpoint.timeout_ms));
        let mut outcome = self.alarm.before(deadline, sending).await.unwrap_or_else(timed_out);
        if goes_on && outcome.is_ok() {
            let following = Following {
                wire: &mut self.wire,
                request: &mut self.request,
                cookies: self.cookies.as_mut(),
                path: &mut self.path,
                shared,
                endpoint,
                vars: &self.vars,
            };
            let following = following.follow(sent_us, expecting, &mut in_flight.trace);
            outcome = self.alarm.before(deadline, following).await.unwrap_or_else(timed_out);
        }
        let at_us = shared.clock.now_us();
        self.ended_us = at_us;
        // Behind the last byte, and behind the clock.
        let unpacked = outcome.as_ref().map_or(Ok(()), |()| self.wire.answer().unpack());
        let answered = outcome.as_ref().map(|()| &*self.wire.answer());
        let judged = match unpacked {
            Ok(()) => judge(endpoint, due.extract, answered, &mut self.vars),
            Err(why) => Err(Failure::Answer(Wrong::Content(why))),
        };
        if let (Ok(answer), Ok(())) = (answered, &judged) {
            let content = answer.content_bytes();
            in_flight.trace.unpacked = content.map(|content_bytes| (answer.bytes(), content_bytes));
        }
        let times_us = (in_flight.request.intended_us, sent_us);
        in_flight.end(at_us, counted(answered, judged.as_ref().err()));
        if judged.is_ok() {
            for stream in &shared.streams {
                stream.wrote(due.endpoint, &self.vars, times_us, shared.clock);
            }
            for topic in &shared.topics {
                topic.wrote(due.endpoint, &self.vars, times_us, shared.clock);
            }
        }
        if let (Ok(answer), Ok(()), Some(versions)) = (answered, &judged, &shared.versions) {
            let entity = rendered_entity(&mut self.entity, endpoint, &self.vars);
            follow_version(versions, endpoint, entity, answer, (sent_us, at_us));
        }
        let as_expected = judged.is_ok();
        if let Err(why) = &judged {
            why.keep(shared, due.endpoint, answered.ok());
        }
        Ended { at_us, as_expected }
    }
}

/// A request behind its first answer: cookies are kept, and redirects followed.
struct Following<'c> {
    wire: &'c mut Wire,
    request: &'c mut RequestText,
    cookies: Option<&'c mut Cookies>,
    /// Of the last request.
    path: &'c mut String,
    shared: &'c Shared,
    endpoint: &'c Endpoint,
    vars: &'c Vars,
}

impl Following<'_> {
    /// Follows redirects as far as the endpoint allows; the answer is then the last one. Each request on the way is a
    /// sample of its own.
    async fn follow(mut self, sent_us: u64, expecting: Expecting, trace: &mut Trace) -> Result<(), SendError> {
        let (endpoint, target) = (self.endpoint, &self.shared.target);
        let (mut began_us, mut method) = (sent_us, endpoint.method);
        for followed in 0.. {
            if let Some(cookies) = &mut self.cookies {
                cookies.keep(self.path, self.wire.answer());
            }
            if endpoint.redirects == 0 {
                break;
            }
            let now_us = self.shared.clock.now_us();
            trace.hops_us.push(now_us.saturating_sub(began_us));
            began_us = now_us;
            let next = hop::after(self.wire.answer(), method, self.path, target);
            let Some(hop) = next.map_err(SendError::Astray)? else {
                break;
            };
            if followed == endpoint.redirects {
                return Err(SendError::Astray(format!(
                    "more than {followed} times, at last to {}",
                    hop.path
                )));
            }
            self.send(&hop, expecting, trace).await?;
            method = hop.method;
        }
        Ok(())
    }

    async fn send(&mut self, hop: &Hop, expecting: Expecting, trace: &mut Trace) -> Result<(), SendError> {
        self.path.clone_from(&hop.path);
        let more = More {
            hop: Some(hop),
            cookies: self.cookies.as_mut().map_or("", |kept| kept.header(&hop.path)),
        };
        let rendered = self
            .wire
            .render(self.request, self.endpoint, &self.shared.target, self.vars, &more);
        self.wire.send(rendered, (self.endpoint, false), expecting, trace).await
    }
}

/// A request that is on its way. Whatever ends the wait for its answer, it is counted (invariant 8).
struct InFlight<'s> {
    shared: &'s Shared,
    own_shard: usize,
    request: Unfinished,
    trace: Trace,
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
            trace: Trace::default(),
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
        let mut shard = self.shared.shard(self.own_shard);
        self.count_way(&mut shard);
        shard.ended(Request {
            endpoint,
            intended_us,
            sent_us,
            ended_us,
            waited_us: self.trace.stream_wait_us.unwrap_or_default(),
            outcome,
        });
    }
}

impl InFlight<'_> {
    /// Counts what happened on the way.
    fn count_way(&self, shard: &mut Shard) {
        let Unfinished {
            endpoint, intended_us, ..
        } = self.request;
        if self.trace.repeated {
            shard.repeated(endpoint, intended_us);
        }
        if let Some(made) = self.trace.made {
            shard.opened(made.due_at(intended_us));
        }
        if let Some(waited_us) = self.trace.stream_wait_us {
            shard.waited_for_stream(intended_us, waited_us);
        }
        for took_us in &self.trace.hops_us {
            shard.hop(endpoint, intended_us, *took_us);
        }
        if let Some((bytes, content_bytes)) = self.trace.unpacked {
            shard.unpacked(endpoint, intended_us, bytes, content_bytes);
        }
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        if !self.has_ended {
            self.request.given_up_us = self.shared.clock.now_us();
            let mut shard = self.shared.shard(self.own_shard);
            self.count_way(&mut shard);
            shard.unfinished(self.request);
        }
    }
}

/// The parts of the answer that will be looked into.
pub(crate) fn expecting(endpoint: &Endpoint, extract: &[Extract]) -> Expecting {
    Expecting {
        head_only: endpoint.method == Method::Head,
        body: endpoint.expect.reads_body() || all_of(endpoint, extract).any(Extract::reads_body),
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
            let text = format!("{} {}: {why}", endpoint.method.as_str(), endpoint.name);
            shared.workload.secrets.conceal(text)
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

fn counted(answered: Result<&Answer, &SendError>, failure: Option<&Failure<'_>>) -> RequestEnd {
    match (answered, failure) {
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
    expect.check_bytes(answer.content_bytes().unwrap_or(answer.bytes()))?;
    let looks_inside = expect.reads_body() || all_of(endpoint, extract).any(Extract::reads_body);
    if looks_inside && !answer.is_whole() {
        return Err(format!("the body is too long to look into: {} bytes", answer.bytes()));
    }
    expect.check_text(answer.body(), vars)?;
    let parses = expect.reads_json() || all_of(endpoint, extract).any(Extract::reads_json);
    let json = parses.then(|| parsed(answer)).transpose()?;
    if let Some(json) = &json {
        expect.check_json(json, vars)?;
    }
    scenarios::keep(all_of(endpoint, extract), &Found { answer, json }, vars)
        .map_err(|what| format!("the answer has {what}"))
}

/// Every variable that is taken from an answer: those of the step, then those of its endpoint.
fn all_of<'a>(endpoint: &'a Endpoint, of_step: &'a [Extract]) -> impl Iterator<Item = &'a Extract> {
    of_step.iter().chain(&endpoint.extract)
}

fn parsed(answer: &Answer) -> Result<Value, String> {
    serde_json::from_slice(answer.body()).map_err(|error| format!("expected JSON, got ({error}) {}", answer.excerpt()))
}

/// An answer as values are taken from it.
struct Found<'a> {
    answer: &'a Answer,
    json: Option<Value>,
}

impl Answered for Found<'_> {
    fn header(&self, name: &str) -> Option<&str> {
        self.answer.header(name)
    }

    fn cookie(&self, name: &str) -> Option<&str> {
        let pairs = self.answer.headers("set-cookie").filter_map(|line| {
            let pair = line.split(';').next()?;
            pair.split_once('=')
        });
        pairs
            .filter(|(set, _)| set.trim() == name)
            .map(|(_, value)| value.trim())
            .last()
    }

    fn body(&self) -> &[u8] {
        self.answer.body()
    }

    fn json(&self) -> Option<&Value> {
        self.json.as_ref()
    }
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
