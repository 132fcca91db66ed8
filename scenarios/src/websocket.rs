//! Live streams: clients that connect over WebSockets, say what they want to see, and are shown what others write.
//!
//! `[websocket.NAME]` is counted as an endpoint is: each message that a client was owed, from the moment at which the
//! write behind it was meant to be sent.

use serde::Deserialize;
use toml::Spanned;

use crate::body::{self, RawJson};
use crate::expect::{self, Expected};
use crate::feeder::Feeder;
use crate::http::RawHttp;
use crate::request::{self, Endpoint};
use crate::source::{Findings, Named, named};
use crate::syntax::{check_json_pointer, check_path};
use crate::template::{Form, Template};
use crate::vars::{Scope, VarNames};

/// So many clients connect in a second where a file does not say.
const DEFAULT_CONNECT_PER_S: f64 = 100.0;
/// A message must have come by then where a file does not say.
const DEFAULT_WITHIN_MS: u64 = 5_000;
/// Of the file descriptors and ports of one machine.
const MAX_CONNECTIONS: u32 = 50_000;

/// A live stream and its clients.
#[derive(Debug, Clone, PartialEq)]
pub struct LiveStream {
    /// The name under which its messages are counted.
    pub name: String,
    /// Path and query of the handshake.
    pub path: Template,
    /// Headers of the handshake by lower-case name; the workload's credentials are among them.
    pub headers: Vec<(String, Template)>,
    /// Clients.
    pub connections: u32,
    /// Clients that connect in a second.
    pub connect_per_s: f64,
    /// Texts that a client sends when it has connected.
    pub send: Vec<Template>,
    /// Texts that it sends instead when it connects again and knows a position; with none it begins anew.
    pub send_again: Vec<Template>,
    /// The variable of `send_again` that takes the position.
    pub position_slot: Option<usize>,
    /// A client has subscribed when a frame has these values at these JSON pointers; at once without any.
    pub ready: Vec<(String, Expected)>,
    /// Text of what a client watches; everything where absent.
    pub watches: Option<Template>,
    /// Where in a frame its messages stand.
    pub frames: FrameShape,
    /// Writes whose messages clients are owed.
    pub follows: Vec<Follow>,
    /// Milliseconds after which a message is too late.
    pub within_ms: u64,
    /// Feeders (by index) that a client draws from once.
    pub feeders: Vec<usize>,
}

/// Places in a frame that holds JSON; each is a JSON pointer (RFC 6901).
#[derive(Debug, Clone, Default, PartialEq)]
pub struct FrameShape {
    /// The list of messages in a frame; the whole frame is one message where absent.
    pub each: Option<String>,
    /// In a message: what it must have here to be looked at; nothing where empty.
    pub when: Vec<(String, Expected)>,
    /// In a message: what it is known by. A message without it is not looked at.
    pub id: String,
    /// In a message: its number, which must not fall within a group.
    pub sequence: Option<String>,
    /// In a message: the group within which `sequence` is in order; one for all where absent.
    pub group: Option<String>,
    /// In a frame: the position in the stream, which a client that connects again goes on from.
    pub position: Option<String>,
}

/// Writes of an endpoint that must be shown.
#[derive(Debug, Clone, PartialEq)]
pub struct Follow {
    /// Index of the endpoint.
    pub endpoint: usize,
    /// Text of what the message of a write is known by, once it was answered.
    pub id: Template,
    /// Text of what it is about: clients that watch another are not owed it.
    pub about: Option<Template>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawLiveStream {
    path: Spanned<String>,
    #[serde(default, deserialize_with = "named")]
    headers: Named<Spanned<String>>,
    connections: Spanned<u32>,
    connect_per_s: Option<Spanned<f64>>,
    #[serde(default)]
    send: Vec<Spanned<RawJson>>,
    #[serde(default)]
    send_again: Vec<Spanned<RawJson>>,
    #[serde(default, deserialize_with = "named")]
    ready: Named<Spanned<RawJson>>,
    watches: Option<Spanned<String>>,
    within_ms: Option<Spanned<u64>>,
    messages: RawMessages,
    #[serde(default, deserialize_with = "named")]
    follow: Named<RawFollow>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawMessages {
    each: Option<Spanned<String>>,
    #[serde(default, deserialize_with = "named")]
    when: Named<Spanned<RawJson>>,
    id: Spanned<String>,
    sequence: Option<Spanned<String>>,
    group: Option<Spanned<String>>,
    position: Option<Spanned<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawFollow {
    id: Spanned<String>,
    about: Option<Spanned<String>>,
}

/// The variable that `send_again` knows, where messages have a position.
const POSITION: &str = "position";

/// Defines the variable of positions, if a stream has them. Before everything else is checked, since variables are
/// numbered.
pub(crate) fn define_position(raw: &Named<RawLiveStream>, names: &mut VarNames, findings: &mut Findings<'_>) {
    let speaks_of_it = raw.iter().find_map(|(_, stream)| {
        let position = stream.messages.position.as_ref().map(Spanned::span);
        position.or_else(|| stream.send_again.first().map(Spanned::span))
    });
    if let Some(at) = speaks_of_it
        && names.slot(POSITION).is_none()
    {
        names.define(&Spanned::new(at, POSITION.to_owned()), findings);
    }
}

/// What a stream may speak of.
pub(crate) struct Known<'a> {
    pub(crate) endpoints: &'a [Endpoint],
    pub(crate) feeders: &'a [Feeder],
    pub(crate) http: &'a RawHttp,
    pub(crate) names: &'a VarNames,
}

pub(crate) fn check(raw: Named<RawLiveStream>, known: &Known<'_>, findings: &mut Findings<'_>) -> Vec<LiveStream> {
    raw.into_iter()
        .map(|(name, stream)| {
            let taken = known.endpoints.iter().any(|endpoint| endpoint.name == *name.get_ref());
            findings.require(
                !taken && name.get_ref() != measure::record::ALL_ENDPOINTS,
                &name.span(),
                || format!("`{name}` is the name of something else that is counted: give the stream another"),
            );
            stream.check(&name, known, findings)
        })
        .collect()
}

impl RawLiveStream {
    fn check(self, name: &Spanned<String>, known: &Known<'_>, findings: &mut Findings<'_>) -> LiveStream {
        check_path(&self.path, findings);
        let position = self.messages.position.as_ref();
        for text in self.send_again.iter().filter(|_| position.is_none()) {
            let hint = "say in `messages` where a frame has it: `position = \"/...\"`".to_owned();
            findings.add(
                &text.span(),
                "`send_again` goes on from a position, and messages have none",
                Some(hint),
            );
        }
        let connections = findings.at_least_one("connections", &self.connections);
        findings.require(connections <= MAX_CONNECTIONS, &self.connections.span(), || {
            format!("`connections` is {connections}: it must be at most {MAX_CONNECTIONS}")
        });
        let connect_per_s = self.connect_per_s.as_ref();
        let connect_per_s = connect_per_s.map_or(DEFAULT_CONNECT_PER_S, |rate| findings.rate("connect_per_s", rate));
        let within_ms = self.within_ms.as_ref();
        let within_ms = within_ms.map(|within| request::check_timeout("within_ms", within, findings));
        let within_ms = within_ms.unwrap_or(DEFAULT_WITHIN_MS);
        let scope = &mut Scope {
            names: known.names,
            findings,
        };
        let mut headers = request::headers(self.headers, None, scope);
        if headers.iter().all(|(name, _)| name != "authorization") {
            let credentials = known.http.authorization(scope);
            headers.extend(credentials.map(|value| ("authorization".to_owned(), value)));
        }
        let mut stream = LiveStream {
            name: scope.findings.not_empty("name", name),
            path: Template::compile(&self.path, Form::Path, scope),
            headers,
            connections,
            connect_per_s,
            send: texts(&self.send, scope),
            send_again: texts(&self.send_again, scope),
            position_slot: position.and_then(|_| known.names.slot(POSITION)),
            ready: expect::check_json(self.ready, scope),
            watches: self.watches.map(|text| Template::compile(&text, Form::Plain, scope)),
            frames: self.messages.check(scope.findings),
            follows: follows(self.follow, known, scope),
            within_ms,
            feeders: vec![],
        };
        stream.feeders = request::feeders_of(&stream.slots().collect::<Vec<_>>(), known.feeders);
        stream
    }
}

impl LiveStream {
    /// The variables that a client uses.
    fn slots(&self) -> impl Iterator<Item = usize> {
        let headers = self.headers.iter().map(|(_, value)| value);
        let said = self.send.iter().chain(&self.send_again).chain(&self.watches);
        headers.chain([&self.path]).chain(said).flat_map(Template::slots)
    }
}

impl RawMessages {
    fn check(self, findings: &mut Findings<'_>) -> FrameShape {
        // Messages are read without a client's variables.
        let names = &VarNames::default();
        let when = expect::check_json(self.when, &mut Scope { names, findings });
        let mut pointer = |raw: Spanned<String>| {
            check_json_pointer(&raw, findings);
            raw.into_inner()
        };
        FrameShape {
            each: self.each.map(&mut pointer),
            when,
            id: pointer(self.id),
            sequence: self.sequence.map(&mut pointer),
            group: self.group.map(&mut pointer),
            position: self.position.map(&mut pointer),
        }
    }
}

fn texts(raw: &[Spanned<RawJson>], scope: &mut Scope<'_, '_>) -> Vec<Template> {
    raw.iter().map(|one| body::compile_text_or_json(one, scope)).collect()
}

fn follows(raw: Named<RawFollow>, known: &Known<'_>, scope: &mut Scope<'_, '_>) -> Vec<Follow> {
    let names = || known.endpoints.iter().map(|endpoint| endpoint.name.as_str());
    raw.into_iter()
        .filter_map(|(name, follow)| {
            let id = Template::compile(&follow.id, Form::Plain, scope);
            let about = follow.about.map(|about| Template::compile(&about, Form::Plain, scope));
            let endpoint = scope.findings.find("endpoint", &name, names)?;
            Some(Follow { endpoint, id, about })
        })
        .collect()
}
