//! Topics of Kafka: what the load must lead to there, what a consumer group makes of it, and messages that are produced
//! beside the load or behind it.
//!
//! `[kafka.NAME]` is counted as endpoints are: each record that a followed write owes (`NAME`), the moment at which the
//! group has committed it (`NAME.effect`), and the messages that are produced (`NAME.produced`).

use std::fmt;
use std::ops::Range;

use serde::Deserialize;
use serde::de::{self, MapAccess, Visitor, value::MapAccessDeserializer};
use toml::Spanned;

use crate::arrivals::{Arrive, OpenModel, Spacing};
use crate::body::{self, RawJson};
use crate::command::{self, Placeholder, Text};
use crate::expect::{self, Expected};
use crate::feeder::Feeder;
use crate::rate::{Rate, RawRate};
use crate::request::{self, Endpoint};
use crate::source::{Findings, Named, named};
use crate::syntax::check_json_pointer;
use crate::template::{Form, Template};
use crate::vars::{Scope, VarNames};
use crate::websocket::Follow;

/// A record must have come, and have had its effect, by then where a file does not say.
const DEFAULT_WITHIN_MS: u64 = 5_000;
/// A backlog may take so long where a file does not say.
const DEFAULT_BACKLOG_WITHIN_S: f64 = 60.0;
/// The generator keeps the offset of each message of a backlog: 80 MB.
const MAX_BACKLOG: u64 = 10_000_000;
/// The topic and the brokers where a file does not say: those of the subject.
const SUBJECTS_TOPIC: &str = "{topic}";
const SUBJECTS_BROKERS: &str = "{kafka.brokers}";

/// Places of a launch that can be spoken of.
const OF_A_TOPIC: [Placeholder; 3] = [Placeholder::Topic, Placeholder::Namespace, Placeholder::KafkaBrokers];

/// A topic that is watched, and written to.
#[derive(Debug, Clone, PartialEq)]
pub struct Topic {
    /// The name under which its records are counted.
    pub name: String,
    /// The name under which effects are counted.
    pub effect_name: String,
    /// The name under which produced messages are counted.
    pub produced_name: String,
    /// Where it is: `host:port`, separated by commas.
    pub brokers: Text,
    /// Its name at the brokers.
    pub topic: Text,
    /// The consumer group whose commits are the effects of records; nothing is known of effects where absent.
    pub group: Option<Text>,
    /// Milliseconds after which a record or its effect is too late.
    pub within_ms: u64,
    /// How its records are read: the first form that fits a record counts.
    pub forms: Vec<RecordForm>,
    /// Writes whose records are owed.
    pub follows: Vec<Follow>,
    /// Messages that are produced beside the load.
    pub produce: Option<Produce>,
    /// Messages that are produced when the load is over.
    pub backlog: Option<Backlog>,
}

/// Places in a record.
#[derive(Debug, Clone, PartialEq)]
pub struct RecordForm {
    /// What a value must have at these JSON pointers.
    pub when: Vec<(String, Expected)>,
    /// Texts that its headers must have, by their names.
    pub when_headers: Vec<(String, String)>,
    /// What it is known by. A record without it is not looked at.
    pub id: RecordPlace,
    /// Its number, which must not fall within a group.
    pub sequence: Option<RecordPlace>,
    /// The group within which `sequence` is in order; the key where a file does not say.
    pub group: RecordPlace,
}

/// Where a text or a number stands in a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RecordPlace {
    /// In a value that is JSON: a pointer (RFC 6901).
    Json(String),
    /// In the header of this name.
    Header(String),
    /// The key itself.
    Key,
    /// In a value that is Protobuf: the number of a field, behind those of the messages around it.
    Protobuf {
        /// At least one number.
        fields: Vec<u32>,
        /// How its bytes are read.
        read: ProtobufRead,
    },
}

/// How a field of Protobuf is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ProtobufRead {
    /// A whole number (`int32`, `int64`, `uint32`, `uint64`, `bool`, an enumeration).
    Number,
    /// A text.
    Text,
    /// Sixteen bytes, as the text of a UUID.
    Uuid,
}

/// A message that is made anew each time.
#[derive(Debug, Clone, PartialEq)]
pub struct Message {
    /// Keeps what belongs together in order; absent where any partition will do.
    pub key: Option<Template>,
    /// Its value.
    pub value: Template,
    /// Its headers.
    pub headers: Vec<(String, Template)>,
    /// Feeders (by index) that each message draws from.
    pub feeders: Vec<usize>,
}

/// Messages produced at a rate.
#[derive(Debug, Clone, PartialEq)]
pub struct Produce {
    /// When each is meant to be sent.
    pub arrivals: OpenModel,
    /// What is sent.
    pub message: Message,
    /// Text that its record is known by, so that it is followed as a write is.
    pub id: Option<Template>,
}

/// Messages produced at once, to be worked off.
#[derive(Debug, Clone, PartialEq)]
pub struct Backlog {
    /// How many.
    pub messages: u64,
    /// Seconds from the first one until nobody waits any more.
    pub within_s: f64,
    /// What is sent.
    pub message: Message,
}

impl Topic {
    /// Names under which something of it is counted.
    pub fn counted_names(&self) -> impl Iterator<Item = &str> {
        let follows = self.follows_any();
        let names = [
            (&self.name, follows),
            (&self.effect_name, follows && self.group.is_some()),
            (&self.produced_name, self.produce.is_some()),
        ];
        let counted = names.into_iter().filter(|(_, is_counted)| *is_counted);
        counted.map(|(name, _)| name.as_str())
    }

    /// Whether records are owed at all.
    pub fn follows_any(&self) -> bool {
        !self.follows.is_empty() || self.produce.as_ref().is_some_and(|produce| produce.id.is_some())
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawTopic {
    brokers: Option<Spanned<String>>,
    topic: Option<Spanned<String>>,
    group: Option<Spanned<String>>,
    within_ms: Option<Spanned<u64>>,
    #[serde(default)]
    messages: Vec<RawForm>,
    #[serde(default, deserialize_with = "named")]
    follow: Named<RawFollow>,
    produce: Option<Spanned<RawProduce>>,
    backlog: Option<Spanned<RawBacklog>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawForm {
    #[serde(default, deserialize_with = "named")]
    when: Named<Spanned<RawJson>>,
    #[serde(default, deserialize_with = "named")]
    when_headers: Named<Spanned<String>>,
    id: Spanned<RawPlace>,
    sequence: Option<Spanned<RawPlace>>,
    group: Option<Spanned<RawPlace>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawFollow {
    id: Spanned<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawProduce {
    rate: RawRate,
    #[serde(default)]
    spacing: Spacing,
    key: Option<Spanned<String>>,
    value: Spanned<RawJson>,
    #[serde(default, deserialize_with = "named")]
    headers: Named<Spanned<String>>,
    id: Option<Spanned<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawBacklog {
    messages: Spanned<u64>,
    within_s: Option<Spanned<f64>>,
    key: Option<Spanned<String>>,
    value: Spanned<RawJson>,
    #[serde(default, deserialize_with = "named")]
    headers: Named<Spanned<String>>,
}

/// A place as it is written: a JSON pointer, or a table that names something else.
enum RawPlace {
    Pointer(String),
    Table(RawPlaceTable),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawPlaceTable {
    header: Option<String>,
    key: Option<bool>,
    protobuf: Option<Vec<u32>>,
    #[serde(rename = "as")]
    read: Option<ProtobufRead>,
}

impl<'de> Deserialize<'de> for RawPlace {
    fn deserialize<D: de::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RawPlaceVisitor)
    }
}

struct RawPlaceVisitor;

impl<'de> Visitor<'de> for RawPlaceVisitor {
    type Value = RawPlace;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON pointer, or a table with `header`, `key` or `protobuf`")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<RawPlace, E> {
        Ok(RawPlace::Pointer(text.to_owned()))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<RawPlace, A::Error> {
        RawPlaceTable::deserialize(MapAccessDeserializer::new(map)).map(RawPlace::Table)
    }
}

/// What a topic may speak of.
pub(crate) struct Known<'a> {
    pub(crate) endpoints: &'a [Endpoint],
    pub(crate) feeders: &'a [Feeder],
    pub(crate) names: &'a VarNames,
    /// Names under which something else is counted.
    pub(crate) taken: Vec<&'a str>,
}

pub(crate) fn check(raw: Named<RawTopic>, known: &Known<'_>, findings: &mut Findings<'_>) -> Vec<Topic> {
    raw.into_iter()
        .map(|(name, topic)| topic.check(&name, known, findings))
        .collect()
}

impl RawTopic {
    fn check(self, name: &Spanned<String>, known: &Known<'_>, findings: &mut Findings<'_>) -> Topic {
        let places = command::Known { servers: vec![] };
        let mut text = |given: Option<Spanned<String>>, or: &str| {
            let text = given.unwrap_or_else(|| Spanned::new(name.span(), or.to_owned()));
            findings.not_empty("this", &text);
            let read = places.text(&text, findings);
            for place in read.places().filter(|place| !OF_A_TOPIC.contains(place)) {
                let hint = "{topic}, {namespace} and {kafka.brokers} are known here".to_owned();
                findings.add(
                    &text.span(),
                    format!("`{place}` says nothing about a topic"),
                    Some(hint),
                );
            }
            read
        };
        let brokers = text(self.brokers, SUBJECTS_BROKERS);
        let named = text(self.topic, SUBJECTS_TOPIC);
        let group = self.group.map(|group| text(Some(group), ""));
        let within_ms = self.within_ms.as_ref();
        let within_ms = within_ms.map(|within| request::check_timeout("within_ms", within, findings));
        let within_ms = within_ms.unwrap_or(DEFAULT_WITHIN_MS);
        if let Some(backlog) = self.backlog.as_ref().filter(|_| group.is_none()) {
            let hint = "say which consumer group works it off: `group = \"...\"`".to_owned();
            findings.add(
                &backlog.span(),
                "nothing tells when a backlog is worked off",
                Some(hint),
            );
        }
        let is_idle = self.follow.is_empty() && self.produce.is_none() && self.backlog.is_none();
        if is_idle {
            let hint = "add `follow.ENDPOINT`, `produce` or `backlog`".to_owned();
            findings.add(&name.span(), format!("`{name}` measures nothing"), Some(hint));
        }
        let has_forms = !self.messages.is_empty();
        let mut forms = Vec::new();
        for form in self.messages {
            forms.push(form.check(findings));
        }
        let scope = &mut Scope {
            names: known.names,
            findings,
        };
        let topic = Topic {
            effect_name: format!("{name}.effect"),
            produced_name: format!("{name}.produced"),
            name: scope.findings.not_empty("name", name),
            brokers,
            topic: named,
            group,
            within_ms,
            forms,
            follows: follows(self.follow, known, has_forms, scope),
            produce: self
                .produce
                .map(|produce| produce.into_inner().check(known, has_forms, scope)),
            backlog: self.backlog.map(|backlog| backlog.into_inner().check(known, scope)),
        };
        let counted = [&topic.name, &topic.effect_name, &topic.produced_name];
        let taken = |name: &String| known.taken.contains(&name.as_str()) || name == measure::record::ALL_ENDPOINTS;
        if let Some(taken) = counted.into_iter().find(|name| taken(name)) {
            let what = format!("`{taken}` is the name of something else that is counted: give the topic another");
            scope.findings.add(&name.span(), what, None);
        }
        topic
    }
}

impl RawForm {
    fn check(self, findings: &mut Findings<'_>) -> RecordForm {
        // Records are read without anybody's variables.
        let names = &VarNames::default();
        let when = expect::check_json(self.when, &mut Scope { names, findings });
        let when_headers = self.when_headers.into_iter();
        RecordForm {
            when,
            when_headers: when_headers
                .map(|(name, text)| (name.into_inner(), text.into_inner()))
                .collect(),
            id: place(self.id, findings),
            sequence: self.sequence.map(|sequence| place(sequence, findings)),
            group: self.group.map_or(RecordPlace::Key, |group| place(group, findings)),
        }
    }
}

fn place(raw: Spanned<RawPlace>, findings: &mut Findings<'_>) -> RecordPlace {
    let at = raw.span();
    match raw.into_inner() {
        RawPlace::Pointer(pointer) => {
            check_json_pointer(&Spanned::new(at, pointer.clone()), findings);
            RecordPlace::Json(pointer)
        }
        RawPlace::Table(table) => place_of(table, &at, findings),
    }
}

fn place_of(table: RawPlaceTable, at: &Range<usize>, findings: &mut Findings<'_>) -> RecordPlace {
    let RawPlaceTable {
        header,
        key,
        protobuf,
        read,
    } = table;
    match (header, key, protobuf) {
        (Some(name), None, None) if read.is_none() => RecordPlace::Header(name),
        (None, Some(true), None) if read.is_none() => RecordPlace::Key,
        (None, None, Some(fields)) if !fields.is_empty() && !fields.contains(&0) => RecordPlace::Protobuf {
            fields,
            read: read.unwrap_or(ProtobufRead::Number),
        },
        _ => {
            let hint = "write \"/POINTER\", { key = true }, { header = \"NAME\" } or { protobuf = [1] }";
            findings.add(at, "a record has no such place", Some(hint.to_owned()));
            RecordPlace::Key
        }
    }
}

fn follows(raw: Named<RawFollow>, known: &Known<'_>, has_forms: bool, scope: &mut Scope<'_, '_>) -> Vec<Follow> {
    let names = || known.endpoints.iter().map(|endpoint| endpoint.name.as_str());
    raw.into_iter()
        .filter_map(|(name, follow)| {
            require_forms(has_forms, &follow.id.span(), scope);
            let id = Template::compile(&follow.id, Form::Plain, scope);
            let endpoint = scope.findings.find("endpoint", &name, names)?;
            Some(Follow {
                endpoint,
                id,
                about: None,
            })
        })
        .collect()
}

/// A record is found by its id, so that somebody must say where it is.
fn require_forms(has_forms: bool, at: &Range<usize>, scope: &mut Scope<'_, '_>) {
    if !has_forms {
        let hint = "say it: `messages = [{ id = \"/...\" }]`".to_owned();
        scope
            .findings
            .add(at, "nobody says where a record has its id", Some(hint));
    }
}

impl RawProduce {
    fn check(self, known: &Known<'_>, has_forms: bool, scope: &mut Scope<'_, '_>) -> Produce {
        let rate = self.rate.check(scope.findings);
        let id = self.id.map(|id| {
            require_forms(has_forms, &id.span(), scope);
            Template::compile(&id, Form::Plain, scope)
        });
        let mut message = message(self.key, &self.value, self.headers, scope);
        message.draw_from(known.feeders, id.as_ref());
        Produce {
            arrivals: arrivals(rate, self.spacing),
            message,
            id,
        }
    }
}

/// Messages arrive at a topic as requests at a service do, without connections.
fn arrivals(rate: Rate, spacing: Spacing) -> OpenModel {
    OpenModel {
        arrive: Arrive::Requests,
        spacing,
        rate,
        ramp_s: 0.0,
        connections: 1,
    }
}

impl RawBacklog {
    fn check(self, known: &Known<'_>, scope: &mut Scope<'_, '_>) -> Backlog {
        let messages = scope.findings.at_least_one("messages", &self.messages);
        scope
            .findings
            .require(messages <= MAX_BACKLOG, &self.messages.span(), || {
                format!("`messages` is {messages}: it must be at most {MAX_BACKLOG}")
            });
        let within_s = self.within_s.as_ref();
        let within_s = within_s.map_or(DEFAULT_BACKLOG_WITHIN_S, |s| scope.findings.seconds("within_s", s));
        let mut message = message(self.key, &self.value, self.headers, scope);
        message.draw_from(known.feeders, None);
        Backlog {
            messages,
            within_s,
            message,
        }
    }
}

fn message(
    key: Option<Spanned<String>>,
    value: &Spanned<RawJson>,
    headers: Named<Spanned<String>>,
    scope: &mut Scope<'_, '_>,
) -> Message {
    let headers = headers.into_iter().map(|(name, text)| {
        let name = scope.findings.not_empty("name", &name);
        (name, Template::compile(&text, Form::Plain, scope))
    });
    let headers = headers.collect();
    Message {
        key: key.map(|key| Template::compile(&key, Form::Plain, scope)),
        value: body::compile_text_or_json(value, scope),
        headers,
        feeders: vec![],
    }
}

impl Message {
    /// Each message draws what it uses, and what `id` uses.
    fn draw_from(&mut self, feeders: &[Feeder], id: Option<&Template>) {
        let texts = self.headers.iter().map(|(_, text)| text).chain(&self.key);
        let texts = texts.chain([&self.value]).chain(id);
        let slots: Vec<usize> = texts.flat_map(Template::slots).collect();
        self.feeders = request::feeders_of(&slots, feeders);
    }
}
