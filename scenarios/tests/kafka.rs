//! Topics of Kafka in a workload: what is read of them, and what is said of mistakes.

mod support;

use std::path::Path;

use scenarios::testing::{WorkloadText, edited};
use scenarios::{Expected, Placeholder, ProtobufRead, RecordPlace, Template, Text, Topic, Vars, Workload};
use support::refusal;

/// Users who write notes, and a topic that has them.
const NOTES: WorkloadText<'_> = WorkloadText {
    name: "notes",
    measure_s: 1.0,
    drain_s: 1.0,
    blocks: 1,
    model: "[model.closed]\nusers = 1\nramp_s = 0\n",
    warm_up: "duration_s = 1\nthink_time_scale = 1\n",
    quick: "warm_up_s = 1\nmeasure_s = 1\nblocks = 1\n",
    rest: r#"[feeders]
driver = { sequence = { from = 7 } }
event = { uuid = {} }
[endpoints.note]
method = "POST"
path = "/notes"
body = { driver = "{driver}" }
[journeys.write]
steps = [{ endpoint = "note", extract = { id = "/id" } }]
[kafka.notes]
topic = "notes.{topic}"
group = "{namespace}"
within_ms = 750
[[kafka.notes.messages]]
when = { "/kind" = "note" }
when_headers = { schema = "note/1" }
id = "/id"
sequence = { header = "number" }
[[kafka.notes.messages]]
id = { protobuf = [5, 1], as = "uuid" }
sequence = { protobuf = [4] }
group = { protobuf = [2], as = "text" }
[kafka.notes.follow]
note = { id = "{id}" }
[kafka.notes.produce]
rate = { constant = { per_s = 20 } }
key = "{driver}"
value = { id = "{event}", driver = "{driver}" }
headers = { schema = "note/1" }
id = "{event}"
[kafka.notes.backlog]
messages = 1000
within_s = 5
value = "plain {driver}"
"#,
};

fn said(from: &str, to: &str) -> String {
    refusal(&edited(&NOTES.to_string(), from, to), &[], |file| {
        Workload::load(file).map(|_| ())
    })
}

fn text(template: &Template, vars: &Vars) -> String {
    let mut text = String::new();
    template.render(vars, &mut text);
    text
}

fn filled(text: &Text) -> String {
    text.fill(&|place| (place != Placeholder::Port).then(|| format!("<{place}>")))
        .expect("each place has a value")
}

#[test]
fn every_part_is_read() {
    let workload = Workload::parse(Path::new("w.toml"), &NOTES.to_string()).unwrap_or_else(|error| panic!("{error}"));
    let topic: &Topic = &workload.topics[0];
    assert_eq!((topic.name.as_str(), topic.within_ms), ("notes", 750));
    let places = [&topic.brokers, &topic.topic, topic.group.as_ref().unwrap()].map(filled);
    assert_eq!(places, ["<{kafka.brokers}>", "notes.<{topic}>", "<{namespace}>"]);
    let [json, protobuf] = &topic.forms[..] else {
        panic!("{:?}", topic.forms)
    };
    assert_eq!(json.when, [("/kind".to_owned(), Expected::Is("note".into()))]);
    assert_eq!(json.when_headers, [("schema".to_owned(), "note/1".to_owned())]);
    assert_eq!(json.sequence, Some(RecordPlace::Header("number".to_owned())));
    // What is in order has a key in common where a file says nothing else.
    assert_eq!(json.group, RecordPlace::Key);
    let field = |fields: &[u32], read| RecordPlace::Protobuf {
        fields: fields.to_owned(),
        read,
    };
    assert_eq!(protobuf.id, field(&[5, 1], ProtobufRead::Uuid));
    assert_eq!(protobuf.sequence, Some(field(&[4], ProtobufRead::Number)));
    assert_eq!(protobuf.group, field(&[2], ProtobufRead::Text));
    assert_eq!(topic.follows[0].endpoint, 0);
    // A target may be about each.
    assert_eq!(
        workload.counted_names(),
        ["note", "notes", "notes.effect", "notes.produced"]
    );
}

#[test]
fn each_message_draws_what_it_uses() {
    let workload = Workload::parse(Path::new("w.toml"), &NOTES.to_string()).unwrap();
    let topic = &workload.topics[0];
    let (produce, backlog) = (topic.produce.as_ref().unwrap(), topic.backlog.as_ref().unwrap());
    let (mut vars, sequences, mut rng) = (workload.new_vars(), workload.new_sequences(), rand::rng());
    let mut draw = |feeders: &[usize], vars: &mut Vars| workload.draw(feeders, &sequences, &mut rng, vars);
    draw(&produce.message.feeders, &mut vars);
    let id = text(produce.id.as_ref().unwrap(), &vars);
    let message = &produce.message;
    assert_eq!(text(&message.value, &vars), format!(r#"{{"id":"{id}","driver":7}}"#));
    assert_eq!(message.key.as_ref().map(|key| text(key, &vars)).as_deref(), Some("7"));
    draw(&backlog.message.feeders, &mut vars);
    assert_eq!(text(&backlog.message.value, &vars), "plain 8");
    // It does not use the id, and leaves it alone.
    assert_eq!(text(produce.id.as_ref().unwrap(), &vars), id);
    assert_eq!((backlog.messages, backlog.message.key.clone()), (1_000, None));
    let due: Vec<u64> = produce.arrivals.arrivals(0.0, &mut rng).take(2).collect();
    assert!(due[0] < due[1]);
}

#[test]
fn mistakes_are_told_with_what_to_write() {
    insta::assert_snapshot!(
        said("note = { id", "notes = { id"),
        @"w.toml:38: unknown endpoint `notes`; did you mean `note`?"
    );
    insta::assert_snapshot!(
        said("group = \"{namespace}\"\n", ""),
        @r#"
w.toml:44: nothing tells when a backlog is worked off; say which consumer group works it off: `group = "..."`
"#
    );
    insta::assert_snapshot!(
        said("{namespace}", "{namespaces}"),
        @"w.toml:26: unknown placeholder `namespaces`; did you mean `namespace`?"
    );
    insta::assert_snapshot!(
        said("{namespace}", "{port}"),
        @"w.toml:26: `{port}` says nothing about a topic; {topic}, {namespace} and {kafka.brokers} are known here"
    );
    insta::assert_snapshot!(
        said("id = \"/id\"\nsequence", "id = \"id\"\nsequence"),
        @"w.toml:31: `id` is no JSON pointer: it must start with a slash, like `/id`"
    );
    insta::assert_snapshot!(
        said("{ header = \"number\" }", "{ header = \"number\", key = true }"),
        @r#"
w.toml:32: a record has no such place; write "/POINTER", { key = true }, { header = "NAME" } or { protobuf = [1] }
"#
    );
    insta::assert_snapshot!(
        said("{ header = \"number\" }", "{ headers = \"number\" }"),
        @r#"
w.toml:32: unknown key `headers`; did you mean `header`?
w.toml:32: a record has no such place; write "/POINTER", { key = true }, { header = "NAME" } or { protobuf = [1] }
"#
    );
    insta::assert_snapshot!(
        said("{ protobuf = [4] }", "{ protobuf = [] }"),
        @r#"
w.toml:35: a record has no such place; write "/POINTER", { key = true }, { header = "NAME" } or { protobuf = [1] }
"#
    );
    insta::assert_snapshot!(
        said("{ protobuf = [4] }", "{ protobuf = [4], as = \"date\" }"),
        @"w.toml:35: unknown name `date`; valid here, nearest first: `number`, `text`, `uuid`"
    );
    insta::assert_snapshot!(
        said("within_ms = 750", "within_ms = 0"),
        @"w.toml:27: `within_ms` is 0: it must be 1 or more"
    );
    insta::assert_snapshot!(
        said("messages = 1000", "messages = 20000000"),
        @"w.toml:46: `messages` is 20000000: it must be at most 10000000"
    );
    insta::assert_snapshot!(
        said("value = \"plain {driver}\"", "value = \"plain {drivers}\""),
        @"w.toml:48: unknown variable `drivers`; did you mean `driver`?"
    );
}

#[test]
fn all_mistakes_are_told_at_once() {
    let text = edited(&NOTES.to_string(), "per_s = 20", "per_s = 0");
    let text = edited(&text, "within_s = 5", "within_s = -5");
    insta::assert_snapshot!(
        refusal(&text.replace("[kafka.notes", "[kafka.note"), &[], |file| Workload::load(file).map(|_| ())),
        @r#"
w.toml:24: `note` is the name of something else that is counted: give the topic another
w.toml:40: `per_s` is 0: it must be above 0
w.toml:47: `within_s` is -5: it must be above 0
"#
    );
}

#[test]
fn a_topic_must_measure_something_and_say_how() {
    let whole = NOTES.to_string();
    let (before, _) = whole.split_once("[kafka.notes]").unwrap();
    let refused = |tables: &str| {
        refusal(&format!("{before}{tables}"), &[], |file| {
            Workload::load(file).map(|_| ())
        })
    };
    insta::assert_snapshot!(
        refused("[kafka.notes]\n"),
        @"w.toml:24: `notes` measures nothing; add `follow.ENDPOINT`, `produce` or `backlog`"
    );
    insta::assert_snapshot!(
        refused("[kafka.notes.follow]\nnote = { id = \"{id}\" }\n"),
        @r#"
w.toml:25: nobody says where a record has its id; say it: `messages = [{ id = "/..." }]`
"#
    );
}
